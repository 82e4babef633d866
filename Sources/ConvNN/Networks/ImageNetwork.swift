import ConvAutograd
import ConvCore

/// A network that classifies square images into ten classes, known by name.
public struct ImageNetwork: Sendable {
  /// As in `resnet18`.
  public let name: String
  /// Height and width of the images.
  public let side: Int
  /// 3 for RGB, 1 for grey images.
  public let channels: Int
  /// Images per step, unless said otherwise.
  public let batch: Int
  /// What it is, in one line.
  public let summary: String
  /// Makes it; `initialize(_:seed:)` gives it the initial weights of a seed.
  public let make: @Sendable () throws -> any Module

  /// A network of one's own.
  public init(
    name: String, side: Int, channels: Int = 3, batch: Int, summary: String,
    make: @escaping @Sendable () throws -> any Module
  ) {
    (self.name, self.side, self.channels, self.batch) = (name, side, channels, batch)
    (self.summary, self.make) = (summary, make)
  }

  /// All that have a name on the command line.
  public static let all = [
    ImageNetwork(
      name: "seed-cnn", side: 32, batch: 64,
      summary: "three 3x3 convolutions 3-32-64-128, each with ReLU and 2x2 max pooling, then 2048-1000-10",
      make: { try SeedCNN() }),
    ImageNetwork(
      name: "lenet", side: 28, channels: 1, batch: 64,
      summary:
        "LeNet-5 for 28x28 grey images: 5x5 convolutions 1-6-16 with tanh and 2x2 means, then 400-120-84-10",
      make: { try LeNet() }),
    ImageNetwork(
      name: "alexnet", side: 64, batch: 32,
      summary:
        "AlexNet without dropout for 64x64 images: 11x11/4, 5x5, three 3x3, then 256-4096-4096-10",
      make: { try AlexNet(dropout: 0) }),
    ImageNetwork(
      name: "vgg11", side: 64, batch: 16,
      summary:
        "VGG-11 without batch norm or dropout: eight 3x3 convolutions 64-...-512, then 2048-4096-4096-10",
      make: { try VGG11(dropout: 0) }),
    ImageNetwork(
      name: "resnet18", side: 32, batch: 32,
      summary:
        "ResNet-18 for small images: 3x3 stem, eight basic blocks with batch norm 64-128-256-512, 512-10",
      make: { try ResNet18() }),
    ImageNetwork(
      name: "mobilenet-v2", side: 32, batch: 32,
      summary:
        "MobileNetV2 of width 1 without dropout for 32x32 images: 17 inverted residuals, 1280-10",
      make: { try MobileNetV2(dropout: 0) }),
  ]

  /// The network of that name, if there is one.
  public static func named(_ name: String) -> ImageNetwork? { all.first { $0.name == name } }

  /// Shape of a batch of images.
  public func inputShape(batch: Int) -> [Int] { [batch, channels, side, side] }
}
