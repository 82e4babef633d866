import ArgumentParser
import ConvBackends
import ConvCore
import ConvHarness
import Foundation

/// `vbench tune`: measures and verifies every candidate, and writes the best ones down.
struct TuneCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tune",
    abstract: "Measures every engine and variant on a suite and writes a plan that auto follows.",
    discussion: """
      Each candidate is verified before it is timed; of those within 2 % of the fastest the most accurate one is taken. A plan
      holds for this CPU, instruction set and number of threads; an existing file keeps the choices of other machines, and
      those of this one made under the same limits.

      EXAMPLES
        vbench tune resnet50 -o plan.json
        vbench tune resnet50 --batch 1 --max-error 1e-4 --workspace 16MiB -o plan.json
        vbench run --suite resnet50 --backends auto,im2col --plan plan.json
      """)

  @Argument(
    help: ArgumentHelp("Suites (`vbench list suites`) or files of problem lines.", valueName: "suite"))
  var suites: [String] = []

  @OptionGroup var selection: ProblemOptions

  @Option(name: [.customShort("o"), .long], help: ArgumentHelp("The plan file.", valueName: "file"))
  var output: String

  @Option(
    help: ArgumentHelp("Largest tolerable error, relative to the results' rms, as in 1e-4.", valueName: "E"))
  var maxError: Double?

  @Option(help: ArgumentHelp("Candidates; all engines and variants of ours if left out.", valueName: "list"))
  var backends: String?

  @OptionGroup var layerOptions: LayerOptions

  @Option(help: "Threads of the worker pool.")
  var threads: Int?

  @OptionGroup var measurement: MeasurementOptions

  @OptionGroup var openBLAS: OpenBLASOption

  mutating func run() throws {
    if let error = InstructionSet.environmentError { throw error }
    if let maxError, !(maxError > 0) { throw UsageError("--max-error is \(maxError), it must be above 0") }
    let budget = measurement.budget ?? 1
    guard budget > 0 else { throw UsageError("--budget is \(budget), it must be above 0") }
    if measurement.visits != nil {
      throw UsageError("tune measures every problem once: --visits is for vbench run")
    }
    let conditions = try measurement.conditions(threads: threads.map(String.init))
    guard conditions.count == 1 else {
      throw UsageError("a plan is tuned under one condition: --cache and --workspace take one value each")
    }
    let pool = conditions[0].pool
    let items = try items()
    if items.isEmpty { throw UsageError("no suite is named; as in vbench tune resnet50 -o plan.json") }
    if selection.list { return print(ProblemOptions.listing(items)) }
    let candidates =
      try backends.map { try NameList.competitors($0) }
      ?? AutoBackend.tuningCandidates.map { Competitor($0.backend, variant: $0.variant) }
    var file = ConvPlanFile()
    if FileManager.default.fileExists(atPath: output) { file = try ConvPlanFile(path: output) }
    var settings = conditions[0].applied(
      to: RunSettings(pool: pool, baseline: candidates[0].label, seed: layerOptions.seed))
    settings.sampling.budgetSeconds = budget
    settings.sampling.precision = try measurement.precisionFraction()
    settings.sampling.leastRounds = try measurement.leastRounds()
    if BuildConfiguration.isDebug {
      throw UsageError("a debug build refuses to time: tune needs a release build")
    }
    try AtomicFile.checkCreatable(output)
    try openBLAS.apply()
    Interruption.catchSignals()
    var plan = ConvPlanFile.MachinePlan(
      machine: .current(threads: pool.threads), maxError: maxError, workspaceLimit: settings.workspaceLimit)
    try measure(items, candidates, settings, into: &plan)
    // What was measured before Ctrl-C is whole and worth keeping.
    file.merge(plan)
    if !plan.choices.isEmpty {
      try file.write(to: output)
      print("\(output): \(plan.choices.count) choices for \(plan.machine)")
    }
    if Interruption.isRequested { throw InterruptedError(description: "") }
  }

  private mutating func items() throws -> [RunItem] {
    selection.suite += suites
    return try layerOptions.items(selection.layers(), of: selection, format: .nhwc)
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
    var progress = ProgressBar(total: items.count)
    for (index, item) in items.enumerated() {
      if Interruption.isRequested { break }
      let key = ConvPlanFile.Key(item.problem.problem, item.pass, item.format, item.filterState)
      // Equal layers of several suites are measured once.
      if plan.choices[key] != nil { continue }
      let layer = item.problem.name.isEmpty ? item.problem.problem.description : item.problem.name
      progress.update(index, "\(item.suite) \(layer) \(item.pass.rawValue)")
      let rows = try run.rows(for: item, competitors: candidates, shouldStop: { Interruption.isRequested })
      if Interruption.isRequested { break }
      guard let best = Tuning.choose(rows, maxError: maxError) else {
        notes.append("no candidate for \(layer), \(item.pass.rawValue):")
        for row in rows {
          notes.append("  \(row.backend): \(Tuning.rejection(of: row, maxError: maxError) ?? "")")
        }
        continue
      }
      plan.choices[key] = ConvPlanFile.Choice(
        backend: best.backend, medianMilliseconds: best.medianMilliseconds, relativeError: best.relativeError)
      let next = Tuning.choose(
        rows.filter { $0.backend != best.backend && $0.variant != best.variant }, maxError: maxError)
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
    print(table.text)
    for note in notes { Terminal.warn(note) }
  }
}
