import ConvAutograd
import ConvCore
import ConvNN
import ConvNaive
import ConvOptim
import ConvTestSupport
import Foundation
import Testing

private final class Block: Module {
  let norm: BatchNorm2d
  let scale: Variable
  let branches: [Conv2d]
  let shortcut: Conv2d?
  init(shortcut: Bool) throws {
    norm = try BatchNorm2d(2)
    scale = Variable(try Tensor.full([1], 1 as Float), requiresGrad: true)
    branches = try [
      Conv2d(2, 2, kernelSize: 3, padding: 1),
      Conv2d(2, 2, kernelSize: [1, 3], padding: [0, 1], bias: false),
    ]
    self.shortcut = shortcut ? try Conv2d(2, 2, kernelSize: 1) : nil
  }
  func forward(_ x: Variable) throws -> Variable {
    let y = try branches[0](norm(x)) + branches[1](x) * scale
    return try shortcut.map { try y + $0(x) } ?? y
  }
}

private final class Net: Module {
  let features: Sequential
  let drop: Dropout
  let head: Linear
  init() throws {
    features = Sequential(
      try Block(shortcut: true), ReLU(), try Block(shortcut: false), MaxPool2d(kernelSize: 2))
    drop = try Dropout(p: 0.5)
    head = try Linear(2 * 2 * 2, 3)
  }
  func forward(_ x: Variable) throws -> Variable { try head(drop(features(x).flatten())) }
}

@Suite struct ModuleTests {
  @Test func keysAreThoseOfPyTorch() throws {
    let seedCNN = try SeedCNN()
    #expect(
      seedCNN.namedParameters().map(\.name) == [
        "conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias", "conv3.weight", "conv3.bias",
        "fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias",
      ])
    let net = try Net()
    #expect(
      net.namedParameters().map(\.name) == [
        "features.0.scale", "features.0.norm.weight", "features.0.norm.bias", "features.0.branches.0.weight",
        "features.0.branches.0.bias", "features.0.branches.1.weight", "features.0.shortcut.weight",
        "features.0.shortcut.bias", "features.2.scale", "features.2.norm.weight", "features.2.norm.bias",
        "features.2.branches.0.weight", "features.2.branches.0.bias", "features.2.branches.1.weight",
        "head.weight", "head.bias",
      ])
    #expect(
      net.namedBuffers().map(\.name) == [
        "features.0.norm.running_mean", "features.0.norm.running_var",
        "features.0.norm.num_batches_tracked", "features.2.norm.running_mean",
        "features.2.norm.running_var", "features.2.norm.num_batches_tracked",
      ])
    #expect(net.parameterCount == 2 * (1 + 4 + 38 + 12) + 6 + 27)
    #expect(seedCNN.parameterCount == 2_152_258)
  }

  @Test func seedCNNStartsFromTheDefinedNumbers() throws {
    // The samples that the stored trajectories begin with come from Python.
    let path = checkout.appendingPathComponent("References/trajectories/seed-cnn-sgd.safetensors")
    let file = try SafetensorsFile(path: path.path)
    let attributes = try JSONValue(parsing: file.metadata["attributes"] ?? "")
    let seed = UInt64(try #require(attributes["seed"]?.integer))
    let later = try SeedCNN()
    try initialize(later, seed: seed)
    for model in [later, try withSeed(seed) { try SeedCNN() }] {
      for (name, parameter) in model.namedParameters() {
        let indices = try file.tensor("sample_indices.\(name)").values(as: Int64.self)
        let expected = try file.tensor("initial_sample.\(name)").values(as: Float.self)
        let values = parameter.value.values(as: Float.self)
        #expect(!indices.isEmpty && indices.map { values[Int($0)] } == expected, "\(name), seed \(seed)")
      }
    }
  }

  @Test func differentSeedsGiveDifferentWeightsAndDropouts() throws {
    let nets = try [1, 2].map { seed in try withSeed(seed) { try Net() } }
    let first = nets.map { $0.head.weight.value.values(as: Float.self) }
    #expect(first[0] != first[1])
    #expect(nets[0].drop.seed != nets[1].drop.seed)
    #expect(first[0].allSatisfy { abs($0) <= 1 / Float(8).squareRoot() })
  }

  @Test func statesRoundTripThroughFiles() throws {
    try withTemporaryFolder { folder in
      let path = "\(folder)/net.safetensors"
      let (first, second) = try (withSeed(1) { try Net() }, withSeed(2) { try Net() })
      let input = Variable(try Tensor((0..<64).map { Float($0 % 7) }, shape: [2, 2, 4, 4]))
      try withBackend(.naive) {
        _ = try first(input)  // moves the running statistics
        try first.save(to: path)
        try second.load(from: path)
        first.eval()
        second.eval()
        let (a, b) = (try first(input), try second(input))
        #expect(a.value.values(as: Float.self) == b.value.values(as: Float.self))
      }
      #expect(second.stateDict()["features.0.norm.num_batches_tracked"]?.scalar(as: Int64.self) == 1)
    }
  }

  @Test func statesThatDoNotFitChangeNothing() throws {
    let net = try withSeed(1) { try Net() }
    let before = net.head.weight.value.values(as: Float.self)
    var state = try withSeed(2) { try Net() }.stateDict()
    func expectRefusal(_ text: String, _ state: [String: Tensor]) {
      #expect("\(text)") {
        try net.loadStateDict(state)
      } throws: { error in
        error is ConvError && "\(error)".contains(text)
      }
      #expect(net.head.weight.value.values(as: Float.self) == before)
    }
    let bias = state.removeValue(forKey: "head.bias")
    expectRefusal("missing head.bias", state)
    state["head.bias"] = bias
    state["head.extra"] = bias
    expectRefusal("unexpected head.extra", state)
    state["head.extra"] = nil
    state["head.bias"] = try Tensor.zeros([4])
    expectRefusal("'head.bias' of the state dictionary has shape [4], expected [3]", state)
    state["head.bias"] = try Tensor([0, 1 << 24 + 1, 0] as [Int64], shape: [3])
    expectRefusal("holds the integer 16777217, which is no float32", state)
    state["head.bias"] = try Tensor([1.0, 2, 3], shape: [3])
    try net.loadStateDict(state)
    #expect(net.head.bias?.value.values(as: Float.self) == [1, 2, 3])
  }

  @Test func trainAndEvalReachEveryLayer() throws {
    let net = try withSeed(1) { try Net() }
    let input = Variable(try Tensor((0..<64).map { Float($0 % 5) }, shape: [2, 2, 4, 4]))
    try withBackend(.naive) {
      let (a, b) = (try net(input), try net(input))
      #expect(a.value.values(as: Float.self) != b.value.values(as: Float.self), "dropout draws anew")
      net.eval()
      #expect(!net.drop.isTraining)
      let (c, d) = (try net(input), try net(input))
      #expect(c.value.values(as: Float.self) == d.value.values(as: Float.self))
      net.train()
      #expect(net.drop.isTraining)
    }
  }

  @Test func sharedParametersAppearOnce() throws {
    final class Tied: Module {
      let first, second: Linear
      init() throws {
        first = try Linear(3, 3)
        second = first
      }
      func forward(_ x: Variable) throws -> Variable { try second(first(x)) }
    }
    let tied = try Tied()
    #expect(tied.parameters().count == 2)
    #expect(tied.stateDict().count == 4)
  }

  @Test func summaryShowsShapesParametersAndEngines() throws {
    let text = try withBackend(.naive) { try SeedCNN().summary(inputShape: [1, 3, 32, 32]) }
    let lines = text.split(separator: "\n").map(String.init)
    #expect(
      lines.contains { $0.hasPrefix("conv2") && $0.contains("1×64×16×16") && $0.contains("18496") }, "\(text)"
    )
    #expect(lines.filter { $0.hasPrefix("conv") && $0.contains("naive") }.count == 3, "\(text)")
    #expect(lines.filter { $0.hasPrefix("pool") }.last?.contains("1×128×4×4") == true, "\(text)")
    #expect(lines.last == "total: 2152258 parameters", "\(text)")
  }

  @Test func networksStayInTheFormatThatTheEnginePrefers() throws {
    let net = Sequential(
      try Conv2d(3, 4, kernelSize: 3), MaxPool2d(kernelSize: 2), try Conv2d(4, 2, kernelSize: 2), ReLU())
    let image = try Tensor((0..<192).map { Float($0 * 7 % 11) }, shape: [1, 3, 8, 8])
    func run(_ context: ConvolutionContext) throws -> Tensor {
      try context.run {
        for parameter in net.parameters() { parameter.zeroGrad() }
        let y = try net(Variable(image))
        try y.sum().backward()
        return y.value
      }
    }
    let plain = try run(ConvolutionContext(backend: .naive))
    #expect(plain.format == .nchw)
    let gradients = net.parameters().map { $0.grad?.values(as: Float.self) ?? [] }
    let last = try run(ConvolutionContext(backend: FakeBackend("last", formats: [.nhwc])))
    #expect(last.format == .nhwc && last.values(as: Float.self) == plain.values(as: Float.self))
    for (parameter, expected) in zip(net.parameters(), gradients) {
      #expect(parameter.grad?.format == .nchw && !expected.isEmpty)
      for (a, b) in zip(parameter.grad?.values(as: Float.self) ?? [], expected) {
        #expect(abs(a - b) <= 1e-5 * abs(b) + 1e-5)
      }
    }
    var context = ConvolutionContext(backend: FakeBackend("last", formats: [.nhwc]))
    context.memoryFormat = .nchw
    #expect(try run(context).format == .nchw)
  }

  /// In one operation where the windows allow it, in several else: the same.
  @Test func whatFollowsAConvolutionCanBeNamedWithIt() throws {
    let input = Variable(try Tensor((0..<98).map { Float($0 * 5 % 13) - 6 }, shape: [1, 2, 7, 7]))
    let (conv, up) = try withSeed(3) {
      (try Conv2d(2, 3, kernelSize: 2), try ConvTranspose2d(2, 3, kernelSize: 2, stride: 2))
    }
    let pools = [
      MaxPool2d(kernelSize: 2), MaxPool2d(kernelSize: 3), MaxPool2d(kernelSize: 2, stride: 1),
      MaxPool2d(kernelSize: [2, 2], stride: [2, 1]), MaxPool2d(kernelSize: 2, padding: 1),
    ]
    try withBackend(.naive) {
      func values(_ y: Variable) -> [Float] { y.value.values(as: Float.self) }
      for layer in [conv, up] as [ConvolutionLayer] {
        for pool in pools {
          let whole = try pool(layer(input).relu())
          let fused = try layer(input, relu: true, maxPool: pool)
          #expect(fused.shape == whole.shape && values(fused) == values(whole), "\(layer) \(pool)")
          #expect(try values(layer(input, relu: false, maxPool: pool)) == values(pool(layer(input))))
        }
        #expect(try values(layer(input, relu: true)) == values(layer(input).relu()))
        let name = try layer(input, relu: true, maxPool: pools[0]).operationName
        #expect(name == (layer === up ? "maxPool2d" : "conv2d"))
      }
      let fc = try Linear(7, 4)
      #expect(try values(fc(input, relu: true)) == values(fc(input).relu()))
    }
  }

  @Test func aLayersOwnBackendWins() throws {
    struct Nothing: ConvolutionBackend {
      var name: String { "nothing" }
      func nativeSupport(for operation: ConvOperation, _ options: PlanOptions) -> Support {
        .unsupported("it does nothing")
      }
      func forwardPlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan {
        throw ConvError.operand("unreachable")
      }
    }
    let conv = try Conv2d(1, 1, kernelSize: 1)
    let input = Variable(try Tensor.zeros([1, 1, 2, 2]))
    conv.backend = .naive
    _ = try withBackend(Nothing()) { try conv(input) }
    conv.variant = "no=such"
    #expect(throws: ConvError.self) { try withBackend(.naive) { try conv(input) } }
    conv.backend = nil
    #expect(throws: ConvError.self) { try withBackend(Nothing()) { try conv(input) } }
    _ = try withBackend(Nothing(), fallback: .naive) { try conv(input) }
  }

  @Test func hyperparametersThatCannotBeAreErrors() throws {
    #expect(throws: ConvError.self) { try Conv2d(3, 4, kernelSize: 3, groups: 2) }
    #expect(throws: ConvError.self) { try Conv2d(0, 4, kernelSize: 3) }
    #expect(throws: ConvError.self) { try Conv2d(1, 1, kernelSize: [1, 2, 3]) }
    #expect(throws: ConvError.self) { try Conv2d(1, 1, kernelSize: 0) }
    #expect(throws: ConvError.self) { try Conv2d(1, 1, kernelSize: [3, 0]) }
    #expect(throws: ConvError.self) { try Linear(0, 3) }
    #expect(throws: ConvError.self) { try Linear(3, 0) }
    #expect(throws: ConvError.self) { try BatchNorm2d(0) }
    #expect(throws: ConvError.self) { try ConvTranspose1d(1, 1, kernelSize: 3, outputPadding: 1) }
    #expect(throws: ConvError.self) { try ConvTranspose2d(1, 1, kernelSize: 3, padding: [0, 0, 1, 1]) }
    #expect(throws: ConvError.self) { try Dropout(p: -0.1) }
    #expect(throws: ConvError.self) { try Conv1d(1, 1, kernelSize: 3)(Variable(Tensor.zeros([1, 1, 2]))) }
    let parameter = Variable(try Tensor.zeros([2]), requiresGrad: true)
    #expect(throws: ConvError.self) { try SGD([parameter], nesterov: true) }
    #expect(throws: ConvError.self) { try Adam([parameter], betas: (1, 0.9)) }
  }

  private func shape(_ module: any Module, _ input: [Int]) throws -> [Int] {
    try module(Variable(Tensor.zeros(input))).shape
  }

  @Test func oneAndThreeDimensionalLayers() throws {
    try withBackend(.naive) {
      let one = try Conv1d(2, 4, kernelSize: 3, stride: 2, padding: 1, groups: 2)
      #expect(try shape(one, [3, 2, 9]) == [3, 4, 5])
      let three = try Conv3d(1, 2, kernelSize: [1, 2, 3])
      #expect(try shape(three, [1, 1, 4, 4, 4]) == [1, 2, 4, 3, 2])
      let up = try ConvTranspose2d(2, 3, kernelSize: 2, stride: 2)
      #expect(try shape(up, [1, 2, 4, 5]) == [1, 3, 8, 10])
      #expect(up.weight.shape == [2, 3, 2, 2])
      // (5 − 1)·2 − 2 + 2·(3 − 1) + 1 + 1 = 12.
      let line = try ConvTranspose1d(
        4, 6, kernelSize: 3, stride: 2, padding: 1, outputPadding: 1, groups: 2, dilation: 2)
      #expect(try shape(line, [3, 4, 5]) == [3, 6, 12])
      #expect(line.weight.shape == [4, 3, 3])
      let volume = try ConvTranspose3d(1, 2, kernelSize: [1, 2, 3], outputPadding: [0, 1, 2], dilation: 3)
      #expect(try shape(volume, [1, 1, 4, 4, 4]) == [1, 2, 4, 8, 12])
      #expect("\(volume)".hasSuffix("outputPadding: (0, 1, 2), dilation: (3, 3, 3))"))
    }
  }
}
