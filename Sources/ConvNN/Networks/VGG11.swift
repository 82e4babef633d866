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
  private let stages: [Stage]

  /// A convolution of the features, and the pooling that follows its ReLU.
  private struct Stage {
    let convolution: Conv2d
    let pool: MaxPool2d?
  }

  /// With PyTorch's default initialisation of each layer.
  ///
  /// - Parameter dropout: probability of the classifier's two dropouts; 0 makes training deterministic, as comparisons need.
  public init(classes: Int = 10, dropout: Double = 0.5) throws {
    features = Sequential()
    var stages: [Stage] = []
    var channels = 3
    for (outChannels, pools) in [
      (64, true), (128, true), (256, false), (256, true), (512, false), (512, true), (512, false),
      (512, true),
    ] {
      let convolution = try Conv2d(channels, outChannels, kernelSize: 3, padding: 1)
      let pool = pools ? MaxPool2d(kernelSize: 2) : nil
      stages.append(Stage(convolution: convolution, pool: pool))
      channels = outChannels
      // The ReLUs are here for their numbers: they are part of the convolutions, as is the pooling.
      features.append(convolution)
      features.append(ReLU())
      if let pool { features.append(pool) }
    }
    self.stages = stages
    classifier = Sequential(
      try Linear(512 * 2 * 2, 4096), ReLU(), try Dropout(p: dropout), try Linear(4096, 4096), ReLU(),
      try Dropout(p: dropout), try Linear(4096, classes))
  }

  /// Logits.
  public func forward(_ input: Variable) throws -> Variable {
    guard input.value.rank == 4, Array(input.shape[1...]) == [3, 64, 64] else {
      throw ConvError.operand("VGG11 needs an input [N, 3, 64, 64], found \(input.shape)")
    }
    let x = try stages.reduce(input) { try $1.convolution($0, relu: true, maxPool: $1.pool) }
    return try classifier(x.flatten())
  }
}
