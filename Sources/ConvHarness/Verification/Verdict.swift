import ConvCore
import Foundation

/// The outcome of one check.
public enum Verdict: String, Sendable, Hashable, CaseIterable {
  /// Every looked-at result is within its bound, and the check could have failed.
  case passed
  /// A result is outside its bound, or not a number.
  case failed
  /// The engine declines the operation and says why.
  case unsupported
  /// All results are within their bounds, but so would be those of a wrong computation: not passed.
  case mistrusted
  /// There is nothing to compare with.
  case missingReference = "missing-reference"
}

/// A verdict with the figures that led to it. All figures are absolute errors in the result's own unit.
public struct Verification: Sendable, Hashable {
  public var verdict: Verdict
  /// Why, for everything but `passed`.
  public var reason: String
  /// Results compared.
  public var samples: Int
  /// Largest error.
  public var errorMax: Double
  /// Root mean square of the errors.
  public var errorRMS: Double
  /// The bound of the result whose error comes nearest to its bound.
  public var errorBound: Double
  /// The deterministic (not deciding) bound of the same result.
  public var errorBoundWorst: Double
  /// The largest quotient of an error and its bound; at most 1 passes.
  public var errorRatio: Double
  /// −log₂ of the errors' rms relative to the values': how many bits of the results are right, about 24 less half of
  /// log₂ of the roundings in float32; ∞ where every result is exact, NaN where nothing was compared.
  public var effectiveBits = Double.nan
  /// Whether roundings of these data are no independent ones, so that the deterministic bound decides: a plain float32 sum of the
  /// same terms comes too near to the probabilistic bound.
  public var isCorrelated = false
  /// The errors in other norms; nil where nothing was compared.
  public var norms: ErrorNorms?
  /// What of the result was looked at; nil where nothing was compared.
  public var coverage: SampleCoverage?
  /// Largest quotient of a sum over many results (`Projection`) and its bound; at most 1 passes. NaN where no sums were compared:
  /// where every result was compared by itself, or behind a maximum.
  public var projectionRatio = Double.nan

  /// A verdict without figures.
  public init(_ verdict: Verdict, reason: String) {
    self.verdict = verdict
    self.reason = reason
    samples = 0
    errorMax = .nan
    errorRMS = .nan
    errorBound = .nan
    errorBoundWorst = .nan
    errorRatio = .nan
  }

  /// Compares results with their expectation.
  ///
  /// `mistrusted` where the results of operands rounded to 11 bits, all zeros or a result without one of the expectation's
  /// contributions would pass, or where more than half of the values that have a term are zero.
  /// - Parameters:
  ///   - results: in the grid's order, rows × columns.
  ///   - strayValue: a description of a non-finite value anywhere in the result, looked-at or not.
  public init(
    results: [Double], expectation: Expectation, bounds: ErrorBounds, strayValue: String? = nil
  ) {
    self.init(.passed, reason: "")
    let values = expectation.values
    samples = values.count
    isCorrelated = bounds.isCorrelated
    coverage = SampleCoverage(expectation.grid)
    norms = ErrorNorms(
      results: results, values: values, magnitudes: expectation.magnitudes, elementType: bounds.elementType)
    var sum = 0.0
    var worst = -1
    errorMax = 0
    errorRatio = 0
    for i in values.indices {
      let error = abs(results[i] - values[i])
      guard error.isFinite else {
        verdict = .failed
        reason = "result \(results[i]) where \(values[i]) is expected, \(Verification.place(i, expectation))"
        errorMax = error
        errorRatio = .infinity
        errorBound = bounds.bounds[i]
        errorBoundWorst = bounds.worst[i]
        errorRMS = error
        return
      }
      sum += error * error
      errorMax = max(errorMax, error)
      let ratio = bounds.bounds[i] > 0 ? error / bounds.bounds[i] : error > 0 ? .infinity : 0
      if ratio > errorRatio || worst < 0 {
        errorRatio = ratio
        worst = i
      }
    }
    errorRMS = (sum / Double(max(values.count, 1))).squareRoot()
    effectiveBits = -log2(errorRMS / expectation.rms)
    if worst >= 0 {
      errorBound = bounds.bounds[worst]
      errorBoundWorst = bounds.worst[worst]
    }
    if errorRatio > 1 {
      verdict = .failed
      reason =
        "result \(results[worst]) where \(values[worst]) ± \(errorBound) is expected, "
        + Verification.place(worst, expectation)
    } else if let strayValue {
      verdict = .failed
      reason = strayValue
      errorRatio = .infinity
    } else if let doubt = Verification.doubt(expectation, bounds) {
      verdict = .mistrusted
      reason = doubt
    }
  }

  /// Adds what the sums over all results say: outside of its bound is failed, whatever the sample says.
  ///
  /// - Parameter finding: nil where the error model does not describe the sums' problem.
  mutating func add(_ finding: ProjectionFinding?, _ expectation: Expectation) {
    guard let finding else {
      verdict = .mistrusted
      reason = "the error model does not describe the sums over channels"
      return
    }
    projectionRatio = finding.ratio
    if finding.ratio > 1 {
      verdict = .failed
      reason = "\(finding.place); the sample of \(samples) results is within its bounds"
      (errorRatio, errorBound, errorBoundWorst) = (finding.ratio, finding.bound, .nan)
      errorMax = max(errorMax, finding.ratio * finding.bound)
    } else {
      coverage = SampleCoverage(expectation.grid, finding.sight)
    }
  }

  /// The error that came nearest to its bound, as `3.1e-06 = 0.22 × bound`; empty where nothing was compared.
  public var errorText: String {
    if errorRatio.isNaN { return "" }
    guard errorRatio.isFinite, errorBound.isFinite else { return "inf × bound" }
    return "\(RunReport.scientific(errorRatio * errorBound)) = \(RunReport.quotient(errorRatio)) × bound"
  }

  private static func place(_ index: Int, _ expectation: Expectation) -> String {
    let grid = expectation.grid
    let row = grid.rows[index / grid.columns.count]
    let column = grid.columns[index % grid.columns.count]
    let at = grid.problem.axesInUse.map { "\(row.at[$0])" }.joined(separator: ", ")
    return "at [\(row.first), \(column), \(at)] of \(grid.pass.rawValue)"
  }

  /// Why a wrong computation would pass, or nil.
  static func doubt(_ expectation: Expectation, _ bounds: ErrorBounds) -> String? {
    let values = expectation.values
    // Results without any term are exactly zero and say nothing about the reference.
    let withTerms = values.indices.filter { expectation.magnitudes[$0] > 0 }
    guard !withTerms.isEmpty else { return "no looked-at result has a term that is not zero" }
    let zeros = withTerms.count(where: { values[$0] == 0 })
    if 2 * zeros > withTerms.count { return "\(zeros) of \(withTerms.count) expected values are zero" }
    if !withTerms.contains(where: { abs(values[$0]) > bounds.bounds[$0] }) { return "all zeros would pass" }
    if !withTerms.contains(where: { abs(expectation.coarse[$0] - values[$0]) > bounds.bounds[$0] }) {
      return "operands rounded to 11 bits would pass"
    }
    for (index, lost) in expectation.contributions.enumerated() {
      let matters = lost.indices.contains { lost[$0] != 0 }
      if matters && !lost.indices.contains(where: { abs(lost[$0]) > bounds.bounds[$0] }) {
        let what = expectation.grid.pass == .backwardFilter ? "row of dy" : "filter tap"
        return "a result without one \(what) (candidate \(index)) would pass"
      }
    }
    return nil
  }
}
