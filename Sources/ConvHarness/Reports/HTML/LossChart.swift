import ConvCore

/// Loss over training steps, one curve per engine; or its distance from one engine's, where the curves themselves coincide.
struct LossChart {
  let rows: [TrainingRow]
  let styles: EngineStyles
  /// The engine that distances are taken from; nil for the losses themselves.
  var reference: TrainingRow?

  /// The values of each engine by step.
  private var curves: [(backend: String, values: [Double])] {
    rows.compactMap { row in
      guard row.losses.count > 1 else { return nil }
      guard let reference else { return (row.backend, row.losses) }
      guard row.backend != reference.backend else { return nil }
      let distances = zip(row.losses, reference.losses).map { abs($0 - $1) }
      return distances.count > 1 ? (row.backend, distances) : nil
    }
  }
  /// Distances that are all zero have no picture.
  var isEmpty: Bool {
    let curves = curves
    return curves.isEmpty || reference != nil && !curves.contains { $0.values.contains { $0 > 0 } }
  }

  func svg(title: String) -> String {
    let curves = curves
    let bottom = 206.0
    let steps = curves.map(\.values.count).max() ?? 1
    let x = ChartAxis(
      [1, Double(steps)], logarithmic: false, from: 48, to: ChartFrame.width - 14, margin: 0.02)
    let y = ChartAxis(
      curves.flatMap(\.values), logarithmic: reference != nil, from: bottom, to: 10, margin: 0.05)
    var canvas = SVGCanvas(width: ChartFrame.width, height: bottom + 34)
    ChartFrame(x: x, y: y).draw(
      on: &canvas, xTitle: "training step", yTitle: reference.map { "|loss − \($0.backend)'s|" } ?? "loss",
      xTicks: min(6, steps))
    func place(_ value: Double) -> Double {
      reference != nil && value == 0 ? bottom : y.position(value)
    }
    for (index, curve) in curves.enumerated() {
      let points = curve.values.enumerated().filter { $0.element.isFinite }.map {
        (x: x.position(Double($0.offset + 1)), y: place($0.element))
      }
      canvas.polyline(points, "curve dash\(index % 4) \(styles.colour(curve.backend))")
    }
    // The marks stand at different steps, because the curves may nearly coincide.
    for (index, curve) in curves.enumerated() {
      let every = max(1, curves.count)
      for (step, value) in curve.values.enumerated() where value.isFinite {
        guard step == curve.values.count - 1 || step % every == index % every else { continue }
        canvas.mark(
          x.position(Double(step + 1)), place(value), shape: styles.shape(curve.backend),
          "mark small \(styles.colour(curve.backend))",
          title:
            "\(curve.backend), step \(step + 1): \(reference == nil ? "loss" : "distance") \(RunReport.short(value))"
        )
      }
    }
    return canvas.svg(label: title)
  }
}
