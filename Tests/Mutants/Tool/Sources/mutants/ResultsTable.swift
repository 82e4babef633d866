import Foundation

/// The committed table: what the tests said of each mutant when it last ran.
struct ResultsTable {
  struct Row {
    var name, title, verdict, detail, seconds: String
    /// The working tree's commit then: short, with `+` where files differed from it.
    var commit: String
  }

  private(set) var rows: [Row]
  /// When all of them ran in one pass, on which commit and machine, and what its steps took.
  private(set) var pass: String

  /// The table of a pass over all mutants.
  init(_ outcomes: [Outcome], commit: String, machine: String, durations: [(step: String, seconds: Double)]) {
    rows = outcomes.map { Row($0, commit: commit) }
    let day = Date.now.formatted(.iso8601.year().month().day())
    let steps = durations.map { "\($0.step) \(Self.minutes($0.seconds))" }.joined(separator: ", ")
    pass = "The last full pass: \(day), commit \(commit), \(machine); \(steps)."
  }

  /// Reads what `markdown` wrote.
  init(reading text: String) {
    let lines = text.components(separatedBy: "\n")
    pass = lines.first { $0.hasPrefix("The last full pass: ") } ?? "The last full pass: none."
    rows = lines.compactMap { line in
      // Cells hold `\|` for a bar.
      let cells = line.replacingOccurrences(of: "\\|", with: "\u{0}").components(separatedBy: "|").map {
        $0.trimmingCharacters(in: .whitespaces).replacingOccurrences(of: "\u{0}", with: "|")
      }
      guard cells.count == 8, !cells[1].hasPrefix("-"), cells[1] != "mutant" else { return nil }
      return Row(
        name: cells[1], title: cells[2], verdict: cells[3], detail: cells[4], seconds: cells[5],
        commit: cells[6])
    }
  }

  /// Takes the rows of some mutants that ran again; rows of mutants that there are no more leave.
  mutating func update(_ outcomes: [Outcome], commit: String, existing names: Set<String>) {
    let new = outcomes.map { Row($0, commit: commit) }
    let replaced = Set(new.map(\.name))
    rows = rows.filter { names.contains($0.name) && !replaced.contains($0.name) } + new
  }

  /// `390 caught, 0 SURVIVED, …`
  var counts: String {
    Verdict.words.map { word in "\(rows.count { $0.verdict == word }) \(word)" }.joined(separator: ", ")
  }

  var markdown: String {
    var lines = [
      "# What the tests say of each mutant", "",
      "Written by `make mutants`; a run of some mutants (`make mutants ARGS=NAME`) replaces their rows.", "",
      "\(rows.count) mutants: \(counts).", "", pass, "",
      "| mutant | what is wrong | verdict | first test that failed, or why not | s | commit |",
      "|---|---|---|---|---:|---|",
    ]
    for row in rows.sorted(by: { $0.name < $1.name }) {
      let cells = [row.name, row.title, row.verdict, row.detail, row.seconds, row.commit]
      lines.append(
        "| " + cells.map { $0.replacingOccurrences(of: "|", with: "\\|") }.joined(separator: " | ") + " |")
    }
    return lines.joined(separator: "\n") + "\n"
  }

  static func minutes(_ seconds: Double) -> String { String(format: "%.1f min", seconds / 60) }
}

extension ResultsTable.Row {
  init(_ outcome: Outcome, commit: String) {
    self.init(
      name: outcome.mutant.name, title: outcome.mutant.title, verdict: outcome.verdict.word,
      detail: outcome.verdict.detail, seconds: String(format: "%.0f", outcome.seconds), commit: commit)
  }
}
