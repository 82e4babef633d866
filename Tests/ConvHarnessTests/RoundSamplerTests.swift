import ConvCore
import Foundation
import Testing

@testable import ConvHarness

/// Competitors with made-up times on a clock that only they move.
private struct SimulatedExecutor: SampledExecutor {
  /// Seconds of one execution.
  var seconds: [Double]
  /// Relative noise of a sample.
  var noise = 0.0
  /// Whether untimed executions take time.
  var executesUntimed = true
  /// Noise that all competitors of a round share, autocorrelated.
  var drift = 0.0
  var waiting = 0.0
  /// Seconds before each round.
  var moving = 0.0
  var stopsAfter = Int.max
  /// What the first execution after somebody else's takes longer, as a fraction; every further one in a row half of that.
  var forgets = 0.0
  var random = PhiloxGenerator(seed: 11)
  private(set) var order: [Int] = []
  private(set) var warmUps: [Int] = []
  private(set) var begun: [Int] = []
  private(set) var sampled = 0.0
  private var level = 0.0
  private var last: Int?
  private var inARow = 0

  init(_ seconds: [Double], noise: Double = 0, waiting: Double = 0) {
    self.seconds = seconds
    self.noise = noise
    self.waiting = waiting
  }

  /// Seconds of so many executions that follow whatever was executed before.
  private mutating func run(_ index: Int, _ repetitions: Int) -> Double {
    level = 0.9 * level + drift * (random.uniform() - 0.5)
    let factor = 1 + noise * (random.uniform() - 0.5) + level
    if last != index { inARow = 0 }
    last = index
    return (0..<repetitions).reduce(0) { sum, _ in
      defer { inARow += 1 }
      return sum + seconds[index] * factor * (1 + forgets * exp2(-Double(inARow)))
    }
  }

  mutating func execute(_ index: Int, repetitions: Int, isWarmUp: Bool) throws -> Double {
    let taken = run(index, repetitions)
    if isWarmUp {
      warmUps.append(index)
    } else {
      order.append(index)
      sampled += taken
    }
    return taken
  }

  mutating func beginRound(_ round: Int) throws -> Double {
    begun.append(round)
    sampled += moving
    return moving
  }

  mutating func settle(before index: Int, untimed: Int) throws -> Double {
    let seconds = waiting + (executesUntimed ? run(index, untimed) : 0)
    sampled += seconds
    return seconds
  }

  var isStopRequested: Bool { order.count >= stopsAfter }
}

@Suite struct RoundSamplerTests {
  private func sample(
    _ executor: inout SimulatedExecutor, baseline: Int? = 0, seed: UInt64 = 1,
    _ change: (inout SamplingLimits) -> Void = { _ in }
  ) throws -> (RoundSampler, RoundSampler.End) {
    var limits = SamplingLimits()
    change(&limits)
    var sampler = RoundSampler(
      earlier: Array(repeating: [:], count: executor.seconds.count), baseline: baseline, limits: limits,
      seed: seed)
    let end = try sampler.run(&executor)
    return (sampler, end)
  }

  @Test func steadyCompetitorsNeedTheLeastRoundsOnly() throws {
    var executor = SimulatedExecutor([1e-3, 2e-3, 3e-3], noise: 0.001)
    let (sampler, end) = try sample(&executor)
    #expect(end == .precise)
    for series in sampler.series { #expect(series.samples.count == 15 && !series.isSlow) }
    // Every round has each of them once, and not always in the same order.
    let rounds = stride(from: 0, to: executor.order.count, by: 3).map { Array(executor.order[$0..<$0 + 3]) }
    #expect(rounds.count == 15)
    for round in rounds { #expect(round.sorted() == [0, 1, 2], "\(rounds)") }
    #expect(Set(rounds).count >= 4, "\(rounds)")
  }

  @Test func noiseIsAnsweredByRoundsUntilTheIntervalIsNarrow() throws {
    func rounds(_ noise: Double, _ precision: Double) throws -> (Int, RoundSampler.End, Double) {
      var executor = SimulatedExecutor([1e-3, 1e-3], noise: noise)
      let (sampler, end) = try sample(&executor) {
        $0.precision = precision
        $0.budgetSeconds = 100
        $0.mostRounds = 2000
      }
      let (a, b) = sampler.paired(0, 1)
      return (a.count, end, Speedup(baseline: a, own: b, seed: 1).relativeWidth)
    }
    let coarse = try rounds(0.2, 0.1)
    let fine = try rounds(0.2, 0.03)
    #expect(coarse.1 == .precise && fine.1 == .precise)
    #expect(fine.0 > 2 * coarse.0, "\(coarse) \(fine)")
    // The interval of the report is made with more resamples than the one that stopped.
    #expect(fine.2 <= 0.03 * 1.15, "\(fine)")
  }

  @Test func theBudgetEndsWhatNeverGetsNarrow() throws {
    var executor = SimulatedExecutor([1e-2, 1e-2, 2e-2], noise: 1)
    executor.executesUntimed = false
    let (sampler, end) = try sample(&executor) {
      $0.precision = 0.001
      $0.budgetSeconds = 2
    }
    #expect(end == .budget)
    #expect((1.9...2.1).contains(executor.sampled), "\(executor.sampled)")
    #expect(sampler.series.allSatisfy { (45...55).contains($0.samples.count) })
    // Waiting is paid from the same budget.
    var waiting = SimulatedExecutor([1e-2, 1e-2, 2e-2], noise: 1, waiting: 0.02)
    waiting.executesUntimed = false
    _ = try sample(&waiting) {
      $0.precision = 0.001
      $0.budgetSeconds = 2
    }
    #expect((1.9...2.1).contains(waiting.sampled) && waiting.order.count < 70, "\(waiting.sampled)")
    // So is what happens between rounds.
    var moving = SimulatedExecutor([1e-2, 1e-2, 2e-2], noise: 1)
    moving.moving = 0.06
    moving.executesUntimed = false
    _ = try sample(&moving) {
      $0.precision = 0.001
      $0.budgetSeconds = 2
    }
    #expect((1.9...2.1).contains(moving.sampled) && moving.order.count < 70, "\(moving.sampled)")
    // And what goes before the samples: one execution each, so half as many are left.
    var untimed = SimulatedExecutor([1e-2, 1e-2, 1.5e-2], noise: 1e-3)
    let (settled, _) = try sample(&untimed) {
      $0.refillSeconds = 0.09e-3
      $0.precision = 0
      $0.budgetSeconds = 2
    }
    #expect((1.9...2.1).contains(untimed.sampled), "\(untimed.sampled)")
    #expect(settled.series.allSatisfy { $0.untimed == 1 && (27...30).contains($0.samples.count) })
  }

  @Test func theLeastRoundsAreSampledWhateverTheBudget() throws {
    var executor = SimulatedExecutor([1, 2, 3], noise: 0.5)
    let (sampler, end) = try sample(&executor) { $0.budgetSeconds = 0.1 }
    #expect(end == .budget)
    #expect(sampler.series.map(\.samples.count) == [15, 15, 15])
    // The warm-up execution was one of them.
    #expect(executor.order.count == 42 && executor.warmUps == [0, 1, 2])
    #expect(executor.begun == Array(0..<15))
    // More than the largest number of rounds may be asked for.
    var many = SimulatedExecutor([1e-3], noise: 0.001)
    let (long, _) = try sample(&many) { $0.leastRounds = 250 }
    #expect(long.series[0].samples.count == 250)
  }

  @Test func slowOnesDoNotUseUpTheTimeOfTheOthers() throws {
    var executor = SimulatedExecutor([1e-3, 1.2e-3, 0.4], noise: 0.1)
    executor.executesUntimed = false
    let (sampler, _) = try sample(&executor) {
      $0.precision = 1e-9
      $0.budgetSeconds = 1
    }
    #expect(sampler.series.map(\.isSlow) == [false, false, true])
    #expect(sampler.series[2].samples.count == 2)
    #expect(sampler.series[0].samples.count >= 60, "\(sampler.series.map(\.samples.count))")
    // Not affordable at all: the execution of the warm-up is what there is.
    var hopeless = SimulatedExecutor([1e-3, 20], noise: 0.1)
    let (few, _) = try sample(&hopeless)
    #expect(few.series[1].samples.count == 1 && few.series[0].samples.count >= 15)
    // The baseline is what all are compared with: it is never left out.
    var baseline = SimulatedExecutor([0.05, 1e-3], noise: 0.001)
    let (kept, end) = try sample(&baseline) { $0.budgetSeconds = 5 }
    #expect(end == .precise && kept.series.map(\.samples.count) == [15, 15])
  }

  @Test func shortExecutionsAreRepeated() throws {
    var executor = SimulatedExecutor([1e-5, 1e-2])
    let (sampler, _) = try sample(&executor)
    #expect(sampler.series.map(\.repetitions) == [50, 1])
    #expect(sampler.series[0].values.allSatisfy { abs($0 - 1e-5) < 1e-12 })
    // Cold samples are single executions, none of them from the warm-up.
    var cold = SimulatedExecutor([1e-5, 1])
    let settings = { () -> RunSettings in
      var settings = RunSettings()
      settings.cache = .cold
      return settings
    }()
    let (single, _) = try sample(&cold) { $0.leastSampleSeconds = settings.sampling.leastSampleSeconds }
    #expect(single.series.map(\.repetitions) == [1, 1])
    #expect(single.series.map(\.samples.count).reduce(0, +) == cold.order.count)
  }

  @Test func aRequestToStopIsObeyedAtOnce() throws {
    var executor = SimulatedExecutor([1e-3, 1e-3], noise: 0.5)
    executor.stopsAfter = 7
    let (sampler, end) = try sample(&executor)
    #expect(end == .stopped && executor.order.count == 7)
    #expect(sampler.series.map(\.samples.count).reduce(0, +) == 7)
  }

  /// Caches that take several executions to fill: an engine alone and the same one in company.
  @Test(arguments: [0.3e-3, 1e-3, 20e-3]) func companyDoesNotMatter(_ seconds: Double) throws {
    let refill = 1.5e-3
    func median(_ others: [Double]) throws -> Double {
      var executor = SimulatedExecutor([seconds] + others)
      // The worst case: the first execution fetches the whole last level, each further one half of what the one before did.
      executor.forgets = refill / seconds
      let (sampler, _) = try sample(&executor, baseline: nil) {
        $0.budgetSeconds = 0.3
        $0.refillSeconds = refill
      }
      return Statistics.median(sampler.series[0].values)
    }
    let alone = try median([])
    let company = try median([1.3 * seconds, 2 * seconds])
    #expect(abs(company / alone - 1) < 0.02 && abs(alone / seconds - 1) < 0.02, "\(alone) \(company)")
  }

  @Test func untimedExecutionsFollowFromLengthAndFootprint() {
    var limits = SamplingLimits()
    limits.refillSeconds = 0.75e-3
    // 2⁻ᵏ · 0.75 ms is at most half a per cent of the execution, and with one less it is more.
    func count(_ seconds: Double, _ refill: Double = 0.75e-3) -> Int {
      limits.untimedExecutions(lasting: seconds, refill: refill)
    }
    #expect([0.33e-3, 2.5e-3, 10e-3, 40e-3, 149e-3, 151e-3].map { count($0) } == [9, 6, 4, 2, 1, 0])
    #expect(count(1e-9) == 16 && count(0) == 16)
    // What touches less has less to bring back; one execution at least, which wakes the threads.
    #expect([0.33e-3, 2.5e-3, 10e-3, 149e-3, 151e-3].map { count($0, 0.1e-3) } == [6, 3, 1, 1, 0])
  }

  /// The same comparison twice: with a drift that all share, an engine against itself must not win or lose.
  @Test func anEngineDoesNotWinAgainstItself() throws {
    var wrong = 0
    for seed in UInt64(1)...100 {
      var executor = SimulatedExecutor([1e-3, 1e-3], noise: 0.1)
      executor.drift = 0.05
      executor.random = PhiloxGenerator(seed: seed)
      let (sampler, _) = try sample(&executor, seed: seed) { $0.budgetSeconds = 0.2 }
      let (a, b) = sampler.paired(0, 1)
      let speedup = Speedup(baseline: a, own: b, seed: seed)
      if speedup.verdict != .indistinguishable { wrong += 1 }
    }
    #expect(wrong <= 5, "\(wrong) of 100 comparisons of an engine with itself have a winner")
  }
}

@Suite struct BlockBootstrapTests {
  /// Values around 0 of which each remembers `memory` of the one before.
  private func series(_ count: Int, memory: Double, _ random: inout PhiloxGenerator) -> [Double] {
    var value = 0.0
    return (0..<count + 50).map { _ in
      value = memory * value + random.uniform() - 0.5
      return value
    }.suffix(count)
  }

  private func coverage(count: Int, memory: Double, block: Int?) -> Double {
    var random = PhiloxGenerator(seed: 77)
    let trials = 300
    let hits = (0..<trials).count { trial in
      let values = series(count, memory: memory, &random)
      let interval =
        block.map { Statistics.bootstrapInterval(values, seed: UInt64(trial), block: $0, resamples: 400) }
        ?? Statistics.medianInterval(values, seed: UInt64(trial), resamples: 400)
      return interval.low <= 0 && interval.high >= 0
    }
    return Double(hits) / Double(trials)
  }

  @Test(arguments: [3, 6, 15, 40]) func intervalsOfIndependentRoundsCoverAsTheyPromise(_ count: Int) {
    var random = PhiloxGenerator(seed: 78)
    let hits = (0..<300).count { trial in
      // Skewed, as times are: the median of e^(u²) over |u| < ½ is that of u² = 1/16.
      let values = (0..<count).map { _ in exp(pow(random.uniform() - 0.5, 2)) }
      let interval = Statistics.medianInterval(values, seed: UInt64(trial), resamples: 400)
      return interval.low <= exp(0.0625) && interval.high >= exp(0.0625)
    }
    // Student's interval supposes logarithms that are normal, which these are not.
    #expect(hits >= (count < 6 ? 258 : 276), "\(hits) of 300 intervals of \(count) values")
  }

  /// The classical table: of 15 values the fourth and the twelfth, of 101 the 41st and the 61st.
  @Test func orderStatisticsAreThoseOfTheBinomial() {
    #expect([6, 8, 9, 15, 20, 30, 101].map { Statistics.trimmedRanks(of: $0) } == [0, 0, 1, 3, 5, 9, 40])
  }

  /// Rounds that resemble their neighbours: taken one by one they promise too much.
  @Test func blocksKeepTheDependenceOfRounds() {
    #expect(coverage(count: 40, memory: 0, block: 1) > 0.88)
    let plain = coverage(count: 100, memory: 0.6, block: 1)
    let blocks = coverage(count: 100, memory: 0.6, block: Statistics.blockLength(of: 100))
    #expect(plain < 0.8, "\(plain)")
    #expect(blocks > plain + 0.07, "\(plain) \(blocks)")
    // The interval of reports is at least as wide.
    let union = coverage(count: 100, memory: 0.6, block: nil)
    #expect(union >= blocks && union >= plain, "\(union)")
  }

  @Test func lengthsOfBlocksAreCubeRoots() {
    #expect([1, 6, 15, 27, 100, 1000].map { Statistics.blockLength(of: $0) } == [1, 2, 2, 3, 5, 10])
  }

  /// Resampling by counting ranks gives order statistics of the values, with the mean of the middle two.
  @Test func ratiosOfMediansHaveTheIntervalOfBothLists() {
    var random = PhiloxGenerator(seed: 5)
    let own = (0..<60).map { _ in 2 * (1 + 0.1 * (random.uniform() - 0.5)) }
    let other = (0..<60).map { _ in 1 + 0.1 * (random.uniform() - 0.5) }
    let ratio = Statistics.medianRatio(own, over: other, seed: 3)
    #expect(abs(ratio.ratio - 2) < 0.05 && ratio.low < ratio.ratio && ratio.ratio < ratio.high)
    #expect(ratio.high - ratio.low < 0.12, "\(ratio)")
    let constant = Statistics.medianRatio([3, 3, 3, 3, 3, 3], over: [2, 2, 2, 2, 2, 2], seed: 3)
    #expect(constant.ratio == 1.5 && constant.low == 1.5 && constant.high == 1.5)
    // Two values say next to nothing, however close they are.
    let few = Statistics.medianRatio([2, 2.1], over: [1, 1.1], seed: 3)
    #expect(few.low < 1.1 && few.high > 3, "\(few)")
    let two = Statistics.bootstrapInterval([0, 0, 0, 10, 10, 10], seed: 1, block: 1)
    #expect(two.low == 0 && two.high == 10)
  }

  @Test func comparisonsWithTheBest() {
    let best = (0..<20).map { 1 + Double($0 % 3) * 1e-3 }
    let slower = BestComparison(backend: "fft", best: best, own: best.map { $0 * 1.25 }, seed: 1)
    #expect(abs(slower.ratio - 1.25) < 1e-9 && slower.low <= slower.ratio && slower.ratio <= slower.high)
    #expect(slower.verdict == .slower && slower.backend == "fft")
    let same = BestComparison(backend: "fft", best: best, own: best.map { $0 * 1.01 }, seed: 1)
    #expect(same.verdict == .indistinguishable)
    #expect(BestComparison(backend: "fft", best: [1], own: [2], seed: 1).verdict == .unknown)
    #expect(BestComparison(backend: "fft", best: best, own: best.map { $0 / 2 }, seed: 1).verdict == .faster)
    #expect(BestComparison.ofBest("fft").verdict == .best && BestComparison.ofBest("fft").ratio == 1)
  }
}
