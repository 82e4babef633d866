/// The choice among measured candidates.
public enum Tuning {
  /// Candidates this near to the fastest count as equally fast: the more accurate one is taken.
  public static let indistinguishable = 0.02

  /// The fastest row that passed its verification with a relative error of at most `maxError`; nil where there is none.
  public static func choose(_ rows: [ResultRow], maxError: Double?) -> ResultRow? {
    let allowed = rows.filter { rejection(of: $0, maxError: maxError) == nil }
    guard let fastest = allowed.map(\.medianMilliseconds).min() else { return nil }
    let near = allowed.filter { $0.medianMilliseconds <= fastest * (1 + indistinguishable) }
    return near.min {
      ($0.relativeError, $0.medianMilliseconds) < ($1.relativeError, $1.medianMilliseconds)
    }
  }

  /// Why a candidate may not be chosen; nil where it may.
  public static func rejection(of row: ResultRow, maxError: Double?) -> String? {
    if row.verification.verdict != .passed {
      return "\(row.verification.verdict.rawValue): \(row.verification.reason)"
    }
    if !row.medianMilliseconds.isFinite { return "not timed" }
    guard let maxError else { return nil }
    // Not a number is not small.
    if row.relativeError <= maxError { return nil }
    return
      "error \(CSV.number(row.relativeError)) relative to the results' rms, \(CSV.number(maxError)) allowed"
  }
}

extension ResultRow {
  /// Largest error found, relative to the rms of the results that were looked at: errorMax / rms(value).
  public var relativeError: Double {
    if verification.errorMax == 0 { return 0 }
    // ‖e‖/‖value‖ and ‖e‖ are known; their quotient is the rms of the values.
    return verification.errorMax * (verification.norms?.relativeL2 ?? .nan) / verification.errorRMS
  }
}
