import ConvCore
import ConvHarness
import ConvTestSupport
import Foundation
import Testing

@testable import VbenchCLI

/// Where commands write: one at a time, whole or not at all, and what cannot be is found first.
@Suite struct OutputPlaceTests {
  private static let layer = "conv2d:n1c2h4w4k2r1s1"
  private static let run = ["run", layer, "--backends", "naive", "--passes", "forward", "--threads", "1"]

  private func names(_ folder: String) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
  }

  /// Runs by a shell that goes into `folder` first; `$0` is the executable.
  private func shell(_ script: String, in folder: String) throws -> CommandLineRunner.Outcome {
    try CommandLineRunner.run(
      ["-c", "cd '\(folder)' && \(script)", CommandLineRunner.executable], executable: "/bin/sh")
  }

  private let runByShell = "\"$0\" " + OutputPlaceTests.run.joined(separator: " ")

  /// Commands and where each writes, with `PLACE` for it.
  private static let writers: [(arguments: [String], isFile: Bool)] = [
    (run + ["--output", "PLACE"], false), (run + ["--resume", "PLACE"], false), (["report", "PLACE"], false),
    (
      ["compare", "--peer", "exit 3", "--suite", "seed-cnn", "--backends", "naive", "--output", "PLACE"],
      false
    ),
    (["paper", "lavin-gray", "--backends", "naive", "--output", "PLACE"], false),
    (["tune", "seed-cnn", "-o", "PLACE"], true), (["train", "seed-cnn", "--checkpoint", "PLACE"], true),
    (run + ["--output", "OTHER", "--junit", "PLACE"], true), (["check", "--junit", "PLACE"], true),
  ]

  private func start(
    _ arguments: [String], _ folder: String, _ place: String
  ) throws -> CommandLineRunner.Outcome {
    try CommandLineRunner.run(
      arguments.map { $0 == "PLACE" ? folder + "/" + place : $0 == "OTHER" ? folder + "/other" : $0 })
  }

  @Test(arguments: writers.indices) func theSecondIsRefused(_ index: Int) throws {
    let (arguments, isFile) = Self.writers[index]
    try withTemporaryFolder { folder in
      let place = folder + "/place"
      if isFile {
        try AtomicFile.write("{}", to: place)
      } else {
        try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: true)
      }
      let claim = try isFile ? AtomicFile.claim(place) : AtomicFolder.claim(place)
      let before = try names(folder)
      let outcome = try start(arguments, folder, "place")
      #expect(outcome.status == 73 && outcome.error.contains("another process is writing it"), "\(outcome)")
      #expect(outcome.error.contains("error: \(place): "), "\(outcome)")
      #expect(try names(folder) == before)
      if !isFile { #expect(try names(place) == []) }
      claim.end()
    }
  }

  /// Two runs in one folder, as people start them.
  @Test func twoRunsAtOnce() throws {
    try withTemporaryFolder { folder in
      let lines = (1...40).map { "conv2d:n2c16h20w20k\($0 + 8)r3s3p1 layer\($0)" }
      try AtomicFile.write(lines.joined(separator: "\n"), to: folder + "/suite.txt")
      let arguments = [
        "run", "--suite", folder + "/suite.txt", "--backends", "naive", "--passes", "forward", "--threads",
        "1",
        "--output", folder + "/out",
      ]
      let first = CommandLineRunner.process(arguments)
      first.standardOutput = FileHandle.nullDevice
      first.standardError = FileHandle.nullDevice
      try first.run()
      let journal = folder + "/out/journal.jsonl"
      while first.isRunning && KilledRun.items(in: journal).isEmpty { Thread.sleep(forTimeInterval: 0.002) }
      // It is stopped where it is.
      kill(first.processIdentifier, SIGSTOP)
      for second in [arguments, ["report", folder + "/out"]] {
        let outcome = try CommandLineRunner.run(second)
        #expect(outcome.status == 73 && outcome.error.contains("another process is writing it"), "\(outcome)")
      }
      kill(first.processIdentifier, SIGKILL)
      first.waitUntilExit()
      // Who was killed holds nothing.
      #expect(try CommandLineRunner.run(["report", folder + "/out"]).status == 0)
    }
  }

  @Test func runsOfOneDayHaveTheirFolders() throws {
    try withTemporaryFolder { folder in
      for _ in 0..<3 {
        let outcome = try shell(runByShell, in: folder)
        #expect(outcome.status == 0, "\(outcome)")
      }
      let reports = try names(folder + "/Reports")
      #expect(reports.count == 3)
      let first = try #require(reports.min { $0.count < $1.count })
      #expect(Set(reports) == [first, first + "-2", first + "-3"])
      for report in reports {
        #expect(Set(try names(folder + "/Reports/" + report) + [RunJournal.name]) == Set(RunReport.files))
      }
      // A folder that is named is the one that is written.
      let named = try shell(runByShell + " --output Reports/\(first)", in: folder)
      #expect(named.status == 0 && named.output.contains("report: Reports/\(first)/report.md"), "\(named)")
      #expect(try names(folder + "/Reports").count == 3)
    }
  }

  /// A run that ends by an error leaves no folder.
  @Test func errorsLeaveNoFolder() throws {
    try withTemporaryFolder { folder in
      let outcome = try shell(runByShell + " --junit none/run.xml", in: folder)
      #expect(try outcome.status == 73 && names(folder) == [], "\(outcome)")
      for command in [Self.run + ["--resume", folder + "/none"], ["report", folder + "/none"]] {
        let outcome = try CommandLineRunner.run(command)
        #expect(try outcome.status == 66 && names(folder) == [], "\(outcome)")
      }
    }
  }

  /// Of a process that ends at once nothing stays, but for what was whole.
  @Test func aSecondSignalLeavesNothing() throws {
    try withTemporaryFolder { folder in
      try CommandLineRunner.writeDataset(folder + "/data", train: 4000, test: 8)
      let process = CommandLineRunner.process([
        "train", "seed-cnn", "--dataset", folder + "/data", "--threads", "1", "--checkpoint",
        folder + "/c.st",
      ])
      process.standardOutput = FileHandle.nullDevice
      process.standardError = FileHandle.nullDevice
      try process.run()
      while try process.isRunning && names(folder).count == 1 { Thread.sleep(forTimeInterval: 0.002) }
      #expect(try names(folder) == [".c.st.lock.vbench.tmp", "data"])
      for _ in 0..<2 { process.interrupt() }
      process.waitUntilExit()
      #expect(process.terminationStatus == 130)
      #expect(try names(folder).filter { $0 != "c.st" } == ["data"])
    }
  }

  /// What stands in the way of a report is found before anything is measured.
  @Test func obstaclesAreFoundFirst() throws {
    let folders: [(arguments: [String], files: [String])] = [
      (Self.run, RunReport.files),
      (["compare", "--peer", "touch PLACE/asked", "--suite", "seed-cnn"], ComparisonReport.files),
      (["paper", "lavin-gray", "--backends", "naive"], PaperReport.files),
    ]
    for (arguments, files) in folders {
      for file in files {
        try withTemporaryFolder { folder in
          let place = folder + "/out"
          try FileManager.default.createDirectory(
            atPath: place + "/" + file, withIntermediateDirectories: true)
          let outcome = try CommandLineRunner.run(
            arguments.map { $0.replacingOccurrences(of: "PLACE", with: folder) } + ["--output", place])
          let words = "\(place)/\(file): cannot be created: a folder of that name exists"
          #expect(outcome.status == 73 && outcome.error.contains(words), "\(outcome)")
          #expect(try outcome.output.isEmpty && names(place) == [file] && names(folder) == ["out"])
        }
      }
    }
    try withTemporaryFolder { folder in
      for (index, writer) in Self.writers.enumerated() where writer.isFile {
        let place = "folder\(index)"
        try FileManager.default.createDirectory(
          atPath: folder + "/" + place, withIntermediateDirectories: true)
        let outcome = try start(writer.arguments, folder, place)
        #expect(outcome.status == 73 && outcome.error.contains("a folder of that name exists"), "\(outcome)")
      }
      try AtomicFile.write("x", to: folder + "/failures")
      for command in [
        ["check", "--failures", folder + "/failures"],
        ["check", "--laws", "--failures", folder + "/failures"],
        Self.run + ["--output", folder],
      ] {
        let outcome = try CommandLineRunner.run(command)
        #expect(outcome.status == 73 && outcome.error.contains("/failures: cannot be"), "\(outcome)")
        #expect(outcome.output.isEmpty, "\(outcome)")
      }
    }
  }

  /// Names that are no text are refused in words, whatever they are for, and no file of another name is read or written.
  @Test func namesThatAreNoText() throws {
    try withTemporaryFolder { folder in
      for arguments in [
        "--suite \"$name\"", "--onnx \"$name\"", "--output \"$name\"", "--output=\"$name\"", "\"@$name\"",
        "\"$name\"", "--plan \"$name\" --backends auto", "--junit \"$name\"",
      ] {
        let outcome = try shell("name=$(printf 'a\\377b'); \(runByShell) \(arguments)", in: folder)
        #expect(outcome.status == 64 && outcome.error.contains("is not UTF-8 text: '"), "\(outcome)")
        #expect(outcome.error.contains(#"a\xFFb'"#), "\(outcome)")
      }
      #expect(try names(folder) == [])
      // In what is listed.
      let write =
        "name=$(printf 'a\\377b'); echo '\(Self.layer)' > \"$name.txt\"; echo > \"$name.safetensors\"; "
      let glob = try shell(write + "\"$0\" run --suite './*.txt' --list", in: folder)
      #expect(glob.status == 66 && glob.error.contains(#"'./a\xFFb.txt'"#), "\(glob)")
      for command in ["check", "list references"] {
        let listed = try shell(write + "\"$0\" \(command) --references .", in: folder)
        #expect(listed.status == 66 && listed.error.contains(#"'a\xFFb.safetensors'"#), "\(listed)")
      }
      // A zero ends a name for the system, but not in a file of arguments.
      try AtomicFile.write("--output 'out\0side'", to: folder + "/zero.args")
      let zero = try CommandLineRunner.run(Self.run + ["@" + folder + "/zero.args"])
      #expect(zero.status == 73 && zero.error.contains("zero byte"), "\(zero)")
      #expect(try shell("rm -r ./*", in: folder).status == 0)
    }
  }

  /// In a folder whose own name is no text everything works.
  @Test func aFolderWhoseNameIsNoText() throws {
    try withTemporaryFolder { folder in
      let enter = "name=$(printf 'a\\377b'); mkdir -p \"$name\" && cd \"$name\" && "
      try CommandLineRunner.writeDataset(folder + "/data", train: 16, test: 8)
      let train =
        "\"$0\" train seed-cnn --dataset ../data --batch-size 8 --epochs 2 --threads 1 --checkpoint c.st"
      for command in [runByShell + " --output out", runByShell, "\"$0\" report out", train] {
        let outcome = try shell(enter + command, in: folder)
        #expect(outcome.status == 0, "\(outcome)")
      }
      let listed = try shell(enter + "ls -A . out", in: folder)
      #expect(listed.output.contains("c.st\n") && listed.output.contains("report.html\n"), "\(listed)")
      #expect(!listed.output.contains("tmp"), "\(listed)")
      #expect(try shell("rm -r ./*", in: folder).status == 0)
    }
  }
}
