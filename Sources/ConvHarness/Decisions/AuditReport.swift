import ConvCore
import Foundation

/// Whether automatic choices are good ones: `audit.md` and `audit.csv`.
public struct AuditReport: Sendable {
  public var environment: [(key: String, value: String)]
  public var command: String
  public var date: String
  public var audit: CostModelAudit
  public var warnings: [String] = []
  public var noise: NoiseRecord?
  public var isPartial = false

  /// A report of an audit.
  public init(
    environment: [(key: String, value: String)], command: String, date: String, audit: CostModelAudit
  ) {
    self.environment = environment
    self.command = command
    self.date = date
    self.audit = audit
  }

  /// As in `auto is within 10 % of the fastest engine in 334 of 348 rows (96.0 %); geometric mean of best over auto 0.988`.
  public var sentence: String {
    AuditReport.sentence(audit.entries, of: audit)
  }

  private static func sentence(_ entries: [CostModelAudit.Entry], of audit: CostModelAudit) -> String {
    let within = entries.count { $0.isSamePlan || $0.ratio <= 1 + audit.tolerance }
    let percent =
      entries.isEmpty ? "" : String(format: " (%.1f %%)", 100 * Double(within) / Double(entries.count))
    return
      "auto is within \(Int((audit.tolerance * 100).rounded())) % of the fastest engine in \(within) of \(entries.count) rows"
      + percent
      + (entries.isEmpty
        ? "" : String(format: "; geometric mean of best over auto %.3f", CostModelAudit.mean(entries)))
  }

  /// The head of `parts`.
  public static let partHeader = ["pass", "format", "rows", "within 10 %", "best / auto", "worst"]

  /// Rows by pass and format.
  public var parts: [[String]] {
    var seen: [[String]] = []
    return audit.entries.compactMap { entry in
      let key = [entry.chosen.pass.rawValue, entry.chosen.format.rawValue]
      if seen.contains(key) { return nil }
      seen.append(key)
      let own = audit.entries.filter { [$0.chosen.pass.rawValue, $0.chosen.format.rawValue] == key }
      let within = own.count { $0.isSamePlan || $0.ratio <= 1 + audit.tolerance }
      let worst = own.filter { !$0.isSamePlan }.map(\.ratio).max() ?? 1
      return key + [
        "\(own.count)", String(format: "%.1f %%", 100 * Double(within) / Double(own.count)),
        String(format: "%.3f", CostModelAudit.mean(own)), String(format: "%.2f", worst),
      ]
    }
  }

  /// The head of `misses`.
  public static let missHeader = [
    "layer", "pass", "auto took", "ms", "predicted", "best", "ms", "predicted", "ratio",
  ]

  /// Rows where another engine was faster by more than the tolerance.
  public var misses: [[String]] {
    audit.misses.map { miss in
      let (chosen, best) = (miss.chosen, miss.best)
      return [
        chosen.name.isEmpty ? chosen.problem : "\(chosen.suite) \(chosen.name)",
        "\(chosen.pass.rawValue), \(chosen.format.rawValue)", chosen.variant,
        RunReport.short(chosen.medianMilliseconds), RunReport.short(chosen.predictedMilliseconds),
        best.variant,
        RunReport.short(best.medianMilliseconds), RunReport.short(best.predictedMilliseconds),
        RunReport.short(miss.ratio),
      ]
    }
  }

  /// Names of the files that are written.
  public static let files = ["audit.md", "audit.csv"]

  /// Writes `files` whole, or none.
  ///
  /// - Throws: `FileError`.
  public func write(to folder: String) throws {
    try AtomicFolder.write(to: folder) { writer in
      try writer.write("audit.md", markdown)
      try writer.write("audit.csv", csv)
    }
  }

  /// `audit.csv`: one line per row.
  public var csv: String {
    let header = [
      "suite", "problem", "name", "pass", "format", "filter_state", "threads", "auto_variant",
      "auto_executed_by",
      "auto_ms", "auto_predicted_ms", "best", "best_variant", "best_ms", "best_predicted_ms", "ratio",
      "same_plan",
      "rounds",
    ]
    return CSV.text(
      header: header,
      rows: audit.entries.map { entry in
        let (own, best) = (entry.chosen, entry.best)
        return [
          own.suite, own.problem, own.name, own.pass.rawValue, own.format.rawValue, own.filterState.rawValue,
          "\(own.threads)", own.variant, own.executedBy, CSV.number(own.medianMilliseconds),
          CSV.number(own.predictedMilliseconds), best.backend, best.variant,
          CSV.number(best.medianMilliseconds),
          CSV.number(best.predictedMilliseconds), CSV.number(entry.ratio), entry.isSamePlan ? "yes" : "no",
          "\(own.rounds.count)",
        ]
      })
  }

  /// `audit.md`.
  public var markdown: String { document.source }

  private var document: Markdown {
    var machine = RunReport(environment: [], command: command, date: date, peak: 0)
    (machine.warnings, machine.noise) = (warnings, noise)
    var text: Markdown =
      "# vbench explain --audit, \(date)\n\n" + machine.libraryWarnings + machine.noiseWarning
    if isPartial { text += "**Interrupted: what follows is what had been measured by then.**\n\n" }
    text += Markdown.fenced(command) + "\n| machine | |\n|---|---|\n"
    for (key, value) in environment { text += Markdown.row([key, value]) }
    if let noise, !noise.summary.isEmpty { text += Markdown.row(["noise", noise.summary]) }
    text += "\n- \(sentence)\n"
    text +=
      "- the best engine of a row is chosen by its even rounds and compared in its odd ones; where auto took the best "
    text += "engine's very plan, the row is within, and its ratio is noise\n"
    text += AuditReport.table(AuditReport.partHeader, parts)
    if !audit.misses.isEmpty {
      text +=
        "\nRows where another engine was faster by more than \(Int((audit.tolerance * 100).rounded())) %:\n\n"
      text += AuditReport.table(AuditReport.missHeader, misses)
    }
    return text
  }

  private static func table(_ header: [String], _ rows: [[String]]) -> Markdown {
    "\n" + ([header, header.map { _ in "---" }] + rows).map { Markdown.row($0) }.joined()
  }
}
