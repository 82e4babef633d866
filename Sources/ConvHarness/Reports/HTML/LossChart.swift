import ConvCore

/// Loss over training steps, one curve per engine.
struct LossChart {
  let rows: [TrainingRow]
  let styles: EngineStyles

  private var curves: [TrainingRow] { rows.filter { $0.losses.count > 1 } }
  var isEmpty: Bool { curves.isEmpty }

  func svg(title: String) -> String {
    let curves = curves
    let bottom = 206.0
    let steps = curves.map(\.losses.count).max() ?? 1
    let x = ChartAxis(
      [1, Double(steps)], logarithmic: false, from: 44, to: ChartFrame.width - 14, margin: 0.02)
    let y = ChartAxis(curves.flatMap(\.losses), logarithmic: false, from: bottom, to: 10, margin: 0.05)
    var canvas = SVGCanvas(width: ChartFrame.width, height: bottom + 34)
    ChartFrame(x: x, y: y).draw(on: &canvas, xTitle: "step", yTitle: "loss", xTicks: min(6, steps))
    for (index, row) in curves.enumerated() {
      let points = row.losses.enumerated().filter { $0.element.isFinite }.map {
        (x: x.position(Double($0.offset + 1)), y: y.position($0.element))
      }
      canvas.polyline(points, "curve dash\(index % 4) \(styles.colour(row.backend))")
    }
    // The marks stand at different steps, because the curves nearly coincide.
    for (index, row) in curves.enumerated() {
      let every = max(1, curves.count)
      for (step, loss) in row.losses.enumerated() where loss.isFinite {
        guard step == row.losses.count - 1 || step % every == index % every else { continue }
        canvas.mark(
          x.position(Double(step + 1)), y.position(loss), shape: styles.shape(row.backend),
          "mark small \(styles.colour(row.backend))",
          title: "\(row.backend), step \(step + 1): loss \(RunReport.short(loss))")
      }
    }
    return canvas.svg(label: title)
  }
}
