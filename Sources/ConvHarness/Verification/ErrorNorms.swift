import ConvCore

/// The same errors seen in other norms. They inform beside the deciding, component-wise bound: no verdict follows from them.
///
/// With eᵢ = |resultᵢ − valueᵢ|:
///
/// | figure        | formula | says |
/// |---------------|---------|------|
/// | `relativeToTerms` | max eᵢ / Σ\|a·b\|ᵢ | component-wise relative error, with cancellation taken out: about √k·u for plain sums |
/// | `relativeL2`  | ‖e‖₂ / ‖value‖₂ | what a network sees of the whole tensor |
/// | `ulp99`       | 99th percentile of eᵢ / ulp(valueᵢ) | how many last places are lost; single results near zero do not show |
///
/// ulp(v) is the distance between neighbours of the element type in v's binade, at least that of the subnormal numbers.
/// Results without a term (Σ|a·b| = 0) have no relative error and do not count in the first and the last figure: transforms leave
/// roundings of their neighbours there, which the bounds judge.
public struct ErrorNorms: Sendable, Hashable {
  /// Largest component-wise error relative to the sum of the terms' magnitudes.
  public internal(set) var relativeToTerms = Double.nan
  /// Euclidean norm of the errors relative to that of the values.
  public internal(set) var relativeL2 = Double.nan
  /// 99th percentile of the errors in units in the last place.
  public internal(set) var ulp99 = Double.nan

  /// Nothing is known.
  init() {}

  /// Of results and the values that they should have; NaN where there are none.
  public init(results: [Double], values: [Double], magnitudes: [Double], elementType: ElementType) {
    var squares = 0.0
    var reference = 0.0
    var relative = values.isEmpty ? Double.nan : 0
    var places: [Double] = []
    places.reserveCapacity(values.count)
    for i in values.indices {
      let error = abs(results[i] - values[i])
      squares += error * error
      reference += values[i] * values[i]
      if magnitudes[i] == 0 { continue }
      places.append(error.isNaN ? .infinity : error / ErrorNorms.ulp(values[i], elementType))
      relative = max(relative, error.isNaN ? .infinity : error / magnitudes[i])
    }
    relativeToTerms = relative
    relativeL2 = squares == 0 && !values.isEmpty ? 0 : (squares / reference).squareRoot()
    ulp99 = Statistics.quantile(places, 0.99)
  }

  /// Distance between neighbouring numbers of the element type at `value`.
  static func ulp(_ value: Double, _ elementType: ElementType) -> Double {
    if elementType == .float64 { return max(value.ulp, Double.leastNonzeroMagnitude) }
    // 23 stored bits; below 2⁻¹²⁶ the spacing stays 2⁻¹⁴⁹.
    let exponent = value == 0 ? -126 : max(Int(value.exponent), -126)
    return Double(sign: .plus, exponent: exponent - 23, significand: 1)
  }
}
