import ConvTestSupport
import Foundation
import Testing

/// `vbench run` after an earlier run.
@Suite struct EarlierRunCommandTests {
  private func run(_ folder: String, _ more: [String] = []) throws -> CommandLineRunner.Outcome {
    try CommandLineRunner.run(
      [
        "run", "conv2d:n1c2h6w6k2r3s3p1", "--backends", "im2col,direct", "--passes", "forward", "--threads",
        "1",
        "--rounds", "15", "--budget", "0.1", "--visits", "1", "--output", folder,
      ] + more)
  }

  private func since(_ outcome: CommandLineRunner.Outcome) -> [Substring] {
    outcome.output.split(separator: "\n").filter { $0.hasPrefix("since ") }
  }

  /// One line with the stored run's name, also in the reports; what the folder itself held counts too.
  @Test func saysWhatChanged() throws {
    try withTemporaryFolder { root in
      let first = try run("\(root)/first")
      #expect(first.status == 0 && since(first).isEmpty, "\(first)")
      let second = try run("\(root)/second")
      let lines = since(second)
      try #require(second.status == 0 && lines.count == 1, "\(second)")
      #expect(lines[0].hasPrefix("since \(root)/first: "))
      for name in ["report.md", "report.html", "run.json"] {
        let text = try String(contentsOfFile: "\(root)/second/\(name)", encoding: .utf8)
        #expect(text.contains("ince \(root)/first: "), "\(name)")
      }
      let again = try run("\(root)/second")
      #expect(since(again).first?.hasPrefix("since \(root)/second of 20") == true, "\(again)")
      let silent = try run("\(root)/third", ["--no-compare"])
      #expect(silent.status == 0 && since(silent).isEmpty, "\(silent)")
      let json = try String(contentsOfFile: "\(root)/third/run.json", encoding: .utf8)
      #expect(!json.contains("\"since\""))
    }
  }

  /// Broken stored runs are no errors of a new one; only a verbose run speaks of them.
  @Test func brokenStoredRuns() throws {
    try withTemporaryFolder { root in
      #expect(try run("\(root)/good").status == 0)
      try FileManager.default.createDirectory(atPath: "\(root)/broken", withIntermediateDirectories: true)
      try Data("{".utf8).write(to: URL(fileURLWithPath: "\(root)/broken/run.json"))
      let quiet = try run("\(root)/new")
      #expect(quiet.status == 0 && since(quiet).count == 1 && !quiet.error.contains("broken"), "\(quiet)")
      let verbose = try run("\(root)/new", ["--verbose"])
      #expect(
        verbose.status == 0 && verbose.error.contains("note: \(root)/broken was not compared: "), "\(verbose)"
      )
    }
  }
}
