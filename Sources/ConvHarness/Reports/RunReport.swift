import ConvCore
import Foundation

/// Everything that a run found, and the files that it becomes.
public struct RunReport: Sendable {
  /// Facts about the machine, the build and the libraries, in the order of the report.
  public var environment: [(key: String, value: String)]
  /// The exact command line.
  public var command: String
  /// When the run began, ISO 8601.
  public var date: String
  /// Measured limit, GFLOP/s of all threads, and how it was got.
  public var peak: Double
  public var rows: [ResultRow]
  public var training: [TrainingRow]
  /// Where the training images come from.
  public var trainingSource: String
  /// Whether the run was stopped before its end.
  public var isPartial = false
  /// Whether times were taken at all.
  public var hasTimes: Bool
  /// Measured limits for each number of threads.
  public var limits: [MachineLimits] = []
  /// What makes the results mean less than they seem to: libraries that run below the CPU's instruction set.
  public var warnings: [String] = []
  /// What else the machine did.
  public var noise: NoiseRecord?
  /// Where the time went.
  public var ledger: TimeLedger?
  /// What has changed since an earlier run, in a line; empty where it was not compared.
  public var since = ""

  /// Version of `run.json`; its schema is `Documentation/run-1.schema.json`.
  public static let format = "vbench-run-1"

  /// A report of the given findings.
  public init(
    environment: [(key: String, value: String)], command: String, date: String, peak: Double,
    rows: [ResultRow] = [], training: [TrainingRow] = [], trainingSource: String = "", hasTimes: Bool = true
  ) {
    self.environment = environment
    self.command = command
    self.date = date
    self.peak = peak
    self.rows = rows
    self.training = training
    self.trainingSource = trainingSource
    self.hasTimes = hasTimes
  }

  /// Whether any verification did not pass (declining is no failure).
  public var hasFailures: Bool {
    rows.contains { $0.verification.verdict != .passed && $0.verification.verdict != .unsupported }
      || training.contains { !$0.problem.isEmpty || ($0.trajectoryError ?? 0) > 1 }
  }

  /// Names of the files that are written, and of the journal that stands beside them while a run goes on.
  public static let files = [
    RunFiles.results, RunFiles.samples, RunFiles.training, RunFiles.layers, RunFiles.trajectory, RunFiles.run,
    "report.md", "report.html", RunJournal.name,
  ]

  /// Writes `results.csv`, `samples.csv`, `training.csv`, `layers.csv`, `trajectory.csv`, `run.json`, and what is made from them
  /// (`report.md`, `report.html`): all of them whole, or none.
  ///
  /// - Throws: `FileError`.
  public func write(to folder: String) throws {
    let files = RunFiles(
      folder: folder, results: ResultRow.csv(rows), samples: SampleTable.csv(rows),
      training: TrainingRow.csv(training), run: json, layers: LayerTable.csv(training),
      trajectory: TrajectoryTable.csv(training))
    // From what the files say, with their digits: a report that is remade from them is the same to the byte.
    let derived = try RunReport(files).derived
    try AtomicFolder.write(to: folder) { writer in
      try writer.write(RunFiles.results, files.results)
      try writer.write(RunFiles.samples, files.samples ?? "")
      try writer.write(RunFiles.training, files.training)
      try writer.write(RunFiles.layers, files.layers ?? "")
      try writer.write(RunFiles.trajectory, files.trajectory ?? "")
      try writer.write(RunFiles.run, files.run)
      for file in derived { try writer.write(file.name, file.text) }
    }
  }

  /// Writes anew what is made from the files of a run that is in `folder`; of a run that ended without any, all files from its
  /// journal, which stays.
  ///
  /// - Returns: The names of the files.
  /// - Throws: `FileError`, and what `init(reading:)` throws.
  public static func remake(in folder: String) throws -> [String] {
    if try isUnfinished(in: folder) {
      let report = try RunReport(unfinishedIn: folder)
      try report.write(to: folder)
      return report.derived.map(\.name)
    }
    let derived = try RunReport(reading: folder).derived
    try AtomicFolder.write(to: folder) { writer in
      for file in derived { try writer.write(file.name, file.text) }
    }
    return derived.map(\.name)
  }

  /// The files that are made from the tables and `run.json`.
  var derived: [(name: String, text: String)] {
    [("report.md", markdown), ("report.html", html)]
  }

  // MARK: Markdown

  /// `report.md`.
  public var markdown: String { document.source }

  private var document: Markdown {
    var text: Markdown = "# vbench run, \(date)\n\nWith charts: [report.html](report.html)\n\n"
    if let partialSentence { text += "**\(partialSentence)**\n\n" }
    text += answerSection
    text += libraryWarnings + noiseWarning + sinceNote
    text += Markdown.fenced(command) + "\n| machine | |\n|---|---|\n"
    for (key, value) in environment { text += Markdown.row([key, value]) }
    text += machineFacts + "\n" + verdictSummary + "\n" + chooserNote
    if !hasTimes { text += "A debug build refuses to time: the tables show errors only.\n\n" }
    text +=
      layerTables + verificationNotes + errorDistribution + trainingTable + trainingNotes + trajectoryTable
      + trainingLayerTables + threadTable + workspaceTable + phaseTable + networkTotals + skips + failures
      + mistrusted
    return text
  }

  private var backends: [String] {
    var seen = Set<String>()
    return rows.map(\.backend).filter { seen.insert($0).inserted }
  }

  private var verdictSummary: Markdown {
    let verdicts = Verdict.allCases
    var text: Markdown = "## Verdicts\n\n"
    text += Markdown.row(
      ["backend"] + verdicts.map(\.rawValue)
        + ["worst error / bound", "faster", "slower", "indistinguishable"])
    text += "|---" + Markdown(repeating: "|---:", count: verdicts.count + 4) + "|\n"
    for backend in backends {
      let own = rows.filter { $0.backend == backend }
      let counts = verdicts.map { verdict in "\(own.count { $0.verification.verdict == verdict })" }
      let worst = own.map(\.verification.errorRatio).filter { !$0.isNaN }.max()
      let speeds: [Speedup.Verdict] = [.faster, .slower, .indistinguishable]
      let speed = speeds.map { verdict in "\(own.count { $0.speedup?.verdict == verdict })" }
      text += Markdown.row(
        [backend] + counts + [CSV.number(worst.map { ($0 * 1e3).rounded() / 1e3 })] + speed)
    }
    return text
  }

  private var layerTables: Markdown {
    var text: Markdown = "## Layers\n\n"
    text +=
      "Time is the median of interleaved rounds, error the largest one of the verified results and the quotient with"
    text +=
      " its bound, bits how many of a result's are right (the column effective_bits). The speed-up is the median of paired"
    text += " ratios with the baseline, in brackets its 95 % interval; so is the"
    text +=
      " time beside that of the fastest engine of the problem. Percents of peak and roofline count the FLOPs of the direct"
    text += " algorithm: a better algorithm, or operands that fit into a cache, can exceed 100 %.\n\n"
    if let correlatedSentence { text += "\(RunReport.sentence(correlatedSentence))\n\n" }
    var suites: [String] = []
    for row in rows where !suites.contains(row.suite) { suites.append(row.suite) }
    let speeds = SpeedTexts(rows)
    for suite in suites {
      text += "### \(suite)\n\n"
      text +=
        "| layer | pass | backend | verdict | samples | median ms | GFLOP/s | peak % | roofline % | error max |"
      text += " error / bound | bits | speed-up | | time / best | |\n"
      text += "|---|---|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|---:|---|\n"
      var last: Markdown = ""
      for (index, row) in rows.enumerated() where row.suite == suite {
        let layer = RunReport.layer(row)
        let pass = ([row.pass.rawValue] + conditions(row)).joined(separator: ", ")
        let key: Markdown = "\(layer)\(pass)"
        let head = key == last ? ["", ""] : [layer, .text(pass)]
        last = key
        let cells = [
          RunReport.engine(row),
          row.verification.verdictText, row.seconds.isEmpty ? "" : "\(row.seconds.count)",
          RunReport.short(row.medianMilliseconds),
          RunReport.short(row.gflopsEffective), RunReport.short(row.peakPercent),
          RunReport.short(row.rooflinePercent),
          RunReport.scientific(row.verification.errorMax), RunReport.short(row.verification.errorRatio),
          row.verification.bitsText, speeds[index].speedup, speeds[index].verdict, speeds[index].timeToBest,
          speeds[index].besideBest,
        ]
        text += Markdown.row(head + cells.map(Markdown.text))
      }
      text += "\n"
    }
    return text
  }

  private var trainingTable: Markdown {
    guard !training.isEmpty else { return "" }
    var text: Markdown =
      "## Training steps\n\nImages: \(trainingSource). The trajectory error is the largest deviation from the"
    text += " stored float64 training run as a fraction of what is allowed.\n\n"
    text +=
      "| network | backend | batch | steps | step ms | forward | backward | optimizer | images/s | loss | trajectory"
    text +=
      " error | speed-up | | time / best | |\n|---|---|---:|---:|---:|---:|---:|---:|---:|---|---:|---:|---|---:|---|\n"
    for row in training {
      let speed = row.speedTexts(among: training, baseline: baseline)
      let cells = [
        row.network, row.backend, "\(row.batch)", "\(row.steps)", RunReport.milliseconds(row.stepSeconds),
        RunReport.milliseconds(row.forward), RunReport.milliseconds(row.backward),
        RunReport.milliseconds(row.optimizer),
        row.forward.isEmpty
          ? "" : RunReport.short(Double(row.batch) / Statistics.median(row.stepSeconds)),
        row.losses.isEmpty
          ? row.problem + row.declined
          : "\(RunReport.short(row.losses.first)) → \(RunReport.short(row.losses.last))",
        RunReport.short(row.trajectoryError), speed.speedup, speed.verdict, speed.timeToBest,
        speed.besideBest,
      ]
      text += Markdown.row(cells)
    }
    return text + "\n"
  }

  /// Who computed a row: `winograd[tile=4x4]`, with lowerings `winograd[tile=4x4], groups`, and by a backend that chose an engine
  /// `auto: winograd[tile=4x4]`.
  static func engine(_ row: ResultRow) -> String {
    if row.variant.isEmpty { return row.backend }
    var text = row.variant
    if row.executedBy.contains(" via ") {
      text += ", \(row.executedBy.components(separatedBy: " via ").dropFirst().joined())"
    }
    let backend = row.backend.prefix { $0 != "[" }
    return row.executedBy.hasPrefix(backend) ? text : "\(backend): \(text)"
  }

  /// Three significant digits.
  public static func short(_ value: Double?) -> String {
    guard let value, value.isFinite else { return "" }
    let magnitude = abs(value)
    if magnitude >= 100 || magnitude == 0 { return String(format: "%.0f", value) }
    if magnitude >= 10 { return String(format: "%.1f", value) }
    if magnitude >= 1 { return String(format: "%.2f", value) }
    return magnitude >= 1e-3 ? String(format: "%.3f", value) : scientific(value)
  }

  static func scientific(_ value: Double) -> String { value.isFinite ? String(format: "%.1e", value) : "" }

  static func milliseconds(_ seconds: [Double]) -> String { short(Statistics.median(seconds) * 1e3) }

  /// `1.83 (1.80–1.86)`, without an interval where there are fewer than two rounds; empty for the baseline.
  public static func speedup(_ speedup: Speedup?) -> String {
    guard let speedup, speedup.verdict != .baseline, speedup.ratio.isFinite else { return "" }
    if speedup.verdict == .unknown { return short(speedup.ratio) }
    return ratio(speedup.ratio, speedup.low, speedup.high)
  }

  /// `1.83 (1.80–1.86)`; in words where an interval spans more than a factor of a thousand, as that of two rounds can.
  static func ratio(_ ratio: Double, _ low: Double, _ high: Double) -> String {
    let interval = high <= 1000 * low ? "\(short(low))–\(short(high))" : "too few rounds"
    return "\(short(ratio)) (\(interval))"
  }

  // MARK: JSON

  /// `run.json`: the columns of both tables with the raw samples in seconds.
  public var json: String {
    func object(_ fields: [(String, String)]) -> String {
      fields.map { "\(JSONValue.quoted($0.0)): \(JSONValue.quoted($0.1))" }.joined(separator: ", ")
    }
    func list(_ values: [Double]) -> String {
      "[" + values.map { CSV.number($0) }.joined(separator: ", ") + "]"
    }
    var text = "{\n  \"format\": \"\(RunReport.format)\",\n  \"date\": \(JSONValue.quoted(date)),\n"
    text += "  \"command\": \(JSONValue.quoted(command)),\n  \"partial\": \(isPartial),\n"
    text += "  \"fma_peak_gflops\": \(peak.isFinite ? CSV.number(peak) : "0"),\n"
    text += "  \"has_times\": \(hasTimes),\n  \"training_source\": \(JSONValue.quoted(trainingSource)),\n"
    text += "  \"environment\": {\(object(environment.map { ($0.key, $0.value) }))},\n"
    text +=
      "  \"environment_order\": [\(environment.map { JSONValue.quoted($0.key) }.joined(separator: ", "))],\n"
    text += machineMembers + "  \"results\": [\n"
    text += rows.map { "    {\(object($0.fields)), \"seconds\": \(list($0.seconds))}" }.joined(
      separator: ",\n")
    text += "\n  ],\n  \"training\": [\n"
    text += training.map { row in
      "    {\(object(row.fields)), \"losses\": \(list(row.losses)), \"forward_seconds\": \(list(row.forward)), "
        + "\"backward_seconds\": \(list(row.backward)), \"optimizer_seconds\": \(list(row.optimizer))}"
    }.joined(separator: ",\n")
    return text + "\n  ]\n}\n"
  }
}
