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
  /// Runs the layers of networks that an engine declines.
  var fallback: Competitor?
  /// How far auto follows a plan file; nil where there is none.
  var planReport: FollowedPlan.Report?

  /// Measures everything and writes the report into `folder`; Ctrl-C ends it early, with a partial report and a journal that
  /// `--resume` goes on with.
  func run(folder: String) throws -> RunReport {
    let start = ContinuousClock.now
    if BuildConfiguration.isDebug { Terminal.warn("note: a debug build verifies, but refuses to time") }
    let jobs = plan.items.flatMap { item in conditions.map { (item: item, condition: $0) } }
    let environment = environment
    if !BuildConfiguration.isDebug {
      for fact in environment where ["cache state", "OpenBLAS"].contains(fact.key) {
        Terminal.warn("\(fact.key): \(fact.value)")
      }
    }
    let (journal, done) = try journal(
      in: folder, environment, jobs.map { RunSession.text($0.item, $0.condition) })
    var noise = NoiseWatch()
    noise.look()
    let limits = try BuildConfiguration.isDebug ? [] : pools.map { try MachineLimits.measure(pool: $0) }
    var report = RunReport(
      environment: environment,
      command: RunFacts.command,
      date: ISO8601DateFormatter().string(from: Date()), peak: limits.map(\.fmaPeak).max() ?? 0,
      hasTimes: !BuildConfiguration.isDebug)
    report.limits = limits
    report.warnings = BackendRegistry.libraryWarnings + (planReport?.warnings ?? [])
    try journal.append(head: report)
    var ledger = TimeLedger()
    ledger.probes = (ContinuousClock.now - start).seconds
    try measure(jobs, done, journal, limits, &noise, &ledger, &report)
    let trainingStart = ContinuousClock.now
    if plan.trains && !Interruption.isRequested { try train(&report, &noise) }
    ledger.training = (ContinuousClock.now - trainingStart).seconds
    noise.look()
    report.isPartial = Interruption.isRequested
    report.noise = noise.record
    noise.settle(&report.limits)
    if let peak = report.limits.map(\.fmaPeak).max() { report.peak = peak }
    report.since = command.earlier.changes(
      in: report, replacing: folder, verbose: command.measurement.verbose)
    ledger.total = (ContinuousClock.now - start).seconds
    report.ledger = ledger
    try report.write(to: folder)
    journal.finish(isWhole: !report.isPartial)
    return report
  }

  /// All items under all conditions; those that an earlier run has finished are taken over.
  private func measure(
    _ jobs: [(item: RunItem, condition: RunCondition)], _ done: [Int: (visits: Int, rows: [ResultRow])],
    _ journal: RunJournal,
    _ limits: [MachineLimits], _ noise: inout NoiseWatch, _ ledger: inout TimeLedger,
    _ report: inout RunReport
  ) throws {
    var layers = LayerRun(settings: settings)
    var rows = done.mapValues(\.rows)
    let skeleton = skeleton(jobs)
    var table = ResultTable(skeleton, layout: command.table, width: Terminal.outputWidth)
    var preliminary = Preliminary(skeleton, layout: command.table, plan: plan)
    var shown: Set<Int> = []
    func show(_ index: Int) {
      guard let found = rows[index], !found.isEmpty, shown.insert(index).inserted else { return }
      StandardOutput.write(table.lines(found))
    }
    for index in jobs.indices where done[index]?.visits == plan.visits { show(index) }
    // What the beginning of this run saw of the machine's speed counts too.
    for (index, beginning) in done {
      let peak = beginning.rows.map(\.peakGflops).first(where: \.isFinite)
      if let peak { noise.add(peak: peak, threads: jobs[index].condition.pool.threads) }
    }
    let left = jobs.count * plan.visits - done.values.reduce(0) { $0 + $1.visits }
    var progress = ProgressBar(total: jobs.count * plan.visits, skipped: jobs.count * plan.visits - left)
    let start = ContinuousClock.now
    var measured = 0
    var forecast = forecast(jobs, done)
    for visit in (0..<plan.visits).map({ Visit(index: $0, of: plan.visits) }) {
      for (index, (item, condition)) in jobs.enumerated() where visit.index >= done[index]?.visits ?? 0 {
        if Interruption.isRequested { break }
        let name = item.problem.name.isEmpty ? item.problem.problem.description : item.problem.name
        layers.settings = condition.applied(to: settings)
        layers.settings.sampling.budgetSeconds = plan.secondsForItem(
          measured, of: left, elapsed: (ContinuousClock.now - start).seconds)
        if let limit = limits.first(where: { $0.threads == condition.pool.threads }) { layers.limits = limit }
        progress.update(
          jobs.count * plan.visits - left + measured, secondsLeft: forecast.secondsLeft(),
          "\(item.suite) \(name) \(item.pass.rawValue)")
        let (begun, checkedBefore) = (
          ContinuousClock.now, layers.ledger.verification + layers.ledger.planning
        )
        let found = try layers.rows(
          for: item, competitors: competitors, times: !BuildConfiguration.isDebug, visit: visit,
          earlier: rows[index], shouldStop: { Interruption.isRequested })
        rows[index] = found
        // What Ctrl-C cut short is measured again.
        if !Interruption.isRequested { try journal.append(item: index, visit: visit.index, rows: found) }
        measured += 1
        let checking = layers.ledger.verification + layers.ledger.planning - checkedBefore
        forecast.finish(index, timing: (ContinuousClock.now - begun).seconds - checking, checking: checking)
        noise.look()
        if let peak = layers.visitPeak { noise.add(peak: peak, threads: condition.pool.threads) }
        if visit.isLast {
          progress.clear()
          show(index)
        } else if visit.index == 0 && !Interruption.isRequested {
          progress.clear()
          preliminary.show(found)
        }
      }
    }
    progress.clear()
    // What an interrupted run has not come back to.
    for index in jobs.indices { show(index) }
    report.rows = jobs.indices.flatMap { rows[$0] ?? [] }
    ledger.verification = layers.ledger.verification
    ledger.planning = layers.ledger.planning
    ledger.kernels = layers.ledger.kernels
    ledger.waiting = layers.ledger.waiting
    ledger.probes += layers.ledger.probes
  }

  /// How long the visits take: timing by the budget, checking by the operations of the direct algorithm.
  private func forecast(
    _ jobs: [(item: RunItem, condition: RunCondition)], _ done: [Int: (visits: Int, rows: [ResultRow])]
  ) -> VisitForecast {
    var forecast = VisitForecast(
      jobs.map { item, _ in
        // What takes no time to compute has to be planned and looked at all the same.
        let work = item.problem.problem.directFLOPs + 1e7
        // The least rounds of large layers take longer than the budget.
        return VisitForecast.Item(timing: max(plan.secondsPerItem, work / 1e10), checking: work)
      }, visits: plan.visits)
    for (index, beginning) in done { forecast.skip(index, visits: beginning.visits) }
    return forecast
  }

  /// A report whose rows have their keys only.
  private func skeleton(_ jobs: [(item: RunItem, condition: RunCondition)]) -> RunReport {
    var report = RunReport(environment: [], command: "", date: "", peak: 0)
    report.rows = jobs.flatMap { item, condition in
      competitors.map { ResultRow(item: item, competitor: $0, settings: condition.applied(to: settings)) }
    }
    return report
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
  ) throws -> (RunJournal, [Int: (visits: Int, rows: [ResultRow])]) {
    var facts = environment.map { (name: $0.key, value: $0.value) }
    facts.append(("backends", competitors.map(\.label).joined(separator: ",")))
    facts.append(("training", plan.networks.map(\.name).joined(separator: ",")))
    facts.append(("data", settings.distribution.rawValue))
    facts.append(("visits", "\(plan.visits)"))
    facts.append(("path of the plan file", command.planFile.plan ?? "none"))
    // Journals from before there were roles have compared choosers as engines.
    let choosers = competitors.filter { $0.role == .chooser }.map(\.label)
    if !choosers.isEmpty { facts.append(("choosers", choosers.joined(separator: ","))) }
    let identity = RunJournal.Identity(facts: facts, items: items)
    if let resumed = command.resumption.resume {
      let (journal, done) = try RunJournal.resume(in: resumed, identity: identity)
      try requireOwnRows(done, in: resumed)
      let visits = plan.visits > 1 ? ", \(done.values.count { $0.visits == plan.visits }) of them whole" : ""
      Terminal.warn("note: \(done.count) of \(items.count) items are there already\(visits)")
      return (journal, done)
    }
    if RunJournal.exists(in: folder) {
      Terminal.warn(
        "note: \(folder) holds an unfinished run, which this one replaces (--resume would go on with it)")
    }
    return (try RunJournal(creating: folder, identity: identity), [:])
  }

  /// What a journal holds of this run has to be of its items, engines and visits: visits to come go on with it.
  ///
  /// - Throws: `FileError.malformed`.
  private func requireOwnRows(_ done: [Int: (visits: Int, rows: [ResultRow])], in folder: String) throws {
    let items = plan.items.flatMap { item in conditions.map { (item: item, condition: $0) } }
    for (index, found) in done.sorted(by: { $0.key < $1.key }) {
      func malformed(_ reason: String) -> FileError {
        .malformed(path: "\(folder)/\(RunJournal.name)", reason: "item \(index + 1) \(reason)")
      }
      guard found.visits <= plan.visits else {
        throw malformed("has had \(found.visits) visits, this run has \(plan.visits)")
      }
      let (item, condition) = items[index]
      let own = competitors.map {
        ResultRow(item: item, competitor: $0, settings: condition.applied(to: settings))
      }
      guard found.rows.count == own.count else {
        throw malformed("has \(found.rows.count) rows, this run has \(own.count) engines")
      }
      for (old, new) in zip(found.rows, own)
      where old.itemKey + [old.backend] != new.itemKey + [new.backend] {
        throw malformed(
          "has a row of \(old.backend) on \(old.problem), this run has \(new.backend) on \(new.problem) there"
        )
      }
    }
  }

  /// What auto is asked for: layers, and training steps.
  func plannedParts() throws -> [FollowedPlan.Part] {
    return try [FollowedPlan.Part(plan.items, conditions, of: competitors)]
      + plan.networks.map { network in
        try FollowedPlan.Part(
          training: network, batch: trainingBatch(of: network), engines: competitors, fallback: fallback,
          threads: [settings.pool.threads])
      }
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
    var facts = RunFacts.machine(threads: pools.map(\.threads))
    facts += [
      ("baseline", settings.baseline), ("seed", "\(settings.seed)"),
      ("precision", String(format: "%.3g %%", settings.sampling.precision * 100)),
      ("budget", String(format: "%.3g s per item", settings.sampling.budgetSeconds)),
      (
        "rounds",
        "\(settings.sampling.leastRounds) at least, in \(plan.visits) \(plan.visits == 1 ? "visit" : "visits")"
      ),
    ]
    if !plan.items.isEmpty { facts.append(RunFacts.cache(conditions.map(\.cache))) }
    if let planReport { facts.append(("plan file", planReport.fact)) }
    return facts + RunFacts.libraries
  }

  /// What standard output says after the table of results: training steps, how choosers did, and what is wrong.
  static func summary(_ report: RunReport, width: Int? = nil) -> String {
    var text = ""
    if !report.training.isEmpty {
      var training = TextTable(
        [
          "network", "backend", "steps", "step ms", "images/s", "loss", "trajectory error", "speed-up", "",
          "time/best", "",
        ], rightAligned: [2, 3, 4, 6, 7, 9])
      for row in report.training {
        let speed = row.speedTexts(among: report.training, baseline: report.baseline)
        let seconds = zip(zip(row.forward, row.backward), row.optimizer).map { $0.0 + $0.1 + $1 }
        let median = Statistics.median(seconds)
        training.add([
          row.network, row.backend, "\(row.steps)", RunReport.short(median * 1e3),
          RunReport.short(Double(row.batch) / median),
          row.problem.isEmpty && row.declined.isEmpty
            ? "\(RunReport.short(row.losses.first)) → \(RunReport.short(row.losses.last))"
            : row.problem.isEmpty ? "declined" : "failed",
          RunReport.short(row.trajectoryError), speed.speedup, speed.verdict, speed.timeToBest,
          speed.besideBest,
        ])
      }
      let ranks = [0, 0, 5, 0, 6, 4, 1, 0, 2, 7, 3]
      text += (report.rows.isEmpty ? "" : "\n") + training.text(width: width, ranks: ranks) + "\n"
      for row in report.training where !(row.problem + row.declined).isEmpty {
        let verb = row.problem.isEmpty ? "declined" : "failed"
        text +=
          QuotedText.visible("\(verb): \(row.backend) on \(row.network): \(row.problem)\(row.declined)")
          + "\n"
      }
    }
    text += report.chooserSentences.map { QuotedText.visible($0) + "\n" }.joined()
    for row in report.rows where [.failed, .mistrusted].contains(row.verification.verdict) {
      // Of a run that goes on they come from a file.
      text += QuotedText.visible("\(row.verification.verdictText): \(row.verification.reasonText)")
      text += "\n  \(QuotedText.visible(row.repro))\n"
    }
    if let sentence = report.correlatedSentence { text += sentence + "\n" }
    if !report.since.isEmpty { text += report.since + "\n" }
    return text
  }
}
