import ConvAutograd
import ConvCore
import ConvHarness
import ConvOptim
import ConvTestSupport
import TestBounds
import Testing

/// Update rules against PyTorch's stored numbers, step by step, in float64 and float32. What they may differ is derived from the
/// roundings of each step and of the state before it (`RoundingTape`).
@Suite struct OptimizerReferenceTests {
  @Test(arguments: ["sgd", "adam", "adamw"])
  func thereAreCases(_ operation: String) throws {
    #expect(try ReferenceFile.cases(operation).count >= 3, "\(operation)")
  }

  static func cases() throws -> [ReferenceFile] {
    try ["sgd", "adam", "adamw"].flatMap { try ReferenceFile.cases($0) }
  }

  /// The numbers of a rule.
  private struct Rule {
    var rate, momentum, dampening, beta1, beta2, eps, decay: Double
    var nesterov: Bool
    let op: String

    init(_ stored: ReferenceFile) throws {
      op = stored.op
      rate = try stored.number("lr")
      decay = try stored.number("weight_decay")
      let isSGD = op == "sgd"
      momentum = isSGD ? try stored.number("momentum") : 0
      dampening = isSGD ? try stored.number("dampening") : 0
      nesterov = isSGD ? try stored.flag("nesterov") : false
      let betas = isSGD ? [0, 0] : try #require(stored.attributes["betas"]?.array).compactMap(\.number)
      try #require(betas.count == 2)
      (beta1, beta2) = (betas[0], betas[1])
      eps = isSGD ? 0 : try stored.number("eps")
    }

    func optimizer(_ parameters: [Variable]) throws -> any Optimizer {
      switch op {
      case "sgd":
        try SGD(
          parameters, learningRate: rate, momentum: momentum, dampening: dampening, weightDecay: decay,
          nesterov: nesterov)
      case "adam":
        try Adam(parameters, learningRate: rate, betas: (beta1, beta2), eps: eps, weightDecay: decay)
      default:
        try AdamW(parameters, learningRate: rate, betas: (beta1, beta2), eps: eps, weightDecay: decay)
      }
    }

    func steps(_ tape: RoundingTape, _ start: [Double], _ gradients: [[Double]]) -> [[Traced]] {
      guard op != "sgd" else {
        return SGDTrace(
          rate: rate, momentum: momentum, dampening: dampening, weightDecay: decay, nesterov: nesterov
        ).steps(tape, start, gradients)
      }
      return AdamTrace(
        rate: rate, beta1: beta1, beta2: beta2, eps: eps, weightDecay: decay, isDecoupled: op == "adamw"
      ).steps(tape, start, gradients)
    }
  }

  /// Rows of a tensor [T, …].
  private func rows(_ tensor: Tensor) throws -> [[Double]] {
    let values = try tensor.converted(to: .float64).values(as: Double.self)
    let size = values.count / tensor.shape[0]
    return (0..<tensor.shape[0]).map { Array(values[$0 * size..<($0 + 1) * size]) }
  }

  private func parameters(_ stored: ReferenceFile) -> Int {
    var count = 0
    while stored.file.tensors["param.\(count)"] != nil { count += 1 }
    return count
  }

  private func bounds(_ stored: ReferenceFile, _ type: ElementType) throws -> RoundingBounds {
    let rule = try Rule(stored)
    return try RoundingBounds(type) { tape in
      var results: [String: [Traced]] = [:]
      for index in 0..<parameters(stored) {
        let start = try stored.given("param.\(index)", .float64).values(as: Double.self)
        results["param_after.\(index)"] = rule.steps(
          tape, start, try rows(stored.file.tensor("grad.\(index)"))
        ).flatMap { $0 }
      }
      return results
    }
  }

  /// All parameters after each step, as they are stored.
  private func results(
    _ stored: ReferenceFile, _ type: ElementType, _ rule: Rule, bits: Int? = nil
  ) throws -> [String: Tensor?] {
    func given(_ values: [Double], _ shape: [Int]) throws -> Tensor {
      try Tensor(values.map { value in bits.map { rounded(value, bits: $0) } ?? value }, shape: shape)
        .converted(to: type)
    }
    let variables = try (0..<parameters(stored)).map { index in
      let tensor = try stored.given("param.\(index)", .float64)
      return Variable(try given(tensor.values(as: Double.self), tensor.shape), requiresGrad: true)
    }
    #expect(!variables.isEmpty)
    let steps = Int(try stored.number("steps"))
    #expect(steps >= 5)
    var found = [[Double]](repeating: [], count: variables.count)
    var optimizer = try rule.optimizer(variables)
    for step in 0..<steps {
      for (index, variable) in variables.enumerated() {
        variable.grad = try given(rows(stored.file.tensor("grad.\(index)"))[step], variable.shape)
      }
      if step == steps / 2 {
        // Resuming from the saved state must change nothing.
        let resumed = try rule.optimizer(variables)
        try resumed.loadStateDict(optimizer.stateDict())
        optimizer = resumed
      }
      try optimizer.step()
      for (index, variable) in variables.enumerated() {
        found[index] += try variable.value.converted(to: .float64).values(as: Double.self)
      }
    }
    return try variables.indices.reduce(into: [:]) { all, index in
      all["param_after.\(index)"] = try Tensor(found[index], shape: [steps] + variables[index].shape)
    }
  }

  @Test(arguments: try cases(), [ElementType.float64, .float32])
  func steps(_ stored: ReferenceFile, _ type: ElementType) throws {
    let bounds = try bounds(stored, type)
    let expected = stored.file.tensors.filter { $0.value.elementType == .float64 }
    #expect(Set(expected.keys) == Set(bounds.allowed.keys), "\(stored)")
    let worst = try bounds.worst(stored, results(stored, type, Rule(stored))).all
    #expect(worst.ratio <= 1, "\(worst)")
    // Bounds far above what happens would judge nothing.
    #expect(type == .float64 || worst.ratio >= 0.1, "\(worst)")
    if type == .float64 {
      let formula = try bounds.worstOfFormula(stored).all
      #expect(formula.ratio <= 1, "the derivation: \(formula)")
    }
  }

  @Test(arguments: try cases())
  func operandsOf11BitsFail(_ stored: ReferenceFile) throws {
    let worst = try bounds(stored, .float32).worst(stored, results(stored, .float32, Rule(stored), bits: 11))
      .all
    #expect(worst.ratio > 1, "\(worst)")
  }

  /// Each number of a rule, a little off.
  @Test(arguments: try cases())
  func wrongConstantsFail(_ stored: ReferenceFile) throws {
    let bounds = try bounds(stored, .float32)
    let constants: [(String, WritableKeyPath<Rule, Double>, Double)] = [
      ("learning rate", \.rate, 0.999), ("momentum", \.momentum, 0.999), ("dampening", \.dampening, 0.999),
      ("beta 1", \.beta1, 0.999), ("beta 2", \.beta2, 0.999), ("eps", \.eps, 0.9), ("decay", \.decay, 0.9),
    ]
    var judged = 0
    for (name, constant, factor) in constants {
      var rule = try Rule(stored)
      // An eps of 1e-8 is below the roundings of √v for gradients of ordinary size.
      if rule[keyPath: constant] == 0 || (name == "eps" && rule.eps < 1e-6) { continue }
      rule[keyPath: constant] *= factor
      let worst = try bounds.worst(stored, results(stored, .float32, rule)).all
      #expect(worst.ratio > 1, "\(name): \(worst)")
      judged += 1
    }
    #expect(judged >= 1, "\(stored)")
  }
}
