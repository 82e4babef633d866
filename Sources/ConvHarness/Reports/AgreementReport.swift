import ConvCore
import Foundation

/// How far times agree with themselves: engines alone and in company, an engine and its copy.
public struct AgreementReport: Sendable {
  public var environment: [(key: String, value: String)]
  public var command: String
  public var date: String
  public var rows: [CompanyRow] = []
  /// Rows of copies against the engine that they are copies of.
  public var copies: [ResultRow] = []
  public var warnings: [String] = []
  public var noise: NoiseRecord?
  public var isPartial = false
  /// Engines that were timed in company, but not in every visit of both ways: those ten times slower than the best are spared.
  public var leftOut: [String] = []

  /// A report without rows.
  public init(environment: [(key: String, value: String)], command: String, date: String) {
    self.environment = environment
    self.command = command
    self.date = date
  }

  /// Rows that agree, of how many.
  public static func share(_ agreeing: Int, of count: Int) -> String {
    let percent = count > 0 ? String(format: " (%.1f %%)", 100 * Double(agreeing) / Double(count)) : ""
    return "\(agreeing) of \(count) rows\(percent)"
  }

  /// The sentence about company.
  public var companySentence: String {
    let ratios = rows.map(\.comparison.ratio)
    let spread = [0.05, 0.5, 0.95].map { RunReport.short(Statistics.quantile(ratios, $0)) }
    return
      "alone and in the company of all others: \(Self.share(rows.count(where: \.agrees), of: rows.count)) agree"
      + (rows.isEmpty
        ? ""
        : "; time in company over time alone \(spread[1]) (median; 90 % of the rows \(spread[0])–\(spread[2]))")
  }

  /// The sentence about how much the other one can show.
  public var powerSentence: String {
    let widths = rows.map { $0.comparison.relativeWidth }
    let narrow = widths.count { $0 <= 0.1 }
    return
      "intervals are \(RunReport.short(Statistics.median(widths) * 100)) % of the ratio wide in the median; "
      + "in \(narrow) rows at most 10 %, so that a difference of 5 % would be told"
  }

  /// The sentence about copies; nil where there are none.
  public var copySentence: String? {
    guard !copies.isEmpty else { return nil }
    let agreeing = copies.count { $0.speedup?.verdict == .indistinguishable }
    return "an engine and its own copy: \(Self.share(agreeing, of: copies.count)) indistinguishable"
  }

  /// Names of the files that are written.
  public static let files = ["agreement.md", "company.csv", "copies.csv"]

  /// Writes `files` whole, or none.
  ///
  /// - Throws: `FileError`.
  public func write(to folder: String) throws {
    try AtomicFolder.write(to: folder) { writer in
      try writer.write("agreement.md", markdown)
      try writer.write("company.csv", csv)
      try writer.write("copies.csv", ResultRow.csv(copies))
    }
  }

  /// `company.csv`.
  public var csv: String {
    let header = [
      "suite", "problem", "name", "pass", "backend", "threads", "format", "filter_state", "cache", "visits",
      "alone_ms", "company_ms", "ratio", "ratio_low", "ratio_high", "agrees", "untimed_alone",
      "untimed_company",
    ]
    return CSV.text(
      header: header,
      rows: rows.map { row in
        let problem = row.item.problem
        return [
          row.item.suite, problem.problem.description, problem.name, row.item.pass.rawValue, row.backend,
          "\(row.threads)", row.item.format.rawValue, row.item.filterState.rawValue, row.cache.rawValue,
          "\(row.alone.count)", CSV.number(Statistics.median(row.alone) * 1e3),
          CSV.number(Statistics.median(row.company) * 1e3), CSV.number(row.comparison.ratio),
          CSV.number(row.comparison.low), CSV.number(row.comparison.high), "\(row.agrees)",
          row.untimed.alone.map { "\($0)" } ?? "", row.untimed.company.map { "\($0)" } ?? "",
        ]
      })
  }

  /// `agreement.md`.
  public var markdown: String { document.source }

  private var document: Markdown {
    var machine = RunReport(environment: [], command: command, date: date, peak: 0)
    (machine.warnings, machine.noise) = (warnings, noise)
    var text: Markdown = "# vbench agreement, \(date)\n\n" + machine.libraryWarnings + machine.noiseWarning
    if isPartial { text += "**Interrupted: what follows is what had been measured by then.**\n\n" }
    text += Markdown.fenced(command) + "\n| machine | |\n|---|---|\n"
    for (key, value) in environment { text += Markdown.row([key, value]) }
    if let noise, !noise.summary.isEmpty { text += Markdown.row(["noise", noise.summary]) }
    text += "\n- \(companySentence)\n"
    if !rows.isEmpty { text += "- \(powerSentence)\n" }
    if let copySentence { text += "- \(copySentence)\n" }
    if !leftOut.isEmpty {
      text +=
        "- without a row, since they take more than ten times as long as the best and are sampled less: "
      text += "\(leftOut.count), \(leftOut.joined(separator: "; "))\n"
    }
    text +=
      "\nA row agrees where the interval of its ratio contains 1 or the difference is at most 2 %. Both ways were "
    text += "measured in turn, visit by visit; a ratio is the median over visits.\n\n"
    text +=
      "| layer | pass | engine | alone ms | in company ms | ratio | agrees |\n|---|---|---|---:|---:|---:|---|\n"
    for row in rows {
      let problem = row.item.problem
      let name = problem.name.isEmpty ? "" : "\(row.item.suite) \(problem.name) "
      let cells: [Markdown] = [
        "\(name)\(code: problem.problem.description)",
        "\(row.item.pass.rawValue), \(row.item.filterState.rawValue)", .code(row.backend),
        .text(RunReport.milliseconds(row.alone)), .text(RunReport.milliseconds(row.company)),
        .text(RunReport.ratio(row.comparison.ratio, row.comparison.low, row.comparison.high)),
        row.agrees ? "yes" : "**no**",
      ]
      text += Markdown.row(cells)
    }
    return text
  }
}
