import ConvCore

/// Time against error of some layers as one SVG file that stands alone: a cut of `report.html`, for pages elsewhere.
///
/// The file needs no scripts, no fonts and no other file, brings its own background, and follows the reader's light or dark mode.
public struct ReportPicture: Sendable {
  /// Charts that fit into a picture.
  public static let mostLayers = 8

  private let report: RunReport
  private let styles: EngineStyles
  private let layers: [(suite: String, layer: ReportLayer)]

  private static let margin = 14.0
  private static let head = 52.0
  private static let cellHead = 42.0
  private static let legendLine = 18.0
  private static let cellWidth = ChartFrame.width + 20

  /// The picture of layers in their forward pass, which are named as in reports, `conv3`, or with their suite, `seed-cnn conv3`.
  ///
  /// - Parameter names: Which; where none is named, the first layer of each of the first four suites.
  /// - Throws: `HarnessError.unknownName`; `HarnessError.usage` where no layer has a time and an error, or more than `mostLayers`
  ///   are asked for.
  public init(_ report: RunReport, layers names: [String] = []) throws {
    self.report = report
    let page = report.page
    styles = page.styles
    let drawn = page.suites.flatMap { suite in
      suite.layers.filter {
        $0.condition.pass == .forward && !ParetoChart(layer: $0, styles: page.styles).isEmpty
      }.map { (suite: suite.name, layer: $0) }
    }
    guard !drawn.isEmpty else {
      throw HarnessError.usage("no layer of this run has times and errors of a forward pass to be drawn")
    }
    if names.isEmpty {
      var suites: [String] = []
      for (suite, _) in drawn where !suites.contains(suite) { suites.append(suite) }
      layers = suites.prefix(4).compactMap { name in drawn.first { $0.suite == name } }
    } else {
      layers = try names.flatMap { name in
        let own = drawn.filter { $0.layer.title == name || "\($0.suite) \($0.layer.title)" == name }
        if own.isEmpty {
          let known = drawn.map { "\($0.suite) \($0.layer.title)" }
          throw HarnessError.unknownName(kind: "layer", name: name, known: NearNames.sorted(known, by: name))
        }
        return own
      }
    }
    guard layers.count <= Self.mostLayers else {
      throw HarnessError.usage(
        "\(layers.count) layers are more than a picture holds, which is \(Self.mostLayers)")
    }
  }

  private var columns: Int { min(2, layers.count) }
  private var width: Double { Self.margin + Double(columns) * (Self.cellWidth + Self.margin) }

  /// The whole file.
  public var text: String {
    let charts = layers.map { ParetoChart(layer: $0.layer, styles: styles).drawing }
    let cellHeight = Self.cellHead + (charts.map(\.height).max() ?? 0) + 8
    let rows = (charts.count + columns - 1) / columns
    let chartsEnd = Self.head + Double(rows) * (cellHeight + Self.margin)
    var canvas = SVGCanvas(
      width: width, height: chartsEnd + Double(legendLines.count + 1) * Self.legendLine + 6)
    canvas.rectangle(x: 0, y: 0, width: width, height: canvas.height, "page")
    canvas.text(Self.margin, 24, "How fast, how wrong: one forward pass of a layer", "title")
    canvas.text(Self.margin, 42, conditions, "remark")
    for (index, chart) in charts.enumerated() {
      let (row, column) = index.quotientAndRemainder(dividingBy: columns)
      let x = Self.margin + Double(column) * (Self.cellWidth + Self.margin)
      let y = Self.head + Double(row) * (cellHeight + Self.margin)
      let (suite, layer) = layers[index]
      canvas.rectangle(x: x, y: y, width: Self.cellWidth, height: cellHeight, "card")
      let kind = layer.condition.label == "forward" ? "" : " · \(layer.condition.label)"
      canvas.text(x + 12, y + 18, "\(suite) \(layer.title)\(kind)", "label")
      if !layer.name.isEmpty { canvas.text(x + 12, y + 32, layer.problem, "problem") }
      canvas.insert(chart, x: x + 10, y: y + Self.cellHead)
    }
    legend(on: &canvas, at: chartsEnd + 8)
    let names = layers.map { "\($0.suite) \($0.layer.title)" }
    return """
      <svg xmlns="http://www.w3.org/2000/svg" role="img" width="\(SVGCanvas.number(width))" \
      height="\(SVGCanvas.number(canvas.height))" viewBox="0 0 \(SVGCanvas.number(width)) \(SVGCanvas.number(canvas.height))">
      <title>\(XMLText.escaped("Time and error of \(ReportNumbers.list(names)) on every engine"))</title>
      <style>
      \(HTMLStyle.chartAlone)
      </style>
      \(canvas.body)
      </svg>

      """
  }

  /// Where and when it was measured.
  private var conditions: String {
    let facts = ["CPU", "instruction set"].compactMap { key in
      report.environment.first { $0.key == key }?.value
    }
    let threads = Set(layers.map(\.layer.condition.threads)).sorted().map(String.init)
    let count = ReportNumbers.list(threads)
    return (facts + ["\(count) thread\(count == "1" ? "" : "s") used", String(report.date.prefix(10))])
      .joined(separator: " · ")
  }

  /// The marks of the engines that take part, by lines that fit.
  private var legendLines: [[String]] {
    var lines: [[String]] = [[]]
    var x = Self.margin
    for name in styles.engines where layers.contains(where: { $0.layer.rows.contains { $0.backend == name } })
    {
      let next = x + Self.legendWidth(name)
      if next > width - Self.margin, lines[lines.count - 1] != [] {
        lines.append([])
        x = Self.margin
      }
      lines[lines.count - 1].append(name)
      x += Self.legendWidth(name)
    }
    return lines
  }

  private static func legendWidth(_ name: String) -> Double { 26 + SVGCanvas.width(of: name, size: 11.5) }

  private func legend(on canvas: inout SVGCanvas, at top: Double) {
    var y = top
    for line in legendLines {
      var x = Self.margin + 6
      for name in line {
        canvas.mark(x, y, shape: styles.shape(name), "mark \(styles.colour(name))")
        canvas.text(x + 10, y + 3.8, name, "name")
        x += Self.legendWidth(name)
      }
      y += Self.legendLine
    }
    canvas.text(
      Self.margin, y + 3.8, "Left and low is better. Filled: no engine is both faster and more exact.",
      "remark")
  }
}
