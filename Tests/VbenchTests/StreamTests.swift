import ConvCore
import ConvTestSupport
import Foundation
import Testing

@testable import VbenchCLI

/// Standard output that cannot be written, standard error that nobody hears, terminals of all widths.
@Suite(.serialized) struct StreamTests {
  private static let problem = "conv2d:n1c4h8w8k4r3s3p1"
  private static let run = [
    "run", problem, "--backends", "naive", "--baseline", "naive", "--passes", "forward", "--threads", "1",
  ]
  private static let check = [
    "check", "--references", referencesRoot + "/cases/conv2d", "--backends", "naive", "--passes", "forward",
    "--threads", "1",
  ]

  /// What says something on standard output, and writes no file.
  private static let speaking = [
    ["info"], ["list", "suites"], ["list", "backends", "--format", "csv"], ["--help"], ["help", "run"],
    ["run", "--help"], ["--version"], ["--generate-completion-script", "bash"], ["run", problem, "--list"],
    ["explain", problem, "--backends", "naive"], ["paper"], ["paper", "nnpack", "--list"],
    ["tune", "--suite", "resnet50", "--list", "-o", "plan.json"],
    ["compare", "--suite", "resnet50", "--list"],
    ["agreement", "--list"], check,
    ["check", problem, "--laws", "--law", "integers", "--backends", "naive", "--threads", "1"],
    ["check", problem, "--invariance", "--backends", "naive", "--passes", "forward"],
  ]

  private func complaints(_ outcome: CommandLineRunner.Outcome, _ reason: String) -> Int {
    outcome.error.components(separatedBy: "\n").count {
      $0 == "error: cannot write to standard output: \(reason)"
    }
  }

  @Test(arguments: speaking)
  func whatIsNotWrittenIsSaid(_ arguments: [String]) throws {
    let full = try CommandLineRunner.run(arguments, redirected: "> /dev/full")
    #expect(full.status == 74 && complaints(full, "No space left on device") == 1, "\(full)")
    let closed = try CommandLineRunner.run(arguments, redirected: ">&-")
    #expect(closed.status == 74 && complaints(closed, "Bad file descriptor") == 1, "\(closed)")
    let written = try CommandLineRunner.run(arguments)
    #expect(written.status == 0 && !written.output.isEmpty, "\(written)")
    // Lines of errors and nothing else: no result strays there.
    let heard = try CommandLineRunner.run(arguments, redirected: "2>&-")
    #expect(heard.status == 0 && !heard.output.isEmpty && heard.error.isEmpty, "\(heard)")
  }

  /// Commands that write files leave them whole, and a run can go on.
  @Test func filesAreWhole() throws {
    try withTemporaryFolder { folder in
      let out = folder + "/out"
      let full = try CommandLineRunner.run(Self.run + ["--output", out], redirected: "> /dev/full")
      #expect(full.status == 74 && complaints(full, "No space left on device") == 1, "\(full)")
      #expect(full.error.contains("what had been measured is in"), "\(full)")
      #expect(try InputFile.text(of: out + "/report.md").contains(Self.problem))
      let resumed = try CommandLineRunner.run(Self.run + ["--resume", out])
      #expect(resumed.status == 0, "\(resumed)")
      for arguments in [["report", out], ["diff", out, out]] {
        let outcome = try CommandLineRunner.run(arguments, redirected: "> /dev/full")
        #expect(outcome.status == 74 && complaints(outcome, "No space left on device") == 1, "\(outcome)")
        #expect(try CommandLineRunner.run(arguments).status == 0)
      }
      try CommandLineRunner.writeDataset(folder + "/data", train: 40, test: 8)
      let train = [
        "train", "seed-cnn", "--dataset", folder + "/data", "--batch-size", "16", "--threads", "1",
        "--checkpoint", folder + "/c",
      ]
      let trained = try CommandLineRunner.run(train, redirected: "> /dev/full")
      #expect(trained.status == 74 && complaints(trained, "No space left on device") == 1, "\(trained)")
      #expect(try TrainCheckpoint(path: folder + "/c").epoch == 0, "it ended at once, with what it had")
    }
  }

  /// What a verification found is not hidden by an output that is well, and the other way round.
  @Test func codesOfErrorsStay() throws {
    for (arguments, status) in [(["list", "nonsense"], Int32(64)), (["report", "/nowhere"], 66)] {
      let outcome = try CommandLineRunner.run(arguments, redirected: "> /dev/full")
      #expect(outcome.status == status && complaints(outcome, "No space left on device") == 0, "\(outcome)")
    }
  }

  /// With all three closed no file that is opened later gets what is meant for them.
  @Test(arguments: ["<&- >&- 2>&-", ">&- 2>&-", "<&- 2>&-", "<&- >&-", "<&-"])
  func closedDescriptorsStayFree(_ redirected: String) throws {
    try withTemporaryFolder { folder in
      let outcome = try CommandLineRunner.run(
        Self.run + ["--output", folder + "/out"], redirected: redirected)
      #expect(outcome.status == (redirected.contains(">&- ") || redirected.hasSuffix(" >&-") ? 74 : 0))
      #expect(try InputFile.text(of: folder + "/out/report.md").hasPrefix("# vbench run, "))
      let names = try FileManager.default.contentsOfDirectory(atPath: folder + "/out")
      for name in names {
        let text = try InputFile.text(of: "\(folder)/out/\(name)")
        #expect(
          !text.contains("cannot write to standard output") && !text.contains("note: a debug"), "\(name)")
      }
      #expect(try CommandLineRunner.run(["report", folder + "/out"]).status == 0)
    }
  }

  /// A pipe that nobody reads from: whose end is closed before the process begins.
  private func unread(_ arguments: [String], _ stream: WritableKeyPath<Process, Any?>, _ folder: String)
    throws
    -> (status: Int32, other: String)
  {
    var process = CommandLineRunner.process(arguments)
    let pipe = Pipe()
    try pipe.fileHandleForReading.close()
    let url = URL(fileURLWithPath: folder + "/other")
    try Data().write(to: url)
    let sink = try FileHandle(forWritingTo: url)
    (process.standardOutput, process.standardError) = (sink, sink)
    process[keyPath: stream] = pipe.fileHandleForWriting
    try process.run()
    process.waitUntilExit()
    #expect(process.terminationReason == .exit)
    return (process.terminationStatus, try InputFile.text(of: url.path))
  }

  /// `vbench list | head`: the reader that went away has what it wanted.
  @Test func readersMayGo() throws {
    try withTemporaryFolder { folder in
      for arguments in [["list", "suites"], ["--help"], Self.run + ["--output", folder + "/out"]] {
        let outcome = try unread(arguments, \.standardOutput, folder)
        #expect(outcome.status == 0 && !outcome.other.contains("error"), "\(arguments): \(outcome)")
      }
      #expect(try InputFile.text(of: folder + "/out/report.md").hasPrefix("# vbench run, "))
      for (arguments, status) in [(["nonsense"], Int32(64)), (["report", "/nowhere"], 66), (["info"], 0)] {
        #expect(try unread(arguments, \.standardError, folder).status == status)
      }
    }
  }

  /// Every way of saying something on standard error, also below the commands.
  @Test(arguments: ["2>&-", "2>/dev/full"])
  func standardErrorNeverKills(_ redirected: String) throws {
    for (arguments, status) in [
      (["nonsense"], Int32(64)), (["report", "/nowhere"], 66), (["run", "--list", "--match", "("], 64),
      (Self.check, 0),
    ] {
      #expect(try CommandLineRunner.run(arguments, redirected: redirected).status == status)
    }
    let noisy = try CommandLineRunner.run(
      ["check", Self.problem, "--laws", "--law", "integers", "--backends", "naive"],
      redirected: redirected, environment: ["VBENCH_THREADS": "none"])
    #expect(noisy.status == 0, "\(noisy)")
  }

  /// A bar is drawn on any terminal, and never reaches its last column.
  @Test(arguments: Array(0...12) + [20, 40, 80, 200])
  func terminalsOfAnyWidth(_ columns: Int) throws {
    let outcome = try PseudoTerminal.run(Self.check, columns: columns)
    #expect(outcome.status == 0 && outcome.reason == .exit, "\(outcome)")
    #expect(!outcome.redrawn.isEmpty)
    let width = columns == 0 ? 80 : columns
    for line in outcome.redrawn {
      let shown = line.replacing("\u{1B}[36m", with: "").replacing("\u{1B}[0m", with: "")
      #expect(shown.count < width, "\(shown.count) columns of \(width): \(shown)")
      #expect(!shown.unicodeScalars.contains { $0.value < 0x20 })
    }
  }

  @Test func partsOfABarFit() {
    for width in 0...120 {
      for (done, total) in [(0, 1), (1, 1), (7, 9), (3, 2), (0, 0), (Int.max / 2, Int.max)] {
        for label in ["", "1/9 x", String(repeating: "long ", count: 40), "a\u{1B}[2Jb\nc"] {
          let (bar, text) = ProgressBar.parts(done: done, total: total, label: label, width: width)
          #expect(bar.count + text.count <= max(0, width - 1), "\(width): '\(bar)' '\(text)'")
          #expect(bar.isEmpty || bar.count >= 8)
          #expect(!text.unicodeScalars.contains { $0.value < 0x20 })
        }
      }
    }
    let (bar, text) = ProgressBar.parts(done: 1, total: 4, label: "1/4 conv1", width: 80)
    #expect(
      bar == String(repeating: "█", count: 8) + String(repeating: "░", count: 24) && text == " 1/4 conv1")
  }

  /// The terminal goes away while the command speaks.
  @Test func closedTerminals() throws {
    for (arguments, status) in [(Self.check, Int32(0)), (["nonsense"], 64)] {
      let outcome = try PseudoTerminal.run(arguments, columns: 80, closed: true)
      #expect(outcome.status == status && outcome.reason == .exit, "\(outcome)")
    }
  }

  /// Help is wrapped for terminals of any width.
  @Test(arguments: [-3, 0, 1, 2, 5, 8, 20, 1000])
  func helpOfAnyWidth(_ columns: Int) throws {
    for arguments in [["--help"], ["run", "--help"]] {
      let outcome = try CommandLineRunner.run(arguments, environment: ["COLUMNS": "\(columns)"])
      #expect(outcome.status == 0 && outcome.output.contains("vbench"), "\(outcome)")
      #expect(outcome.output.contains("EXAMPLES") && outcome.output.contains("-h, --help"), "\(outcome)")
    }
  }

  /// A closed terminal ends long work as Ctrl-C does, with whole files; under nohup it goes on.
  @Test func hangingUp() throws {
    try withTemporaryFolder { folder in
      let lines = (1...400).map { "conv2d:n2c16h20w20k\($0 + 8)r3s3p1 layer\($0)" }
      try AtomicFile.write(lines.joined(separator: "\n"), to: folder + "/suite.txt")
      var arguments = Self.run
      arguments.replaceSubrange(1...1, with: ["--suite", folder + "/suite.txt"])
      func hangUp(_ ignored: String, _ out: String) throws -> Process {
        let process = CommandLineRunner.process(
          ["-c", ignored + "exec \"$0\" \"$@\"", CommandLineRunner.executable] + arguments
            + ["--output", out])
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        while process.isRunning && KilledRun.items(in: out + "/journal.jsonl").isEmpty {
          Thread.sleep(forTimeInterval: 0.002)
        }
        kill(process.processIdentifier, SIGHUP)
        return process
      }
      let ended = try hangUp("", folder + "/ended")
      ended.waitUntilExit()
      #expect(ended.terminationReason == .exit && ended.terminationStatus == 130)
      #expect(try InputFile.text(of: folder + "/ended/report.md").contains("Interrupted"))
      let kept = try hangUp("trap '' HUP; ", folder + "/kept")
      let before = KilledRun.items(in: folder + "/kept/journal.jsonl").count
      while kept.isRunning && KilledRun.items(in: folder + "/kept/journal.jsonl").count < before + 3 {
        Thread.sleep(forTimeInterval: 0.002)
      }
      #expect(kept.isRunning, "it goes on")
      kill(kept.processIdentifier, SIGTERM)
      kept.waitUntilExit()
      #expect(kept.terminationReason == .exit && kept.terminationStatus == 130)
    }
  }
}
