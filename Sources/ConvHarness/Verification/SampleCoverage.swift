import ConvCore

/// How likely a defect goes unseen because not every result is looked at.
///
/// s of n results are sampled. A defect of a given shape, at a place of which nothing is known (every place equally likely),
/// goes unseen with these probabilities; all are exact for the grid that was used, and 0 where everything is looked at:
///
/// - `scattered`: D = ⌈f·n⌉ results anywhere, f = 1 %: C(n − D, s) / C(n, s), about (1 − f)ˢ.
/// - `tile`: one tile of 4×4 results in one image (one filter for backward-filter), in all channels: the share of such tiles
///   into which no sample falls.
/// - `channel`: one whole output channel (of the result's second axis): the share of channels without a sample.
///
/// Where sums over all results are compared too (`Projection`), tiles and channels do not count whose loss these would show; where the
/// sums are single results, nothing goes unseen. (That loss is a wrong value of the size of the results; the bounds that decide it are taken
/// from the least ones by the largest quotient found at some places, so that the probabilities are estimates for engines that
/// transform, and exact for plain sums.)
///
/// A result that is not written at all is always seen: outputs are filled with NaN, and all of them are searched for it. Tiles
/// and channels at the borders, which engines treat apart, are sampled first, so that the usual defects are seen far more
/// often than these numbers say.
public struct SampleCoverage: Sendable, Hashable {
  /// Results looked at.
  public internal(set) var sampled = 0
  /// All results.
  public internal(set) var total = 0
  /// Probability that a defect of 1 % of the results, at random places, goes unseen.
  public internal(set) var scattered = Double.nan
  /// Probability that one wrong 4×4 tile of one image goes unseen.
  public internal(set) var tile = Double.nan
  /// Probability that one wrong channel goes unseen.
  public internal(set) var channel = Double.nan

  /// Whether every result was compared by itself.
  public var isWhole: Bool { sampled >= total || max(scattered, tile, channel) == 0 }

  /// The share of the results that a scattered defect touches.
  public static let fraction = 0.01
  /// Height and width of the tile.
  static let tileSize = 4

  /// Nothing is known.
  init() {}

  /// Of a grid, and of the sums over all results.
  public init(_ grid: SampleGrid, _ sight: ProjectionSight? = nil) {
    let (first, second) = SampleGrid.outer(grid.problem, grid.pass)
    let extent = grid.extent
    sampled = grid.count
    total = first * second * extent.count
    if sampled >= total || sight?.isWhole == true {
      (scattered, tile, channel) = (0, 0, 0)
      return
    }
    scattered = SampleCoverage.missProbability(sampled: sampled, of: total, fraction: SampleCoverage.fraction)
    let size = SampleCoverage.tileSize
    let (tall, wide) = ((extent.h + size - 1) / size, (extent.w + size - 1) / size)
    var seen = sight?.tiles ?? []
    for row in grid.rows { seen.insert(SampleCoverage.tile(first: row.first, row.at, of: extent)) }
    tile = 1 - Double(seen.count) / Double(first * extent.d * tall * wide)
    channel = 1 - Double((sight?.channels ?? []).union(grid.columns).count) / Double(second)
  }

  /// The number of a result's tile: first index, depth, row and column of tiles.
  static func tile(first: Int, _ at: Extent, of extent: Extent) -> Int {
    let size = SampleCoverage.tileSize
    let (tall, wide) = ((extent.h + size - 1) / size, (extent.w + size - 1) / size)
    return ((first * extent.d + at.d) * tall + at.h / size) * wide + at.w / size
  }

  /// C(n − D, s) / C(n, s) with D = ⌈f·n⌉: `sampled` different results of `total` hold none of the D wrong ones.
  public static func missProbability(sampled s: Int, of n: Int, fraction: Double) -> Double {
    let wrong = max(1, Int((fraction * Double(n)).rounded(.up)))
    if s <= 0 { return 1 }
    if s > n - wrong { return 0 }
    // The smaller of the two is the number of factors; the quotient is symmetric in s and D.
    let (few, many) = (min(s, wrong), max(s, wrong))
    var probability = 1.0
    for i in 0..<few {
      probability *= Double(n - many - i) / Double(n - i)
      if probability < 1e-300 { return 0 }
    }
    return probability
  }
}

extension SampleCoverage: CustomStringConvertible {
  /// `4096 of 802816 results; a defect goes unseen with probability 1e-18 (1 % of the results), 0.92 (one 4×4 tile), 0.75
  /// (one channel)`.
  public var description: String {
    if isWhole { return "all \(total) results" }
    let tile = "one \(SampleCoverage.tileSize)×\(SampleCoverage.tileSize) tile"
    return
      "\(sampled) of \(total) results; a defect goes unseen with probability \(RunReport.short(scattered)) "
      + "(1 % of the results), \(RunReport.short(self.tile)) (\(tile)), \(RunReport.short(channel)) (one channel)"
  }
}
