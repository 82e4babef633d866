import ConvCore
import Foundation

/// How long and how often competitors are sampled.
public struct SamplingLimits: Sendable, Hashable {
  /// Sampling ends when the 95 % interval of every ratio with the baseline is at most this fraction of the ratio wide.
  public var precision = 0.03
  /// Seconds after which sampling ends if `leastRounds` are done: of all competitors together, waiting included; not of the
  /// warm-up and of slow competitors.
  public var budgetSeconds = 1.0
  /// Seconds of warm-up per competitor.
  public var warmUpSeconds = 0.05
  /// Rounds before the width of an interval and the budget count.
  public var leastRounds = 15
  /// Largest number of rounds.
  public var mostRounds = 200
  /// A competitor that takes more than this many times the best one's time is sampled a few times only.
  public var slowFactor = 10.0
  /// Seconds that a sample lasts at least, by repetition, so that the clock does not matter; 0 where each execution has to
  /// be prepared (`CacheState.network`, `.cold`).
  public var leastSampleSeconds = 0.5e-3
  /// Seconds in which memory can fill the last-level cache.
  public var refillSeconds = 2e-3

  /// The defaults.
  public init() {}

  /// How many executions that last so many seconds go untimed before a sample, so that what others left in the caches is nothing
  /// beside it: the least k with 2⁻ᵏ · `refill` ≤ 0.005 · `seconds`, at most 16. At least one, which wakes the threads and brings back
  /// code and tables; none where already refilling all of the last level is less than that.
  ///
  /// - Parameter refill: seconds in which memory gives what an execution touches, or fills the last level: what is less.
  ///
  /// One execution does not bring everything back, since some CPUs keep in the last level only what is asked for again; halving is a
  /// rough model, and half a per cent leaves room for it.
  /// Measured on a Zen 5 with 32 MiB, `winograd` on 512 channels of 7×7 with prepared filters, beside three other engines: 0.50, 0.46,
  /// 0.35 and 0.32 ms after 1, 2, 4 and 8 untimed executions, and 0.32 alone.
  func untimedExecutions(lasting seconds: Double, refill: Double) -> Int {
    let visible = 0.005 * max(seconds, 1e-9)
    if refillSeconds <= visible { return 0 }
    return refill <= 2 * visible ? 1 : min(16, Int(log2(refill / visible).rounded(.up)))
  }
}

/// What a `RoundSampler` samples.
protocol SampledExecutor {
  /// Executes competitor `index` that often and returns the seconds taken.
  mutating func execute(_ index: Int, repetitions: Int, isWarmUp: Bool) throws -> Double
  /// Prepares a round; returns the seconds that this took.
  mutating func beginRound(_ round: Int) throws -> Double
  /// Brings the machine into the state that a sample of `index` begins with, by so many executions that are not timed and whatever
  /// else it takes; returns the seconds that this took.
  mutating func settle(before index: Int, untimed: Int) throws -> Double
  /// Whether the user wants the run to end.
  var isStopRequested: Bool { get }
}

/// Samples competitors in rounds until their ratios are known well enough or the time is up.
///
/// In every round each competitor is sampled once, in a random order (seeded), so that whatever changes slowly meets all of them
/// alike and none always follows the same other; what the one before left behind is settled before each sample. It stops by the
/// *width* of the intervals, never by what they say: such sequential intervals keep their coverage asymptotically (Chow & Robbins, *On
/// the asymptotic theory of fixed-width sequential confidence intervals for the mean*, 1965).
struct RoundSampler {
  /// Why sampling ended.
  enum End: String, Sendable {
    case precise, budget, rounds, stopped
  }

  /// What is known about one competitor.
  struct Series {
    /// Seconds per execution, by round.
    var samples: [Int: Double] = [:]
    /// Executions per sample.
    var repetitions = 1
    /// Seconds in which memory gives what an execution touches; nil: fills the last level.
    var refill: Double?
    /// Executions before each sample.
    var untimed = 1
    /// Whether it is so much slower than the best one that it takes part in a few rounds only.
    var isSlow = false
    var spent = 0.0
    var estimate = 0.0

    /// The samples in the order of their rounds.
    var values: [Double] { samples.sorted { $0.key < $1.key }.map(\.value) }
  }

  let limits: SamplingLimits
  let seed: UInt64
  /// Index of the competitor that the others are compared with.
  let baseline: Int?
  private(set) var series: [Series]
  /// The first round to sample: those before it are of earlier visits.
  private let firstRound: Int
  /// Seconds of sampling so far, but for slow competitors.
  private var spent = 0.0

  /// For competitors with the samples that each has already, none where they are met for the first time.
  ///
  /// - Parameter refills: seconds in which memory gives what an execution of each touches.
  init(
    earlier: [[Int: Double]], refills: [Double] = [], baseline: Int?, limits: SamplingLimits, seed: UInt64
  ) {
    self.limits = limits
    self.seed = seed
    self.baseline = baseline
    series = earlier.enumerated().map { index, samples in
      Series(samples: samples, refill: index < refills.count ? refills[index] : nil)
    }
    firstRound = earlier.compactMap { $0.keys.max() }.max().map { $0 + 1 } ?? 0
  }

  /// Warm-up by duration, then rounds.
  ///
  /// - Throws: what the executor throws.
  mutating func run(_ executor: inout some SampledExecutor) throws -> End {
    guard !series.isEmpty else { return .rounds }
    try warmUp(&executor)
    if executor.isStopRequested { return .stopped }
    var random = PhiloxGenerator(seed: seed &+ UInt64(firstRound), stream: 0x40BD)
    var nextCheck = limits.leastRounds
    let begun = fewestSamples
    for round in firstRound..<firstRound + max(limits.mostRounds, limits.leastRounds) {
      spent += try executor.beginRound(round)
      for index in series.indices.shuffled(using: &random) where wants(index, round) {
        if executor.isStopRequested { return .stopped }
        try sample(index, round, &executor)
      }
      let rounds = fewestSamples
      let costOfRound = spent / Double(max(1, rounds - begun))
      if rounds >= limits.leastRounds && spent + costOfRound / 2 > limits.budgetSeconds { return .budget }
      if rounds >= nextCheck {
        if isPrecise { return .precise }
        // Intervals shrink with the root of the rounds: there is no point in looking after every one.
        nextCheck = rounds + max(1, rounds / 6)
      }
    }
    return .rounds
  }

  /// Of the competitors that take part in every round.
  private var fewestSamples: Int { series.lazy.filter { !$0.isSlow }.map(\.samples.count).min() ?? 0 }

  private mutating func warmUp(_ executor: inout some SampledExecutor) throws {
    for index in series.indices {
      var (total, least, last) = (0.0, Double.infinity, 0.0)
      var executions = 0
      repeat {
        last = try executor.execute(index, repetitions: 1, isWarmUp: true)
        executions += 1
        least = min(least, last)
        total += last
      } while total < limits.warmUpSeconds && !executor.isStopRequested
      series[index].estimate = least
      series[index].untimed = limits.untimedExecutions(
        lasting: least, refill: min(series[index].refill ?? .infinity, limits.refillSeconds))
      let wish = (limits.leastSampleSeconds / max(least, 1e-7)).rounded(.up)
      series[index].repetitions = max(1, min(1000, Int(wish)))
      // Where the budget has room for a few executions only, the warm-up is one of them.
      let isSettled = executions > series[index].untimed
      if isSettled && limits.leastSampleSeconds > 0
        && last > limits.budgetSeconds / Double(2 * series.count)
      {
        record(index, firstRound, seconds: last, cost: last)
      }
    }
    let best = series.map(\.estimate).min() ?? 0
    for index in series.indices where index != baseline {
      series[index].isSlow = series[index].estimate > limits.slowFactor * best
      if series[index].isSlow { spent -= series[index].spent }
    }
  }

  /// Whether a competitor takes part in a round.
  private func wants(_ index: Int, _ round: Int) -> Bool {
    let own = series[index]
    if own.samples[round] != nil { return false }
    guard own.isSlow else { return true }
    // Slow ones share a quarter of the budget on top of it; two samples they get wherever one fits into the budget.
    if own.samples.isEmpty { return true }
    if own.samples.count < 2 && own.estimate <= limits.budgetSeconds { return true }
    let share = limits.budgetSeconds / 4 / Double(series.count(where: \.isSlow))
    return own.spent + own.estimate * Double(own.repetitions + own.untimed) <= share
  }

  private mutating func sample(_ index: Int, _ round: Int, _ executor: inout some SampledExecutor) throws {
    let repetitions = series[index].repetitions
    let waited = try executor.settle(before: index, untimed: series[index].untimed)
    series[index].spent += waited
    if !series[index].isSlow { spent += waited }
    let seconds = try executor.execute(index, repetitions: repetitions, isWarmUp: false)
    record(index, round, seconds: seconds / Double(repetitions), cost: seconds)
  }

  private mutating func record(_ index: Int, _ round: Int, seconds: Double, cost: Double) {
    series[index].samples[round] = seconds
    series[index].spent += cost
    if !series[index].isSlow { spent += cost }
  }

  /// Whether every ratio with the baseline (without one, with the fastest; of a single competitor its median) is known to
  /// `precision`.
  private var isPrecise: Bool {
    let fast = series.indices.filter { !series[$0].isSlow }
    guard fast.count > 1 else { return fast.allSatisfy { isKnown(series[$0].values) } }
    let reference = baseline ?? fast.min { series[$0].estimate < series[$1].estimate }!
    return fast.allSatisfy { index in
      guard index != reference else { return true }
      let (reference, own) = paired(reference, index)
      return isKnown(zip(reference, own).map { $0 / $1 })
    }
  }

  /// Whether the interval of the values' median is narrow enough.
  private func isKnown(_ values: [Double]) -> Bool {
    // A single value is its own interval, and says nothing of how it varies.
    guard values.count > 1 else { return false }
    let most = limits.precision * Statistics.median(values)
    func isNarrow(_ interval: (low: Double, high: Double)) -> Bool { interval.high - interval.low <= most }
    // Most checks end here, without the price of a bootstrap.
    if values.count >= 6 && !isNarrow(Statistics.orderInterval(values)) { return false }
    return isNarrow(Statistics.medianInterval(values, seed: seed, resamples: 500))
  }

  /// The samples of two competitors in the rounds that both took part in.
  func paired(_ first: Int, _ second: Int) -> ([Double], [Double]) {
    let (a, b) = (series[first].samples, series[second].samples)
    let rounds = a.keys.filter { b[$0] != nil }.sorted()
    return (rounds.map { a[$0]! }, rounds.map { b[$0]! })
  }
}
