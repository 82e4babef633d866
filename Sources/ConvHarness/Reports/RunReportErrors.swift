import ConvCore

extension RunReport {
  /// What the ratios of errors and bounds are.
  static let distributionText =
    "How near each engine's errors come to their bounds, over its rows of which results were compared: of each row the largest "
    + "quotient of an error and its bound, which passes up to 1; in a second line the same of sums over all results with random "
    + "signs. Bits are the median of effective_bits, the negative binary logarithm of the errors' rms over the values'."

  /// The distribution of `error_ratio` per engine; empty where nothing was compared.
  var errorDistribution: Markdown {
    let all = ErrorDistribution.all(rows)
    guard all.contains(where: { $0.verified > 0 }) else { return "" }
    var text: Markdown = "## Errors beside their bounds\n\n\(RunReport.distributionText)\n\n"
    text += Markdown.row(
      ["engine", "of", "rows", "least", "25 %", "median", "75 %", "largest", "bits"]
        + ErrorDistribution.verdicts.map(\.rawValue) + ["correlated"])
    text += "|---|---|" + Markdown(repeating: "---:|", count: 12) + "\n"
    for line in all.flatMap({ RunReport.cells($0) }) {
      text += Markdown.row(line)
    }
    return text + "\n"
  }

  /// The table's line of an engine, and a second one where it has sums.
  static func cells(_ one: ErrorDistribution) -> [[String]] {
    func five(_ quartiles: ErrorDistribution.Quartiles?) -> [String] {
      quartiles?.values.map(quotient) ?? Array(repeating: "", count: 5)
    }
    let counts = ErrorDistribution.verdicts.map { "\(one.counts[$0] ?? 0)" } + ["\(one.correlated)"]
    let results =
      [one.backend, "results", "\(one.verified)"] + five(one.errorRatio)
      + [bits(one.effectiveBits?.median ?? .nan)] + counts
    guard let sums = one.projectionRatio else { return [results] }
    let line = ["", "sums", "\(one.summed)"] + five(sums) + Array(repeating: "", count: counts.count + 1)
    return [results, line]
  }
}
