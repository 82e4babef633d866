import ConvAutograd
import ConvCore
import ConvHarness
import ConvNN
import ConvNaive
import Testing

/// Layers and losses against PyTorch's stored numbers, forward and gradients, in float64 and float32.
@Suite struct LayerReferenceTests {
  static let counts = [
    "linear": 3, "max_pool2d": 3, "avg_pool2d": 3, "relu": 3, "flatten": 3, "dropout": 3, "batch_norm2d": 3,
    "cross_entropy": 3, "mse_loss": 3, "bce_with_logits_loss": 3, "sequential": 3, "conv_transpose2d": 15,
  ]

  @Test(arguments: counts.sorted { $0.key < $1.key })
  func thereAreCases(_ operation: String, _ least: Int) throws {
    #expect(try ReferenceFile.cases(operation).count >= least, "\(operation)")
  }

  /// Runs one operation on the named inputs, goes back from `grad_output` (or 1) and compares everything stored.
  private func check(
    _ stored: ReferenceFile, inputs names: [String], output: String = "output",
    _ function: ([String: Variable]) throws -> Variable
  ) throws {
    for (type, tolerance) in precisions {
      var inputs: [String: Variable] = [:]
      for name in names where stored.file.tensors[name] != nil {
        inputs[name] = Variable(try stored.given(name, type), requiresGrad: true)
      }
      let y = try function(inputs)
      try stored.check(output, y.value, tolerance: tolerance)
      if stored.file.tensors["grad_output"] == nil {
        try y.backward()
      } else {
        try y.backward(gradient: stored.given("grad_output", type))
      }
      for (name, input) in inputs {
        try stored.check("grad_\(name)", input.grad, tolerance: tolerance)
      }
    }
  }

  @Test(arguments: try ReferenceFile.cases("linear"))
  func linear(_ stored: ReferenceFile) throws {
    try check(stored, inputs: ["input", "weight", "bias"]) { inputs in
      try inputs["input"]!.linear(weight: inputs["weight"]!, bias: inputs["bias"])
    }
  }

  @Test(arguments: try ReferenceFile.cases("max_pool2d"))
  func maxPool2d(_ stored: ReferenceFile) throws {
    try check(stored, inputs: ["input"]) {
      try $0["input"]!.maxPool2d(
        kernel: stored.sizes("kernel"), stride: stored.sizes("stride"), padding: stored.sizes("padding"))
    }
  }

  @Test(arguments: try ReferenceFile.cases("avg_pool2d"))
  func avgPool2d(_ stored: ReferenceFile) throws {
    try check(stored, inputs: ["input"]) {
      try $0["input"]!.avgPool2d(
        kernel: stored.sizes("kernel"), stride: stored.sizes("stride"), padding: stored.sizes("padding"),
        countIncludePad: stored.flag("count_include_pad"))
    }
  }

  @Test(arguments: try ReferenceFile.cases("relu"))
  func relu(_ stored: ReferenceFile) throws {
    try check(stored, inputs: ["input"]) { try $0["input"]!.relu() }
  }

  @Test(arguments: try ReferenceFile.cases("flatten"))
  func flatten(_ stored: ReferenceFile) throws {
    let start = Int(try stored.number("start_dim"))
    try check(stored, inputs: ["input"]) { try $0["input"]!.flatten(startDim: start) }
  }

  @Test(arguments: try ReferenceFile.cases("dropout"))
  func dropout(_ stored: ReferenceFile) throws {
    let p = try stored.number("p")
    let training = try stored.flag("training")
    try check(stored, inputs: ["input"]) { inputs in
      guard training else {
        let layer = try Dropout(p: p)
        layer.eval()
        return try layer(inputs["input"]! * 1)
      }
      return try inputs["input"]!.dropout(p: p, mask: stored.file.tensor("mask"))
    }
  }

  @Test(arguments: try ReferenceFile.cases("batch_norm2d"))
  func batchNorm2d(_ stored: ReferenceFile) throws {
    let training = try stored.flag("training")
    for (type, tolerance) in precisions {
      let mean = try stored.file.tensor("running_mean")
      let affine = stored.file.tensors["weight"] != nil
      let layer = try BatchNorm2d(
        mean.count, eps: stored.number("eps"), momentum: stored.number("momentum"), affine: affine)
      var state = ["running_mean": mean, "running_var": try stored.file.tensor("running_var")]
      if affine {
        state["weight"] = try stored.file.tensor("weight")
        state["bias"] = try stored.file.tensor("bias")
      }
      try layer.convert(to: type)
      try layer.loadStateDict(state, strict: false)
      layer.train(training)
      let input = Variable(try stored.given("input", type), requiresGrad: true)
      let output = try layer(input)
      try output.backward(gradient: stored.given("grad_output", type))
      try stored.check("output", output.value, tolerance: tolerance)
      // The gradient is a difference of numbers that nearly cancel where few elements share a channel.
      try stored.check("grad_input", input.grad, tolerance: type == .float64 ? 1e-10 : 1e-4)
      try stored.check("grad_weight", layer.weight?.grad, tolerance: tolerance)
      try stored.check("grad_bias", layer.bias?.grad, tolerance: tolerance)
      try stored.check("running_mean_after", layer.runningMean.value, tolerance: tolerance)
      try stored.check("running_var_after", layer.runningVariance.value, tolerance: tolerance)
      #expect(layer.batchesTracked.value.scalar(as: Int64.self) == (training ? 1 : 0))
    }
  }

  private func reduction(_ stored: ReferenceFile) throws -> Reduction {
    try #require(Reduction(rawValue: stored.attributes["reduction"]?.string ?? ""))
  }

  @Test(arguments: try ReferenceFile.cases("cross_entropy"))
  func crossEntropy(_ stored: ReferenceFile) throws {
    let loss = CrossEntropyLoss(reduction: try reduction(stored))
    try check(stored, inputs: ["input"]) { try loss($0["input"]!, stored.file.tensor("target")) }
  }

  @Test(arguments: try ReferenceFile.cases("mse_loss"))
  func mse(_ stored: ReferenceFile) throws {
    let loss = MSELoss(reduction: try reduction(stored))
    try check(stored, inputs: ["input", "target"]) { try loss($0["input"]!, $0["target"]!) }
  }

  @Test(arguments: try ReferenceFile.cases("bce_with_logits_loss"))
  func bceWithLogits(_ stored: ReferenceFile) throws {
    let loss = BCEWithLogitsLoss(reduction: try reduction(stored))
    try check(stored, inputs: ["input", "target"]) { try loss($0["input"]!, $0["target"]!) }
  }

  @Test(arguments: try ReferenceFile.cases("conv_transpose2d"))
  func convTranspose2d(_ stored: ReferenceFile) throws {
    try withBackend(.naive) {
      try check(stored, inputs: ["input", "weight", "bias"]) {
        try $0["input"]!.convTranspose2d(
          weight: $0["weight"]!, bias: $0["bias"], stride: stored.sizes("stride"),
          padding: stored.sizes("padding"), outputPadding: stored.sizes("output_padding"),
          groups: Int(stored.number("groups")), dilation: stored.sizes("dilation"))
      }
    }
  }

  // MARK: Sequential

  private func layer(_ description: JSONValue) throws -> any Module {
    func sizes(_ key: String) throws -> Sizes { Sizes(try #require(description[key]?.integers)) }
    func integer(_ key: String) throws -> Int { try #require(description[key]?.integer) }
    func flag(_ key: String) throws -> Bool { try #require(description[key]?.bool as Bool?) }
    switch description["type"]?.string {
    case "Conv2d":
      return try Conv2d(
        integer("in_channels"), integer("out_channels"), kernelSize: sizes("kernel_size"),
        stride: sizes("stride"), padding: sizes("padding"), dilation: sizes("dilation"),
        groups: integer("groups"), bias: flag("bias"))
    case "Linear": return try Linear(integer("in_features"), integer("out_features"), bias: flag("bias"))
    case "BatchNorm2d":
      return try BatchNorm2d(
        integer("num_features"), eps: #require(description["eps"]?.number),
        momentum: #require(description["momentum"]?.number))
    case "MaxPool2d":
      return MaxPool2d(
        kernelSize: try sizes("kernel_size"), stride: try sizes("stride"), padding: try sizes("padding"))
    case "AvgPool2d":
      return AvgPool2d(
        kernelSize: try sizes("kernel_size"), stride: try sizes("stride"), padding: try sizes("padding"))
    case "ReLU": return ReLU()
    case "Flatten": return Flatten()
    default: throw ConvError.operand("a layer \(description)")
    }
  }

  @Test(arguments: try ReferenceFile.cases("sequential"), [MemoryFormat.nchw, .nhwc])
  func sequential(_ stored: ReferenceFile, _ format: MemoryFormat) throws {
    let layers = try #require(stored.attributes["layers"]?.array)
    for (type, tolerance) in precisions {
      let model = Sequential(try layers.map(layer))
      var state: [String: Tensor] = [:]
      for (name, tensor) in stored.file.tensors {
        for prefix in ["param.", "buffer."] where name.hasPrefix(prefix) {
          state[String(name.dropFirst(prefix.count))] = tensor
        }
      }
      try model.convert(to: type)
      let ownKeys = Set(model.stateDict().keys.filter { !$0.hasSuffix("num_batches_tracked") })
      #expect(Set(state.keys) == ownKeys, "\(stored.name)")
      try model.loadStateDict(state, strict: false)
      model.train(try stored.flag("training"))
      let input = Variable(try stored.given("input", type).converted(to: format), requiresGrad: true)
      try withBackend(.naive) {
        let output = try model(input)
        try stored.check("output", output.value, tolerance: tolerance * 4)
        try output.backward(gradient: stored.given("grad_output", type))
      }
      let loose = type == .float64 ? 1e-10 : 2e-4
      try stored.check("grad_input", input.grad, tolerance: loose)
      for (name, parameter) in model.namedParameters() {
        try stored.check("grad.\(name)", parameter.grad, tolerance: loose)
      }
      for (name, buffer) in model.namedBuffers() where !name.hasSuffix("num_batches_tracked") {
        #expect(stored.file.tensors["buffer_after.\(name)"] != nil, "\(stored.name): \(name)")
        try stored.check("buffer_after.\(name)", buffer.value, tolerance: tolerance * 4)
      }
    }
  }
}
