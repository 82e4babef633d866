import ConvCore

/// Where the ratios of errors and bounds of each engine lie: whiskers from the least to the greatest, a box between the quartiles, a
/// bar at the median. Left of the line at 1 passes.
struct ErrorChart {
  let distributions: [ErrorDistribution]
  let styles: EngineStyles

  /// The same in all reports, so that they can be compared; what lies outside is drawn at the edge.
  static let range = [1e-4, 10.0]
  private static let lane = 13.0
  private static let block = 19.0
  private static let left = 22.0
  private static let right = 52.0

  private struct Lane {
    let name: String
    let quartiles: ErrorDistribution.Quartiles
    let isSums: Bool
  }

  private var blocks: [(engine: String, lanes: [Lane])] {
    distributions.map { one in
      let lanes = [
        one.errorRatio.map { Lane(name: "results", quartiles: $0, isSums: false) },
        one.projectionRatio.map { Lane(name: "sums", quartiles: $0, isSums: true) },
      ]
      return (one.backend, lanes.compactMap { $0 })
    }.filter { !$0.1.isEmpty }
  }

  var isEmpty: Bool { blocks.isEmpty }

  var axis: ChartAxis {
    ChartAxis(
      Self.range, logarithmic: true, from: Self.left, to: ChartFrame.width - Self.right, margin: 0.02)
  }

  func svg() -> String {
    let (axis, blocks) = (axis, blocks)
    let top = 6.0
    let height = blocks.reduce(0) { $0 + Self.block + Double($1.lanes.count) * Self.lane + 4 }
    var canvas = SVGCanvas(width: ChartFrame.width, height: top + height + 32)
    let bottom = top + height
    for tick in axis.ticks(about: 6) {
      let x = axis.position(tick.value)
      canvas.line(x, top, x, bottom, "grid")
      canvas.text(x, bottom + 13, tick.label, "tick", .middle)
    }
    let one = axis.position(1)
    canvas.line(one, top, one, bottom, "limit")
    var y = top
    for (engine, lanes) in blocks {
      canvas.text(2, y + 12, engine, "label")
      y += Self.block
      for lane in lanes {
        draw(lane, of: engine, at: y + Self.lane / 2, axis, on: &canvas)
        y += Self.lane
      }
      y += 4
    }
    canvas.text(
      (axis.start + axis.end) / 2, bottom + 28, "error / bound; up to 1 passes", "axis-title", .middle)
    return canvas.svg(label: "Errors beside their bounds, by engine")
  }

  private func draw(
    _ lane: Lane, of engine: String, at y: Double, _ axis: ChartAxis, on canvas: inout SVGCanvas
  ) {
    let colour = styles.colour(engine)
    let five = lane.quartiles
    let words =
      "\(engine), \(lane.name): \(RunReport.quotient(five.least)) to \(RunReport.quotient(five.greatest)), quartiles "
      + [five.lower, five.median, five.upper].map(RunReport.quotient).joined(separator: ", ")
    let at = five.values.map(axis.position)
    canvas.mark(10, y, shape: styles.shape(engine), "mark small \(colour)", title: words)
    canvas.line(at[0], y, at[4], y, "whisker")
    for end in [at[0], at[4]] { canvas.line(end, y - 3, end, y + 3, "whisker") }
    canvas.rectangle(
      x: at[1], y: y - 4, width: max(1, at[3] - at[1]), height: 8,
      "bar \(colour)\(lane.isSums ? " open" : "")", title: words)
    canvas.line(at[2], y - 5, at[2], y + 5, "reference")
    canvas.text(
      ChartFrame.width - 2, y + 3.6, RunReport.quotient(five.greatest),
      five.greatest > 1 ? "value strong" : "value", .end)
  }
}
