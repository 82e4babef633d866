import ConvCore

/// What did not pass, as lists of `report.md`.
extension RunReport {
  /// What engines declined.
  var skips: Markdown {
    let skipped = rows.filter { $0.verification.verdict == .unsupported }
    guard !skipped.isEmpty else { return "" }
    var text: Markdown = "## Declined\n\n| backend | problem | pass | reason |\n|---|---|---|---|\n"
    for row in skipped {
      text +=
        "| \(row.backend) | \(code: row.problem) | \(row.pass.rawValue) | \(row.verification.reason) |\n"
    }
    return text + "\n"
  }

  /// What is wrong, or has nothing to be compared with.
  var failures: Markdown {
    let failed = rows.filter { [.failed, .missingReference].contains($0.verification.verdict) }
    guard !failed.isEmpty else { return "" }
    var text: Markdown = "## Not passed\n\n"
    for row in failed {
      text +=
        "- \(row.verification.verdictText): \(row.backend), \(row.pass.rawValue) \(item(row)): "
      text += "\(row.verification.reasonText)\n  \(code: row.repro)\n"
      if !row.minimalRepro.isEmpty { text += "  shrunk to: \(code: row.minimalRepro)\n" }
    }
    return text + "\n"
  }

  /// Rows whose data cannot tell a right result from a wrong one: not passed either.
  var mistrusted: Markdown {
    let doubtful = rows.filter { $0.verification.verdict == .mistrusted }
    guard !doubtful.isEmpty else { return "" }
    var text: Markdown =
      "## Mistrusted\n\n\(mistrustedShare): \(Verification.mistrustedSentence).\n\n"
    text += "| item | pass | engine | reason | command |\n|---|---|---|---|---|\n"
    for row in doubtful {
      let commands = [row.repro, row.minimalRepro].filter { !$0.isEmpty }.map(Markdown.code)
      let cells: [Markdown] = [
        item(row), .text(([row.pass.rawValue] + conditions(row)).joined(separator: ", ")),
        .text(row.backend + row.verification.correlatedMark), .text(row.verification.reasonText),
        commands.joined(separator: ", shrunk to: "),
      ]
      text += Markdown.row(cells)
    }
    return text + "\n"
  }

  /// `2 of 120 judged rows (1.7 %), which count as not passed`; judged is what passed, failed or is mistrusted.
  var mistrustedShare: String {
    let judged = rows.filter { [.passed, .failed, .mistrusted].contains($0.verification.verdict) }
    let count = judged.count { $0.verification.verdict == .mistrusted }
    let percent = RunReport.short(100 * Double(count) / Double(max(1, judged.count)))
    return "\(count) of \(ReportNumbers.count(judged.count, "judged row")) (\(percent) %), which "
      + (count == 1 ? "counts" : "count") + " as not passed"
  }

  /// `resnet50 conv1 ` and the problem.
  private func item(_ row: ResultRow) -> Markdown {
    "\(row.name.isEmpty ? "" : "\(row.suite) \(row.name) ")\(code: row.problem)"
  }

  /// With a capital letter and a full stop.
  static func sentence(_ text: String) -> String { text.prefix(1).uppercased() + text.dropFirst() + "." }
}
