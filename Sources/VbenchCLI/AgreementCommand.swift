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
        vbench agreement --suite resnet50 --backends auto,auto,winograd,im2col --cache network --output out
      """)

  @OptionGroup var selection: ProblemOptions

  @Option(
    help: ArgumentHelp(
      "Engines; auto against its copy and all engines but naive if left out.", valueName: "list"))
  var backends: String?

  @Option(help: ArgumentHelp("forward, backward-data, backward-filter.", valueName: "list"))
  var passes = "forward,backward-data,backward-filter"

  @Option(help: ArgumentHelp("Memory formats of the images: nhwc, nchw.", valueName: "list"))
  var format = RunItem.standardFormat.rawValue

  @Option(help: ArgumentHelp("fresh, prepared.", valueName: "list"))
  var filterState = "fresh,prepared"

  @Option(help: "Items at most, drawn by chance (--seed) from those that the options name.")
  var items = 40

  @Option(help: "Threads of the worker pool.")
  var threads: Int?

  @Option(help: "Seed of data, samples and resampling.")
  var seed: UInt64 = 1

  @Option(
    help: ArgumentHelp("Times that every item is measured in each way, at least 6.", valueName: "count"))
  var visits = 8

  @Option(
    help: ArgumentHelp(
      "Seconds of sampling per item and way, all engines and visits together, once 15 rounds are done.",
      valueName: "seconds"))
  var budget = 2.0

  @Option(
    help: ArgumentHelp("What the caches hold before a sample: warm, network, cold.", valueName: "state"))
  var cache = "warm"

  @Option(help: ArgumentHelp("Folder of the report.", valueName: "dir"))
  var output: String?

  @OptionGroup var openBLAS: OpenBLASOption
  @OptionGroup var profile: ProfileOption

  func run() throws {
    if let error = InstructionSet.environmentError { throw error }
    let competitors = try NameList.competitors(backends ?? "auto,\(NameList.fastBackends)")
    let chosen = try chosenItems()
    if selection.list { return StandardOutput.write(ProblemOptions.listing(chosen)) }
    guard let output else { throw UsageError("--output DIR is needed, the folder of the report") }
    let states = try NameList.values(cache, option: "cache", as: CacheState.self)
    guard states.count == 1 else { throw UsageError("--cache names \(states.count) states, one is possible") }
    guard (CompanyCheck.leastVisits...1000).contains(visits) else {
      throw UsageError("--visits is \(visits), \(CompanyCheck.leastVisits) to 1000 are possible")
    }
    guard budget > 0, budget <= 3600 else {
      throw UsageError("--budget is \(budget), more than 0 and at most 3600 seconds are possible")
    }
    let pool = try NameList.pool(threads: threads)
    if BuildConfiguration.isDebug {
      throw UsageError("a debug build refuses to time: agreement needs a release build")
    }
    var settings = RunSettings(pool: pool, baseline: competitors[0].label, seed: seed)
    settings.cache = states[0]
    settings.sampling.budgetSeconds = budget
    try AtomicFolder.checkCreatable(output)
    try openBLAS.apply()
    Interruption.catchSignals()
    try profile.apply(to: competitors)
    settings.prices = MachineProfile.current.prices
    let report = try measure(chosen, competitors, settings)
    try report.write(to: output)
    StandardOutput.write(report.companySentence)
    if !report.rows.isEmpty { StandardOutput.write(report.powerSentence) }
    if let sentence = report.copySentence { StandardOutput.write(sentence) }
    StandardOutput.write("report: \(output)/agreement.md")
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
    guard (1...100_000).contains(items) else {
      throw UsageError("--items is \(items), 1 to 100000 are possible")
    }
    let all = try selection.items(
      selection.layers(others: selection.namesProblems ? [] : RunCommand.representatives()),
      passes: NameList.values(passes, option: "passes", as: ConvPass.self),
      formats: NameList.values(format, option: "format", as: MemoryFormat.self),
      states: NameList.values(filterState, option: "filter-state", as: FilterState.self))
    if all.count <= items { return all }
    var random = PhiloxGenerator(seed: seed, stream: 0xA62E)
    return all.indices.shuffled(using: &random).prefix(items).sorted().map { all[$0] }
  }

  private func environment(_ settings: RunSettings) -> [(key: String, value: String)] {
    RunFacts.machine(threads: [settings.pool.threads])
      + [RunFacts.cache([settings.cache]), ("seed", "\(seed)")] + RunFacts.libraries
  }
}
