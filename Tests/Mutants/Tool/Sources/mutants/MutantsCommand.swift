import ArgumentParser
import Foundation

@main
struct MutantsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "mutants",
    abstract: "Breaks the product in known ways and demands that the tests notice.",
    discussion: """
      All mutants of Tests/Mutants are built at once into a copy of the working tree, each behind a switch in the
      environment, and run one by one with the tests that they name. Those that cannot be switched (types, signatures,
      macros) get a build each. The build holds all mutants also where few are chosen, so that the next choice needs none.

      caught     a test of the filter failed, or the test process crashed or stood still
      SURVIVED   every test of the filter passed: a hole in the tests
      ERROR      the quoted lines are not found, the mutant does not compile, or the filter runs no test

      Exit status: 0 if all are caught, 1 otherwise. Logs: .build/mutants/logs. Verdicts are kept in
      Tests/Mutants/RESULTS.md.
      """)

  @Argument(help: "Only mutants whose name contains one of these.")
  var patterns: [String] = []

  @Option(help: "Test processes at a time.")
  var jobs = ProcessInfo.processInfo.activeProcessorCount

  @Option(help: "Seconds after which tests that stand still are ended.")
  var limit = 600

  @Option(
    help: "So many mutants that nobody wrote, instead of those in files: an operator or a literal is another."
  )
  var fresh: Int?

  @Option(help: "Draws the fresh ones.")
  var seed: UInt64 = 1

  @Option(help: "Part of the path of the files that fresh ones change.")
  var source = ""

  @Option(help: "The working tree.")
  var root = "."

  @Flag(help: "The tests are known to pass without a mutant: they are not run first.")
  var green = false

  @Flag(help: "Only say where each mutant's lines stand, and which can be switched; builds nothing.")
  var check = false

  mutating func run() throws {
    let root = URL(fileURLWithPath: root).standardizedFileURL
    let folder = root.appending(path: "Tests/Mutants")
    let tree = try SourceTree(root: root, copy: root.appending(path: ".build/mutants/tree"))
    let mutants =
      try fresh.map { try FreshMutants.draw($0, seed: seed, from: tree, path: source) }
      ?? Self.stored(in: folder)
    let chosen = mutants.filter { mutant in
      patterns.isEmpty || patterns.contains { mutant.name.contains($0) }
    }.map(\.name)
    guard !chosen.isEmpty else {
      throw ValidationError(
        "no mutant has a name that contains \(patterns.joined(separator: " or ")); there are \(mutants.count)"
      )
    }
    var board = try Switchboard(mutants, tree: tree)
    say("\(mutants.count) mutants: \(board.switchable.count) in one build, \(board.fixed.count) in one each")
    if check {
      if fresh != nil { for mutant in mutants { say("\(mutant.name): \(mutant.text)") } }
      for number in board.fixed.sorted() { say("own build  \(mutants[number - 1].name)") }
      for (number, why) in board.broken.sorted(by: { $0.key < $1.key }) {
        say("ERROR      \(mutants[number - 1].name): \(why)")
      }
      throw board.broken.isEmpty ? ExitCode.success : ExitCode.failure
    }
    let pass = try MutantPass(tree: tree, jobs: jobs, limit: limit)
    let outcomes = try pass.run(&board, chosen: Set(chosen), isGreen: green)
    if fresh == nil { try write(outcomes, of: pass, all: mutants, to: folder.appending(path: "RESULTS.md")) }
    let holes = outcomes.filter {
      switch $0.verdict {
      case .survived, .error: true
      case .caught, .notApplicable: false
      }
    }
    for hole in holes { say("  \(hole.verdict.word)  \(hole.mutant.name): \(hole.verdict.detail)") }
    if fresh != nil { for hole in holes { say("\n" + hole.mutant.text) } }
    if !holes.isEmpty { throw ExitCode.failure }
  }

  private func write(_ outcomes: [Outcome], of pass: MutantPass, all mutants: [Mutant], to file: URL) throws {
    var table = ResultsTable(
      outcomes, commit: pass.commit, machine: try Machine.described(), durations: pass.durations)
    if !patterns.isEmpty {
      table = ResultsTable(reading: (try? String(contentsOf: file, encoding: .utf8)) ?? "")
      table.update(outcomes, commit: pass.commit, existing: Set(mutants.map(\.name)))
    }
    try Data(table.markdown.utf8).write(to: file, options: .atomic)
    say("\(file.lastPathComponent): \(table.counts)")
  }

  private static func stored(in folder: URL) throws -> [Mutant] {
    let names = try FileManager.default.contentsOfDirectory(atPath: folder.path).filter {
      $0.hasSuffix(".mutant")
    }
    return try names.sorted().map { try Mutant(contentsOf: folder.appending(path: $0)) }
  }
}
