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
    let heads: [(name: String, isNumber: Bool)] =
      [
        ("pass", false), ("fastest single engine", false), ("total", true), (comparison, true),
        ("best per layer", true), (comparison, true), ("the best are", false),
      ] + (hasChoosers ? [("chosen", false)] : [])
    for (suite, condition, count, total) in totals {
      let base = total.engine(baseline).flatMap { $0.missing == 0 ? $0 : nil }
      func ratio(_ engine: LayerTotals.Engine) -> String {
        guard let base, engine.missing == 0, engine.name != base.name else { return "" }
        return RunReport.short(base.milliseconds / engine.milliseconds) + "×"
      }
      let fastest = total.fastest
      if suite.name != last {
        rows +=
          "<tr class=\"layer\"><th colspan=\"\(heads.count)\" scope=\"rowgroup\">\(XMLText.escaped(suite.name))"
        rows += "<span class=\"pass\">\(ReportNumbers.count(count, "layer"))</span></th></tr>"
      }
      let best = total.best.total
      var cells = [Cell(XMLText.escaped(condition.label))]
      if let fastest {
        cells.append(Cell("\(dot(fastest.name))\(XMLText.escaped(fastest.name))"))
        cells.append(
          Cell(ReportNumbers.duration(milliseconds: fastest.milliseconds), value: fastest.milliseconds))
        cells.append(Cell(ratio(fastest), isNumber: true))
      } else {
        cells.append(
          Cell(
            "<span class=\"sub\">\(total.engines.isEmpty ? "none takes part" : "none runs all layers")</span>"
          ))
        cells += [Cell("", isNumber: true), Cell("", isNumber: true)]
      }
      let time = best.map { ReportNumbers.duration(milliseconds: $0) } ?? ""
      cells += [
        Cell(time.isEmpty ? "" : "<b>\(time)</b>", value: best), Cell(ratio(total.best), isNumber: true),
        Cell(list(total.picks)),
      ]
      if hasChoosers { cells.append(Cell(choices(total))) }
      rows += foldedRow(cells, heads: heads.map(\.name))
      last = suite.name
    }
    return foldedTable("networks", heads: heads, rows: rows)
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
