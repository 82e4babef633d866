import Foundation

/// A drawing of fixed size that a page scales.
struct SVGCanvas {
  let width: Double
  var height: Double
  private(set) var body = ""

  init(width: Double, height: Double) {
    self.width = width
    self.height = height
  }

  enum Anchor: String { case start, middle, end }

  /// A coordinate with one decimal.
  static func number(_ value: Double) -> String {
    guard abs(value) < 1e9 else { return "0" }
    let tenths = Int((value * 10).rounded())
    if tenths % 10 == 0 { return "\(tenths / 10)" }
    return (tenths < 0 ? "-" : "") + "\(abs(tenths) / 10).\(abs(tenths) % 10)"
  }

  mutating func line(_ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double, _ style: String) {
    body +=
      "<path class=\"\(style)\" d=\"M\(Self.number(x1)),\(Self.number(y1))L\(Self.number(x2)),\(Self.number(y2))\"/>"
  }

  /// A path through points.
  mutating func polyline(_ points: [(x: Double, y: Double)], _ style: String) {
    guard points.count > 1 else { return }
    let text = points.map { "\(Self.number($0.x)),\(Self.number($0.y))" }.joined(separator: "L")
    body += "<path class=\"\(style)\" d=\"M\(text)\"/>"
  }

  mutating func rectangle(
    x: Double, y: Double, width: Double, height: Double, _ style: String, title: String? = nil
  ) {
    let attributes = [
      ("class", style), ("x", Self.number(x)), ("y", Self.number(y)), ("width", Self.number(max(0, width))),
      ("height", Self.number(max(0, height))),
    ]
    body += XMLText.element("rect", attributes, title.map { "<title>\(XMLText.escaped($0))</title>" })
  }

  mutating func text(_ x: Double, _ y: Double, _ text: String, _ style: String, _ anchor: Anchor = .start) {
    let attributes = [
      ("class", style + (anchor == .start ? "" : " t-\(anchor.rawValue)")), ("x", Self.number(x)),
      ("y", Self.number(y)),
    ]
    body += XMLText.element("text", attributes, XMLText.escaped(text))
  }

  /// A text that is read from below, centred on (x, y).
  mutating func verticalText(_ x: Double, _ y: Double, _ text: String, _ style: String) {
    body += XMLText.element(
      "text",
      [
        ("class", style + " t-middle"),
        ("transform", "translate(\(Self.number(x)) \(Self.number(y))) rotate(-90)"),
      ], XMLText.escaped(text))
  }

  /// A mark at a place: an outline around the origin, with words that a pointer or a screen reader gets.
  mutating func mark(_ x: Double, _ y: Double, shape: String, _ style: String, title: String? = nil) {
    body += XMLText.element(
      "path",
      [
        ("class", style), ("d", shape), ("transform", "translate(\(Self.number(x)) \(Self.number(y)))"),
      ], title.map { "<title>\(XMLText.escaped($0))</title>" })
  }

  /// Another drawing, its upper left corner at (x, y).
  mutating func insert(_ drawing: SVGCanvas, x: Double, y: Double) {
    body += XMLText.element(
      "g", [("transform", "translate(\(Self.number(x)) \(Self.number(y)))")], drawing.body)
  }

  /// The element, named for those who do not see it.
  func svg(label: String) -> String {
    XMLText.element(
      "svg",
      [
        ("class", "chart"), ("role", "img"), ("aria-label", label),
        ("viewBox", "0 0 \(Self.number(width)) \(Self.number(height))"),
      ], "<title>\(XMLText.escaped(label))</title>" + body)
  }

  /// About how wide a text of that many points is, in a font that is not known.
  static func width(of text: String, size: Double) -> Double { Double(text.count) * size * 0.56 }
}

/// A frame with two axes.
struct ChartFrame {
  static let width = 380.0
  let x: ChartAxis
  let y: ChartAxis

  /// Grid lines, numbers and the axes' names.
  func draw(on canvas: inout SVGCanvas, xTitle: String, yTitle: String, xTicks: Int = 5, yTicks: Int = 5) {
    let (left, right) = (min(x.start, x.end), max(x.start, x.end))
    let (top, bottom) = (min(y.start, y.end), max(y.start, y.end))
    for tick in x.ticks(about: xTicks) {
      let at = x.position(tick.value)
      canvas.line(at, top, at, bottom, "grid")
      canvas.text(at, bottom + 13, tick.label, "tick", .middle)
    }
    for tick in y.ticks(about: yTicks) {
      let at = y.position(tick.value)
      canvas.line(left, at, right, at, "grid")
      canvas.text(left - 5, at + 3.5, tick.label, "tick", .end)
    }
    canvas.line(left, bottom, right, bottom, "axis")
    canvas.line(left, top, left, bottom, "axis")
    canvas.text((left + right) / 2, bottom + 28, xTitle, "axis-title", .middle)
    canvas.verticalText(11, (top + bottom) / 2, yTitle, "axis-title")
  }
}
