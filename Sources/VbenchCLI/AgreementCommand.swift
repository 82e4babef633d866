import ArgumentParser
import ConvBackends
import ConvCore
import ConvHarness
import Foundation

/// `vbench agreement`: whether times mean anything on this machine.
struct AgreementCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "agreement",
    abstract: "Measures engines alone, in company and against copies: whether times agree with themselves.",
    discussion: """
      Every engine is measured alone and with all others, in turn, in one process; engines that are named twice compete with
      their own copies. What is told apart there is the error of the measurement, not a difference between engines.

      EXAMPLES
        vbench agreement --output out                      40 rows of the built-in suites
        vbench agreement resnet50 --backends auto,auto,winograd,im2col --cache network --output out
      """)

  @OptionGroup var selection: ProblemOptions

  @Option(
    help: ArgumentHelp(
      "Engines, as in winograd[tile=2x2],im2col, or all; auto against its copy and all engines but naive if left out.",
      valueName: "list"), completion: .custom(Completions.engines))
  var backends: String?

  @OptionGroup var layerOptions: LayerOptions

  @Option(
    help: ArgumentHelp(
      "Items at most, drawn by chance (--seed) from those that the options name.", valueName: "count"))
  var items = 40

  @Option(
    help: ArgumentHelp(
      "Threads of the worker pool; VBENCH_THREADS or one per processor if left out.", valueName: "count"))
  var threads: Int?

  @Option(
    help: ArgumentHelp("Times that every item is measured in each way, at least 6.", valueName: "count"))
  var visits = 8

  @Option(
    help: ArgumentHelp(
      "Seconds of sampling per item and way, all engines and visits together, once 15 rounds are done.",
      valueName: "seconds"))
  var budget = 2.0

  @Option(
    help: ArgumentHelp("What the caches hold before a sample: warm, network, cold.", valueName: "state"),
    completion: .list(CacheState.allCases.map(\.rawValue)))
  var cache = "warm"

  @Option(
    name: [.customShort("o"), .long],
    help: ArgumentHelp("Folder of the report; needed unless --list is given.", valueName: "dir"),
    completion: .directory)
  var output: String?

  @OptionGroup var openBLAS: OpenBLASOption
  @OptionGroup var profile: ProfileOption

  func run() throws {
    if let error = InstructionSet.environmentError { throw error }
    let competitors = try NameList.competitors(backends ?? "auto,\(NameList.fastBackends)")
    let chosen = try chosenItems()
    _ = try MeasurementOptions.count(visits, option: "visits", CompanyCheck.leastVisits...1000)
    let pool = try NameList.pool(threads: threads)
    var settings = RunSettings(pool: pool, baseline: competitors[0].label, seed: layerOptions.seed)
    settings.cache = try MeasurementOptions.cacheState(cache)
    settings.sampling.budgetSeconds = try MeasurementOptions.seconds(budget, option: "budget", most: 3600)
    if let output { try AtomicFolder.checkCreatable(output) }
    if output == nil && !selection.list {
      throw UsageError("--output DIR is needed, the folder of the report")
    }
    try profile.check()
    try openBLAS.apply(isQuiet: selection.list)
    guard let output, !selection.list else {
      let condition = RunCondition(
        pool: pool, cache: settings.cache, workspaceLimit: settings.workspaceLimit)
      let listing = ProblemListing(chosen, engines: competitors, conditions: [condition])
      return StandardOutput.write(listing.text)
    }
    if BuildConfiguration.isDebug {
      throw UsageError("a debug build refuses to time: agreement needs a release build")
    }
    Interruption.catchSignals()
    let claim = try AtomicFolder.claim(output, files: AgreementReport.files)
    defer { claim.end() }
    try profile.apply(to: competitors)
    settings.prices = MachineProfile.current.prices
    let report = try measure(chosen, competitors, settings)
    try report.write(to: output)
    StandardOutput.line(report.companySentence)
    if !report.rows.isEmpty { StandardOutput.line(report.powerSentence) }
    if let sentence = report.copySentence { StandardOutput.line(sentence) }
    StandardOutput.line("report: \(output)/agreement.md")
    if report.isPartial { throw InterruptedRun(folder: output) }
  }

  private func measure(
    _ chosen: [RunItem], _ competitors: [Competitor], _ settings: RunSettings
  ) throws -> AgreementReport {
    var report = AgreementReport(
      environment: environment(settings),
      command: RunFacts.command,
      date: ISO8601DateFormatter().string(from: Date()))
    report.warnings = BackendRegistry.libraryWarnings
    Terminal.warn("cache state: \(RunFacts.cache([settings.cache]).value)")
    var check = CompanyCheck(
      settings: settings, limits: try MachineLimits.measure(pool: settings.pool), visits: visits)
    var noise = NoiseWatch()
    noise.look()
    var progress = ProgressBar(
      costs: chosen.map {
        StepForecast.cost(
          of: $0.problem.problem, engines: competitors.count, seconds: settings.sampling.budgetSeconds)
      })
    for (index, item) in chosen.enumerated() {
      if Interruption.isRequested { break }
      progress.update(index, "\(item.suite) \(item.problem.name) \(item.pass.rawValue)")
      let found = try check.rows(
        for: item, competitors: competitors, shouldStop: { Interruption.isRequested },
        seesPeak: { noise.add(peak: $0, threads: settings.pool.threads) })
      noise.look()
      // Half an item says nothing.
      if Interruption.isRequested { break }
      report.rows += found.rows
      for (competitor, row) in zip(competitors, found.company) where !row.seconds.isEmpty {
        if competitor.label != competitor.selection {
          if competitor.selection == settings.baseline { report.copies.append(row) }
        } else if !found.rows.contains(where: { $0.backend == competitor.label }) {
          report.leftOut.append("\(competitor.label) on \(row.problem) \(row.pass.rawValue)")
        }
      }
    }
    progress.clear()
    report.noise = noise.record
    report.isPartial = Interruption.isRequested
    return report
  }

  /// As many as are wanted, by chance, in their order.
  private func chosenItems() throws -> [RunItem] {
    let items = try MeasurementOptions.count(items, option: "items", 1...100_000)
    let others =
      try selection.isEmpty ? RunCommand.representatives() : selection.convolutionsOfNetworks()
    let all = try layerOptions.items(
      selection.layers(others: others), of: selection, states: FilterState.allCases)
    if all.count <= items { return all }
    var random = PhiloxGenerator(seed: layerOptions.seed, stream: 0xA62E)
    return all.indices.shuffled(using: &random).prefix(items).sorted().map { all[$0] }
  }

  private func environment(_ settings: RunSettings) -> [(key: String, value: String)] {
    RunFacts.machine(threads: [settings.pool.threads])
      + [RunFacts.cache([settings.cache]), ("seed", "\(layerOptions.seed)")]
      + RunFacts.libraries
  }
}
