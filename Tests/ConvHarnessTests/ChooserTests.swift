import ConvCore
import ConvNaive
import ConvTestSupport
import Foundation
import Testing

@testable import ConvHarness

/// What chooses among engines stands beside them: whatever its name is, it never wins against the engine that it chose.
@Suite struct ChooserTests {
  /// A chooser from outside, whose plans are all the oracle's.
  private static let picker: FakeBackend = {
    var picker = FakeBackend("picker", changing: { $0.executedBy = $0.inner.executedBy })
    picker.choosesEngines = true
    return picker
  }()

  /// A row of exactly that time; a chooser where it took an engine's plan.
  static func row(
    _ backend: String, _ milliseconds: Double, took plan: String? = nil, name: String = "conv1",
    pass: ConvPass = .forward, multiplicity: Int = 1
  ) throws -> ResultRow {
    var row = try SyntheticRun.row(
      name: name, pass: pass, backend: backend, milliseconds: milliseconds, noise: 0,
      multiplicity: multiplicity)
    row.baseline = "slow"
    row.role = plan == nil ? .engine : .chooser
    row.variant = plan ?? backend
    row.executedBy = row.variant
    row.verification.errorMax = 1e-6
    row.verification.errorRatio = 0.5
    row.verification.errorBound = 2e-6
    return row
  }

  /// Items of a row each of `quick`, `slow` and the chooser `picker`, which takes what `took` names.
  static func report(_ items: [(quick: Double, slow: Double, picker: Double, took: String)]) throws
    -> RunReport
  {
    let rows = try items.enumerated().flatMap { index, item in
      var rows = [
        try row("quick", item.quick, name: "layer\(index)"),
        try row("slow", item.slow, name: "layer\(index)"),
        try row("picker", item.picker, took: item.took, name: "layer\(index)"),
      ]
      ResultRow.compare(&rows, baseline: "slow", seed: 1)
      return rows
    }
    return ReportSamples.report(rows)
  }

  private static let some: [(quick: Double, slow: Double, picker: Double, took: String)] = [
    // The best engine's plan, by noise faster or slower; another engine's; one that nobody else ran.
    (1, 2, 0.93, "quick"), (1, 2, 1.3, "quick"), (1, 1.05, 1.05, "slow"), (1, 2, 2, "slow"), (4, 8, 2, "own"),
    (3, 1, 3, "quick"),
  ]

  @Test func theBestIsAnEngine() throws {
    let rows = try Self.report(Self.some).rows
    let bests = rows.map { $0.best?.backend }
    #expect(bests.prefix(15).allSatisfy { $0 == "quick" } && bests.suffix(3).allSatisfy { $0 == "slow" })
    func verdicts(_ backend: String) -> [BestComparison.Verdict?] {
      rows.filter { $0.backend == backend }.map { $0.best?.verdict }
    }
    #expect(verdicts("picker") == [.samePlan, .samePlan, .slower, .slower, .faster, .slower])
    #expect(verdicts("quick") == [.best, .best, .best, .best, .best, .slower])
    // The ratio is with the best engine, whatever the verdict says.
    let ratios = rows.filter { $0.backend == "picker" }.compactMap { $0.best?.ratio }
    for (ratio, expected) in zip(ratios, [0.93, 1.3, 1.05, 2, 0.5, 3]) {
      #expect(abs(ratio - expected) < 1e-9, "\(ratio), not \(expected)")
    }
    // The baseline's part is as for everybody.
    #expect(abs((rows[2].speedup?.ratio ?? 0) - 2 / 0.93) < 1e-9 && rows[2].speedup?.verdict == .faster)
  }

  /// An engine that ran another one's plan is an engine all the same, and unknown plans are not the same.
  @Test func onlyChoosersTakePlans() throws {
    var rows = [try Self.row("quick", 1), try Self.row("copy", 1.5), try Self.row("picker", 1.5, took: "")]
    (rows[1].variant, rows[1].executedBy) = ("quick", "quick")
    (rows[0].variant, rows[0].executedBy) = ("", "")
    ResultRow.compare(&rows, baseline: "slow", seed: 1)
    #expect(rows.map { $0.best?.verdict } == [.best, .slower, .slower])
    // The same variant by other lowerings is another plan.
    rows = [try Self.row("quick", 1), try Self.row("picker", 1.5, took: "quick")]
    rows[0].executedBy = "quick via groups"
    ResultRow.compare(&rows, baseline: "slow", seed: 1)
    #expect(rows[1].best?.verdict == .slower)
  }

  @Test func winsAreCountedAmongEngines() throws {
    let report = try Self.report(Self.some)
    let totals = LayerTotals(ItemRows.all(report.rows))
    #expect(totals.picks.map(\.engine) == ["quick", "slow"] && totals.picks.map(\.count) == [5, 1])
    // The chooser beside it takes no engine's clear win away.
    #expect(totals.picks.map(\.clear) == [5, 1])
    #expect(totals.best.milliseconds == 1 + 1 + 1 + 1 + 4 + 1)
    #expect(totals.engines.map(\.name) == ["quick", "slow"] && totals.fastest?.name == "quick")
    #expect(totals.choosers.map(\.name) == ["picker"])
    #expect(abs((totals.engine("picker")?.total ?? 0) - 10.28) < 1e-9)
    let page = try XMLNode.parse(report.html)
    let answer = try #require(page.first("section", id: "answer"))
    // Names are elements of their own.
    #expect(answer.text.contains("Of 6 layers and passes, the fastest engine is  in 5 and  in 1."))
    let marked = page.all("tr") { $0.attributes["class"] == "fastest" }.map { $0.attributes["data-backend"] }
    #expect(marked == ["quick", "quick", "quick", "quick", "quick", "slow"])
    #expect(page.first("section", id: "answer")?.text.contains("picker 10.3 ms, 1.14 × the best") == true)
    #expect(page.all("h1").first?.text == "How fast, how wrong: 2 engines, 1 chooser and 6 layers")
    #expect(page.all("footer").first?.text.contains("same plan says that it took the very plan") == true)
    // Its points are in the pictures, not on the front.
    #expect(!ReportSuite.all(report.rows)[0].layers[0].front.contains { $0.backend == "picker" })
    let lines = report.markdown.split(separator: "\n")
    let best = try #require(lines.firstIndex { $0.hasPrefix("| best of each layer | 9.00") })
    #expect(lines[best + 1].hasPrefix("| picker | 10.3"), "\(lines[best + 1])")
    #expect(lines.contains { $0.contains("`conv2d") && $0.hasSuffix("| slow 1.00 |") })
  }

  @Test func aSentenceSaysHowItDid() throws {
    let report = try Self.report(Self.some)
    let record = try #require(report.chooserRecords.first)
    // 1, 1, 1.05, 2, 0.5, 3 times the best engine's time: the same plan is as fast as itself.
    #expect(record.items == 6 && record.within2Percent == 3 && record.within10Percent == 4)
    #expect(abs(record.geometricMean - pow(1.05 * 3, -1.0 / 6)) < 1e-12)
    #expect(record.misses == [.init(plan: "slow", count: 1), .init(plan: "quick", count: 1)])
    let sentence =
      "picker is within 2 % of the best engine in 3 of 6 items, within 10 % in 4; geometric mean of the best's time over its "
      + "own 0.826; where it missed it took slow (1), quick (1)"
    #expect(report.chooserSentences == [sentence])
    #expect(report.markdown.contains("- \(sentence).\n") && report.markdown.contains("| same plan |"))
    let answer = try XMLNode.parse(report.html).first("section", id: "answer")
    #expect(answer?.text.contains(sentence + ".") == true)
    // What missed most often comes first; a chooser that never misses has no such part.
    let misses = try Self.report([(1, 2, 3, "a"), (1, 2, 3, "b"), (1, 2, 3, "b"), (1, 2, 3, "c")])
    #expect(
      misses.chooserSentences[0].hasSuffix("it took b (2), a (1) and others"), "\(misses.chooserSentences)")
    let right = try Self.report([(1, 2, 1.5, "quick")])
    #expect(
      right.chooserSentences[0].hasSuffix(
        "in 1 of 1 item, within 10 % in 1; geometric mean of the "
          + "best's time over its own 1.00"))
    #expect(try SyntheticRun.full().chooserSentences.isEmpty)
    #expect(!(try SyntheticRun.full().markdown.contains("same plan")))
  }

  /// Where nobody but choosers runs nobody is the best.
  @Test func choosersAloneHaveNoBest() throws {
    var rows = [try Self.row("picker", 1, took: "quick"), try Self.row("picker#2", 1.1, took: "quick")]
    ResultRow.compare(&rows, baseline: "picker", seed: 1)
    #expect(rows.allSatisfy { $0.best == nil })
    #expect(rows[0].speedup?.verdict == .baseline && abs((rows[1].speedup?.ratio ?? 0) - 1 / 1.1) < 1e-9)
    let fields = ReportSamples.columns(rows)[1]
    for column in ["best_backend", "ratio_to_best", "verdict_best"] {
      #expect(fields[column] == "", "\(column)")
    }
    var second = try [("picker", 2.0), ("picker#2", 2.0)].map {
      try Self.row($0.0, $0.1, took: "quick", name: "conv2")
    }
    ResultRow.compare(&second, baseline: "picker", seed: 1)
    let report = ReportSamples.report(rows + second)
    #expect(report.chooserRecords.isEmpty && LayerTotals(ItemRows.all(report.rows)).picks.isEmpty)
    let page = try XMLNode.parse(report.html)
    let answer = try #require(page.first("section", id: "answer")).text
    #expect(
      answer.contains("no engine has a time beside  and , so that the fastest is not known"))
    #expect(!answer.contains("the fastest engine is") && answer.contains("picker 3.00 ms"))
    let text = report.markdown
    #expect(text.contains("| picker | 3.00 | 3.00 |") && !text.contains("best of each layer |"), "\(text)")
    // With an engine that fails there is none either.
    var failed = try Self.row("quick", 1)
    failed.set(Verification(.failed, reason: "wrong"))
    (failed.seconds, failed.rounds, failed.medianMilliseconds) = ([], [], .nan)
    var mixed = [failed, rows[0]]
    ResultRow.compare(&mixed, baseline: "slow", seed: 1)
    #expect(mixed.allSatisfy { $0.best == nil })
  }

  @Test func theRoleIsInTheFiles() throws {
    let report = try Self.report(Self.some)
    let newer = ["role", "effective_bits", "correlated"]
    #expect(ResultRow.columns.suffix(newer.count).map(\.name) == newer)
    try withTemporaryFolder { folder in
      try report.write(to: folder)
      let read = try RunReport(reading: folder)
      #expect(
        read.rows.map(\.role) == report.rows.map(\.role) && read.chooserSentences == report.chooserSentences)
      #expect(read.rows.map { $0.best?.verdict } == report.rows.map { $0.best?.verdict })
      // Files from before there were roles compare everybody as engines, and are read as they are.
      let old = try InputFile.text(of: folder + "/results.csv").split(separator: "\n").map {
        $0.components(separatedBy: ",").dropLast(newer.count).joined(separator: ",")
      }
      try AtomicFile.write(old.joined(separator: "\n") + "\n", to: folder + "/results.csv")
      #expect(try RunReport(reading: folder).rows.allSatisfy { $0.role == .engine })
    }
  }

  @Test func runsAgreeOnTheFastestEngine() throws {
    let first = try Self.report([(1, 2, 0.9, "quick"), (1, 2, 0.9, "quick")])
    // The chooser took the other one, or none of them was clear.
    let second = try Self.report([(1, 2, 1.1, "quick"), (2, 1, 0.9, "slow")])
    let agreement = WinnerAgreement(first, second)
    #expect(agreement.items == 2 && agreement.same == 1 && agreement.contradictions.count == 1)
    #expect(agreement.contradictions.map(\.first.backend) == ["quick"])
    // A run from before there were roles has the chooser as an engine.
    var old = first
    for i in old.rows.indices { old.rows[i].role = .engine }
    #expect(WinnerAgreement(old, second).same == 1 && WinnerAgreement(second, old).contradictions.count == 1)
    // One engine and a chooser are no competition.
    var few = first
    few.rows.removeAll { $0.backend == "slow" }
    #expect(WinnerAgreement(few, few).items == 0)
  }

  /// From the backend to the rows, by what it says of itself.
  @Test func aPluginThatChoosesStandsBeside() throws {
    var settings = RunSettings(pool: .pool(threads: 1), baseline: "picker", seed: 5)
    settings.sampling.warmUpSeconds = 0.001
    settings.sampling.budgetSeconds = 0.01
    settings.sampling.slowFactor = .infinity
    let item = RunItem(
      suite: "test", problem: BenchmarkProblem(try ConvProblem(parsing: "conv2d:n1c2h6w5k3r3s3p1")),
      pass: .forward)
    func rows(_ competitors: [Competitor]) throws -> [ResultRow] {
      var run = LayerRun(settings: settings)
      let first = try run.rows(for: item, competitors: competitors, visit: Visit(index: 0, of: 2))
      return try run.rows(for: item, competitors: competitors, visit: Visit(index: 1, of: 2), earlier: first)
    }
    let both = try rows([Competitor(Self.picker), Competitor(NaiveBackend())])
    #expect(both.map(\.role) == [.chooser, .engine])
    // Whichever of the two was the faster one by noise.
    #expect(both.map { $0.best?.backend } == ["naive", "naive"])
    #expect(both.map { $0.best?.verdict } == [.samePlan, .best])
    #expect(both.map { $0.speedup?.verdict == .baseline } == [true, false])
    let alone = try rows([Competitor(Self.picker), Competitor(Self.picker, copy: 2)])
    #expect(alone.allSatisfy { $0.role == .chooser && $0.best == nil && !$0.seconds.isEmpty })
    #expect(Competitor(FakeBackend.plugin()).role == .engine)
  }

  @Test func trainingIsComparedWithTheBestEngine() throws {
    func row(_ backend: String, _ factor: Double, _ role: Competitor.Role = .engine) -> TrainingRow {
      var row = ReportSamples.training(backend)
      row.forward = row.forward.map { $0 * factor }
      row.backward = row.backward.map { $0 * factor }
      row.optimizer = row.optimizer.map { $0 * factor }
      row.role = role
      return row
    }
    var rows = [row("picker", 0.5, .chooser), row("a", 1), row("b", 2), row("wrong", 0.1)]
    rows[3].problem = "diverges"
    TrainingRow.compare(&rows, baseline: "b", seed: 1)
    #expect(rows.map { $0.best?.backend } == ["a", "a", "a", "a"])
    #expect(rows[1].best?.verdict == .best)
    for (row, expected) in zip(rows, [(0.5, 4.0), (1, 2), (2, 1), (0.1, 20)]) {
      let (ratio, speedup) = (row.best?.ratio ?? .nan, row.speedup?.ratio ?? .nan)
      #expect(abs(ratio - expected.0) < 1e-12 && abs(speedup - expected.1) < 1e-9, "\(row.backend)")
    }
    let report = ReportSamples.report(training: rows)
    #expect(report.chooserSentences.count == 1)
    #expect(
      report.chooserSentences[0].hasPrefix("picker takes 0.500 (")
        && report.chooserSentences[0].hasSuffix(
          "× the time of the best engine, a, for a training step of seed-cnn")
    )
    let answer = try #require(try XMLNode.parse(report.html).first("section", id: "answer")).text
    #expect(
      answer.contains("training step of seed-cnn: take : 2.00 × (2.00–2.00) as fast as , 750 ms")
        && answer.contains("picker takes 0.500"))
    try withTemporaryFolder { folder in
      try report.write(to: folder)
      let read = try RunReport(reading: folder)
      #expect(read.training.map(\.role) == rows.map(\.role))
      #expect(TrainingRow.csv(read.training) == TrainingRow.csv(rows))
    }
    var alone = [rows[0]]
    TrainingRow.compare(&alone, baseline: "b", seed: 1)
    let single = ReportSamples.report(training: alone)
    #expect(alone[0].best == nil && single.chooserSentences.isEmpty)
    let page = try XMLNode.parse(single.html)
    #expect(page.text.contains("training step of seed-cnn: no engine has a time;  takes 375 ms"))
  }
}
