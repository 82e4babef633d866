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
    abstract: "Measures every engine and variant on layers and writes a plan that auto follows.",
    discussion: """
      Each candidate is verified before it is timed; of those within 2 % of the fastest the most accurate one is taken. A plan
      holds for this processor (down to its stepping), instruction set and number of threads, and for the problems at their
      batch, in their format and filter state; several numbers of threads make a plan each; an existing file keeps the choices of other machines, and those of this one
      made under the same limits, cache state and core of OpenBLAS. Where a run does not follow a plan, it says so.

      EXAMPLES
        vbench tune resnet50 -o plan.json
        vbench tune model.onnx conv2d:n1c64h56w56k64r3s3p1 --threads 1,2 -o plan.json
        vbench tune resnet50 --batch 1 --max-error 1e-4 --workspace 16MiB -o plan.json
        vbench run resnet50 --backends auto,im2col --plan plan.json
        vbench tune --network resnet18 -o plan.json        and then:
        vbench train resnet18 --backend auto --plan plan.json
      """)

  @OptionGroup var selection: ProblemOptions

  @Option(
    name: [.customShort("o"), .long],
    help: ArgumentHelp("The plan file; needed unless --list is given.", valueName: "file"),
    completion: .file(extensions: ["json"]))
  var output: String?

  @Option(
    help: ArgumentHelp(
      "Largest tolerable error, relative to the results' rms: a fraction below 1 as in 1e-4, or a percentage as in 0.01%; any if left out.",
      valueName: "percentage"))
  var maxError: String?

  @Option(
    help: ArgumentHelp(
      "Candidates, all engines but auto with all; engines and variants of ours if left out.",
      valueName: "list"), completion: .custom(Completions.engines))
  var backends: String?

  @OptionGroup var layerOptions: LayerOptions

  @Option(
    help: ArgumentHelp(
      "Threads of the worker pool; several are tuned one after the other, as in 1,2; VBENCH_THREADS or one per processor if left out.",
      valueName: "list"))
  var threads: String?

  @OptionGroup var measurement: MeasurementOptions

  @OptionGroup var verification: VerificationOptions

  @OptionGroup var openBLAS: OpenBLASOption
  @OptionGroup var profile: ProfileOption

  func run() throws {
    if let error = InstructionSet.environmentError { throw error }
    let maxError = try maxErrorFraction()
    if measurement.visits != nil {
      throw UsageError("tune measures every problem once: --visits is for vbench run")
    }
    let conditions = try measurement.conditions(threads: threads)
    let limits = Set(conditions.map(\.workspaceLimit)), caches = Set(conditions.map(\.cache))
    guard limits.count == 1, caches.count == 1 else {
      throw UsageError("a plan is tuned under one condition: --cache and --workspace take one value each")
    }
    let candidates = try candidates()
    var settings = RunSettings(
      pool: conditions[0].pool, baseline: candidates[0].label, seed: layerOptions.seed,
      distribution: try verification.distribution())
    settings.sampling.budgetSeconds = try measurement.budgetSeconds() ?? 1
    settings.sampling.precision = try measurement.precisionFraction()
    settings.sampling.leastRounds = try measurement.leastRounds()
    let items = try items()
    if items.isEmpty {
      throw UsageError("nothing to tune is named; as in vbench tune resnet50 -o plan.json")
    }
    if let output {
      try AtomicFile.checkCreatable(output)
      _ = try storedPlan(output)
    }
    if output == nil && !selection.list {
      throw UsageError("--output FILE is needed, the plan; as in -o plan.json")
    }
    try profile.check()
    try openBLAS.apply(isQuiet: selection.list)
    guard let output, !selection.list else {
      let listing = ProblemListing(items, engines: candidates, conditions: conditions)
      return StandardOutput.write(listing.text)
    }
    if BuildConfiguration.isDebug {
      throw UsageError("a debug build refuses to time: tune needs a release build")
    }
    Interruption.catchSignals()
    // Before the file is read: what another process adds to it meanwhile would be lost.
    let claim = try AtomicFile.claim(output)
    defer { claim.end() }
    var file = try storedPlan(output) ?? ConvPlanFile()
    try profile.apply(to: candidates)
    settings.prices = MachineProfile.current.prices
    for condition in conditions where !Interruption.isRequested {
      let settings = condition.applied(to: settings)
      var plan = ConvPlanFile.MachinePlan(
        machine: .current(threads: condition.pool.threads),
        conditions: ConvPlanFile.Conditions(
          maxError: maxError, workspaceLimit: settings.workspaceLimit, cacheState: settings.cache.rawValue,
          openBLASCore: BackendRegistry.openBLASCore))
      try measure(items, candidates, settings, maxError, into: &plan)
      // What was measured before Ctrl-C is whole and worth keeping.
      file.merge(plan)
      if plan.choices.isEmpty { continue }
      try file.write(to: output)
      StandardOutput.line("\(output): \(plan.choices.count) choices for \(plan.machine)")
    }
    if Interruption.isRequested { throw InterruptedError(description: "") }
  }

  /// The plan that a file holds; nil where there is none.
  private func storedPlan(_ path: String) throws -> ConvPlanFile? {
    FileManager.default.fileExists(atPath: path) ? try ConvPlanFile(path: path) : nil
  }

  /// The fraction that `--max-error` means; nil where it is left out.
  func maxErrorFraction() throws -> Double? {
    guard let maxError else { return nil }
    let fraction = try Percentage.parse(maxError, option: "max-error")
    guard fraction > 0 else { throw UsageError("--max-error is \(maxError), it must be above 0") }
    return fraction
  }

  /// What is tuned.
  func items() throws -> [RunItem] {
    try layerOptions.items(selection.layers(others: selection.convolutionsOfNetworks()), of: selection)
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
    _ items: [RunItem], _ candidates: [Competitor], _ settings: RunSettings, _ maxError: Double?,
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
