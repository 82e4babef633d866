import ConvCore
import ConvHarness

/// The problems of several sources. One that has none does not end the others: it is named in a note with the reason.
struct ProblemSources {
  /// A problem and the suite that it comes from.
  typealias Layer = (suite: String, problem: BenchmarkProblem)

  private var pattern: ProblemPattern?
  private var layers: [Layer] = []
  /// Problems before `--match`.
  private var count = 0
  /// Sources without problems, and why.
  private var absences: [(name: String, reason: String)] = []
  /// Sources whose problems `--match` keeps out, and how many those are.
  private var unmatched: [(name: String, count: Int)] = []
  /// Names that one note holds.
  private static let mostNames = 10

  /// - Parameter pattern: what `--match` holds.
  init(pattern: ProblemPattern? = nil) { self.pattern = pattern }

  /// Takes the problems of a source which match.
  ///
  /// - Parameters:
  ///   - limit: how many at most.
  ///   - absence: why the source is empty, where it is.
  ///   - isNamed: whether the user named it, and is told where nothing of it matches.
  /// - Throws: `HarnessError.usage` where matching takes too long.
  mutating func add(
    _ name: String, _ problems: [BenchmarkProblem], limit: Int = .max, absence: String? = nil,
    isNamed: Bool = true
  ) throws {
    count += problems.count
    var taken = 0
    for problem in problems {
      if taken == limit { break }
      guard try pattern?.matches(problem) ?? true else { continue }
      layers.append((name, problem))
      taken += 1
    }
    if problems.isEmpty {
      absences.append((name, absence ?? "it holds no problem"))
    } else if taken == 0, isNamed {
      unmatched.append((name, problems.count))
    }
  }

  /// The layers of all sources, and what there is to say about those which give none.
  ///
  /// - Throws: `UsageError` where `--match` keeps all problems out, `NoProblemError` where there is none.
  func finish(match: String?) throws -> (layers: [Layer], notes: [String]) {
    let empty = absences.map { "\(QuotedText.shortened($0.name)): \($0.reason)" }
    guard layers.isEmpty else {
      var notes = empty
      if let match, !unmatched.isEmpty {
        let names = unmatched.prefix(Self.mostNames).map { "\(QuotedText.shortened($0.name)) (\($0.count))" }
        let more = unmatched.count > names.count ? ", … (\(unmatched.count) in all)" : ""
        notes.append(
          "--match \(quoting: match) matches none of the problems of \(names.joined(separator: ", "))\(more)")
      }
      return (layers, notes)
    }
    if let match, count > 0 {
      let others = empty.map { "\n  \($0)" }.joined()
      throw UsageError(
        "--match \(quoting: match) matches none of \(count) problems (--list shows them)\(others)")
    }
    if !empty.isEmpty { throw NoProblemError(sources: empty) }
    return ([], [])
  }
}

/// No source that was named holds a problem.
struct NoProblemError: StatusError, CustomStringConvertible {
  /// Names, and why they hold none.
  let sources: [String]
  var exitStatus: ExitStatus { .malformedFile }
  var description: String {
    if sources.count == 1 { return sources[0] }
    return "none of \(sources.count) sources holds a problem that can be run\n  "
      + sources.joined(separator: "\n  ")
  }
}
