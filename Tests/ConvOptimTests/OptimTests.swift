import ConvAutograd
import ConvCore
import ConvOptim
import Foundation
import TestBounds
import Testing

@Suite struct OptimTests {
  private func parameter(_ values: [Double], gradient: [Double]?) throws -> Variable {
    let variable = Variable(try Tensor(values, shape: [values.count]), requiresGrad: true)
    variable.grad = try gradient.map { try Tensor($0, shape: [$0.count]) }
    return variable
  }

  /// What the roundings of a formula allow between a result and a number that another float64 run gave.
  private func allowed(_ type: ElementType = .float64, _ trace: (RoundingTape) -> Traced) -> Double {
    RoundingBounds(type) { ["result": [trace($0)]] }.allowed["result"]?.first ?? 0
  }

  @Test func clippingScalesToTheNorm() throws {
    let parameters = try [
      parameter([0, 0], gradient: [3, 0]), parameter([0], gradient: nil), parameter([0], gradient: [4]),
    ]
    #expect(gradientNorm(parameters) == 5)
    let unclipped = try clipGradNorm(parameters, maxNorm: 10)
    #expect(unclipped == 5)
    #expect(gradientNorm(parameters) == 5)
    let clipped = try clipGradNorm(parameters, maxNorm: 1)
    #expect(clipped == 5)
    // PyTorch divides by norm + 1e-6.
    let allowed = allowed { tape in
      let factor = tape.exact(1) / (tape.exact(5) + tape.exact(1e-6))
      return tape.sum(products: [3.0, 4].map { (tape.exact($0) * factor, tape.exact($0) * factor) })
        .squareRoot()
    }
    #expect(abs(gradientNorm(parameters) - 5 / (5 + 1e-6)) <= allowed)
    #expect(throws: ConvError.self) { try clipGradNorm(parameters, maxNorm: -1) }
  }

  @Test func schedulesFollowPyTorch() throws {
    let p = try parameter([0], gradient: nil)
    let steps = try SGD([p], learningRate: 0.1)
    let stepLR = StepLR(steps, stepSize: 2, gamma: 0.5)
    let rates = (0..<5).map { _ in
      defer { stepLR.step() }
      return steps.learningRate
    }
    #expect(rates == [0.1, 0.1, 0.05, 0.05, 0.025])
    let cosine = try SGD([p], learningRate: 1)
    let annealing = CosineAnnealingLR(cosine, tMax: 4, etaMin: 0.2)
    for expected in [1, 0.8828427124746191, 0.6, 0.31715728752538104, 0.2] {
      let epoch = Double(annealing.epoch)
      let allowed = allowed { tape in
        let angle =
          tape.exact(.pi).map(to: .pi, derivative: 0, roundings: 1) * tape.exact(epoch) / tape.exact(4)
        let phase = angle.map(to: cos(angle.value), derivative: -sin(angle.value), roundings: 2)
        let least = tape.exact(0.2)
        return least + (tape.exact(1) - least) * (tape.exact(1) + phase) / tape.exact(2)
      }
      #expect(
        abs(cosine.learningRate - expected) <= allowed, "epoch \(annealing.epoch): \(cosine.learningRate)")
      annealing.step()
    }
  }

  @Test func parametersWithoutGradientStay() throws {
    for make in [
      { (p: [Variable]) -> any Optimizer in try SGD(p, learningRate: 1, momentum: 0.9, weightDecay: 1) },
      { try AdamW($0, learningRate: 1) },
    ] as [([Variable]) throws -> any Optimizer] {
      let (still, moved) = (try parameter([7], gradient: nil), try parameter([7], gradient: [1]))
      let optimizer = try make([still, moved])
      try optimizer.step()
      #expect(still.value.values(as: Double.self) == [7])
      #expect(moved.value.values(as: Double.self) != [7])
      optimizer.zeroGrad()
      #expect(moved.grad == nil)
    }
  }

  @Test func amsgradKeepsTheLargestMoment() throws {
    // Large gradient, then small ones: v decays, AMSGrad's does not. Values from PyTorch 2.15 in float64.
    func run(_ amsgrad: Bool) throws -> Double {
      let p = try parameter([1], gradient: nil)
      let optimizer = try Adam([p], learningRate: 0.1, betas: (0.5, 0.5), amsgrad: amsgrad)
      for gradient in [10.0, 0.1, 0.1, 0.1] {
        p.grad = try Tensor([gradient], shape: [1])
        try optimizer.step()
      }
      return p.value.values(as: Double.self)[0]
    }
    for (amsgrad, expected) in [(false, 0.7716498500102067), (true, 0.8279198289023488)] {
      let found = try run(amsgrad)
      let allowed = allowed { tape in
        AdamTrace(
          rate: 0.1, beta1: 0.5, beta2: 0.5, eps: 1e-8, weightDecay: 0, isDecoupled: false, amsgrad: amsgrad
        ).steps(tape, [1], [[10], [0.1], [0.1], [0.1]])[3][0]
      }
      #expect(abs(found - expected) <= allowed, "\(found), \(expected) ± \(allowed)")
    }
  }

  @Test func gradientsThatDoNotFitChangeNothing() throws {
    let first = try parameter([1, 2], gradient: [1, 1])
    let second = try parameter([1, 2], gradient: [1, 1, 1])
    let optimizer = try SGD([first, second], learningRate: 1)
    #expect(throws: ConvError.shapeMismatch(what: "the gradient of parameter 1", expected: [2], found: [3])) {
      try optimizer.step()
    }
    #expect(first.value.values(as: Double.self) == [1, 2])
  }

  @Test func statesThatDoNotFitAreRefused() throws {
    let p = try parameter([1, 2], gradient: [1, 1])
    let adam = try Adam([p])
    try adam.step()
    let good = try adam.stateDict()
    func changed(_ change: (inout [String: Tensor]) throws -> Void) rethrows -> [String: Tensor] {
      var state = good
      try change(&state)
      return state
    }
    let bad = try [
      changed { $0["learning_rate"] = nil }, changed { $0["state.0.exp_avg"] = nil },
      changed { $0["state.1.exp_avg"] = $0["state.0.exp_avg"] }, changed { $0["state.0.momentum"] = p.value },
      changed { $0["state.0.exp_avg"] = try Tensor.zeros([3], elementType: .float64) },
      changed { $0["state.0.exp_avg"] = try Tensor.zeros([2]) }, changed { $0["state.0.step"] = nil },
      changed { $0["state.0.step"] = try Tensor(scalar: -1 as Int64) }, changed { $0["nonsense"] = p.value },
    ]
    for (index, state) in bad.enumerated() {
      #expect(throws: ConvError.self, "case \(index)") { try adam.loadStateDict(state) }
    }
    try adam.loadStateDict(good)
  }

  /// Moments, counters and rate: three steps, a saved state, two more are five steps.
  @Test func aLoadedStateContinuesWhereItWas() throws {
    func made(_ name: String, _ p: Variable) throws -> any Optimizer {
      name == "sgd" ? try SGD([p], learningRate: 0.1, momentum: 0.9, dampening: 0.5) : try Adam([p])
    }
    for name in ["sgd", "adam"] {
      let through = try parameter([1, -2], gradient: nil)
      let optimizer = try made(name, through)
      func step(_ optimizer: any Optimizer, _ p: Variable, _ index: Int) throws {
        p.grad = try Tensor([Double(index) + 0.5, -0.25], shape: [2])
        try optimizer.step()
      }
      for index in 0..<3 { try step(optimizer, through, index) }
      optimizer.learningRate = 0.05
      let resumed = try parameter(through.value.values(as: Double.self), gradient: nil)
      let other = try made(name, resumed)
      try other.loadStateDict(optimizer.stateDict())
      for index in 3..<5 {
        try step(optimizer, through, index)
        try step(other, resumed, index)
      }
      let (expected, found) = (through.value.values(as: Double.self), resumed.value.values(as: Double.self))
      #expect(found == expected, "\(name)")
    }
  }

  @Test(arguments: [1, 3])
  func resultsDoNotDependOnTheThreadCount(_ threads: Int) throws {
    func run(_ threads: Int) throws -> [Float] {
      var context = ConvolutionContext.current
      context.pool = WorkerPool.pool(threads: threads)
      return try context.run {
        let random = Philox(seed: 3)
        let p = Variable(
          try Tensor((0..<100_001).map { Float(random.normal(at: UInt64($0))) }, shape: [100_001]),
          requiresGrad: true)
        let optimizer = try AdamW([p], learningRate: 0.01)
        for _ in 0..<3 {
          p.grad = p.value
          try clipGradNorm([p], maxNorm: 1)
          try optimizer.step()
        }
        return p.value.values(as: Float.self)
      }
    }
    let (some, two) = (try run(threads), try run(2))
    #expect(some == two, "\(threads) threads against 2")
  }

  @Test func longParametersAreUpdatedToTheirLastElement() throws {
    let count = 100_001
    let adam = AdamTrace(rate: 1, beta1: 0.9, beta2: 0.999, eps: 0, weightDecay: 0, isDecoupled: false)
    let ofAdam = allowed(.float32) { adam.steps($0, [3], [[1]])[0][0] }
    for (allowed, make) in [
      (0, { (p: [Variable]) -> any Optimizer in try SGD(p, learningRate: 1) }),
      (0, { try SGD($0, learningRate: 1, momentum: 0.9) }),
      (ofAdam, { try Adam($0, learningRate: 1, eps: 0) }),
    ] as [(Double, ([Variable]) throws -> any Optimizer)] {
      let p = Variable(try Tensor.full([count], 3 as Float), requiresGrad: true)
      p.grad = try Tensor.full([count], 1 as Float)
      try make([p]).step()
      // All three rules step by the learning rate where the first gradient is 1.
      let wrong = p.value.values(as: Float.self).firstIndex { !(abs(Double($0) - 2) <= allowed) }
      #expect(wrong == nil)
    }
  }
}
