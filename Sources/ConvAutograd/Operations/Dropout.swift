import ConvCore

extension Variable {
  /// Zeroes each element with probability `p` and scales the others by 1/(1 − p).
  ///
  /// Element i (in logical order) is kept where `random`'s uniform number i is at least p.
  /// - Throws: `ConvError.operand` for a p outside of 0...1.
  public func dropout(p: Double = 0.5, random: Philox) throws -> Variable {
    try dropout(p: p, mask: Variable.dropoutMask(shape, p: p, random: random))
  }

  /// Dropout with a given mask of the input's shape (uint8, 1 = kept).
  public func dropout(p: Double, mask: Tensor) throws -> Variable {
    try checkProbability(p)
    try requireFloating("the input of dropout", value)
    guard mask.shape == shape else {
      throw ConvError.shapeMismatch(what: "the mask of dropout", expected: shape, found: mask.shape)
    }
    try requireType("the mask of dropout", mask, .uint8)
    let scale = p < 1 ? 1 / (1 - p) : 0
    let aligned = try mask.ordered(value.format)
    let format = value.format
    let y = try masked(value, aligned, scale)
    return Variable.record("dropout", y, [self]) { g in
      [try masked(g.ordered(format), aligned, scale)]
    }
  }

  /// A mask as `dropout(p:random:)` uses it.
  public static func dropoutMask(_ shape: [Int], p: Double, random: Philox) throws -> Tensor {
    try checkProbability(p)
    var mask = try Tensor(uninitialized: shape, elementType: .uint8)
    let count = mask.count
    mask.withUnsafeMutablePointer(as: UInt8.self) { mask in
      forEachChunk(count) { range in
        for i in range { mask[i] = random.uniform(at: UInt64(i)) >= p ? 1 : 0 }
      }
    }
    return mask
  }
}

private func checkProbability(_ p: Double) throws {
  guard p >= 0, p <= 1 else {
    throw ConvError.operand("the probability of dropout is \(p), 0 to 1 are possible")
  }
}

private func masked(_ x: Tensor, _ mask: Tensor, _ scale: Double) throws -> Tensor {
  x.elementType == .float64
    ? try masked(x, mask, scale, Double.self) : try masked(x, mask, Float(scale), Float.self)
}

private func masked<T: ConvScalar>(_ x: Tensor, _ mask: Tensor, _ scale: T, _: T.Type) throws -> Tensor {
  var y = try Tensor(uninitialized: x.shape, elementType: T.elementType, format: x.format)
  x.withUnsafePointer(as: T.self) { x0 in
    mask.withUnsafePointer(as: UInt8.self) { mask in
      y.withUnsafeMutablePointer(as: T.self) { y in
        forEachChunk(x.count) { range in
          for i in range { y[i] = mask[i] != 0 ? x0[i] * scale : 0 }
        }
      }
    }
  }
  return y
}
