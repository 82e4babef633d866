import ConvCore
import ConvTestSupport
import Foundation
import Testing

@testable import ConvHarness

/// What a run says first, word by word: the times are made up, equal in all rounds, so that intervals have no width.
@Suite struct AnswerTests {
  /// The rows of one item, compared; nil has no time, since it did not pass.
  private static func item(
    _ times: [(String, Double?)], suite: String = "net", name: String = "conv1",
    problem: String = "conv2d:n1c3h9w9k4r3s3p1", pass: ConvPass = .forward, threads: Int = 2,
    multiplicity: Int = 1, count: Int = 20, noise: Double = 0, lacking: Verdict = .failed
  ) throws -> [ResultRow] {
    var rows = try times.enumerated().map { index, time in
      var row = try SyntheticRun.row(
        problem, suite: suite, name: name, pass: pass, backend: time.0, milliseconds: time.1 ?? 1,
        count: time.1 == nil ? 0 : count, noise: noise, threads: threads, multiplicity: multiplicity,
        seed: UInt64(index + 1))
      row.verification.errorMax = 1e-6 * Double(index + 1)
      row.verification.errorRatio = 0.25
      row.verification.errorBound = 4e-6
      row.workspaceBytes = index << 20
      if time.1 == nil {
        row.set(Verification(lacking, reason: "for a test"))
        (row.minMilliseconds, row.medianMilliseconds, row.p95Milliseconds) = (.nan, .nan, .nan)
      }
      return row
    }
    ResultRow.compare(&rows, baseline: "im2col", seed: 1)
    return rows
  }

  private static func lines(_ rows: [ResultRow]...) -> [String] {
    ReportSamples.report(rows.flatMap { $0 }).answer.lines()
  }

  @Test func aClearWinner() throws {
    let rows = try Self.item([("im2col", 2), ("winograd", 1), ("direct", 1.5)])
    #expect(
      Self.lines(rows) == [
        "net conv1, forward: take winograd: 2.00 × (2.00–2.00) as fast as im2col, 1.00 ms; "
          + "wrong by at most 2.0e-06, 0.25 × the bound; workspace 1 MiB"
      ])
    // Exact results, and no workspace.
    var exact = rows
    exact[1].verification.errorMax = 0
    exact[1].workspaceBytes = 0
    #expect(Self.lines(exact)[0].hasSuffix("1.00 ms; exact; no workspace"), "\(Self.lines(exact))")
  }

  /// Within 2 %, or with an interval that contains 1, none is named alone.
  @Test func aTie() throws {
    let rows = try Self.item([("im2col", 2), ("winograd", 1), ("direct", 1.01), ("fft", 1.1)])
    #expect(
      Self.lines(rows) == [
        "net conv1, forward: take winograd or direct (indistinguishable): 2.00 × (1.98–2.00) as fast as im2col, 1.00 ms; "
          + "wrong by at most 3.0e-06, 0.25 × the bound; workspace at most 2 MiB"
      ])
    let noisy = try Self.item([("im2col", 2), ("winograd", 1), ("direct", 1.1)], noise: 1.2)
    let words = Self.lines(noisy)[0]
    #expect(words.contains("take winograd or direct (indistinguishable): "), "\(words)")
    let baseline = try Self.item([("im2col", 1), ("winograd", 1.01), ("direct", 3)])
    #expect(
      Self.lines(baseline)[0].contains(
        "take im2col (the baseline) or winograd (indistinguishable): 1.00 ms; "),
      "\(Self.lines(baseline))")
  }

  @Test func theBaselineMayBeTheFastest() throws {
    let rows = try Self.item([("im2col", 1), ("winograd", 2), ("direct", 1.5)])
    #expect(
      Self.lines(rows)[0].contains(
        "take im2col (the baseline): 1.00 ms; the next, direct, takes 1.50 × (1.50–1.50) as long; wrong"),
      "\(Self.lines(rows))")
  }

  @Test func withoutABaselineTheNextEngineIsWhatIsCompared() throws {
    let absent = try Self.item([("winograd", 1), ("direct", 1.5)])
    #expect(
      Self.lines(absent)[0].contains(
        "take winograd: 1.00 ms; the next, direct, takes 1.50 × (1.50–1.50) as long; im2col, the baseline, takes no part; wrong"
      ), "\(Self.lines(absent))")
    let failed = try Self.item([("im2col", nil), ("winograd", 1), ("direct", 1.5)])
    let lines = Self.lines(failed)
    #expect(lines[0].contains("; im2col, the baseline, failed; "), "\(lines)")
    #expect(lines[1] == "Not considered where it did not pass: im2col (failed in 1 of 1 row).", "\(lines)")
    let declined = try Self.item([("im2col", nil), ("winograd", 1), ("direct", 1.5)], lacking: .unsupported)
    #expect(Self.lines(declined)[0].contains("; im2col, the baseline, declined; "), "\(Self.lines(declined))")
  }

  /// An engine whose results are wrong is never advised, however fast it would be; nor is one that nobody competes with.
  @Test func failedEnginesAreLeftOut() throws {
    let two = try Self.item([("im2col", 2), ("winograd", nil), ("direct", 1.5)])
    let lines = Self.lines(two)
    #expect(
      lines.count == 2 && lines[0].contains("take direct: 1.33 × (1.33–1.33) as fast as im2col"), "\(lines)")
    #expect(lines[1] == "Not considered where it did not pass: winograd (failed in 1 of 1 row).")
    let one = try Self.item([("im2col", nil), ("winograd", nil), ("direct", 1.5)], lacking: .mistrusted)
    #expect(
      Self.lines(one)[0].hasPrefix(
        "net conv1, forward: direct, the only engine with a time, takes 1.50 ms; wrong"),
      "\(Self.lines(one))")
    #expect(!Self.lines(one)[0].contains("take direct"))
    let none = try Self.item([("im2col", nil), ("winograd", nil)])
    #expect(
      Self.lines(none) == [
        "No engine has a time: none passed its verification.",
        "Not considered where it did not pass: im2col (failed in 1 of 1 row) and winograd (failed in 1 of 1 row).",
      ])
  }

  /// Layers count as often as the network has them; who lacks one is no engine for all of them.
  @Test func layersAreAddedUp() throws {
    let first = try Self.item(
      [("im2col", 2), ("winograd", 1), ("direct", 0.5)], name: "conv1", multiplicity: 3)
    let second = try Self.item([("im2col", 4), ("winograd", 3)], name: "conv2")
    // (3 · 2 + 4) / (3 · 1 + 3); layer by layer 3 · 0.5 + 3.
    #expect(
      Self.lines(first, second) == [
        "net (2 layers), forward: take winograd: 1.67 × (1.67–1.67) as fast as im2col, 6.00 ms "
          + "(4.50 ms with the fastest of each: winograd in 1 and direct in 1); "
          + "wrong by at most 2.0e-06, 0.25 × the bound; workspace at most 1 MiB"
      ])
    let third = try Self.item([("direct", 1), ("fft", 2)], name: "conv3")
    let none = Self.lines(first, second, third)
    #expect(
      none == [
        "net (3 layers), forward: no engine has a time of everything; the fastest is direct in 2 and winograd in 1 of 3 items"
      ], "\(none)")
  }

  /// The interval of a sum is that of its parts together: narrower than the widest, no wider than all of them added.
  @Test func intervalsOfSums() throws {
    func ratio(_ parts: [(Double, Double)]) throws -> EngineChoice.Ratio {
      let items = try parts.enumerated().map { index, part -> ItemRows in
        var rows = try Self.item([("im2col", 2 * part.0), ("winograd", part.0)], name: "conv\(index)")
        rows[1].speedup = Speedup(ratio: 2, low: 2 - part.1, high: 2 + part.1, verdict: .faster)
        return ItemRows.all(rows)[0]
      }
      return EngineChoice(items).ratio(of: "im2col", over: "winograd")
    }
    let one = try ratio([(1, 0.3)])
    #expect(abs(one.low - 1.7) < 1e-12 && abs(one.high - 2.3) < 1e-12 && one.isKnown)
    // Weights ¾ and ¼: √((¾·0.4)² + (¼·1.6)²) = 0.5.
    let two = try ratio([(3, 0.4), (1, 1.6)])
    #expect(abs(two.value - 2) < 1e-12 && abs(two.low - 1.5) < 1e-12 && abs(two.high - 2.5) < 1e-12)
  }

  @Test func passesAreOneSentenceWhereOneEngineWins() throws {
    let forward = try Self.item([("im2col", 2), ("winograd", 1)])
    let same = try Self.item([("im2col", 6), ("winograd", 3)], pass: .backwardData)
    #expect(
      Self.lines(forward, same).map { String($0.prefix(96)) } == [
        "net conv1, forward and backward-data: take winograd: 2.00 × (2.00–2.00) as fast as im2col, 4.00 "
      ], "\(Self.lines(forward, same))")
    let rest = try Self.item([("im2col", 2), ("winograd", 1)], pass: .backwardFilter)
    #expect(Self.lines(forward, same, rest)[0].hasPrefix("net conv1, all passes: take winograd: 2.00 ×"))
    let other = try Self.item([("im2col", 1), ("winograd", 3)], pass: .backwardData)
    #expect(
      Self.lines(forward, other).map { $0.components(separatedBy: ": ").prefix(2).joined(separator: ": ") }
        == [
          "net conv1, forward: take winograd", "net conv1, backward-data: take im2col (the baseline)",
        ])
  }

  @Test func suitesSweepsAndLayersHaveTheirOwnSentences() throws {
    let times: [(String, Double?)] = [("im2col", 2), ("winograd", 1)]
    func heads(_ rows: [ResultRow]...) -> [String] {
      Self.lines(rows.flatMap { $0 }).map { $0.components(separatedBy: ": take ")[0] }
    }
    #expect(
      heads(try Self.item(times, suite: "a"), try Self.item(times, suite: "b", name: ""))
        == ["a conv1, forward", "b conv2d:n1c3h9w9k4r3s3p1, forward"])
    #expect(
      heads(try Self.item(times, threads: 1), try Self.item(times, threads: 2))
        == ["net conv1, forward, 1 thread", "net conv1, forward, 2 threads"])
    let loose = RunAnswer.loose
    #expect(
      heads(
        try Self.item(times, suite: loose, name: ""),
        try Self.item(times, suite: loose, name: "", problem: "conv2d:n1c3h9w9k5r3s3p1"))
        == ["conv2d:n1c3h9w9k4r3s3p1, forward", "conv2d:n1c3h9w9k5r3s3p1, forward"])
    let many = ReportSamples.report(
      try ["a", "b", "c"].flatMap { try Self.item(times, suite: $0) }
    ).answer
    #expect(many.sentences.count == 3)
    #expect(many.lines(most: 1).count == 2 && many.lines(most: 1)[1] == "and 2 more, which are in the report")
  }

  /// Of one round nothing is certain, but that what is far behind is not the best.
  @Test func fewRoundsAreSaidToBeFew() throws {
    let rows = try Self.item([("im2col", 2), ("winograd", 1), ("naive", 30)], count: 1)
    #expect(
      Self.lines(rows)[0].hasPrefix(
        "net conv1, forward: take winograd (too few rounds to be certain): about 2.00 × as fast as im2col, 1.00 ms; wrong"
      ), "\(Self.lines(rows))")
    var far = try Self.item([("im2col", 2), ("winograd", 1), ("naive", 30)])
    (far[2].seconds, far[2].rounds) = ([0.03], [0])
    ResultRow.compare(&far, baseline: "im2col", seed: 1)
    #expect(far[2].best?.verdict == .unknown)
    #expect(
      Self.lines(far)[0].contains(": take winograd: 2.00 × (2.00–2.00) as fast as"), "\(Self.lines(far))")
  }

  @Test func runsThatAreNotWholeSaySo() throws {
    var report = ReportSamples.report(try Self.item([("im2col", 2), ("winograd", 1)]))
    report.isPartial = true
    #expect(report.answer.lines().count == 2)
    #expect(report.answer.lines()[1] == "The run was interrupted: this is of what had been measured by then.")
    var debug = ReportSamples.report(try Self.item([("im2col", nil)], lacking: .passed))
    debug.hasTimes = false
    #expect(debug.answer.lines() == ["No times: a debug build verifies, but refuses to time."])
    #expect(ReportSamples.report().answer.lines() == ["Nothing was run."])
  }

  @Test func trainingSteps() throws {
    func row(_ backend: String, _ factor: Double, network: String = "seed-cnn") -> TrainingRow {
      var row = TrainingRow(network: network, backend: backend, threads: 2, batch: 64, steps: 21)
      row.forward = Array(repeating: 0.5 * factor, count: 20)
      row.backward = Array(repeating: 0.25 * factor, count: 20)
      row.optimizer = Array(repeating: 0.25 * factor, count: 20)
      row.trajectoryError = 0.5
      row.pooledBytes = 3 << 20
      return row
    }
    var rows = [row("im2col", 2), row("winograd", 1), row("wrong", 0.1), row("direct", 1.01)]
    rows[2].problem = "diverges"
    TrainingRow.compare(&rows, baseline: "im2col", seed: 1)
    #expect(
      ReportSamples.report(training: rows).answer.lines() == [
        "training step of seed-cnn: take winograd or direct (indistinguishable): 2.00 × (1.98–2.00) as fast as im2col, 1000 ms; "
          + "away from the float64 trajectory by 0.5 of what is allowed; memory at most 3 MiB",
        "Not considered where it did not pass: wrong (failed in training seed-cnn).",
      ])
    // Networks are not compared with each other; without a baseline the next one is; alone none is advised.
    var two = [row("winograd", 1), row("direct", 1.5), row("fft", 1, network: "lenet")]
    two[2].trajectoryError = nil
    for network in 0..<2 {
      var own = network == 0 ? Array(two[..<2]) : [two[2]]
      TrainingRow.compare(&own, baseline: "im2col", seed: 1)
      two.replaceSubrange(network == 0 ? 0..<2 : 2..<3, with: own)
    }
    let lines = ReportSamples.report(training: two).answer.lines()
    #expect(
      lines[0].hasPrefix(
        "training step of seed-cnn: take winograd: 1000 ms; the next, direct, takes 1.50 × (1.50–1.50) as long; no baseline has a time; away"
      ), "\(lines)")
    #expect(
      lines[1]
        == "training step of lenet: fft, the only engine with a time, takes 1000 ms; not compared with a float64 trajectory; memory 3 MiB",
      "\(lines)")
  }

  /// Both reports begin with what the console ends with, also those that are made anew.
  @Test func allReportsSayTheSame() throws {
    let report = ReportSamples.report(
      try Self.item([("im2col", 2), ("winograd|x", 1), ("<fft>", 1.01)]),
      training: [ReportSamples.training("im2col")])
    try withTemporaryFolder { folder in
      try report.write(to: folder)
      let read = try RunReport(reading: folder)
      #expect(read.answer.lines() == report.answer.lines())
      let text = try InputFile.text(of: folder + "/report.md")
      let headings = text.split(separator: "\n").filter { $0.hasPrefix("## ") }
      #expect(headings.first == "## Answer", "\(headings)")
      #expect(
        text.contains(": take **winograd\\|x** or **&lt;fft>** (indistinguishable): 2.00 ×"),
        "\(text.prefix(900))")
      let page = try XMLNode.parse(try InputFile.text(of: folder + "/report.html"))
      let answer = try #require(page.first("section", id: "answer"))
      let items = try #require(answer.all("ul").first).all("li")
      #expect(items.count == report.answer.lines().count)
      #expect(items[0].all("b").map(\.text) == ["winograd|x", "<fft>", "im2col"])
      #expect(items[0].text.contains("(indistinguishable): 2.00 × (1.98–2.00) as fast as"))
    }
  }

  /// Runs that were stored by older versions have an answer too.
  @Test func storedRunsAreAnswered() throws {
    let root = checkout.path + "/Reports"
    let folders = try FileManager.default.contentsOfDirectory(atPath: root).filter { name in
      FileManager.default.fileExists(atPath: "\(root)/\(name)/run.json")
    }
    #expect(folders.count > 1, "\(folders)")
    for name in folders {
      let report = try RunReport(reading: "\(root)/\(name)")
      let lines = report.answer.lines()
      #expect(lines.contains { $0.contains(": take ") }, "\(name): \(lines)")
      #expect(!lines.contains { $0.contains("nan") || $0.contains("inf ") }, "\(name): \(lines)")
    }
  }
}

/// A blank beside a time says why.
@Suite struct SpeedTextTests {
  private static func words(_ rows: [ResultRow]) -> [String] {
    let texts = SpeedTexts(rows)
    return rows.indices.map { texts[$0].verdict }
  }

  private static func rows(_ verdict: Verdict?) throws -> [ResultRow] {
    var rows = [
      try SyntheticRun.row(backend: "winograd", milliseconds: 1),
      try SyntheticRun.row(backend: "fft", milliseconds: 2),
    ]
    if let verdict {
      var base = try SyntheticRun.row(backend: "im2col", milliseconds: 2, count: 0)
      base.set(Verification(verdict, reason: "x"))
      base.medianMilliseconds = .nan
      rows.append(base)
    }
    ResultRow.compare(&rows, baseline: "im2col", seed: 1)
    return rows
  }

  @Test func missingBaselinesAreNamed() throws {
    #expect(Self.words(try Self.rows(nil)) == ["im2col takes no part", "im2col takes no part"])
    for (verdict, words) in [
      (Verdict.failed, "im2col failed"), (.unsupported, "im2col declined"),
      (.mistrusted, "im2col is mistrusted"),
      (.missingReference, "im2col has no reference"), (.passed, "im2col has no time"),
    ] {
      #expect(Self.words(try Self.rows(verdict)) == [words, words, "not timed"])
    }
    let texts = SpeedTexts(try Self.rows(nil))
    #expect(texts[0].besideBest == "best" && texts[1].besideBest == "slower")
    let report = ReportSamples.report(try Self.rows(.failed))
    #expect(report.markdown.contains("| im2col failed |") && report.html.contains("im2col failed"))
  }

  @Test func whatIsFarBehindIsNotWorthTiming() throws {
    var rows = [
      try SyntheticRun.row(backend: "im2col", milliseconds: 2),
      try SyntheticRun.row(backend: "winograd", milliseconds: 1),
      try SyntheticRun.row(backend: "naive", milliseconds: 90, count: 1),
      try SyntheticRun.row(backend: "fft", milliseconds: 3, count: 1),
    ]
    ResultRow.compare(&rows, baseline: "im2col", seed: 1)
    #expect(Self.words(rows) == ["baseline", "faster", "not worth timing", "too few rounds"])
    let texts = SpeedTexts(rows)
    #expect(texts[2].besideBest == "not worth timing" && texts[3].besideBest == "too few rounds")
    // One pair of rounds has no interval.
    #expect(
      !texts[2].speedup.contains("–") && !texts[2].timeToBest.contains("–") && !texts[2].speedup.isEmpty)
    let report = ReportSamples.report(rows)
    #expect(!report.markdown.contains("unknown") && !report.html.contains("unknown"))
  }

  @Test func trainingRowsSayWhyToo() {
    let rows = ["im2col", "winograd", "fft"].map { ReportSamples.training($0) }
    var failed = rows
    failed[0].problem = "wrong"
    failed[0].forward = []
    #expect(
      failed.map { $0.speedTexts(among: failed, baseline: "im2col").verdict }
        == ["not timed", "im2col failed", "im2col failed"])
    #expect(
      failed[1].speedTexts(among: Array(failed[1...]), baseline: "im2col").verdict == "im2col takes no part")
    failed[0].problem = ""
    failed[0].declined = "a stride"
    #expect(failed[1].speedTexts(among: failed, baseline: "im2col").verdict == "im2col declined")
  }
}
