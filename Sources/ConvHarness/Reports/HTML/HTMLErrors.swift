import ConvCore

// How near the errors come to their bounds, by engine: a chart and its numbers.
extension HTMLReport {
  var errorSection: String {
    let all = ErrorDistribution.all(report.rows)
    let chart = ErrorChart(distributions: all, styles: styles)
    guard !chart.isEmpty else { return "" }
    let notes = ["whiskers: least and largest", "box: quartiles", "bar: median", "hollow: sums"]
    let names = all.filter { $0.verified > 0 }.map(\.backend)
    let bounds = report.boundText.map { "<p class=\"note\">\(XMLText.escaped($0))</p>" }
    return "<section id=\"errors\"><h2>Errors beside their bounds</h2>"
      + "<p>\(XMLText.escaped(RunReport.distributionText))</p>"
      + styles.legend(names, notes: notes)
      + "<div class=\"grid\">\(figure("All rows", chart.svg()))</div>\(table(all))\(bounds.joined())</section>"
  }

  private func table(_ all: [ErrorDistribution]) -> String {
    let heads = ["engine", "of"]
    let numbers =
      ["rows", "least", "25 %", "median", "75 %", "largest", "bits"]
      + ErrorDistribution.verdicts.map(\.rawValue) + ["correlated"]
    let head =
      heads.map { "<th scope=\"col\">\($0)</th>" }
      + numbers.map { "<th class=\"n\" scope=\"col\">\($0)</th>" }
    let body = all.flatMap { one in
      RunReport.cells(one).enumerated().map { index, cells in
        "<tr><td>\(index == 0 ? dot(one.backend) : "")\(XMLText.escaped(cells[0]))</td><td>\(cells[1])</td>"
          + cells.dropFirst(2).map { "<td class=\"n\">\($0)</td>" }.joined() + "</tr>"
      }
    }
    return
      "<div class=\"scroll\"><table><thead><tr>\(head.joined())</tr></thead><tbody>\(body.joined())</tbody></table></div>"
  }
}
