import ConvCore

/// Markdown in GitHub's dialect, put together so that texts of others stay text.
///
/// Literals are markup. Strings that are interpolated (names of layers, engines, peers and files, reasons, figures) are escaped:
/// they are shown as they are wherever they stand, in paragraphs, lists and cells of tables, and begin no link, no code, no
/// element of HTML and no cell. Control characters and those that turn the direction of writing are written out; newlines are
/// spaces.
///
///     "| \(row.name) | \(code: row.problem) |\n"
///
/// References: GitHub Flavored Markdown 0.29, 2.4 (backslashes), 4.10 (tables), 6.2 (entities), 6.3 (code).
struct Markdown: ExpressibleByStringInterpolation, Hashable, Sendable {
  /// What the file says.
  private(set) var source: String

  init(stringLiteral value: String) { source = value }

  init(stringInterpolation: StringInterpolation) { source = stringInterpolation.source }

  private init(source: String) { self.source = source }

  /// Markup that is repeated.
  init(repeating part: Markdown, count: Int) { source = String(repeating: part.source, count: count) }

  struct StringInterpolation: StringInterpolationProtocol {
    fileprivate var source = ""

    init(literalCapacity: Int, interpolationCount: Int) { source.reserveCapacity(2 * literalCapacity) }

    mutating func appendLiteral(_ literal: String) { source += literal }
    mutating func appendInterpolation(_ text: some StringProtocol) {
      source += Markdown.escaped(String(text))
    }
    mutating func appendInterpolation(_ number: some BinaryInteger) { source += "\(number)" }
    mutating func appendInterpolation(_ markdown: Markdown) { source += markdown.source }
    mutating func appendInterpolation(code text: String) { source += Markdown.code(text).source }
    mutating func appendInterpolation(url text: String) { source += Markdown.percentEncoded(text) }
  }

  var isEmpty: Bool { source.isEmpty }

  static func + (left: Markdown, right: Markdown) -> Markdown { Markdown(source: left.source + right.source) }
  static func += (left: inout Markdown, right: Markdown) { left.source += right.source }

  /// Text of somebody else, or a figure.
  static func text(_ text: String) -> Markdown { Markdown(source: escaped(text)) }

  /// Text in the font of code; nothing for an empty one.
  ///
  /// What has a backtick would end a code span, and a pipe would end the cell around it, with a backslash before it or not: those are elements of HTML.
  static func code(_ text: String) -> Markdown {
    let visible = QuotedText.visible(oneLine(text))
    if visible.isEmpty { return "" }
    let isSpan = !visible.utf8.contains { "`|".utf8.contains($0) }
    return Markdown(source: isSpan ? "`\(visible)`" : "<code>\(escaped(text))</code>")
  }

  /// Lines that are shown as they are, between more backticks than any of them begins with.
  static func fenced(_ text: String) -> Markdown {
    var longest = 0
    var length = 0
    for byte in text.utf8 {
      length = byte == UInt8(ascii: "`") ? length + 1 : 0
      longest = max(longest, length)
    }
    let fence = String(repeating: "`", count: max(3, longest + 1))
    return Markdown(source: "\(fence)\n\(QuotedText.visible(lines: text))\n\(fence)\n")
  }

  /// A row of a table.
  static func row(_ cells: [Markdown]) -> Markdown { "| \(cells.joined(separator: " | ")) |\n" }

  /// A row of a table whose cells are texts.
  static func row(_ cells: [String]) -> Markdown { row(cells.map(text)) }

  private static func oneLine(_ text: String) -> String {
    text.replacing(scalar: "\r", with: "").replacing(scalar: "\n", with: " ")
  }

  private static let special = Set("&<>\\`*~|$_]#-+".utf8)

  private static func escaped(_ text: String) -> String {
    let text = QuotedText.visible(oneLine(text))
    guard text.utf8.contains(where: special.contains) else { return text }
    let scalars = Array(text.unicodeScalars)
    var result = ""
    result.reserveCapacity(text.utf8.count + 16)
    for (index, scalar) in scalars.enumerated() {
      switch scalar {
      // Entities, since not every reader of Markdown knows backslashes before these.
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      // At the beginning of an item these would be a quote, a heading, a list; elsewhere they are nothing.
      case ">" where index == 0: result += "&gt;"
      case "#" where index == 0: result += "\\#"
      case "-", "+":
        let isItem = index == 0 && scalars.count > 1 && scalars[1] == " "
        result += isItem ? "\\\(scalar)" : "\(scalar)"
      case "\\", "`", "*", "~", "|", "$": result += "\\\(scalar)"
      // Within a word they emphasize nothing, and names are full of them.
      case "_":
        let isWithin =
          index > 0 && index + 1 < scalars.count && isOfWord(scalars[index - 1])
          && isOfWord(scalars[index + 1])
        result += isWithin ? "_" : "\\_"
      // Brackets are links only before one of these; engines' variants are full of them.
      case "]":
        let isLink = index + 1 < scalars.count && "([:".unicodeScalars.contains(scalars[index + 1])
        result += isLink ? "\\]" : "]"
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result
  }

  private static func isOfWord(_ scalar: Unicode.Scalar) -> Bool {
    scalar == "_" || scalar.properties.isAlphabetic || scalar.properties.numericType != nil
  }

  /// What no address holds, as its bytes.
  private static func percentEncoded(_ text: String) -> String {
    var result = ""
    for byte in text.utf8 {
      let isPlain = (0x21...0x7E).contains(byte) && !"\"<>\\^`{|}".utf8.contains(byte)
      result +=
        isPlain
        ? String(UnicodeScalar(byte))
        : "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
    }
    return result
  }
}

extension Sequence where Element == Markdown {
  /// All of them, with markup between.
  func joined(separator: Markdown = "") -> Markdown {
    var result: Markdown = ""
    for (index, element) in enumerated() { result += index == 0 ? element : separator + element }
    return result
  }
}
