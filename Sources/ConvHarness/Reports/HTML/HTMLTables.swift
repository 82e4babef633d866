import ConvCore

// Every row, with the text that its CSV has beside the rounded one; and what was declined.
extension HTMLReport {
  func table(_ suite: ReportSuite) -> String {
    let hasBest = suite.layers.flatMap(\.rows).contains { !facts.besideBest($0).word.isEmpty }
    var body = ""
    for layer in suite.layers {
      body +=
        "<tr class=\"layer\"><th colspan=\"\(hasBest ? 14 : 13)\" scope=\"rowgroup\">\(XMLText.escaped(layer.title))"
      body += "<span class=\"pass\">\(XMLText.escaped(layer.condition.label))</span>"
      if !layer.name.isEmpty { body += "<code>\(XMLText.escaped(layer.problem))</code>" }
      if layer.multiplicity != 1 { body += "<span class=\"pass\">× \(layer.multiplicity)</span>" }
      body += "</th></tr>"
      let fastest = layer.item.best?.backend
      let rows = layer.sortedRows
      let speeds = SpeedTexts(rows)
      for (index, row) in rows.enumerated() {
        body += tableRow(row, speeds[index], isFastest: row.backend == fastest, hasBest: hasBest)
      }
    }
    let heads = [
      ("engine", ""), ("verdict", ""), ("median ms", "n"), ("error beside its bound", "n"),
      ("largest error", "n"), ("bits", "n"), ("speed-up (95 %)", "n"),
    ]
    let rest = [
      ("GFLOP/s", "n"), ("% of peak", "n"), ("least ms", "n"), ("rounds", "n"), ("workspace", "n"),
      ("command", ""),
    ]
    let all = heads + (hasBest ? [("beside the best", "n")] : []) + rest
    let head = all.map { "<th\($0.1.isEmpty ? "" : " class=\"n\"") scope=\"col\">\($0.0)</th>" }.joined()
    return
      "<h3>All results</h3><div class=\"scroll\"><table class=\"results\"><thead><tr>\(head)</tr></thead><tbody>\(body)"
      + "</tbody></table></div>"
  }

  /// A cell with a rounded number and the CSV's text.
  private func number(_ column: String, _ value: Double?, _ shown: String) -> String {
    "<td class=\"n\(column == "speedup" ? " wide" : "")\" data-c=\"\(column)\" data-v=\"\(CSV.number(value))\">\(shown)</td>"
  }

  private func tableRow(
    _ row: ResultRow, _ speed: SpeedTexts.Text, isFastest: Bool, hasBest: Bool
  ) -> String {
    let check = row.verification
    var verdict: String
    switch check.verdict {
    case .passed: verdict = "<span class=\"good-text\">✓<span class=\"word\"> passed</span></span>"
    case .unsupported: verdict = "<span class=\"sub\">declined</span>"
    default: verdict = "<span class=\"bad-text\">✗ \(check.verdict.rawValue)</span>"
    }
    if check.isCorrelated { verdict += under("correlated") }
    var text = "<tr\(isFastest ? " class=\"fastest\"" : "") data-backend=\"\(XMLText.escaped(row.backend))\">"
    text += "<td>\(dot(row.backend))\(engineCell(row))</td><td>\(verdict)</td>"
    text += number("median_ms", row.medianMilliseconds, RunReport.short(row.medianMilliseconds))
    let bound = ReportNumbers.besideBound(check)
    let split = bound.range(of: " = ")?.lowerBound ?? bound.endIndex
    text += number(
      "error_ratio", check.errorRatio, String(bound[..<split]) + under(String(bound[split...])))
    text += number("error_max", check.errorMax, ReportNumbers.error(check.errorMax))
    text += number("effective_bits", check.effectiveBits, check.bitsText)
    if check.verdict != .passed && !row.medianMilliseconds.isFinite {
      // The reason takes the place of the times.
      text += "<td class=\"wrap sub\" colspan=\"\(hasBest ? 6 : 5)\">\(XMLText.escaped(check.reason))</td>"
    } else {
      text += number(
        "speedup", row.speedup?.ratio,
        speed.speedup + under(speedVerdict(speed)))
      if hasBest {
        let (ratio, word) = facts.besideBest(row)
        text += "<td class=\"n wide\">\(XMLText.escaped(ratio))\(under(XMLText.escaped(word)))</td>"
      }
      text += number("gflops_effective", row.gflopsEffective, RunReport.short(row.gflopsEffective))
      text += number("peak_percent", row.peakPercent, RunReport.short(row.peakPercent))
      text += number("min_ms", row.minMilliseconds, RunReport.short(row.minMilliseconds))
      text += "<td class=\"n\">\(row.seconds.isEmpty ? "" : "\(row.seconds.count)")</td>"
    }
    text +=
      "<td class=\"n\" data-c=\"workspace_bytes\" data-v=\"\(row.workspaceBytes.map { "\($0)" } ?? "")\">"
    text += "\(row.workspaceBytes.map(ReportNumbers.bytes) ?? "")</td>"
    return text + "<td><code class=\"command\" tabindex=\"0\">\(XMLText.escaped(row.repro))</code></td></tr>"
  }

  /// Words below the number of a cell.
  private func under(_ words: String) -> String {
    words.isEmpty ? "" : "<span class=\"under\">\(words)</span>"
  }

  /// The engine in full words, its variant smaller.
  private func engineCell(_ row: ResultRow) -> String {
    let text = RunReport.engine(row)
    guard let open = text.firstIndex(of: "[") else { return XMLText.escaped(text) }
    return XMLText.escaped(String(text[..<open]))
      + "<span class=\"variant\">\(XMLText.escaped(String(text[open...])))</span>"
  }

  /// The word beside a speed-up.
  func speedVerdict(_ speed: SpeedTexts.Text) -> String {
    let isGood = speed.verdict == Speedup.Verdict.faster.rawValue
    return "<span class=\"\(isGood ? "good-text" : "sub")\">\(XMLText.escaped(speed.verdict))</span>"
  }

  /// What engines declined, by engine and reason.
  var declinedSection: String {
    struct Key: Hashable { var backend, reason: String }
    var order: [Key] = []
    var layers: [Key: [String]] = [:]
    for row in report.rows where row.verification.verdict == .unsupported {
      let key = Key(backend: row.backend, reason: row.verification.reason)
      if layers[key] == nil { order.append(key) }
      layers[key, default: []].append(
        "\(row.name.isEmpty ? row.problem : "\(row.suite) \(row.name)") \(row.pass.rawValue)")
    }
    guard !order.isEmpty else { return "" }
    let heads = [("engine", false), ("rows", true), ("reason", false), ("layers", false)]
      .map { (name: $0.0, isNumber: $0.1) }
    let rows = order.map { key -> String in
      let names = layers[key] ?? []
      let layers = XMLText.escaped(names.prefix(6).joined(separator: ", ") + (names.count > 6 ? ", …" : ""))
      return foldedRow(
        [
          Cell("\(dot(key.backend))\(XMLText.escaped(key.backend))"), Cell("\(names.count)", isNumber: true),
          Cell(XMLText.escaped(key.reason), style: "wrap"), Cell(layers, style: "wrap sub"),
        ], heads: heads.map(\.name))
    }
    return
      "<section id=\"declined\"><h2>Declined</h2>\(foldedTable("declined", heads: heads, rows: rows.joined()))</section>"
  }
}
