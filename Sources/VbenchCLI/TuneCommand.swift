import ArgumentParser
import ConvBackends
import ConvCore
import ConvHarness
import ConvNN
import Foundation

/// `vbench tune`: measures and verifies every candidate, and writes the best ones down.
struct TuneCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tune",
    abstract: "Measures every engine and variant on a suite and writes a plan that auto follows.",
    discussion: """
      Each candidate is verified before it is timed; of those within 2 % of the fastest the most accurate one is taken. A plan
      holds for this processor (down to its stepping), instruction set and number of threads, and for the problems at their
      batch, in their format and filter state; an existing file keeps the choices of other machines, and those of this one
      made under the same limits, cache state and core of OpenBLAS. Where a run does not follow a plan, it says so.

      EXAMPLES
        vbench tune resnet50 -o plan.json
        vbench tune resnet50 --batch 1 --max-error 1e-4 --workspace 16MiB -o plan.json
        vbench run --suite resnet50 --backends auto,im2col --plan plan.json
        vbench tune --network resnet18 -o plan.json        and then:
        vbench train resnet18 --backend auto --plan plan.json
      """)

  @Argument(
    help: ArgumentHelp("Suites (`vbench list suites`) or files of problem lines.", valueName: "suite"))
  var suites: [String] = []

  @OptionGroup var selection: ProblemOptions

  @Option(
    help: ArgumentHelp(
      "The convolutions in training steps of networks (`vbench list networks`), as in seed-cnn,resnet18; repeatable.",
      valueName: "list"))
  var network: [String] = []

  @Option(name: [.customShort("o"), .long], help: ArgumentHelp("The plan file.", valueName: "file"))
  var output: String

  @Option(
    help: ArgumentHelp("Largest tolerable error, relative to the results' rms, as in 1e-4.", valueName: "E"))
  var maxError: Double?

  @Option(
    help: ArgumentHelp(
      "Candidates, all engines but auto with all; engines and variants of ours if left out.",
      valueName: "list"))
  var backends: String?

  @OptionGroup var layerOptions: LayerOptions

  @Option(help: "Threads of the worker pool.")
  var threads: Int?

  @OptionGroup var measurement: MeasurementOptions

  @OptionGroup var openBLAS: OpenBLASOption

  func run() throws {
    if let error = InstructionSet.environmentError { throw error }
    if let maxError, !(maxError > 0) { throw UsageError("--max-error is \(maxError), it must be above 0") }
    let budget = measurement.budget ?? 1
    guard budget > 0, budget <= 3600 else {
      throw UsageError("--budget is \(budget), more than 0 and at most 3600 seconds are possible")
    }
    if measurement.visits != nil {
      throw UsageError("tune measures every problem once: --visits is for vbench run")
    }
    let conditions = try measurement.conditions(threads: threads.map(String.init))
    guard conditions.count == 1 else {
      throw UsageError("a plan is tuned under one condition: --cache and --workspace take one value each")
    }
    let pool = conditions[0].pool
    let items = try items()
    if items.isEmpty {
      throw UsageError("no suite or network is named; as in vbench tune resnet50 -o plan.json")
    }
    if selection.list { return StandardOutput.write(ProblemOptions.listing(items)) }
    let candidates = try candidates()
    var file = ConvPlanFile()
    if FileManager.default.fileExists(atPath: output) { file = try ConvPlanFile(path: output) }
    var settings = conditions[0].applied(
      to: RunSettings(pool: pool, baseline: candidates[0].label, seed: layerOptions.seed))
    settings.sampling.budgetSeconds = budget
    settings.prices = MachineProfile.current.prices
    settings.sampling.precision = try measurement.precisionFraction()
    settings.sampling.leastRounds = try measurement.leastRounds()
    if BuildConfiguration.isDebug {
      throw UsageError("a debug build refuses to time: tune needs a release build")
    }
    try AtomicFile.checkCreatable(output)
    try openBLAS.apply()
    Interruption.catchSignals()
    var plan = ConvPlanFile.MachinePlan(
      machine: .current(threads: pool.threads),
      conditions: ConvPlanFile.Conditions(
        maxError: maxError, workspaceLimit: settings.workspaceLimit, cacheState: settings.cache.rawValue,
        openBLASCore: BackendRegistry.openBLASCore))
    try measure(items, candidates, settings, into: &plan)
    // What was measured before Ctrl-C is whole and worth keeping.
    file.merge(plan)
    if !plan.choices.isEmpty {
      try file.write(to: output)
      StandardOutput.write("\(output): \(plan.choices.count) choices for \(plan.machine)")
    }
    if Interruption.isRequested { throw InterruptedError(description: "") }
  }

  /// What is tuned.
  func items() throws -> [RunItem] {
    var selection = selection
    selection.suite += suites
    let trained = try network.flatMap(NameList.split).map(ImageNetwork.known).flatMap { network in
      try NetworkConvolutions(
        of: network, batch: selection.batch ?? network.batch, on: Competitor(.auto),
        threads: WorkerPool.shared.threads
      ).problems.map { (suite: network.name, problem: $0) }
    }
    return try layerOptions.items(selection.layers(others: trained), of: selection)
  }

  /// What competes; auto is none of them, since it chooses among engines.
  func candidates() throws -> [Competitor] {
    guard let backends else {
      return AutoBackend.tuningCandidates.map { Competitor($0.backend, variant: $0.variant) }
    }
    for name in NameList.split(backends) where name != "all" {
      if try NameList.competitor(name).backend is AutoBackend {
        throw UsageError("--backends names auto, which is no engine: a plan says which one it takes")
      }
    }
    return try NameList.competitors(backends).filter { !($0.backend is AutoBackend) }
  }

  private func measure(
    _ items: [RunItem], _ candidates: [Competitor], _ settings: RunSettings,
    into plan: inout ConvPlanFile.MachinePlan
  ) throws {
    let start = ContinuousClock.now
    Terminal.warn("cache state: \(RunFacts.cache([settings.cache]).value)")
    var run = LayerRun(settings: settings, limits: try MachineLimits.measure(pool: settings.pool))
    var table = TextTable(
      ["layer", "pass", "choice", "ms", "error / rms", "next", "ms"], rightAligned: [3, 4, 6])
    var notes: [String] = []
    var progress = ProgressBar(
      costs: items.map {
        StepForecast.cost(
          of: $0.problem.problem, engines: candidates.count, seconds: settings.sampling.budgetSeconds)
      })
    for (index, item) in items.enumerated() {
      if Interruption.isRequested { break }
      guard let key = ConvPlanFile.Key(item.operation, item.filterState) else { continue }
      // Equal layers of several suites are measured once.
      if plan.choices[key] != nil { continue }
      let layer = item.problem.name.isEmpty ? item.problem.problem.description : item.problem.name
      progress.update(index, "\(item.suite) \(layer) \(item.pass.rawValue)")
      let rows = try run.rows(for: item, competitors: candidates, shouldStop: { Interruption.isRequested })
      if Interruption.isRequested { break }
      guard let tuned = TunedChoice(rows, of: candidates, maxError: maxError) else {
        notes.append("no candidate for \(layer), \(item.pass.rawValue):")
        for row in rows {
          notes.append("  \(row.backend): \(Tuning.rejection(of: row, maxError: maxError) ?? "")")
        }
        continue
      }
      plan.choices[key] = tuned.choice
      let (best, next) = (tuned.best, tuned.next)
      table.add([
        layer, item.pass.rawValue, best.backend, RunReport.short(best.medianMilliseconds),
        String(format: "%.1e", best.relativeError), next?.backend ?? "",
        RunReport.short(next?.medianMilliseconds),
      ])
    }
    progress.clear()
    if measurement.verbose {
      var ledger = run.ledger
      ledger.total = (ContinuousClock.now - start).seconds
      Terminal.warn("seconds: \(RunReport.seconds(ledger))")
    }
    StandardOutput.write(table.text)
    for note in notes { Terminal.warn(note) }
  }
}
