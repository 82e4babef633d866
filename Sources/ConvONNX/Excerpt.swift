import ConvCore

/// Parts of a file as errors and notes quote them: a name may be a megabyte long, a list have a million numbers.
enum Excerpt {
  /// Numbers or names of a list that are quoted.
  static let mostElements = 8

  /// A text, or what messages repeat of a long one.
  static func of(_ text: some StringProtocol) -> String { QuotedText.shortened(text) }

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
