import ArgumentParser
import CoarseEngines
import ConvBackends
import ConvCore
import ConvHarness
import Foundation

/// Makes the tables that show how sharp verdicts are: coarse and honest engines on every layer of the built-in suites.
///
/// Rows are written to a journal as they are found: a run that was ended goes on where it stopped, as long as the program is the same.
@main
struct SharpnessProbe: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sharpness-probe",
    abstract: "Verifies coarse and honest engines on every layer of the built-in suites.")

  static let allTables = SharpnessRow.Table.allCases.map(\.rawValue).joined(separator: ",")

  @Option(name: .customLong("suite"), help: "Only these suites (repeatable).")
  var suites: [String] = []

  @Option(help: "Only engines whose name contains one of these, comma-separated.")
  var engines: String?

  @Option(help: "Only these tables: coarse, honest, data; comma-separated.")
  var tables = SharpnessProbe.allTables

  @Option(help: "Ends after so many seconds; the next run goes on.")
  var seconds: Double?

  @Option(help: "Folder of the report; Reports/sharpness where every row is there, else .build/sharpness.")
  var output: String?

  @Option(help: "File of rows found so far.")
  var journal = ".build/sharpness.csv"

  @Flag(help: "Forgets rows found so far.")
  var fresh = false

  func run() throws {
    let pool = WorkerPool.shared
    let tables = try self.tables.split(separator: ",").map { name in
      guard let table = SharpnessRow.Table(rawValue: String(name)) else {
        throw ValidationError("'\(name)' is no table; known: coarse, honest, data")
      }
      return table
    }
    let wanted = engines?.split(separator: ",").map(String.init)
    let suites = try suites.isEmpty ? BenchmarkSuite.builtIn : suites.map(BenchmarkSuite.named)
    let tasks = try Lineup.tasks(suites, tables) { name in
      wanted?.contains { name.contains($0) } ?? true
    }
    let journal = try RowJournal(path: journal, fresh: fresh)
    let found = journal.rows
    let left = tasks.filter { found[$0.key] == nil }
    say("\(tasks.count) rows, \(tasks.count - left.count) found before\n")
    var progress = Progress(left.map(\.weight))
    let start = ContinuousClock.now
    var rows = found
    var trial: (problem: ConvProblem, distribution: DataDistribution?, trial: SharpnessTrial)?
    for task in left {
      if let seconds, (ContinuousClock.now - start).seconds > seconds { break }
      if trial?.problem != task.problem || trial?.distribution != task.distribution {
        trial = (
          task.problem, task.distribution,
          SharpnessTrial(
            task.problem, distributions: task.distribution.map { [$0] } ?? SharpnessTrial.repetitions,
            pool: pool)
        )
      }
      let finding = try trial!.trial.judge(task.backend, task.pass, task.format)
      let row = SharpnessRow(
        task.table, engine: task.engine, suite: task.suite, layer: task.layer, problem: task.problem,
        pass: task.pass, format: task.format, finding)
      rows[row.key] = row
      try journal.append(row)
      if let contradiction = row.contradiction { progress.tell("\(contradiction): \(row.line)") }
      progress.advance(task.weight, label: "\(task.problem) \(task.pass.rawValue)")
    }
    progress.end()
    try write(tasks, rows, pool)
  }

  private func write(_ tasks: [Lineup.Task], _ rows: [SharpnessRow.Key: SharpnessRow], _ pool: WorkerPool)
    throws
  {
    let ordered = tasks.compactMap { rows[$0.key] }
    let chosen = suites.map { "--suite \($0)" } + (engines.map { ["--engines \($0)"] } ?? [])
    let isAll = chosen.isEmpty && tables == SharpnessProbe.allTables
    let isWhole = isAll && tasks.count == ordered.count
    let report = SharpnessReport(
      ordered, machine: "\(MachineIdentity.current(threads: pool.threads))",
      command: isAll
        ? "make sharp" : (["sharpness-probe"] + chosen + ["--tables \(tables)"]).joined(separator: " "),
      missing: tasks.count - ordered.count, isWhole: isWhole)
    let output = output ?? (isWhole ? "Reports/sharpness" : ".build/sharpness")
    let folder = URL(fileURLWithPath: output)
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    func store(_ name: String, _ text: String) throws {
      try Data(text.utf8).write(to: folder.appendingPathComponent(name), options: .atomic)
    }
    if ordered.contains(where: { $0.table == .coarse }) {
      try store("coarse.md", report.coarse)
      try store("coarse.csv", report.lines([.coarse]))
    }
    if ordered.contains(where: { $0.table != .coarse }) {
      try store("honest.md", report.honest)
      try store("honest.csv", report.lines([.honest, .data]))
    }
    let summary = SharpnessSummary(ordered, isWhole: isWhole)
    say(
      "\(summary.judged) rows count: \(summary.contradictions.count) contradict, "
        + "\(summary.mistrusted.count) stayed mistrusted"
        + (summary.blunt.isEmpty
          ? "" : ", errors too far from their bounds: \(summary.blunt.joined(separator: ", "))")
        + "; see \(output)\n")
    if !summary.isSharp { throw ExitCode(1) }
  }
}
