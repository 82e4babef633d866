/// Text inside XML, and inside HTML that is XML too.
enum XMLText {
  /// `text` with the five special characters as entities and without the characters that XML 1.0 forbids even as entities
  /// (control characters other than tab and newlines, U+FFFE, U+FFFF).
  static func escaped(_ text: String) -> String {
    var result = ""
    result.reserveCapacity(text.utf8.count)
    for scalar in text.unicodeScalars {
      switch scalar {
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "\"": result += "&quot;"
      case "'": result += "&#39;"
      case "\t", "\n", "\r": result.unicodeScalars.append(scalar)
      default: if isAllowed(scalar) { result.unicodeScalars.append(scalar) }
      }
    }
    return result
  }

  /// DEL and the C1 controls are legal, but no reader shows them.
  private static func isAllowed(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0..<0x20, 0x7F..<0xA0, 0xFFFE, 0xFFFF: false
    default: true
    }
  }

  /// `<name a="…">content</name>`, or `<name a="…"/>` without content; attribute values are escaped, content is markup already.
  static func element(_ name: String, _ attributes: [(String, String)] = [], _ content: String? = nil)
    -> String
  {
    var text = "<" + name
    for (key, value) in attributes { text += " \(key)=\"\(escaped(value))\"" }
    guard let content else { return text + "/>" }
    return text + ">" + content + "</\(name)>"
  }
}
