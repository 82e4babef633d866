import ConvCore
import ConvHarness
import ConvTestSupport
import Foundation
import Testing

@testable import VbenchCLI

/// `auto` in runs: beside the engines.
@Suite struct ChooserRunTests {
  private static let arguments = [
    "run", "conv2d:n1c16h12w12k16r3s3p1", "--passes", "forward", "--threads", "1", "--quick",
  ]

  @Test func rowsSayWhoChooses() throws {
    try withTemporaryFolder { folder in
      let outcome = try CommandLineRunner.run(
        Self.arguments + ["--backends", "auto,winograd,auto", "--output", folder])
      #expect(outcome.status == 0, "\(outcome)")
      let rows = try RunReport(reading: folder).rows
      #expect(rows.map(\.backend) == ["auto", "winograd", "auto#2"])
      #expect(rows.map(\.role) == [.chooser, .engine, .chooser])
      // Whether times are taken or not, no chooser is the best.
      #expect(rows.allSatisfy { ["winograd", nil].contains($0.best?.backend) })
    }
  }

  @Test func choosersAloneAreNoContest() throws {
    try withTemporaryFolder { folder in
      let outcome = try CommandLineRunner.run(
        Self.arguments + ["--backends", "auto,auto", "--baseline", "auto", "--output", folder])
      #expect(outcome.status == 0 && !outcome.output.contains("best engine"), "\(outcome)")
      #expect(try RunReport(reading: folder).rows.allSatisfy { $0.role == .chooser && $0.best == nil })
    }
  }

  /// The end of a run's output, from rows with times.
  @Test func theSummarySaysHowAutoDid() throws {
    try withTemporaryFolder { folder in
      _ = try CommandLineRunner.run(Self.arguments + ["--backends", "auto,winograd", "--output", folder])
      var report = try RunReport(reading: folder)
      report.rows[0].best = BestComparison(
        backend: "winograd", ratio: 1.05, low: 1.04, high: 1.06, verdict: .slower)
      #expect(
        RunSession.summary(report)
          == "auto is within 2 % of the best engine in 0 of 1 item, within 10 % in 1; geometric mean of the best's time over "
          + "its own 0.952\n")
    }
  }

  /// A journal whose choosers were compared as engines is not gone on with.
  @Test func oldJournalsAreRefused() throws {
    try withTemporaryFolder { folder in
      let lines = (1...40).map { "conv2d:n2c16h20w20k\($0 + 8)r3s3p1 layer\($0)" }
      try AtomicFile.write(lines.joined(separator: "\n"), to: folder + "/suite.txt")
      let arguments = [
        "run", "--suite", folder + "/suite.txt", "--backends", "auto,naive", "--passes", "forward",
        "--baseline",
        "naive", "--threads", "1",
      ]
      let process = CommandLineRunner.process(arguments + ["--output", folder + "/out"])
      process.standardOutput = FileHandle.nullDevice
      process.standardError = FileHandle.nullDevice
      try process.run()
      let journal = folder + "/out/journal.jsonl"
      func text() -> String { (try? InputFile.text(of: journal)) ?? "" }
      while process.isRunning && !text().contains("{\"item\":") { Thread.sleep(forTimeInterval: 0.002) }
      kill(process.processIdentifier, SIGKILL)
      process.waitUntilExit()
      let written = text()
      #expect(written.contains(", \"choosers\": \"auto\""))
      try AtomicFile.write(
        written.replacingOccurrences(of: ", \"choosers\": \"auto\"", with: ""), to: journal)
      let outcome = try CommandLineRunner.run(arguments + ["--resume", folder + "/out"])
      #expect(
        outcome.status == 64 && outcome.error.contains("choosers was 'nothing', now it is 'auto'"),
        "\(outcome)")
    }
  }
}
