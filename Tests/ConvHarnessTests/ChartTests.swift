import ConvCore
import Foundation
import Testing

@testable import ConvHarness

@Suite struct ChartTests {
  @Test(arguments: [
    [1.0, 10], [0.013, 2.7], [1e-7, 3e-4], [5, 5], [1.9, 2.1], [3e-9, 4e12], [0.125, 17], [1, 1000],
  ]) func logarithmicAxes(_ values: [Double]) {
    let axis = ChartAxis(values, logarithmic: true, from: 50, to: 350)
    for value in values {
      #expect(axis.contains(value))
      #expect((50...350).contains(axis.position(value)))
    }
    // Equal ratios are equal lengths.
    let (a, b) = (axis.low * 1.1, axis.low * 1.3)
    #expect(
      abs((axis.position(a * 1.2) - axis.position(a)) - (axis.position(b * 1.2) - axis.position(b))) < 1e-9)
    let ticks = axis.ticks(about: 5)
    #expect((2...6).contains(ticks.count), "\(ticks)")
    for (tick, next) in zip(ticks, ticks.dropFirst()) { #expect(tick.value < next.value) }
    for tick in ticks {
      #expect(axis.contains(tick.value) && Double(tick.label) != nil, "\(tick)")
      #expect(abs((Double(tick.label) ?? 0) / tick.value - 1) < 1e-9, "the label is the value: \(tick)")
    }
  }

  @Test func decades() {
    let axis = ChartAxis([1e-7, 1e-3], logarithmic: true, from: 0, to: 100, margin: 0)
    #expect(axis.ticks(about: 5).map(\.label) == ["1e-7", "1e-6", "1e-5", "1e-4", "0.001"])
    #expect(abs(axis.position(1e-5) - 50) < 1e-9)
    #expect(
      ChartAxis([1, 10], logarithmic: true, from: 0, to: 1, margin: 0).ticks(about: 5).map(\.label) == [
        "1", "2", "5", "10",
      ])
    // From below: the axis runs upwards on a page.
    let up = ChartAxis([1, 100], logarithmic: true, from: 200, to: 0, margin: 0)
    #expect(up.position(1) == 200 && up.position(100) == 0 && abs(up.position(10) - 100) < 1e-9)
    // What lies outside is drawn at the end, zero and infinity too.
    #expect(up.position(0) == 200 && up.position(.infinity) == 0 && up.position(1e9) == 0)
  }

  @Test(arguments: [[0.0, 3], [2.3, 2.31], [-5, 5], [7, 7], [0, 0], [1e-9, 2e-9]])
  func linearAxes(_ values: [Double]) {
    let axis = ChartAxis(values, logarithmic: false, from: 10, to: 110)
    for value in values { #expect((10...110).contains(axis.position(value)) && axis.contains(value)) }
    let ticks = axis.ticks(about: 5)
    #expect((2...7).contains(ticks.count), "\(ticks)")
    for tick in ticks { #expect(axis.contains(tick.value)) }
    #expect(ChartAxis([3], logarithmic: false, from: 0, to: 1, includesZero: true).low == 0)
    let nothing = ChartAxis([.nan], logarithmic: true, from: 0, to: 1)
    #expect(nothing.low.isFinite && nothing.high > nothing.low && !nothing.ticks().isEmpty)
  }

  private let styles = EngineStyles(engines: ["base", "quick", "slow"])

  /// Every coordinate of a drawing's bars, lines and marks.
  private func extremes(_ svg: XMLNode) throws -> (x: ClosedRange<Double>, y: ClosedRange<Double>) {
    var (xs, ys): ([Double], [Double]) = ([], [])
    func number(_ text: String?) throws -> Double {
      try #require(text.flatMap { Double($0) }, "\(text ?? "")")
    }
    for node in svg.all("rect") {
      let (x, y) = (try number(node.attributes["x"]), try number(node.attributes["y"]))
      xs += [x, x + (try number(node.attributes["width"]))]
      ys += [y, y + (try number(node.attributes["height"]))]
    }
    for node in svg.all("path") {
      if let place = node.attributes["transform"] {
        let parts = place.dropFirst("translate(".count).dropLast().split(separator: " ")
        xs.append(try number(String(parts[0])))
        ys.append(try number(String(parts[1])))
      } else {
        for point in (node.attributes["d"] ?? "").split(whereSeparator: { "ML".contains($0) }) {
          let parts = point.split(separator: ",")
          xs.append(try number(String(parts[0])))
          ys.append(try number(String(parts[1])))
        }
      }
    }
    for node in svg.all("text") where node.attributes["transform"] == nil {
      xs.append(try number(node.attributes["x"]))
      ys.append(try number(node.attributes["y"]))
    }
    return (
      try #require(xs.min())...(try #require(xs.max())), try #require(ys.min())...(try #require(ys.max()))
    )
  }

  private func expectInside(_ text: String, sourceLocation: SourceLocation = #_sourceLocation) throws {
    let svg = try #require(try XMLNode.parse(text).children.first)
    let box = (svg.attributes["viewBox"] ?? "").split(separator: " ").compactMap { Double($0) }
    #expect(box.count == 4 && box[2] > 0 && box[3] > 0, sourceLocation: sourceLocation)
    let (x, y) = try extremes(svg)
    #expect(x.lowerBound >= 0 && x.upperBound <= box[2], "\(x) in \(box)", sourceLocation: sourceLocation)
    #expect(y.lowerBound >= 0 && y.upperBound <= box[3], "\(y) in \(box)", sourceLocation: sourceLocation)
  }

  @Test func intervalsStayInTheFrame() throws {
    let rows = try [
      ReportSamples.row("base", milliseconds: 4),
      ReportSamples.row("quick", milliseconds: 0.1, speedup: (40, 0.01, 900)),
      ReportSamples.row("slow", milliseconds: 300, speedup: (0.2, 0.05, 0.3)),
    ]
    let layers = ReportSuite.all(rows)[0].layers
    let chart = SpeedupChart(layers: layers, styles: styles, baseline: "base")
    let text = chart.svg(title: "x")
    try expectInside(text)
    let svg = try XMLNode.parse(text)
    let bars = svg.all("rect")
    #expect(bars.count == 2, "the baseline has no bar")
    func number(_ node: XMLNode, _ key: String) -> Double { Double(node.attributes[key] ?? "") ?? .nan }
    // Bars begin at 1: to the right who is faster, to the left who is slower.
    let one = chart.axis.position(1)
    #expect(abs(number(bars[0], "x") - one) < 0.1)
    #expect(abs(number(bars[0], "x") + number(bars[0], "width") - chart.axis.position(40)) < 0.2)
    #expect(abs(number(bars[1], "x") + number(bars[1], "width") - one) < 0.2)
    // Whiskers: a line and two ends for each bar, from the low bound to the high one.
    let whiskers = svg.all("path") { $0.attributes["class"] == "whisker" }
    #expect(whiskers.count == 6)
    let d = whiskers[3].attributes["d"] ?? ""
    let ends = d.split(whereSeparator: { "ML,".contains($0) }).compactMap { Double($0) }
    #expect(abs(ends[0] - chart.axis.position(0.05)) < 0.1 && abs(ends[2] - chart.axis.position(0.3)) < 0.1)
    #expect(chart.axis.low >= SpeedupChart.least * 0.5, "0.05 does not stretch the axis")
  }

  @Test func whoIsOffTheScaleHasNoLane() throws {
    let rows = try ReportSamples.rows()
    let chart = SpeedupChart(layers: ReportSuite.all(rows)[0].layers, styles: styles, baseline: "base")
    #expect(chart.leftOut == ["slow"])
    #expect(try XMLNode.parse(chart.svg(title: "x")).all("rect").count == 4)
  }

  @Test func otherChartsStayInTheirFrames() throws {
    let rows =
      try ReportSamples.rows() + [
        ReportSamples.row("exact", milliseconds: 5000, error: 0),
        ReportSamples.row("wide", milliseconds: 1e-4, error: 1e3),
      ]
    let layers = ReportSuite.all(rows)[0].layers
    let styles = EngineStyles(engines: rows.map(\.backend))
    for layer in layers { try expectInside(ParetoChart(layer: layer, styles: styles).svg()) }
    for bandwidth in [nil, 0.001, 20, 1e6] {
      let chart = RooflineChart(layers: layers, styles: styles, peak: 100, bandwidth: bandwidth)
      try expectInside(chart.svg(title: "x"))
    }
    let bars = [1.0, 5, 1e6].map {
      StackChart.Bar(
        label: "a label that is far too long for its place",
        parts: [.init(name: "x", value: $0, style: "e1"), .init(name: "y", value: $0, style: "e2")],
        value: "v")
    }
    try expectInside(StackChart(blocks: [.init(title: "t", bars: bars)]).svg(title: "x"))
    #expect(StackChart.limit([2, 10, 2e6], cut: 8) == 10)
    try expectInside(LossChart(rows: [ReportSamples.training("base")], styles: styles).svg(title: "x"))
  }

  @Test func intensityIsThatOfTheThreeTensors() throws {
    // 2·1·4·9·9·3·9 FLOPs over 4 bytes of 243 + 108 + 324 elements.
    let value = try #require(RooflineChart.intensity("conv2d:n1c3h9w9k4r3s3p1", .float32))
    #expect(abs(value - 17496.0 / (4 * 675)) < 1e-12)
    #expect(RooflineChart.intensity("nonsense", .float32) == nil)
  }

  /// Colours can be read on the page and on the cards, and no two engines look alike.
  @Test func coloursHaveContrast() {
    func luminance(_ colour: String) -> Double {
      let value = Int(colour.dropFirst(), radix: 16) ?? 0
      let parts = [16, 8, 0].map { shift -> Double in
        let c = Double(value >> shift & 255) / 255
        return c <= 0.04045 ? c / 12.92 : pow((c + 0.055) / 1.055, 2.4)
      }
      return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]
    }
    func contrast(_ a: String, _ b: String) -> Double {
      let (x, y) = (luminance(a), luminance(b))
      return (max(x, y) + 0.05) / (min(x, y) + 0.05)
    }
    for (colours, grounds) in [
      (EngineStyles.light, [EngineStyles.pageLight, EngineStyles.cardLight]),
      (EngineStyles.dark, [EngineStyles.pageDark, EngineStyles.cardDark]),
    ] {
      for colour in colours {
        for ground in grounds { #expect(contrast(colour, ground) >= 4.5, "\(colour) on \(ground)") }
      }
    }
    let names = (0..<40).map { "engine\($0)" }
    let styles = EngineStyles(engines: names)
    #expect(Set(names.map { styles.colour($0) + styles.shape($0) }).count == names.count)
  }

  /// The name decides: not who else takes part, nor in which order, nor who is the baseline.
  @Test func enginesLookTheSameInAllReports() throws {
    func look(_ name: String, among others: [String]) -> String {
      let styles = EngineStyles(engines: others)
      return styles.colour(name) + styles.shape(name)
    }
    let known = ["naive", "im2col", "winograd", "direct", "fft", "onednn", "openblas", "auto"]
    let alone = known.map { look($0, among: [$0]) }
    // Their colours alone tell them apart, and the usual baseline is neutral.
    let all = EngineStyles(engines: known)
    #expect(Set(known.map(all.colour)).count == known.count && all.colour("im2col") == "e0")
    #expect(known.map { look($0, among: known) } == alone)
    #expect(
      known.map { look($0, among: known.reversed() + ["another", "winograd[tile=2x2]", "fft#2"]) } == alone)
    let variants = EngineStyles(engines: ["winograd[tile=2x2]", "winograd", "winograd#2"])
    #expect(Set(variants.engines.map(variants.colour)).count == 1)
    #expect(Set(variants.engines.map(variants.shape)).count == 3)
    // In two pages with different baselines and companions.
    func marks(_ engines: [String]) throws -> String {
      var rows = try engines.map { try ReportSamples.row($0, milliseconds: 1) }
      for index in rows.indices { rows[index].baseline = engines[0] }
      let page = try XMLNode.parse(ReportSamples.report(rows).html)
      let row = try #require(page.all("tr") { $0.attributes["data-backend"] == "winograd" }.first)
      let mark = try #require(row.all("svg").first)
      return (mark.attributes["class"] ?? "") + (mark.all("path").first?.attributes["d"] ?? "")
    }
    #expect(try marks(["winograd", "fft"]) == marks(["im2col", "direct", "naive", "winograd"]))
  }
}
