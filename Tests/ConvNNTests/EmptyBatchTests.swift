import ConvAutograd
import ConvCore
import ConvNN
import ConvNaive
import ConvOptim
import ConvTestSupport
import Testing

/// Batches without images: what PyTorch 2.15 gives for each, or refuses.
@Suite struct EmptyBatchTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let name: String
    let input: [Int], output: [Int]
    let layer: @Sendable () throws -> any Module
    var testDescription: String { "\(name) \(input)" }
  }

  static let cases = [
    Case(name: "Conv1d", input: [0, 3, 8], output: [0, 4, 6]) { try Conv1d(3, 4, kernelSize: 3) },
    Case(name: "Conv2d", input: [0, 4, 8, 9], output: [0, 6, 3, 4]) {
      try Conv2d(4, 6, kernelSize: 3, stride: 2, groups: 2)
    },
    Case(name: "Conv3d", input: [0, 1, 4, 5, 6], output: [0, 2, 4, 5, 6]) {
      try Conv3d(1, 2, kernelSize: 3, padding: 1, bias: false)
    },
    Case(name: "ConvTranspose1d", input: [0, 3, 8], output: [0, 4, 10]) {
      try ConvTranspose1d(3, 4, kernelSize: 3)
    },
    Case(name: "ConvTranspose2d", input: [0, 3, 8, 8], output: [0, 4, 17, 17]) {
      try ConvTranspose2d(3, 4, kernelSize: 3, stride: 2)
    },
    Case(name: "ConvTranspose3d", input: [0, 1, 2, 2, 2], output: [0, 2, 5, 5, 5]) {
      try ConvTranspose3d(1, 2, kernelSize: 2, outputPadding: 1, dilation: 2)
    },
    Case(name: "Linear", input: [0, 3], output: [0, 4]) { try Linear(3, 4) },
    Case(name: "Linear", input: [0, 5, 3], output: [0, 5, 4]) { try Linear(3, 4) },
    Case(name: "Linear", input: [5, 0, 3], output: [5, 0, 4]) { try Linear(3, 4, bias: false) },
    Case(name: "MaxPool2d", input: [0, 3, 8, 8], output: [0, 3, 4, 4]) { MaxPool2d(kernelSize: 2) },
    Case(name: "MaxPool2d", input: [0, 3, 8, 8], output: [0, 3, 6, 6]) {
      MaxPool2d(kernelSize: 3, stride: 1)
    },
    Case(name: "AvgPool2d", input: [0, 3, 8, 8], output: [0, 3, 4, 4]) { AvgPool2d(kernelSize: 2) },
    Case(name: "BatchNorm2d", input: [0, 3, 8, 8], output: [0, 3, 8, 8]) { try BatchNorm2d(3) },
    Case(name: "ReLU", input: [0, 3], output: [0, 3]) { ReLU() },
    Case(name: "ReLU6", input: [0, 3, 2, 2], output: [0, 3, 2, 2]) { ReLU6() },
    Case(name: "Tanh", input: [0, 2], output: [0, 2]) { Tanh() },
    Case(name: "Sigmoid", input: [0], output: [0]) { Sigmoid() },
    Case(name: "Flatten", input: [0, 3, 8, 8], output: [0, 192]) { Flatten() },
    Case(name: "Flatten", input: [3, 0, 8, 8], output: [3, 0]) { Flatten() },
    Case(name: "Dropout", input: [0, 3], output: [0, 3]) { try Dropout(p: 0.5) },
    Case(name: "Sequential", input: [0, 3, 8, 8], output: [0, 5]) {
      Sequential(
        try Conv2d(3, 4, kernelSize: 3, padding: 1), try BatchNorm2d(4), ReLU(), MaxPool2d(kernelSize: 2),
        Flatten(),
        try Linear(64, 5))
    },
  ]

  /// Shapes, and gradients of zeros for what has some; no engine is asked.
  @Test(arguments: cases, [ElementType.float32, .float64])
  func layers(_ test: Case, _ type: ElementType) throws {
    let asked = FakeBackend("asked", declining: { _ in "an empty batch needs no engine" })
    try withBackend(asked) {
      for (training, format) in [(true, MemoryFormat.nchw), (true, .nhwc), (false, .nchw)] {
        let layer = try test.layer()
        try layer.convert(to: type)
        layer.train(training)
        let input = Variable(
          try Tensor.zeros(test.input, elementType: type, format: format), requiresGrad: true)
        let output = try layer(input)
        #expect(output.shape == test.output)
        try output.sum().backward()
        #expect(input.grad?.shape == test.input && input.grad?.elementType == type)
        for (name, parameter) in layer.namedParameters() {
          let gradient = try #require(parameter.grad, "\(name)")
          #expect(gradient.shape == parameter.shape && gradient.elementType == type)
          #expect(
            try gradient.converted(to: .float64).values(as: Double.self).allSatisfy { $0 == 0 }, "\(name)")
        }
      }
    }
  }

  @Test func fusedLayers() throws {
    try withBackend(.naive) {
      let input = Variable(try Tensor.zeros([0, 3, 9, 8]), requiresGrad: true)
      let conv = try Conv2d(3, 4, kernelSize: 3, padding: 1)
      let pooled = try conv(input, relu: true, maxPool: MaxPool2d(kernelSize: 2))
      #expect(pooled.shape == [0, 4, 4, 4])
      #expect(try conv(input, relu: true, maxPool: MaxPool2d(kernelSize: 3)).shape == [0, 4, 3, 2])
      #expect(try Linear(3, 2)(Variable(Tensor.zeros([0, 3])), relu: true).shape == [0, 2])
      #expect(try BatchNorm2d(3)(input, adding: input, relu: true).shape == [0, 3, 9, 8])
      try pooled.sum().backward()
      #expect(conv.weight.grad?.values(as: Float.self) == [Float](repeating: 0, count: 108))
    }
  }

  /// Counted, but nothing is learnt from it.
  @Test func runningStatisticsStayAsTheyAre() throws {
    let layer = try BatchNorm2d(2)
    _ = try layer(Variable(Tensor([1, 3, 5, 9] as [Float], shape: [1, 2, 1, 2])))
    let before = (
      layer.runningMean.value.values(as: Float.self), layer.runningVariance.value.values(as: Float.self)
    )
    _ = try layer(Variable(Tensor.zeros([0, 2, 1, 2])))
    #expect(layer.runningMean.value.values(as: Float.self) == before.0)
    #expect(layer.runningVariance.value.values(as: Float.self) == before.1)
    #expect(layer.batchesTracked.value.scalar(as: Int64.self) == 2)
  }

  /// What PyTorch refuses.
  @Test func refusals() throws {
    func refuse(_ layer: any Module, _ shape: [Int]) {
      #expect(throws: ConvError.self, "\(layer) \(shape)") {
        try withBackend(.naive) { try layer(Variable(Tensor.zeros(shape))) }
      }
    }
    refuse(try Conv2d(3, 4, kernelSize: 3), [0, 3, 2, 2])
    refuse(try Conv2d(3, 4, kernelSize: 3), [0, 2, 8, 8])
    refuse(try Conv2d(3, 4, kernelSize: 3), [2, 0, 8, 8])
    refuse(try Conv2d(3, 4, kernelSize: 3, padding: 2), [2, 3, 0, 8])
    refuse(try ConvTranspose2d(3, 4, kernelSize: 3, padding: 3), [0, 3, 2, 2])
    refuse(MaxPool2d(kernelSize: 2), [0, 3, 1, 1])
    refuse(MaxPool2d(kernelSize: 2), [2, 0, 8, 8])
    refuse(try BatchNorm2d(3), [0, 2, 4, 4])
    refuse(try Linear(3, 4), [0, 2])
  }

  @Test(arguments: Reduction.allCases) func losses(_ reduction: Reduction) throws {
    let input = Variable(try Tensor.zeros([0, 3]), requiresGrad: true)
    let target = Variable(try Tensor.zeros([0, 3]))
    let all = try [
      CrossEntropyLoss(reduction: reduction)(input, Tensor([Int64](), shape: [0])),
      MSELoss(reduction: reduction)(input, target), BCEWithLogitsLoss(reduction: reduction)(input, target),
    ]
    for (index, loss) in all.enumerated() {
      input.zeroGrad()
      switch reduction {
      case .mean: #expect(loss.value.scalar(as: Float.self).isNaN)
      case .sum: #expect(loss.value.scalar(as: Float.self) == 0)
      case .none: #expect(loss.shape == (index == 0 ? [0] : [0, 3]))
      }
      try loss.sum().backward()
      #expect(input.grad?.shape == [0, 3])
    }
  }

  @Test func arithmetic() throws {
    let empty = Variable(try Tensor.zeros([0, 3]), requiresGrad: true)
    let row = Variable(try Tensor([1, 2, 3] as [Float], shape: [1, 3]), requiresGrad: true)
    let product = try empty * row
    #expect(product.shape == [0, 3])
    try product.sum().backward()
    #expect(row.grad?.values(as: Float.self) == [0, 0, 0])
    #expect(try (Variable(Tensor.zeros([1])) + Variable(Tensor.zeros([0]))).shape == [0])
    #expect(throws: ConvError.self) { try empty + Variable(Tensor.zeros([2, 3])) }
    #expect(try empty.mean().value.scalar(as: Float.self).isNaN)
    #expect(try empty.sum().value.scalar(as: Float.self) == 0)
    #expect(try empty.reshape([-1, 3]).shape == [0, 3])
    #expect(try empty.reshape([5, 0]).shape == [5, 0])
    #expect(throws: ConvError.self) { try empty.reshape([0, -1]) }
    #expect(try empty.transpose2d().shape == [3, 0])
    #expect(try empty.logSoftmax().shape == [0, 3])
    #expect(try empty.matmul(Variable(Tensor.zeros([3, 4]))).shape == [0, 4])
    let sums = try Variable(Tensor.zeros([2, 0])).matmul(Variable(Tensor.zeros([0, 4])))
    #expect(sums.value.values(as: Float.self) == [Float](repeating: 0, count: 8))
    for format in MemoryFormat.allCases {
      let images = Variable(try Tensor.zeros([0, 64, 3, 3], format: format), requiresGrad: true)
      #expect(try images.globalAvgPool2d().shape == [0, 64, 1, 1])
      let flat = Variable(try Tensor.zeros([2, 64, 0, 3], format: format), requiresGrad: true)
      let means = try flat.globalAvgPool2d()
      #expect(means.value.values(as: Float.self).allSatisfy { $0.isNaN } && means.shape == [2, 64, 1, 1])
      try means.sum().backward()
      #expect(flat.grad?.shape == [2, 64, 0, 3])
    }
  }

  /// Gradients of zeros move nothing, and a step with an empty batch is a step.
  @Test func steps() throws {
    let layer = try Conv2d(2, 3, kernelSize: 3)
    let before = layer.weight.value.values(as: Float.self)
    let optimizer = try SGD(layer.parameters(), learningRate: 1)
    let loss = try withBackend(.naive) { try layer(Variable(Tensor.zeros([0, 2, 5, 5]))).sum() }
    try loss.backward()
    try optimizer.step()
    #expect(layer.weight.value.values(as: Float.self) == before)
  }
}
