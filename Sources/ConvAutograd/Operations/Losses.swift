import ConvCore
import Foundation

/// How a loss joins the losses of its elements.
public enum Reduction: String, Sendable, Hashable, CaseIterable {
  /// Their mean: over the batch for cross-entropy, over all elements for the others.
  case mean
  /// Their sum.
  case sum
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

  /// −log softmax(x)[target] of logits [N, C] and class numbers `target` [N] (int64).
  ///
  /// - Throws: `ConvError.operand` for a class outside of 0..<C; `.shapeMismatch`, `.elementTypeMismatch`.
  public func crossEntropy(_ target: Tensor, reduction: Reduction = .mean) throws -> Variable {
    try requireFloating("the input of crossEntropy", value)
    try requireRank("the input of crossEntropy", value, 2)
    let x = value
    let (rows, classes) = (x.shape[0], x.shape[1])
    guard target.shape == [rows] else {
      throw ConvError.shapeMismatch(
        what: "the target of crossEntropy", expected: [rows], found: target.shape)
    }
    try requireType("the target of crossEntropy", target, .int64)
    let labels = target.values(as: Int64.self)
    if let row = labels.firstIndex(where: { $0 < 0 || $0 >= classes }) {
      throw ConvError.operand(
        "the target of crossEntropy is \(labels[row]) at \(row), the classes are 0..<\(classes)")
    }
    let logs =
      x.elementType == .float64 ? try logSoftmaxed(x, Double.self) : try logSoftmaxed(x, Float.self)
    let scale = reduction == .mean ? 1 / Double(rows) : 1
    let total = pickedSum(logs, labels)
    let loss = try Tensor.filled([], -total * scale, x.elementType)
    return Variable.record("crossEntropy", loss, [self]) { g in
      let factor = g.scalarValue * scale
      return [
        logs.elementType == .float64
          ? try crossEntropyGradient(logs, labels, factor, Double.self)
          : try crossEntropyGradient(logs, labels, factor, Float.self)
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
  var result = try Tensor(uninitialized: x.shape, elementType: T.elementType, format: x.format)
  x.withUnsafePointer(as: T.self) { x0 in
    t.withUnsafePointer(as: T.self) { t0 in
      result.withUnsafeMutablePointer(as: T.self) { dx in
        forEachChunk(x.count) { range in
          for i in range {
            let (a, b) = (Double(x0[i]), Double(t0[i]))
            dx[i] = T(factor * (ofTarget ? F.targetSlope(a, b) : F.slope(a, b)))
          }
        }
      }
    }
  }
  return result
}

private func logSoftmaxed<T: ConvScalar>(_ x: Tensor, _: T.Type) throws -> Tensor {
  let (rows, classes) = (x.shape[0], x.shape[1])
  var y = try Tensor(uninitialized: x.shape, elementType: T.elementType)
  x.withUnsafePointer(as: T.self) { x0 in
    y.withUnsafeMutablePointer(as: T.self) { y0 in
      forEachTask(rows, work: x.count) { row in
        let (x, y) = (x0 + row * classes, y0 + row * classes)
        var largest = x[0]
        for i in 1..<max(1, classes) where x[i] > largest { largest = x[i] }
        var sum = 0.0
        for i in 0..<classes { sum += exp(Double(x[i]) - Double(largest)) }
        let shift = Double(largest) + log(sum)
        for i in 0..<classes { y[i] = T(Double(x[i]) - shift) }
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

private func pickedSum(_ logs: Tensor, _ labels: [Int64]) -> Double {
  logs.elementType == .float64 ? pickedSum(logs, labels, Double.self) : pickedSum(logs, labels, Float.self)
}

private func pickedSum<T: ConvScalar>(_ logs: Tensor, _ labels: [Int64], _: T.Type) -> Double {
  logs.withUnsafePointer(as: T.self) { logs0 in
    var sum = 0.0
    for (row, label) in labels.enumerated() { sum += Double(logs0[row * logs.shape[1] + Int(label)]) }
    return sum
  }
}

/// dx = factor · (softmax(x) − onehot(label)).
private func crossEntropyGradient<T: ConvScalar>(
  _ logs: Tensor, _ labels: [Int64], _ factor: Double, _: T.Type
) throws -> Tensor {
  let classes = logs.shape[1]
  var dx = try Tensor(uninitialized: logs.shape, elementType: T.elementType)
  logs.withUnsafePointer(as: T.self) { logs0 in
    dx.withUnsafeMutablePointer(as: T.self) { dx0 in
      forEachTask(labels.count, work: logs.count) { row in
        let label = Int(labels[row])
        for i in 0..<classes {
          let probability = exp(Double(logs0[row * classes + i]))
          dx0[row * classes + i] = T(factor * (probability - (i == label ? 1 : 0)))
        }
      }
    }
  }
  return dx
}
