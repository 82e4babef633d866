import ConvCore

// Suites, one after the other: speed-ups, time against error, phases, and every row.
extension HTMLReport {
  var layerSection: String {
    guard !suites.isEmpty else { return "" }
    // Two hundred rows on one page are for looking up, not for scrolling past.
    let isLong = report.rows.count > 120
    let parts = shown.suites.enumerated().map { index, suite in
      "<details class=\"suite\"\(index == 0 || !isLong ? " open=\"open\"" : "")><summary>\(XMLText.escaped(suite.name))"
        + "<span class=\"note\">\(summary(suite))</span></summary>"
        + speedups(suite) + paretos(suite) + phases(suite) + table(suite) + "</details>"
    }
    let rest =
      shown.leftOut == 0
      ? ""
      : "<div class=\"box warn\"><p>\(ReportNumbers.count(shown.leftOut, "more layer")) would make this page too "
        + "long: their rows are in <code>results.csv</code>.</p></div>"
    return "<section id=\"layers\"><h2>Layers</h2>\(rest)\(parts.joined())</section>"
  }

  private func summary(_ suite: ReportSuite) -> String {
    let layers = Set(suite.layers.map { $0.name + " " + $0.problem }).count
    let rows = suite.layers.reduce(0) { $0 + $1.rows.count }
    let failed = suite.layers.flatMap(\.rows).count {
      [.failed, .mistrusted, .missingReference].contains($0.verification.verdict)
    }
    let picks = LayerTotals(suite.layers.map(\.item)).picks
    return "\(ReportNumbers.count(layers, "layer")), \(ReportNumbers.count(rows, "row"))"
      + (picks.isEmpty ? "" : "; fastest: \(list(picks))")
      + (failed > 0 ? ", <span class=\"bad-text\">\(failed) not passed</span>" : "")
  }

  private func speedups(_ suite: ReportSuite) -> String {
    let charts = suite.sections.map {
      ($0.condition, SpeedupChart(layers: $0.layers, styles: styles, baseline: baseline))
    }.filter { !$0.1.isEmpty }
    guard !charts.isEmpty else { return "" }
    let out = styles.engines.filter { name in charts.contains { $0.1.leftOut.contains(name) } }
    var notes = ["bars that are hollow: indistinguishable", "whiskers: 95 % interval"]
    if !out.isEmpty {
      notes.append(
        "left out where they are below ⅛ in every layer: \(ReportNumbers.list(out.map(XMLText.escaped)))")
    }
    let shown = styles.engines.filter { name in
      name != baseline && charts.contains { !$0.1.leftOut.contains(name) }
    }
    let figures = charts.map { condition, chart in
      figure(
        condition.label,
        chart.svg(title: "Speed-up over \(baseline), \(suite.name), \(condition.label)"))
    }
    return "<h3>Speed-up over \(XMLText.escaped(baseline))</h3>\(styles.legend(shown, notes: notes))"
      + "<div class=\"grid\">\(figures.joined())</div>"
  }

  private func paretos(_ suite: ReportSuite) -> String {
    let charts = suite.layers.map { ($0, ParetoChart(layer: $0, styles: styles)) }.filter { !$0.1.isEmpty }
    guard !charts.isEmpty else { return "" }
    func grid(_ charts: [(ReportLayer, ParetoChart)]) -> String {
      let figures = charts.map { layer, chart in
        figure(
          "\(layer.title) · \(layer.condition.label)", note: layer.name.isEmpty ? "" : layer.problem,
          chart.svg())
      }
      return "<div class=\"grid\">\(figures.joined())</div>"
    }
    let grids =
      charts.count <= 15
      ? grid(charts)
      : suite.sections.map(\.condition).map { condition in
        let own = charts.filter { $0.0.condition == condition }
        return "<details><summary>\(XMLText.escaped(condition.label))<span class=\"note\">"
          + "\(ReportNumbers.count(own.count, "chart"))</span></summary>\(grid(own))</details>"
      }.joined()
    let legend = styles.legend(
      nil,
      notes: ["filled: on the front (no engine is both faster and more exact)", "left and low is better"])
    return "<h3>Time and error</h3>\(legend)\(grids)"
  }

  private func phases(_ suite: ReportSuite) -> String {
    var names: [String] = []
    for row in suite.layers.flatMap(\.rows) {
      for phase in facts.phases(row) where !names.contains(phase.name) { names.append(phase.name) }
    }
    guard !names.isEmpty else { return "" }
    func style(_ name: String) -> String {
      // When the colours come round again they are paler, with an edge.
      let (round, place) = (names.firstIndex(of: name) ?? 0).quotientAndRemainder(
        dividingBy: EngineStyles.light.count)
      return "e\(place)" + (round > 0 ? " again" : "")
    }
    let figures = suite.sections.compactMap { section -> String? in
      let blocks = section.layers.map { layer in
        StackChart.Block(
          title: layer.title,
          bars: layer.sortedRows.compactMap { row in
            let phases = facts.phases(row)
            guard !phases.isEmpty else { return nil }
            return StackChart.Bar(
              label: row.backend, shape: styles.shape(row.backend), shapeStyle: styles.colour(row.backend),
              parts: phases.map { .init(name: $0.name, value: $0.seconds * 1e3, style: style($0.name)) },
              value: ReportNumbers.duration(milliseconds: phases.reduce(0) { $0 + $1.seconds } * 1e3))
          })
      }.filter { !$0.bars.isEmpty }
      guard !blocks.isEmpty else { return nil }
      return figure(
        section.condition.label,
        StackChart(blocks: blocks).svg(title: "Phases, \(suite.name), \(section.condition.label)"))
    }
    return
      "<h3>Phases</h3>\(partLegend(names.map { ($0, style($0)) }))<div class=\"grid\">\(figures.joined())</div>"
  }

  /// What the colours of the parts of a bar mean.
  func partLegend(_ parts: [(name: String, style: String)]) -> String {
    let items = parts.map {
      "<li><svg class=\"key part \($0.style)\" viewBox=\"0 0 14 14\" aria-hidden=\"true\"><rect class=\"\($0.style)\" x=\"1\" y=\"1\" "
        + "width=\"12\" height=\"12\"/></svg>\(XMLText.escaped($0.name))</li>"
    }
    return "<ul class=\"legend\">\(items.joined())</ul>"
  }

  var rooflineSection: String {
    let figures = shown.suites.flatMap(\.sections).map(\.condition).reduce(into: [ReportLayer.Condition]()) {
      if !$0.contains($1) { $0.append($1) }
    }.compactMap { condition -> String? in
      let chart = RooflineChart(
        layers: shown.suites.flatMap(\.layers).filter { $0.condition == condition }, styles: styles,
        peak: report.peak,
        bandwidth: facts.bandwidth)
      if chart.isEmpty { return nil }
      return figure(
        condition.label,
        chart.svg(title: "Effective GFLOP/s over arithmetic intensity, all layers, \(condition.label)"))
    }
    guard !figures.isEmpty else { return "" }
    return
      "<section id=\"roofline\"><h2>Roofline</h2><p>All layers beside the limits of this machine. GFLOP/s count the FLOPs of "
      + "the direct algorithm: an engine that needs fewer may lie above the peak.</p>"
      + styles.legend() + "<div class=\"grid\">\(figures.joined())</div></section>"
  }
}
