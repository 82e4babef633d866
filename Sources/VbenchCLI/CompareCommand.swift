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
      The peer is a program that answers one JSON object per line; Peers/pytorch.py is one. Both sides are
      verified on the same operands, then they take turns for some rounds. Written are comparison.csv and
      comparison.md: the ratio of each row with its 95 % interval, and geometric means per kind of layer.

      The peer runs in a process group of its own, which ends with the comparison. Ctrl-C, a peer that ends and one that takes
      longer than --peer-timeout for an answer end the comparison: what has been measured by then is written.

      EXAMPLES
        vbench compare --suite resnet50 --batch 4
        vbench compare --suite seed-cnn --network seed-cnn --threads 1,2 --rounds 20
        vbench compare --network resnet18,vgg11 --backends winograd,im2col --fallback direct
        vbench compare --suite resnet50 --backends auto --plan plan.json --threads 2
        vbench compare --peer 'python3 my-peer.py' --suite shapes.txt --passes forward --filter-state prepared
      """)

  @Option(help: ArgumentHelp("Shell command of the peer.", valueName: "cmd"))
  var peer = "python3 Peers/pytorch.py"

  @Option(help: ArgumentHelp("Seconds that the peer may take for one answer.", valueName: "seconds"))
  var peerTimeout = PeerProcess.standardTimeLimit

  @OptionGroup var selection: ProblemOptions

  @Option(
    help: ArgumentHelp(
      "Engines, as in winograd[tile=2x2],fft, or all; all but naive if left out.", valueName: "list"),
    completion: .custom(Completions.engines))
  var backends: String?

  @Option(
    help: ArgumentHelp(
      "In training steps, an engine for the layers that the others decline or can run by lowerings only; without it a row says why it cannot.",
      valueName: "engine"), completion: Completions.engine)
  var fallback: String?

  @OptionGroup var planFile: PlanFileOption

  @OptionGroup var layerOptions: LayerOptions

  @Option(
    help: ArgumentHelp(
      "Numbers of threads. (default: 1,2; with --plan those that it was tuned for)", valueName: "list"))
  var threads: String?

  @Option(help: ArgumentHelp("Rounds in which all take their turn.", valueName: "count"))
  var rounds = 12

  @Option(help: ArgumentHelp("Seconds of one sample.", valueName: "seconds"))
  var seconds = 0.05

  @Option(
    help: ArgumentHelp(
      "What the caches hold before a sample, on both sides: warm (what untimed executions left), network (L1 and L2 something else), cold (all something else).",
      valueName: "state"), completion: .list(CacheState.allCases.map(\.rawValue)))
  var cache = "warm"

  @Option(
    name: [.customShort("o"), .long],
    help: ArgumentHelp(
      "Folder of the two files, where they replace earlier ones; needed unless --list is given.",
      valueName: "dir"),
    completion: .directory)
  var output: String?

  @OptionGroup var openBLAS: OpenBLASOption
  @OptionGroup var profile: ProfileOption

  func run() throws {
    if let error = InstructionSet.environmentError { throw error }
    var competitors = try NameList.competitors(backends ?? NameList.fastBackends)
    let items = try items()
    var trainings = try trainings()
    let followed = try planFile.read()
    let pools = try pools(followed)
    if let followed { try follow(followed, pools.map(\.threads), &competitors, &trainings) }
    let settings = ComparisonSettings(
      rounds: try MeasurementOptions.count(rounds, option: "rounds", 1...100_000),
      secondsPerSample: try MeasurementOptions.seconds(seconds, option: "seconds", most: 60),
      cache: try MeasurementOptions.cacheState(cache), seed: layerOptions.seed,
      times: !BuildConfiguration.isDebug)
    if settings.cache != .warm && !trainings.isEmpty {
      throw UsageError(
        "--cache \(cache) is for layers: training steps follow each other, leave --network out")
    }
    guard peerTimeout > 0, peerTimeout <= 86_400 else {
      throw UsageError("--peer-timeout is \(peerTimeout), more than 0 and at most 86400 seconds are possible")
    }
    if let output { try AtomicFolder.checkCreatable(output) }
    if output == nil && !selection.list {
      throw UsageError("--output DIR is needed, the folder of the two files")
    }
    try profile.check()
    try openBLAS.apply(isQuiet: selection.list)
    let conditions = pools.map {
      RunCondition(pool: $0, cache: settings.cache, workspaceLimit: PlanOptions().workspaceLimit)
    }
    guard let output, !selection.list else {
      var listing = ProblemListing(items, engines: competitors, conditions: conditions)
      let threads = pools.map { "\($0.threads)" }.joined(separator: ", ")
      listing.training = trainings.map {
        "\($0.network.name): batch \($0.batch), threads \(threads), format \($0.format.rawValue)"
      }
      return StandardOutput.write(listing.text)
    }
    Interruption.catchSignals()
    let claim = try AtomicFolder.claim(output, files: ComparisonReport.files)
    defer { claim.end() }
    try profile.apply(to: competitors + trainings.compactMap(\.fallback))
    if BuildConfiguration.isDebug { Terminal.warn("note: a debug build verifies, but refuses to time") }
    let planReport = try followed?.report(
      on: plannedParts(items, trainings, pools, conditions, competitors))
    planReport?.show()
    let process = try startPeer()
    var report = ComparisonReport(
      environment: environment(pools, settings, planReport),
      command: RunFacts.command,
      date: ISO8601DateFormatter().string(from: Date()), peer: process.identity)
    report.warnings = BackendRegistry.libraryWarnings + (planReport?.warnings ?? [])
    var noise = NoiseWatch()
    noise.look()
    let end = measure(
      try Comparison(peer: process, settings: settings), items, trainings, pools, competitors, &noise, &report
    )
    report.noise = noise.record
    report.isPartial = Interruption.isRequested || end != nil
    if let end, !Interruption.isRequested {
      if report.rows.isEmpty { throw end }
      report.ending = "\(end)"
    }
    try report.write(to: output)
    StandardOutput.write(CompareCommand.summary(report))
    if let note = report.trainingNote { StandardOutput.line(note) }
    StandardOutput.line("comparison: \(output)/comparison.md")
    if Interruption.isRequested { throw InterruptedRun(folder: output) }
    if let end {
      Terminal.warn("note: the comparison ended early; what had been measured is in \(output)")
      throw end
    }
    if report.hasFailures { throw ExitCode(ExitStatus.verificationFailed.rawValue) }
  }

  private func startPeer() throws -> PeerProcess {
    do {
      return try PeerProcess(
        command: peer, timeLimit: peerTimeout, shouldStop: { Interruption.isRequested })
    } catch PeerError.interrupted {
      throw InterruptedError(description: "interrupted before anything was measured")
    }
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
    _ items: [RunItem], _ trainings: [TrainingItem], _ pools: [WorkerPool], _ conditions: [RunCondition],
    _ competitors: [Competitor]
  ) throws -> [FollowedPlan.Part] {
    try [FollowedPlan.Part(items, conditions, of: competitors)]
      + trainings.map { training in
        try FollowedPlan.Part(
          training: training.network, batch: training.batch, engines: competitors,
          fallback: training.fallback,
          threads: pools.map(\.threads), format: training.format, givesLowerings: true)
      }
  }

  /// Measures until all is done or something ends it, which is returned.
  private func measure(
    _ comparison: Comparison, _ items: [RunItem], _ trainings: [TrainingItem], _ pools: [WorkerPool],
    _ competitors: [Competitor], _ noise: inout NoiseWatch, _ report: inout ComparisonReport
  ) -> (any Error)? {
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
          if let end = comparison.peerEnd { return end }
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
          if let end = comparison.peerEnd { return end }
          look(pool)
          done += 1
        }
      }
      return nil
    } catch {
      return error
    }
  }

  private func items() throws -> [RunItem] {
    if selection.isEmpty {
      throw UsageError("nothing to compare: name problems, a --suite, an --onnx model or a --network")
    }
    return try layerOptions.items(selection.layers(), of: selection)
  }

  private func trainings() throws -> [TrainingItem] {
    let fallback = try fallback.map { try NameList.competitors($0) }
    if let fallback, fallback.count != 1 {
      throw UsageError("--fallback names \(fallback.count) engines, one is possible")
    }
    let formats = try layerOptions.formats()
    return try selection.networks().flatMap { network in
      formats.map {
        TrainingItem(network: network, batch: selection.batch, format: $0, fallback: fallback?.first)
      }
    }
  }

  private func pools(_ plan: FollowedPlan?) throws -> [WorkerPool] {
    if let threads { return try MeasurementOptions.pools(threads) }
    return try (plan?.threads(standard: [1, 2]) ?? [1, 2]).map { try NameList.pool(threads: $0) }
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
