import ConvCore

/// Order statistics and the bootstrap.
public enum Statistics {
  /// The p-quantile, 0 ≤ p ≤ 1, with linear interpolation between order statistics; NaN of nothing.
  public static func quantile(_ values: [Double], _ p: Double) -> Double {
    guard !values.isEmpty else { return .nan }
    let sorted = values.sorted()
    let position = p * Double(sorted.count - 1)
    let low = Int(position.rounded(.down))
    let high = min(low + 1, sorted.count - 1)
    return sorted[low] + (sorted[high] - sorted[low]) * (position - Double(low))
  }

  /// The middle value, or the mean of the two middle ones.
  public static func median(_ values: [Double]) -> Double { quantile(values, 0.5) }

  /// A 95 % percentile bootstrap interval of the median (Efron, Tibshirani: *An Introduction to the Bootstrap*, 1993,
  /// chapter 13): 2000 resamples with a seeded generator.
  ///
  /// Below six values, of which resampling cannot learn much, the whole range.
  public static func medianInterval(_ values: [Double], seed: UInt64) -> (low: Double, high: Double) {
    guard values.count >= 6 else { return (values.min() ?? .nan, values.max() ?? .nan) }
    var random = PhiloxGenerator(seed: seed, stream: 0xB007)
    var medians: [Double] = []
    var resample = values
    for _ in 0..<2000 {
      for i in resample.indices { resample[i] = values[Int(random.uniform() * Double(values.count))] }
      medians.append(median(resample))
    }
    return (quantile(medians, 0.025), quantile(medians, 0.975))
  }
}

/// How a backend compares with the baseline.
public struct Speedup: Sendable, Hashable {
  /// What may be said.
  public enum Verdict: String, Sendable, Hashable {
    case faster, slower, indistinguishable
    /// The baseline itself.
    case baseline
    /// Fewer than two paired rounds.
    case unknown
  }

  /// Median over rounds of baseline time / own time.
  public var ratio: Double
  /// 95 % interval of the ratio.
  public var low: Double
  public var high: Double
  public var verdict: Verdict

  /// From the times of the same rounds.
  ///
  /// `faster` or `slower` needs an interval that excludes 1 and a ratio more than 2 % away from it.
  public init(baseline: [Double], own: [Double], seed: UInt64) {
    let ratios = zip(baseline, own).map { $0 / $1 }
    ratio = Statistics.median(ratios)
    (low, high) = Statistics.medianInterval(ratios, seed: seed)
    if ratios.count < 2 {
      verdict = .unknown
    } else if ratio > 1.02 && low > 1 {
      verdict = .faster
    } else if ratio < 1 / 1.02 && high < 1 {
      verdict = .slower
    } else {
      verdict = .indistinguishable
    }
  }

  /// The baseline against itself.
  public static let ofBaseline: Speedup = {
    var speedup = Speedup(baseline: [1], own: [1], seed: 0)
    speedup.verdict = .baseline
    return speedup
  }()
}
