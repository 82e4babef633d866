extension Tensor {
  /// The first elements along each axis, and zeros where `shape` goes further; in the same physical order.
  ///
  /// - Throws: `ConvError.shapeMismatch` for another rank; `.invalidShape`, `MemoryError`.
  public func resized(to shape: [Int]) throws -> Tensor {
    guard shape.count == rank else {
      throw ConvError.shapeMismatch(what: "resizing", expected: self.shape, found: shape)
    }
    if shape == self.shape { return self }
    var result = try Tensor.zeros(shape, elementType: elementType, format: format)
    if result.count == 0 || count == 0 { return result }
    // Lines of neighbouring elements.
    let inner = format == .nhwc ? 1 : rank - 1
    let size = elementType.byteCount
    let run = min(shape[inner], self.shape[inner]) * size
    let outer = shape.indices.filter { $0 != inner }
    let extents = outer.map { min(shape[$0], self.shape[$0]) }
    let (from, to) = (strides, result.strides)
    withUnsafeRawPointer { source in
      result.withUnsafeMutableRawPointer { target in
        for line in 0..<extents.reduce(1, *) {
          var (rest, read, written) = (line, 0, 0)
          for (axis, extent) in zip(outer, extents).reversed() {
            read += rest % extent * from[axis]
            written += rest % extent * to[axis]
            rest /= extent
          }
          (target + written * size).copyMemory(from: source + read * size, byteCount: run)
        }
      }
    }
    return result
  }
}
