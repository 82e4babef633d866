import ArgumentParser
import ConvBackends
import ConvCore
import ConvHarness
import Foundation

/// `vbench paper`: published layers and numbers beside ours.
struct PaperCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "paper",
    abstract: "Measures the layers of a publication, and says whether the order of its winners holds here.",
    discussion: """
      Published times of direct (or GEMM), Winograd and FFT convolutions stand beside those of our engines, with
      their sources. For every layer and pass the order of the kinds of algorithms is compared; kinds that our
      intervals do not tell apart are no reversal. Batches are as small as a CPU needs; times are never scaled.

      EXAMPLES
        vbench paper                                   the publications, and where they are
        vbench paper nnpack --list                     layers and published numbers, without measuring
        vbench paper nnpack --output out               measures; out/report.md, results.csv, orders.csv
        vbench paper lavin-gray --layers conv4.2,conv5 --threads 1
        vbench paper convnet-benchmarks --batch 128 --backends im2col,fft --passes forward
      """)

  @Argument(
    help: "The publication; without one, those that there are.",
    completion: .list(PaperPack.all.map(\.name)))
  var name: String?

  @Flag(help: "Prints layers and published numbers, and measures nothing.")
  var list = false

  @Option(
    help: ArgumentHelp("Layers of the publication; all if left out.", valueName: "list"),
    completion: .custom(Completions.layersOfPaper))
  var layers: String?

  @Option(
    help: ArgumentHelp("Engines, as in winograd[tile=2x2],im2col, or all.", valueName: "list"),
    completion: .custom(Completions.engines))
  var backends = "im2col,direct,winograd,fft"

  @Option(
    help: ArgumentHelp(
      "forward, backward-data, backward-filter; those that the publication has if left out.",
      valueName: "list"), completion: .custom(Completions.values(of: ConvPass.self)))
  var passes: String?

  @Option(
    help: ArgumentHelp(
      "Images per batch; if left out a small number for each layer, which the report names.",
      valueName: "images"))
  var batch: Int?

  @Option(
    help: ArgumentHelp(
      "Threads of the worker pool; VBENCH_THREADS or one per processor if left out.", valueName: "count"))
  var threads: Int?

  @Option(help: "Seconds of timing per layer and pass.")
  var seconds = 2.0

  @Option(help: "Seed of data, samples and resampling.")
  var seed: UInt64 = 1

  @Option(
    name: [.customShort("o"), .long],
    help: ArgumentHelp("Folder of the report; without one nothing is written.", valueName: "dir"),
    completion: .directory)
  var output: String?

  @OptionGroup var openBLAS: OpenBLASOption

  func run() throws {
    if let error = InstructionSet.environmentError { throw error }
    guard let name else {
      StandardOutput.write(PaperListing.packs.text)
      return
    }
    if let error = MisplacedNameError(name, wanted: "a publication", .paper, in: .paper) { throw error }
    let pack = try PaperPack.named(name)
    let chosen = try chosenLayers(of: pack)
    let competitors = try NameList.competitors(backends)
    let passes =
      try passes.map { try NameList.values($0, option: "passes", as: ConvPass.self) } ?? pack.passes
    var measurement = PaperMeasurement(
      pool: try NameList.pool(threads: threads), seed: seed,
      secondsPerItem: try MeasurementOptions.seconds(seconds, option: "seconds", most: 600))
    if let output { try AtomicFolder.checkCreatable(output) }
    try openBLAS.apply(isQuiet: list)
    if list { return StandardOutput.write(PaperListing.text(of: pack, layers: chosen)) }
    Interruption.catchSignals()
    let claim = try output.map { try AtomicFolder.claim($0, files: PaperReport.files) }
    defer { claim?.end() }
    if BuildConfiguration.isDebug { Terminal.warn("note: a debug build verifies, but refuses to time") }
    let date = ISO8601DateFormatter().string(from: Date())
    var noise = NoiseWatch()
    noise.look()
    var limits = try BuildConfiguration.isDebug ? [] : [MachineLimits.measure(pool: measurement.pool)]
    measurement.limits = limits.first
    let rows = try measurement.rows(
      pack, chosen, passes, competitors, times: !BuildConfiguration.isDebug, noise: &noise)
    var report = PaperReport(
      pack: pack, environment: environment(measurement.pool),
      command: RunFacts.command, date: date, layers: chosen, rows: rows,
      errorRows: try passes.contains(.forward) ? measurement.errorRows(pack, chosen) : [],
      choseBatches: batch == nil, isPartial: Interruption.isRequested, seed: seed,
      classifier: PaperMeasurement.algorithmClass)
    noise.settle(&limits)
    (report.limits, report.noise, report.warnings) = (limits, noise.record, BackendRegistry.libraryWarnings)
    StandardOutput.write(PaperListing.text(of: report))
    if let reasons = report.noise?.reasons, !reasons.isEmpty, !BuildConfiguration.isDebug {
      Terminal.warn("note: a noisy machine: \(reasons.joined(separator: "; "))")
    }
    if let output {
      try report.write(to: output)
      StandardOutput.line("report: \(output)/report.md")
    }
    if report.isPartial {
      throw InterruptedError(
        description: output.map { "interrupted; what had been measured is in \($0)" } ?? "interrupted")
    }
    if report.hasFailures { throw ExitCode(ExitStatus.verificationFailed.rawValue) }
  }

  /// The layers that `--layers` names, at the batch that they are to run at; with `--list` at the publication's own.
  private func chosenLayers(of pack: PaperPack) throws -> [BenchmarkProblem] {
    if let batch, !(1...ConvProblem.Limits.size).contains(batch) {
      throw UsageError("--batch is \(batch), 1 to \(ConvProblem.Limits.size) are possible")
    }
    var chosen = pack.layers
    if let layers {
      let names = pack.layers.map(\.name)
      chosen = try NameList.split(layers).map { name in
        guard let layer = pack.layers.first(where: { $0.name == name }) else {
          throw UnknownNameError(kind: "layer of \(pack.name)", name: name, known: names)
        }
        return layer
      }
      if chosen.isEmpty { throw UsageError("--layers is empty; known: \(names.joined(separator: ", "))") }
    }
    if list && batch == nil { return chosen }
    return try chosen.map { layer in
      var layer = layer
      layer.problem = try layer.problem.withBatch(batch ?? PaperPack.defaultBatch(for: layer))
      return layer
    }
  }

  private func environment(_ pool: WorkerPool) -> [(key: String, value: String)] {
    RunFacts.machine(threads: [pool.threads]) + [("seed", "\(seed)"), RunFacts.cache([.warm])]
      + RunFacts.libraries
  }
}

/// Where publications meet `LayerRun`, and their kinds of algorithms our engines.
struct PaperMeasurement {
  let pool: WorkerPool
  let seed: UInt64
  let secondsPerItem: Double
  /// Of the machine, where times are taken.
  var limits: MachineLimits?

  /// Rows of all layers and passes; Ctrl-C ends them early.
  func rows(
    _ pack: PaperPack, _ layers: [BenchmarkProblem], _ passes: [ConvPass], _ competitors: [Competitor],
    times: Bool, noise: inout NoiseWatch
  ) throws -> [ResultRow] {
    var settings = RunSettings(pool: pool, seed: seed)
    settings.sampling.budgetSeconds = secondsPerItem
    var run = LayerRun(settings: settings, limits: limits)
    var rows: [ResultRow] = []
    var progress = ProgressBar(
      costs: layers.flatMap { layer in
        passes.map { _ in
          StepForecast.cost(of: layer.problem, engines: competitors.count, seconds: secondsPerItem)
        }
      })
    defer { progress.clear() }
    var done = 0
    for layer in layers {
      for pass in passes where !Interruption.isRequested {
        progress.update(done, "\(layer.name) \(pass.rawValue)")
        rows += try run.rows(
          for: RunItem(suite: pack.name, problem: layer, pass: pass), competitors: competitors, times: times,
          shouldStop: { Interruption.isRequested })
        noise.look()
        if let peak = run.visitPeak { noise.add(peak: peak, threads: pool.threads) }
        done += 1
      }
    }
    return rows
  }

  /// Rows without times of the layers and algorithms whose errors are published; our own choice of interpolation points takes part.
  func errorRows(_ pack: PaperPack, _ layers: [BenchmarkProblem]) throws -> [ResultRow] {
    let figures = pack.figures.filter { $0.unit == .error }
    var labels: [String] = []
    for figure in figures {
      guard let engine = AlgorithmClass.allCases.first(where: figure.classes.contains).map(Self.engine) else {
        continue
      }
      let label = figure.variant.map { "\(engine)[\($0)]" } ?? engine
      if !labels.contains(label) { labels.append(label) }
      let tile = figure.variant?.split(separator: ",").first.map { "\(engine)[\($0)]" }
      if let tile, !labels.contains(tile) { labels.append(tile) }
    }
    guard !labels.isEmpty else { return [] }
    let competitors = try NameList.competitors(labels.joined(separator: ","))
    let measured = layers.filter { layer in figures.contains { $0.subject == layer.name } }
    // Rows without times, which no noise disturbs.
    var noise = NoiseWatch()
    let rows = try rows(pack, measured, [.forward], competitors, times: false, noise: &noise)
    // Where our own points are the published ones there is nothing to add.
    return rows.enumerated().filter { index, row in
      !rows[..<index].contains { $0.name == row.name && !row.variant.isEmpty && $0.variant == row.variant }
    }.map(\.element)
  }

  /// The engine that stands for a kind of algorithm where one is enough.
  private static func engine(_ kind: AlgorithmClass) -> String {
    switch kind {
    case .direct: "im2col"
    case .winograd: "winograd"
    case .fft: "fft"
    }
  }

  /// What an engine computes with; the oracle and engines that choose among others take part in no order.
  static func algorithmClass(_ row: ResultRow) -> AlgorithmClass? {
    // What follows the name is a variant in brackets, or # and which copy of the engine it is.
    switch row.backend.prefix(while: { $0.isLetter || $0.isNumber }) {
    case "im2col", "direct": .direct
    case "winograd": .winograd
    case "fft": .fft
    case "onednn": row.variant.contains("winograd") ? .winograd : .direct
    default: nil
    }
  }
}

/// Publications as text for people.
enum PaperListing {
  /// What there is.
  static var packs: TextTable {
    var table = TextTable(["paper", "layers", "numbers", "publication", "where"], rightAligned: [1, 2])
    for pack in PaperPack.all {
      table.add([pack.name, "\(pack.layers.count)", "\(pack.figures.count)", pack.title, pack.url])
    }
    return table
  }

  /// A pack's layers, numbers, sources and notes.
  static func text(of pack: PaperPack, layers: [BenchmarkProblem]) -> String {
    var shapes = TextTable(["layer", "problem", "output", "times", "GFLOP"], rightAligned: [3, 4])
    for layer in layers {
      shapes.add([
        layer.name, layer.problem.description,
        layer.problem.resultShape(.forward).map { "\($0)" }.joined(separator: "x"),
        "\(layer.multiplicity)", RunReport.short(layer.problem.directFLOPs * 1e-9),
      ])
    }
    var numbers = TextTable(
      ["of", "pass", "implementation", "algorithm", "", "unit", "batch", "hardware", "source"],
      rightAligned: [4, 6])
    let known = pack.layers.map(\.name)
    for figure in pack.figures
    where !known.contains(figure.subject) || layers.contains(where: { $0.name == figure.subject }) {
      let source = (pack.sources.firstIndex(of: figure.source) ?? 0) + 1
      numbers.add([
        figure.subject, PaperReport.text(figure.passes), figure.implementation,
        figure.classes.isEmpty ? "not known" : AlgorithmClass.text(figure.classes),
        figure.text, figure.unit.rawValue, figure.batch.map { "\($0)" } ?? "", figure.hardware, "[\(source)]",
      ])
    }
    var text = "\(pack.title)\n\(pack.url)\n\n\(shapes.text)\n\n\(numbers.text)\n\nSources\n"
    for (index, source) in pack.sources.enumerated() {
      text += "  [\(index + 1)] \(source.title), \(source.place)\n      \(source.url)\n"
    }
    return text + "\nNotes\n" + pack.notes.map { "  - \($0)" }.joined(separator: "\n")
  }

  /// What a run found, for standard output.
  static func text(of report: PaperReport) -> String {
    var text = ""
    if !report.comparison.findings.isEmpty {
      var table = TextTable(
        ["layer", "pass", "published", "times", "ours", "times (95 %)", "order"], rightAligned: [3, 5])
      for finding in report.comparison.findings {
        let order = finding.order
        table.add([
          order.subject, PaperReport.text(order.passes),
          "\(AlgorithmClass.text(order.faster)) over \(AlgorithmClass.text(order.slower))",
          RunReport.short(order.ratio),
          finding.engines.joined(separator: " over "), RunReport.speedup(finding.ratio),
          finding.verdict.rawValue,
        ])
      }
      text += table.text + "\n\n"
    }
    if !report.errors.lines.isEmpty {
      var table = TextTable(["layer", "engine", "published error", "ours"], rightAligned: [2, 3])
      for line in report.errors.lines {
        table.add([
          line.layer, line.engine, line.figure?.text ?? "",
          String(format: "%.2e", line.error),
        ])
      }
      let pairs = report.errors.pairs
      text += table.text + "\nThe order of the errors holds in \(pairs.holding) of \(pairs.count) pairs.\n\n"
    }
    for row in report.rows + report.errorRows
    where [.failed, .mistrusted].contains(row.verification.verdict) {
      text += QuotedText.visible("\(row.verification.verdictText): \(row.verification.reasonText)")
      text += "\n  \(QuotedText.visible(row.repro))\n"
    }
    if (report.rows + report.errorRows).contains(where: \.verification.isCorrelated) {
      text += Verification.correlatedSentence + "\n"
    }
    return text + report.comparison.summary
  }
}
