import ConvCore
import ConvTestSupport
import Foundation

/// A run of forty layers that was killed when its journal held two of them; its folder is `out`.
struct KilledRun {
  /// How the run was started, without its output.
  let arguments: [String]
  let journal: String
  /// Whether it ended by the signal, and not before.
  let wasKilled: Bool

  init(in folder: String) throws {
    let lines = (1...40).map { "conv2d:n2c16h20w20k\($0 + 8)r3s3p1 layer\($0)" }
    try AtomicFile.write(lines.joined(separator: "\n"), to: folder + "/suite.txt")
    arguments = [
      "run", "--suite", folder + "/suite.txt", "--backends", "naive", "--passes", "forward", "--baseline",
      "naive", "--threads", "1",
    ]
    journal = folder + "/out/journal.jsonl"
    let process = CommandLineRunner.process(arguments + ["--output", folder + "/out"])
    process.standardOutput = FileHandle.nullDevice
    process.standardError = FileHandle.nullDevice
    try process.run()
    while process.isRunning && Self.items(in: journal).count < 2 { Thread.sleep(forTimeInterval: 0.002) }
    kill(process.processIdentifier, SIGKILL)
    process.waitUntilExit()
    wasKilled = process.terminationReason == .uncaughtSignal
  }

  /// The lines of items that a journal holds.
  static func items(in journal: String) -> [Substring] {
    ((try? InputFile.text(of: journal)) ?? "").split(separator: "\n").filter { $0.hasPrefix("{\"item\":") }
  }
}
