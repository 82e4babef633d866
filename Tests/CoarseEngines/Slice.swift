import ConvCore

/// Elements of a tensor with given indices along some axes: what a faulty engine leaves out of its sums.
struct Slice: Hashable {
  /// Whether it is a part of the filter; else of dy.
  var isOfFilter: Bool
  /// Axis in logical order and index.
  var indices: [Index]
  struct Index: Hashable { var axis, index: Int }

  /// The tap of all filters, or for backwardFilter the row of dy.
  static func lostTap(_ place: Defect.Place, _ operation: ConvOperation) -> Slice {
    func choose(_ extent: Int) -> Int { place == .centre ? extent / 2 : extent - 1 }
    if operation.pass == .backwardFilter { return lostRow(operation, choose) }
    let shape = operation.problem.filterShape
    return Slice(
      isOfFilter: true, indices: shape.indices.dropFirst(2).map { Index(axis: $0, index: choose(shape[$0])) })
  }

  /// The outermost spatial axis of dy that has more than one place.
  private static func lostRow(_ operation: ConvOperation, _ choose: (Int) -> Int) -> Slice {
    let shape = operation.problem.outputShape
    let axis = shape.indices.dropFirst(2).first { shape[$0] > 1 } ?? 2
    return Slice(isOfFilter: false, indices: [Index(axis: axis, index: choose(shape[axis]))])
  }

  /// The slices, one per group, of the last summed channel; for backwardFilter the last image, or the first row of the only one.
  static func lostChannel(_ operation: ConvOperation) -> [Slice] {
    let problem = operation.problem
    switch operation.pass {
    case .forward:
      return [Slice(isOfFilter: true, indices: [Index(axis: 1, index: problem.cPerGroup - 1)])]
    case .backwardData:
      return (1...problem.groups).map {
        Slice(isOfFilter: true, indices: [Index(axis: 0, index: $0 * problem.kPerGroup - 1)])
      }
    case .backwardFilter:
      if problem.n > 1 {
        return [Slice(isOfFilter: false, indices: [Index(axis: 0, index: problem.n - 1)])]
      }
      return [lostRow(operation) { _ in 0 }]
    }
  }

  /// Writes zeros.
  func clear(_ values: UnsafeMutablePointer<Float>, shape: [Int], format: MemoryFormat) {
    let strides = format.strides(of: shape)
    let fixed = Dictionary(uniqueKeysWithValues: indices.map { ($0.axis, $0.index) })
    func visit(_ axis: Int, _ offset: Int) {
      if axis == shape.count {
        values[offset] = 0
      } else if let index = fixed[axis] {
        visit(axis + 1, offset + index * strides[axis])
      } else {
        for index in 0..<shape[axis] { visit(axis + 1, offset + index * strides[axis]) }
      }
    }
    visit(0, 0)
  }
}
