import ConvCore
import ConvHarness
import ConvTestSupport
import Foundation
import Testing

@testable import VbenchCLI

/// Commands that work on stored runs, and runs that are interrupted and continued.
@Suite struct StoredRunTests {
  private static let stored = checkout.appending(
    path: "Reports/zen3-avx2-run"
  ).path

  @Test func differencesDecideTheExitCode() throws {
    try withTemporaryFolder { folder in
      let same = try CommandLineRunner.run(["diff", Self.stored, Self.stored])
      #expect(same.status == 0 && same.output.contains("0 regressed, 0 improved"), "\(same)")
      #expect(same.output.contains("geometric mean"), "\(same)")
      var report = try RunReport(reading: Self.stored)
      // One layer of one engine, half as fast.
      let index = try #require(report.rows.firstIndex { $0.backend == "winograd" && $0.seconds.count > 5 })
      report.rows[index].seconds = report.rows[index].seconds.map { $0 * 2 }
      report.rows[index].medianMilliseconds *= 2
      try report.write(to: folder + "/slower")
      let slower = try CommandLineRunner.run(["diff", Self.stored, folder + "/slower"])
      #expect(slower.status == 2 && slower.output.contains("1 regressed, 0 improved"), "\(slower)")
      let faster = try CommandLineRunner.run(["diff", folder + "/slower", Self.stored])
      #expect(faster.status == 0 && faster.output.contains("0 regressed, 1 improved"), "\(faster)")
      let forgiven = try CommandLineRunner.run([
        "diff", Self.stored, folder + "/slower", "--threshold", "150%",
      ])
      #expect(forgiven.status == 0, "\(forgiven)")
      // Another machine.
      report.environment[0].value = "another CPU"
      report.peak *= 2
      try report.write(to: folder + "/other")
      let other = try CommandLineRunner.run(["diff", Self.stored, folder + "/other"])
      #expect(other.status == 2 && other.output.contains("relative to the FMA peaks"), "\(other)")
      report.rows = Array(report.rows.prefix(1))
      report.rows[0].suite = "elsewhere"
      report.training = []
      try report.write(to: folder + "/foreign")
      let foreign = try CommandLineRunner.run(["diff", Self.stored, folder + "/foreign"])
      #expect(foreign.status == 64 && foreign.error.contains("no row in common"), "\(foreign)")
    }
  }

  @Test func reportsAreRemade() throws {
    try withTemporaryFolder { folder in
      try RunReport(reading: Self.stored).write(to: folder)
      let before = try InputFile.text(of: folder + "/report.md")
      try FileManager.default.removeItem(atPath: folder + "/report.md")
      let outcome = try CommandLineRunner.run(["report", folder])
      #expect(outcome.status == 0 && outcome.output.contains("\(folder)/report.md"), "\(outcome)")
      #expect(try InputFile.text(of: folder + "/report.md") == before)
      try AtomicFile.write("suite,problem\n\"", to: folder + "/results.csv")
      let damaged = try CommandLineRunner.run(["report", folder])
      #expect(damaged.status == 65 && damaged.error.contains("results.csv:2:1"), "\(damaged)")
      #expect(try InputFile.text(of: folder + "/report.md") == before)
    }
  }

  /// Ctrl-C keeps what is whole; `--resume` measures the rest and nothing twice.
  @Test func interruptedRunsAreContinued() throws {
    try withTemporaryFolder { folder in
      let lines = (1...40).map { "conv2d:n2c16h20w20k\($0 + 8)r3s3p1 layer\($0)" }
      try AtomicFile.write(lines.joined(separator: "\n"), to: folder + "/suite.txt")
      let arguments = [
        "run", "--suite", folder + "/suite.txt", "--backends", "naive", "--passes", "forward", "--baseline",
        "naive",
        "--threads", "1",
      ]
      let process = CommandLineRunner.process(arguments + ["--output", folder + "/out"])
      process.standardOutput = FileHandle.nullDevice
      process.standardError = FileHandle.nullDevice
      try process.run()
      let journal = folder + "/out/journal.jsonl"
      func count() -> Int { KilledRun.items(in: journal).count }
      while process.isRunning && count() < 2 { Thread.sleep(forTimeInterval: 0.002) }
      process.interrupt()
      process.waitUntilExit()
      #expect(process.terminationStatus == 130)
      let partial = try RunReport(reading: folder + "/out")
      #expect(
        partial.isPartial && partial.rows.count >= 2 && partial.rows.count < 40, "\(partial.rows.count)")
      let done = count()

      let other = try CommandLineRunner.run(arguments + ["--resume", folder + "/out", "--seed", "2"])
      #expect(other.status == 64 && other.error.contains("seed was '1', now it is '2'"), "\(other)")
      let resumed = try CommandLineRunner.run(arguments + ["--resume", folder + "/out"])
      #expect(resumed.status == 0, "\(resumed)")
      #expect(resumed.error.contains("\(done) of 40 items are there already"), "\(resumed)")
      let whole = try RunReport(reading: folder + "/out")
      #expect(!whole.isPartial && whole.rows.map(\.name) == (1...40).map { "layer\($0)" })
      #expect(whole.rows.allSatisfy { $0.verification.verdict == .passed })
      // What was there is taken over as it was, with the time that its planning took then.
      for (old, new) in zip(partial.rows, whole.rows).prefix(done) {
        #expect(ResultRow.csv([old]) == ResultRow.csv([new]))
      }
      #expect(!FileManager.default.fileExists(atPath: journal))
      let again = try CommandLineRunner.run(arguments + ["--resume", folder + "/out"])
      #expect(again.status == 66, "\(again)")
    }
  }

  /// Of a run that was killed there are reports all the same, which say so, and it goes on from where it was.
  @Test func killedRunsAreReported() throws {
    try withTemporaryFolder { folder in
      let run = try KilledRun(in: folder)
      let (arguments, journal) = (run.arguments, run.journal)
      #expect(run.wasKilled)
      #expect(!FileManager.default.fileExists(atPath: folder + "/out/run.json"))
      // A line that was cut off counts for nothing.
      let file = try #require(FileHandle(forUpdatingAtPath: journal))
      try file.seekToEnd()
      try file.write(contentsOf: Data("{\"item\": 39, \"results\": \"su".utf8))
      try file.close()
      let done = KilledRun.items(in: journal).count - 1

      for _ in 0..<2 {
        let outcome = try CommandLineRunner.run(["report", folder + "/out"])
        #expect(outcome.status == 0 && outcome.output.contains("/out/report.html"), "\(outcome)")
        let report = try RunReport(reading: folder + "/out")
        #expect(report.isPartial && report.rows.map(\.name) == (1...done).map { "layer\($0)" })
        #expect(report.rows.allSatisfy { $0.verification.verdict == .passed })
        #expect(report.environment.contains { $0.key == "CPU" } && report.command.contains("--suite"))
        for name in ["report.md", "report.html"] {
          let text = try InputFile.text(of: "\(folder)/out/\(name)")
          #expect(
            text.contains("Unfinished:") && text.contains("\(done) of 40 items had been measured"), "\(name)")
        }
      }
      let resumed = try CommandLineRunner.run(arguments + ["--resume", folder + "/out"])
      #expect(
        resumed.status == 0 && resumed.error.contains("\(done) of 40 items are there already"), "\(resumed)")
      let whole = try RunReport(reading: folder + "/out")
      #expect(!whole.isPartial && whole.rows.count == 40)
      #expect(!(try InputFile.text(of: folder + "/out/report.md")).contains("Unfinished"))
    }
  }

  /// A sweep has a row for each condition.
  @Test func sweepsHaveARowPerCondition() throws {
    try withTemporaryFolder { folder in
      let outcome = try CommandLineRunner.run([
        "run", "conv2d:n1c16h20w20k16r3s3p1", "--backends", "naive,winograd", "--baseline", "naive",
        "--passes",
        "forward", "--threads", "1,2", "--workspace", "1KiB,64MiB", "--cache", "warm,cold", "--output",
        folder + "/out", "--verbose",
      ])
      #expect(outcome.status == 0 && outcome.error.contains("seconds: "), "\(outcome)")
      let report = try RunReport(reading: folder + "/out")
      #expect(report.rows.count == 16 && Set(report.rows.map { $0.itemKey + [$0.backend] }).count == 16)
      // An engine that cannot do with so little declines, and says so.
      let tight = report.rows.filter { $0.backend == "winograd" && $0.workspaceLimit == 1 << 10 }
      #expect(tight.count == 4 && tight.allSatisfy { $0.verification.verdict == .unsupported }, "\(tight[0])")
      #expect(tight[0].repro.contains("--workspace 1024"))
      let wide = report.rows.filter { $0.backend == "winograd" && $0.workspaceLimit == 64 << 20 }
      #expect(wide.allSatisfy { $0.verification.verdict == .passed && ($0.workspaceBytes ?? 0) <= 64 << 20 })
      #expect(report.noise != nil && (report.ledger?.total ?? 0) > 0)
    }
  }

  @Test func timeLeftIsProportional() throws {
    #expect(TimeLeft.text(elapsed: 10, done: 5, left: 5) == "10 s left, ")
    #expect(TimeLeft.text(elapsed: 10, done: 1, left: 8) == "1 min 20 s left, ")
    #expect(TimeLeft.text(elapsed: 3600, done: 1, left: 2) == "2 h 0 min left, ")
    #expect(
      TimeLeft.text(elapsed: 10, done: 0, left: 5).isEmpty
        && TimeLeft.text(elapsed: 0.5, done: 1, left: 5).isEmpty)
  }
}
