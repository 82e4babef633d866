import ConvCore

/// Time against error of one layer: who is faster errs more, and the front tells what a digit costs.
struct ParetoChart {
  let layer: ReportLayer
  let styles: EngineStyles

  private var points: [ResultRow] { layer.timed.filter { $0.verification.errorMax.isFinite } }
  var isEmpty: Bool { points.isEmpty }

  func svg() -> String {
    let names = layer.front.map(\.backend).joined(separator: ", ")
    return drawing.svg(
      label: "Time and error of \(layer.title), \(layer.condition.label); on the front: \(names)")
  }

  /// The chart without its name.
  var drawing: SVGCanvas {
    let points = points
    let front = layer.front
    let bottom = 196.0
    let x = ChartAxis(
      points.map(\.medianMilliseconds), logarithmic: true, from: 52, to: ChartFrame.width - 12)
    let y = ChartAxis(
      points.map(\.verification.errorMax), logarithmic: true, from: bottom, to: 10, margin: 0.1)
    var canvas = SVGCanvas(width: ChartFrame.width, height: bottom + 34)
    ChartFrame(x: x, y: y).draw(on: &canvas, xTitle: "median ms", yTitle: "largest error")
    func place(_ row: ResultRow) -> (x: Double, y: Double) {
      // Exact results have no place on a logarithmic axis: they stand on its foot.
      let error = row.verification.errorMax
      return (x.position(row.medianMilliseconds), error > 0 ? y.position(error) : bottom)
    }
    var steps: [(x: Double, y: Double)] = []
    for row in front {
      let next = place(row)
      if let last = steps.last { steps.append((next.x, last.y)) }
      steps.append(next)
    }
    if let first = steps.first, let last = steps.last {
      steps = [(first.x, y.end)] + steps + [(x.end, last.y)]
    }
    canvas.polyline(steps, "front")
    var taken = points.map { row -> Box in
      let (px, py) = place(row)
      return Box(x: px - 6, y: py - 6, width: 12, height: 12)
    }
    for row in points.reversed() {
      let (px, py) = place(row)
      let isFront = front.contains { $0.backend == row.backend }
      canvas.mark(
        px, py, shape: styles.shape(row.backend),
        "mark \(styles.colour(row.backend))\(isFront ? "" : " behind")",
        title: "\(RunReport.engine(row)): \(RunReport.short(row.medianMilliseconds)) ms, largest error "
          + "\(ReportNumbers.error(row.verification.errorMax))\(isFront ? ", on the front" : "")")
    }
    for row in front + points.filter({ row in !front.contains { $0.backend == row.backend } }) {
      let (px, py) = place(row)
      let width = SVGCanvas.width(of: row.backend, size: 10.5)
      let candidates: [(Double, Double, SVGCanvas.Anchor)] = [
        (px + 9, py + 3.6, .start), (px - 9, py + 3.6, .end), (px, py - 9, .middle), (px, py + 17, .middle),
      ]
      for (tx, ty, anchor) in candidates {
        let left = anchor == .start ? tx : anchor == .end ? tx - width : tx - width / 2
        let box = Box(x: left, y: ty - 9, width: width, height: 11)
        guard left > 54, left + width < ChartFrame.width, box.y > 2, box.y + box.height < bottom - 1,
          !taken.contains(where: { $0.meets(box) && !$0.isAround(px, py) })
        else { continue }
        taken.append(box)
        canvas.text(tx, ty, row.backend, "point-label \(styles.colour(row.backend))", anchor)
        break
      }
    }
    return canvas
  }

  private struct Box {
    var x, y, width, height: Double
    func meets(_ other: Box) -> Bool {
      x < other.x + other.width && other.x < x + width && y < other.y + other.height && other.y < y + height
    }
    /// Whether it is the mark at this place.
    func isAround(_ px: Double, _ py: Double) -> Bool {
      width == 12 && abs(x + 6 - px) < 0.01 && abs(y + 6 - py) < 0.01
    }
  }
}
