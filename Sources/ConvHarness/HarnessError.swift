import ConvCore

/// What went wrong outside the convolutions themselves, with what was asked and what was found.
public enum HarnessError: Error, Hashable, Sendable {
  /// A line of a problem file that cannot be read. Lines and columns count from 1.
  case malformedLine(file: String, line: Int, column: Int, text: String, reason: String)
  /// A name that is not known; the nearest known names come first.
  case unknownName(kind: String, name: String, known: [String])
  /// A request that makes no sense, in one sentence.
  case usage(String)
}

extension HarnessError: CustomStringConvertible {
  /// The message for people.
  public var description: String {
    switch self {
    case .malformedLine(let file, let line, let column, let text, let reason):
      return "\(QuotedText.shortened(file)):\(line):\(column): \(QuotedText.tamed(reason))"
        + QuotedText.marked(text, at: max(0, column - 1))
    case .unknownName(let kind, let name, let known):
      let near = known.first.map { "; did you mean '\($0)'?" } ?? "."
      return "unknown \(kind) \(quoting: name)\(near) Known: \(known.joined(separator: ", "))"
    case .usage(let message):
      return QuotedText.tamed(message)
    }
  }
}

/// Known names, the most similar to a mistyped one first.
public enum NearNames {
  private static let longestName = 100

  /// `known` in order of edit distance from `name`, ties in their given order.
  public static func sorted(_ known: [String], by name: String) -> [String] {
    // More than the longest name can have in common with one of them takes time and says nothing.
    let wanted = Array(name.prefix(longestName).lowercased())
    return known.enumerated()
      .map {
        (offset: $0.offset, name: $0.element, distance: distance(wanted, Array($0.element.lowercased())))
      }
      .sorted { ($0.distance, $0.offset) < ($1.distance, $1.offset) }
      .map(\.name)
  }

  /// Levenshtein's distance: the least number of insertions, deletions and substitutions.
  static func distance(_ a: [Character], _ b: [Character]) -> Int {
    var previous = Array(0...b.count)
    for (i, x) in a.enumerated() {
      var current = [i + 1]
      for (j, y) in b.enumerated() {
        current.append(min(previous[j + 1] + 1, current[j] + 1, previous[j] + (x == y ? 0 : 1)))
      }
      previous = current
    }
    return previous[b.count]
  }
}
