import ConvCore
import ConvTestSupport
import Foundation
import Testing

/// `vbench compare` with peers of a few lines of shell: however it ends, what was measured is written and no process is left.
@Suite(.serialized) struct PeerCommandTests {
  /// Runs `compare` on three layers with a peer that declines the first one; for the second it writes `ready` and runs `second`.
  private func withComparison(
    _ second: String, _ arguments: [String] = [],
    _ body: (_ process: Process, _ folder: String) throws -> Void
  ) throws {
    try withTemporaryFolder { folder in
      try AtomicFile.write(
        (1...3).map { "conv2d:n1c\($0)h4w4k2r1s1 layer\($0)" }.joined(separator: "\n"),
        to: folder + "/layers.txt")
      try AtomicFile.write(
        """
        echo $$ >> \(folder)/pids
        sleep 1000 & echo $! >> \(folder)/pids
        sh -c 'trap "" TERM HUP INT; exec sleep 1000' & echo $! >> \(folder)/pids
        read -r line
        echo '{"peer": "odd\\u001b[31m|`name", "version": "<b>1\\u0007", "configurations": ["pl\\u001bain|x"]}'
        count=0
        while read -r line; do
          count=$((count+1))
          if [ $count = 2 ]; then echo ready > \(folder)/ready; \(second); fi
          echo '{"error": "not \\u001b[2Jmine"}'
        done
        """, to: folder + "/peer.sh")
      let process = CommandLineRunner.process(
        [
          "compare", "--peer", "sh \(folder)/peer.sh", "--suite", folder + "/layers.txt", "--passes",
          "forward",
          "--backends", "naive", "--threads", "1", "--output", folder + "/out",
        ] + arguments)
      for (name, path) in [(\Process.standardOutput, "output"), (\.standardError, "error")] {
        try Data().write(to: URL(fileURLWithPath: "\(folder)/\(path)"))
        process[keyPath: name] = try FileHandle(forWritingTo: URL(fileURLWithPath: "\(folder)/\(path)"))
      }
      try process.run()
      try body(process, folder)
    }
  }

  private func waitUntilReady(_ process: Process, _ folder: String) {
    while process.isRunning && !FileManager.default.fileExists(atPath: folder + "/ready") {
      Thread.sleep(forTimeInterval: 0.002)
    }
  }

  private func pids(_ folder: String) throws -> [Substring] {
    let pids = try InputFile.text(of: folder + "/pids").split(separator: "\n")
    #expect(pids.count == 3)
    return pids
  }

  private func texts(_ folder: String) throws -> (
    output: String, error: String, table: String, report: String
  ) {
    func text(_ name: String) throws -> String { try InputFile.text(of: folder + "/" + name) }
    return (
      try text("output"), try text("error"), try text("out/comparison.csv"), try text("out/comparison.md")
    )
  }

  @Test(arguments: [SIGINT, SIGTERM]) func signalsKeepWhatWasMeasured(_ signal: Int32) throws {
    try withComparison("sleep 1000") { process, folder in
      waitUntilReady(process, folder)
      kill(process.processIdentifier, signal)
      process.waitUntilExit()
      #expect(process.terminationReason == .exit && process.terminationStatus == 130)
      #expect(try pids(folder).allSatisfy { !ProcessState.isAlive($0) })
      let (_, error, table, report) = try texts(folder)
      #expect(error.contains("interrupted; what had been measured is in \(folder)/out"), "\(error)")
      #expect(table.split(separator: "\n").count == 2 && table.contains("layer1"), "\(table)")
      #expect(
        report.contains("**Interrupted: what follows is what had been measured by then.**"), "\(report)")
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder + "/out").count == 2)
    }
  }

  /// A signal before the peer has said who it is.
  @Test func signalsBeforeTheFirstAnswer() throws {
    try withTemporaryFolder { folder in
      let process = CommandLineRunner.process([
        "compare", "--peer", "echo $$ > \(folder)/pid; touch \(folder)/ready; exec sleep 1000", "--suite",
        "seed-cnn", "--backends", "naive", "--output", folder + "/out",
      ])
      process.standardOutput = FileHandle.nullDevice
      process.standardError = FileHandle.nullDevice
      try process.run()
      waitUntilReady(process, folder)
      process.interrupt()
      process.waitUntilExit()
      #expect(process.terminationStatus == 130)
      let pid = try InputFile.text(of: folder + "/pid").trimmingCharacters(in: .newlines)
      #expect(!ProcessState.isAlive(pid) && !FileManager.default.fileExists(atPath: folder + "/out"))
    }
  }

  /// Nothing can be done in a process that is killed, or ended by the second Ctrl-C: the guard of the group sees that it is gone.
  @Test func theGroupEndsWithUs() throws {
    try withComparison("sleep 1000") { process, folder in
      waitUntilReady(process, folder)
      kill(process.processIdentifier, SIGKILL)
      process.waitUntilExit()
      #expect(process.terminationReason == .uncaughtSignal)
      let pids = try pids(folder)
      while pids.contains(where: { ProcessState.isAlive($0) }) { Thread.sleep(forTimeInterval: 0.01) }
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder + "/out") == [])
    }
  }

  @Test func aSecondSignalEndsThePeersToo() throws {
    // Half a second passes between SIGTERM and SIGKILL, for what ignores the first: time for a second Ctrl-C.
    try withComparison("trap '' TERM; while :; do sleep 1000; done") { process, folder in
      waitUntilReady(process, folder)
      for _ in 0..<20 where process.isRunning {
        kill(process.processIdentifier, SIGINT)
        Thread.sleep(forTimeInterval: 0.01)
      }
      process.waitUntilExit()
      #expect(process.terminationStatus == 130)
      let pids = try pids(folder)
      while pids.contains(where: { ProcessState.isAlive($0) }) { Thread.sleep(forTimeInterval: 0.01) }
    }
  }

  /// A peer that dies, or takes too long: the rows are there, the report says why there are no more, and so does the error.
  @Test(arguments: [
    ("echo 'no more memory' >&2; exit 3", "ended without an answer (exit status 3)"),
    ("echo 'no more memory' >&2; sleep 1000", "did not answer in 4.00 seconds"),
    ("echo 'no more memory' >&2; echo '{\"values\": [], \"count\": 99}'; continue", "computed 99 results"),
  ])
  func aPeerThatFailsLateKeepsAllRows(_ second: String, _ words: String) throws {
    try withComparison(second, ["--peer-timeout", "4"]) { process, folder in
      process.waitUntilExit()
      let (output, error, table, report) = try texts(folder)
      #expect(process.terminationStatus == 74, "\(error)")
      #expect(try pids(folder).allSatisfy { !ProcessState.isAlive($0) })
      #expect(table.split(separator: "\n").count == 2 && table.contains("layer1"), "\(table)")
      #expect(error.contains(words) && error.contains("  no more memory"), "\(error)")
      #expect(error.contains("what had been measured is in \(folder)/out"), "\(error)")
      #expect(report.contains("**Ended early, since the peer 'sh ") && report.contains(words), "\(report)")
      #expect(output.contains("comparison: \(folder)/out/comparison.md"), "\(output)")
    }
  }

  @Test func aPeerThatFailsAtOnceLeavesNothing() throws {
    try withTemporaryFolder { folder in
      for peer in ["exit 3", "echo no", "/no/such/peer"] {
        let outcome = try CommandLineRunner.run([
          "compare", "--peer", peer, "--suite", "seed-cnn", "--backends", "naive", "--output",
          folder + "/a/out",
        ])
        #expect(outcome.status == 74 && outcome.error.contains("the peer '\(peer)'"), "\(outcome)")
      }
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == [])
      for limit in ["0", "-1", "nan", "1e9"] {
        let outcome = try CommandLineRunner.run([
          "compare", "--peer-timeout", limit, "--suite", "seed-cnn", "--output", folder + "/out",
        ])
        #expect(outcome.status == 64, "\(outcome)")
      }
    }
  }

  /// Whatever a peer calls itself, neither a terminal nor a table obeys it.
  @Test func namesOfPeersAreEscaped() throws {
    try withComparison(":") { process, folder in
      process.waitUntilExit()
      #expect(process.terminationStatus == 0)
      let (output, error, table, report) = try texts(folder)
      #expect(table.split(separator: "\n").count == 4)
      for text in [output, error, report] {
        #expect(!text.unicodeScalars.contains { $0.value < 0x20 && $0 != "\n" }, "\(text)")
      }
      #expect(report.contains("| peer | odd\\") && report.contains("\\|"), "\(report)")
      #expect(report.split(separator: "\n").filter { $0.hasPrefix("| peer |") }.count == 1)
    }
  }
}
