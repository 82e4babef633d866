import ConvCore
import Foundation

/// Order statistics and the bootstrap.
public enum Statistics {
  /// The p-quantile, 0 ≤ p ≤ 1, with linear interpolation between order statistics; NaN of nothing.
  public static func quantile(_ values: [Double], _ p: Double) -> Double {
    guard !values.isEmpty else { return .nan }
    let sorted = values.sorted()
    let position = p * Double(sorted.count - 1)
    let low = Int(position.rounded(.down))
    let high = min(low + 1, sorted.count - 1)
    // Between infinite values there is no distance.
    if position == Double(low) || sorted[low].isInfinite { return sorted[low] }
    return sorted[low] + (sorted[high] - sorted[low]) * (position - Double(low))
  }

  /// The middle value, or the mean of the two middle ones.
  public static func median(_ values: [Double]) -> Double { quantile(values, 0.5) }

  /// Of positive values.
  public static func geometricMean(_ values: [Double]) -> Double {
    exp(values.reduce(0) { $0 + log($1) } / Double(values.count))
  }

  /// A 95 % interval of the median of values in the order of their rounds.
  ///
  /// From six values on the union of two. The distribution-free interval between order statistics covers at least 95 %
  /// however few and however skewed the values are, if they are independent; `bootstrapInterval` follows their dependence, but is
  /// too narrow for few. Below six, where neither says anything, the range, widened to Student's interval of the mean
  /// logarithm: two values that lie close to each other by chance must not decide anything. Of one value, the value.
  ///
  /// References: Hollander, Wolfe, *Nonparametric statistical methods*, 1973, section 3.6 (order statistics).
  public static func medianInterval(
    _ values: [Double], seed: UInt64, resamples: Int = 2000
  ) -> (low: Double, high: Double) {
    guard values.count >= 6 else { return fewInterval(values) }
    let bootstrap = bootstrapInterval(values, seed: seed, resamples: resamples)
    let order = orderInterval(values)
    return (min(bootstrap.low, order.low), max(bootstrap.high, order.high))
  }

  /// The distribution-free part of `medianInterval`, which is at least as wide, and cheap. From six values on.
  static func orderInterval(_ values: [Double]) -> (low: Double, high: Double) {
    let trimmed = trimmedRanks(of: values.count)
    let sorted = values.sorted()
    return (sorted[trimmed], sorted[values.count - 1 - trimmed])
  }

  /// A 95 % percentile bootstrap interval of the median: resamples of blocks of consecutive values with a seeded generator.
  ///
  /// Rounds that follow each other see the same state of the machine; resampling them one by one would take them for
  /// independent and make the interval too narrow. Blocks keep their dependence; the list counts as a circle, so that its ends
  /// are drawn as often as its middle.
  ///
  /// References: Künsch, *The jackknife and the bootstrap for general stationary observations*, 1989; Politis & Romano,
  /// *The stationary bootstrap*, 1994 (the circle).
  /// - Parameter block: consecutive values that are drawn together; `blockLength(of:)` if left out, 1 is the plain bootstrap.
  static func bootstrapInterval(
    _ values: [Double], seed: UInt64, block: Int? = nil, resamples: Int = 2000
  ) -> (low: Double, high: Double) {
    let medians = resampledMedians(values, seed: seed, block: block, resamples: resamples)
    return (quantile(medians, 0.025), quantile(medians, 0.975))
  }

  /// The quotient of the medians of two independent lists of positive values, `own` over `other`, with a 95 % interval: the
  /// intervals of the two medians put together on the scale of logarithms, their half-widths added as squares.
  ///
  /// References: Zou, Donner, *Construction of confidence limits about effect measures: a general approach*, 2008.
  public static func medianRatio(
    _ own: [Double], over other: [Double], seed: UInt64
  ) -> (ratio: Double, low: Double, high: Double) {
    let (a, b) = (median(own), median(other))
    let (inA, inB) = (medianInterval(own, seed: seed), medianInterval(other, seed: seed &+ 1))
    let below = hypot(log(a / inA.low), log(inB.high / b))
    let above = hypot(log(inA.high / a), log(b / inB.low))
    return (a / b, a / b * exp(-below), a / b * exp(above))
  }

  /// How many values at each end lie outside of the 95 % interval of the median: the largest r with P(Bin(n, ½) ≤ r) ≤ 2.5 %.
  /// For six values and more.
  static func trimmedRanks(of count: Int) -> Int {
    var logTerm = -Double(count) * log(2)
    var sum = 0.0
    for rank in 0..<count {
      sum += exp(logTerm)
      if sum > 0.025 { return rank - 1 }
      logTerm += log(Double(count - rank) / Double(rank + 1))
    }
    return count
  }

  private static func fewInterval(_ values: [Double]) -> (low: Double, high: Double) {
    guard let least = values.min(), let most = values.max() else { return (.nan, .nan) }
    guard values.count > 1, least > 0 else { return (least, most) }
    // 97.5 % quantiles of Student's distribution with 1 to 4 degrees of freedom.
    let quantile = [12.706, 4.303, 3.182, 2.776][values.count - 2]
    let logarithms = values.map { log($0) }
    let mean = logarithms.reduce(0, +) / Double(values.count)
    let squares = logarithms.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
    let width = quantile * (squares / Double((values.count - 1) * values.count)).squareRoot()
    return (min(least, exp(mean - width)), max(most, exp(mean + width)))
  }

  /// Length of the blocks for a list of `count` values: its cube root, the order that minimises the error of the estimated
  /// variance (Künsch 1989).
  public static func blockLength(of count: Int) -> Int { max(1, Int(cbrt(Double(count)).rounded())) }

  /// Medians of resamples that are made of blocks of consecutive values.
  private static func resampledMedians(
    _ values: [Double], seed: UInt64, block: Int?, resamples: Int
  ) -> [Double] {
    let count = values.count
    let block = min(count, max(1, block ?? blockLength(of: count)))
    let order = values.indices.sorted { values[$0] < values[$1] }
    var rank = [Int](repeating: 0, count: count)
    for (position, index) in order.enumerated() { rank[index] = position }
    var random = PhiloxGenerator(seed: seed, stream: 0xB007)
    // A resample is how often each rank occurs: its median is found by counting, without sorting it.
    var occurrences = [Int](repeating: 0, count: count)
    return (0..<resamples).map { _ in
      for i in occurrences.indices { occurrences[i] = 0 }
      var left = count
      while left > 0 {
        let start = Int(random.uniform() * Double(count))
        for offset in 0..<min(block, left) {
          let index = start + offset
          occurrences[rank[index < count ? index : index - count]] += 1
        }
        left -= block
      }
      var seen = 0
      var lower: Double?
      for (position, times) in occurrences.enumerated() where times > 0 {
        seen += times
        let value = values[order[position]]
        if lower == nil && seen > (count - 1) / 2 { lower = value }
        if let lower, seen > count / 2 { return (lower + value) / 2 }
      }
      return .nan
    }
  }
}

/// How a backend compares with the baseline.
public struct Speedup: Sendable, Hashable {
  /// What may be said.
  public enum Verdict: String, Sendable, Hashable, CaseIterable {
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
  public init(baseline: [Double], own: [Double], seed: UInt64, resamples: Int = 2000) {
    let ratios = zip(baseline, own).map { $0 / $1 }
    ratio = Statistics.median(ratios)
    (low, high) = Statistics.medianInterval(ratios, seed: seed, resamples: resamples)
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

  /// A comparison that was made before, such as one that has been read.
  public init(ratio: Double, low: Double, high: Double, verdict: Verdict) {
    self.ratio = ratio
    self.low = low
    self.high = high
    self.verdict = verdict
  }

  /// Width of the interval as a fraction of the ratio.
  public var relativeWidth: Double { (high - low) / ratio }

  /// The baseline against itself.
  public static let ofBaseline: Speedup = {
    var speedup = Speedup(baseline: [1], own: [1], seed: 0)
    speedup.verdict = .baseline
    return speedup
  }()
}
