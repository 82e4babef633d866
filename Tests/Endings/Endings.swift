import ArgumentParser
import ConvCore
import Foundation
import Synchronization

/// Runs `vbench` again and again while signals, full disks and closed streams end it, and looks what it leaves.
///
/// A story is one command in one folder: some runs under random fates, then one that nothing happens to. After each of them no process is
/// left, every file is whole, and temporary files are there only after SIGKILL; after the last one all results are there. Which fates
/// follow each other is decided by the seed, when exactly they strike by the machine.
@main
struct Endings: ParsableCommand {
  @Argument(help: "The program.") var program: String
  @Option(help: "How long new stories begin.") var seconds = 3600.0
  @Option(help: "Where folders of stories that went wrong are left.") var findings = ".build/endings"
  @Option(help: "Which stories.") var seed: UInt64 = 1
  @Option(help: "Only this story.") var only: Int?
  @Option(help: "Stories at a time.") var jobs = 2

  /// What has been seen so far.
  struct Tally {
    var runs: [String: [String: Int]] = [:]
    var statuses: [String: [String: Int]] = [:]
    var stories = 0
    var files = 0
    var cleaned = 0
    var findings: [String] = []
  }

  func run() throws {
    let program = URL(fileURLWithPath: program).path
    let scratch = FileManager.default.temporaryDirectory.appending(path: "endings-\(getpid())").path
    defer { try? FileManager.default.removeItem(atPath: scratch) }
    setenv("SWIFT_BACKTRACE", "enable=no", 1)
    setenv("XDG_CACHE_HOME", "\(scratch)/cache", 1)
    // Reading ends of pipes go away.
    signal(SIGPIPE, SIG_IGN)
    let usual = try Story.all.map { try usualSeconds($0, program, "\(scratch)/usual-\($0.name)") }
    let next = Atomic(0)
    let tally = Mutex(Tally())
    let failure = Mutex<(any Error)?>(nil)
    let start = ContinuousClock.now
    DispatchQueue.concurrentPerform(iterations: only == nil ? jobs : 1) { job in
      do {
        while only == nil
          ? ContinuousClock.now - start < .seconds(seconds) : next.load(ordering: .relaxed) == 0
        {
          let number = next.add(1, ordering: .relaxed).oldValue
          let index = (only ?? number) % Story.all.count
          try tell(
            Story.all[index], only ?? number, program, "\(scratch)/\(job)", usual: usual[index], tally)
        }
      } catch {
        failure.withLock { $0 = error }
      }
    }
    if let error = failure.withLock({ $0 }) { throw error }
    let end = tally.withLock { $0 }
    print(Self.table(end))
    for finding in end.findings { print(finding) }
    if !end.findings.isEmpty { throw ExitCode.failure }
  }

  /// What a story's command takes where nothing happens to it.
  private func usualSeconds(_ story: Story, _ program: String, _ folder: String) throws -> Double {
    try story.prepare(folder)
    let ending = try Victim.run(
      program, story.arguments, folder: folder, fate: .none, usual: 30, log: folder + ".log")
    guard ending.status == 0 else {
      throw Victim.Failure(
        "\(story.name) ends with \(ending.status ?? -1) where nothing happens: \(ending.error)")
    }
    return ending.seconds
  }

  private func tell(
    _ story: Story, _ number: Int, _ program: String, _ folder: String, usual: Double,
    _ tally: borrowing Mutex<Tally>
  ) throws {
    var random = PhiloxGenerator(seed: seed, stream: UInt32(truncatingIfNeeded: number))
    try? FileManager.default.removeItem(atPath: folder)
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    let disk = Disk(at: folder)
    defer { disk?.unmount() }
    try story.prepare(folder)
    let fates = (0..<Int.random(in: 1...4, using: &random)).map { _ in
      Fate.random(&random, hasDisks: disk != nil)
    }
    var left: [String] = []
    for (step, fate) in (fates + [.none]).enumerated() {
      let goesOn = FileManager.default.fileExists(atPath: folder + "/out/journal.jsonl")
      let arguments = goesOn ? story.again ?? story.arguments : story.arguments
      if case .fullDisk(let size) = fate { try disk?.leave(kibibytes: size) }
      let ending = try Victim.run(
        program, arguments, folder: folder, fate: fate, usual: usual, log: folder + ".log")
      if case .fullDisk = fate { try disk?.leave(kibibytes: Disk.large) }
      let found = Wholeness(of: folder, inputs: Set(story.inputs.keys))
      var faults = Self.faults(of: ending, fate) + found.faults
      if !fate.mayLeaveTemporaries {
        faults += found.temporaries.map {
          "\($0) is left, \(left.contains($0) ? "by an earlier run" : "by this run")"
        }
      }
      if step == fates.count {
        for file in story.results where !FileManager.default.fileExists(atPath: "\(folder)/\(file)") {
          faults.append("\(file) is missing")
        }
        if FileManager.default.fileExists(atPath: folder + "/out/journal.jsonl") {
          faults.append("the journal of a whole run is left")
        }
      }
      if !faults.isEmpty { try keep(folder, number, step) }
      tally.withLock {
        $0.runs[story.name, default: [:]][fate.kind, default: 0] += 1
        let status = ending.status.map { "\($0)" } ?? "signal \(ending.signal ?? 0)"
        $0.statuses[fate.kind, default: [:]][status, default: 0] += 1
        $0.files += found.files
        $0.cleaned += left.filter { !found.temporaries.contains($0) }.count
        $0.findings += faults.map {
          "story \(number) (\(story.name)), run \(step + 1), \(fate): \($0); --seed \(seed) --only \(number)"
        }
      }
      left = found.temporaries
    }
    tally.withLock { $0.stories += 1 }
  }

  /// What is wrong with the way a process ended.
  private static func faults(of ending: Ending, _ fate: Fate) -> [String] {
    var faults = ending.survivors.map { "a process is left: \($0)" }
    if ending.hung { return faults + ["it did not end in \(Int(ending.seconds)) s"] }
    switch (ending.status, ending.signal) {
    case (let status?, _):
      if !fate.statuses.contains(status) {
        faults.append("exit status \(status): \(ending.error.suffix(300))")
      } else if [73, 74].contains(status), ending.error.isEmpty, fate.tells {
        faults.append("exit status \(status) without a word")
      }
    case (nil, let signal):
      if fate != .none, case .signal(SIGKILL, _, _, _) = fate, signal == SIGKILL { break }
      faults.append("ended by signal \(signal ?? 0): \(ending.error.suffix(300))")
    }
    return faults
  }

  private func keep(_ folder: String, _ number: Int, _ step: Int) throws {
    let place = "\(findings)/\(number)-\(step + 1)"
    try? FileManager.default.removeItem(atPath: place)
    try FileManager.default.createDirectory(atPath: findings, withIntermediateDirectories: true)
    try FileManager.default.copyItem(atPath: folder, toPath: place)
  }

  private static func table(_ tally: Tally) -> String {
    let kinds = tally.statuses.keys.sorted()
    let names = Story.all.map(\.name)
    var lines = [
      "| what happens | \(names.joined(separator: " | ")) | ends |",
      "|---|\(names.map { _ in "---:|" }.joined())---|",
    ]
    for kind in kinds {
      let counts = names.map { "\(tally.runs[$0]?[kind] ?? 0)" }
      let ends = (tally.statuses[kind] ?? [:]).sorted { $0.key < $1.key }.map { "\($0): \($1)" }
      lines.append("| \(kind) | \(counts.joined(separator: " | ")) | \(ends.joined(separator: ", ")) |")
    }
    let runs = tally.runs.values.reduce(0) { $0 + $1.values.reduce(0, +) }
    lines.append(
      "\(tally.stories) stories, \(runs) runs, \(tally.files) files looked into, \(tally.cleaned) temporary files of killed runs removed "
        + "by the next one, \(tally.findings.count) faults")
    return lines.joined(separator: "\n")
  }
}
