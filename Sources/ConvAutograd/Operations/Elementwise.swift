import ConvCore
import Foundation

/// A function of one number and its gradient.
private protocol UnaryFunction {
  static var name: String { get }
  /// Whether the gradient needs x; else x is not kept and `gradient` is given y in its place.
  static var keepsInput: Bool { get }
  static func value<T: ConvScalar>(_ x: T) -> T
  /// dL/dx from g = dL/dy, x and y.
  static func gradient<T: ConvScalar>(_ g: T, _ x: T, _ y: T) -> T
}

extension UnaryFunction {
  static var keepsInput: Bool { false }
}

/// max(x, 0) in float64.
private enum ReLUFunction: UnaryFunction {
  static let name = "relu"
  static func value<T: ConvScalar>(_ x: T) -> T { x < 0 ? 0 : x }
  static func gradient<T: ConvScalar>(_ g: T, _ x: T, _ y: T) -> T { y <= 0 ? 0 : g }
}

private enum ReLU6Function: UnaryFunction {
  static let name = "relu6"
  static func value<T: ConvScalar>(_ x: T) -> T { x < 0 ? 0 : x > 6 ? 6 : x }
  static func gradient<T: ConvScalar>(_ g: T, _ x: T, _ y: T) -> T { y <= 0 || y >= 6 ? 0 : g }
}

private enum SigmoidFunction: UnaryFunction {
  static let name = "sigmoid"
  static func value<T: ConvScalar>(_ x: T) -> T { T(1 / (1 + exp(-Double(x)))) }
  static func gradient<T: ConvScalar>(_ g: T, _ x: T, _ y: T) -> T { g * (1 - y) * y }
}

private enum TanhFunction: UnaryFunction {
  static let name = "tanh"
  static func value<T: ConvScalar>(_ x: T) -> T { T(tanh(Double(x))) }
  static func gradient<T: ConvScalar>(_ g: T, _ x: T, _ y: T) -> T { g * (1 - y * y) }
}

private enum ExpFunction: UnaryFunction {
  static let name = "exp"
  static func value<T: ConvScalar>(_ x: T) -> T { T(exp(Double(x))) }
  static func gradient<T: ConvScalar>(_ g: T, _ x: T, _ y: T) -> T { g * y }
}

private enum LogFunction: UnaryFunction {
  static let name = "log"
  static let keepsInput = true
  static func value<T: ConvScalar>(_ x: T) -> T { T(log(Double(x))) }
  static func gradient<T: ConvScalar>(_ g: T, _ x: T, _ y: T) -> T { g / x }
}

extension Tensor {
  /// max(x, 0) of every element; NaN stays NaN.
  func clamped() throws -> Tensor {
    guard elementType == .float32 else { return try mapped(ReLUFunction.self, self) }
    var y = try Tensor(uninitialized: shape, format: format)
    let count = count
    withUnsafePointer(as: Float.self) { x in
      y.withUnsafeMutablePointer(as: Float.self) { y in
        forEachChunk(count) { range in
          Elementwise.relu(count: range.count, x + range.lowerBound, into: y + range.lowerBound)
        }
      }
    }
    return y
  }

  /// The gradient before a ReLU whose result this tensor is.
  func reluGradient(_ g: Tensor) throws -> Tensor {
    guard elementType == .float32 else {
      return try gradientMapped(ReLUFunction.self, g.ordered(format), self, self)
    }
    let g = try g.ordered(format)
    var dx = try Tensor(uninitialized: shape, format: format)
    let count = count
    withUnsafePointer(as: Float.self) { y in
      g.withUnsafePointer(as: Float.self) { g in
        dx.withUnsafeMutablePointer(as: Float.self) { dx in
          forEachChunk(count) { range in
            let first = range.lowerBound
            Elementwise.reluBackward(
              count: range.count, output: y + first, outputGradient: g + first, into: dx + first)
          }
        }
      }
    }
    return dx
  }
}

extension Variable {
  /// max(x, 0) per element; NaN stays NaN. The gradient is 0 where the result is 0.
  public func relu() throws -> Variable {
    try requireFloating("the input of relu", value)
    let y = try value.clamped()
    return Variable.record("relu", y, [self]) { [try y.reluGradient($0)] }
  }
  /// min(max(x, 0), 6) per element; NaN stays NaN. The gradient is 0 where the result is 0 or 6.
  public func relu6() throws -> Variable { try unary(ReLU6Function.self) }
  /// 1 / (1 + e⁻ˣ) per element.
  public func sigmoid() throws -> Variable { try unary(SigmoidFunction.self) }
  /// Hyperbolic tangent per element.
  public func tanh() throws -> Variable { try unary(TanhFunction.self) }
  /// eˣ per element.
  public func exp() throws -> Variable { try unary(ExpFunction.self) }
  /// Natural logarithm per element.
  public func log() throws -> Variable { try unary(LogFunction.self) }

  private func unary<F: UnaryFunction>(_ function: F.Type) throws -> Variable {
    try requireFloating("the input of \(F.name)", value)
    let x = value
    let y = try mapped(function, x)
    let kept = F.keepsInput ? x : y
    return Variable.record(F.name, y, [self]) { g in
      [try gradientMapped(function, g.ordered(kept.format), kept, y)]
    }
  }
}

private func mapped<F: UnaryFunction>(_ function: F.Type, _ x: Tensor) throws -> Tensor {
  x.elementType == .float64 ? try mapped(function, x, Double.self) : try mapped(function, x, Float.self)
}

private func mapped<F: UnaryFunction, T: ConvScalar>(
  _: F.Type, _ x: Tensor, _: T.Type
) throws -> Tensor {
  var y = try Tensor(uninitialized: x.shape, elementType: T.elementType, format: x.format)
  x.withUnsafePointer(as: T.self) { source in
    y.withUnsafeMutablePointer(as: T.self) { target in
      forEachChunk(x.count) { range in
        for i in range { target[i] = F.value(source[i]) }
      }
    }
  }
  return y
}

private func gradientMapped<F: UnaryFunction>(
  _ function: F.Type, _ g: Tensor, _ x: Tensor, _ y: Tensor
) throws -> Tensor {
  x.elementType == .float64
    ? try gradientMapped(function, g, x, y, Double.self) : try gradientMapped(function, g, x, y, Float.self)
}

private func gradientMapped<F: UnaryFunction, T: ConvScalar>(
  _: F.Type, _ g: Tensor, _ x: Tensor, _ y: Tensor, _: T.Type
) throws -> Tensor {
  var dx = try Tensor(uninitialized: y.shape, elementType: T.elementType, format: y.format)
  g.withUnsafePointer(as: T.self) { g in
    x.withUnsafePointer(as: T.self) { x in
      y.withUnsafePointer(as: T.self) { source in
        dx.withUnsafeMutablePointer(as: T.self) { target in
          forEachChunk(y.count) { range in
            for i in range { target[i] = F.gradient(g[i], x[i], source[i]) }
          }
        }
      }
    }
  }
  return dx
}

// MARK: One variable and one number

/// x ↦ factor·x + offset, or x / divisor.
private enum ScalarFunction {
  case affine(factor: Double, offset: Double)
  case quotient(divisor: Double)

  /// The same without the offset: what a gradient goes through.
  var linearPart: ScalarFunction {
    if case .affine(let factor, _) = self { return .affine(factor: factor, offset: 0) }
    return self
  }

  func applied(to x: Tensor) throws -> Tensor {
    x.elementType == .float64 ? try applied(to: x, Double.self) : try applied(to: x, Float.self)
  }

  private func applied<T: ConvScalar>(to x: Tensor, _: T.Type) throws -> Tensor {
    var y = try Tensor(uninitialized: x.shape, elementType: T.elementType, format: x.format)
    x.withUnsafePointer(as: T.self) { source in
      y.withUnsafeMutablePointer(as: T.self) { target in
        switch self {
        case .affine(let factor, let offset):
          let (a, b) = (T(factor), T(offset))
          forEachChunk(x.count) { range in
            for i in range { target[i] = a * source[i] + b }
          }
        case .quotient(let divisor):
          let d = T(divisor)
          forEachChunk(x.count) { range in
            for i in range { target[i] = source[i] / d }
          }
        }
      }
    }
    return y
  }
}

extension Variable {
  private func scalar(_ name: String, _ function: ScalarFunction) throws -> Variable {
    try requireFloating("the input of \(name)", value)
    return Variable.record(name, try function.applied(to: value), [self]) { g in
      [try function.linearPart.applied(to: g)]
    }
  }

  /// −x.
  public static prefix func - (x: Variable) throws -> Variable {
    try x.scalar("neg", .affine(factor: -1, offset: 0))
  }
  /// x + b.
  public static func + (x: Variable, b: Double) throws -> Variable {
    try x.scalar("add scalar", .affine(factor: 1, offset: b))
  }
  /// b + x.
  public static func + (b: Double, x: Variable) throws -> Variable { try x + b }
  /// x − b.
  public static func - (x: Variable, b: Double) throws -> Variable {
    try x.scalar("subtract scalar", .affine(factor: 1, offset: -b))
  }
  /// b − x.
  public static func - (b: Double, x: Variable) throws -> Variable {
    try x.scalar("subtract from scalar", .affine(factor: -1, offset: b))
  }
  /// a·x.
  public static func * (x: Variable, a: Double) throws -> Variable {
    try x.scalar("multiply scalar", .affine(factor: a, offset: 0))
  }
  /// a·x.
  public static func * (a: Double, x: Variable) throws -> Variable { try x * a }
  /// x / d.
  public static func / (x: Variable, d: Double) throws -> Variable {
    try x.scalar("divide by scalar", .quotient(divisor: d))
  }
}
