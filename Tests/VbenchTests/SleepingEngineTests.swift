import ConvCore
import ConvTestSupport
import Foundation
import Testing

@testable import ConvHarness

/// Runs that take times, with engines whose durations are known: they sleep 1 ms and 5 ms after each right result, and keep a list of
/// their executions. No test says how long anything takes on a machine; a sleep is never shorter than it was asked to be.
@Suite(.serialized) struct SleepingEngineTests {
  /// One execution by the engine's own list.
  private struct Execution: Hashable {
    let engine, problem: String
    let milliseconds: Double

    /// All executions of a list; none where there is no list.
    static func all(_ path: String) -> [Execution] {
      ((try? String(contentsOfFile: path, encoding: .utf8)) ?? "").split(separator: "\n").map { line in
        let words = line.split(separator: " ").map(String.init)
        return Execution(engine: words[0], problem: words[1], milliseconds: (Double(words[2]) ?? .nan) * 1e3)
      }
    }
  }

  private static func problem(_ channels: Int) -> String { "conv2d:n1c2h6w6k\(channels)r3s3p1" }

  /// Runs `run` on some problems and reads what it wrote, with its engines' list; the folder is `out`.
  private func run(
    _ problems: [String], _ options: [String], in folder: String,
    engines: String = "sleep-5ms,sleep-1ms", baseline: String = "sleep-5ms"
  ) throws -> (check: RunFolderCheck, executions: [Execution], output: String) {
    let outcome = try CommandLineRunner.run(
      Self.arguments(problems, options, folder + "/out", engines, baseline),
      environment: ["VBENCH_SLEEP_LOG": folder + "/log"], executable: CommandLineRunner.sleepProbe)
    try #require(outcome.status == 0, "\(outcome)")
    return (try RunFolderCheck(folder + "/out"), Execution.all(folder + "/log"), outcome.output)
  }

  private static func arguments(
    _ problems: [String], _ options: [String], _ output: String, _ engines: String, _ baseline: String
  ) -> [String] {
    ["run"] + problems + ["--backends", engines, "--baseline", baseline, "--passes", "forward"]
      + ["--threads", "1", "--output", output] + options
  }

  private func samples(_ check: RunFolderCheck) -> [Int] { check.samples.map(\.count) }

  /// Order, ratio, verdicts and columns, beside an engine that declines; the rest is what `RunFolderCheck` looks at.
  @Test func theShorterSleepIsFaster() throws {
    try withTemporaryFolder { folder in
      let (check, executions, output) = try run(
        [Self.problem(3)], ["--rounds", "15", "--budget", "0.001", "--visits", "3"], in: folder,
        engines: "sleep-5ms,sleep-1ms,sleep-1ms,sleep-1ms[other]")
      #expect(check.faults.isEmpty, "\(check.faults.joined(separator: "\n"))")
      #expect(check.ratios == 4 && check.totals > 0, "\(check.ratios)")
      let rows = check.results
      #expect(
        rows.map { $0["backend"] } == ["sleep-5ms", "sleep-1ms", "sleep-1ms#2", "sleep-1ms[other]"])
      #expect(rows.map { $0["verdict"] } == ["passed", "passed", "passed", "unsupported"])
      #expect(rows.map { $0["baseline"] } == Array(repeating: "sleep-5ms", count: 4))
      #expect(rows.map { $0["verdict_speed"] } == ["baseline", "faster", "faster", ""])
      // Which of the two equal ones is the best is chance, that the other sleep is not is none.
      let best = try #require(rows[0]["best_backend"])
      #expect(["sleep-1ms", "sleep-1ms#2"].contains(best) && rows[0]["verdict_best"] == "slower")
      #expect(rows.prefix(3).filter { $0["verdict_best"] == "best" }.map { $0["backend"] } == [best])
      // No sample is shorter than the sleep, and the ratio is among those that the engines' own clocks allow.
      for (index, sleep) in [5.0, 1, 1].enumerated() {
        #expect(check.samples[index].count == 15 && check.samples[index].values.allSatisfy { $0 >= sleep })
      }
      let (long, short) = (
        executions.filter { $0.engine == "sleep-5ms" }.map(\.milliseconds),
        executions.filter { $0.engine == "sleep-1ms" }.map(\.milliseconds)
      )
      let (least, most) = (
        try #require(long.min()) / (try #require(short.max())),
        try #require(long.max()) / (try #require(short.min()))
      )
      for (index, name) in [(1, "speedup"), (2, "speedup"), (0, "ratio_to_best")] {
        let ratio = try #require(check.number(index, name))
        #expect(least <= ratio && ratio <= most, "\(name) \(ratio), the engines say \(least) to \(most)")
      }
      // Of an odd number of rounds the median of the reciprocals is the reciprocal of the median.
      let index = best == "sleep-1ms" ? 1 : 2
      let product =
        try #require(check.number(index, "speedup")) * (try #require(check.number(0, "ratio_to_best")))
      let ratio = try #require(check.number(index, "speedup"))
      #expect(RunFolderCheck.agree(product, ratio * ratio))
      // Standard output has the rows in the same order, with the same verdicts.
      let lines = output.split(separator: "\n").filter {
        $0.contains("sleep-") && $0.contains("forward") && !$0.contains("take ")
      }
      #expect(lines.count == 4, "\(output)")
      for (line, row) in zip(lines, rows) {
        let words = [row["backend"], row["verdict"], row["verdict_speed"], row["verdict_best"]].compactMap {
          $0
        }
        #expect(words.allSatisfy { $0.isEmpty || line.contains($0) }, "\(line)")
      }
    }
  }

  /// `--rounds` is what every engine is sampled at least, and at most where the budget is nothing; they are shared out among `--visits`,
  /// between which every other item has its turn.
  @Test func roundsAndVisitsAreCounted() throws {
    try withTemporaryFolder { folder in
      let problems = [Self.problem(3), Self.problem(4)]
      let (few, executions, _) = try run(
        problems, ["--rounds", "4", "--budget", "0.001", "--visits", "2"], in: folder)
      #expect(few.faults.isEmpty && samples(few) == [4, 4, 4, 4], "\(samples(few)) \(few.faults)")
      #expect(Self.turns(executions) == problems + problems)
      let facts = try #require(few.run["environment"] as? [String: String])
      #expect(facts["rounds"] == "4 at least, in 2 visits" && facts["budget"] == "0.001 s per item")
    }
    try withTemporaryFolder { folder in
      let problems = [Self.problem(3), Self.problem(4)]
      let (more, executions, _) = try run(
        problems, ["--rounds", "7", "--budget", "0.001", "--visits", "1"], in: folder)
      #expect(more.faults.isEmpty && samples(more) == [7, 7, 7, 7], "\(samples(more)) \(more.faults)")
      #expect(Self.turns(executions) == problems)
    }
  }

  /// With several visits the rows of the first are shown on standard error, marked as what they are; standard output has each row
  /// once and ends with the answer and where the report lies.
  @Test(arguments: [nil, "wide", "long"]) func rowsAppearFromTheFirstVisitOn(_ layout: String?) throws {
    try withTemporaryFolder { folder in
      let problems = [Self.problem(3), Self.problem(4)]
      let options = layout.map { ["--table", $0] } ?? []
      let outcome = try CommandLineRunner.run(
        Self.arguments(
          problems, ["--rounds", "16", "--budget", "0.001", "--visits", "2"] + options,
          folder + "/out", "sleep-5ms,sleep-1ms", "sleep-5ms"),
        executable: CommandLineRunner.sleepProbe)
      try #require(outcome.status == 0, "\(outcome)")
      let lines = outcome.output.split(separator: "\n").map(String.init)
      let rows = layout == "wide" ? 1 : 2
      for problem in problems {
        #expect(lines.count { $0.hasPrefix(problem + " ") } == rows, "\(outcome)")
        #expect(
          outcome.error.split(separator: "\n").count { $0.hasPrefix("~ " + problem + " ") } == rows,
          "\(outcome)")
      }
      #expect(
        outcome.error.contains("~ preliminary, of the first of 2 visits:\n") && !outcome.output.contains("~"))
      // The first table is there before the second visits are.
      #expect(lines.last?.hasPrefix("report: ") == true)
      let answer = try #require(lines.firstIndex(of: "answer:"))
      #expect(lines.count == answer + 4, "\(outcome)")
      for (line, problem) in zip(lines[(answer + 1)...], problems) {
        #expect(line.hasPrefix("  \(problem), forward: take sleep-1ms: "), "\(line)")
        #expect(line.contains(") as fast as sleep-5ms, ") && line.contains("; wrong by at most "), "\(line)")
      }
      let report = try RunReport(reading: folder + "/out")
      #expect(report.answer.lines().map { "  " + $0 } == Array(lines[(answer + 1)...(answer + 2)]))
    }
  }

  /// One sentence is one line; one visit needs nothing preliminary.
  @Test func oneLayerIsAnsweredInOneLine() throws {
    try withTemporaryFolder { folder in
      let outcome = try CommandLineRunner.run(
        Self.arguments(
          [Self.problem(3)], ["--rounds", "16", "--budget", "0.001", "--visits", "1"],
          folder + "/out", "sleep-5ms,sleep-1ms", "im2col"),
        executable: CommandLineRunner.sleepProbe)
      try #require(outcome.status == 0, "\(outcome)")
      let lines = outcome.output.split(separator: "\n").map(String.init)
      #expect(
        lines[lines.count - 2].hasPrefix("answer: \(Self.problem(3)), forward: take sleep-1ms: "),
        "\(outcome)")
      #expect(lines[lines.count - 2].contains("; im2col, the baseline, takes no part; "), "\(outcome)")
      #expect(
        lines.count { $0.contains("im2col takes no part") } == 2 && !outcome.error.contains("~"), "\(outcome)"
      )
    }
  }

  /// On a terminal no line of results is wider than it, down to one column.
  @Test(arguments: [1, 8, 40, 80, 132]) func resultsFitTheTerminal(_ columns: Int) throws {
    try withTemporaryFolder { folder in
      var (main, side): (Int32, Int32) = (-1, -1)
      var size = winsize(ws_row: 24, ws_col: UInt16(columns), ws_xpixel: 0, ws_ypixel: 0)
      try #require(openpty(&main, &side, nil, nil, &size) == 0)
      let process = CommandLineRunner.process(
        Self.arguments(
          [Self.problem(3)], ["--rounds", "2", "--budget", "0.001", "--visits", "2"],
          folder + "/out", "sleep-5ms,sleep-1ms", "sleep-5ms"),
        executable: CommandLineRunner.sleepProbe)
      process.standardOutput = FileHandle(fileDescriptor: side, closeOnDealloc: false)
      process.standardError = FileHandle.nullDevice
      try process.run()
      close(side)
      var bytes: [UInt8] = []
      var buffer = [UInt8](repeating: 0, count: 4096)
      // The end is an error: nobody has the other side open any more.
      while case let count = read(main, &buffer, buffer.count), count > 0 { bytes += buffer[..<count] }
      close(main)
      process.waitUntilExit()
      let text = String(decoding: bytes, as: UTF8.self).replacingOccurrences(of: "\r\n", with: "\n")
      #expect(process.terminationStatus == 0, "\(text)")
      let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
      let end = try #require(lines.firstIndex { $0.hasPrefix("answer:") }, "\(text)")
      #expect(end > 1 && lines[..<end].allSatisfy { $0.count <= columns }, "\(text)")
      if columns == 132 {
        #expect(lines[0].contains("sleep-5ms") && lines[0].contains("sleep-1ms"), "\(text)")
      }
    }
  }

  /// `--budget` is spent where the ratios are not yet known as precisely as was asked for, and is not exceeded by a round.
  @Test func theBudgetIsSpentAndNotExceeded() throws {
    var counts: [Int] = []
    for budget in [0.02, 0.4] {
      try withTemporaryFolder { folder in
        let (check, _, _) = try run(
          [Self.problem(3)],
          ["--rounds", "1", "--budget", "\(budget)", "--visits", "1", "--precision", "0.0001%"],
          in: folder)
        #expect(check.faults.isEmpty, "\(check.faults.joined(separator: "\n"))")
        counts.append(samples(check)[0])
        // A round is two samples: all but the last one began within the budget, and each takes its sleep.
        let spent = check.samples.joined().reduce(0) { $0 + $1.value }
        let last = check.samples.reduce(0) { $0 + ($1[$1.keys.max() ?? 0] ?? 0) }
        #expect(spent - last <= budget * 1e3, "\(spent) ms with a budget of \(budget) s")
      }
    }
    #expect(counts[0] < counts[1], "\(counts)")
  }

  /// The problems in the order of their turns.
  private static func turns(_ executions: [Execution]) -> [String] {
    executions.reduce(into: []) { if $0.last != $1.problem { $0.append($1.problem) } }
  }

  /// A run that was killed goes on: finished items are not executed again, those with a visit to come are not verified or warmed
  /// twice for it, and their samples stay as they were.
  @Test func resumedRunsMeasureNothingTwice() throws {
    try withTemporaryFolder { folder in
      let problems = (3...6).map(Self.problem)
      let options = ["--rounds", "4", "--budget", "0.001", "--visits", "2"]
      var arguments = Self.arguments(
        problems, options, folder + "/out", "sleep-5ms,sleep-1ms", "sleep-5ms")
      let process = CommandLineRunner.process(
        arguments, environment: ["VBENCH_SLEEP_LOG": folder + "/log"],
        executable: CommandLineRunner.sleepProbe)
      process.standardOutput = FileHandle.nullDevice
      process.standardError = FileHandle.nullDevice
      try process.run()
      let journal = folder + "/out/journal.jsonl"
      func lines() -> [Substring] {
        ((try? String(contentsOfFile: journal, encoding: .utf8)) ?? "").split(separator: "\n")
          .filter { $0.hasPrefix("{\"item\":") }
      }
      // All items once, some twice.
      while process.isRunning && lines().count < 5 { Thread.sleep(forTimeInterval: 0.001) }
      kill(process.processIdentifier, SIGKILL)
      process.waitUntilExit()
      try #require(process.terminationReason == .uncaughtSignal, "the run ended before it was killed")
      // A line that was cut off counts for nothing: what it was of is measured again.
      var text = try String(contentsOfFile: journal, encoding: .utf8)
      if !text.hasSuffix("\n") {
        text = text.components(separatedBy: "\n").dropLast().joined(separator: "\n") + "\n"
      }
      try text.write(toFile: journal, atomically: true, encoding: .utf8)
      let done = lines().count
      try #require((5...7).contains(done), "\(done) visits")
      let finished = Array(problems.prefix(done - problems.count))
      let before = Self.samplesInJournal(lines())
      try Data().write(to: URL(fileURLWithPath: folder + "/log"))

      arguments[arguments.firstIndex(of: "--output")!] = "--resume"
      let outcome = try CommandLineRunner.run(
        arguments, environment: ["VBENCH_SLEEP_LOG": folder + "/log"],
        executable: CommandLineRunner.sleepProbe)
      try #require(outcome.status == 0, "\(outcome)")
      #expect(
        outcome.error.contains("4 of 4 items are there already, \(finished.count) of them whole"),
        "\(outcome)")
      let executions = Execution.all(folder + "/log")
      #expect(
        Self.turns(executions) == Array(problems.dropFirst(finished.count)), "\(Self.turns(executions))")
      let check = try RunFolderCheck(folder + "/out")
      #expect(check.faults.isEmpty, "\(check.faults.joined(separator: "\n"))")
      #expect(check.results.map { $0["problem"] } == problems.flatMap { [$0, $0] })
      #expect(samples(check) == Array(repeating: 4, count: 8), "\(samples(check))")
      for (index, old) in before.enumerated() {
        #expect(old.count == (index / 2 < finished.count ? 4 : 2), "row \(index): \(old)")
        for (round, time) in old {
          #expect(check.samples[index][round] == time, "row \(index), round \(round)")
        }
      }
    }
  }

  /// Milliseconds by round of the rows of each item, by the last line of each.
  private static func samplesInJournal(_ lines: [Substring]) -> [[Int: Double]] {
    var items: [Int: [[Int: Double]]] = [:]
    for line in lines {
      guard let entry = try? JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any],
        let item = entry["item"] as? Int, let table = entry["samples"] as? String,
        let samples = try? PlainTables.csv(table)
      else { continue }
      var rows = [[Int: Double]](repeating: [:], count: 2)
      for sample in samples {
        guard let row = Int(sample["row"] ?? ""), let round = Int(sample["round"] ?? "") else { continue }
        rows[row - 1][round] = Double(sample["milliseconds"] ?? "")
      }
      items[item] = rows
    }
    return items.sorted { $0.key < $1.key }.flatMap(\.value)
  }
}
