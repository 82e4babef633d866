import ConvAutograd
import ConvCore

/// What all convolution layers share: hyperparameters, `weight` and `bias`, and a choice of engine.
public class ConvolutionLayer: Module {
  /// Channels of the input, of the output, and groups that they divide into.
  public let inChannels: Int, outChannels: Int, groups: Int
  /// As PyTorch has them.
  public let kernelSize: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes
  /// [K, C/groups, (T,) (R,) S]; of a transposed convolution [C, K/groups, R, S].
  public let weight: Variable
  /// [K].
  public let bias: Variable?
  /// The engine of this layer; nil leaves the choice to the scope, then to the default.
  public var backend: (any ConvolutionBackend)? {
    didSet { engine = backend.map { ConvolutionEngine($0) } }
  }
  /// One variant of this layer's own engine; nil leaves the choice to it.
  public var variant: String?
  private var engine: ConvolutionEngine?
  private let fanIn: Int
  /// Whether 2×2 pooling can be part of the operation: 2-D convolutions.
  private let isFusible: Bool

  fileprivate init(
    rank: Int, isTransposed: Bool, _ inChannels: Int, _ outChannels: Int, _ kernelSize: Sizes,
    _ stride: Sizes, _ padding: Sizes, _ dilation: Sizes, _ groups: Int, _ bias: Bool
  ) throws {
    guard inChannels > 0, outChannels > 0, groups > 0, inChannels % groups == 0, outChannels % groups == 0
    else {
      throw ConvError.invalidProblem(
        "\(inChannels) input and \(outChannels) output channels in \(groups) groups")
    }
    let kernel = try kernelSize.extent(rank: rank, what: "kernel size")
    let spatial = (3 - rank..<3).map { kernel[$0] }
    guard spatial.allSatisfy({ $0 > 0 }) else {
      throw ConvError.invalidProblem("kernel size \(kernelSize): at least 1 is needed")
    }
    // Errors in hyperparameters belong to the construction, not to the first use.
    _ = try stride.extent(rank: rank, what: "stride")
    _ = try dilation.extent(rank: rank, what: "dilation")
    _ = try padding.padding(rank: rank)
    let shape =
      isTransposed
      ? [inChannels, outChannels / groups] + spatial : [outChannels, inChannels / groups] + spatial
    _ = try Tensor.validatedCount(of: shape)
    self.inChannels = inChannels
    self.outChannels = outChannels
    self.groups = groups
    self.kernelSize = kernelSize
    self.stride = stride
    self.padding = padding
    self.dilation = dilation
    fanIn = shape.dropFirst().reduce(1, *)
    isFusible = rank == 2 && !isTransposed
    weight = try newParameter(shape, .fanIn(fanIn))
    self.bias = bias ? try newParameter([outChannels], .fanIn(fanIn)) : nil
  }

  /// The weight, then the bias where there is one.
  public var members: [ModuleMember] {
    [ModuleMember("weight", .parameter(weight))]
      + (bias.map { [ModuleMember("bias", .parameter($0))] } ?? [])
  }

  /// ±1/√fanIn for weight and bias.
  public func initializer(ofParameter name: String) -> Initializer? { .fanIn(fanIn) }

  /// What PyTorch prints, as in `3, 32, kernelSize: (3, 3), stride: (1, 1), padding: (1, 1)`.
  public var argumentText: String {
    let rank = weight.value.rank - 2
    var text = "\(inChannels), \(outChannels), kernelSize: \(kernelSize.text(rank: rank))"
    text += ", stride: \(stride.text(rank: rank))"
    if !padding.are(0) { text += ", padding: \(padding.text(rank: rank))" }
    if let layer = self as? TransposedConvolutionLayer, !layer.outputPadding.are(0) {
      text += ", outputPadding: \(layer.outputPadding.text(rank: rank))"
    }
    if !dilation.are(1) { text += ", dilation: \(dilation.text(rank: rank))" }
    if groups != 1 { text += ", groups: \(groups)" }
    return bias == nil ? text + ", bias: false" : text
  }

  /// The convolution, on this layer's engine.
  public func forward(_ input: Variable) throws -> Variable {
    try onEngine { try convolve(input, relu: false, maxPool2x2: false) }
  }

  /// The convolution and what follows it: `conv(x, relu: true, maxPool: pool)` is `pool(conv(x).relu())`.
  ///
  /// In one operation, which neither writes nor keeps what lies between; poolings of other windows than 2×2 with stride 2 run
  /// after it.
  public func callAsFunction(_ input: Variable, relu: Bool, maxPool: MaxPool2d? = nil) throws -> Variable {
    let fuses = isFusible && maxPool?.isPlainPair == true
    let observer = ModuleObservation.observer
    observer?.willCall(self, input)
    let output = try onEngine { try convolve(input, relu: relu, maxPool2x2: fuses) }
    guard let maxPool, fuses else {
      observer?.didCall(self, outputShape: output.shape)
      return try maxPool?(output) ?? output
    }
    if let observer {
      observer.didCall(self, outputShape: try unpooledShape(input))
      observer.didCall(maxPool, outputShape: output.shape)
    }
    return output
  }

  private func onEngine(_ body: () throws -> Variable) rethrows -> Variable {
    DefaultBackend.installed
    guard let engine else { return try body() }
    var context = ConvolutionContext.current
    context.engine = engine
    context.options.variant = variant
    return try context.run(body)
  }

  /// 2-D images in the order that the context prefers: converted where they enter a network.
  fileprivate func ordered(_ input: Variable) throws -> Variable {
    input.value.rank == 4 ? try input.converted(to: ConvolutionContext.current.preferredFormat) : input
  }

  fileprivate func unpooledShape(_ input: Variable) throws -> [Int] {
    let problem = try input.convolutionProblem(
      weight: weight, stride: stride, padding: padding, dilation: dilation, groups: groups)
    return [input.shape[0]] + problem.outputShape.dropFirst()
  }

  fileprivate func convolve(_ input: Variable, relu: Bool, maxPool2x2: Bool) throws -> Variable {
    try ordered(input).conv(
      weight: weight, bias: bias, stride: stride, padding: padding, dilation: dilation, groups: groups,
      relu: relu, maxPool2x2: maxPool2x2, layer: self)
  }
}

/// [N, C, W] → [N, K, Q].
public final class Conv1d: ConvolutionLayer {
  /// With PyTorch's argument names and defaults.
  public init(
    _ inChannels: Int, _ outChannels: Int, kernelSize: Sizes, stride: Sizes = 1, padding: Sizes = 0,
    dilation: Sizes = 1, groups: Int = 1, bias: Bool = true
  ) throws {
    try super.init(
      rank: 1, isTransposed: false, inChannels, outChannels, kernelSize, stride, padding, dilation, groups,
      bias)
  }
}

/// [N, C, H, W] → [N, K, P, Q].
public final class Conv2d: ConvolutionLayer {
  /// With PyTorch's argument names and defaults; `padding` also takes one number per side.
  public init(
    _ inChannels: Int, _ outChannels: Int, kernelSize: Sizes, stride: Sizes = 1, padding: Sizes = 0,
    dilation: Sizes = 1, groups: Int = 1, bias: Bool = true
  ) throws {
    try super.init(
      rank: 2, isTransposed: false, inChannels, outChannels, kernelSize, stride, padding, dilation, groups,
      bias)
  }
}

/// [N, C, D, H, W] → [N, K, Z, P, Q].
public final class Conv3d: ConvolutionLayer {
  /// With PyTorch's argument names and defaults.
  public init(
    _ inChannels: Int, _ outChannels: Int, kernelSize: Sizes, stride: Sizes = 1, padding: Sizes = 0,
    dilation: Sizes = 1, groups: Int = 1, bias: Bool = true
  ) throws {
    try super.init(
      rank: 3, isTransposed: false, inChannels, outChannels, kernelSize, stride, padding, dilation, groups,
      bias)
  }
}

/// What transposed convolutions of 1, 2 and 3 dimensions share.
public class TransposedConvolutionLayer: ConvolutionLayer {
  /// Extra rows (columns, …) at the end of each axis; less than stride or dilation.
  public let outputPadding: Sizes

  fileprivate init(
    rank: Int, _ inChannels: Int, _ outChannels: Int, _ kernelSize: Sizes, _ stride: Sizes,
    _ padding: Sizes, _ outputPadding: Sizes, _ groups: Int, _ bias: Bool, _ dilation: Sizes
  ) throws {
    self.outputPadding = outputPadding
    let (extra, u) = (
      try outputPadding.extent(rank: rank, what: "output padding"),
      try stride.extent(rank: rank, what: "stride")
    )
    let l = try dilation.extent(rank: rank, what: "dilation")
    for axis in (3 - rank)..<3 where extra[axis] < 0 || extra[axis] >= max(u[axis], l[axis]) {
      throw ConvError.invalidProblem(
        "output padding \(extra[axis]) must be at least 0 and less than stride \(u[axis]) or dilation \(l[axis])"
      )
    }
    _ = try padding.extent(rank: rank, what: "padding")
    try super.init(
      rank: rank, isTransposed: true, inChannels, outChannels, kernelSize, stride, padding, dilation, groups,
      bias)
  }

  fileprivate override func convolve(_ input: Variable, relu: Bool, maxPool2x2: Bool) throws -> Variable {
    let output = try ordered(input).convTranspose(
      weight: weight, bias: bias, stride: stride, padding: padding, outputPadding: outputPadding,
      groups: groups, dilation: dilation, layer: self)
    return relu ? try output.relu() : output
  }
}

/// The transposed convolution [N, C, W] → [N, K, Q], Q = (W − 1)·stride − 2·padding + dilation·(S − 1) +
/// outputPadding + 1.
public final class ConvTranspose1d: TransposedConvolutionLayer {
  /// With PyTorch's argument names and defaults.
  public init(
    _ inChannels: Int, _ outChannels: Int, kernelSize: Sizes, stride: Sizes = 1, padding: Sizes = 0,
    outputPadding: Sizes = 0, groups: Int = 1, bias: Bool = true, dilation: Sizes = 1
  ) throws {
    try super.init(
      rank: 1, inChannels, outChannels, kernelSize, stride, padding, outputPadding, groups, bias, dilation)
  }
}

/// The transposed convolution [N, C, H, W] → [N, K, P, Q], P = (H − 1)·stride − 2·padding + dilation·(R − 1) +
/// outputPadding + 1.
public final class ConvTranspose2d: TransposedConvolutionLayer {
  /// With PyTorch's argument names and defaults.
  public init(
    _ inChannels: Int, _ outChannels: Int, kernelSize: Sizes, stride: Sizes = 1, padding: Sizes = 0,
    outputPadding: Sizes = 0, groups: Int = 1, bias: Bool = true, dilation: Sizes = 1
  ) throws {
    try super.init(
      rank: 2, inChannels, outChannels, kernelSize, stride, padding, outputPadding, groups, bias, dilation)
  }
}

/// The transposed convolution [N, C, D, H, W] → [N, K, Z, P, Q], P = (H − 1)·stride − 2·padding + dilation·(R − 1) +
/// outputPadding + 1.
public final class ConvTranspose3d: TransposedConvolutionLayer {
  /// With PyTorch's argument names and defaults.
  public init(
    _ inChannels: Int, _ outChannels: Int, kernelSize: Sizes, stride: Sizes = 1, padding: Sizes = 0,
    outputPadding: Sizes = 0, groups: Int = 1, bias: Bool = true, dilation: Sizes = 1
  ) throws {
    try super.init(
      rank: 3, inChannels, outChannels, kernelSize, stride, padding, outputPadding, groups, bias, dilation)
  }
}
