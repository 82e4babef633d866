import ConvAutograd
import ConvCore

/// AlexNet with one tower for 64×64 images, with torchvision's parameter names. Krizhevsky, *One weird trick for parallelizing
/// convolutional neural networks*, arXiv 1404.5997.
///
/// [N, 3, 64, 64] → [N, classes]. `features` is torchvision's, which leaves 256×1×1 of so small an image: 11×11 with stride 4, 5×5,
/// and three of 3×3, with ReLU, and 3×3 max pooling with stride 2 after numbers 1, 2 and 5. `classifier` is torchvision's but for
/// its first layer, and there is no adaptive pooling before it: Dropout, Linear(256, 4096), ReLU, Dropout, Linear(4096, 4096), ReLU,
/// Linear(4096, classes).
public final class AlexNet: Module {
  let features: Sequential
  let classifier: Sequential
  private let stages: FeatureStages

  /// With PyTorch's default initialisation of each layer.
  ///
  /// - Parameter dropout: probability of the classifier's two dropouts; 0 makes training deterministic, as comparisons need.
  public init(classes: Int = 10, dropout: Double = 0.5) throws {
    var stages = FeatureStages()
    func pool() -> MaxPool2d { MaxPool2d(kernelSize: 3, stride: 2) }
    stages.append(try Conv2d(3, 64, kernelSize: 11, stride: 4, padding: 2), pool: pool())
    stages.append(try Conv2d(64, 192, kernelSize: 5, padding: 2), pool: pool())
    stages.append(try Conv2d(192, 384, kernelSize: 3, padding: 1))
    stages.append(try Conv2d(384, 256, kernelSize: 3, padding: 1))
    stages.append(try Conv2d(256, 256, kernelSize: 3, padding: 1), pool: pool())
    self.stages = stages
    features = stages.layers
    classifier = Sequential(
      try Dropout(p: dropout), try Linear(256, 4096), ReLU(), try Dropout(p: dropout), try Linear(4096, 4096),
      ReLU(), try Linear(4096, classes))
  }

  /// The convolutions once, under torchvision's numbers: the stages hold the same ones.
  public var members: [ModuleMember] {
    [ModuleMember("features", .module(features)), ModuleMember("classifier", .module(classifier))]
  }

  /// Logits.
  public func forward(_ input: Variable) throws -> Variable {
    guard input.value.rank == 4, Array(input.shape[1...]) == [3, 64, 64] else {
      throw ConvError.operand("AlexNet needs an input [N, 3, 64, 64], found \(input.shape)")
    }
    return try classifier(stages(input).flatten())
  }
}
