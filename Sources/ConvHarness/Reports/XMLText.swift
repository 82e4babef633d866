import ConvCore

/// Text inside XML, and inside HTML that is XML too.
enum XMLText {
  /// `text` with the five special characters as entities. Characters that XML 1.0 forbids even as entities (control characters
  /// other than tab and newlines) and those that turn the direction of writing are written out, `\u{1b}`; U+FFFE and U+FFFF are left out.
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
      case "\u{FFFE}", "\u{FFFF}": break
      default:
        let isPlain = (0x20..<0x7F).contains(scalar.value)
        result += isPlain ? String(scalar) : QuotedText.visible(String(scalar))
      }
    }
    return result
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
