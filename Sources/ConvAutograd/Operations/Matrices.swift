import ConvCore

extension Variable {
  /// The product of two matrices: [M, K] · [K, N] → [M, N].
  ///
  /// - Throws: `ConvError.shapeMismatch` where the inner extents differ.
  public func matmul(_ other: Variable) throws -> Variable {
    let (a, b) = (value, other.value)
    try requireRank("the left operand of matmul", a, 2)
    try requireRank("the right operand of matmul", b, 2)
    guard a.shape[1] == b.shape[0] else {
      throw ConvError.shapeMismatch(
        what: "the right operand of matmul", expected: [a.shape[1], b.shape[1]], found: b.shape)
    }
    let needs = [requiresGrad, other.requiresGrad]
    return Variable.record("matmul", try product(a, b), [self, other]) { g in
      [
        needs[0] ? try product(g, b, transposeB: true) : nil,
        needs[1] ? try product(a, g, transposeA: true) : nil,
      ]
    }
  }

  /// y = x · Wᵀ + b over the last dimension: [*, I] → [*, O] with `weight` [O, I] and `bias` [O].
  public func linear(weight: Variable, bias: Variable? = nil) throws -> Variable {
    let (x, w) = (value, weight.value)
    try requireRank("the weight of linear", w, 2)
    let (outputs, inputs) = (w.shape[0], w.shape[1])
    guard x.rank >= 1, x.shape[x.rank - 1] == inputs else {
      throw ConvError.shapeMismatch(
        what: "the input of linear", expected: x.shape.dropLast() + [inputs], found: x.shape)
    }
    if let bias {
      guard bias.shape == [outputs] else {
        throw ConvError.shapeMismatch(what: "the bias of linear", expected: [outputs], found: bias.shape)
      }
      try requireType("the bias of linear", bias.value, x.elementType)
    }
    let rows = x.count / inputs
    let matrix = try x.reshaped(to: [rows, inputs])
    let y = try product(matrix, w, transposeB: true, rowOffset: bias?.value)
    let needs = [requiresGrad, weight.requiresGrad, bias?.requiresGrad ?? false]
    let result = try y.reshaped(to: x.shape.dropLast() + [outputs])
    return Variable.record("linear", result, [self, weight] + (bias.map { [$0] } ?? [])) { gradient in
      let g = try gradient.reshaped(to: [rows, outputs])
      let gradients = [
        needs[0] ? try product(g, w).reshaped(to: x.shape) : nil,
        needs[1] ? try product(g, matrix, transposeA: true) : nil,
        needs[2] ? try columnSums(g) : nil,
      ]
      return bias == nil ? Array(gradients.prefix(2)) : gradients
    }
  }
}

/// op(A) · op(B) + 1·rowOffsetᵀ for matrices in row-major order.
private func product(
  _ a: Tensor, _ b: Tensor, transposeA: Bool = false, transposeB: Bool = false, rowOffset: Tensor? = nil
) throws -> Tensor {
  try requireFloating("the left operand of a matrix product", a)
  try requireType("the right operand of a matrix product", b, a.elementType)
  return a.elementType == .float64
    ? try product(a, b, transposeA, transposeB, rowOffset, Double.self)
    : try product(a, b, transposeA, transposeB, rowOffset, Float.self)
}

private func product<T: ConvScalar>(
  _ a: Tensor, _ b: Tensor, _ transposeA: Bool, _ transposeB: Bool, _ rowOffset: Tensor?, _: T.Type
) throws -> Tensor {
  let (m, k) = transposeA ? (a.shape[1], a.shape[0]) : (a.shape[0], a.shape[1])
  let n = transposeB ? b.shape[0] : b.shape[1]
  var c = try Tensor(uninitialized: [m, n], elementType: T.elementType)
  let context = ConvolutionContext.current
  try c.withUnsafeMutablePointer(as: T.self) { c in
    rowOffset?.withUnsafePointer(as: T.self) { offset in
      for row in 0..<m { (c + row * n).update(from: offset, count: n) }
    }
    try a.withUnsafePointer(as: T.self) { a0 in
      try b.withUnsafePointer(as: T.self) { b0 in
        try context.matrixMultiplier.multiplyParallel(
          m: m, n: n, k: k, a: a0, lda: a.shape[1], transposeA: transposeA, b: b0, ldb: b.shape[1],
          transposeB: transposeB, c: c, ldc: n, accumulate: rowOffset != nil, pool: context.pool)
      }
    }
  }
  return c
}

/// [M, N] → [N].
private func columnSums(_ x: Tensor) throws -> Tensor {
  x.elementType == .float64 ? try columnSums(x, Double.self) : try columnSums(x, Float.self)
}

private func columnSums<T: ConvScalar>(_ x: Tensor, _: T.Type) throws -> Tensor {
  let (rows, columns) = (x.shape[0], x.shape[1])
  var result = try Tensor(uninitialized: [columns], elementType: T.elementType)
  var totals = [Double](repeating: 0, count: columns)
  x.withUnsafePointer(as: T.self) { x in
    for row in 0..<rows {
      for column in 0..<columns { totals[column] += Double(x[row * columns + column]) }
    }
  }
  result.withUnsafeMutablePointer(as: T.self) { sums in
    for column in 0..<columns { sums[column] = T(totals[column]) }
  }
  return result
}
