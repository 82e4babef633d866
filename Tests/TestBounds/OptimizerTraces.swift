import Foundation

/// One parameter element under SGD, as the library steps it.
public struct SGDTrace {
  /// The rule's numbers; in float32 each is rounded once for all steps.
  public var rate, momentum, dampening, weightDecay: Double
  /// Looks ahead.
  public var nesterov: Bool

  /// All numbers of the rule.
  public init(rate: Double, momentum: Double, dampening: Double, weightDecay: Double, nesterov: Bool) {
    (self.rate, self.momentum, self.dampening) = (rate, momentum, dampening)
    (self.weightDecay, self.nesterov) = (weightDecay, nesterov)
  }

  /// The elements after each step: `gradients` [steps][elements].
  public func steps(_ tape: RoundingTape, _ start: [Double], _ gradients: [[Double]]) -> [[Traced]] {
    let (rate, decay) = (tape.stored(rate), tape.stored(weightDecay))
    let keep = tape.stored(momentum)
    let later = tape.stored(tape.inDouble { tape.exact(1) - tape.exact(dampening) })
    var parameters = tape.exact(start)
    var velocities: [Traced]?
    return gradients.map { gradients in
      let slopes = zip(parameters, gradients).map { tape.exact($1) + decay * $0 }
      var moves = slopes
      if momentum != 0 {
        let now = velocities?.indices.map { keep * velocities![$0] + later * slopes[$0] } ?? slopes
        moves = nesterov ? zip(slopes, now).map { $0 + keep * $1 } : now
        velocities = now
      }
      parameters = zip(parameters, moves).map { $0 - rate * $1 }
      return parameters
    }
  }
}

/// Elements of parameters under Adam or AdamW, as the library steps them.
public struct AdamTrace {
  /// The rule's numbers.
  public var rate, beta1, beta2, eps, weightDecay: Double
  /// AdamW's decay of the weights themselves; division by the largest second moment.
  public var isDecoupled: Bool, amsgrad: Bool

  /// All numbers of the rule.
  public init(
    rate: Double, beta1: Double, beta2: Double, eps: Double, weightDecay: Double, isDecoupled: Bool,
    amsgrad: Bool = false
  ) {
    (self.rate, self.beta1, self.beta2, self.eps) = (rate, beta1, beta2, eps)
    (self.weightDecay, self.isDecoupled, self.amsgrad) = (weightDecay, isDecoupled, amsgrad)
  }

  /// The elements after each step: `gradients` [steps][elements].
  public func steps(_ tape: RoundingTape, _ start: [Double], _ gradients: [[Double]]) -> [[Traced]] {
    func number(_ body: () -> Traced) -> Traced { tape.stored(tape.inDouble(body)) }
    let one = tape.exact(1)
    let new1 = number { one - tape.exact(beta1) }
    let (keep2, new2) = (tape.stored(beta2), number { one - tape.exact(beta2) })
    let eps = tape.stored(eps)
    let keep = number { isDecoupled ? one - tape.exact(rate) * tape.exact(weightDecay) : one }
    let decay = tape.stored(isDecoupled ? 0 : weightDecay)
    var (parameters, top) = (tape.exact(start), tape.exact(start.map { _ in 0 }))
    var (means, squares) = (top, top)
    return gradients.enumerated().map { step, gradients in
      let (power1, power2) = (pow(beta1, Double(step + 1)), pow(beta2, Double(step + 1)))
      // `pow` is within one unit in the last place.
      let width = number {
        tape.exact(rate) / (one - tape.exact(beta1).map(to: power1, derivative: 0, roundings: 2))
      }
      let root = number {
        (one - tape.exact(beta2).map(to: power2, derivative: 0, roundings: 2)).squareRoot()
      }
      for i in parameters.indices {
        let start = parameters[i] * keep
        let gradient = tape.exact(gradients[i]) + decay * start
        means[i] = means[i] + new1 * (gradient - means[i])
        squares[i] = keep2 * squares[i] + new2 * gradient * gradient
        if amsgrad {
          if step > 0 { tape.decide(squares[i] - top[i]) }
          top[i] = squares[i].value > top[i].value ? squares[i] : top[i]
        }
        let denominator = (amsgrad ? top[i] : squares[i]).squareRoot() / root + eps
        parameters[i] = start - width * means[i] / denominator
      }
      return parameters
    }
  }
}
