import ConvCore

/// Bars of paired ratios with the baseline, with their 95 % intervals: one block per layer, one lane per engine.
struct SpeedupChart {
  let layers: [ReportLayer]
  let styles: EngineStyles
  let baseline: String

  /// Ratios below are cut off: the oracle's 0.01 would squeeze everything else.
  static let least = 1.0 / 8
  private static let lane = 13.0
  private static let block = 19.0
  private static let left = 22.0
  private static let right = 52.0

  /// Engines that are off the scale in every layer and get no lane.
  let leftOut: [String]
  private let lanes: [(layer: ReportLayer, rows: [ResultRow])]

  init(layers: [ReportLayer], styles: EngineStyles, baseline: String) {
    self.layers = layers
    self.styles = styles
    self.baseline = baseline
    func compared(_ layer: ReportLayer) -> [ResultRow] {
      layer.rows.filter { $0.speedup?.ratio.isFinite == true && $0.speedup?.verdict != .baseline }
    }
    var greatest: [String: Double] = [:]
    for row in layers.flatMap(compared) {
      greatest[row.backend] = max(greatest[row.backend] ?? 0, row.speedup?.ratio ?? 0)
    }
    let leftOut = styles.engines.filter { (greatest[$0] ?? 1) < Self.least }
    self.leftOut = leftOut
    lanes = layers.map { layer in (layer, compared(layer).filter { !leftOut.contains($0.backend) }) }
      .filter { !$0.1.isEmpty }
  }

  var isEmpty: Bool { lanes.isEmpty }

  /// From the smallest to the largest bound of an interval, 1 inside.
  var axis: ChartAxis {
    let all = lanes.flatMap(\.rows).compactMap(\.speedup)
    let values = all.flatMap { [$0.low, $0.high, $0.ratio] }.filter(\.isFinite).map { max($0, Self.least) }
    return ChartAxis(
      values + [0.8, 1.25], logarithmic: true, from: Self.left, to: ChartFrame.width - Self.right,
      margin: 0.03)
  }

  func svg(title: String) -> String {
    let axis = axis
    let top = 18.0
    let height = lanes.reduce(0) { $0 + Self.block + Double($1.rows.count) * Self.lane + 6 }
    var canvas = SVGCanvas(width: ChartFrame.width, height: top + height + 32)
    let bottom = top + height
    for tick in axis.ticks(about: 6) {
      let x = axis.position(tick.value)
      canvas.line(x, top, x, bottom, "grid")
      canvas.text(x, bottom + 13, tick.label + "×", "tick", .middle)
      if height > 300 { canvas.text(x, top - 5, tick.label + "×", "tick", .middle) }
    }
    let one = axis.position(1)
    var y = top
    for (layer, rows) in lanes {
      canvas.text(2, y + 12, layer.title, "label")
      if !layer.name.isEmpty {
        // Bold letters are wider.
        let room = Int((ChartFrame.width - 16 - SVGCanvas.width(of: layer.title, size: 13.5)) / 5.5)
        let text = layer.problem.count > room ? layer.problem.prefix(max(0, room - 1)) + "…" : layer.problem
        if room > 3 { canvas.text(ChartFrame.width - 2, y + 12, String(text), "problem", .end) }
      }
      y += Self.block
      canvas.line(one, y - 2, one, y + Double(rows.count) * Self.lane + 2, "reference")
      for row in rows {
        draw(row, at: y, one: one, axis, on: &canvas)
        y += Self.lane
      }
      y += 6
    }
    canvas.text(
      (axis.start + axis.end) / 2, bottom + 28, "times as fast as \(baseline)", "axis-title", .middle)
    return canvas.svg(label: title)
  }

  private func draw(
    _ row: ResultRow, at y: Double, one: Double, _ axis: ChartAxis, on canvas: inout SVGCanvas
  ) {
    guard let speedup = row.speedup else { return }
    let colour = styles.colour(row.backend)
    let middle = y + Self.lane / 2
    let x = axis.position(speedup.ratio)
    let words =
      "\(row.backend): \(RunReport.short(speedup.ratio)) × \(baseline), "
      + (speedup.verdict == .unknown
        ? ""
        : "95 % interval \(RunReport.short(speedup.low)) to \(RunReport.short(speedup.high)), ")
      + SpeedTexts([row])[0].verdict
    let isOpen = speedup.verdict == .indistinguishable || speedup.verdict == .unknown
    canvas.mark(10, middle, shape: styles.shape(row.backend), "mark small \(colour)", title: words)
    canvas.rectangle(
      x: min(one, x), y: middle - 4, width: abs(x - one), height: 8,
      "bar \(colour)\(isOpen ? " open" : "")", title: words)
    if axis.contains(speedup.ratio) {
      let (low, high) = (axis.position(speedup.low), axis.position(speedup.high))
      canvas.line(low, middle, high, middle, "whisker")
      for end in [low, high] { canvas.line(end, middle - 3, end, middle + 3, "whisker") }
    } else {
      // The bar goes on beyond the axis.
      canvas.mark(axis.start + 5, middle, shape: "M-4,0L1,-4L1,4z", "beyond")
    }
    canvas.text(
      ChartFrame.width - 2, middle + 3.6, RunReport.short(speedup.ratio) + "×",
      speedup.verdict == .faster ? "value strong" : "value", .end)
  }
}
