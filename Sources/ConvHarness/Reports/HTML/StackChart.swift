/// Horizontal bars, each of one part or of several that add up: totals, phases, the parts of a training step.
struct StackChart {
  struct Part {
    var name: String
    var value: Double
    /// The class that colours it.
    var style: String
  }
  struct Bar {
    var label: String
    /// Beside the label, for engines.
    var shape: String?
    var shapeStyle = ""
    var parts: [Part]
    /// At the right.
    var value: String
    /// In the place of a bar, where there is none.
    var remark = ""
    var total: Double { parts.reduce(0) { $0 + $1.value } }
  }
  struct Block {
    var title: String
    var bars: [Bar]
  }

  var blocks: [Block]
  /// Bars longer than this many times the shortest are cut.
  var cut = 8.0
  var unit = "ms"

  private static let lane = 20.0
  private static let right = 58.0

  var isEmpty: Bool { blocks.allSatisfy(\.bars.isEmpty) }

  /// The value at the end of the longest bar that is drawn whole.
  static func limit(_ totals: [Double], cut: Double) -> Double {
    let usable = totals.filter { $0.isFinite && $0 > 0 }
    guard let least = usable.min() else { return 1 }
    return usable.filter { $0 <= least * cut }.max() ?? least
  }

  func svg(title: String) -> String {
    let bars = blocks.flatMap(\.bars)
    let longest = bars.map { SVGCanvas.width(of: $0.label, size: 11) }.max() ?? 0
    let left = min(max(longest + 22, 60), 150)
    let limit = Self.limit(bars.filter { $0.remark.isEmpty }.map(\.total), cut: cut)
    let isCut = bars.contains { $0.remark.isEmpty && $0.total > limit * 1.0001 }
    let axis = ChartAxis(
      [limit * (isCut ? 1.12 : 1)], logarithmic: false, from: left, to: ChartFrame.width - Self.right,
      margin: 0.02, includesZero: true)
    let titled = blocks.filter { !$0.title.isEmpty }.count
    let height = Double(bars.count) * Self.lane + Double(titled) * 20 + 4
    var canvas = SVGCanvas(width: ChartFrame.width, height: height + 22)
    for tick in axis.ticks(about: 4) {
      let x = axis.position(tick.value)
      canvas.line(x, 2, x, height, "grid")
      canvas.text(x, height + 14, tick.label + (tick.value == 0 ? " \(unit)" : ""), "tick", .middle)
    }
    var y = 2.0
    for block in blocks {
      if !block.title.isEmpty {
        canvas.text(2, y + 15, block.title, "label")
        y += 20
      }
      for bar in block.bars {
        draw(bar, at: y, axis, left: left, limit: limit, on: &canvas)
        y += Self.lane
      }
    }
    return canvas.svg(label: title)
  }

  private func draw(
    _ bar: Bar, at y: Double, _ axis: ChartAxis, left: Double, limit: Double, on canvas: inout SVGCanvas
  ) {
    let middle = y + Self.lane / 2
    if let shape = bar.shape { canvas.mark(8, middle, shape: shape, "mark small \(bar.shapeStyle)") }
    let at = bar.shape == nil ? 2.0 : 17
    let room = max(3, Int((left - at - 4) / 6.1))
    let label = bar.label.count > room ? bar.label.prefix(room - 1) + "…" : bar.label
    canvas.text(at, middle + 4, String(label), "bar-label")
    guard bar.remark.isEmpty else {
      canvas.text(left + 4, middle + 4, bar.remark, "remark")
      return
    }
    var sum = 0.0
    for part in bar.parts where part.value > 0 {
      let from = axis.position(sum)
      sum += part.value
      let to = axis.position(sum)
      canvas.rectangle(
        x: from, y: middle - 6.5, width: to - from, height: 13, "bar \(part.style)",
        title: "\(bar.label): \(part.name) \(RunReport.short(part.value)) \(unit)")
    }
    if bar.total > limit * 1.0001 {
      canvas.mark(axis.end - 12, middle, shape: "M-3,8L1,-8L5,-8L1,8z", "gap")
    }
    canvas.text(ChartFrame.width - 2, middle + 4, bar.value, "value", .end)
  }
}
