import ConvCore
import ConvNaive
import Testing

@testable import ConvHarness

/// Items that are measured several times, with others in between.
@Suite struct VisitTests {
  private static let settings: RunSettings = {
    var settings = RunSettings(pool: .pool(threads: 1), baseline: "naive", seed: 5)
    settings.sampling.warmUpSeconds = 0.001
    settings.sampling.budgetSeconds = 0.01
    // A warm-up that the system interrupts must not make a copy of an engine slow.
    settings.sampling.slowFactor = .infinity
    return settings
  }()

  private static func item() throws -> RunItem {
    RunItem(
      suite: "test", problem: BenchmarkProblem(try ConvProblem(parsing: "conv2d:n1c2h6w5k3r3s3p1")),
      pass: .forward)
  }

  @Test func roundsAndBudgetAreSharedOut() {
    var limits = SamplingLimits()
    limits.budgetSeconds = 3
    let shares = (0..<3).map { Visit(index: $0, of: 3).share(of: limits) }
    // Least rounds count those before.
    #expect(shares.map(\.leastRounds) == [5, 10, 15])
    #expect(shares.map(\.budgetSeconds) == [1, 1, 1])
    #expect(shares.map(\.mostRounds).reduce(0, +) >= limits.mostRounds)
    #expect(Visit.only.share(of: limits) == limits)
    limits.leastRounds = 16
    #expect((0..<3).map { Visit(index: $0, of: 3).share(of: limits).leastRounds } == [6, 11, 16])
  }

  @Test func laterVisitsAddRoundsToTheEarlierOnes() throws {
    var run = LayerRun(settings: Self.settings)
    let competitors = [
      Competitor(NaiveBackend()), Competitor(NaiveBackend(), copy: 2),
      Competitor(NaiveBackend(), variant: "nonsense"),
    ]
    let item = try Self.item()
    var rows = try run.rows(for: item, competitors: competitors, visit: Visit(index: 0, of: 3))
    let first = rows
    #expect(first[0].seconds.count >= 5 && first[0].speedup?.verdict == .baseline)
    for visit in 1..<3 {
      let before = rows
      rows = try run.rows(
        for: item, competitors: competitors, visit: Visit(index: visit, of: 3), earlier: before)
      for (row, old) in zip(rows, before).prefix(2) {
        #expect(row.rounds == Array(0..<row.rounds.count))
        #expect(
          row.seconds.count > old.seconds.count && Array(row.seconds.prefix(old.seconds.count)) == old.seconds
        )
      }
    }
    #expect(rows[0].seconds.count >= 15)
    for row in rows.prefix(2) {
      #expect(row.medianMilliseconds == Statistics.median(row.seconds) * 1e3)
      #expect(row.verification.verdict == .passed && row.phases.map(\.name) == first[0].phases.map(\.name))
    }
    #expect(
      rows[1].speedup == Speedup(baseline: rows[0].seconds, own: rows[1].seconds, seed: 5))
    #expect(rows[2].verification.verdict == .unsupported && rows[2].seconds.isEmpty)
    #expect(Set(rows.prefix(2).compactMap { $0.best?.backend }).count == 1)
  }

  @Test func whoWasSampledOnceIsNotVisitedAgain() throws {
    var run = LayerRun(settings: Self.settings)
    let competitors = [Competitor(NaiveBackend()), Competitor(NaiveBackend(), copy: 2)]
    let item = try Self.item()
    var earlier = try run.rows(for: item, competitors: competitors, visit: Visit(index: 0, of: 2))
    // As where the second is many times slower.
    (earlier[1].rounds, earlier[1].seconds) = ([0], [1000 * earlier[0].seconds[0]])
    earlier[1].medianMilliseconds = earlier[1].seconds[0] * 1e3
    let rows = try run.rows(
      for: item, competitors: competitors, visit: Visit(index: 1, of: 2), earlier: earlier)
    #expect(rows[1].rounds == [0] && rows[0].seconds.count >= 15)
    #expect(rows[1].speedup?.verdict == .unknown && rows[1].best?.backend == "naive")
    let ratio = try #require(rows[1].best?.ratio)
    #expect(abs(ratio - 1000) < 1e-6)
    // A run that the user ends keeps what there was.
    let stopped = try run.rows(
      for: item, competitors: competitors, visit: Visit(index: 1, of: 2), earlier: earlier,
      shouldStop: { true })
    #expect(stopped.map(\.seconds) == earlier.map(\.seconds))
  }

  /// Sure within each visit, but not of the same: together nothing is sure.
  @Test func whatDiffersBetweenVisitsIsInTheInterval() {
    var random = PhiloxGenerator(seed: 3)
    func rounds(_ ratio: Double) -> [Double] {
      (0..<8).map { _ in ratio * (0.995 + 0.01 * random.uniform()) }
    }
    let (a, b) = (rounds(1.1), rounds(0.92))
    let ones = [Double](repeating: 1, count: 8)
    #expect(Speedup(baseline: a, own: ones, seed: 1).verdict == .faster)
    #expect(Speedup(baseline: b, own: ones, seed: 1).verdict == .slower)
    let both = Speedup(baseline: a + b, own: ones + ones, seed: 1)
    #expect(both.verdict == .indistinguishable && both.low < 0.93 && both.high > 1.09, "\(both)")
  }
}
