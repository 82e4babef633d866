import ConvNN
import ConvVision

extension ImageNetwork {
  /// Shape of one input, as text.
  var input: String { "\(channels)x\(side)x\(side)" }

  /// What is done to the images of a data set.
  var transform: ImageTransform { ImageTransform(height: side, width: side, channels: channels) }

  /// The network of that name.
  ///
  /// - Throws: `UnknownNameError`; `MisplacedNameError` where the name is that of a suite or an engine.
  static func known(_ name: String, in place: NameKind.Place = .selection) throws -> ImageNetwork {
    guard let network = named(name) else {
      if let error = MisplacedNameError(name, wanted: "a network", .network, in: place) { throw error }
      throw UnknownNameError(kind: "network", name: name, known: all.map(\.name))
    }
    return network
  }
}
