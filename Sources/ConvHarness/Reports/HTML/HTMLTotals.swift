import ConvCore

// What networks take with one engine, and with the best one of each layer.
extension HTMLReport {
  private var totals:
    [(suite: ReportSuite, condition: ReportLayer.Condition, count: Int, totals: LayerTotals)]
  {
    suites.flatMap { suite in
      suite.sections.compactMap { section in
        let totals = LayerTotals(section.layers.map(\.item))
        let hasTimes = ([totals.best] + totals.choosers).contains { $0.missing < section.layers.count }
        guard hasTimes else { return nil }
        return (suite, section.condition, section.layers.reduce(0) { $0 + $1.multiplicity }, totals)
      }
    }
  }

  /// One line per suite and pass.
  var totalsTable: String {
    let totals = totals
    guard !totals.isEmpty else { return "" }
    var rows = ""
    var last = ""
    let hasChoosers = totals.contains { !$0.totals.choosers.isEmpty }
    for (suite, condition, count, total) in totals {
      let base = total.engine(baseline).flatMap { $0.missing == 0 ? $0 : nil }
      func ratio(_ engine: LayerTotals.Engine) -> String {
        guard let base, engine.missing == 0, engine.name != base.name else { return "" }
        return RunReport.short(base.milliseconds / engine.milliseconds) + "×"
      }
      let fastest = total.fastest
      if suite.name != last {
        rows +=
          "<tr class=\"layer\"><th colspan=\"\(hasChoosers ? 8 : 7)\" scope=\"rowgroup\">\(XMLText.escaped(suite.name))"
        rows += "<span class=\"pass\">\(ReportNumbers.count(count, "layer"))</span></th></tr>"
      }
      rows += "<tr><td>\(XMLText.escaped(condition.label))</td>"
      if let fastest {
        rows += "<td>\(dot(fastest.name))\(XMLText.escaped(fastest.name))</td>"
        rows += "<td class=\"n\" data-v=\"\(CSV.number(fastest.milliseconds))\">"
        rows += "\(ReportNumbers.duration(milliseconds: fastest.milliseconds))</td>"
        rows += "<td class=\"n\">\(ratio(fastest))</td>"
      } else {
        rows += "<td class=\"sub\">\(total.engines.isEmpty ? "none takes part" : "none runs all layers")</td>"
        rows += "<td></td><td></td>"
      }
      let best = total.best.total
      rows += "<td class=\"n\" data-v=\"\(CSV.number(best))\">"
      rows += "<b>\(best.map { ReportNumbers.duration(milliseconds: $0) } ?? "")</b></td>"
      rows += "<td class=\"n\">\(ratio(total.best))</td><td>\(list(total.picks))</td>"
      rows += hasChoosers ? "<td>\(choices(total))</td></tr>" : "</tr>"
      last = suite.name
    }
    return "<div class=\"scroll\"><table><thead><tr><th>pass</th>"
      + "<th>fastest single engine</th><th class=\"n\">total</th><th class=\"n\">\(comparison)</th>"
      + "<th class=\"n\">best per layer</th><th class=\"n\">\(comparison)</th><th>the best are</th>"
      + (hasChoosers ? "<th>chosen</th>" : "") + "</tr></thead><tbody>"
      + rows + "</tbody></table></div>"
  }

  /// What each chooser takes, and as a multiple of the best of each layer: `auto 12.3 ms, 1.03 × the best`.
  private func choices(_ totals: LayerTotals) -> String {
    totals.choosers.filter { $0.missing == 0 }.map { chooser in
      let time = ReportNumbers.duration(milliseconds: chooser.milliseconds)
      let beside =
        totals.best.total.map { ", \(RunReport.short(chooser.milliseconds / $0)) × the best" } ?? ""
      return
        "<span class=\"engine\">\(dot(chooser.name))\(XMLText.escaped(chooser.name)) \(time)\(beside)</span>"
    }.joined(separator: "; ")
  }

  private var comparison: String { baseline.isEmpty ? "" : "vs. \(XMLText.escaped(baseline))" }

  /// Bars of every engine's total, by suite and pass.
  var totalsCharts: String {
    let figures = totals.filter { $0.totals.engines.count + $0.totals.choosers.count > 1 }.map {
      suite, condition, count, total -> String in
      var bars = (total.engines + total.choosers).map { engine -> StackChart.Bar in
        var bar = StackChart.Bar(
          label: engine.name, shape: styles.shape(engine.name), shapeStyle: styles.colour(engine.name),
          parts: [
            .init(name: "total", value: engine.milliseconds, style: styles.colour(engine.name))
          ], value: ReportNumbers.duration(milliseconds: engine.milliseconds))
        if engine.missing > 0 {
          bar.remark = "no time for \(ReportNumbers.count(engine.missing, "layer"))"
        }
        return bar
      }
      if total.best.total != nil {
        bars.insert(
          StackChart.Bar(
            label: total.best.name, shape: nil,
            parts: [.init(name: "total", value: total.best.milliseconds, style: "best")],
            value: ReportNumbers.duration(milliseconds: total.best.milliseconds)), at: 0)
      }
      let title = "\(suite.name), \(condition.label)"
      return figure(
        title, note: ReportNumbers.count(count, "layer"),
        StackChart(blocks: [.init(title: "", bars: bars)]).svg(
          title: "Total time of the layers of \(title), by engine"))
    }
    guard !figures.isEmpty else { return "" }
    let grid = "<div class=\"grid\">\(figures.joined())</div>"
    if figures.count <= 6 { return grid }
    return
      "<details><summary>Totals of every engine<span class=\"note\">\(figures.count) charts</span></summary>\(grid)</details>"
  }

  func figure(_ title: String, note: String = "", _ content: String) -> String {
    "<figure><figcaption>\(XMLText.escaped(title))"
      + (note.isEmpty ? "" : "<span>\(XMLText.escaped(note))</span>") + "</figcaption>\(content)</figure>"
  }
}
