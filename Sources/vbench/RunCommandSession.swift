import ConvBackends
import ConvCore
import ConvHarness
import ConvNN
import Foundation

/// Carries out a `vbench run`.
struct RunSession {
  let command: RunCommand
  let plan: RunPlan
  let competitors: [Competitor]
  let conditions: [RunCondition]
  let settings: RunSettings

  /// Measures everything and writes the report into `folder`; Ctrl-C ends it early, with a partial report and a journal that
  /// `--resume` goes on with.
  func run(folder: String) throws -> RunReport {
    let start = ContinuousClock.now
    if BuildConfiguration.isDebug { Terminal.warn("note: a debug build verifies, but refuses to time") }
    let jobs = plan.items.flatMap { item in conditions.map { (item: item, condition: $0) } }
    let environment = environment
    let (journal, done) = try journal(
      in: folder, environment, jobs.map { RunSession.text($0.item, $0.condition) })
    var noise = NoiseWatch()
    noise.look()
    let limits = try BuildConfiguration.isDebug ? [] : pools.map { try MachineLimits.measure(pool: $0) }
    var report = RunReport(
      environment: environment,
      command: (CommandLine.arguments.prefix(1) + Vbench.arguments).map(RunSession.quoted).joined(
        separator: " "),
      date: ISO8601DateFormatter().string(from: Date()), peak: limits.map(\.fmaPeak).max() ?? 0,
      hasTimes: !BuildConfiguration.isDebug)
    report.limits = limits
    var ledger = TimeLedger()
    ledger.probes = (ContinuousClock.now - start).seconds
    try measure(jobs, done, journal, limits, &noise, &ledger, &report)
    let trainingStart = ContinuousClock.now
    if plan.trains && !Interruption.isRequested { try train(&report) }
    ledger.training = (ContinuousClock.now - trainingStart).seconds
    noise.look()
    report.isPartial = Interruption.isRequested
    report.noise = noise.record
    ledger.total = (ContinuousClock.now - start).seconds
    report.ledger = ledger
    try report.write(to: folder)
    journal.finish(isWhole: !report.isPartial)
    return report
  }

  /// All items under all conditions; those that an earlier run has finished are taken over.
  private func measure(
    _ jobs: [(item: RunItem, condition: RunCondition)], _ done: [Int: [ResultRow]], _ journal: RunJournal,
    _ limits: [MachineLimits], _ noise: inout NoiseWatch, _ ledger: inout TimeLedger,
    _ report: inout RunReport
  ) throws {
    var layers = LayerRun(settings: settings)
    var progress = ProgressBar(total: jobs.count, skipped: done.count)
    defer { progress.clear() }
    let start = ContinuousClock.now
    var measured = 0
    for (index, (item, condition)) in jobs.enumerated() {
      if let rows = done[index] {
        report.rows += rows
        continue
      }
      if Interruption.isRequested { continue }
      let name = item.problem.name.isEmpty ? item.problem.problem.description : item.problem.name
      let elapsed = (ContinuousClock.now - start).seconds
      layers.settings = condition.applied(to: settings)
      layers.settings.sampling.budgetSeconds = plan.secondsForItem(
        measured, of: jobs.count - done.count, elapsed: elapsed)
      if let limit = limits.first(where: { $0.threads == condition.pool.threads }) { layers.limits = limit }
      progress.update(done.count + measured, "\(item.suite) \(name) \(item.pass.rawValue)")
      let rows = try layers.rows(
        for: item, competitors: competitors, times: !BuildConfiguration.isDebug,
        shouldStop: { Interruption.isRequested })
      report.rows += rows
      // What Ctrl-C cut short is measured again.
      if !Interruption.isRequested { try journal.append(item: index, rows: rows) }
      measured += 1
      noise.look()
    }
    ledger.verification = layers.ledger.verification
    ledger.planning = layers.ledger.planning
    ledger.kernels = layers.ledger.kernels
    ledger.waiting = layers.ledger.waiting
  }

  /// The pools of all conditions, each once.
  private var pools: [WorkerPool] {
    var pools: [WorkerPool] = []
    for condition in conditions where !pools.contains(where: { $0 === condition.pool }) {
      pools.append(condition.pool)
    }
    return pools
  }

  private func journal(
    in folder: String, _ environment: [(key: String, value: String)], _ items: [String]
  ) throws -> (RunJournal, [Int: [ResultRow]]) {
    var facts = environment.map { (name: $0.key, value: $0.value) }
    facts.append(("backends", competitors.map(\.label).joined(separator: ",")))
    facts.append(("training", plan.networks.map(\.name).joined(separator: ",")))
    facts.append(("data", settings.distribution.rawValue))
    facts.append(("plan file", command.planFile.plan ?? "none"))
    let identity = RunJournal.Identity(facts: facts, items: items)
    if let resumed = command.measurement.resume {
      let (journal, done) = try RunJournal.resume(in: resumed, identity: identity)
      Terminal.warn("note: \(done.count) of \(items.count) items are there already")
      return (journal, done)
    }
    if RunJournal.exists(in: folder) {
      Terminal.warn(
        "note: \(folder) holds an unfinished run, which this one replaces (--resume would go on with it)")
    }
    return (try RunJournal(creating: folder, identity: identity), [:])
  }

  private static func text(_ item: RunItem, _ condition: RunCondition) -> String {
    let problem = item.problem
    return [
      item.suite, problem.problem.description, problem.name, "times \(problem.multiplicity)",
      item.pass.rawValue, item.format.rawValue, item.filterState.rawValue, condition.text,
    ].joined(separator: ", ")
  }

  /// What is to be known about the run besides its tables, on standard error.
  static func printNotes(_ report: RunReport, verbose: Bool) {
    if report.hasTimes, let reasons = report.noise?.reasons, !reasons.isEmpty {
      Terminal.warn("note: a noisy machine: \(reasons.joined(separator: "; "))")
    }
    guard verbose else { return }
    if let noise = report.noise { Terminal.warn("noise: \(noise.summary)") }
    if let ledger = report.ledger { Terminal.warn("seconds: \(RunReport.seconds(ledger))") }
  }

  private var environment: [(key: String, value: String)] {
    let machine = MachineDescription()
    var facts: [(key: String, value: String)] = [
      (
        "CPU",
        "\(machine.cpu), \(machine.physicalCores.map { "\($0) cores, " } ?? "")\(machine.logicalCores) threads"
      ),
      ("caches", machine.caches.joined(separator: ", ")), ("memory", machine.memory),
      ("system", machine.system), ("instruction set", InstructionSet.current.rawValue),
      ("threads used", pools.map { "\($0.threads)" }.joined(separator: ", ")),
      ("vbench", "\(Vbench.version), commit \(machine.commit ?? "unknown"), \(machine.configuration)"),
      ("Swift", machine.swift), ("baseline", settings.baseline), ("seed", "\(settings.seed)"),
      ("precision", String(format: "%.3g %%", settings.sampling.precision * 100)),
      ("budget", String(format: "%.3g s per item", settings.sampling.budgetSeconds)),
    ]
    for library in BackendRegistry.libraries { facts.append((library.name, library.version)) }
    return facts.filter { !$0.value.isEmpty }
  }

  private static func quoted(_ text: String) -> String {
    let plain = text.allSatisfy { $0.isLetter || $0.isNumber || "-_=.,:/+".contains($0) }
    return plain && !text.isEmpty ? text : "'" + text.replacingOccurrences(of: "'", with: "'\\''") + "'"
  }

  /// The tables for standard output.
  static func summary(_ report: RunReport) -> String {
    var table = TextTable(
      [
        "layer", "pass", "backend", "verdict", "samples", "ms", "GFLOP/s", "peak %", "error", "speed-up", "",
        "time/best", "",
      ],
      rightAligned: [4, 5, 6, 7, 8, 9, 11])
    for row in report.rows {
      let layer = row.name.isEmpty ? row.problem : "\(row.suite) \(row.name)"
      let pass = ([row.pass.rawValue] + report.conditions(row)).joined(separator: ", ")
      table.add([
        layer, pass, row.backend, row.verification.verdict.rawValue,
        row.seconds.isEmpty ? "" : "\(row.seconds.count)", RunReport.short(row.medianMilliseconds),
        RunReport.short(row.gflopsEffective), RunReport.short(row.peakPercent), row.verification.errorText,
        RunReport.speedup(row.speedup), row.speedup?.verdict.rawValue ?? "", RunReport.timeToBest(row.best),
        row.best?.verdict.rawValue ?? "",
      ])
    }
    var text = report.rows.isEmpty ? "" : table.text + "\n"
    if !report.training.isEmpty {
      var training = TextTable(
        ["network", "backend", "steps", "step ms", "images/s", "loss", "trajectory error", "speed-up", ""],
        rightAligned: [2, 3, 4, 6, 7])
      for row in report.training {
        let seconds = zip(zip(row.forward, row.backward), row.optimizer).map { $0.0 + $0.1 + $1 }
        let median = Statistics.median(seconds)
        training.add([
          row.network, row.backend, "\(row.steps)", RunReport.short(median * 1e3),
          RunReport.short(Double(row.batch) / median),
          row.problem.isEmpty && row.declined.isEmpty
            ? "\(RunReport.short(row.losses.first)) → \(RunReport.short(row.losses.last))"
            : row.problem + row.declined,
          RunReport.short(row.trajectoryError), RunReport.speedup(row.speedup),
          row.speedup?.verdict.rawValue ?? "",
        ])
      }
      text += "\n" + training.text + "\n"
    }
    for row in report.rows where [.failed, .mistrusted].contains(row.verification.verdict) {
      text += "\(row.verification.verdict.rawValue): \(row.verification.reason)\n  \(row.repro)\n"
    }
    return text
  }
}
