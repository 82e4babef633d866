import ConvCore

/// Who transforms: FFTW, for any tile and both element types, or our own kernels across channels, for float32 and tiles of
/// 8, 16, 32 or 64 a side. Each provider cuts, blocks and multiplies in the way that suits its spectra.
protocol TransformProvider: Sendable {
  /// As variants say it: `transform=own`.
  var name: String { get }

  /// Whether the provider can do the operation, and what it would cost.
  ///
  /// - Parameter tile: the tile that was asked for; nil leaves it to the provider.
  func offer(_ operation: ConvOperation, _ options: PlanOptions, tile: TileSize?) -> TransformOffer
}

/// A provider's answer.
enum TransformOffer {
  /// With a reason that a user can act on.
  case declined(String)
  /// Estimated nanoseconds of one core, by which providers are compared; the plan's work, and the plan.
  case plan(nanoseconds: Double, work: () -> ConvWork, make: () throws -> any ConvPlan)
}

/// The layout for as many tasks at once as there are threads, each with scratch of its own; for fewer where that exceeds the
/// limit. Tiles are offered as for one task, so that they do not follow the threads.
func layout<Layout>(_ options: PlanOptions, _ fitting: (_ slots: Int) -> Layout?) -> Layout? {
  var slots = max(1, options.threads)
  while true {
    if let layout = fitting(slots) { return layout }
    if slots == 1 { return nil }
    slots /= 2
  }
}

/// Height and width of a tile.
struct TileSize: Hashable, Sendable, CustomStringConvertible {
  var height, width: Int

  /// Largest tile length that can be asked for.
  static let largest = 1 << 14

  /// `16x32`.
  var description: String { "\(height)x\(width)" }
}

/// A variant of the engine: `tile=HxW`, `transform=own`, both or neither.
struct FFTVariant: Equatable {
  var tile: TileSize?
  var transform: String?

  /// From `tile=HxW,transform=NAME`, with or without `fft[…]` around it; nil where it is neither.
  init?(_ text: String, transforms: [String]) {
    var text = Substring(text)
    if text.hasPrefix("fft["), text.hasSuffix("]") { text = text.dropFirst(4).dropLast() }
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
      let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      guard pair.count == 2 else { return nil }
      switch pair[0] {
      case "tile" where tile == nil:
        guard let size = FFTVariant.tile(pair[1]) else { return nil }
        tile = size
      case "transform" where transform == nil && transforms.contains(String(pair[1])):
        transform = String(pair[1])
      default: return nil
      }
    }
  }

  private static func tile(_ text: Substring) -> TileSize? {
    let sides = text.split(separator: "x", omittingEmptySubsequences: false)
    guard sides.count == 2, let height = Int(sides[0]), let width = Int(sides[1]),
      (1...TileSize.largest).contains(height), (1...TileSize.largest).contains(width)
    else { return nil }
    return TileSize(height: height, width: width)
  }
}
