import ConvNN
import ConvVision

/// A network that `vbench train` knows by name.
struct TrainableNetwork {
  /// The name on the command line.
  let name: String
  /// Shape of one input, as text.
  let input: String
  /// What it is, in one line.
  let summary: String
  /// What is done to the images of the data set.
  let transform: ImageTransform
  /// Makes it; parameters are initialised afterwards.
  let make: () throws -> any Module

  /// All of them.
  static var all: [TrainableNetwork] {
    [
      TrainableNetwork(
        name: "seed-cnn", input: "3x32x32",
        summary: "three 3x3 convolutions 3-32-64-128, each with ReLU and 2x2 max pooling, then 2048-1000-10",
        transform: .seedCNN, make: { try SeedCNN() })
    ]
  }

  /// The network of that name.
  ///
  /// - Throws: `UnknownNameError`.
  static func named(_ name: String) throws -> TrainableNetwork {
    guard let network = all.first(where: { $0.name == name }) else {
      throw UnknownNameError(kind: "network", name: name, known: all.map(\.name))
    }
    return network
  }
}
