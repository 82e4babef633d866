/// How often an automatic choice was the best one, and where it was not.
///
/// The best engine of an item is chosen by its even rounds, and compared with the automatic choice in the odd ones: what was the
/// luckiest of several in the same rounds would look faster than it is.
public struct CostModelAudit: Sendable {
  /// One item: the automatic choice beside the best engine.
  public struct Entry: Sendable {
    /// What was chosen, and what was best.
    public let chosen: ResultRow
    public let best: ResultRow
    /// Median over the odd rounds of the chosen one's time over the best one's.
    public let ratio: Double
    /// Whether the choice was the best engine's very plan: then the ratio is noise.
    public let isSamePlan: Bool
  }

  /// Fraction by which the chosen may be slower than the best.
  public let tolerance: Double
  /// Items in which the automatic choice and at least one engine were verified and timed, in their order.
  public private(set) var entries: [Entry] = []

  /// Those that were slower by more than the tolerance, the worst first.
  public var misses: [Entry] {
    entries.filter { !$0.isSamePlan && $0.ratio > 1 + tolerance }.sorted { $0.ratio > $1.ratio }
  }

  /// Geometric mean of the best one's time over the chosen one's; NaN without entries.
  public var mean: Double { CostModelAudit.mean(entries) }

  /// Geometric mean of the best one's time over the chosen one's in some entries.
  public static func mean(_ entries: [Entry]) -> Double {
    entries.isEmpty ? .nan : Statistics.geometricMean(entries.map { 1 / $0.ratio })
  }

  /// An audit of a run's rows.
  ///
  /// - Parameter automatic: label of the competitor that chooses; other choosers are no engines either.
  public init(rows: [ResultRow], automatic: String, tolerance: Double = 0.1) {
    self.tolerance = tolerance
    for own in rows where own.backend == automatic && CostModelAudit.counts(own) {
      let engines = rows.filter {
        $0.itemKey == own.itemKey && $0.role == .engine && CostModelAudit.counts($0)
      }
      let even = engines.map { (row: $0, time: CostModelAudit.median($0) { $0 % 2 == 0 }) }
      guard let best = even.filter({ $0.time.isFinite }).min(by: { $0.time < $1.time })?.row else { continue }
      let (mine, other) = (own.samplesByRound, best.samplesByRound)
      let ratios = mine.compactMap { round, seconds in
        round % 2 == 1 ? other[round].map { seconds / $0 } : nil
      }
      guard !ratios.isEmpty else { continue }
      entries.append(
        Entry(
          chosen: own, best: best, ratio: Statistics.median(ratios),
          isSamePlan: own.hasPlan(of: best)))
    }
  }

  private static func median(_ row: ResultRow, _ includes: (Int) -> Bool) -> Double {
    Statistics.median(row.samplesByRound.filter { includes($0.key) }.map(\.value))
  }

  private static func counts(_ row: ResultRow) -> Bool {
    row.verification.verdict == .passed && row.medianMilliseconds.isFinite
  }
}
