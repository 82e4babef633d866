/// What users and files say, as messages repeat it: at most 200 characters of it, and none that a terminal would obey.
public enum QuotedText {
  /// Characters of a text that a message repeats.
  public static let mostCharacters = 200
  /// How many of them stand before and behind the gap in a longer text.
  private static let head = 140, tail = 50

  /// The text itself, or its beginning, its end and how long it is.
  public static func shortened(_ text: some StringProtocol) -> String {
    let isShort = text.utf8.count <= mostCharacters
    let scalars = text.unicodeScalars
    if isShort || scalars.count <= mostCharacters { return escaped(scalars) }
    return escaped(scalars.prefix(head)) + "…" + escaped(scalars.suffix(tail))
      + " (\(scalars.count) characters)"
  }

  /// The text between quotes; behind them the length of a long one.
  public static func quoted(_ text: some StringProtocol) -> String {
    let isShort = text.utf8.count <= mostCharacters
    let scalars = text.unicodeScalars
    if isShort || scalars.count <= mostCharacters { return "'\(escaped(scalars))'" }
    return "'\(escaped(scalars.prefix(head)))…\(escaped(scalars.suffix(tail)))' (\(scalars.count) characters)"
  }

  /// A message with texts in it that somebody else wrote: long words and what is long between quotes are shortened, line by line.
  public static func tamed(_ message: String) -> String {
    message.split(separator: "\n", omittingEmptySubsequences: false).map { line in
      if line.utf8.count <= mostCharacters { return escaped(line.unicodeScalars) }
      let parts = line.split(separator: "'", omittingEmptySubsequences: false)
      return parts.enumerated().map { index, part in
        if part.utf8.count <= mostCharacters { return escaped(part.unicodeScalars) }
        let isQuoted = index % 2 == 1 && index + 1 < parts.count
        return isQuoted
          ? shortened(part)
          : part.split(separator: " ", omittingEmptySubsequences: false).map(shortened).joined(separator: " ")
      }.joined(separator: "'")
    }.joined(separator: "\n")
  }

  /// A line of the text with a mark below one of its characters; of a long text what lies around that.
  public static func marked(_ text: String, at offset: Int) -> String {
    var lead = 0
    var shown = text[...]
    if text.utf8.count > mostCharacters {
      lead = max(0, offset - head)
      let start = text.index(text.startIndex, offsetBy: lead, limitedBy: text.endIndex) ?? text.endIndex
      let end = text.index(start, offsetBy: mostCharacters - 2, limitedBy: text.endIndex) ?? text.endIndex
      shown = text[start..<end]
    }
    let line =
      (lead > 0 ? "…" : "")
      + shown.map { $0.unicodeScalars.contains(where: isObeyed) ? "·" : String($0) }.joined()
      + (shown.endIndex < text.endIndex ? "…" : "")
    let column = min(max(0, offset - lead), shown.count) + (lead > 0 ? 1 : 0)
    return "\n  \(line)\n  " + String(repeating: " ", count: column) + "^"
  }

  /// The whole text, with what a terminal would obey written out.
  public static func visible(_ text: String) -> String {
    text.unicodeScalars.contains(where: isObeyed) ? escaped(text.unicodeScalars) : text
  }

  /// Bytes that are no UTF-8 text, between quotes: those outside of printable ASCII as `\xFF`.
  public static func bytes(_ bytes: [UInt8]) -> String {
    let shown = bytes.prefix(mostCharacters).map { byte in
      (0x20..<0x7F).contains(byte)
        ? String(UnicodeScalar(byte))
        : "\\x" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
    }
    return "'" + shown.joined() + (bytes.count > mostCharacters ? "…' (\(bytes.count) bytes)" : "'")
  }

  /// A text of several lines, with what a terminal would obey in each of them written out.
  public static func visible(lines text: String) -> String {
    guard text.unicodeScalars.contains(where: { $0 != "\n" && isObeyed($0) }) else { return text }
    var result = ""
    for scalar in text.unicodeScalars {
      if scalar == "\n" { result += "\n" } else { result += escaped(CollectionOfOne(scalar)) }
    }
    return result
  }

  private static func escaped(_ scalars: some Sequence<Unicode.Scalar>) -> String {
    var result = ""
    for scalar in scalars {
      if isObeyed(scalar) {
        result += scalar == "\n" ? "\\n" : scalar == "\t" ? "\\t" : "\\u{\(String(scalar.value, radix: 16))}"
      } else {
        result.unicodeScalars.append(scalar)
      }
    }
    return result
  }

  /// Control characters, separators of lines, and what turns the direction of writing (UAX #9).
  private static func isObeyed(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0..<0x20, 0x7F..<0xA0, 0x061C, 0x200E, 0x200F, 0x2028...0x202E, 0x2066...0x2069: true
    default: false
    }
  }
}

extension DefaultStringInterpolation {
  /// A user's or a file's text between quotes, as `QuotedText.quoted`.
  public mutating func appendInterpolation(quoting text: some StringProtocol) {
    appendLiteral(QuotedText.quoted(text))
  }
}
