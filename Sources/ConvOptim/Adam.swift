import ConvAutograd
import ConvCore
import Foundation

/// Adam (Kingma & Ba 2015), as PyTorch's `torch.optim.Adam`: weight decay is added to the gradient.
///
/// m ← β₁m + (1 − β₁)g; v ← β₂v + (1 − β₂)g²; p ← p − learningRate/(1 − β₁ᵗ) · m / (√v/√(1 − β₂ᵗ) + eps). AMSGrad uses
/// the largest v so far (Reddi et al. 2018).
public final class Adam: AdamOptimizer {
  /// With PyTorch's defaults.
  ///
  /// - Throws: `ConvError.operand` for values out of range, no parameters, or the same one twice.
  public init(
    _ parameters: [Variable], learningRate: Double = 1e-3, betas: (Double, Double) = (0.9, 0.999),
    eps: Double = 1e-8, weightDecay: Double = 0, amsgrad: Bool = false
  ) throws {
    try super.init(parameters, learningRate, betas, eps, weightDecay, amsgrad, isDecoupled: false)
  }
}

/// AdamW (Loshchilov & Hutter 2019), as PyTorch's `torch.optim.AdamW`: p ← p·(1 − learningRate·weightDecay), then Adam.
public final class AdamW: AdamOptimizer {
  /// With PyTorch's defaults.
  ///
  /// - Throws: `ConvError.operand` for values out of range, no parameters, or the same one twice.
  public init(
    _ parameters: [Variable], learningRate: Double = 1e-3, betas: (Double, Double) = (0.9, 0.999),
    eps: Double = 1e-8, weightDecay: Double = 1e-2, amsgrad: Bool = false
  ) throws {
    try super.init(parameters, learningRate, betas, eps, weightDecay, amsgrad, isDecoupled: true)
  }
}

/// What `Adam` and `AdamW` share.
public class AdamOptimizer: Optimizer {
  public let parameters: [Variable]
  public var learningRate: Double
  /// Decay of the first and the second moment.
  public let betas: (Double, Double)
  /// Added to the denominator, and the decay of the weights.
  public let eps: Double, weightDecay: Double
  /// Divides by the largest second moment so far.
  public let amsgrad: Bool
  private let isDecoupled: Bool
  private var state: OptimizerState

  fileprivate init(
    _ parameters: [Variable], _ learningRate: Double, _ betas: (Double, Double), _ eps: Double,
    _ weightDecay: Double, _ amsgrad: Bool, isDecoupled: Bool
  ) throws {
    try requireDistinct(parameters)
    try require("learningRate", learningRate, 0...Double.greatestFiniteMagnitude)
    try require("eps", eps, 0...Double.greatestFiniteMagnitude)
    try require("weightDecay", weightDecay, 0...Double.greatestFiniteMagnitude)
    try require("the first beta", betas.0, 0...1.0.nextDown)
    try require("the second beta", betas.1, 0...1.0.nextDown)
    self.parameters = parameters
    self.learningRate = learningRate
    self.betas = betas
    self.eps = eps
    self.weightDecay = weightDecay
    self.amsgrad = amsgrad
    self.isDecoupled = isDecoupled
    state = OptimizerState(count: parameters.count)
  }

  private var names: [String] {
    ["exp_avg", "exp_avg_sq"] + (amsgrad ? ["max_exp_avg_sq"] : [])
  }

  public func step() throws {
    let gradients = try checkedGradients(parameters)
    for (index, gradient) in gradients.enumerated() where gradient != nil {
      for name in names { try state.prepare(name, index, like: parameters[index].value) }
    }
    for (index, gradient) in gradients.enumerated() {
      guard let gradient else { continue }
      state.steps[index] += 1
      let rule = AdamRule(
        step: state.steps[index], learningRate: learningRate, betas: betas, eps: eps,
        weightDecay: weightDecay, isDecoupled: isDecoupled)
      if gradient.elementType == .float64 {
        apply(rule, gradient, index, Double.self)
      } else {
        apply(rule, gradient, index, Float.self)
      }
    }
  }

  private func apply<T: ConvScalar>(_ rule: AdamRule, _ gradient: Tensor, _ index: Int, _: T.Type) {
    let count = gradient.count
    // Taken out of the dictionary so that the pointers below stay unique owners of their storage.
    var moments = state.tensors[index]
    state.tensors[index] = [:]
    defer { state.tensors[index] = moments }
    guard var first = moments.removeValue(forKey: "exp_avg"),
      var second = moments.removeValue(forKey: "exp_avg_sq")
    else { return }
    var largest = moments.removeValue(forKey: "max_exp_avg_sq")
    gradient.withUnsafePointer(as: T.self) { g in
      parameters[index].value.withUnsafeMutablePointer(as: T.self) { p in
        first.withUnsafeMutablePointer(as: T.self) { m in
          second.withUnsafeMutablePointer(as: T.self) { v in
            let bounded: Void? = largest?.withUnsafeMutablePointer(as: T.self) { top in
              forEachChunk(count) { rule.update(p, g, m, v, top, $0) }
            }
            if bounded == nil { forEachChunk(count) { rule.update(p, g, m, v, nil, $0) } }
          }
        }
      }
    }
    moments["exp_avg"] = first
    moments["exp_avg_sq"] = second
    moments["max_exp_avg_sq"] = largest
  }

  /// Those of the formula.
  public var hyperparameters: [String: String] {
    [
      "learningRate": "\(learningRate)", "betas": "\(betas)", "eps": "\(eps)",
      "weightDecay": "\(weightDecay)", "amsgrad": "\(amsgrad)",
    ]
  }

  public func stateDict() throws -> [String: Tensor] { try state.dictionary(learningRate: learningRate) }

  public func loadStateDict(_ dictionary: [String: Tensor]) throws {
    (state, learningRate) = try OptimizerState.read(dictionary, names: Set(names), parameters: parameters)
  }
}

/// One step as a pure function of a parameter's elements, its gradient and its moments.
struct AdamRule {
  var beta1, beta2, eps, weightDecay, learningRate: Double
  var isDecoupled: Bool
  /// learningRate / (1 − β₁ᵗ) and √(1 − β₂ᵗ).
  var stepSize, correction: Double

  init(
    step: Int, learningRate: Double, betas: (Double, Double), eps: Double, weightDecay: Double,
    isDecoupled: Bool
  ) {
    (beta1, beta2) = betas
    self.eps = eps
    self.weightDecay = weightDecay
    self.learningRate = learningRate
    self.isDecoupled = isDecoupled
    stepSize = learningRate / (1 - pow(beta1, Double(step)))
    correction = (1 - pow(beta2, Double(step))).squareRoot()
  }

  /// Factor of the parameter before the step: decoupled weight decay.
  private var keep: Double { isDecoupled ? 1 - learningRate * weightDecay : 1 }
  /// Factor of the parameter in its gradient: coupled weight decay.
  private var decay: Double { isDecoupled ? 0 : weightDecay }

  /// - Parameter top: the largest second moments so far, with AMSGrad.
  @inline(__always)
  func update<T: ConvScalar>(
    _ p: UnsafeMutablePointer<T>, _ g: UnsafePointer<T>, _ m: UnsafeMutablePointer<T>,
    _ v: UnsafeMutablePointer<T>, _ top: UnsafeMutablePointer<T>?, _ range: Range<Int>
  ) {
    if T.self == Float.self && top == nil {
      updateFloats(p, g, m, v, range)
      return
    }
    let (new1, keep2, new2) = (T(1 - beta1), T(beta2), T(1 - beta2))
    let (rate, root, small) = (T(stepSize), T(correction), T(eps))
    let (keep, decay) = (T(keep), T(decay))
    for i in range {
      let start = p[i] * keep
      let gradient = g[i] + decay * start
      let mean = m[i] + new1 * (gradient - m[i])
      var square = keep2 * v[i] + new2 * gradient * gradient
      m[i] = mean
      v[i] = square
      if let top {
        square = max(top[i], square)
        top[i] = square
      }
      p[i] = start - rate * mean / (square.squareRoot() / root + small)
    }
  }

  /// float32 by the vectorised kernel: the same formula.
  private func updateFloats<T: ConvScalar>(
    _ p: UnsafeMutablePointer<T>, _ g: UnsafePointer<T>, _ m: UnsafeMutablePointer<T>,
    _ v: UnsafeMutablePointer<T>, _ range: Range<Int>
  ) {
    func floats(_ pointer: UnsafeMutablePointer<T>) -> UnsafeMutablePointer<Float> {
      UnsafeMutableRawPointer(pointer + range.lowerBound).assumingMemoryBound(to: Float.self)
    }
    Elementwise.adam(
      count: range.count,
      .init(
        keep: Float(keep), decay: Float(decay), new1: Float(1 - beta1), keep2: Float(beta2),
        new2: Float(1 - beta2), rate: Float(stepSize), root: Float(correction), eps: Float(eps)),
      parameters: floats(p),
      gradients: UnsafeRawPointer(g + range.lowerBound).assumingMemoryBound(to: Float.self),
      first: floats(m), second: floats(v))
  }
}
