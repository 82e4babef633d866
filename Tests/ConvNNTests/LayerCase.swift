import ConvAutograd
import ConvCore
import ConvHarness
import ConvNN
import ConvNaive
import ConvTestSupport
import Foundation
import TestBounds
import Testing

/// A stored layer or loss and how our layers compute it.
struct LayerCase: CustomTestStringConvertible, Sendable {
  let stored: ReferenceFile
  var format = MemoryFormat.nchw
  /// What a wrong layer would do.
  var fault = Fault.none

  enum Fault: Sendable {
    case none
    /// Operands rounded to 11 bits, as TF32 does.
    case coarseOperands
    /// BatchNorm2d and its constants.
    case eps(Double), momentum(Double)
    /// Dropout's probability.
    case probability(Double)
  }

  var testDescription: String { "\(stored), \(format.rawValue)" }

  static let counts = [
    "linear": 3, "max_pool2d": 3, "avg_pool2d": 3, "relu": 3, "flatten": 3, "dropout": 3, "batch_norm2d": 3,
    "cross_entropy": 30, "mse_loss": 3, "bce_with_logits_loss": 3, "sequential": 3, "conv_transpose2d": 26,
  ]

  /// The cases of an operation; models run in both formats.
  static func all(_ operation: String) throws -> [LayerCase] {
    try ReferenceFile.cases(operation).flatMap { stored in
      (operation == "sequential" ? [MemoryFormat.nchw, .nhwc] : [.nchw]).map {
        LayerCase(stored: stored, format: $0)
      }
    }
  }

  /// The cases of all operations.
  static func all() throws -> [LayerCase] { try counts.keys.sorted().flatMap(all) }

  func with(_ fault: Fault) -> LayerCase {
    var copy = self
    copy.fault = fault
    return copy
  }

  func bounds(_ type: ElementType) throws -> RoundingBounds {
    try RoundingBounds(type) { try $0.layer(stored, format) }
  }

  // MARK: What 11 bits would lose

  /// Stored results that have more.
  var finerResults: [(name: String, tensor: Tensor)] {
    get throws {
      try stored.file.tensors.filter { try $0.value.elementType == .float64 && hasMoreBits($0.value) }
        .sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }
  }

  /// Whether operands have more, and a result depends on them: with one class, or dropout with p = 1, all are 0 whatever is given.
  var losesByOperands: Bool {
    get throws {
      let operands = ["input", "weight", "bias", "grad_output"].compactMap { stored.file.tensors[$0] }
      let results = stored.file.tensors.values.filter { $0.elementType == .float64 }
      return try operands.contains(where: hasMoreBits)
        && results.contains { $0.values(as: Double.self).contains { $0 != 0 } }
    }
  }

  private func hasMoreBits(_ tensor: Tensor) throws -> Bool {
    try tensor.converted(to: .float64).values(as: Double.self).contains { rounded($0, bits: 11) != $0 }
  }

  // MARK: Our results

  /// Everything that is stored, by its name.
  func results(_ type: ElementType) throws -> [String: Tensor?] {
    switch stored.op {
    case "batch_norm2d": return try normalization(type)
    case "sequential": return try sequential(type)
    default:
      var inputs: [String: Variable] = [:]
      for name in ["input", "weight", "bias", "target"] where stored.file.tensors[name] != nil {
        if name != "input" && stored.op == "cross_entropy" { continue }
        inputs[name] = Variable(try operand(name, type), requiresGrad: true)
      }
      let y = try withBackend(.naive) {
        let y = try output(inputs)
        if stored.file.tensors["grad_output"] == nil {
          try y.backward()
        } else {
          try y.backward(gradient: operand("grad_output", type))
        }
        return y
      }
      var found: [String: Tensor?] = ["output": y.value]
      for (name, input) in inputs { found["grad_\(name)"] = input.grad }
      return found
    }
  }

  private func operand(_ name: String, _ type: ElementType) throws -> Tensor {
    let tensor = try stored.given(name, type)
    guard case .coarseOperands = fault else { return tensor }
    return try tensor.rounded(bits: 11)
  }

  private func output(_ inputs: [String: Variable]) throws -> Variable {
    let x = try #require(inputs["input"])
    switch stored.op {
    case "linear":
      return try x.linear(weight: #require(inputs["weight"]), bias: inputs["bias"])
    case "max_pool2d":
      return try x.maxPool2d(
        kernel: stored.sizes("kernel"), stride: stored.sizes("stride"), padding: stored.sizes("padding"))
    case "avg_pool2d":
      return try x.avgPool2d(
        kernel: stored.sizes("kernel"), stride: stored.sizes("stride"), padding: stored.sizes("padding"),
        countIncludePad: stored.flag("count_include_pad"))
    case "relu": return try x.relu()
    case "flatten": return try x.flatten(startDim: Int(stored.number("start_dim")))
    case "dropout":
      var p = try stored.number("p")
      if case .probability(let other) = fault { p = other }
      guard try stored.flag("training") else {
        let layer = try Dropout(p: p)
        layer.eval()
        return try layer(x * 1)
      }
      return try x.dropout(p: p, mask: stored.file.tensor("mask"))
    case "cross_entropy":
      let target = try stored.file.tensor("target")
      let loss = CrossEntropyLoss(
        weight: stored.file.tensors["weight"] == nil ? nil : try operand("weight", x.elementType),
        ignoreIndex: stored.attributes["ignore_index"]?.integer ?? -100,
        labelSmoothing: stored.attributes["label_smoothing"]?.number ?? 0, reduction: try reduction())
      return try loss(x, target.elementType == .int64 ? target : operand("target", x.elementType))
    case "mse_loss": return try MSELoss(reduction: reduction())(x, #require(inputs["target"]))
    case "bce_with_logits_loss":
      return try BCEWithLogitsLoss(reduction: reduction())(x, #require(inputs["target"]))
    default:
      try #require(stored.op == "conv_transpose2d")
      return try x.convTranspose2d(
        weight: #require(inputs["weight"]), bias: inputs["bias"], stride: stored.sizes("stride"),
        padding: stored.sizes("padding"), outputPadding: stored.sizes("output_padding"),
        groups: Int(stored.number("groups")), dilation: stored.sizes("dilation"))
    }
  }

  private func reduction() throws -> Reduction {
    try #require(Reduction(rawValue: stored.attributes["reduction"]?.string ?? ""))
  }

  private func normalization(_ type: ElementType) throws -> [String: Tensor?] {
    let mean = try stored.file.tensor("running_mean")
    let affine = stored.file.tensors["weight"] != nil
    var (eps, momentum) = (try stored.number("eps"), try stored.number("momentum"))
    if case .eps(let other) = fault { eps = other }
    if case .momentum(let other) = fault { momentum = other }
    let layer = try BatchNorm2d(mean.count, eps: eps, momentum: momentum, affine: affine)
    var state = ["running_mean": mean, "running_var": try stored.file.tensor("running_var")]
    if affine {
      state["weight"] = try stored.file.tensor("weight")
      state["bias"] = try stored.file.tensor("bias")
    }
    try layer.convert(to: type)
    try layer.loadStateDict(state, strict: false)
    let training = try stored.flag("training")
    layer.train(training)
    let input = Variable(try operand("input", type), requiresGrad: true)
    let output = try layer(input)
    try output.backward(gradient: operand("grad_output", type))
    #expect(layer.batchesTracked.value.scalar(as: Int64.self) == (training ? 1 : 0))
    return [
      "output": output.value, "grad_input": input.grad, "grad_weight": layer.weight?.grad,
      "grad_bias": layer.bias?.grad, "running_mean_after": layer.runningMean.value,
      "running_var_after": layer.runningVariance.value,
    ]
  }

  private func sequential(_ type: ElementType) throws -> [String: Tensor?] {
    let model = Sequential(try #require(stored.attributes["layers"]?.array).map(layer))
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
    let input = Variable(try operand("input", type).converted(to: format), requiresGrad: true)
    var found: [String: Tensor?] = [:]
    try withBackend(.naive) {
      let output = try model(input)
      found["output"] = output.value
      try output.backward(gradient: operand("grad_output", type))
    }
    found["grad_input"] = input.grad
    for (name, parameter) in model.namedParameters() { found["grad.\(name)"] = parameter.grad }
    for (name, buffer) in model.namedBuffers() where !name.hasSuffix("num_batches_tracked") {
      found["buffer_after.\(name)"] = buffer.value
    }
    return found
  }

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
    default: throw stored.malformed("unknown layer \(description)")
    }
  }
}

extension Tensor {
  /// Every value with this many significant bits.
  func rounded(bits: Int) throws -> Tensor {
    let values = try converted(to: .float64).values(as: Double.self)
    return try Tensor(values.map { TestBounds.rounded($0, bits: bits) }, shape: shape)
      .converted(to: elementType)
  }
}
