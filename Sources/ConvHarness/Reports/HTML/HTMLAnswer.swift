import ConvCore

// The answer in words: who is fastest, what failed, how much the times can be trusted.
extension HTMLReport {
  var answerSection: String {
    var text = "<section id=\"answer\"><h2>Answer</h2>\(answerList)"
    text += (speedSentence.isEmpty ? "" : "<p>\(speedSentence)</p>") + verdictBox + noiseBox
    if !report.since.isEmpty {
      text += "<p class=\"note\">\(XMLText.escaped(RunReport.sentence(report.since)))</p>"
    }
    let table = totalsTable
    if !table.isEmpty {
      text +=
        "<h3>Networks</h3><p class=\"note\">Sums of time × how often the network has the layer, over the layers that "
      text += "were run.</p>\(table)\(styles.legend())\(totalsCharts)"
    }
    return text + "</section>"
  }

  /// What to take, as the console and `report.md` say it.
  private var answerList: String {
    let answer = report.answer
    func items(_ sentences: some Sequence<AnswerSentence>) -> String {
      sentences.map { "<li>\($0.written(engine: mention, text: XMLText.escaped))</li>" }.joined()
    }
    // More lines than that are no answer.
    let shown = 12
    let rest = answer.sentences.dropFirst(shown)
    let more =
      rest.isEmpty
      ? ""
      : "<details><summary>\(rest.count) more</summary><ul class=\"plain\">\(items(rest))</ul></details>"
    return "<ul class=\"plain lead\">\(items(answer.sentences.prefix(shown) + answer.remarks))</ul>\(more)"
  }

  /// Who is fastest, counted over layers; and how those did who choose among the engines.
  private var speedSentence: String {
    let timed = suites.flatMap(\.layers).filter { $0.item.best != nil }
    var sentences: [String] = []
    if timed.count > 1 {
      let picks = LayerTotals(timed.map(\.item)).picks
      let names = picks.map { pick in
        "\(mention(pick.engine)) in \(pick.count)"
          + (pick.clear == pick.count ? "" : " (\(pick.clear) clearly)")
      }
      sentences.append(
        "Of \(timed.count) layers and passes, the fastest engine is \(ReportNumbers.list(names)).")
      let ratios = timed.compactMap(\.item.best?.speedup).filter { $0.ratio.isFinite }
      if let largest = ratios.map(\.ratio).max(), !baseline.isEmpty, largest > 1.02 {
        let median = Statistics.median(ratios.map(\.ratio))
        sentences.append(
          "The fastest is \(RunReport.short(median)) × as fast as \(XMLText.escaped(baseline)) in the middle of all layers, "
            + "\(RunReport.short(largest)) × at best.")
      }
    }
    sentences += report.chooserSentences.map { XMLText.escaped($0) + "." }
    return sentences.joined(separator: " ")
  }

  /// Whether the results are right.
  private var verdictBox: String {
    let verdicts = Dictionary(grouping: report.rows, by: \.verification.verdict).mapValues(\.count)
    let failures = failedRows.count + failedTraining.count
    var text = ""
    if let sentence = report.partialSentence {
      let (word, rest) = (sentence.prefix { $0 != ":" }, sentence.drop { $0 != ":" }.dropFirst())
      text += "<div class=\"box warn\"><p><span class=\"warn-text\">\(word):</span>"
      text += "\(XMLText.escaped(String(rest)))</p></div>"
    }
    guard !report.rows.isEmpty || failures > 0 else { return text }
    var parts: [String] = []
    if let passed = verdicts[.passed] {
      let worst = report.rows.filter { $0.verification.verdict == .passed }.map(\.verification.errorRatio)
        .filter(\.isFinite).max()
      parts.append(
        "\(ReportNumbers.count(passed, "row")) passed"
          + (worst.map { ", the largest error is \(RunReport.short($0)) × its bound" } ?? ""))
    }
    let correlated = report.rows.count(where: \.verification.isCorrelated)
    if correlated > 0 { parts.append("\(correlated) correlated (<a href=\"#errors\">what that is</a>)") }
    for verdict in [Verdict.failed, .mistrusted, .missingReference] {
      if let count = verdicts[verdict] {
        parts.append("<span class=\"bad-text\">\(count) \(verdict.rawValue)</span>")
      }
    }
    if !failedTraining.isEmpty {
      parts.append(
        "<span class=\"bad-text\">\(ReportNumbers.count(failedTraining.count, "training run")) failed</span>")
    }
    if let declined = verdicts[.unsupported] { parts.append("\(declined) declined") }
    return text + "<div class=\"box \(failures > 0 ? "bad" : "good")\"><p>"
      + (failures > 0
        ? "Not everything passed: " : "Everything that was computed is within its derived bounds: ")
      + parts.joined(separator: "; ") + "."
      + (failures > 0 ? " <a href=\"#failures\">What did not, and how to see it again</a>." : "")
      + "</p></div>"
  }

  /// How wide the intervals are, and who had few rounds.
  private var noiseBox: String {
    let compared = report.rows.compactMap(\.speedup).filter {
      ![.baseline, .unknown].contains($0.verdict) && $0.ratio.isFinite
    }
    let wide = compared.count { $0.high - $0.low > 0.2 * $0.ratio }
    var lines: [String] =
      facts.noise.isEmpty ? [] : ["\(XMLText.escaped(facts.noise.joined(separator: "; ")))."]
    if wide > 0 {
      lines.append(
        "\(wide) of \(compared.count) speed-ups have a 95 % interval that is wider than ±10 % of the ratio.")
    }
    var few: [String: Int] = [:]
    for row in report.rows where !row.seconds.isEmpty && row.seconds.count < 15 {
      few[row.backend, default: 0] += 1
    }
    if !few.isEmpty {
      let names = styles.engines.compactMap { name in few[name].map { "\(XMLText.escaped(name)) (\($0))" } }
      lines.append("Rows with fewer than 15 rounds: \(ReportNumbers.list(names)).")
    }
    guard !lines.isEmpty else { return "" }
    let isNoisy = !facts.noise.isEmpty || wide * 5 > compared.count
    return "<div class=\"box\(isNoisy ? " warn" : "")\"><p>"
      + (isNoisy ? "<span class=\"warn-text\">Noise:</span> " : "Precision. ") + lines.joined(separator: " ")
      + "</p></div>"
  }

  /// An engine in running text: its mark and its name on one line.
  func mention(_ engine: String) -> String {
    "<span class=\"engine\">\(dot(engine))<b>\(XMLText.escaped(engine))</b></span>"
  }

  /// How often engines are the fastest, as a list.
  func list(_ picks: [(engine: String, count: Int, clear: Int)]) -> String {
    picks.map { "<span class=\"engine\">\(dot($0.engine))\(XMLText.escaped($0.engine)) \($0.count)</span>" }
      .joined(separator: ", ")
  }

  /// An engine's mark.
  func dot(_ engine: String) -> String {
    guard styles.engines.contains(engine) else { return "" }
    return
      "<svg class=\"dot \(styles.colour(engine))\" viewBox=\"-7 -7 14 14\" aria-hidden=\"true\"><path class=\"mark\" d=\""
      + styles.shape(engine) + "\"/></svg>"
  }
}
