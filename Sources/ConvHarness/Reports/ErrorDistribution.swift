import ConvCore

/// How near the errors of one engine come to their bounds, over all rows of a run.
///
/// A bound says much where honest engines come close to it: a largest ratio of 10⁻⁴ is that of a bound through which errors of a
/// thousand times the size would pass.
public struct ErrorDistribution: Sendable, Hashable {
  /// Order statistics, with linear interpolation between two values.
  public struct Quartiles: Sendable, Hashable {
    public let least: Double
    public let lower: Double
    public let median: Double
    public let upper: Double
    public let greatest: Double

    /// Of the values that are numbers, infinite ones among them; nil where there are none.
    public init?(_ values: [Double]) {
      let numbers = values.filter { !$0.isNaN }
      guard let least = numbers.min(), let greatest = numbers.max() else { return nil }
      self.least = least
      self.greatest = greatest
      lower = Statistics.quantile(numbers, 0.25)
      median = Statistics.quantile(numbers, 0.5)
      upper = Statistics.quantile(numbers, 0.75)
    }

    /// From the least to the greatest.
    public var values: [Double] { [least, lower, median, upper, greatest] }
  }

  /// The engine as rows name it, `winograd[tile=4x4]`.
  public let backend: String
  /// Rows of which results were compared: those that have an error ratio, whatever their verdict.
  public let verified: Int
  /// Rows of which sums over many results were compared too.
  public let summed: Int
  /// Of the largest quotients of an error and its bound; nil where nothing was compared.
  public let errorRatio: Quartiles?
  /// The same of sums over many results (`Projection`), over the rows that have such.
  public let projectionRatio: Quartiles?
  /// Of `effective_bits`; nil where no row has them.
  public let effectiveBits: Quartiles?
  /// Rows by verdict.
  public let counts: [Verdict: Int]
  /// Rows of which the deterministic bound decided.
  public let correlated: Int

  /// The distribution over the rows of one engine.
  public init(backend: String, _ rows: [ResultRow]) {
    let checks = rows.map(\.verification)
    self.backend = backend
    verified = checks.count { !$0.errorRatio.isNaN }
    summed = checks.count { !$0.projectionRatio.isNaN }
    errorRatio = Quartiles(checks.map(\.errorRatio))
    projectionRatio = Quartiles(checks.map(\.projectionRatio))
    effectiveBits = Quartiles(checks.map(\.effectiveBits))
    counts = Dictionary(grouping: checks, by: \.verdict).mapValues(\.count)
    correlated = checks.count(where: \.isCorrelated)
  }

  /// Those of all engines, in order of appearance.
  public static func all(_ rows: [ResultRow]) -> [ErrorDistribution] {
    var order: [String] = []
    var groups: [String: [ResultRow]] = [:]
    for row in rows {
      if groups[row.backend] == nil { order.append(row.backend) }
      groups[row.backend, default: []].append(row)
    }
    return order.map { ErrorDistribution(backend: $0, groups[$0] ?? []) }
  }

  /// The verdicts that the tables of this distribution count, in their order.
  static let verdicts: [Verdict] = [.passed, .failed, .mistrusted, .unsupported]
}
