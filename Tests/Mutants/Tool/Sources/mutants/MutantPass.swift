import Foundation

/// Builds the mutants of a switchboard and runs the tests of each.
final class MutantPass {
  let tree: SourceTree
  let jobs: Int
  private let bundle: TestBundle
  let commit: String
  private(set) var durations: [(step: String, seconds: Double)] = []

  init(tree: SourceTree, jobs: Int, limit: Int) throws {
    self.tree = tree
    self.jobs = jobs
    let logs = tree.copy.deletingLastPathComponent().appending(path: "logs")
    for folder in [tree.copy, logs] {
      try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }
    try tree.copyTheRest()
    commit = try Self.commit(of: tree)
    bundle = TestBundle(folder: tree.copy, logs: logs, limit: limit)
  }

  /// The working tree's commit, with `+` where files of the product or of the tests differ from it.
  private static func commit(of tree: SourceTree) throws -> String {
    let head = try runProgram(["git", "rev-parse", "--short", "HEAD"], in: tree.root).output
    let changed = try runProgram(
      [
        "git", "status", "--porcelain", "--", "Sources", "Tests", "Package.swift",
        ":!Tests/Mutants/RESULTS.md",
      ],
      in: tree.root
    ).output
    return head.trimmingCharacters(in: .whitespacesAndNewlines) + (changed.isEmpty ? "" : "+")
  }

  /// - Throws: what keeps the tests from being built or green without a mutant.
  func run(_ board: inout Switchboard, chosen: Set<String>, isGreen: Bool) throws -> [Outcome] {
    let mutants = board.mutants
    let wanted = mutants.indices.map { $0 + 1 }.filter { chosen.contains(mutants[$0 - 1].name) }
    var outcomes: [Int: Outcome] = [:]
    for (number, why) in board.broken where wanted.contains(number) {
      outcomes[number] = Outcome(mutant: mutants[number - 1], verdict: .error(why))
    }
    let (bundle, total) = (bundle, mutants.count)
    let files = try timed("build") { try buildSwitched(&board) }
    let tests = try bundle.list()
    let sets = try Machine.instructionSets()
    for number in wanted where outcomes[number] == nil {
      let mutant = mutants[number - 1]
      let filter = try Regex(mutant.filter)
      if let set = mutant.hunks.compactMap(\.instructionSet).first(where: { !sets.contains($0) }) {
        outcomes[number] = Outcome(mutant: mutant, verdict: .notApplicable("this CPU does not run \(set)"))
      } else if !tests.contains(where: { $0.firstMatch(of: filter) != nil }) {
        outcomes[number] = Outcome(
          mutant: mutant, verdict: .error("the filter '\(mutant.filter)' matches no test"))
      }
    }
    let open = wanted.filter { outcomes[$0] == nil }
    // A test that is red without a mutant would count each of its mutants as caught.
    if !isGreen {
      let red = try timed("tests without a mutant") {
        try bundle.failures(of: Set(open.map { mutants[$0 - 1].filter }).sorted(), log: "unmutated")
      }
      guard red.isEmpty else {
        throw MutantError.malformed("without a mutant", "red: " + red.joined(separator: ", "))
      }
    }

    let switched = open.filter { !board.fixed.contains($0) }
    let judged = timed("\(switched.count) switched mutants") {
      inParallel(switched, jobs: jobs) { number in
        let outcome = bundle.judge(mutants[number - 1], number: number)
        Self.show(outcome, number, of: total)
        return outcome
      }
    }
    for (number, outcome) in zip(switched, judged) { outcomes[number] = outcome }
    let alone = open.filter { board.fixed.contains($0) }
    try timed("\(alone.count) mutants with a build each") {
      for number in alone {
        try tree.writeCopy(with: switchedTree(board.files(with: number, over: files)))
        let mutant = mutants[number - 1]
        let errors = try bundle.build(log: mutant.name)
        let outcome =
          errors.map {
            Outcome(mutant: mutant, verdict: .error("it does not compile: \(Self.firstError($0))"))
          }
          ?? bundle.judge(mutant, number: 0)
        Self.show(outcome, number, of: total)
        outcomes[number] = outcome
      }
    }
    return outcomes.sorted { $0.key < $1.key }.map(\.value)
  }

  /// Builds all mutants that can be switched; those that a compiler refuses drop out, and the build is repeated.
  private func buildSwitched(_ board: inout Switchboard) throws -> [String: [UInt8]] {
    while true {
      let files = board.files()
      try tree.writeCopy(with: switchedTree(files))
      say("building the tests with \(board.switchable.count) mutants")
      guard let output = try bundle.build(log: "switched") else { return files }
      let dropped = board.giveUp(after: output)
      guard !dropped.isEmpty else {
        throw MutantError.malformed("all mutants", "the build fails: \(Self.firstError(output))")
      }
      say("  not to be switched: " + dropped.map { board.mutants[$0 - 1].name }.joined(separator: " "))
    }
  }

  /// With the module that knows which mutant is switched on, on which everything depends.
  private func switchedTree(_ files: [String: [UInt8]]) throws -> [String: [UInt8]] {
    var files = files
    files["Package.swift"] = try tree.source(of: "Package.swift") + Array(SwitchModule.manifest.utf8)
    files["Sources/CMutants/vb_mutants.c"] = Array(SwitchModule.source.utf8)
    files["Sources/CMutants/include/vb_mutants.h"] = Array(SwitchModule.header.utf8)
    return files
  }

  private func timed<Value>(_ step: String, _ work: () throws -> Value) rethrows -> Value {
    let start = ContinuousClock.now
    let value = try work()
    durations.append((step, (ContinuousClock.now - start) / .seconds(1)))
    say("\(step): \(ResultsTable.minutes(durations.last!.seconds))")
    return value
  }

  private static func show(_ outcome: Outcome, _ number: Int, of total: Int) {
    let word = outcome.verdict.word.padding(toLength: 14, withPad: " ", startingAt: 0)
    let name = outcome.mutant.name.padding(toLength: 34, withPad: " ", startingAt: 0)
    say(
      "\(number)/\(total)  \(word) \(name) \(String(format: "%4.0f", outcome.seconds)) s  \(outcome.verdict.detail)"
    )
  }

  private static func firstError(_ output: String) -> String {
    output.split(separator: "\n").first { $0.contains("error: ") }.map(String.init) ?? "no error is named"
  }
}
