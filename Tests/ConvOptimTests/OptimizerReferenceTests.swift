import ConvAutograd
import ConvCore
import ConvHarness
import ConvOptim
import Testing

/// Update rules against PyTorch's stored numbers, step by step, in float64 and float32.
@Suite struct OptimizerReferenceTests {
  @Test(arguments: ["sgd", "adam", "adamw"])
  func thereAreCases(_ operation: String) throws {
    #expect(try ReferenceFile.cases(operation).count >= 3, "\(operation)")
  }

  private func optimizer(_ stored: ReferenceFile, _ parameters: [Variable]) throws -> any Optimizer {
    let rate = try stored.number("lr")
    let decay = try stored.number("weight_decay")
    if stored.file.metadata["op"] == "sgd" {
      return try SGD(
        parameters, learningRate: rate, momentum: stored.number("momentum"),
        dampening: stored.number("dampening"), weightDecay: decay, nesterov: stored.flag("nesterov"))
    }
    let betas = try #require(stored.attributes["betas"]?.array).compactMap(\.number)
    try #require(betas.count == 2)
    let eps = try stored.number("eps")
    if stored.file.metadata["op"] == "adam" {
      return try Adam(
        parameters, learningRate: rate, betas: (betas[0], betas[1]), eps: eps, weightDecay: decay)
    }
    return try AdamW(
      parameters, learningRate: rate, betas: (betas[0], betas[1]), eps: eps, weightDecay: decay)
  }

  /// Row `step` of a tensor [T, …].
  private func row(_ tensor: Tensor, _ step: Int) throws -> [Double] {
    let values = try tensor.converted(to: .float64).values(as: Double.self)
    let size = values.count / tensor.shape[0]
    return Array(values[step * size..<(step + 1) * size])
  }

  @Test(
    arguments: try ReferenceFile.cases("sgd") + ReferenceFile.cases("adam") + ReferenceFile.cases("adamw"),
    [ElementType.float64, .float32])
  func steps(_ stored: ReferenceFile, _ type: ElementType) throws {
    var parameters: [Variable] = []
    while stored.file.tensors["param.\(parameters.count)"] != nil {
      parameters.append(
        Variable(try stored.given("param.\(parameters.count)", type), requiresGrad: true))
    }
    #expect(!parameters.isEmpty)
    let steps = Int(try stored.number("steps"))
    #expect(steps >= 5)
    var rule = try optimizer(stored, parameters)
    for step in 0..<steps {
      for (index, parameter) in parameters.enumerated() {
        let gradient = try row(stored.file.tensor("grad.\(index)"), step)
        parameter.grad = try Tensor(gradient, shape: parameter.shape).converted(to: type)
      }
      if step == steps / 2 {
        // Resuming from the saved state must change nothing.
        let resumed = try optimizer(stored, parameters)
        try resumed.loadStateDict(rule.stateDict())
        rule = resumed
      }
      try rule.step()
      for (index, parameter) in parameters.enumerated() {
        let expected = try row(stored.file.tensor("param_after.\(index)"), step)
        let found = try parameter.value.converted(to: .float64).values(as: Double.self)
        let largest = expected.reduce(1e-3) { max($0, abs($1)) }
        let allowed = (type == .float64 ? 1e-13 : 2e-6) * largest
        for (entry, (want, have)) in zip(expected, found).enumerated() where !(abs(want - have) <= allowed) {
          Issue.record(
            """
            \(stored.name), \(type.rawValue): parameter \(index)[\(entry)] after step \(step) is \(have), \
            PyTorch says \(want), allowed is ±\(allowed)
            """)
          return
        }
      }
    }
  }
}
