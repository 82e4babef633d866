import ConvAutograd
import ConvCore

/// The network of reference: three 3×3 convolutions, each with ReLU and 2×2 max pooling, and two linear layers.
///
/// [N, 3, 32, 32] → [N, 10].
public final class SeedCNN: Module {
  let conv1, conv2, conv3: Conv2d
  let pool: MaxPool2d
  let fc1, fc2: Linear

  /// With PyTorch's default initialisation.
  public init() throws {
    conv1 = try Conv2d(3, 32, kernelSize: 3, padding: 1)
    conv2 = try Conv2d(32, 64, kernelSize: 3, padding: 1)
    conv3 = try Conv2d(64, 128, kernelSize: 3, padding: 1)
    pool = MaxPool2d(kernelSize: 2)
    fc1 = try Linear(128 * 4 * 4, 1000)
    fc2 = try Linear(1000, 10)
  }

  /// Logits of ten classes.
  public func forward(_ input: Variable) throws -> Variable {
    var x = try conv1(input, relu: true, maxPool: pool)
    x = try conv2(x, relu: true, maxPool: pool)
    x = try conv3(x, relu: true, maxPool: pool)
    x = try x.flatten()
    x = try fc1(x, relu: true)
    return try fc2(x)
  }
}
