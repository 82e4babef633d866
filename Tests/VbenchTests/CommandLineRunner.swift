import ConvCore
import ConvTestSupport
import Foundation
import Testing

/// The built executable, run as a process of its own.
enum CommandLineRunner {
  /// What a run has left.
  struct Outcome: CustomStringConvertible {
    let status: Int32
    let output: String
    let error: String
    let command: String
    var description: String { "\(command)\n-> \(status)\n\(output)\(error)" }
  }

  /// The executable beside the test bundle.
  static let executable = built("vbench")

  /// The executable that runs the same commands with engines that sleep; .ci/run names an optimised one.
  static let sleepProbe = ProcessInfo.processInfo.environment["VBENCH_SLEEP_PROBE"] ?? built("sleep-probe")

  private static func built(_ name: String) -> String {
    let process = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
    let folders = [
      process.deletingLastPathComponent(), Bundle.main.bundleURL,
      Bundle.main.bundleURL.deletingLastPathComponent(),
    ]
    let paths = folders.map { $0.appending(path: name).path }
    return paths.first { FileManager.default.isExecutableFile(atPath: $0) } ?? paths[0]
  }

  /// Lets a process compute on the instruction set of this one, where plans or choices of both are compared.
  static let ownInstructionSet = ["VBENCH_ISA": InstructionSet.current.rawValue]

  /// Nothing is kept there: what a user has calibrated must not decide about tests, nor be written over.
  private static let emptyCache = FileManager.default.temporaryDirectory.appending(
    path: "vbench-cache-\(ProcessInfo.processInfo.processIdentifier)"
  ).path

  /// A process that has not been started.
  static func process(
    _ arguments: [String], environment: [String: String] = [:], executable: String = executable
  ) -> Process {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: executable)
    process.arguments = arguments
    var variables = ProcessInfo.processInfo.environment
    for name in ["VBENCH_ISA", "VBENCH_THREADS", "NO_COLOR", "COLUMNS", "LINES"] { variables[name] = nil }
    variables["COLUMNS"] = "80"
    variables["XDG_CACHE_HOME"] = emptyCache
    process.environment = variables.merging(environment) { $1 }
    process.standardInput = FileHandle.nullDevice
    return process
  }

  /// Runs to the end.
  static func run(
    _ arguments: [String], environment: [String: String] = [:], executable: String = executable
  ) throws -> Outcome {
    try finish(
      process(arguments, environment: environment, executable: executable),
      "\(URL(fileURLWithPath: executable).lastPathComponent) " + arguments.joined(separator: " "))
  }

  /// Runs to the end, with a limit for the size of files (blocks of 512 bytes).
  static func run(_ arguments: [String], fileBlocks: Int) throws -> Outcome {
    let process = process(["-c", "ulimit -f \(fileBlocks) && exec \"$0\" \"$@\"", executable] + arguments)
    process.executableURL = URL(fileURLWithPath: "/bin/sh")
    return try finish(process, "(ulimit -f \(fileBlocks)) vbench " + arguments.joined(separator: " "))
  }

  /// Runs to the end as a shell starts it with redirections: `> /dev/full`, `2>&-`.
  static func run(
    _ arguments: [String], redirected: String, environment: [String: String] = [:]
  ) throws -> Outcome {
    let process = process(
      ["-c", "exec \"$0\" \"$@\" \(redirected)", executable] + arguments, environment: environment)
    process.executableURL = URL(fileURLWithPath: "/bin/sh")
    return try finish(process, "vbench \(arguments.joined(separator: " ")) \(redirected)")
  }

  /// Runs a process to its end; `command` is for messages.
  static func finish(_ process: Process, _ command: String) throws -> Outcome {
    // Files instead of pipes: a full pipe would stop the process.
    try withTemporaryFolder { path in
      let folder = URL(fileURLWithPath: path)
      func sink(_ name: String) throws -> FileHandle {
        let url = folder.appending(path: name)
        try Data().write(to: url)
        return try FileHandle(forWritingTo: url)
      }
      process.standardOutput = try sink("output")
      process.standardError = try sink("error")
      try process.run()
      process.waitUntilExit()
      func text(_ name: String) throws -> String {
        String(decoding: try Data(contentsOf: folder.appending(path: name)), as: UTF8.self)
      }
      return Outcome(
        status: process.terminationStatus, output: try text("output"), error: try text("error"),
        command: command)
    }
  }

  /// A small data set in Fashion-MNIST's format: ten classes that differ by the place of a bright square.
  static func writeDataset(_ folder: String, train: Int, test: Int) throws {
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    for (name, count, stream) in [("train", train, UInt32(0)), ("t10k", test, 1)] {
      var random = PhiloxGenerator(seed: 42, stream: stream)
      var images: [UInt8] = [0, 0, 8, 3] + bigEndian(count) + bigEndian(28) + bigEndian(28)
      var labels: [UInt8] = [0, 0, 8, 1] + bigEndian(count)
      for _ in 0..<count {
        let label = Int(random.nextWord() % 10)
        var pixels = (0..<784).map { _ in UInt8(random.nextWord() % 64) }
        for y in 0..<6 {
          for x in 0..<5 { pixels[(label / 5 * 14 + 4 + y) * 28 + label % 5 * 5 + 1 + x] = 255 }
        }
        images += pixels
        labels.append(UInt8(label))
      }
      try AtomicFile.write(images, to: "\(folder)/\(name)-images-idx3-ubyte")
      try AtomicFile.write(labels, to: "\(folder)/\(name)-labels-idx1-ubyte")
    }
  }

  private static func bigEndian(_ value: Int) -> [UInt8] {
    (0..<4).map { UInt8(truncatingIfNeeded: value >> (24 - 8 * $0)) }
  }
}
