/// How often an automatic choice was the best one, and where it was not.
public struct CostModelAudit: Sendable {
  /// A row where another competitor was faster by more than the tolerance.
  public struct Miss: Sendable {
    /// What was chosen, and what was best.
    public let chosen: ResultRow
    public let best: ResultRow
    /// The chosen one's median time over the best one's.
    public let ratio: Double
  }

  /// Fraction by which the chosen may be slower than the best.
  public let tolerance: Double
  /// Items in which the automatic choice and at least one other competitor were verified and timed.
  public private(set) var compared = 0
  /// The worst first.
  public private(set) var misses: [Miss] = []

  /// An audit of a run's rows.
  ///
  /// - Parameter automatic: label of the competitor that chooses. A competitor with the very plan that it chose is no other one.
  public init(rows: [ResultRow], automatic: String, tolerance: Double = 0.1) {
    self.tolerance = tolerance
    for own in rows where own.backend == automatic && CostModelAudit.counts(own) {
      let others = rows.filter {
        $0.itemKey == own.itemKey && $0.backend != automatic && CostModelAudit.counts($0)
      }
      guard let best = others.min(by: { $0.medianMilliseconds < $1.medianMilliseconds }) else { continue }
      compared += 1
      let ratio = own.medianMilliseconds / best.medianMilliseconds
      let isSamePlan = best.variant == own.variant && best.executedBy == own.executedBy
      if ratio > 1 + tolerance && !isSamePlan {
        misses.append(Miss(chosen: own, best: best, ratio: ratio))
      }
    }
    misses.sort { $0.ratio > $1.ratio }
  }

  private static func counts(_ row: ResultRow) -> Bool {
    row.verification.verdict == .passed && row.medianMilliseconds.isFinite
  }
}
