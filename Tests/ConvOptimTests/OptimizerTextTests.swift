import ConvOptim
import Testing

/// What `print(optimizer)` shows: PyTorch's layout, hyperparameters by name.
@Suite struct OptimizerTextTests {
  private func parameters() throws -> [Variable] {
    [
      Variable(try Tensor.zeros([2]), requiresGrad: true),
      Variable(try Tensor.zeros([3]), requiresGrad: true),
    ]
  }

  @Test func hyperparameters() throws {
    let adam = try Adam(parameters(), learningRate: 0.001, weightDecay: 0.5)
    #expect(
      "\(adam)" == """
        Adam (
        Parameter Group 0
            amsgrad: false
            betas: (0.9, 0.999)
            eps: 1e-08
            learningRate: 0.001
            weightDecay: 0.5
        )
        """)
    #expect("\(try AdamW(parameters()))".hasPrefix("AdamW (\nParameter Group 0\n    amsgrad: false\n"))
    #expect(
      "\(try SGD(parameters(), learningRate: 0.1, momentum: 0.9, nesterov: true))" == """
        SGD (
        Parameter Group 0
            dampening: 0.0
            learningRate: 0.1
            momentum: 0.9
            nesterov: true
            weightDecay: 0.0
        )
        """)
  }

  /// The rate is the present one, which schedules change.
  @Test func presentRate() throws {
    let optimizer = try SGD(parameters(), learningRate: 1)
    StepLR(optimizer, stepSize: 1, gamma: 0.5).step()
    #expect("\(optimizer)".contains("    learningRate: 0.5\n"))
  }
}
