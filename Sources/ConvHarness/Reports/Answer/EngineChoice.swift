import ConvCore
import Foundation

/// Which engine takes the least time for some items together, and how surely.
///
/// An engine takes part that has a time of every item: one that declines or does not pass any of them is no engine for all of them.
/// How much slower one is than another is the mean of the items' paired ratios r_i, weighted by the faster one's shares a_i of time; its
/// interval puts theirs together, of items that were measured apart from each other: R − √Σ(a_i·(r_i − low_i))² to
/// R + √Σ(a_i·(high_i − r_i))². Two engines are told apart as speed-ups are: by an interval that excludes 1 and more than 2 %.
///
/// References: Zou, Donner, *Construction of confidence limits about effect measures: a general approach*, 2008.
struct EngineChoice: Sendable {
  /// How much longer one engine takes than another.
  struct Ratio: Sendable, Hashable {
    var value, low, high: Double
    /// False where an item has fewer than two common rounds, so that the interval says nothing.
    var isKnown: Bool
  }

  let items: [ItemRows]
  /// Engines with a time of every item, the fastest first.
  let engines: [LayerTotals.Engine]
  /// The fastest, and the others that cannot be told from it.
  let winners: [String]
  /// Whether rounds are too few to tell the fastest from another one.
  let isUncertain: Bool
  let totals: LayerTotals

  init(_ items: [ItemRows]) {
    self.items = items
    totals = LayerTotals(items)
    engines = totals.engines.filter { $0.missing == 0 && $0.milliseconds > 0 }
    var winners: [String] = []
    var isUncertain = false
    if let first = engines.first {
      winners = [first.name]
      for other in engines.dropFirst() where other.milliseconds <= EngineChoice.farBehind * first.milliseconds
      {
        let ratio = EngineChoice.ratio(of: other.name, over: first.name, in: items)
        if !ratio.isKnown {
          isUncertain = true
        } else if ratio.value <= 1.02 || ratio.low <= 1 {
          winners.append(other.name)
        }
      }
    }
    (self.winners, self.isUncertain) = (winners, isUncertain)
  }

  /// What is slower than the best by more than this factor is sampled a few times only, and needs no interval to be behind.
  static let farBehind = SamplingLimits().slowFactor

  /// How much longer `slow` takes than `fast` for items of which both have times.
  func ratio(of slow: String, over fast: String) -> Ratio {
    EngineChoice.ratio(of: slow, over: fast, in: items)
  }

  private static func ratio(of slow: String, over fast: String, in items: [ItemRows]) -> Ratio {
    var weights = 0.0
    var result = Ratio(value: 0, low: 0, high: 0, isKnown: true)
    for item in items {
      guard let other = item.row(slow), let own = item.row(fast) else { continue }
      let weight = Double(item.multiplicity) * own.medianMilliseconds
      let part = ratio(of: other, over: own)
      weights += weight
      result.value += weight * part.value
      result.low += pow(weight * (part.value - part.low), 2)
      result.high += pow(weight * (part.high - part.value), 2)
      // What is far behind may have a single round.
      if !part.isKnown && part.value <= farBehind { result.isKnown = false }
    }
    result.value /= weights
    result.low = result.value - result.low.squareRoot() / weights
    result.high = result.value + result.high.squareRoot() / weights
    return result
  }

  /// Of one item: what was compared when it was measured, else the common rounds, else the medians alone.
  private static func ratio(of slow: ResultRow, over fast: ResultRow) -> Ratio {
    if slow.backend == slow.baseline, let known = fast.speedup, known.ratio.isFinite,
      known.verdict != .baseline
    {
      return Ratio(
        value: known.ratio, low: known.low, high: known.high, isKnown: known.verdict != .unknown)
    }
    if let known = slow.best, known.backend == fast.backend, known.ratio.isFinite {
      return Ratio(
        value: known.ratio, low: known.low, high: known.high, isKnown: known.verdict != .unknown)
    }
    let (other, own) = ResultRow.paired(slow, fast)
    if other.count > 1 {
      let compared = Speedup(baseline: other, own: own, seed: 1)
      return Ratio(value: compared.ratio, low: compared.low, high: compared.high, isKnown: true)
    }
    // Files without rounds: both beside the baseline.
    if let a = fast.speedup, let b = slow.speedup, a.verdict != .unknown, b.verdict != .unknown,
      a.ratio.isFinite, b.ratio.isFinite, min(a.low, b.low) > 0
    {
      let below = hypot(log(a.ratio / a.low), log(b.high / b.ratio))
      let above = hypot(log(a.high / a.ratio), log(b.ratio / b.low))
      let value = a.ratio / b.ratio
      return Ratio(value: value, low: value * exp(-below), high: value * exp(above), isKnown: true)
    }
    let value = slow.medianMilliseconds / fast.medianMilliseconds
    return Ratio(value: value, low: value, high: value, isKnown: false)
  }

  /// The rows of the winners.
  var winningRows: [ResultRow] { items.flatMap { item in winners.compactMap { item.row($0) } } }
}

extension ItemRows {
  /// The row of an engine with a time.
  func row(_ engine: String) -> ResultRow? {
    rows.first { $0.backend == engine && $0.medianMilliseconds.isFinite }
  }
}
