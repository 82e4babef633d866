import ArgumentParser
import ConvBackends
import ConvCore
import ConvHarness
import ConvNN
import Foundation

/// `vbench compare`: our engines and another library's, in turn.
struct CompareCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "compare",
    abstract: "Measures engines and another library (a peer process) in turn, layer by layer.",
    discussion: """
      The peer is a program that answers one JSON object per line; Reports/peers/pytorch.py is one. Both sides are
      verified on the same operands, then they take turns for some rounds. Written are comparison.csv and
      comparison.md: the ratio of each row with its 95 % interval, and geometric means per kind of layer.

      EXAMPLES
        vbench compare --suite resnet50 --batch 4
        vbench compare --suite seed-cnn --network seed-cnn --threads 1,2 --rounds 20
        vbench compare --network resnet18,vgg11 --backends winograd,im2col --fallback direct
        vbench compare --suite resnet50 --backends auto --plan plan.json --threads 2
        vbench compare --peer 'python3 my-peer.py' --suite shapes.txt --passes forward --filter-state prepared
      """)

  @Option(help: ArgumentHelp("Shell command of the peer.", valueName: "cmd"))
  var peer = "python3 Reports/peers/pytorch.py"

  @OptionGroup var selection: ProblemOptions

  @Option(
    help: ArgumentHelp(
      "Full training steps of networks, as in seed-cnn,resnet18; repeatable.", valueName: "list"))
  var network: [String] = []

  @Option(help: ArgumentHelp("Engines, as in winograd[tile=2x2],fft.", valueName: "list"))
  var backends: String?

  @Option(
    help: "In training steps, an engine for the layers that the others decline or can run by lowerings only.")
  var fallback: String?

  @OptionGroup var planFile: PlanFileOption

  @OptionGroup var layerOptions: LayerOptions

  @Option(
    help: ArgumentHelp(
      "Numbers of threads. (default: 1,2; with --plan those that it was tuned for)", valueName: "list"))
  var threads: String?

  @Option(help: "Rounds in which all take their turn.")
  var rounds = 12

  @Option(help: "Seconds of one sample.")
  var seconds = 0.05

  @Option(
    help: ArgumentHelp(
      "What the caches hold before a sample, on both sides: warm (what untimed executions left), network (L1 and L2 something else), cold (all something else).",
      valueName: "state"))
  var cache = "warm"

  @Option(help: ArgumentHelp("Folder of the two files; needed unless --list is given.", valueName: "dir"))
  var output: String?

  @OptionGroup var openBLAS: OpenBLASOption
  @OptionGroup var profile: ProfileOption

  func run() throws {
    if let error = InstructionSet.environmentError { throw error }
    var competitors = try NameList.competitors(backends ?? NameList.fastBackends)
    let items = try items()
    var trainings = try trainings()
    if selection.list { return StandardOutput.write(ProblemOptions.listing(items)) }
    guard let output else { throw UsageError("--output DIR is needed, the folder of the two files") }
    let followed = try planFile.read()
    let pools = try threadCounts(followed).map { try NameList.pool(threads: $0) }
    if let followed { try follow(followed, pools.map(\.threads), &competitors, &trainings) }
    guard (1...100_000).contains(rounds) else {
      throw UsageError("--rounds is \(rounds), 1 to 100000 are possible")
    }
    guard seconds > 0, seconds <= 60 else {
      throw UsageError("--seconds is \(seconds), more than 0 and at most 60 are possible")
    }
    let states = try NameList.values(cache, option: "cache", as: CacheState.self)
    guard states.count == 1 else {
      throw UsageError("--cache names \(states.count) states, one is possible: \(cache)")
    }
    if states[0] != .warm && !trainings.isEmpty {
      throw UsageError(
        "--cache \(cache) is for layers: training steps follow each other, leave --network out")
    }
    try AtomicFolder.checkCreatable(output)
    try openBLAS.apply()
    Interruption.catchSignals()
    try profile.apply(to: competitors + trainings.compactMap(\.fallback))
    if BuildConfiguration.isDebug { Terminal.warn("note: a debug build verifies, but refuses to time") }
    let planReport = try followed?.report(
      on: plannedParts(items, trainings, pools, states[0], competitors))
    planReport?.show()
    let process = try PeerProcess(command: peer)
    let settings = ComparisonSettings(
      rounds: rounds, secondsPerSample: seconds, cache: states[0], seed: layerOptions.seed,
      times: !BuildConfiguration.isDebug)
    var report = ComparisonReport(
      environment: environment(pools, settings, planReport),
      command: RunFacts.command,
      date: ISO8601DateFormatter().string(from: Date()), peer: process.identity)
    report.warnings = BackendRegistry.libraryWarnings + (planReport?.warnings ?? [])
    var noise = NoiseWatch()
    noise.look()
    try measure(
      Comparison(peer: process, settings: settings), items, trainings, pools, competitors, &noise, &report)
    report.noise = noise.record
    report.isPartial = Interruption.isRequested
    try report.write(to: output)
    StandardOutput.write(CompareCommand.summary(report))
    if let note = report.trainingNote { StandardOutput.line(note) }
    StandardOutput.line("comparison: \(output)/comparison.md")
    if report.isPartial { throw InterruptedRun(folder: output) }
    if report.hasFailures { throw ExitCode(ExitStatus.verificationFailed.rawValue) }
  }

  /// Gives auto the choices of `--plan`, also where it is the fallback.
  private func follow(
    _ plan: FollowedPlan, _ threads: [Int], _ competitors: inout [Competitor],
    _ trainings: inout [TrainingItem]
  ) throws {
    let fallback = trainings.first?.fallback.map { [$0] } ?? []
    let all = try plan.apply(to: competitors + fallback, threads: threads)
    competitors = Array(all.prefix(competitors.count))
    if !fallback.isEmpty { for i in trainings.indices { trainings[i].fallback = all.last } }
  }

  /// What auto is asked for: layers, and training steps.
  private func plannedParts(
    _ items: [RunItem], _ trainings: [TrainingItem], _ pools: [WorkerPool], _ cache: CacheState,
    _ competitors: [Competitor]
  ) throws -> [FollowedPlan.Part] {
    let layers = FollowedPlan.Part(
      items,
      pools.map { RunCondition(pool: $0, cache: cache, workspaceLimit: PlanOptions().workspaceLimit) },
      of: competitors)
    return try [layers]
      + trainings.map { training in
        try FollowedPlan.Part(
          training: training.network, batch: training.batch, engines: competitors,
          fallback: training.fallback,
          threads: pools.map(\.threads), format: training.format, givesLowerings: true)
      }
  }

  private func measure(
    _ comparison: Comparison, _ items: [RunItem], _ trainings: [TrainingItem], _ pools: [WorkerPool],
    _ competitors: [Competitor], _ noise: inout NoiseWatch, _ report: inout ComparisonReport
  ) throws {
    func look(_ pool: WorkerPool) {
      noise.look()
      if let peak = comparison.visitPeak { noise.add(peak: peak, threads: pool.threads) }
    }
    var progress = ProgressBar(total: (items.count + trainings.count) * pools.count)
    defer { progress.clear() }
    var done = 0
    do {
      for item in items {
        for pool in pools where !Interruption.isRequested {
          progress.update(done, "\(item.suite) \(item.problem.name) \(item.pass.rawValue)")
          report.rows += try comparison.rows(
            for: item, pool: pool, competitors: competitors, shouldStop: { Interruption.isRequested })
          look(pool)
          done += 1
        }
      }
      for training in trainings {
        for pool in pools where !Interruption.isRequested {
          progress.update(done, "training steps of \(training.network.name)")
          report.rows += try comparison.trainingRows(
            for: training, pool: pool, competitors: competitors,
            shouldStop: { Interruption.isRequested })
          look(pool)
          done += 1
        }
      }
    } catch let error as PeerError where Interruption.isRequested {
      // Ctrl-C reaches the peer too: that it ended then is no failure.
      _ = error
    }
  }

  private func items() throws -> [RunItem] {
    if !selection.namesProblems && network.isEmpty {
      throw UsageError("nothing to compare: name a --suite, an --onnx model or a --network")
    }
    return try layerOptions.items(selection.layers(), of: selection)
  }

  private func trainings() throws -> [TrainingItem] {
    let fallback = try fallback.map { try NameList.competitors($0) }
    if let fallback, fallback.count != 1 {
      throw UsageError("--fallback names \(fallback.count) engines, one is possible")
    }
    let formats = try layerOptions.formats()
    return try network.flatMap(NameList.split).map(ImageNetwork.known).flatMap { network in
      formats.map {
        TrainingItem(network: network, batch: selection.batch, format: $0, fallback: fallback?.first)
      }
    }
  }

  private func threadCounts(_ plan: FollowedPlan?) throws -> [Int] {
    guard let threads else { return plan?.threads(standard: [1, 2]) ?? [1, 2] }
    let counts = NameList.split(threads)
    guard !counts.isEmpty else { throw UsageError("--threads is empty") }
    return try counts.map { text in
      guard let count = Int(text) else {
        throw UsageError("--threads holds \(quoting: text); numbers are needed, as in 1,2")
      }
      return count
    }
  }

  private func environment(
    _ pools: [WorkerPool], _ settings: ComparisonSettings, _ plan: FollowedPlan.Report?
  ) -> [(key: String, value: String)] {
    RunFacts.machine(threads: pools.map(\.threads))
      + [
        ("rounds", "\(settings.rounds) of \(settings.secondsPerSample) s"), ("seed", "\(settings.seed)"),
        RunFacts.cache([settings.cache]),
      ] + (plan.map { [("plan file", $0.fact)] } ?? []) + RunFacts.libraries
  }

  /// The table for standard output.
  private static func summary(_ report: ComparisonReport) -> String {
    var table = TextTable(
      ["layers", "threads", "engine", "rows", "mean ratio", "least", "greatest"],
      rightAligned: [1, 3, 4, 5, 6])
    for mean in report.means {
      table.add([
        mean.group.rawValue, "\(mean.threads)", mean.backend, "\(mean.rows)",
        RunReport.short(mean.geometricMean), RunReport.short(mean.least), RunReport.short(mean.greatest),
      ])
    }
    return report.means.isEmpty ? "no row was timed" : table.text
  }
}
