import ConvAutograd
import ConvCore

/// Two 3×3 convolutions with batch normalisation around a shortcut. He, Zhang, Ren & Sun 2016, figure 5, left.
///
/// [N, C, H, W] → [N, K, ⌈H/stride⌉, ⌈W/stride⌉]: y = relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x)).
public final class BasicBlock: Module {
  let conv1: Conv2d
  let bn1: BatchNorm2d
  let conv2: Conv2d
  let bn2: BatchNorm2d
  /// A 1×1 convolution and its normalisation where the shortcut changes the shape.
  let downsample: Sequential?

  /// - Parameter stride: of the first convolution and of the shortcut.
  public init(_ inChannels: Int, _ outChannels: Int, stride: Int = 1) throws {
    conv1 = try Conv2d(
      inChannels, outChannels, kernelSize: 3, stride: Sizes(stride), padding: 1, bias: false)
    bn1 = try BatchNorm2d(outChannels)
    conv2 = try Conv2d(outChannels, outChannels, kernelSize: 3, padding: 1, bias: false)
    bn2 = try BatchNorm2d(outChannels)
    downsample =
      stride == 1 && inChannels == outChannels
      ? nil
      : Sequential(
        try Conv2d(inChannels, outChannels, kernelSize: 1, stride: Sizes(stride), bias: false),
        try BatchNorm2d(outChannels))
  }

  /// The block.
  public func forward(_ input: Variable) throws -> Variable {
    let x = try bn1(conv1(input), relu: true)
    let shortcut = try downsample?(input) ?? input
    return try bn2(conv2(x), adding: shortcut, relu: true)
  }
}

/// ResNet-18 for small images, with torchvision's parameter names: a 3×3 stem without max pooling, four stages of two
/// blocks with 64, 128, 256 and 512 channels, the mean over the image, and a linear layer. He, Zhang, Ren & Sun 2016.
///
/// [N, 3, H, W] → [N, classes]; usual for 32×32 (CIFAR).
public final class ResNet18: Module {
  let conv1: Conv2d
  let bn1: BatchNorm2d
  let layer1, layer2, layer3, layer4: Sequential
  let fc: Linear

  /// With PyTorch's default initialisation of each layer.
  public init(classes: Int = 10) throws {
    func stage(_ inChannels: Int, _ outChannels: Int, stride: Int) throws -> Sequential {
      Sequential(
        try BasicBlock(inChannels, outChannels, stride: stride), try BasicBlock(outChannels, outChannels))
    }
    conv1 = try Conv2d(3, 64, kernelSize: 3, padding: 1, bias: false)
    bn1 = try BatchNorm2d(64)
    layer1 = try stage(64, 64, stride: 1)
    layer2 = try stage(64, 128, stride: 2)
    layer3 = try stage(128, 256, stride: 2)
    layer4 = try stage(256, 512, stride: 2)
    fc = try Linear(512, classes)
  }

  /// Logits.
  public func forward(_ input: Variable) throws -> Variable {
    var x = try bn1(conv1(input), relu: true)
    x = try layer4(layer3(layer2(layer1(x))))
    return try fc(x.globalAvgPool2d().flatten())
  }
}
