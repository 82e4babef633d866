import ArgumentParser
import ConvCore
import Foundation
import Synchronization

/// Starts `vbench` with mutated arguments and files, and looks how it ends.
///
/// Whatever it is given, it ends by itself, with one of the documented codes, within two seconds of processor time and 2 GiB,
/// and with messages that do not repeat a long input. The same seed makes the same inputs.
@main
struct FuzzCommands: ParsableCommand {
  @Argument(help: "The program.") var program: String
  @Option(help: "The checkout that files are taken from.") var checkout = "."
  @Option(help: "Where inputs that were found are left.") var findings = ".build/fuzz/findings/commands"
  @Option(help: "How many inputs.") var inputs = 6000
  @Option(help: "Which inputs.") var seed: UInt64 = 1
  @Option(help: "Only this input.") var only: Int?
  @Option(help: "Processes at a time.") var jobs = 2

  /// Those of README; 70 says of itself that it is an error of vbench.
  static let documented: Set<Int32> = [0, 1, 2, 64, 65, 66, 71, 73, 74]
  static let secondsAllowed = 2.0
  static let mebibytesAllowed = 2048
  static let lineAllowed = 4096

  /// What has been seen so far.
  struct Tally {
    var executions: [String: Int] = [:]
    var statuses: [String: [Int32: Int]] = [:]
    var slowest: [String: Double] = [:]
    var findings: [String] = []
  }

  func run() throws {
    let program = URL(fileURLWithPath: program).path
    let kinds = try CommandKind.all(checkout: checkout)
    let numbers = only.map { [$0] } ?? Array(0..<inputs)
    let scratch = FileManager.default.temporaryDirectory.appending(path: "fuzz-commands-\(getpid())").path
    defer { try? FileManager.default.removeItem(atPath: scratch) }
    setenv("SWIFT_BACKTRACE", "enable=no", 1)
    setenv("XDG_CACHE_HOME", "\(scratch)/cache", 1)
    let next = Atomic(0)
    let tally = Mutex(Tally())
    let failure = Mutex<(any Error)?>(nil)
    DispatchQueue.concurrentPerform(iterations: jobs) { job in
      do {
        while true {
          let index = next.add(1, ordering: .relaxed).oldValue
          guard index < numbers.count else { return }
          try execute(numbers[index], kinds, program, folder: "\(scratch)/\(job)", tally)
        }
      } catch {
        failure.withLock { $0 = error }
      }
    }
    if let error = failure.withLock({ $0 }) { throw error }
    let end = tally.withLock { $0 }
    print(Self.table(end, kinds))
    for finding in end.findings { print(finding) }
    if !end.findings.isEmpty { throw ExitCode.failure }
  }

  /// Input `number` of the seed.
  private func input(_ number: Int, _ kinds: [CommandKind]) -> (kind: CommandKind, input: CommandInput) {
    let kind = kinds[number % kinds.count]
    var mutator = Mutator(
      random: PhiloxGenerator(seed: seed, stream: UInt32(truncatingIfNeeded: number)), options: kind.options)
    let seeds = mutator.below(4) > 0 ? kind.right : kind.stored
    var input = mutator.one(of: seeds)
    // Files where there are some, arguments where there are none, and both now and then.
    let files = input.files.keys.sorted()
    let choice = mutator.below(4)
    if !files.isEmpty, choice > 0 {
      let name = mutator.one(of: files)
      let others = seeds.prefix(200).compactMap { $0.files[name] }
      input.files[name] = mutator.mutated(input.files[name]!, others: others)
    }
    if files.isEmpty || choice == 0 {
      for _ in 0...mutator.below(2) { input.arguments = mutator.mutated(input.arguments) }
    }
    return (kind, input)
  }

  private func execute(
    _ number: Int, _ kinds: [CommandKind], _ program: String, folder: String, _ tally: borrowing Mutex<Tally>
  ) throws {
    let (kind, input) = input(number, kinds)
    try Self.write(input, to: folder)
    let execution = try Execution(program, input.all, folder: folder, limit: 20)
    let fault = Self.fault(of: execution)
    if let fault {
      let place = "\(findings)/\(number)"
      try Self.write(input, to: place)
      let said = String(decoding: execution.error.prefix(2000), as: UTF8.self)
      try Data("\(input.all.map(\.debugDescription).joined(separator: " "))\n\(fault)\n\(said)\n".utf8)
        .write(to: URL(fileURLWithPath: "\(place)/FOUND"))
    }
    tally.withLock {
      $0.executions[kind.name, default: 0] += 1
      $0.statuses[kind.name, default: [:]][execution.status ?? -1, default: 0] += 1
      $0.slowest[kind.name] = max($0.slowest[kind.name] ?? 0, execution.seconds)
      if let fault {
        $0.findings.append("input \(number) (\(kind.name)): \(fault); --seed \(seed) --only \(number)")
      }
    }
  }

  private static func write(_ input: CommandInput, to folder: String) throws {
    try? FileManager.default.removeItem(atPath: folder)
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    for (name, bytes) in input.files {
      let file = URL(fileURLWithPath: folder).appending(path: name)
      try FileManager.default.createDirectory(
        at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
      try Data(bytes).write(to: file)
    }
  }

  /// What is wrong with the way a process ended; nil where nothing is.
  static func fault(of execution: Execution) -> String? {
    if let signal = execution.signal { return "signal \(signal) after \(execution.seconds) s" }
    if let status = execution.status, !documented.contains(status) { return "exit status \(status)" }
    if execution.seconds > secondsAllowed { return "\(execution.seconds) s of processor time" }
    if execution.mebibytes > mebibytesAllowed { return "\(execution.mebibytes) MiB" }
    if execution.status != 0, execution.status != 1, execution.status != 2, execution.error.isEmpty {
      return "exit status \(execution.status!) without a word"
    }
    let longest = execution.error.split(separator: UInt8(ascii: "\n")).map(\.count).max() ?? 0
    return longest > lineAllowed ? "a line of \(longest) bytes on standard error" : nil
  }

  private static func table(_ tally: Tally, _ kinds: [CommandKind]) -> String {
    var lines = ["| command | inputs | slowest, s | exit statuses |", "|---|---:|---:|---|"]
    for kind in kinds {
      let statuses = (tally.statuses[kind.name] ?? [:]).sorted { $0.key < $1.key }
      let text = statuses.map { "\($0.key < 0 ? "signal" : "\($0.key)"): \($0.value)" }.joined(
        separator: ", ")
      let slowest = ((tally.slowest[kind.name] ?? 0) * 100).rounded() / 100
      lines.append("| \(kind.name) | \(tally.executions[kind.name] ?? 0) | \(slowest) | \(text) |")
    }
    return lines.joined(separator: "\n")
  }
}
