/// How a competitor's time compares with that of the fastest engine of the same problem.
public struct BestComparison: Sendable, Hashable {
  /// What may be said.
  public enum Verdict: String, Sendable, Hashable, CaseIterable {
    /// It is the engine of the least median.
    case best
    /// It is a chooser and took the very plan of the best engine: what the ratio says beyond that is noise.
    case samePlan = "same plan"
    /// The interval contains 1, or the difference is at most 2 %.
    case indistinguishable
    case slower
    /// By paired rounds it is faster than the one of the least median.
    case faster
    /// Fewer than two paired rounds.
    case unknown
  }

  /// Label of the engine of the least median.
  public var backend: String
  /// Median over rounds of own time / the best one's time: 1.25 takes a quarter longer.
  public var ratio: Double
  /// 95 % interval of the ratio.
  public var low: Double
  public var high: Double
  public var verdict: Verdict

  /// A comparison that was made before.
  public init(backend: String, ratio: Double, low: Double, high: Double, verdict: Verdict) {
    self.backend = backend
    self.ratio = ratio
    self.low = low
    self.high = high
    self.verdict = verdict
  }

  /// From the times of the same rounds.
  public init(backend: String, best: [Double], own: [Double], seed: UInt64, resamples: Int = 2000) {
    let speedup = Speedup(baseline: best, own: own, seed: seed, resamples: resamples)
    self.init(
      backend: backend, ratio: 1 / speedup.ratio, low: 1 / speedup.high, high: 1 / speedup.low,
      verdict: speedup.verdict == .faster
        ? .faster
        : speedup.verdict == .slower ? .slower : speedup.verdict == .unknown ? .unknown : .indistinguishable)
  }

  /// The fastest against itself.
  public static func ofBest(_ backend: String) -> BestComparison {
    BestComparison(backend: backend, ratio: 1, low: 1, high: 1, verdict: .best)
  }
}
