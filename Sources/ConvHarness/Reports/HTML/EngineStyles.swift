/// Colour and shape of each engine, the same in all charts of a report.
struct EngineStyles {
  /// Colours of the slots: the first, neutral, is the baseline's. In both modes each has at least 4.5 : 1 contrast with the page
  /// and with the cards, and neighbours differ in lightness too, for readers who tell few hues apart.
  static let light = [
    "#4a5058", "#0b62b8", "#b8480a", "#00785a", "#8d3f9e", "#7d6000", "#b3205f", "#00708a",
  ]
  static let dark = [
    "#b4bcc6", "#6cb4ff", "#ff9a56", "#45d0a2", "#d79bea", "#e2c14a", "#ff87ab", "#56cfe8",
  ]
  static let pageLight = "#ffffff"
  static let cardLight = "#f6f7f9"
  static let pageDark = "#14171b"
  static let cardDark = "#1c2026"

  /// Outlines of about 10 × 10 around the origin, the baseline's first.
  private static let shapes = [
    "M-4.2,0a4.2,4.2 0 1,0 8.4,0a4.2,4.2 0 1,0 -8.4,0z",
    "M-3.9,-3.9h7.8v7.8h-7.8z",
    "M0,-5L4.9,3.8L-4.9,3.8z",
    "M0,-5.4L5.4,0L0,5.4L-5.4,0z",
    "M0,5L4.9,-3.8L-4.9,-3.8z",
    "M-1.6,-4.8h3.2v3.2h3.2v3.2h-3.2v3.2h-3.2v-3.2h-3.2v-3.2h3.2z",
    "M0,-5.4L1.5,-1.7L5.4,-1.6L2.4,0.9L3.4,4.6L0,2.5L-3.4,4.6L-2.4,0.9L-5.4,-1.6L-1.5,-1.7z",
    "M-5,-2.2h10v4.4h-10z",
  ]

  /// The engines in the order of legends.
  let engines: [String]
  private var slots: [String: Int] = [:]

  /// The baseline takes the neutral slot, the others follow in their order.
  init(engines: [String], baseline: String?) {
    var order: [String] = []
    for engine in engines where !order.contains(engine) { order.append(engine) }
    self.engines = order
    var next = 1
    for engine in order {
      if engine == baseline {
        slots[engine] = 0
      } else {
        slots[engine] = next
        next += 1
      }
    }
  }

  private func slot(_ engine: String) -> Int { slots[engine] ?? 0 }

  /// The class that sets the colour `--c`.
  func colour(_ engine: String) -> String {
    let slot = slot(engine)
    // The neutral colour stays the baseline's.
    return "e\(slot == 0 ? 0 : (slot - 1) % (Self.light.count - 1) + 1)"
  }

  /// A path around the origin.
  ///
  /// The first eight engines differ in colour and in shape; when the colours come round again their shapes are others.
  func shape(_ engine: String) -> String {
    let slot = slot(engine)
    if slot == 0 { return Self.shapes[0] }
    let (round, place) = (slot - 1).quotientAndRemainder(dividingBy: Self.light.count - 1)
    return Self.shapes[(place + round) % (Self.shapes.count - 1) + 1]
  }

  /// What marks mean, for the engines that are shown.
  func legend(_ shown: [String]? = nil, notes: [String] = []) -> String {
    let names = engines.filter { shown?.contains($0) ?? true }
    let items = names.map { engine in
      "<li><svg class=\"key \(colour(engine))\" viewBox=\"-7 -7 14 14\" aria-hidden=\"true\">"
        + "<path class=\"mark\" d=\"\(shape(engine))\"/></svg>\(XMLText.escaped(engine))</li>"
    }
    return "<ul class=\"legend\">" + (items + notes.map { "<li class=\"note\">\($0)</li>" }).joined()
      + "</ul>"
  }
}
