import ConvCore
import Foundation

/// How a loss joins the losses of its elements.
public enum Reduction: String, Sendable, Hashable, CaseIterable {
  /// Their mean: over the positions that count for cross-entropy, over all elements for the others; NaN where there are none.
  case mean
  /// Their sum.
  case sum
  /// Not at all: one loss for each.
  case none
}

extension Variable {
  /// log(softmax(x)) of each row of [N, C], shifted by the row's maximum.
  public func logSoftmax() throws -> Variable {
    try requireFloating("the input of logSoftmax", value)
    try requireRank("the input of logSoftmax", value, 2)
    let x = value
    let y = x.elementType == .float64 ? try logSoftmaxed(x, Double.self) : try logSoftmaxed(x, Float.self)
    return Variable.record("logSoftmax", y, [self]) { g in
      [
        y.elementType == .float64
          ? try logSoftmaxGradient(g, y, Double.self) : try logSoftmaxGradient(g, y, Float.self)
      ]
    }
  }

  /// (x − target)², joined by `reduction`.
  public func mse(_ target: Variable, reduction: Reduction = .mean) throws -> Variable {
    try elementwiseLoss("mse", SquaredError.self, target, reduction)
  }

  /// Binary cross-entropy of σ(x) and `target` in [0, 1], joined by `reduction`:
  /// max(x, 0) − x·t + log(1 + e^−|x|), which cannot overflow.
  public func bceWithLogits(_ target: Variable, reduction: Reduction = .mean) throws -> Variable {
    try elementwiseLoss("bceWithLogits", LogisticError.self, target, reduction)
  }

  private func elementwiseLoss<F: LossFunction>(
    _ name: String, _ function: F.Type, _ target: Variable, _ reduction: Reduction
  ) throws -> Variable {
    try requireFloating("the input of \(name)", value)
    try requireSame("the target of \(name)", target.value, as: value)
    let (x, t) = (value, try target.value.converted(to: value.format))
    if reduction == .none { return try unreducedLoss(name, function, x, t, target) }
    let scale = reduction == .mean ? 1 / Double(x.count) : 1
    let total =
      x.elementType == .float64
      ? lossSum(function, x, t, Double.self) : lossSum(function, x, t, Float.self)
    let needs = [requiresGrad, target.requiresGrad]
    let loss = try Tensor.filled([], total * scale, x.elementType)
    return Variable.record(name, loss, [self, target]) { g in
      let factor = g.scalarValue * scale
      return try needs.enumerated().map { index, needed in
        guard needed else { return nil }
        return x.elementType == .float64
          ? try lossGradient(function, x, t, factor, ofTarget: index == 1, Double.self)
          : try lossGradient(function, x, t, factor, ofTarget: index == 1, Float.self)
      }
    }
  }
}

extension Variable {
  /// One loss for each element.
  private func unreducedLoss<F: LossFunction>(
    _ name: String, _ function: F.Type, _ x: Tensor, _ t: Tensor, _ target: Variable
  ) throws -> Variable {
    let isDouble = x.elementType == .float64
    let losses =
      isDouble
      ? try lossMap(x, t, Double.self) { F.value($0, $1) } : try lossMap(x, t, Float.self) { F.value($0, $1) }
    let needs = [requiresGrad, target.requiresGrad]
    return Variable.record(name, losses, [self, target]) { g in
      let g = try g.ordered(x.format)
      return try needs.enumerated().map { index, needed in
        guard needed else { return nil }
        func slope(_ a: Double, _ b: Double) -> Double { index == 1 ? F.targetSlope(a, b) : F.slope(a, b) }
        let slopes = isDouble ? try lossMap(x, t, Double.self, slope) : try lossMap(x, t, Float.self, slope)
        return isDouble
          ? try lossMap(g, slopes, Double.self) { $0 * $1 } : try lossMap(g, slopes, Float.self) { $0 * $1 }
      }
    }
  }
}

private func lossMap<T: ConvScalar>(
  _ x: Tensor, _ t: Tensor, _: T.Type, _ function: (Double, Double) -> Double
) throws -> Tensor {
  var result = try Tensor(uninitialized: x.shape, elementType: T.elementType, format: x.format)
  x.withUnsafePointer(as: T.self) { x0 in
    t.withUnsafePointer(as: T.self) { t0 in
      result.withUnsafeMutablePointer(as: T.self) { y in
        forEachChunk(x.count) { range in
          for i in range { y[i] = T(function(Double(x0[i]), Double(t0[i]))) }
        }
      }
    }
  }
  return result
}

/// A loss of one element.
private protocol LossFunction {
  static func value(_ x: Double, _ t: Double) -> Double
  static func slope(_ x: Double, _ t: Double) -> Double
  static func targetSlope(_ x: Double, _ t: Double) -> Double
}

private enum SquaredError: LossFunction {
  static func value(_ x: Double, _ t: Double) -> Double { (x - t) * (x - t) }
  static func slope(_ x: Double, _ t: Double) -> Double { 2 * (x - t) }
  static func targetSlope(_ x: Double, _ t: Double) -> Double { 2 * (t - x) }
}

private enum LogisticError: LossFunction {
  static func value(_ x: Double, _ t: Double) -> Double { max(x, 0) - x * t + log1p(exp(-abs(x))) }
  static func slope(_ x: Double, _ t: Double) -> Double { 1 / (1 + exp(-x)) - t }
  static func targetSlope(_ x: Double, _ t: Double) -> Double { -x }
}

private func lossSum<F: LossFunction, T: ConvScalar>(
  _: F.Type, _ x: Tensor, _ t: Tensor, _: T.Type
) -> Double {
  x.withUnsafePointer(as: T.self) { x0 in
    t.withUnsafePointer(as: T.self) { t0 in
      chunkedSum(x.count) { range in
        var sum = 0.0
        for i in range { sum += F.value(Double(x0[i]), Double(t0[i])) }
        return sum
      }
    }
  }
}

private func lossGradient<F: LossFunction, T: ConvScalar>(
  _: F.Type, _ x: Tensor, _ t: Tensor, _ factor: Double, ofTarget: Bool, _: T.Type
) throws -> Tensor {
  try lossMap(x, t, T.self) { a, b in factor * (ofTarget ? F.targetSlope(a, b) : F.slope(a, b)) }
}

/// log softmax over the classes of [N, C, …].
func logSoftmaxed<T: ConvScalar>(_ x: Tensor, _: T.Type) throws -> Tensor {
  let (batch, classes, positions, channel, step) = x.channelLayout
  var y = try Tensor(uninitialized: x.shape, elementType: T.elementType, format: x.format)
  guard classes > 0 else { return y }
  x.withUnsafePointer(as: T.self) { x0 in
    y.withUnsafeMutablePointer(as: T.self) { y0 in
      forEachTask(batch * positions, work: x.count) { place in
        let start = place / positions * classes * positions + place % positions * step
        let (x, y) = (x0 + start, y0 + start)
        var largest = x[0]
        for k in 1..<classes where x[k * channel] > largest { largest = x[k * channel] }
        var sum = 0.0
        for k in 0..<classes { sum += exp(Double(x[k * channel]) - Double(largest)) }
        let shift = Double(largest) + log(sum)
        for k in 0..<classes { y[k * channel] = T(Double(x[k * channel]) - shift) }
      }
    }
  }
  return y
}

/// dx = g − softmax(x)·Σg.
private func logSoftmaxGradient<T: ConvScalar>(_ g: Tensor, _ y: Tensor, _: T.Type) throws -> Tensor {
  let (rows, classes) = (y.shape[0], y.shape[1])
  var dx = try Tensor(uninitialized: y.shape, elementType: T.elementType)
  g.withUnsafePointer(as: T.self) { g0 in
    y.withUnsafePointer(as: T.self) { y0 in
      dx.withUnsafeMutablePointer(as: T.self) { dx0 in
        forEachTask(rows, work: y.count) { row in
          let start = row * classes
          var sum = 0.0
          for i in start..<start + classes { sum += Double(g0[i]) }
          for i in start..<start + classes { dx0[i] = T(Double(g0[i]) - exp(Double(y0[i])) * sum) }
        }
      }
    }
  }
  return dx
}
