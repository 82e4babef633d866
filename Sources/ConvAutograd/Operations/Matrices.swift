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
  ///
  /// - Parameter relu: max(y, 0) in the same operation: the result is that of `relu()` after it.
  public func linear(weight: Variable, bias: Variable? = nil, relu: Bool = false) throws -> Variable {
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
    let rows = x.shape.dropLast().reduce(1, *)
    let matrix = try x.regrouped([rows, inputs])
    var y = try product(matrix, w, transposeB: true, rowOffset: bias?.value)
    if relu { y = try y.clamped() }
    let needs = [requiresGrad, weight.requiresGrad, bias?.requiresGrad ?? false]
    let clamped = relu ? y : nil
    let result = try y.regrouped(x.shape.dropLast() + [outputs])
    return Variable.record("linear", result, [self, weight] + (bias.map { [$0] } ?? [])) { gradient in
      var g = try gradient.regrouped([rows, outputs])
      if let clamped { g = try clamped.reluGradient(g) }
      let gradients = [
        needs[0] ? try product(g, w).regrouped(x.shape) : nil,
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
  // Blocks of rows by the vectorised kernel, their sums in Double: constant blocks, so that no bit follows the threads.
  let block = 256
  let blocks = (rows + block - 1) / block
  let isFloat = T.self == Float.self
  let parts = try PooledBuffer(count: isFloat ? blocks * columns : 1, of: Float.self)
  let sums = parts.baseAddress.bindMemory(to: Float.self, capacity: parts.byteCount / 4)
  x.withUnsafePointer(as: T.self) { x in
    if isFloat {
      forEachTask(blocks, work: rows * columns) { index in
        let sum = sums + index * columns
        sum.update(repeating: 0, count: columns)
        let from = UnsafeRawPointer(x + index * block * columns).assumingMemoryBound(to: Float.self)
        Elementwise.addSumsNHWC(
          pixels: min(block, rows - index * block), channels: columns, from, into: sum)
      }
    }
    result.withUnsafeMutablePointer(as: T.self) { result in
      for column in 0..<columns {
        var total = 0.0
        if isFloat {
          for index in 0..<blocks { total += Double(sums[index * columns + column]) }
        } else {
          for row in 0..<rows { total += Double(x[row * columns + column]) }
        }
        result[column] = T(total)
      }
    }
  }
  return result
}
