import ConvCore

/// What each engine must support in every pass and both element types, whatever its plans: declining is no way out there.
///
/// The same table stands in the README; `vbench check` and the tests hold the engines to it.
public enum MinimumSupport {
  /// What an engine promises.
  public struct Rule: Sendable, Hashable {
    /// The engine's name.
    public let backend: String
    /// Heights and widths of square filters that are covered; nil for every filter.
    public let filters: [Int]?
    /// Largest stride that is covered; nil for every stride.
    public let largestStride: Int?
    /// Ranks that are covered.
    public let ranks: ClosedRange<Int>

    /// Whether the rule covers a problem. Dilation, groups, padding, batch and channels are never a reason to decline.
    public func covers(_ problem: ConvProblem) -> Bool {
      guard ranks.contains(problem.spatialRank) else { return false }
      if let filters {
        guard problem.filter.h == problem.filter.w, filters.contains(problem.filter.h) else { return false }
      }
      if let largestStride {
        guard problem.stride.h <= largestStride, problem.stride.w <= largestStride else { return false }
      }
      return true
    }
  }

  /// One rule per engine.
  public static let rules: [Rule] = [
    Rule(backend: "naive", filters: nil, largestStride: nil, ranks: 1...3),
    Rule(backend: "im2col", filters: nil, largestStride: nil, ranks: 1...3),
    Rule(backend: "winograd", filters: [3, 5], largestStride: 1, ranks: 2...3),
    Rule(backend: "fft", filters: nil, largestStride: nil, ranks: 1...3),
  ]

  /// Whether the engine of that name must support the operation.
  public static func requires(_ backend: String, _ operation: ConvOperation) -> Bool {
    rules.contains { $0.backend == backend && $0.covers(operation.problem) }
  }

  /// The table of the README.
  public static var markdown: String {
    var text = "| engine | passes | filters | stride | dilation | groups | dimensions | element types |\n"
    text += "|---|---|---|---|---|---|---|---|\n"
    for rule in rules {
      let filters = rule.filters.map { $0.map { "\($0)×\($0)" }.joined(separator: ", ") } ?? "any"
      let stride = rule.largestStride.map { "\($0)" } ?? "any"
      let ranks = rule.ranks.map { "\($0)-D" }.joined(separator: ", ")
      text +=
        "| \(rule.backend) | all three | \(filters) | \(stride) | any | any | \(ranks) | float32, float64 |\n"
    }
    return text
  }
}
