import ConvCore
import Foundation
import Testing

@testable import ConvHarness

/// Ratios that vary from round to round, of lists that are not equally long: of six to eight values the interval of a median is that
/// from the least to the greatest, so that every number below can be worked out by hand. Swapping the sides inverts the ratio and
/// its interval.
@Suite struct RatioTests {
  private func agree(_ found: (Double, Double, Double), _ expected: (Double, Double, Double)) -> Bool {
    zip([found.0, found.1, found.2], [expected.0, expected.1, expected.2]).allSatisfy {
      abs($0 - $1) <= 1e-12 * $1
    }
  }

  @Test func geometricMeans() {
    #expect(abs(Statistics.geometricMean([1, 4, 16]) - 4) < 1e-12)
    #expect(
      abs(Statistics.geometricMean([0.5, 8]) - 2) < 1e-12 && Statistics.geometricMean([3]) == exp(log(3)))
    #expect(Statistics.geometricMean([]).isNaN)
    // Reciprocals have the reciprocal mean.
    #expect(
      abs(Statistics.geometricMean([1, 0.25, 1 / 3.0]) - 1 / Statistics.geometricMean([1, 4, 3])) < 1e-12)
  }

  /// Below six values the range, widened; of six to eight the range; from nine on ranks. All of them turn over with the values.
  @Test func intervalsOfMediansTurnOver() {
    let values: [Double] = [3, 0.5, 8, 2, 1, 5, 13, 0.25, 21, 4, 34]
    for count in 1...values.count {
      let own = Array(values.prefix(count))
      // Quantiles of 41 resamples are resamples: nothing is interpolated.
      let interval = Statistics.medianInterval(own, seed: 4, resamples: 41)
      let inverse = Statistics.medianInterval(own.map { 1 / $0 }, seed: 4, resamples: 41)
      let median = Statistics.median(own)
      #expect(interval.low <= median && median <= interval.high, "\(count): \(interval)")
      if count < 6 {
        #expect(interval.low <= own.min()! && interval.high >= own.max()!, "\(count)")
      } else if count < 9 {
        #expect(interval == (own.min()!, own.max()!), "\(count): \(interval)")
      }
      // Of an even number medians of resamples are means of two, which do not turn over.
      guard count % 2 == 1 || count < 9 else { continue }
      #expect(
        abs(inverse.low * interval.high - 1) < 1e-12 && abs(inverse.high * interval.low - 1) < 1e-12,
        "\(count): \(interval) \(inverse)")
    }
    #expect(Statistics.orderInterval(values) == (0.5, 21))
    // Values that are not positive have no logarithms: the range says what there is.
    #expect(Statistics.medianInterval([0, 2], seed: 1) == (0, 2))
    #expect(
      Statistics.quantile([1, 2, .infinity], 0.75) == .infinity && Statistics.quantile([1, 3], 0.75) == 2.5)
  }

  /// On the scale of the binary logarithm: medians 2 and 1, 2 and 1 below them, 3 and 2 above. Half-widths are added as squares, the
  /// lower one of the numerator with the upper one of the denominator.
  @Test func ratiosOfMediansTakeOppositeSides() {
    let own: [Double] = [32, 1, 4, 2, 8, 4]
    let other: [Double] = [0.5, 2, 4, 1, 2, 3]
    let ratio = Statistics.medianRatio(own, over: other, seed: 3)
    let (below, above) = (exp2(-5.0.squareRoot()), exp2(13.0.squareRoot()))
    #expect(agree((ratio.ratio, ratio.low, ratio.high), (2, 2 * below, 2 * above)), "\(ratio)")
    let swapped = Statistics.medianRatio(other, over: own, seed: 3)
    #expect(agree((swapped.ratio, swapped.low, swapped.high), (0.5, 0.5 / above, 0.5 / below)), "\(swapped)")
    // Of a single value nothing is known about how it varies; of none nothing.
    let single = Statistics.medianRatio(own, over: [2], seed: 3)
    #expect(agree((single.ratio, single.low, single.high), (2, 0.5, 16)), "\(single)")
    let reversed = Statistics.medianRatio([2], over: own, seed: 3)
    #expect(agree((reversed.ratio, reversed.low, reversed.high), (0.5, 1.0 / 16, 2)), "\(reversed)")
    #expect(Statistics.medianRatio([], over: own, seed: 3).ratio.isNaN)
    // Eight against six: the longer list has its own range.
    let longer = Statistics.medianRatio(own + [4, 4], over: other, seed: 3)
    #expect(agree((longer.ratio, longer.low, longer.high), (2, 2 * below, 2 * above)), "\(longer)")
  }

  /// Ratios 3 2 4 3 3 2.5 3.5, while both sides vary by a factor of ten.
  private let slow: [Double] = [3, 20, 4, 30, 6, 10, 7]
  private let quick: [Double] = [1, 10, 1, 10, 2, 4, 2]

  @Test func speedupsTurnOver() {
    let faster = Speedup(baseline: slow, own: quick, seed: 1)
    #expect(
      agree((faster.ratio, faster.low, faster.high), (3, 2, 4)) && faster.verdict == .faster, "\(faster)")
    #expect(abs(faster.relativeWidth - 2.0 / 3) < 1e-12)
    let slower = Speedup(baseline: quick, own: slow, seed: 1)
    #expect(
      agree((slower.ratio, slower.low, slower.high), (1.0 / 3, 0.25, 0.5)) && slower.verdict == .slower,
      "\(slower)")
    // The rest of a longer list has no partner.
    #expect(Speedup(baseline: slow + [1000], own: quick, seed: 1) == faster)
    #expect(Speedup(baseline: slow, own: quick + [0.001, 0.001], seed: 1) == faster)
    let nothing = Speedup(baseline: [], own: quick, seed: 1)
    #expect(nothing.ratio.isNaN && nothing.low.isNaN && nothing.high.isNaN && nothing.verdict == .unknown)
    // 1 is inside: nothing is certain, whichever side is asked.
    let mixed = zip(quick, [3, 0.5, 4, 3, 3, 2, 5]).map { $0 * $1 }
    #expect(Speedup(baseline: mixed, own: quick, seed: 1).verdict == .indistinguishable)
    #expect(Speedup(baseline: quick, own: mixed, seed: 1).verdict == .indistinguishable)
    // Certain, and by 2 % at most, on both sides of 1.
    for factor in [1.019, 1 / 1.019] {
      #expect(Speedup(baseline: quick.map { $0 * factor }, own: quick, seed: 1).verdict == .indistinguishable)
    }
    #expect(Speedup(baseline: quick.map { $0 * 1.021 }, own: quick, seed: 1).verdict == .faster)
    #expect(Speedup(baseline: quick, own: quick.map { $0 * 1.021 }, seed: 1).verdict == .slower)
  }

  /// Beside the best the columns are own time over the best one's: the reciprocal of the speed-up, with its ends exchanged.
  @Test func comparisonsWithTheBestTurnOver() {
    let slower = BestComparison(backend: "b", best: quick, own: slow, seed: 1)
    #expect(
      agree((slower.ratio, slower.low, slower.high), (3, 2, 4)) && slower.verdict == .slower, "\(slower)")
    let faster = BestComparison(backend: "b", best: slow, own: quick, seed: 1)
    #expect(
      agree((faster.ratio, faster.low, faster.high), (1.0 / 3, 0.25, 0.5)) && faster.verdict == .faster,
      "\(faster)")
    let nothing = BestComparison(backend: "b", best: [], own: slow, seed: 1)
    #expect(nothing.ratio.isNaN && nothing.verdict == .unknown)
    let few = BestComparison(backend: "b", best: [1, 1], own: [2, 3], seed: 1)
    #expect(few.low < 2 && few.high > 3 && few.low <= few.ratio && few.ratio <= few.high, "\(few)")
  }

  // MARK: Rows of an item

  /// A row with milliseconds by round.
  private func row(_ backend: String, _ samples: [Int: Double], name: String = "conv1") throws -> ResultRow {
    var row = try SyntheticRun.row(name: name, backend: backend, milliseconds: 1, count: 0)
    row.rounds = samples.keys.sorted()
    row.seconds = row.rounds.map { samples[$0]! * 1e-3 }
    row.medianMilliseconds = Statistics.median(Array(samples.values))
    if samples.isEmpty { row.set(Verification(.unsupported, reason: "declines")) }
    return row
  }

  /// The rounds of the lists above, and of others: `slow` was not sampled in round 9, `quick` not in round 8, `spared` twice.
  private func rows() throws -> [ResultRow] {
    func samples(_ values: [Double]) -> [Int: Double] {
      Dictionary(uniqueKeysWithValues: values.enumerated().map { ($0, $1) })
    }
    return [
      try row("slow", samples(slow).merging([8: 0.001]) { $1 }),
      try row("quick", samples(quick).merging([9: 1000]) { $1 }),
      try row("spared", [2: 40, 5: 100]), try row("declined", [:]), try row("single", [4: 60]),
      try row("elsewhere", [20: 2.5, 21: 2.5]),
    ]
  }

  @Test func rowsArePairedByRounds() throws {
    var rows = try rows()
    ResultRow.compare(&rows, baseline: "slow", seed: 1)
    func speedup(_ name: String) throws -> Speedup {
      try #require(rows.first { $0.backend == name }?.speedup)
    }
    func best(_ name: String) throws -> BestComparison {
      try #require(rows.first { $0.backend == name }?.best)
    }
    #expect(try speedup("slow") == .ofBaseline)
    let quick = try speedup("quick")
    #expect(agree((quick.ratio, quick.low, quick.high), (3, 2, 4)) && quick.verdict == .faster, "\(quick)")
    // Medians decide who is the best, of all rounds: 2.5 beside 3 and 6.5.
    #expect(rows.compactMap(\.best).allSatisfy { $0.backend == "elsewhere" })
    #expect(try best("elsewhere") == .ofBest("elsewhere"))
    #expect(try best("quick").verdict == .unknown)
    #expect(rows[3].speedup == nil && rows[3].best == nil)
    let spared = try speedup("spared")
    #expect(abs(spared.ratio - 0.1) < 1e-12 && spared.verdict == .slower, "\(spared)")
    let single = try speedup("single")
    #expect(abs(single.ratio - 0.1) < 1e-12 && single.verdict == .unknown)
    let none = try speedup("elsewhere")
    #expect(none.ratio.isNaN && none.verdict == .unknown)
  }

  /// The order in which engines stand says nothing; the other baseline turns everything over.
  @Test func ordersAndBaselinesTurnOver() throws {
    var (rows, reversed, swapped) = (try rows().dropLast() as [ResultRow], [ResultRow](), [ResultRow]())
    reversed = rows.reversed()
    swapped = rows
    ResultRow.compare(&rows, baseline: "slow", seed: 1)
    ResultRow.compare(&reversed, baseline: "slow", seed: 1)
    ResultRow.compare(&swapped, baseline: "quick", seed: 1)
    #expect(rows.map(\.speedup) == reversed.reversed().map(\.speedup))
    #expect(rows.map(\.best) == reversed.reversed().map(\.best))
    #expect(rows.map(\.best?.backend) == ["quick", "quick", "quick", nil, "quick"])
    let (one, other) = (try #require(rows[1].speedup), try #require(swapped[0].speedup))
    #expect(agree((other.ratio, other.low, other.high), (1 / one.ratio, 1 / one.high, 1 / one.low)))
    #expect(one.verdict == .faster && other.verdict == .slower)
    // Beside the best it is the same comparison, whatever the baseline is.
    #expect(swapped.map(\.best) == rows.map(\.best))
    let best = try #require(rows[0].best)
    #expect(agree((best.ratio, best.low, best.high), (3, 2, 4)) && best.verdict == .slower)
    // A baseline without a time, or none at all: no speed-ups, but a best.
    for baseline in ["declined", "unknown"] {
      var without = try self.rows()
      ResultRow.compare(&without, baseline: baseline, seed: 1)
      #expect(without.allSatisfy { $0.speedup == nil } && without[0].best != nil, "\(baseline)")
    }
  }

  // MARK: Steps of training

  private func training(_ backend: String, _ steps: [Double]) -> TrainingRow {
    var row = TrainingRow(network: "n", backend: backend, threads: 1, batch: 1, steps: steps.count)
    (row.forward, row.backward) = (steps.map { $0 / 2 }, steps.map { $0 / 4 })
    row.optimizer = row.backward
    return row
  }

  @Test func stepsArePaired() {
    var rows = [
      training("slow", slow), training("none", []), training("quick", quick + [1]),
      training("strays", [0.1, 0.1]),
    ]
    rows[3].trajectoryError = 1.5
    TrainingRow.compare(&rows, baseline: "slow", seed: 1)
    #expect(rows[0].speedup == .ofBaseline && rows[1].speedup == nil && rows[1].best == nil)
    let quick = rows[2].speedup
    #expect(quick.map { agree(($0.ratio, $0.low, $0.high), (3, 2, 4)) && $0.verdict == .faster } == true)
    // What strays from its trajectory has a time, and is not the best.
    #expect(
      rows.map { $0.best?.backend } == ["quick", nil, "quick", "quick"]
        && abs((rows[3].speedup?.ratio ?? 0) - 115) < 1e-9)
    let best = rows[0].best
    #expect(best.map { agree(($0.ratio, $0.low, $0.high), (3, 2, 4)) && $0.verdict == .slower } == true)
    var swapped = [rows[0], rows[2]]
    TrainingRow.compare(&swapped, baseline: "quick", seed: 1)
    let slow = swapped[0].speedup
    #expect(
      slow.map { agree(($0.ratio, $0.low, $0.high), (1.0 / 3, 0.25, 0.5)) && $0.verdict == .slower } == true)
    // A baseline that trained nothing: nothing is known, not even a winner.
    TrainingRow.compare(&rows, baseline: "none", seed: 1)
    #expect(rows[0].speedup?.ratio.isNaN == true && rows[0].speedup?.verdict == .unknown)
  }

  // MARK: Company, peers, publications

  @Test func companyTurnsOver() throws {
    let item = RunItem(
      suite: "s", problem: BenchmarkProblem(try ConvProblem(parsing: "conv2d:n1c2h5w5k2r3s3p1")),
      pass: .forward)
    func row(alone: [Double], company: [Double]) -> CompanyRow {
      CompanyRow(
        item: item, backend: "a", threads: 1, cache: .warm, alone: alone, company: company, seed: 1)
    }
    let slowed = row(alone: quick, company: slow).comparison
    #expect(agree((slowed.ratio, slowed.low, slowed.high), (3, 2, 4)) && slowed.verdict == .faster)
    let sped = row(alone: slow, company: quick)
    #expect(agree((sped.comparison.ratio, sped.comparison.low, sped.comparison.high), (1.0 / 3, 0.25, 0.5)))
    #expect(sped.comparison.verdict == .slower && !sped.agrees)
    // Of the ratios 3, 1/3 and 1 the middle, the ends, and a third of the rows.
    var report = AgreementReport(environment: [], command: "c", date: "d")
    report.rows = [row(alone: quick, company: slow), sped, row(alone: slow, company: slow)]
    #expect(report.companySentence.contains("1 of 3 rows (33.3 %) agree"), "\(report.companySentence)")
    #expect(report.companySentence.hasSuffix("time alone 1.00 (median; 90 % of the rows 0.400–2.80)"))
    // Intervals 2/3, 3/4 and 0 of their ratios wide.
    #expect(
      report.powerSentence.contains("are 66.7 % of the ratio wide in the median; in 1 rows at most 10 %"))
  }

  @Test func peersTurnOver() throws {
    func row(own: [Double], peers: [Double]) -> ComparisonRow {
      var row = ComparisonRow(
        suite: "s", problem: "p", name: "a", group: .other, pass: "forward", backend: "a", threads: 1,
        filterState: "fresh", peer: PeerIdentity(name: "p", version: "1", configurations: ["c"]))
      row.set(own: own, peers: peers, configuration: "c", seed: 1)
      return row
    }
    let ours = row(own: quick, peers: slow)
    #expect(ours.ratio.map { agree(($0.ratio, $0.low, $0.high), (3, 2, 4)) && $0.verdict == .faster } == true)
    #expect(ours.ratioOfMinima == 3)
    let theirs = row(own: slow, peers: quick)
    #expect(
      theirs.ratio.map { agree(($0.ratio, $0.low, $0.high), (1.0 / 3, 0.25, 0.5)) && $0.verdict == .slower }
        == true)
    #expect(abs(theirs.ratioOfMinima - 1.0 / 3) < 1e-12)
    #expect(row(own: [], peers: slow).ratio == nil && row(own: [], peers: slow).ratioOfMinima.isNaN)
    #expect(
      row(own: [1], peers: []).ratioOfMinima.isNaN && row(own: [1], peers: [2]).ratio?.verdict == .unknown)
    // Means of ratios that differ: of 3 and 1/3, of the better of both rows of one layer.
    var report = ComparisonReport(
      environment: [], command: "c", date: "d",
      peer: PeerIdentity(name: "p", version: "1", configurations: ["c"]))
    var second = theirs
    second.name = "b"
    var other = row(own: quick, peers: quick)
    (other.backend, other.name) = ("b", "b")
    report.rows = [ours, second, other]
    let means = report.means
    #expect(means.map(\.backend) == ["a", "b", ComparisonReport.best] && means.map(\.rows) == [2, 1, 2])
    for (mean, expected) in zip(means, [1, 1, 3.0.squareRoot()]) {
      #expect(abs(mean.geometricMean - expected) < 1e-12, "\(mean)")
    }
    #expect(
      abs(means[0].least - 1.0 / 3) < 1e-12 && abs(means[0].greatest - 3) < 1e-12 && means[2].least == 1)
  }

  // MARK: Two runs

  private func run(_ rows: [ResultRow], peak: Double = 100) -> RunReport {
    var report = RunReport(environment: [("CPU", "x")], command: "c", date: "d", peak: peak, rows: rows)
    report.limits = [MachineLimits(threads: 2, fmaPeak: peak, bandwidth: 1)]
    return report
  }

  private func samples(_ values: [Double]) -> [Int: Double] {
    Dictionary(uniqueKeysWithValues: values.enumerated().map { ($0, $1) })
  }

  /// Medians 4 and 2, as above: 2 (2 · 2⁻√⁵ to 2 · 2√¹³). A row of six whose values lie close together decides the verdict.
  @Test func differencesTurnOver() throws {
    let (wide, other) = ([32.0, 1, 4, 2, 8, 4], [0.5, 2, 4, 1, 2, 3])
    let (high, low) = ([4.0, 4.1, 3.9, 4, 4.05, 4, 4.1], [2, 2.1, 1.9, 2, 2, 2.05])
    let before = run([
      try row("wide", samples(other)), try row("sure", samples(low)), try row("untimed", samples(low)),
      try row("gone", samples(low)), try row("broken", samples(low)),
    ])
    var untimed = try row("untimed", [:])
    untimed.set(Verification(.passed, reason: ""))
    var after = run([
      try row("broken", [:]), untimed, try row("sure", samples(high)), try row("wide", samples(wide)),
    ])
    let there = RunDiff(before, after, threshold: 0.05)
    #expect(there.rows.map(\.verdict) == [.broken, .untimed, .regressed, .unchanged])
    let (below, above) = (exp2(-5.0.squareRoot()), exp2(13.0.squareRoot()))
    let wideRow = there.rows[3]
    #expect(agree((wideRow.ratio, wideRow.low, wideRow.high), (2, 2 * below, 2 * above)), "\(wideRow)")
    #expect(there.rows[0].ratio.isNaN && there.rows[1].low.isNaN && there.hasRegressions)
    #expect(there.onlyBefore.map(\.backend) == ["gone"] && there.onlyAfter.isEmpty)
    // The geometric mean of each engine is of rows that have a ratio.
    #expect(there.means.map(\.backend) == ["sure", "wide"] && abs(there.means[1].ratio - 2) < 1e-12)

    let back = RunDiff(after, before, threshold: 0.05)
    func found(_ name: String) throws -> RunDiff.Row {
      try #require(back.rows.first { $0.after.backend == name })
    }
    // What was broken and is not any more has no time to compare with.
    #expect(try found("broken").verdict == .untimed && found("untimed").verdict == .untimed)
    #expect(
      try found("sure").verdict == .improved && found("wide").verdict == .unchanged && !back.hasRegressions)
    let turned = try found("wide")
    #expect(
      agree((turned.ratio, turned.low, turned.high), (0.5, 0.5 / above, 0.5 / below)), "\(turned)")
    #expect(back.onlyAfter.map(\.backend) == ["gone"] && back.onlyBefore.isEmpty)
    let sure = there.rows[2]
    let turnedSure = try found("sure")
    #expect(
      agree(
        (turnedSure.ratio, turnedSure.low, turnedSure.high), (1 / sure.ratio, 1 / sure.high, 1 / sure.low)))
    // Improved by more than the threshold is judged by its reciprocal: 1 / 1.9 is not below 1 / 2.
    #expect(RunDiff(after, before, threshold: 1).rows.allSatisfy { $0.verdict != .improved })
    // By peaks: a machine of twice the peak needs half the time for the same share of it.
    after = run(after.rows, peak: 50)
    let scaled = RunDiff(before, after, threshold: 0.05, normalizes: true).rows[3]
    #expect(agree((scaled.ratio, scaled.low, scaled.high), (1, below, above)), "\(scaled)")
    let scaledBack = RunDiff(after, before, threshold: 0.05, normalizes: true).rows.first {
      $0.after.backend == "wide"
    }
    #expect(scaledBack.map { agree(($0.ratio, $0.low, $0.high), (1, 1 / above, 1 / below)) } == true)
  }

  // MARK: Totals

  /// Three layers, the second of them twice. `a` and `c` have all of them, `b` two, `d` none.
  @Test func totalsLeaveNothingOut() throws {
    let times: [String: [Double?]] = [
      "a": [5, 8, 11], "b": [4, 1, nil], "c": [2, 9, 10], "d": [nil, nil, nil],
    ]
    func layers(_ order: [String]) throws -> [ItemRows] {
      let rows = try (0..<3).flatMap { layer in
        try order.map { name -> ResultRow in
          var row = try row(
            name, times[name]![layer].map { [0: $0] } ?? [:], name: "layer \(layer)")
          row.multiplicity = layer == 1 ? 2 : 1
          return row
        }
      }
      return ItemRows.all(rows)
    }
    for order in [["a", "b", "c", "d"], ["d", "c", "b", "a"], ["b", "d", "a", "c"]] {
      let totals = LayerTotals(try layers(order))
      #expect(totals.count == 3 && totals.engines.map(\.name) == ["c", "a", "b", "d"], "\(order)")
      #expect(totals.engines.map(\.milliseconds) == [30, 32, 6, 0])
      #expect(
        totals.engines.map(\.total) == [30, 32, nil, nil] && totals.engines.map(\.missing) == [0, 0, 1, 3])
      #expect(totals.best.total == 2 + 2 * 1 + 10 && totals.picks.map(\.count) == [2, 1], "\(totals.picks)")
      #expect(totals.picks.map(\.engine) == ["c", "b"])
    }
    // Where nobody has a time of a layer the best of each layer has no total.
    var rows = try layers(["a", "b"])
    rows.append(contentsOf: ItemRows.all([try row("d", [:], name: "layer 3")]))
    let totals = LayerTotals(rows)
    #expect(totals.best.total == nil && totals.best.missing == 1 && totals.engine("a")?.missing == 1)
    #expect(totals.fastest == nil && totals.engine("a")?.milliseconds == 32)
  }

  /// A winner is clear where its interval against the baseline lies above the next one's, wherever either stands.
  @Test func clearWinnersHaveTheirOwnInterval() throws {
    func item(_ intervals: [(String, Double, ClosedRange<Double>)]) throws -> ItemRows {
      try #require(
        ItemRows.all(
          intervals.map { name, milliseconds, interval in
            var row = try row(name, [0: milliseconds])
            row.speedup = Speedup(
              ratio: 1, low: interval.lowerBound, high: interval.upperBound, verdict: .indistinguishable)
            return row
          }
        ).first)
    }
    #expect(try item([("a", 1, 2...3), ("b", 2, 1...1.9)]).hasClearWinner)
    #expect(try item([("b", 2, 1...1.9), ("a", 1, 2...3)]).hasClearWinner)
    #expect(try !item([("a", 1, 1.9...3), ("b", 2, 1...2)]).hasClearWinner)
    #expect(try !item([("a", 2, 2...3), ("b", 1, 1...1.9)]).hasClearWinner)
    #expect(try item([("a", 1, 1...1)]).hasClearWinner)
    // The third, however slow, is not asked.
    #expect(try item([("a", 1, 4...5), ("c", 9, 9...9), ("b", 2, 1...3)]).hasClearWinner)
    var unknown = try item([("a", 1, 2...3), ("b", 2, 1...1.9)])
    unknown =
      ItemRows.all(
        unknown.rows.map { row in
          var row = row
          row.speedup = nil
          return row
        })[0]
    #expect(!unknown.hasClearWinner)
  }
}
