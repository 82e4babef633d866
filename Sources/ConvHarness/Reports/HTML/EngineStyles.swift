/// Colour and shape of each engine, the same in all charts of all reports.
struct EngineStyles {
  /// Colours of the slots, the first one neutral. In both modes each has at least 4.5 : 1 contrast with the page
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

  /// Outlines of about 10 × 10 around the origin.
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
  private var looks: [String: (colour: Int, shape: Int)] = [:]

  /// An engine looks the same in all reports, whoever else takes part: its name decides. Its variants and copies
  /// (`winograd[tile=2x2]`, `fft#2`) have its colour and other shapes. Only where two names would look alike in every respect, one
  /// of them gives way.
  init(engines: [String]) {
    var order: [String] = []
    for engine in engines where !order.contains(engine) { order.append(engine) }
    self.engines = order
    var taken = Set<[Int]>()
    // Those without a variant first: they keep what is theirs.
    for engine in order.sorted(by: {
      (Self.family($0) != $0 ? 1 : 0, $0) < (Self.family($1) != $1 ? 1 : 0, $1)
    }) {
      let family = Self.family(engine)
      let first = Self.slot(of: family, Self.light.count)
      let turned = Self.slot(of: engine + " mark", Self.shapes.count)
      let count = Self.light.count * Self.shapes.count
      let looks = (0..<count).lazy.map { step in
        ((first + step / Self.shapes.count) % Self.light.count, (first + turned + step) % Self.shapes.count)
      }
      let own =
        looks.first { !taken.contains([$0.0, $0.1]) } ?? (first, (first + turned) % Self.shapes.count)
      taken.insert([own.0, own.1])
      self.looks[engine] = own
    }
  }

  /// The engine of a variant or a copy.
  private static func family(_ engine: String) -> String { String(engine.prefix { $0 != "[" && $0 != "#" }) }

  /// A number below `count` from a name (FNV-1a), the same in every process. The seed is one of those by which no two engines of
  /// this package have the same colour, and the usual baseline has the neutral one.
  private static func slot(of name: String, _ count: Int) -> Int {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325 ^ seed
    for byte in name.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    return Int(hash >> 32) % count
  }

  private static let seed: UInt64 = 3856

  private func look(_ engine: String) -> (colour: Int, shape: Int) { looks[engine] ?? (0, 0) }

  /// The class that sets the colour `--c`.
  func colour(_ engine: String) -> String { "e\(look(engine).colour)" }

  /// A path around the origin.
  func shape(_ engine: String) -> String { Self.shapes[look(engine).shape] }

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
