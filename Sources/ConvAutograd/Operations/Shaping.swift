import ConvCore

extension Variable {
  /// The same elements in logical order under another shape; one extent may be −1 and is deduced.
  public func reshape(_ shape: [Int]) throws -> Variable {
    let old = value.shape
    let result = try value.regrouped(deduced(shape))
    return Variable.record("reshape", result, [self]) { g in [try g.regrouped(old)] }
  }

  /// The same elements in another physical order, as PyTorch's `to(memory_format=)`. Operations keep the order of their input.
  public func converted(to format: MemoryFormat) throws -> Variable {
    let result = try value.ordered(format)
    // A gradient may come in any order.
    return result.format == value.format ? self : Variable.record("converted", result, [self]) { [$0] }
  }

  /// Joins the dimensions from `startDim` on into one.
  ///
  /// - Throws: `ConvError.operand` for a dimension that does not exist.
  public func flatten(startDim: Int = 1) throws -> Variable {
    guard startDim >= 0, startDim < max(1, value.rank) else {
      throw ConvError.operand("flatten from dimension \(startDim) of shape \(shape)")
    }
    return try reshape(Array(shape[..<startDim]) + [shape[startDim...].reduce(1, *)])
  }

  /// [R, C] → [C, R].
  public func transpose2d() throws -> Variable {
    try requireRank("transpose2d", value, 2)
    return Variable.record("transpose2d", try transposed(value), [self]) { g in [try transposed(g)] }
  }

  private func deduced(_ shape: [Int]) throws -> [Int] {
    guard let unknown = shape.firstIndex(of: -1) else { return shape }
    var known = 1
    for (axis, extent) in shape.enumerated() where axis != unknown {
      let (product, overflow) = known.multipliedReportingOverflow(by: extent)
      guard extent > 0, !overflow else {
        throw ConvError.invalidShape(shape, reason: "extent \(extent) beside one to deduce")
      }
      known = product
    }
    guard value.count % known == 0 else {
      throw ConvError.invalidShape(
        shape, reason: "\(value.count) elements do not divide by \(known) to deduce an extent")
    }
    var full = shape
    full[unknown] = value.count / known
    return full
  }

  /// The sum of all elements, as a scalar; float64 inside.
  public func sum() throws -> Variable {
    try requireFloating("the input of sum", value)
    let input = value
    let total = try Tensor.filled([], total(input), input.elementType)
    return Variable.record("sum", total, [self]) { g in
      [try Tensor.filled(input.shape, g.scalarValue, input.elementType, format: input.format)]
    }
  }

  /// The mean of all elements, as a scalar, NaN where there are none; float64 inside.
  public func mean() throws -> Variable {
    try requireFloating("the input of mean", value)
    let input = value
    let n = Double(input.count)
    let mean = try Tensor.filled([], total(input) / n, input.elementType)
    return Variable.record("mean", mean, [self]) { g in
      [try Tensor.filled(input.shape, g.scalarValue / n, input.elementType, format: input.format)]
    }
  }
}

/// Sums `term` over fixed chunks, in fixed order.
func chunkedSum(_ count: Int, _ partial: (Range<Int>) -> Double) -> Double {
  if count == 0 { return 0 }
  var partials = [Double](repeating: 0, count: (count + chunkSize - 1) / chunkSize)
  partials.withUnsafeMutableBufferPointer { partials in
    forEachChunk(count) { range in partials[range.lowerBound / chunkSize] = partial(range) }
  }
  return partials.reduce(0, +)
}

private func total(_ x: Tensor) -> Double {
  x.elementType == .float64 ? total(x, Double.self) : total(x, Float.self)
}

private func total<T: ConvScalar>(_ x: Tensor, _: T.Type) -> Double {
  x.withUnsafePointer(as: T.self) { x0 in
    chunkedSum(x.count) { range in
      var sum = 0.0
      for i in range { sum += Double(x0[i]) }
      return sum
    }
  }
}

private func transposed(_ x: Tensor) throws -> Tensor {
  let (rows, columns) = (x.shape[0], x.shape[1])
  var result = try Tensor(uninitialized: [columns, rows], elementType: x.elementType)
  x.withUnsafeRawPointer { source in
    result.withUnsafeMutableRawPointer { target in
      // Rows as channels and columns as positions: NCHW to NHWC is the transposition.
      MemoryFormat.convert(
        source, from: .nchw, to: target, as: .nhwc, shape: [1, rows, columns], elementType: x.elementType,
        pool: ConvolutionContext.current.pool)
    }
  }
  return result
}
