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
      Nothing is executed unless --measure or --audit is given. Predicted times are those of one core, by the cost model that
      auto chooses by; an error bound is the rms of the derived bounds relative to the results' rms, which errors stay well
      below.

      EXAMPLES
        vbench explain conv2d:n1c64h56w56k64r3s3p1
        vbench explain conv2d:n1c64h56w56k64r3s3p1 --passes forward --format nhwc --measure
        vbench explain --suite resnet50 --audit           where auto was not the best, measured
      """)

  @Argument(help: ArgumentHelp("Problems: canonical text or benchdnn's language.", valueName: "problem"))
  var problems: [String] = []

  @OptionGroup var selection: ProblemOptions

  @Option(
    help: ArgumentHelp(
      "Engines, as in winograd[tile=2x2],im2col, or all; auto's candidates if left out.", valueName: "list"))
  var backends: String?

  @OptionGroup var layerOptions: LayerOptions

  @Option(help: "Threads of the worker pool; predictions are for one.")
  var threads = 1

  @Option(help: ArgumentHelp("Largest workspace, as in 64MiB; engines obey or decline.", valueName: "size"))
  var workspace = "64MiB"

  @Flag(help: "Verifies and times every engine, and shows the truth beside the predictions.")
  var measure = false

  @Flag(
    help: "Measures all problems and lists only where auto's choice was more than 10 % slower than the best.")
  var audit = false

  @OptionGroup var planFile: PlanFileOption
  @OptionGroup var openBLAS: OpenBLASOption

  func run() throws {
    if let error = InstructionSet.environmentError { throw error }
    let pool = try NameList.pool(threads: threads)
    let competitors = try planFile.apply(to: competitors(), threads: [pool.threads])
    let layers = try selection.layers(texts: problems)
    if layers.isEmpty {
      throw UsageError("no problem is named; as in vbench explain conv2d:n1c64h56w56k64r3s3p1")
    }
    let items = try layerOptions.items(layers, of: selection, format: .nhwc)
    if selection.list { return print(ProblemOptions.listing(items)) }
    if (measure || audit) && BuildConfiguration.isDebug {
      throw UsageError("a debug build refuses to time: --measure and --audit need a release build")
    }
    try openBLAS.apply()
    Interruption.catchSignals()
    var settings = RunSettings(pool: pool, baseline: "auto", seed: layerOptions.seed)
    settings.workspaceLimit = try MeasurementOptions.byteCount(workspace)
    var limits: MachineLimits?
    if measure || audit {
      Terminal.warn("cache state: \(RunFacts.cache([settings.cache]).value)")
      limits = try MachineLimits.measure(pool: pool)
    }
    var run = LayerRun(settings: settings, limits: limits)
    if audit { return try audit(items, competitors, &run) }
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
    print(
      "\(name)\(item.problem.problem), \(item.pass.rawValue), \(item.format.rawValue), "
        + "\(item.filterState.rawValue): \(flops) GFLOP by the direct algorithm")
    print(ExplainCommand.table(explanations, measured).text)
    if let sentence = ExplainCommand.choice(explanations, measured) { print(sentence) }
    for explanation in explanations {
      if let reason = explanation.reason { print("\(explanation.label) declines: \(reason)") }
    }
    print("")
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

  /// Why `auto` chose what it chose, and whether that was right.
  private static func choice(_ explanations: [Explanation], _ measured: [ResultRow]) -> String? {
    guard let auto = explanations.first(where: { $0.label == "auto" }), auto.reason == nil else { return nil }
    var text = "auto takes \(auto.variant)"
    let others = explanations.filter {
      $0.reason == nil && $0.label != "auto" && ($0.variant, $0.executedBy) != (auto.variant, auto.executedBy)
    }
    if let next = others.min(by: { $0.predictedMilliseconds < $1.predictedMilliseconds }) {
      text +=
        ": predicted \(RunReport.short(auto.predictedMilliseconds)) ms of one core, the next is \(next.label) with "
        + "\(RunReport.short(next.predictedMilliseconds)) ms"
    }
    let timed = measured.filter { $0.verification.verdict == .passed && $0.medianMilliseconds.isFinite }
    if let own = timed.first(where: { $0.backend == "auto" }),
      let best = timed.min(by: { $0.medianMilliseconds < $1.medianMilliseconds })
    {
      text +=
        "; measured \(RunReport.short(own.medianMilliseconds)) ms, the fastest was \(best.backend) with "
        + "\(RunReport.short(best.medianMilliseconds)) ms"
    }
    return text
  }

  private func audit(_ items: [RunItem], _ competitors: [Competitor], _ run: inout LayerRun) throws {
    guard competitors.contains(where: { $0.label == "auto" }) else {
      throw UsageError("--audit looks at auto's choices: name auto among --backends")
    }
    var rows: [ResultRow] = []
    var progress = ProgressBar(total: items.count)
    for (index, item) in items.enumerated() {
      if Interruption.isRequested { break }
      progress.update(index, "\(item.problem.name) \(item.pass.rawValue)")
      rows += try run.rows(for: item, competitors: competitors, shouldStop: { Interruption.isRequested })
    }
    progress.clear()
    let audit = CostModelAudit(rows: rows, automatic: "auto")
    let within = audit.compared - audit.misses.count
    print(
      "auto is within \(Int(audit.tolerance * 100)) % of the fastest engine in \(within) of \(audit.compared) rows"
        + (audit.compared > 0 ? " (\(Int((100 * Double(within) / Double(audit.compared)).rounded())) %)" : "")
    )
    if !audit.misses.isEmpty {
      var table = TextTable(
        ["layer", "pass", "auto took", "ms", "predicted", "best", "ms", "predicted", "ratio"],
        rightAligned: [3, 4, 6, 7, 8])
      for miss in audit.misses {
        table.add([
          miss.chosen.name.isEmpty ? miss.chosen.problem : miss.chosen.name, miss.chosen.pass.rawValue,
          miss.chosen.variant, RunReport.short(miss.chosen.medianMilliseconds),
          RunReport.short(miss.chosen.predictedMilliseconds), miss.best.variant,
          RunReport.short(miss.best.medianMilliseconds), RunReport.short(miss.best.predictedMilliseconds),
          RunReport.short(miss.ratio),
        ])
      }
      print(table.text)
      for miss in audit.misses {
        print("vbench explain \(miss.chosen.problem) --passes \(miss.chosen.pass.rawValue) --measure")
      }
    }
    if Interruption.isRequested { throw InterruptedError(description: "") }
  }
}
