import ConvCore
import Foundation

extension Variable {
  /// −Σ_c w_c·q_c·log softmax(x)_c of the logits at each position, as PyTorch's `cross_entropy`.
  ///
  /// Logits are [N, C, d₁, …], or [C] of a single position. `target` holds class numbers (int64, [N, d₁, …]), or probabilities
  /// of the classes (of the logits' shape and type). With a smoothing ε, q_c = (1 − ε)·t_c + ε/C, t the target's probabilities or
  /// 1 at its class.
  /// - Parameters:
  ///   - weight: of the classes, [C]; 1 where left out.
  ///   - ignoreIndex: positions with this class number count nowhere: loss and gradient are 0.
  ///   - labelSmoothing: ε, 0 to 1.
  ///   - reduction: the mean divides by the sum of the weights w of the classes that count (of probabilities by the number of
  ///     positions), and is NaN where nothing counts. `none` keeps the target's shape [N, d₁, …].
  /// - Throws: `ConvError.operand` for a class outside of 0..<C that is not ignored; `.shapeMismatch`, `.elementTypeMismatch`.
  public func crossEntropy(
    _ target: Tensor, weight: Tensor? = nil, ignoreIndex: Int = -100, labelSmoothing: Double = 0,
    reduction: Reduction = .mean
  ) throws -> Variable {
    try requireFloating("the input of crossEntropy", value)
    guard value.rank >= 1 else {
      throw ConvError.operand("the input of crossEntropy needs at least 1 dimension, found a scalar")
    }
    guard (0...1).contains(labelSmoothing) else {
      throw ConvError.operand("the label smoothing is \(labelSmoothing), 0 to 1 are possible")
    }
    let x = value.rank == 1 ? try value.reshaped(to: [1, value.count]) : value
    let classes = x.shape[1]
    if let weight {
      guard weight.shape == [classes] else {
        throw ConvError.shapeMismatch(
          what: "the weight of crossEntropy", expected: [classes], found: weight.shape)
      }
      try requireType("the weight of crossEntropy", weight, x.elementType)
    }
    let weights = try weight.map { try $0.converted(to: .float64).values(as: Double.self) }
    let wanted: ClassTargets
    if target.isFloatingPoint {
      try requireSame("the target of crossEntropy", target, as: value)
      let values = target.rank == 1 ? try target.reshaped(to: x.shape) : try target.ordered(x.format)
      wanted = ClassTargets(
        .probabilities(try values.converted(to: .float64)), classes, weights, labelSmoothing)
    } else {
      try requireType("the target of crossEntropy", target, .int64)
      let positions = value.rank == 1 ? [] : [x.shape[0]] + x.shape.dropFirst(2)
      guard target.shape == positions else {
        throw ConvError.shapeMismatch(
          what: "the target of crossEntropy", expected: positions, found: target.shape)
      }
      let labels = target.values(as: Int64.self)
      let ignored = Int64(ignoreIndex)
      if let place = labels.firstIndex(where: { $0 != ignored && ($0 < 0 || $0 >= classes) }) {
        throw ConvError.operand(
          "the target of crossEntropy is \(labels[place]) at \(place), the classes are 0..<\(classes)")
      }
      wanted = ClassTargets(.labels(labels, ignored: ignored), classes, weights, labelSmoothing)
    }
    let logs =
      x.elementType == .float64 ? try logSoftmaxed(x, Double.self) : try logSoftmaxed(x, Float.self)
    let losses =
      logs.elementType == .float64 ? wanted.losses(logs, Double.self) : wanted.losses(logs, Float.self)
    let scale = reduction == .mean ? 1 / wanted.total(positions: losses.count) : 1
    let shape = value.rank == 1 ? [] : [x.shape[0]] + x.shape.dropFirst(2)
    let result =
      reduction == .none
      ? try Tensor(losses, shape: shape).converted(to: x.elementType)
      : try Tensor.filled([], losses.reduce(0, +) * scale, x.elementType)
    let logitsShape = value.shape
    return Variable.record("crossEntropy", result, [self]) { g in
      let factors = try g.converted(to: .float64).values(as: Double.self).map { $0 * scale }
      let dx =
        logs.elementType == .float64
        ? try wanted.gradient(logs, factors, Double.self) : try wanted.gradient(logs, factors, Float.self)
      return [dx.shape == logitsShape ? dx : try dx.reshaped(to: logitsShape)]
    }
  }
}

/// What a cross-entropy wants at each position of logits [N, C, …]: w_c·q_c.
private struct ClassTargets {
  enum Kind {
    /// In the order of [N, …].
    case labels([Int64], ignored: Int64)
    /// float64, of the logits' shape and format.
    case probabilities(Tensor)
  }
  let kind: Kind
  let classes: Int
  let weights: [Double]?
  let smoothing: Double

  init(_ kind: Kind, _ classes: Int, _ weights: [Double]?, _ smoothing: Double) {
    (self.kind, self.classes, self.weights, self.smoothing) = (kind, classes, weights, smoothing)
  }

  private func weight(_ k: Int) -> Double { weights?[k] ?? 1 }

  /// What the mean divides by.
  func total(positions: Int) -> Double {
    guard case .labels(let labels, let ignored) = kind else { return Double(positions) }
    return labels.reduce(0) { $1 == ignored ? $0 : $0 + weight(Int($1)) }
  }

  /// −Σ w·q·log p of each position, in the order of [N, …].
  func losses<T: ConvScalar>(_ logs: Tensor, _: T.Type) -> [Double] {
    let (batch, _, positions, channel, step) = logs.channelLayout
    var losses = [Double](repeating: 0, count: batch * positions)
    logs.withUnsafePointer(as: T.self) { logs in
      losses.withUnsafeMutableBufferPointer { losses in
        forEachTask(losses.count, work: losses.count * classes) { place in
          let start = place / positions * classes * positions + place % positions * step
          var sum = 0.0
          forEachWanted(place, start, channel) { k, wanted in
            sum -= wanted * Double(logs[start + k * channel])
          }
          losses[place] = sum
        }
      }
    }
    return losses
  }

  /// dx = factor · (softmax(x)·Σ w·q − w·q); 0 where a position is ignored.
  func gradient<T: ConvScalar>(_ logs: Tensor, _ factors: [Double], _: T.Type) throws -> Tensor {
    let (batch, _, positions, channel, step) = logs.channelLayout
    var dx = try Tensor(uninitialized: logs.shape, elementType: T.elementType, format: logs.format)
    logs.withUnsafePointer(as: T.self) { logs in
      dx.withUnsafeMutablePointer(as: T.self) { dx in
        forEachTask(batch * positions, work: batch * positions * classes) { place in
          let start = place / positions * classes * positions + place % positions * step
          let factor = factors.count == 1 ? factors[0] : factors[place]
          if isIgnored(place) {
            for k in 0..<classes { dx[start + k * channel] = 0 }
            return
          }
          if case .labels(let labels, _) = kind, smoothing == 0 {
            let label = Int(labels[place])
            let own = factor * weight(label)
            for k in 0..<classes {
              let at = start + k * channel
              dx[at] = T(own * (exp(Double(logs[at])) - (k == label ? 1 : 0)))
            }
            return
          }
          var sum = 0.0
          forEachWanted(place, start, channel) { sum += $1 }
          forEachWanted(place, start, channel) { k, wanted in
            let at = start + k * channel
            dx[at] = T(factor * (exp(Double(logs[at])) * sum - wanted))
          }
        }
      }
    }
    return dx
  }

  private func isIgnored(_ place: Int) -> Bool {
    guard case .labels(let labels, let ignored) = kind else { return false }
    return labels[place] == ignored
  }

  /// Calls `body` for the classes that count at a position, whose first class lies at `start`, with w·q.
  @inline(__always)
  private func forEachWanted(
    _ place: Int, _ start: Int, _ channel: Int, _ body: (_ k: Int, _ wanted: Double) -> Void
  ) {
    let rest = smoothing / Double(classes)
    switch kind {
    case .labels(let labels, let ignored):
      if labels[place] == ignored { return }
      let label = Int(labels[place])
      // Without smoothing other classes do not count, whatever their logits are.
      if smoothing == 0 { return body(label, weight(label)) }
      for k in 0..<classes { body(k, weight(k) * ((k == label ? 1 - smoothing : 0) + rest)) }
    case .probabilities(let values):
      values.withUnsafePointer(as: Double.self) { values in
        for k in 0..<classes {
          body(k, weight(k) * ((1 - smoothing) * values[start + k * channel] + rest))
        }
      }
    }
  }
}
