import ConvCore

/// A function of two numbers.
private protocol BinaryFunction {
  static func value<T: ConvScalar>(_ a: T, _ b: T) -> T
}
private enum Sum: BinaryFunction {
  static func value<T: ConvScalar>(_ a: T, _ b: T) -> T { a + b }
}
private enum Difference: BinaryFunction {
  static func value<T: ConvScalar>(_ a: T, _ b: T) -> T { a - b }
}
private enum Product: BinaryFunction {
  static func value<T: ConvScalar>(_ a: T, _ b: T) -> T { a * b }
}
private enum Quotient: BinaryFunction {
  static func value<T: ConvScalar>(_ a: T, _ b: T) -> T { a / b }
}
/// −a·b, for the gradient of a quotient's denominator.
private enum NegativeProduct: BinaryFunction {
  static func value<T: ConvScalar>(_ a: T, _ b: T) -> T { -a * b }
}

extension Variable {
  /// a + b per element, with NumPy's broadcasting (as for a bias [K] on [N, K], or [K, 1, 1] on [N, K, H, W]).
  ///
  /// - Throws: `ConvError.shapeMismatch` for shapes that do not broadcast, `.elementTypeMismatch`.
  public static func + (a: Variable, b: Variable) throws -> Variable {
    let (shapeA, shapeB, needs) = (a.shape, b.shape, [a.requiresGrad, b.requiresGrad])
    return Variable.record("add", try zipped(Sum.self, "add", a.value, b.value), [a, b]) { g in
      [
        needs[0] ? try reduced(g, to: shapeA) : nil, needs[1] ? try reduced(g, to: shapeB) : nil,
      ]
    }
  }

  /// a − b per element, with NumPy's broadcasting.
  public static func - (a: Variable, b: Variable) throws -> Variable {
    let (shapeA, shapeB, needs) = (a.shape, b.shape, [a.requiresGrad, b.requiresGrad])
    return Variable.record("subtract", try zipped(Difference.self, "subtract", a.value, b.value), [a, b]) {
      g in
      let minusOne = needs[1] ? try Tensor.filled([], -1, g.elementType) : g
      return [
        needs[0] ? try reduced(g, to: shapeA) : nil,
        needs[1] ? try zipped(Product.self, "subtract", reduced(g, to: shapeB), minusOne) : nil,
      ]
    }
  }

  /// a · b per element, with NumPy's broadcasting.
  public static func * (a: Variable, b: Variable) throws -> Variable {
    let (x, y, needs) = (a.value, b.value, [a.requiresGrad, b.requiresGrad])
    return Variable.record("multiply", try zipped(Product.self, "multiply", x, y), [a, b]) { g in
      [
        needs[0] ? try reduced(zipped(Product.self, "multiply", g, y), to: x.shape) : nil,
        needs[1] ? try reduced(zipped(Product.self, "multiply", g, x), to: y.shape) : nil,
      ]
    }
  }

  /// a / b per element, with NumPy's broadcasting.
  public static func / (a: Variable, b: Variable) throws -> Variable {
    let (x, y, needs) = (a.value, b.value, [a.requiresGrad, b.requiresGrad])
    let quotient = try zipped(Quotient.self, "divide", x, y)
    return Variable.record("divide", quotient, [a, b]) { g in
      // d(a/b)/db = −(a/b)/b.
      let perDenominator = try zipped(Quotient.self, "divide", g, y)
      return [
        needs[0] ? try reduced(perDenominator, to: x.shape) : nil,
        needs[1]
          ? try reduced(zipped(NegativeProduct.self, "divide", perDenominator, quotient), to: y.shape) : nil,
      ]
    }
  }
}

/// The shape that two shapes broadcast to.
private func broadcastShape(_ what: String, _ a: [Int], _ b: [Int]) throws -> [Int] {
  let rank = max(a.count, b.count)
  let (left, right) = (padded(a, rank), padded(b, rank))
  return try zip(left, right).map { x, y in
    guard x == y || x == 1 || y == 1 else {
      throw ConvError.shapeMismatch(what: "the second operand of \(what)", expected: a, found: b)
    }
    return x == 1 ? y : x
  }
}

private func padded(_ shape: [Int], _ rank: Int) -> [Int] {
  [Int](repeating: 1, count: rank - shape.count) + shape
}

/// Row-major strides of a shape padded to `rank` with 0 along broadcast axes.
private func broadcastStrides(_ shape: [Int], _ rank: Int) -> [Int] {
  let full = padded(shape, rank)
  return zip(full, MemoryFormat.nchw.strides(of: full)).map { $0 == 1 ? 0 : $1 }
}

private func zipped<F: BinaryFunction>(
  _ function: F.Type, _ what: String, _ a: Tensor, _ b: Tensor
) throws -> Tensor {
  try requireFloating("the first operand of \(what)", a)
  try requireType("the second operand of \(what)", b, a.elementType)
  return a.elementType == .float64
    ? try zipped(function, what, a, b, Double.self) : try zipped(function, what, a, b, Float.self)
}

private func zipped<F: BinaryFunction, T: ConvScalar>(
  _: F.Type, _ what: String, _ a: Tensor, _ b: Tensor, _: T.Type
) throws -> Tensor {
  if a.shape == b.shape {
    let b = try b.ordered(a.format)
    var y = try Tensor(uninitialized: a.shape, elementType: T.elementType, format: a.format)
    let count = a.count
    a.withUnsafePointer(as: T.self) { a in
      b.withUnsafePointer(as: T.self) { b in
        y.withUnsafeMutablePointer(as: T.self) { y in
          forEachChunk(count) { range in
            for i in range { y[i] = F.value(a[i], b[i]) }
          }
        }
      }
    }
    return y
  }
  let shape = try broadcastShape(what, a.shape, b.shape)
  let rank = shape.count
  let (stridesA, stridesB) = (broadcastStrides(a.shape, rank), broadcastStrides(b.shape, rank))
  var y = try Tensor(uninitialized: shape, elementType: T.elementType)
  let columns = shape[rank - 1]
  let (stepA, stepB) = (stridesA[rank - 1], stridesB[rank - 1])
  try a.ordered(.nchw).withUnsafePointer(as: T.self) { a in
    try b.ordered(.nchw).withUnsafePointer(as: T.self) { b in
      y.withUnsafeMutablePointer(as: T.self) { y in
        let rows = shape.dropLast().reduce(1, *)
        forEachTask(rows, work: rows * columns) { row in
          var (rest, offsetA, offsetB) = (row, 0, 0)
          for axis in (0..<rank - 1).reversed() {
            let index = rest % shape[axis]
            rest /= shape[axis]
            offsetA += index * stridesA[axis]
            offsetB += index * stridesB[axis]
          }
          for i in 0..<columns {
            y[row * columns + i] = F.value(a[offsetA + i * stepA], b[offsetB + i * stepB])
          }
        }
      }
    }
  }
  return y
}

/// Sums a gradient over the axes along which an operand of `shape` was broadcast.
private func reduced(_ gradient: Tensor, to shape: [Int]) throws -> Tensor {
  if gradient.shape == shape { return gradient }
  return gradient.elementType == .float64
    ? try reduced(gradient, to: shape, Double.self) : try reduced(gradient, to: shape, Float.self)
}

private func reduced<T: ConvScalar>(_ gradient: Tensor, to shape: [Int], _: T.Type) throws -> Tensor {
  let full = gradient.shape
  let rank = full.count
  let small = padded(shape, rank)
  let strides = MemoryFormat.nchw.strides(of: full)
  let summed = (0..<rank).filter { small[$0] != full[$0] }
  let terms = summed.map { full[$0] }.reduce(1, *)
  var result = try Tensor(uninitialized: shape, elementType: T.elementType)
  let count = result.count
  try gradient.ordered(.nchw).withUnsafePointer(as: T.self) { g in
    result.withUnsafeMutablePointer(as: T.self) { sum in
      forEachTask(count, work: count * terms) { element in
        var (rest, start) = (element, 0)
        for axis in (0..<rank).reversed() {
          start += rest % small[axis] * strides[axis]
          rest /= small[axis]
        }
        var total = 0.0
        for term in 0..<terms {
          var (rest, offset) = (term, start)
          for axis in summed.reversed() {
            offset += rest % full[axis] * strides[axis]
            rest /= full[axis]
          }
          total += Double(g[offset])
        }
        sum[element] = T(total)
      }
    }
  }
  return result
}
