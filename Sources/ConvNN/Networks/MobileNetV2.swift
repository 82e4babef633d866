import ConvAutograd
import ConvCore

/// A convolution with padding to keep the size, batch normalisation and ReLU6.
private func normalized(
  _ inChannels: Int, _ outChannels: Int, kernelSize: Int, stride: Int = 1, groups: Int = 1
) throws -> Sequential {
  Sequential(
    try Conv2d(
      inChannels, outChannels, kernelSize: Sizes(kernelSize), stride: Sizes(stride),
      padding: Sizes(kernelSize / 2), groups: groups, bias: false),
    try BatchNorm2d(outChannels), ReLU6())
}

/// An inverted residual with a linear bottleneck. Sandler, Howard, Zhu, Zhmoginov & Chen 2018, figure 4.
///
/// [N, C, H, W] → [N, K, ⌈H/stride⌉, ⌈W/stride⌉]: 1×1 to `expansion`·C channels, 3×3 per channel, 1×1 to K, each with batch
/// normalisation, the first two with ReLU6; x is added where it has the result's shape. Without an expansion the first is left out.
public final class InvertedResidual: Module {
  let conv: Sequential
  private let stages: [any Module]
  private let normalization: BatchNorm2d
  private let isResidual: Bool

  /// - Parameter stride: of the 3×3 convolution.
  public init(_ inChannels: Int, _ outChannels: Int, stride: Int, expansion: Int) throws {
    let hidden = inChannels * expansion
    var stages: [any Module] = []
    if expansion != 1 { stages.append(try normalized(inChannels, hidden, kernelSize: 1)) }
    stages.append(try normalized(hidden, hidden, kernelSize: 3, stride: stride, groups: hidden))
    stages.append(try Conv2d(hidden, outChannels, kernelSize: 1, bias: false))
    normalization = try BatchNorm2d(outChannels)
    isResidual = stride == 1 && inChannels == outChannels
    conv = Sequential(stages + [normalization])
    self.stages = stages
  }

  /// Only under torchvision's names.
  public var members: [ModuleMember] { [ModuleMember("conv", .module(conv))] }

  /// The block.
  public func forward(_ input: Variable) throws -> Variable {
    let x = try stages.reduce(input) { try $1($0) }
    return try normalization(x, adding: isResidual ? input : nil, relu: false)
  }
}

/// MobileNetV2 of width 1 for 32×32 images, with torchvision's parameter names. Sandler, Howard, Zhu, Zhmoginov & Chen,
/// *MobileNetV2: inverted residuals and linear bottlenecks*, 2018, table 2.
///
/// [N, 3, H, W] → [N, classes]. As usual for small images the stem and the first block with 24 channels have stride 1 in the place
/// of 2, so that 4×4 is left of 32×32.
public final class MobileNetV2: Module {
  let features: Sequential
  let classifier: Sequential

  /// With PyTorch's default initialisation of each layer.
  ///
  /// - Parameter dropout: probability of the classifier's dropout; 0 makes training deterministic, as comparisons need.
  public init(classes: Int = 10, dropout: Double = 0.2) throws {
    features = Sequential(try normalized(3, 32, kernelSize: 3))
    var channels = 32
    for (expansion, outChannels, count, stride) in [
      (1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
      (6, 320, 1, 1),
    ] {
      for index in 0..<count {
        features.append(
          try InvertedResidual(
            channels, outChannels, stride: index == 0 ? stride : 1, expansion: expansion))
        channels = outChannels
      }
    }
    features.append(try normalized(channels, 1280, kernelSize: 1))
    classifier = Sequential(try Dropout(p: dropout), try Linear(1280, classes))
  }

  /// Logits.
  public func forward(_ input: Variable) throws -> Variable {
    try classifier(features(input).globalAvgPool2d().flatten())
  }
}
