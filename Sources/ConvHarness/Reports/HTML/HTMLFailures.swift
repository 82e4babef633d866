import ConvCore

// What did not pass, with the reasons and the commands that show it again; mistrusted rows in a list of their own.
extension HTMLReport {
  var failedRows: [ResultRow] {
    report.rows.filter { [.failed, .mistrusted, .missingReference].contains($0.verification.verdict) }
  }

  var failedTraining: [TrainingRow] {
    report.training.filter { !$0.problem.isEmpty || ($0.trajectoryError ?? 0) > 1 }
  }

  var failureSection: String {
    let doubtful = failedRows.filter { $0.verification.verdict == .mistrusted }
    let wrong = list(failedRows.filter { $0.verification.verdict != .mistrusted })
    let training = failedTraining.map { row in
      let reason =
        row.problem.isEmpty
        ? "deviates from the stored trajectory by \(RunReport.short(row.trajectoryError)) times what is allowed"
        : row.problem
      return
        "<li><span class=\"bad-text\">failed</span>: \(mention(row.backend)), training "
        + "\(XMLText.escaped(row.network)): \(XMLText.escaped(reason))</li>"
    }
    var text = ""
    if !wrong.items.isEmpty || !training.isEmpty { text += box(wrong.items + training, rest: wrong.rest) }
    if !doubtful.isEmpty {
      let (items, rest) = list(doubtful)
      let meaning = XMLText.escaped(Verification.mistrustedSentence)
      text += "<h3>Mistrusted</h3><p>\(report.mistrustedShare): \(meaning).</p>\(box(items, rest: rest))"
    }
    return text.isEmpty ? "" : "<section id=\"failures\"><h2>Not passed</h2>\(text)</section>"
  }

  /// The first hundred tell enough; JUnit and the CSV have the others.
  private func list(_ rows: [ResultRow]) -> (items: [String], rest: Int) {
    let items = rows.prefix(100).map { row in
      let check = row.verification
      let layer = row.name.isEmpty ? "" : "\(row.suite) \(row.name), "
      let bound = ReportNumbers.besideBound(check)
      let bits = check.effectiveBits.isFinite ? ", \(check.bitsText) bits right" : ""
      return "<li><span class=\"bad-text\">\(check.verdict.rawValue)</span>\(check.correlatedMark): "
        + "\(mention(row.backend)), \(row.pass.rawValue), \(XMLText.escaped(layer))"
        + "<code>\(XMLText.escaped(row.problem))</code>: \(XMLText.escaped(check.reason))"
        + (bound.isEmpty ? "" : " (error \(bound)\(bits))")
        + "<code class=\"command\">\(XMLText.escaped(row.repro))</code></li>"
    }
    return (items, max(0, rows.count - 100))
  }

  private func box(_ items: [String], rest: Int) -> String {
    "<div class=\"box bad\"><ul class=\"plain\">\(items.joined())</ul>"
      + (rest > 0 ? "<p>… and \(rest) more in <code>results.csv</code>.</p>" : "") + "</div>"
  }
}
