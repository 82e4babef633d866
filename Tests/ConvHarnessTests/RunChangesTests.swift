import ConvCore
import ConvTestSupport
import Foundation
import Testing

@testable import ConvHarness

/// What one line says of two runs.
@Suite struct RunChangesTests {
  private func report(
    _ rows: [ResultRow], peak: Double = 100, training: [TrainingRow] = []
  ) -> RunReport {
    var report = RunReport(
      environment: [("CPU", "one")], command: "vbench run", date: "2000-01-01T00:00:00Z", peak: peak,
      rows: rows,
      training: training)
    report.limits = [MachineLimits(threads: 2, fmaPeak: peak, bandwidth: 10)]
    return report
  }

  private func sentence(_ before: RunReport, _ after: RunReport) -> String {
    RunChanges(since: EarlierRun(name: "Reports/old", report: before), after).sentence
  }

  private func row(_ backend: String, _ name: String, _ milliseconds: Double, noise: Double = 0.01) throws
    -> ResultRow
  {
    try SyntheticRun.row(
      name: name, backend: backend, milliseconds: milliseconds, noise: noise, seed: UInt64(milliseconds * 100)
    )
  }

  @Test func fasterSlowerAndUnchanged() throws {
    let before = report([
      try row("winograd", "res2", 1), try row("winograd", "res3", 1), try row("direct", "res2", 1),
      try row("fft", "res2", 1), try row("naive", "res2", 1),
    ])
    let after = report([
      try row("winograd", "res2", 1.18), try row("winograd", "res3", 0.8), try row("direct", "res2", 1.02),
      // Slower, but nobody can tell.
      try row("fft", "res2", 1.1, noise: 0.8), try row("naive", "res2", 1.01),
    ])
    let text = sentence(before, after)
    #expect(
      text.hasPrefix(
        "since Reports/old: 1 row faster, 1 slower by more than the noise (winograd res2 forward 1.1"))
    #expect(text.hasSuffix(")), 3 unchanged") && text.contains(" × the time (1.1"))
    #expect(sentence(before, before) == "since Reports/old: 5 rows unchanged within the noise")
    let best = sentence(before, report([try row("direct", "res2", 0.5)]))
    #expect(best.hasPrefix("since Reports/old: 1 row faster by more than the noise (direct res2 forward 0."))
    let worst = sentence(before, report([try row("direct", "res2", 1.5), try row("winograd", "res2", 2.5)]))
    #expect(
      worst.hasPrefix(
        "since Reports/old: 2 rows slower by more than the noise (most winograd res2 forward 2.5"))
  }

  @Test func verdicts() throws {
    func row(_ backend: String, _ verdict: Verdict) throws -> ResultRow {
      var row = try self.row(backend, "conv", 1)
      row.set(Verification(verdict, reason: ""))
      if verdict != .passed { row.seconds = [] }
      return row
    }
    let before = report([
      try row("a", .passed), try row("b", .failed), try row("c", .unsupported), try row("d", .failed),
      try row("e", .unsupported), try row("f", .passed), try row("g", .unsupported),
    ])
    let after = report([
      try row("a", .failed), try row("b", .passed), try row("c", .unsupported), try row("d", .failed),
      try row("e", .failed), try row("f", .mistrusted), try row("g", .passed),
    ])
    #expect(
      sentence(before, after)
        == "since Reports/old: 2 rows not passing any more (a conv forward and 1 more), 2 passing now, "
        + "1 without times, verdicts as before, 1 with another verdict")
    // Also where both have times.
    var mistrusted = try self.row("a", "conv", 1)
    mistrusted.set(Verification(.mistrusted, reason: ""))
    #expect(
      try sentence(report([mistrusted]), report([self.row("a", "conv", 1)]))
        == "since Reports/old: 1 row passing now")
    let declined = report([try row("c", .unsupported)])
    #expect(sentence(declined, declined) == "since Reports/old: no engine takes part in both")
  }

  @Test func partsOfTheRun() throws {
    let before = report([try row("a", "x", 1)])
    let after = report([try row("a", "x", 1), try row("b", "x", 1), try row("a", "y", 1)])
    #expect(sentence(before, after) == "since Reports/old (1 of 3 rows): 1 row unchanged within the noise")
  }

  /// A machine that has become slower as a whole makes no engine slower; it is said.
  @Test func speedOfTheMachine() throws {
    let before = report([
      try row("compute", "x", 1), try row("memory", "x", 1), try row("worse", "x", 1),
      try row("better", "x", 1),
    ])
    let after = report(
      [
        try row("compute", "x", 1.25), try row("memory", "x", 1.01), try row("worse", "x", 1.6),
        try row("better", "x", 0.7),
      ], peak: 80)
    let text = sentence(before, after)
    #expect(
      text.hasPrefix("since Reports/old: 1 row faster, 1 slower by more than the noise (worse x forward 1.6"),
      "\(text)")
    #expect(
      text.hasSuffix(
        "), 2 unchanged; the machine's FMA peak is 0.800 × what it was: rows count that changed relative to it too"
      ))
    // Back again: faster in the same sense.
    let back = sentence(after, before)
    #expect(back.contains("1 row faster, 1 slower by") && back.contains("FMA peak is 1.25 ×"), "\(back)")
    // Peaks of two kinds say nothing about each other.
    var chains = after
    chains.limits[0].levels = [CacheBandwidth(level: "L1", bytesPerThread: 1, read: 1, write: 1, triad: 1)]
    let mixed = sentence(before, chains)
    #expect(mixed.contains("1 row faster, 2 slower by") && !mixed.contains("peak"), "\(mixed)")
    // A drift within the probes' noise is none.
    #expect(!sentence(before, report(before.rows, peak: 97)).contains("peak"))
  }

  /// Most rows of several engines at once are no engine's doing.
  @Test func allTogether() throws {
    let names = ["w", "x", "y", "z"]
    func run(_ backends: [String], _ factor: Double) throws -> RunReport {
      report(try backends.flatMap { backend in try names.map { try row(backend, $0, factor) } })
    }
    let words = "; so many rows of several engines: look at the machine first"
    #expect(sentence(try run(["a", "b"], 1), try run(["a", "b"], 1.3)).hasSuffix(words))
    #expect(sentence(try run(["a", "b"], 1.3), try run(["a", "b"], 1)).hasSuffix(words))
    #expect(!sentence(try run(["a"], 1), try run(["a"], 1.3)).contains("look at"))
  }

  @Test func trainingSteps() throws {
    func training(_ backend: String, _ factor: Double, problem: String = "") -> TrainingRow {
      var row = TrainingRow(network: "lenet", backend: backend, threads: 2, batch: 64, steps: 20)
      row.forward = (0..<20).map { (0.01 + 1e-5 * Double($0 % 3)) * factor }
      row.backward = row.forward
      row.optimizer = row.forward
      row.problem = problem
      return row
    }
    let before = report([], training: [training("a", 1), training("b", 1), training("c", 1)])
    let after = report(
      [], training: [training("a", 1.5), training("b", 1), training("c", 1, problem: "nan")])
    #expect(
      sentence(before, after)
        == "since Reports/old: 1 row slower by more than the noise (a lenet training step 1.50 × the time (1.50–1.50)), "
        + "1 not passing any more (c lenet training step), 1 unchanged")
  }

  /// Names from files reach the line written out.
  @Test func hostileNames() throws {
    let before = report([try row("a", "x\u{1B}[31m\ny", 1)])
    let text = sentence(before, report([try row("a", "x\u{1B}[31m\ny", 2)]))
    #expect(!text.contains("\u{1B}") && !text.contains("\n") && text.contains("x\\u{1b}[31m\\ny"))
  }

  /// The line is part of what is stored, and of every report that is made of it.
  @Test func stored() throws {
    try withTemporaryFolder { folder in
      var run = report([try row("a", "x", 1)])
      run.since = "since <a> | b: 1 row unchanged"
      try run.write(to: folder)
      #expect(try RunReport(reading: folder).since == run.since)
      #expect(run.markdown.contains("\nSince &lt;a> \\| b: 1 row unchanged.\n"))
      #expect(run.html.contains("<p class=\"note\">Since &lt;a&gt; | b: 1 row unchanged.</p>"))
      run.since = ""
      #expect(!run.json.contains("\"since\"") && !run.markdown.contains("Since"))
    }
  }
}

/// Which stored run a new one is compared with.
@Suite struct EarlierRunTests {
  private func run(
    _ day: Int, _ names: [String] = ["x"], cpu: String = "one", partial: Bool = false, threads: Int = 2
  ) throws -> RunReport {
    var report = RunReport(
      environment: [("CPU", cpu), ("instruction set", "avx2")], command: "vbench run",
      date: "2000-01-0\(day)T00:00:00Z", peak: 100,
      rows: try names.map { try SyntheticRun.row(name: $0, backend: "a", milliseconds: 1, threads: threads) })
    report.isPartial = partial
    return report
  }

  private func found(_ folder: String, _ report: RunReport) -> String? {
    EarlierRun.search(replacing: folder, for: report).run?.name
  }

  @Test func newestOfTheSameMachineAndProblems() throws {
    try withTemporaryFolder { root in
      #expect(try found("\(root)/new", run(9)) == nil)
      try run(1).write(to: "\(root)/z-first")
      #expect(try found("\(root)/new", run(9)) == "\(root)/z-first")
      try run(3).write(to: "\(root)/newest")
      try run(2).write(to: "\(root)/second")
      #expect(try found("\(root)/new", run(9)) == "\(root)/newest")
      // None of these is comparable.
      try run(4, cpu: "other").write(to: "\(root)/other-cpu")
      try run(5, partial: true).write(to: "\(root)/partial")
      try run(6, ["y"]).write(to: "\(root)/other-problem")
      try run(6, threads: 1).write(to: "\(root)/other-threads")
      var untimed = try run(7)
      untimed.hasTimes = false
      try untimed.write(to: "\(root)/untimed")
      var isa = try run(8)
      isa.environment[1].value = "avx512"
      try isa.write(to: "\(root)/other-instructions")
      try run(8).write(to: "\(root)/.unfinished")
      try run(8).write(to: "\(root)/below/nested")
      let search = try EarlierRun.search(replacing: "\(root)/new", for: run(9))
      #expect(search.run?.name == "\(root)/newest" && search.run?.report.date == "2000-01-03T00:00:00Z")
      #expect(search.notes.isEmpty)
      #expect(try found("\(root)/new/", run(9)) == "\(root)/newest")
      #expect(try found("\(root)/new", run(9, cpu: "other")) == "\(root)/other-cpu")
    }
  }

  /// What the folder held until now is a candidate like those beside it, under its date.
  @Test func replacedRun() throws {
    try withTemporaryFolder { root in
      try run(2).write(to: "\(root)/out")
      try run(1).write(to: "\(root)/older")
      #expect(try found("\(root)/out", run(9)) == "\(root)/out of 2000-01-02T00:00:00Z")
      try run(3).write(to: "\(root)/newer")
      #expect(try found("\(root)/out", run(9)) == "\(root)/newer")
    }
  }

  /// A newer run of a few of the problems does not stand in the way of one of all of them.
  @Test func mostlyTheSameProblems() throws {
    try withTemporaryFolder { root in
      let names = ["a", "b", "c", "d"]
      try run(3, ["a", "e", "f", "g"]).write(to: "\(root)/few")
      #expect(try found("\(root)/new", run(9, names)) == "\(root)/few")
      try run(1, names).write(to: "\(root)/all")
      #expect(try found("\(root)/new", run(9, names)) == "\(root)/all")
      try run(2, ["a", "b"]).write(to: "\(root)/half")
      #expect(try found("\(root)/new", run(9, names)) == "\(root)/half")
    }
  }

  /// Whatever is wrong with what lies there is passed over, and noted.
  @Test func brokenFolders() throws {
    try withTemporaryFolder { root in
      try run(1).write(to: "\(root)/good")
      for (name, file, text) in [
        ("a-json", "run.json", "{\"format\": \"vbench-run-1\", "),
        ("b-format", "run.json", "{\"format\": \"x\"}"),
        ("c-table", "results.csv", "suite,problem\n1,2\n"), ("d-samples", "samples.csv", "what\n"),
        ("e-bytes", "run.json", "{\u{0}"),
      ] {
        try run(5).write(to: "\(root)/\(name)")
        try AtomicFile.write(text, to: "\(root)/\(name)/\(file)")
      }
      try run(5).write(to: "\(root)/f-missing")
      try FileManager.default.removeItem(atPath: "\(root)/f-missing/results.csv")
      try FileManager.default.createDirectory(
        atPath: "\(root)/g-folder/run.json", withIntermediateDirectories: true)
      try AtomicFile.write("no folder", to: "\(root)/h-file")
      let search = try EarlierRun.search(replacing: "\(root)/new", for: run(9))
      #expect(search.run?.name == "\(root)/good")
      #expect(search.notes.count == 7, "\(search.notes)")
      for note in search.notes {
        #expect(note.hasPrefix("note: \(root)/") && note.contains(" was not compared: "))
      }
    }
  }

  /// The head of a file is what the whole says beside its rows, however it is laid out.
  @Test func heads() throws {
    try withTemporaryFolder { root in
      var report = try SyntheticRun.full()
      report.command = "vbench run '\n  \"results\": ['"
      try report.write(to: root)
      let whole = try RunReport(reading: root)
      func check(_ location: SourceLocation = #_sourceLocation) throws {
        let head = try RunReport(headOf: root)
        #expect(head.date == whole.date && head.command == whole.command, sourceLocation: location)
        #expect(head.environment.map(\.value) == whole.environment.map(\.value), sourceLocation: location)
        #expect(head.rows.isEmpty && head.since == whole.since, sourceLocation: location)
        #expect(head.limits.count == whole.limits.count, sourceLocation: location)
      }
      try check()
      // Rows before all else, as another tool may write them.
      let text = try InputFile.text(of: "\(root)/run.json")
      let rows = try #require(text.range(of: "\n  \"results\": ["))
      try AtomicFile.write(
        "{\n  \"results\": [],\n\(text[..<rows.lowerBound].dropFirst(2))\n  \"training\": []\n}\n",
        to: "\(root)/run.json")
      try check()
    }
  }
}
