import ConvCore

/// A regular expression that picks problems, anywhere in their name, canonical text or nodes of a model; see `LinearPattern` for what
/// it may hold.
public struct ProblemPattern {
  private let text: String
  private let pattern: LinearPattern
  private var work = PatternWork()

  /// Reads `text`.
  ///
  /// - Throws: `HarnessError.usage` that says what is wrong, and where.
  public init(_ text: String) throws {
    self.text = text
    do {
      pattern = try LinearPattern(text)
    } catch let error as LinearPattern.SyntaxError {
      throw HarnessError.usage("--match: " + error.message(text))
    }
  }

  /// Whether the problem is meant.
  ///
  /// - Throws: `HarnessError.usage` where all that has been asked so far takes too long.
  public mutating func matches(_ problem: BenchmarkProblem) throws -> Bool {
    for place in [problem.name, problem.problem.description] + problem.nodes {
      let isFound = pattern.isFound(in: place, work: &work.count)
      if let reason = work.excess { throw HarnessError.usage("--match \(quoting: text) \(reason)") }
      if isFound { return true }
    }
    return false
  }
}

/// How much an expression has been looked for.
struct PatternWork {
  /// Comparisons that take about a second.
  static let limit = 50_000_000
  /// Comparisons so far.
  var count = 0

  /// What is wrong where it has become too much.
  var excess: String? {
    count <= Self.limit
      ? nil : "takes more than \(Self.limit) comparisons with these problems: a shorter one is needed"
  }
}
