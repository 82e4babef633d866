/// A regular expression that picks problems, anywhere in their name, canonical text or nodes of a model.
public struct ProblemPattern {
  private let regex: Regex<AnyRegexOutput>

  /// Compiles `text`.
  ///
  /// - Throws: `HarnessError.usage` that says what is wrong, and where.
  public init(_ text: String) throws {
    regex = try RegexText.compile(text) { .usage("--match: \($0)") }
  }

  /// Whether the problem is meant.
  public func matches(_ problem: BenchmarkProblem) -> Bool {
    ([problem.name, problem.problem.description] + problem.nodes).contains {
      ((try? regex.firstMatch(in: $0)) ?? nil) != nil
    }
  }
}

/// Regular expressions that users write.
enum RegexText {
  /// The compiled expression.
  ///
  /// - Parameter fail: makes the error of a reason, which holds the place in the expression where it is known.
  static func compile(_ text: String, fail: (String) -> HarnessError) throws -> Regex<AnyRegexOutput> {
    do {
      return try Regex(text)
    } catch {
      // The parser's error type is not public, but it can be asked for its place.
      let range = Mirror(reflecting: error).descendant("location", "range") as? Range<String.Index>
      guard let offset = range?.lowerBound.utf16Offset(in: text), (0...text.utf16.count).contains(offset)
      else {
        throw fail("'\(text)' is no regular expression: \(error)")
      }
      throw fail(
        "'\(text)' is no regular expression: \(error) at character \(offset + 1)\n  \(text)\n  "
          + String(repeating: " ", count: offset) + "^")
    }
  }
}
