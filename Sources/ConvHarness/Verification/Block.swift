import ConvCore

/// The elements of an operand or result in logical order, as float64 numbers, to be cut and spread: [first, second, d, h, w].
struct Block {
  /// An element's place.
  struct Place {
    var first, second: Int
    var at: Extent
  }

  let first, second: Int
  let extent: Extent
  var values: [Double]

  init(first: Int, second: Int, extent: Extent, values: [Double]) {
    precondition(values.count == first * second * extent.count)
    self.first = first
    self.second = second
    self.extent = extent
    self.values = values
  }

  /// A tensor in logical order whose first two axes are followed by `extent`.
  init(_ tensor: Tensor, _ extent: Extent) throws {
    self.init(
      first: tensor.shape[0], second: tensor.shape[1], extent: extent,
      values: try tensor.converted(to: MemoryFormat.nchw).converted(to: .float64).values(as: Double.self))
  }

  /// Each element taken from the place that `source` names; zero where it names none.
  func gathered(
    first: Int, second: Int, extent: Extent, _ source: (Place) -> Place?
  ) -> Block {
    var result: [Double] = []
    result.reserveCapacity(first * second * extent.count)
    let places = SampleGrid.positions(extent)
    for i in 0..<first {
      for j in 0..<second {
        for at in places {
          guard let from = source(Place(first: i, second: j, at: at)) else {
            result.append(0)
            continue
          }
          let plane = (from.at.d * self.extent.h + from.at.h) * self.extent.w + from.at.w
          result.append(values[(from.first * self.second + from.second) * self.extent.count + plane])
        }
      }
    }
    return Block(first: first, second: second, extent: extent, values: result)
  }

  /// The same with another extent.
  func gathered(_ extent: Extent, _ source: (Extent) -> Extent?) -> Block {
    gathered(first: first, second: second, extent: extent) { place in
      source(place.at).map { Place(first: place.first, second: place.second, at: $0) }
    }
  }

  /// Some entries of the first and of the second axis.
  func sliced(first: Range<Int>? = nil, second: Range<Int>? = nil) -> Block {
    let (rows, columns) = (first ?? 0..<self.first, second ?? 0..<self.second)
    return gathered(first: rows.count, second: columns.count, extent: extent) {
      Place(first: rows.lowerBound + $0.first, second: columns.lowerBound + $0.second, at: $0.at)
    }
  }

  /// Every element by itself.
  func map(_ change: (Double) -> Double) -> Block {
    Block(first: first, second: second, extent: extent, values: values.map(change))
  }

  /// Element by element with another block of the same shape.
  func combined(_ other: Block, _ change: (Double, Double) -> Double) -> Block {
    precondition(values.count == other.values.count)
    return Block(
      first: first, second: second, extent: extent, values: zip(values, other.values).map(change))
  }

  /// A tensor of the given shape, rounded to the element type.
  func tensor(_ shape: [Int], _ elementType: ElementType) throws -> Tensor {
    try Tensor(values, shape: shape).converted(to: elementType)
  }
}
