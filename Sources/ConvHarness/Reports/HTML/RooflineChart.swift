import ConvCore

/// GFLOP/s over arithmetic intensity, with the machine's limits as lines (Williams, Waterman, Patterson: *Roofline*, 2009).
///
/// The intensity is that of the problem: direct FLOPs over the bytes of the three tensors, each moved once. FLOPs are the direct
/// algorithm's too, so that an engine that needs fewer may lie above the limit.
struct RooflineChart {
  let layers: [ReportLayer]
  let styles: EngineStyles
  /// GFLOP/s.
  let peak: Double
  /// GB/s.
  let bandwidth: Double?

  /// FLOPs per byte; nil for texts that are no problems.
  static func intensity(_ problem: String, _ elementType: ElementType) -> Double? {
    guard let problem = try? ConvProblem(parsing: problem) else { return nil }
    let elements = ConvPass.allCases.map { problem.resultShape($0).reduce(1.0) { $0 * Double($1) } }
    return problem.directFLOPs / (elements.reduce(0, +) * Double(elementType.byteCount))
  }

  private var points: [(row: ResultRow, intensity: Double)] {
    layers.flatMap(\.rows).compactMap { row in
      guard row.gflopsEffective.isFinite, row.gflopsEffective > 0,
        let intensity = Self.intensity(row.problem, row.elementType)
      else { return nil }
      return (row, intensity)
    }
  }
  var isEmpty: Bool { points.isEmpty }

  func svg(title: String) -> String {
    let points = points
    let bottom = 262.0
    // The ridge, where the limits meet, is in the picture.
    let ridge = bandwidth.map { $0 > 0 && peak > 0 ? [peak / $0 / 3] : [] } ?? []
    let x = ChartAxis(points.map(\.intensity) + ridge, logarithmic: true, from: 52, to: ChartFrame.width - 12)
    let y = ChartAxis(
      points.map(\.row.gflopsEffective) + (peak > 0 ? [peak * 1.2] : []), logarithmic: true, from: bottom,
      to: 10)
    var canvas = SVGCanvas(width: ChartFrame.width, height: bottom + 34)
    ChartFrame(x: x, y: y).draw(
      on: &canvas, xTitle: "FLOP per byte (each tensor moved once)", yTitle: "effective GFLOP/s")
    for (row, intensity) in points {
      canvas.mark(
        x.position(intensity), y.position(row.gflopsEffective), shape: styles.shape(row.backend),
        "mark cloud \(styles.colour(row.backend))",
        title: "\(row.suite) \(row.name.isEmpty ? row.problem : row.name): \(RunReport.engine(row)), "
          + "\(RunReport.short(row.gflopsEffective)) GFLOP/s at \(RunReport.short(intensity)) FLOP per byte")
    }
    drawLimits(x, y, on: &canvas)
    return canvas.svg(label: title)
  }

  /// min(peak, bandwidth · intensity), the part of it that is in the frame.
  private func drawLimits(_ x: ChartAxis, _ y: ChartAxis, on canvas: inout SVGCanvas) {
    if peak > 0 {
      var from = x.low
      if let bandwidth, bandwidth > 0 {
        let ridge = peak / bandwidth
        // The slope, cut off where it leaves the frame.
        let begin = max(x.low, y.low / bandwidth)
        let end = min(ridge, x.high)
        if begin < end {
          canvas.polyline(
            [
              (x.position(begin), y.position(bandwidth * begin)),
              (x.position(end), y.position(bandwidth * end)),
            ], "limit")
          canvas.text(
            x.position(begin) + 8, y.position(bandwidth * begin) + 4, "\(RunReport.short(bandwidth)) GB/s",
            "limit-label")
        }
        from = max(x.low, ridge)
      }
      if from < x.high {
        canvas.line(x.position(from), y.position(peak), x.end, y.position(peak), "limit")
        canvas.text(
          x.position(from) + 4, y.position(peak) - 5, "FMA peak \(RunReport.short(peak)) GFLOP/s",
          "limit-label")
      }
    }
  }
}
