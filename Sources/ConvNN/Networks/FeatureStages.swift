import ConvAutograd
import ConvCore

/// Convolutions with ReLU, each with the max pooling that follows it, numbered as torchvision's `features` are.
struct FeatureStages {
  /// All layers with their numbers. The ReLUs are here for their numbers: they are part of the convolutions, as 2×2 poolings are.
  let layers = Sequential()
  private var stages: [(convolution: Conv2d, pool: MaxPool2d?)] = []

  mutating func append(_ convolution: Conv2d, pool: MaxPool2d? = nil) {
    stages.append((convolution, pool))
    layers.append(convolution)
    layers.append(ReLU())
    if let pool { layers.append(pool) }
  }

  func callAsFunction(_ input: Variable) throws -> Variable {
    try stages.reduce(input) { try $1.convolution($0, relu: true, maxPool: $1.pool) }
  }
}
