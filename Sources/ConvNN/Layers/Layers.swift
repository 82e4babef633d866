import ConvAutograd
import ConvCore

/// y = x·Wᵀ + b over the last dimension: [*, inFeatures] → [*, outFeatures].
public final class Linear: Module {
  /// [outFeatures, inFeatures].
  public let weight: Variable
  /// [outFeatures].
  public let bias: Variable?

  /// With PyTorch's defaults.
  public init(_ inFeatures: Int, _ outFeatures: Int, bias: Bool = true) throws {
    guard inFeatures > 0, outFeatures > 0 else {
      throw ConvError.operand("Linear of \(inFeatures) to \(outFeatures) features: at least 1 is needed")
    }
    _ = try Tensor.validatedCount(of: [outFeatures, inFeatures])
    weight = try newParameter([outFeatures, inFeatures], .fanIn(inFeatures))
    self.bias = bias ? try newParameter([outFeatures], .fanIn(inFeatures)) : nil
  }

  /// The product.
  public func forward(_ input: Variable) throws -> Variable { try input.linear(weight: weight, bias: bias) }

  /// The product and max(·, 0) of it in one operation: `linear(x, relu: true)` is `linear(x).relu()`.
  public func callAsFunction(_ input: Variable, relu: Bool) throws -> Variable {
    let observer = ModuleObservation.observer
    observer?.willCall(self, input)
    let output = try input.linear(weight: weight, bias: bias, relu: relu)
    observer?.didCall(self, outputShape: output.shape)
    return output
  }

  /// ±1/√inFeatures for weight and bias.
  public func initializer(ofParameter name: String) -> Initializer? { .fanIn(weight.shape[1]) }

  /// Features in and out.
  public var argumentText: String {
    "\(weight.shape[1]), \(weight.shape[0])" + (bias == nil ? ", bias: false" : "")
  }
}

/// The largest element of each window of [N, C, H, W].
public final class MaxPool2d: Module {
  /// As PyTorch has them.
  public let kernelSize: Sizes, stride: Sizes, padding: Sizes

  /// The stride is the kernel's size where left out.
  public init(kernelSize: Sizes, stride: Sizes? = nil, padding: Sizes = 0) {
    self.kernelSize = kernelSize
    self.stride = stride ?? kernelSize
    self.padding = padding
  }

  /// Whether windows are 2×2 with stride 2, without padding: what a convolution can do on its way.
  var isPlainPair: Bool {
    [[2], [2, 2]].contains(kernelSize.values) && [[2], [2, 2]].contains(stride.values)
      && [[0], [0, 0]].contains(padding.values)
  }

  /// The pooling.
  public func forward(_ input: Variable) throws -> Variable {
    try input.maxPool2d(kernel: kernelSize, stride: stride, padding: padding)
  }

  /// What PyTorch prints.
  public var argumentText: String {
    "kernelSize: \(kernelSize.text()), stride: \(stride.text()), padding: \(padding.text())"
  }
}

/// The mean of each window of [N, C, H, W].
public final class AvgPool2d: Module {
  /// As PyTorch has them.
  public let kernelSize: Sizes, stride: Sizes, padding: Sizes
  /// Whether the zeros around the image count in the divisor.
  public let countIncludePad: Bool

  /// The stride is the kernel's size where left out.
  public init(kernelSize: Sizes, stride: Sizes? = nil, padding: Sizes = 0, countIncludePad: Bool = true) {
    self.kernelSize = kernelSize
    self.stride = stride ?? kernelSize
    self.padding = padding
    self.countIncludePad = countIncludePad
  }

  /// The pooling.
  public func forward(_ input: Variable) throws -> Variable {
    try input.avgPool2d(
      kernel: kernelSize, stride: stride, padding: padding, countIncludePad: countIncludePad)
  }

  /// What PyTorch prints, and whether the padding counts where it does not.
  public var argumentText: String {
    "kernelSize: \(kernelSize.text()), stride: \(stride.text()), padding: \(padding.text())"
      + (countIncludePad ? "" : ", countIncludePad: false")
  }
}

/// max(x, 0).
public final class ReLU: Module {
  /// There is nothing to choose.
  public init() {}
  /// max(x, 0).
  public func forward(_ input: Variable) throws -> Variable { try input.relu() }
}

/// min(max(x, 0), 6).
public final class ReLU6: Module {
  /// There is nothing to choose.
  public init() {}
  /// min(max(x, 0), 6).
  public func forward(_ input: Variable) throws -> Variable { try input.relu6() }
}

/// Hyperbolic tangent.
public final class Tanh: Module {
  /// There is nothing to choose.
  public init() {}
  /// tanh x.
  public func forward(_ input: Variable) throws -> Variable { try input.tanh() }
}

/// 1 / (1 + e⁻ˣ).
public final class Sigmoid: Module {
  /// There is nothing to choose.
  public init() {}
  /// 1 / (1 + e⁻ˣ).
  public func forward(_ input: Variable) throws -> Variable { try input.sigmoid() }
}

/// Joins the dimensions from `startDim` on into one.
public final class Flatten: Module {
  /// The first dimension that is joined.
  public let startDim: Int
  /// All but the batch, unless said otherwise.
  public init(startDim: Int = 1) { self.startDim = startDim }
  /// The same elements.
  public func forward(_ input: Variable) throws -> Variable { try input.flatten(startDim: startDim) }
  /// The first dimension.
  public var argumentText: String { "startDim: \(startDim)" }
}

/// In training zeroes each element with probability `p` and scales the others by 1/(1 − p).
public final class Dropout: TrainingDependent {
  /// Probability of a zero.
  public let p: Double
  /// Of the masks.
  public let seed: UInt64
  /// Masks drawn so far; mask number i is from `Philox(seed: seed, stream: i)`.
  public var drawn: UInt32 = 0
  /// Whether it does anything.
  public var isTraining = true

  /// - Parameter seed: from the surrounding `withSeed` where left out.
  /// - Throws: `ConvError.operand` for a p outside of 0...1.
  public init(p: Double = 0.5, seed: UInt64? = nil) throws {
    guard p >= 0, p <= 1 else {
      throw ConvError.operand("the probability of dropout is \(p), 0 to 1 are possible")
    }
    self.p = p
    self.seed = seed ?? InitializationSource.current.nextGeneratorSeed()
  }

  /// x itself in evaluation, and where nothing is ever zeroed.
  public func forward(_ input: Variable) throws -> Variable {
    guard isTraining, p > 0 else { return input }
    defer { drawn &+= 1 }
    return try input.dropout(p: p, random: Philox(seed: seed, stream: drawn))
  }

  /// The probability.
  public var argumentText: String { "p: \(p)" }
}

/// Batch normalisation of [N, C, H, W] per channel: by the batch in training, by running statistics in evaluation.
public final class BatchNorm2d: TrainingDependent {
  /// Channels.
  public let numFeatures: Int
  /// Added to the variance.
  public let eps: Double
  /// Weight of the newest batch in the running statistics; nil for their plain mean over all batches.
  public let momentum: Double?
  /// [C] each; nil without `affine`.
  public let weight: Variable?, bias: Variable?
  /// [C] each; the variance is unbiased.
  public let runningMean: Buffer, runningVariance: Buffer
  /// int64 scalar.
  public let batchesTracked: Buffer
  /// Whether the batch's own statistics are used and tracked.
  public var isTraining = true

  /// With PyTorch's defaults.
  public init(_ numFeatures: Int, eps: Double = 1e-5, momentum: Double? = 0.1, affine: Bool = true) throws {
    guard numFeatures > 0 else {
      throw ConvError.operand("BatchNorm2d of \(numFeatures) features: at least 1 is needed")
    }
    self.numFeatures = numFeatures
    self.eps = eps
    self.momentum = momentum
    weight = affine ? try newParameter([numFeatures], .constant(1)) : nil
    bias = affine ? try newParameter([numFeatures], .constant(0)) : nil
    runningMean = Buffer(try Tensor.zeros([numFeatures]))
    runningVariance = Buffer(try Tensor.full([numFeatures], 1 as Float))
    batchesTracked = Buffer(try Tensor(scalar: 0 as Int64))
  }

  /// PyTorch's names.
  public var members: [ModuleMember] {
    [("weight", weight), ("bias", bias)].compactMap { name, parameter in
      parameter.map { ModuleMember(name, .parameter($0)) }
    } + [
      ModuleMember("running_mean", .buffer(runningMean)),
      ModuleMember("running_var", .buffer(runningVariance)),
      ModuleMember("num_batches_tracked", .buffer(batchesTracked)),
    ]
  }

  /// 1 for the weight, 0 for the bias.
  public func initializer(ofParameter name: String) -> Initializer? { .constant(name == "weight" ? 1 : 0) }

  /// Mean 0, variance 1, no batches.
  public func resetRunningStatistics() {
    func fill(_ buffer: Buffer, _ value: Double) {
      let count = buffer.value.count
      if buffer.value.elementType == .float64 {
        buffer.value.withUnsafeMutablePointer(as: Double.self) { $0.update(repeating: value, count: count) }
      } else {
        buffer.value.withUnsafeMutablePointer(as: Float.self) {
          $0.update(repeating: Float(value), count: count)
        }
      }
    }
    fill(runningMean, 0)
    fill(runningVariance, 1)
    batchesTracked.value.withUnsafeMutablePointer(as: Int64.self) { $0[0] = 0 }
  }

  /// The normalisation; in training also updates the running statistics.
  public func forward(_ input: Variable) throws -> Variable {
    try normalized(input, adding: nil, relu: false)
  }

  /// The normalisation, then + `residual` and max(y, 0) where they are asked for, in one pass over memory.
  public func callAsFunction(
    _ input: Variable, adding residual: Variable? = nil, relu: Bool
  ) throws -> Variable {
    let observer = ModuleObservation.observer
    observer?.willCall(self, input)
    let output = try normalized(input, adding: residual, relu: relu)
    observer?.didCall(self, outputShape: output.shape)
    return output
  }

  private func normalized(_ input: Variable, adding residual: Variable?, relu: Bool) throws -> Variable {
    guard input.value.rank == 4 else {
      throw ConvError.operand("BatchNorm2d needs an input [N, C, H, W], found \(input.shape)")
    }
    guard isTraining else {
      return try input.batchNorm(
        mean: runningMean.value, variance: runningVariance.value, weight: weight, bias: bias, eps: eps,
        adding: residual, relu: relu)
    }
    guard input.shape[1] == numFeatures else {
      throw ConvError.shapeMismatch(
        what: "the input of \(self)", expected: [input.shape[0], numFeatures] + input.shape.dropFirst(2),
        found: input.shape)
    }
    let (output, statistics) = try input.batchNorm(
      weight: weight, bias: bias, eps: eps, adding: residual, relu: relu)
    let tracked = batchesTracked.value.scalar(as: Int64.self) &+ 1
    batchesTracked.value.withUnsafeMutablePointer(as: Int64.self) { $0[0] = tracked }
    // An empty batch is counted, and says nothing.
    guard statistics.count > 0 else { return output }
    let newest = momentum ?? 1 / Double(tracked)
    let unbiased = Double(statistics.count) / Double(statistics.count - 1)
    track(runningMean, statistics.mean, newest, 1)
    track(runningVariance, statistics.variance, newest, unbiased)
    return output
  }

  /// after = (1 − m)·before + m·factor·batch.
  private func track(_ running: Buffer, _ batch: Tensor, _ newest: Double, _ factor: Double) {
    let count = batch.count
    if batch.elementType == .float64 {
      let values = batch.values(as: Double.self)
      running.value.withUnsafeMutablePointer(as: Double.self) { average in
        for i in 0..<count { average[i] = (1 - newest) * average[i] + newest * factor * values[i] }
      }
    } else {
      let values = batch.values(as: Float.self)
      running.value.withUnsafeMutablePointer(as: Float.self) { average in
        for i in 0..<count {
          average[i] = Float((1 - newest) * Double(average[i]) + newest * factor * Double(values[i]))
        }
      }
    }
  }

  /// What PyTorch prints.
  public var argumentText: String {
    "\(numFeatures), eps: \(eps), momentum: \(momentum.map { "\($0)" } ?? "nil"), affine: \(weight != nil)"
  }
}

/// Layers one after the other; their keys are their numbers.
public final class Sequential: Module {
  /// In order.
  public private(set) var layers: [any Module]

  /// From a list.
  public init(_ layers: any Module...) { self.layers = layers }
  /// From an array.
  public init(_ layers: [any Module]) { self.layers = layers }

  /// Adds a layer at the end.
  public func append(_ layer: any Module) { layers.append(layer) }
  /// Layer number `index`.
  public subscript(index: Int) -> any Module { layers[index] }

  /// The layers by number.
  public var members: [ModuleMember] {
    layers.enumerated().map { ModuleMember("\($0.offset)", .module($0.element)) }
  }

  /// One after the other.
  public func forward(_ input: Variable) throws -> Variable {
    try layers.reduce(input) { try $1($0) }
  }
}
