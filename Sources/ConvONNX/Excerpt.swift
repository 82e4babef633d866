/// Parts of a file as errors and notes quote them: a name may be a megabyte long, a list have a million numbers.
enum Excerpt {
  /// Characters of a text that are quoted.
  static let mostCharacters = 200
  /// Numbers or names of a list that are quoted.
  static let mostElements = 8

  /// The beginning of a text.
  static func of(_ text: some StringProtocol) -> String {
    // Characters are counted only where bytes do not settle it.
    guard text.utf8.count > mostCharacters,
      let end = text.index(
        text.startIndex, offsetBy: mostCharacters, limitedBy: text.endIndex), end < text.endIndex
    else { return String(text) }
    return text[..<text.index(before: end)] + "…"
  }

  /// The beginning of a list, and how long it is where that is not all: `[1, 2, …] of 60000`.
  static func of(_ list: some Collection<some Any>) -> String {
    let begin = list.prefix(mostElements).map { of("\($0)") }.joined(separator: ", ")
    return list.count <= mostElements ? "[\(begin)]" : "[\(of(begin)), …] of \(list.count)"
  }

  /// The beginning of a list of names.
  static func names(_ names: [String]) -> String {
    let begin = of(names.prefix(mostElements).joined(separator: ", "))
    return names.count <= mostElements ? begin : "\(begin), … (\(names.count) in all)"
  }
}
