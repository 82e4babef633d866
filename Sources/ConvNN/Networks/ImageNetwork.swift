import ConvAutograd
import ConvCore

/// A network that classifies square RGB images into ten classes, known by name.
public struct ImageNetwork: Sendable {
  /// As in `resnet18`.
  public let name: String
  /// Height and width of the images.
  public let side: Int
  /// Images per step in comparisons, unless said otherwise.
  public let batch: Int
  /// What it is, in one line.
  public let summary: String
  /// Makes it; `initialize(_:seed:)` gives it the initial weights of a seed.
  public let make: @Sendable () throws -> any Module

  /// A network of one's own.
  public init(
    name: String, side: Int, batch: Int, summary: String, make: @escaping @Sendable () throws -> any Module
  ) {
    (self.name, self.side, self.batch) = (name, side, batch)
    (self.summary, self.make) = (summary, make)
  }

  /// All that have a name on the command line.
  public static let all = [
    ImageNetwork(
      name: "seed-cnn", side: 32, batch: 64,
      summary: "three 3x3 convolutions 3-32-64-128, each with ReLU and 2x2 max pooling, then 2048-1000-10",
      make: { try SeedCNN() }),
    ImageNetwork(
      name: "resnet18", side: 32, batch: 32,
      summary:
        "ResNet-18 for small images: 3x3 stem, eight basic blocks with batch norm 64-128-256-512, 512-10",
      make: { try ResNet18() }),
    ImageNetwork(
      name: "vgg11", side: 64, batch: 16,
      summary:
        "VGG-11 without batch norm or dropout: eight 3x3 convolutions 64-...-512, then 2048-4096-4096-10",
      make: { try VGG11(dropout: 0) }),
  ]

  /// The network of that name, if there is one.
  public static func named(_ name: String) -> ImageNetwork? { all.first { $0.name == name } }

  /// Shape of a batch of images.
  public func inputShape(batch: Int) -> [Int] { [batch, 3, side, side] }
}
