import ConvAutograd
import ConvCore

/// Stochastic gradient descent with momentum, as PyTorch's `torch.optim.SGD`.
///
/// g ← g + weightDecay·p; b ← momentum·b + (1 − dampening)·g (b ← g at the first step);
/// g ← g + momentum·b with Nesterov, else b; p ← p − learningRate·g.
public final class SGD: Optimizer {
  public let parameters: [Variable]
  public var learningRate: Double
  /// See the formula.
  public let momentum: Double, dampening: Double, weightDecay: Double
  /// Looks ahead along the momentum. Sutskever et al. 2013.
  public let nesterov: Bool
  private var state: OptimizerState

  /// With PyTorch's defaults.
  ///
  /// - Throws: `ConvError.operand` for values out of range, no parameters, the same one twice, and for Nesterov without
  ///   momentum or with dampening.
  public init(
    _ parameters: [Variable], learningRate: Double = 1e-3, momentum: Double = 0, dampening: Double = 0,
    weightDecay: Double = 0, nesterov: Bool = false
  ) throws {
    try requireDistinct(parameters)
    try require("learningRate", learningRate, 0...Double.greatestFiniteMagnitude)
    try require("momentum", momentum, 0...Double.greatestFiniteMagnitude)
    try require("weightDecay", weightDecay, 0...Double.greatestFiniteMagnitude)
    guard !nesterov || (momentum > 0 && dampening == 0) else {
      throw ConvError.operand(
        "Nesterov needs momentum above 0 and dampening 0, found \(momentum) and \(dampening)")
    }
    self.parameters = parameters
    self.learningRate = learningRate
    self.momentum = momentum
    self.dampening = dampening
    self.weightDecay = weightDecay
    self.nesterov = nesterov
    state = OptimizerState(count: parameters.count)
  }

  public func step() throws {
    let gradients = try checkedGradients(parameters)
    for (index, gradient) in gradients.enumerated() {
      guard let gradient else { continue }
      let parameter = parameters[index]
      if momentum != 0 { try state.prepare("momentum_buffer", index, like: parameter.value) }
      let rule = SGDRule(
        learningRate: learningRate, momentum: momentum, dampening: dampening, weightDecay: weightDecay,
        nesterov: nesterov, isFirst: state.steps[index] == 0)
      if parameter.elementType == .float64 {
        apply(rule, gradient, index, Double.self)
      } else {
        apply(rule, gradient, index, Float.self)
      }
      state.steps[index] += 1
    }
  }

  private func apply<T: ConvScalar>(_ rule: SGDRule, _ gradient: Tensor, _ index: Int, _: T.Type) {
    let count = gradient.count
    if T.self == Float.self {
      applyVectorised(rule, gradient, index)
      return
    }
    gradient.withUnsafePointer(as: T.self) { g in
      parameters[index].value.withUnsafeMutablePointer(as: T.self) { p in
        guard rule.momentum != 0 else {
          forEachChunk(count) { rule.update(p, g, $0) }
          return
        }
        state.tensors[index]["momentum_buffer"]?.withUnsafeMutablePointer(as: T.self) { b in
          forEachChunk(count) { rule.update(p, g, b, $0) }
        }
      }
    }
  }

  /// The rule by the kernel for float32.
  private func applyVectorised(_ rule: SGDRule, _ gradient: Tensor, _ index: Int) {
    let count = gradient.count
    let factors = rule.factors
    gradient.withUnsafePointer(as: Float.self) { g in
      parameters[index].value.withUnsafeMutablePointer(as: Float.self) { p in
        func run(_ v: UnsafeMutablePointer<Float>?) {
          forEachChunk(count) { range in
            let at = range.lowerBound
            Elementwise.sgd(
              count: range.count, factors, parameters: p + at, gradients: g + at, velocity: v.map { $0 + at })
          }
        }
        if rule.momentum == 0 {
          run(nil)
        } else {
          state.tensors[index]["momentum_buffer"]?.withUnsafeMutablePointer(as: Float.self) { run($0) }
        }
      }
    }
  }

  /// Those of the formula.
  public var hyperparameters: [String: String] {
    [
      "learningRate": "\(learningRate)", "momentum": "\(momentum)", "dampening": "\(dampening)",
      "weightDecay": "\(weightDecay)", "nesterov": "\(nesterov)",
    ]
  }

  public func stateDict() throws -> [String: Tensor] { try state.dictionary(learningRate: learningRate) }

  public func loadStateDict(_ dictionary: [String: Tensor]) throws {
    (state, learningRate) = try OptimizerState.read(
      dictionary, names: momentum == 0 ? [] : ["momentum_buffer"], parameters: parameters)
  }
}

/// One step as a pure function of a parameter's elements, its gradient and its momentum.
struct SGDRule {
  var learningRate, momentum, dampening, weightDecay: Double
  var nesterov, isFirst: Bool

  /// Of the gradient in the velocity. The first step takes the gradient whole; the velocity is zero then.
  var take: Double { isFirst ? 1 : 1 - dampening }

  /// The same rule for the kernel.
  var factors: Elementwise.SGDFactors {
    Elementwise.SGDFactors(
      rate: Float(learningRate), decay: Float(weightDecay), keep: Float(momentum), take: Float(take),
      nesterov: nesterov)
  }

  /// Without momentum.
  @inline(__always)
  func update<T: ConvScalar>(_ p: UnsafeMutablePointer<T>, _ g: UnsafePointer<T>, _ range: Range<Int>) {
    let (rate, decay) = (T(learningRate), T(weightDecay))
    for i in range { p[i] -= rate * (g[i] + decay * p[i]) }
  }

  /// With momentum in `b`.
  @inline(__always)
  func update<T: ConvScalar>(
    _ p: UnsafeMutablePointer<T>, _ g: UnsafePointer<T>, _ b: UnsafeMutablePointer<T>, _ range: Range<Int>
  ) {
    let (rate, decay, keep) = (T(learningRate), T(weightDecay), T(momentum))
    let take = T(take)
    if nesterov {
      for i in range {
        let gradient = g[i] + decay * p[i]
        let velocity = keep * b[i] + take * gradient
        b[i] = velocity
        p[i] -= rate * (gradient + keep * velocity)
      }
    } else {
      for i in range {
        let velocity = keep * b[i] + take * (g[i] + decay * p[i])
        b[i] = velocity
        p[i] -= rate * velocity
      }
    }
  }
}
