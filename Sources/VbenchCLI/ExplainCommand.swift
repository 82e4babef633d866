import ArgumentParser
import ConvBackends
import ConvCore
import ConvHarness
import Foundation

/// `vbench explain`: what each engine would do with a problem, and why `auto` chooses as it does.
struct ExplainCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "explain",
    abstract:
      "Shows what each engine would do with a problem: variant, work, memory, predicted time and error.",
    discussion: """
      Nothing is executed unless --measure or --audit is given. Predicted times are those of one core, by the prices of the
      machine's profile (`vbench calibrate`), which auto chooses by; what auto leaves out for another reason than time is said
      below the table, as is how large operands may be before an engine's sums and transforms overflow. An error bound is the rms of the derived bounds relative to the results' rms, which errors stay well
      below. The audit chooses the best engine of a row by half of the rounds and compares auto with it in the other half.

      EXAMPLES
        vbench explain conv2d:n1c64h56w56k64r3s3p1
        vbench explain conv2d:n1c64h56w56k64r3s3p1 --passes forward --format nhwc --measure
        vbench explain resnet50 --audit -o out            where auto was not the best, measured
      """)

  @OptionGroup var selection: ProblemOptions

  @Option(
    help: ArgumentHelp(
      "Engines, as in winograd[tile=2x2],im2col, or all; auto's candidates if left out.", valueName: "list"),
    completion: .custom(Completions.engines))
  var backends: String?

  @OptionGroup var layerOptions: LayerOptions

  @Option(
    help: ArgumentHelp(
      "Threads of the worker pool; predictions are for one. (default: 1, with --plan as it was tuned)",
      valueName: "count"))
  var threads: Int?

  @Option(
    help: ArgumentHelp(
      "Largest workspace, in bytes or as in 64MiB; engines obey or decline.", valueName: "size"))
  var workspace = "64MiB"

  @Flag(help: "Verifies and times every engine, and shows the truth beside the predictions.")
  var measure = false

  @Flag(
    help: "Measures all problems and lists only where auto's choice was more than 10 % slower than the best.")
  var audit = false

  @Option(
    name: [.customShort("o"), .long],
    help: ArgumentHelp("Folder of the report of --audit; none is written if left out.", valueName: "dir"),
    completion: .directory)
  var output: String?

  @Option(
    help: ArgumentHelp(
      "Seconds of sampling per problem with --measure and --audit, once 15 rounds are done.",
      valueName: "seconds"))
  var budget = 1.0

  @Option(
    help: ArgumentHelp("Rounds at least with --measure and --audit; 15 if left out.", valueName: "count"))
  var rounds: Int?

  @OptionGroup var planFile: PlanFileOption
  @OptionGroup var openBLAS: OpenBLASOption
  @OptionGroup var profile: ProfileOption

  func run() throws {
    if let error = InstructionSet.environmentError { throw error }
    let followed = try planFile.read()
    let pool = try NameList.pool(threads: threads ?? followed?.threads(standard: [1])[0] ?? 1)
    let named = try competitors()
    let competitors = try followed?.apply(to: named, threads: [pool.threads]) ?? named
    if selection.isEmpty {
      throw UsageError("no problem is named; as in vbench explain conv2d:n1c64h56w56k64r3s3p1")
    }
    let layers = try selection.layers(others: selection.convolutionsOfNetworks())
    let items = try layerOptions.items(layers, of: selection)
    var settings = RunSettings(pool: pool, baseline: "auto", seed: layerOptions.seed)
    settings.sampling.budgetSeconds = try MeasurementOptions.seconds(budget, option: "budget", most: 3600)
    if let rounds {
      settings.sampling.leastRounds = try MeasurementOptions.count(rounds, option: "rounds", 2...100_000)
    }
    settings.workspaceLimit = try MeasurementOptions.byteCount(workspace)
    let condition = RunCondition(
      pool: pool, cache: settings.cache, workspaceLimit: settings.workspaceLimit)
    if audit && !competitors.contains(where: { $0.backend is AutoBackend }) {
      throw UsageError("--audit looks at auto's choices: name auto among --backends")
    }
    if let output {
      if !audit { throw UsageError("--output is the folder of the report of --audit") }
      try AtomicFolder.checkCreatable(output)
    }
    try profile.check()
    try openBLAS.apply(isQuiet: selection.list)
    if selection.list {
      let listing = ProblemListing(items, engines: competitors, conditions: [condition])
      return StandardOutput.write(listing.text)
    }
    if (measure || audit) && BuildConfiguration.isDebug {
      throw UsageError("a debug build refuses to time: --measure and --audit need a release build")
    }
    Interruption.catchSignals()
    let claim = try output.map { try AtomicFolder.claim($0, files: AuditReport.files) }
    defer { claim?.end() }
    try profile.apply(to: competitors)
    settings.prices = MachineProfile.current.prices
    let planReport = followed?.report(on: [FollowedPlan.Part(items, [condition], of: competitors)])
    planReport?.show()
    var limits: MachineLimits?
    if measure || audit {
      Terminal.warn("cache state: \(RunFacts.cache([settings.cache]).value)")
      limits = try MachineLimits.measure(pool: pool)
    }
    var run = LayerRun(settings: settings, limits: limits)
    if audit { return try audit(items, competitors, planReport, &run) }
    for item in items {
      if Interruption.isRequested { throw InterruptedError(description: "") }
      try explain(item, competitors, &run)
    }
  }

  /// `auto` first, then what it chooses from.
  private func competitors() throws -> [Competitor] {
    if let backends { return try NameList.competitors(backends) }
    return [Competitor(.auto)] + AutoBackend().candidates.map { Competitor($0.backend, variant: $0.variant) }
  }

  private func explain(_ item: RunItem, _ competitors: [Competitor], _ run: inout LayerRun) throws {
    let explanations = try Explanation.all(of: item, by: competitors, settings: run.settings)
    var measured: [ResultRow] = []
    if measure {
      measured = try run.rows(for: item, competitors: competitors, shouldStop: { Interruption.isRequested })
    }
    let name = item.problem.name.isEmpty ? "" : "\(item.problem.name): "
    let flops = RunReport.short(item.problem.problem.directFLOPs * 1e-9)
    StandardOutput.line(
      "\(name)\(item.problem.problem), \(item.pass.rawValue), \(item.format.rawValue), "
        + "\(item.filterState.rawValue): \(flops) GFLOP by the direct algorithm")
    StandardOutput.write(ExplainCommand.table(explanations, measured).text)
    for line in ExplainCommand.choice(item, competitors, run.settings, explanations, measured) {
      StandardOutput.line(line)
    }
    if let reason = Explanation.leavesOutBounds(of: item.problem.problem) { StandardOutput.line(reason) }
    for line in ExplainCommand.finiteRanges(explanations, item.pass) { StandardOutput.line(line) }
    for explanation in explanations {
      if let reason = explanation.reason { StandardOutput.line("\(explanation.label) declines: \(reason)") }
    }
    StandardOutput.write("")
  }

  /// Up to which operands each engine's results are finite, whatever their signs; engines with the same limits share a line.
  static func finiteRanges(_ explanations: [Explanation], _ pass: ConvPass) -> [String] {
    var lines: [(range: FiniteRange, labels: [String])] = []
    for explanation in explanations {
      guard let range = explanation.finiteRange else { continue }
      if let known = lines.firstIndex(where: { $0.range == range }) {
        lines[known].labels.append(explanation.label)
      } else {
        lines.append((range, [explanation.label]))
      }
    }
    return lines.map { "finite for \($0.range.text(pass)): " + $0.labels.joined(separator: ", ") }
  }

  private static func table(_ explanations: [Explanation], _ measured: [ResultRow]) -> TextTable {
    var head = ["engine", "does", "predicted ms", "workspace", "prepared", "FLOPs of direct", "error bound"]
    if !measured.isEmpty { head += ["ms", "error / rms", "verdict"] }
    var table = TextTable(head, rightAligned: [2, 3, 4, 5, 6, 7, 8])
    for explanation in explanations where explanation.reason == nil {
      var does = explanation.variant
      if explanation.executedBy.contains(" via ") {
        does += " via " + explanation.executedBy.components(separatedBy: " via ").dropFirst().joined()
      }
      var cells = [
        explanation.label, does, RunReport.short(explanation.predictedMilliseconds),
        ByteCount.text(explanation.workspaceBytes), ByteCount.text(explanation.preparedBytes),
        RunReport.short(explanation.executedFLOPs / explanation.directFLOPs),
        explanation.relativeBound.isFinite ? String(format: "%.1e", explanation.relativeBound) : "",
      ]
      if let row = measured.first(where: { $0.backend == explanation.label }) {
        cells += [
          RunReport.short(row.medianMilliseconds),
          row.relativeError.isFinite ? String(format: "%.1e", row.relativeError) : "",
          row.verification.verdict.rawValue,
        ]
      } else if !measured.isEmpty {
        cells += ["", "", ""]
      }
      table.add(cells)
    }
    return table
  }

  /// Why `auto` chose what it chose, what it left out for other reasons than time, and whether that was right.
  private static func choice(
    _ item: RunItem, _ competitors: [Competitor], _ settings: RunSettings, _ explanations: [Explanation],
    _ measured: [ResultRow]
  ) -> [String] {
    guard let competitor = competitors.first(where: { $0.backend is AutoBackend }),
      let auto = competitor.backend as? AutoBackend,
      let own = explanations.first(where: { $0.label == competitor.label }), own.reason == nil
    else { return [] }
    let options = PlanOptions(
      threads: settings.pool.threads, workspaceLimit: settings.workspaceLimit, filterState: item.filterState)
    var text = "auto takes \(own.variant)"
    var lines: [String] = []
    if let planned = auto.plannedCandidate(for: item.operation, options) {
      text += ": the plan file says \(planned)"
    } else {
      var predictions: [(candidate: AutoBackend.Candidate, nanoseconds: Double)] = []
      for (candidate, consideration) in auto.considerations(item.operation, options) {
        switch consideration {
        case .predicted(let nanoseconds): predictions.append((candidate, nanoseconds))
        case .leftOut(let reason): lines.append("auto leaves out \(candidate): \(reason)")
        case .declined: break
        }
      }
      predictions.sort { $0.nanoseconds < $1.nanoseconds }
      let texts = predictions.map { "\($0.candidate) \(RunReport.short($0.nanoseconds * 1e-6))" }
      text += ": predicted ms of one core: " + texts.joined(separator: ", ")
    }
    let timed = measured.filter { $0.verification.verdict == .passed && $0.medianMilliseconds.isFinite }
    if let own = timed.first(where: { $0.backend == competitor.label }),
      let best = timed.filter({ $0.role == .engine })
        .min(by: { $0.medianMilliseconds < $1.medianMilliseconds })
    {
      text +=
        "; measured \(RunReport.short(own.medianMilliseconds)) ms, the fastest engine was \(best.backend) with "
        + "\(RunReport.short(best.medianMilliseconds)) ms"
    }
    return [text] + lines
  }

  private func audit(
    _ items: [RunItem], _ competitors: [Competitor], _ plan: FollowedPlan.Report?, _ run: inout LayerRun
  ) throws {
    guard let auto = competitors.first(where: { $0.backend is AutoBackend }) else {
      preconditionFailure("an audit without auto")
    }
    var rows: [ResultRow] = []
    var noise = NoiseWatch()
    noise.look()
    var progress = ProgressBar(
      costs: items.map {
        StepForecast.cost(
          of: $0.problem.problem, engines: competitors.count, seconds: run.settings.sampling.budgetSeconds)
      })
    for (index, item) in items.enumerated() {
      if Interruption.isRequested { break }
      progress.update(index, "\(item.suite) \(item.problem.name) \(item.pass.rawValue)")
      let found = try run.rows(
        for: item, competitors: competitors, shouldStop: { Interruption.isRequested })
      noise.look()
      // Half an item says nothing.
      if Interruption.isRequested { break }
      if let peak = run.visitPeak { noise.add(peak: peak, threads: run.settings.pool.threads) }
      rows += found
    }
    progress.clear()
    var report = AuditReport(
      environment: RunFacts.machine(threads: [run.settings.pool.threads])
        + [RunFacts.cache([run.settings.cache]), ("seed", "\(layerOptions.seed)")]
        + (plan.map { [("plan file", $0.fact)] } ?? []) + RunFacts.libraries,
      command: RunFacts.command, date: ISO8601DateFormatter().string(from: Date()),
      audit: CostModelAudit(rows: rows, automatic: auto.label))
    report.warnings = BackendRegistry.libraryWarnings + (plan?.warnings ?? [])
    report.noise = noise.record
    report.isPartial = Interruption.isRequested
    StandardOutput.line(report.sentence)
    var parts = TextTable(AuditReport.partHeader, rightAligned: [2, 3, 4, 5])
    for row in report.parts { parts.add(row) }
    StandardOutput.write(parts.text)
    if !report.misses.isEmpty {
      var table = TextTable(AuditReport.missHeader, rightAligned: [3, 4, 6, 7, 8])
      for row in report.misses { table.add(row) }
      StandardOutput.write("\n" + table.text)
      for miss in report.audit.misses.prefix(5) {
        let row = miss.chosen
        StandardOutput.line(
          "vbench explain \(row.problem) --passes \(row.pass.rawValue) --format \(row.format.rawValue) "
            + "--filter-state \(row.filterState.rawValue) --measure"
        )
      }
    }
    if let output {
      try report.write(to: output)
      StandardOutput.line("report: \(output)/audit.md")
    }
    if Interruption.isRequested { throw InterruptedError(description: "") }
  }
}
