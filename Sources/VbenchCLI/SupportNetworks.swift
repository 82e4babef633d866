import ConvNN
import ConvVision

extension ImageNetwork {
  /// Shape of one input, as text.
  var input: String { "\(channels)x\(side)x\(side)" }

  /// What is done to the images of a data set.
  var transform: ImageTransform { ImageTransform(height: side, width: side, channels: channels) }

  /// The network of that name.
  ///
  /// - Throws: `UnknownNameError`.
  static func known(_ name: String) throws -> ImageNetwork {
    guard let network = named(name) else {
      throw UnknownNameError(kind: "network", name: name, known: all.map(\.name))
    }
    return network
  }
}
