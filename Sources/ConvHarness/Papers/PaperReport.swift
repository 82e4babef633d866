import ConvCore
import Foundation

/// A publication's numbers beside those of a run, as files.
public struct PaperReport: Sendable {
  public let pack: PaperPack
  /// Facts about the machine and the build, in the order of the report.
  public var environment: [(key: String, value: String)]
  /// The exact command line.
  public var command: String
  /// When the run began, ISO 8601.
  public var date: String
  /// The layers as they were measured, at the batch of the run.
  public let layers: [BenchmarkProblem]
  public let rows: [ResultRow]
  /// Rows that were made for the comparison of errors alone.
  public let errorRows: [ResultRow]
  public let comparison: PaperComparison
  public let errors: PaperErrors
  /// Whether the batches are the tool's choice.
  public let choseBatches: Bool
  /// Whether the run was stopped before its end.
  public let isPartial: Bool
  /// Measured limits of the machine.
  public var limits: [MachineLimits] = []
  /// What else the machine did meanwhile.
  public var noise: NoiseRecord?
  /// Libraries that run below the CPU's instruction set.
  public var warnings: [String] = []
  private let kinds: [AlgorithmClass?]

  /// Compares what a run found with the pack.
  public init(
    pack: PaperPack, environment: [(key: String, value: String)], command: String, date: String,
    layers: [BenchmarkProblem], rows: [ResultRow], errorRows: [ResultRow], choseBatches: Bool,
    isPartial: Bool, seed: UInt64, classifier: AlgorithmClassifier
  ) {
    self.pack = pack
    self.environment = environment
    self.command = command
    self.date = date
    self.layers = layers
    self.rows = rows
    self.errorRows = errorRows
    self.choseBatches = choseBatches
    self.isPartial = isPartial
    comparison = PaperComparison(pack: pack, rows: rows, seed: seed, classifier: classifier)
    errors = PaperErrors(pack: pack, rows: errorRows, classifier: classifier)
    kinds = rows.map(classifier)
  }

  /// Whether any verification did not pass (declining is no failure).
  public var hasFailures: Bool {
    (rows + errorRows).contains { ![.passed, .unsupported].contains($0.verification.verdict) }
  }

  /// Names of the files that are written.
  public static let files = ["results.csv", "orders.csv", "report.md"]

  /// Writes `files`: all of them whole, or none.
  ///
  /// - Throws: `FileError`.
  public func write(to folder: String) throws {
    try AtomicFolder.write(to: folder) { writer in
      try writer.write("results.csv", ResultRow.csv(rows + errorRows))
      try writer.write("orders.csv", orders)
      try writer.write("report.md", markdown)
    }
  }

  /// `orders.csv`: one row per published order.
  public var orders: String {
    CSV.text(
      header: [
        "subject", "passes", "faster", "slower", "published_ratio", "ratio", "ratio_low", "ratio_high",
        "verdict", "engines", "reason", "implementations", "source", "url",
      ],
      rows: comparison.findings.map { finding in
        let order = finding.order
        return [
          order.subject, PaperReport.text(order.passes), AlgorithmClass.text(order.faster),
          AlgorithmClass.text(order.slower), CSV.number(order.ratio), CSV.number(finding.ratio?.ratio),
          CSV.number(finding.ratio?.low), CSV.number(finding.ratio?.high), finding.verdict.rawValue,
          finding.engines.joined(separator: " over "), finding.reason, order.implementations,
          "\(order.source.title), \(order.source.place)", order.source.url,
        ]
      })
  }

  // MARK: Markdown

  /// `report.md`.
  public var markdown: String { document.source }

  private var document: Markdown {
    var text: Markdown = "# \(pack.title)\n\n\(url: pack.url), beside a run of \(date)\n\n"
    if isPartial { text += "**Interrupted: what follows is what had been measured by then.**\n\n" }
    var machine = RunReport(
      environment: environment, command: command, date: date, peak: limits.map(\.fmaPeak).max() ?? 0,
      hasTimes: rows.contains { !$0.seconds.isEmpty })
    (machine.limits, machine.noise, machine.warnings) = (limits, noise, warnings)
    text += machine.libraryWarnings + machine.noiseWarning
    text += Markdown.fenced(command) + "\n| machine | |\n|---|---|\n"
    for (key, value) in environment { text += Markdown.row([key, value]) }
    text += machine.machineFacts
    text += "\n## The order of the winners\n\n\(comparison.summary)\n\n" + findingsTable + errorsTable
    text += "## Layers\n\n" + batchNote
    text +=
      "Times are in ms, ours the median of interleaved rounds; in brackets GFLOP/s of the direct algorithm, which compare "
    text += "across batches. Ours are set in bold.\n\n"
    for layer in layers { text += table(of: layer) }
    text += networkTable
    return text + "## Sources and notes\n\n" + sourcesList
  }

  private var batchNote: Markdown {
    guard choseBatches, layers.contains(where: { $0.problem.n != published($0)?.problem.n }) else {
      return ""
    }
    return
      "The publication's batches take too long on a CPU: each layer was measured at the batch in its heading, the largest "
      + "power of two at which the direct algorithm takes at most \(Int(PaperPack.defaultFLOPs / 1e9)) GFLOP. "
      + "No time is scaled.\n\n"
  }

  private func published(_ layer: BenchmarkProblem) -> BenchmarkProblem? {
    pack.layers.first { $0.name == layer.name }
  }

  private var findingsTable: Markdown {
    guard !comparison.findings.isEmpty else { return "" }
    var text: Markdown =
      "| layer | pass | published: faster | slower | times | ours | times (95 %) | verdict |\n"
    text += "|---|---|---|---|---:|---|---:|---|\n"
    for finding in comparison.findings {
      let order = finding.order
      text += Markdown.row([
        order.subject, PaperReport.text(order.passes),
        "\(AlgorithmClass.text(order.faster)) (\(order.implementations))", AlgorithmClass.text(order.slower),
        RunReport.short(order.ratio), finding.engines.joined(separator: " over "),
        RunReport.speedup(finding.ratio),
        finding.verdict.rawValue + (finding.reason.isEmpty ? "" : ": \(finding.reason)"),
      ])
    }
    return text + "\n"
  }

  private var errorsTable: Markdown {
    guard !errors.lines.isEmpty else { return "" }
    var text: Markdown = "## Largest errors\n\n"
    text +=
      "The order of the errors holds in \(errors.pairs.holding) of \(errors.pairs.count) pairs of algorithms.\n\n"
    text +=
      "| layer | engine | published algorithm | published | ours | ours / published | results compared |\n"
    text += "|---|---|---|---:|---:|---:|---:|\n"
    for line in errors.lines {
      text += Markdown.row([
        line.layer, line.engine, line.figure?.implementation ?? "",
        line.figure?.text ?? "", String(format: "%.2e", line.error),
        RunReport.short(line.figure.map { line.error / $0.value }), "\(line.samples)",
      ])
    }
    return text + "\n"
  }

  /// The columns of a layer's table: single passes, and sums as they were published.
  private var columns: [[ConvPass]] {
    let measured = ConvPass.allCases.filter { pass in rows.contains { $0.pass == pass } }
    var columns = measured.map { [$0] }
    for figure in pack.figures where figure.passes.count > 1 && figure.passes.allSatisfy(measured.contains) {
      if !columns.contains(figure.passes) { columns.append(figure.passes) }
    }
    return columns
  }

  private func table(of layer: BenchmarkProblem) -> Markdown {
    var text: Markdown = "### \(layer.name) \(code: layer.problem.description)\n\n"
    if let original = published(layer), original.problem.n != layer.problem.n {
      text += "Published at batch \(original.problem.n).\n\n"
    }
    text += Markdown.row(["implementation", "algorithm"] + columns.map(PaperReport.text) + ["source"])
    text += "|---|---|" + Markdown(repeating: "---:|", count: columns.count) + "---|\n"
    let figures = pack.figures.filter { $0.subject == layer.name && $0.unit != .error }
    var keys: [(implementation: String, hardware: String)] = []
    for figure in figures
    where !keys.contains(where: { $0 == (figure.implementation, figure.hardware) }) {
      keys.append((figure.implementation, figure.hardware))
    }
    for key in keys {
      let own = figures.filter {
        ($0.implementation, $0.hardware) == key && columns.contains($0.passes)
      }
      guard let first = own.first else { continue }
      let cells = columns.map { passes in
        own.first { $0.passes == passes }.map {
          PaperReport.cell($0.text, $0.gflops(layers: pack.layers))
        } ?? ""
      }
      let sources = own.map { sourceNumber($0.source) }
      let numbers = sources.indices.filter { !sources[..<$0].contains(sources[$0]) }.map {
        "[\(sources[$0])]"
      }
      text += Markdown.row(
        ["\(key.implementation), \(key.hardware)", AlgorithmClass.text(first.classes)] + cells
          + [numbers.joined(separator: " ")])
    }
    text += ourLines(of: layer)
    return text + "\n"
  }

  private func ourLines(of layer: BenchmarkProblem) -> Markdown {
    let own = rows.indices.filter { rows[$0].name == layer.name }
    var text: Markdown = ""
    var backends: [String] = []
    for index in own where !backends.contains(rows[index].backend) { backends.append(rows[index].backend) }
    for backend in backends {
      let indices = own.filter { rows[$0].backend == backend }
      let cells = columns.map { passes -> Markdown in
        let parts = passes.compactMap { pass in indices.map { rows[$0] }.first { $0.pass == pass } }
        let milliseconds = parts.map(\.medianMilliseconds).reduce(0, +)
        guard parts.count == passes.count, !milliseconds.isNaN else {
          return parts.count == 1 && passes.count == 1 && parts[0].verification.verdict != .passed
            ? .text(parts[0].verification.verdict.rawValue) : ""
        }
        let flops = layer.problem.directFLOPs * Double(passes.count)
        return "**\(PaperReport.cell(RunReport.short(milliseconds), flops / (milliseconds * 1e6)))**"
      }
      let kind = indices.compactMap { kinds[$0]?.rawValue }.first ?? ""
      text += Markdown.row(["**\(backend)**", .text(kind)] + cells + ["this run"])
    }
    return text
  }

  private var networkTable: Markdown {
    let layerNames = pack.layers.map(\.name)
    let figures = pack.figures.filter { $0.unit != .error && !layerNames.contains($0.subject) }
    guard !figures.isEmpty else { return "" }
    var text: Markdown = "## Published figures of networks\n\n"
    text +=
      "| network | batch | pass | implementation | hardware | | unit | source |\n|---|---:|---|---|---|---:|---|---|\n"
    for figure in figures {
      text += Markdown.row([
        figure.subject, figure.batch.map { "\($0)" } ?? "", PaperReport.text(figure.passes),
        figure.implementation, figure.hardware, figure.text, figure.unit.rawValue,
        "[\(sourceNumber(figure.source))]",
      ])
    }
    return text + "\n"
  }

  private func sourceNumber(_ source: PaperSource) -> Int {
    (pack.sources.firstIndex(of: source) ?? 0) + 1
  }

  private var sourcesList: Markdown {
    var text: Markdown = ""
    for (index, source) in pack.sources.enumerated() {
      text += "\(index + 1). \(source.title), \(source.place): \(url: source.url)\n"
    }
    return text + "\n" + pack.notes.map { "- \($0)\n" as Markdown }.joined()
  }

  private static func cell(_ milliseconds: String, _ gflops: Double?) -> String {
    milliseconds + (gflops.map { " (\(RunReport.short($0)))" } ?? "")
  }

  /// `backward-data + backward-filter`.
  public static func text(_ passes: [ConvPass]) -> String {
    passes.map(\.rawValue).joined(separator: " + ")
  }
}
