import ConvAutograd
import ConvCore

/// VGG-11 (configuration A) without batch normalisation for 64×64 images, with torchvision's parameter names.
/// Simonyan & Zisserman 2015.
///
/// [N, 3, 64, 64] → [N, classes]. `features` is torchvision's: eight 3×3 convolutions with ReLU and, after numbers 1, 2, 4,
/// 6 and 8, 2×2 max pooling, which leaves 512×2×2. `classifier` is torchvision's but for its first layer, and there is no
/// adaptive pooling before it: Linear(2048, 4096), ReLU, Dropout, Linear(4096, 4096), ReLU, Dropout, Linear(4096, classes).
public final class VGG11: Module {
  let features: Sequential
  let classifier: Sequential
  private let stages: FeatureStages

  /// With PyTorch's default initialisation of each layer.
  ///
  /// - Parameter dropout: probability of the classifier's two dropouts; 0 makes training deterministic, as comparisons need.
  public init(classes: Int = 10, dropout: Double = 0.5) throws {
    var stages = FeatureStages()
    var channels = 3
    for (outChannels, pools) in [
      (64, true), (128, true), (256, false), (256, true), (512, false), (512, true), (512, false),
      (512, true),
    ] {
      stages.append(
        try Conv2d(channels, outChannels, kernelSize: 3, padding: 1),
        pool: pools ? MaxPool2d(kernelSize: 2) : nil)
      channels = outChannels
    }
    self.stages = stages
    features = stages.layers
    classifier = Sequential(
      try Linear(512 * 2 * 2, 4096), ReLU(), try Dropout(p: dropout), try Linear(4096, 4096), ReLU(),
      try Dropout(p: dropout), try Linear(4096, classes))
  }

  /// The convolutions once, under torchvision's numbers: the stages hold the same ones.
  public var members: [ModuleMember] {
    [ModuleMember("features", .module(features)), ModuleMember("classifier", .module(classifier))]
  }

  /// Logits.
  public func forward(_ input: Variable) throws -> Variable {
    guard input.value.rank == 4, Array(input.shape[1...]) == [3, 64, 64] else {
      throw ConvError.operand("VGG11 needs an input [N, 3, 64, 64], found \(input.shape)")
    }
    return try classifier(stages(input).flatten())
  }
}
