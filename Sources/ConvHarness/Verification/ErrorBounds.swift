import ConvCore

/// How far each sampled result may be from its float64 value, derived from the plan's `ErrorModel` alone.
///
/// Notation: u is the element type's unit roundoff, k the number of roundings along the longest chain that leads to a
/// result, λ the confidence parameter. Rounding errors are modelled as independent, mean-zero random variables of
/// magnitude ≤ u, which gives (N. J. Higham, T. Mary: *A new approach to probabilistic rounding error analysis*, SIAM J. Sci.
/// Comput. 41, 2019, Theorem 2.4) a factor γ̃ₖ(λ) = exp(λ√k·u + k·u²/(1 − u)) − 1 ≈ λ√k·u in the place of the worst
/// case γₖ ≈ k·u, with a probability of at least 1 − 2·exp(−λ²(1 − u)²/2) per chain.
///
/// **λ = 4**: a chain fails with a probability of at most 2·e⁻⁸ ≈ 7·10⁻⁴, where every product of a sum would have to take
/// that worst sign at once for the result to reach the bound; and up to k = 16 the bound is the deterministic one, because
/// min(k, λ√k) is used. The paper finds λ = 1 never exceeded in its experiments.
///
/// | model     | bound of one result |
/// |-----------|---------------------|
/// | summation | min(k, λ√k)·u·Σ\|a·b\|, k = depth |
/// | the same with a float64 accumulator | u·\|y\| + γₖ(2⁻⁵³)·Σ\|a·b\| |
/// | Winograd  | min(k, λ√k)·u·[\|Aᵀ\|(Σ \|G\|\|w\|\|Gᵀ\| ⊙ \|Bᵀ\|\|x\|\|B\|)\|A\|], see `WinogradBounds` |
/// | FFT       | λ·u·(log₂ L + √depth)·Σ ‖x tile‖₂‖w‖₂, see `FourierBounds` |
///
/// All of them get the oracle's own uncertainty, min(k, λ√k)·2⁻⁵³·Σ|a·b|, and the smallest subnormal per product, for
/// products that underflow.
public struct ErrorBounds: Sendable {
  /// The confidence parameter λ.
  public static let lambda = 4.0

  /// The deciding bound of each sample.
  public let bounds: [Double]
  /// The deterministic bound of each sample (k in the place of λ√k); it informs only.
  public let worst: [Double]

  /// Bounds for every sample of an expectation.
  ///
  /// A bias per column, added by the plan's epilogue, adds one rounding of the sum and one of a possible partial sum:
  /// 2u·(|y| + |bias|).
  /// - Returns: nil where the model does not describe the problem (a transform with fewer taps than the filter).
  public init?(
    model: ErrorModel, expectation: Expectation, data: ProblemData, bias: Tensor? = nil,
    pool: WorkerPool = .shared
  ) {
    let u = data.elementType.unitRoundoff
    let depth = data.problem.summationDepth(expectation.grid.pass)
    let magnitudes = expectation.magnitudes
    // The amplified magnitudes and the factors that multiply them.
    var amplified = magnitudes
    var factor: Double
    var worstFactor: Double
    var roundingOfResult = 0.0
    switch model {
    case .summation(let k, let accumulator) where accumulator == .float64:
      let n = Double(k) * 0x1p-53
      factor = n / (1 - n)
      worstFactor = factor
      roundingOfResult = u
    case .summation(let k, _):
      factor = ErrorBounds.probabilistic(k) * u
      worstFactor = Double(k) * u
    case .winograd(let vertical, let horizontal, let depth):
      guard
        let values = WinogradBounds(vertical: vertical, horizontal: horizontal, data: data)?
          .amplified(expectation.grid, pool: pool)
      else { return nil }
      amplified = values
      let k = depth + WinogradBounds.transformRoundings(vertical, horizontal)
      factor = ErrorBounds.probabilistic(k) * u
      worstFactor = Double(k) * u
    case .fft(let height, let width, let stepH, let stepW, let depth):
      let tiles = FourierBounds(height: height, width: width, stepH: stepH, stepW: stepW, data: data)
      amplified = tiles.normProducts(expectation.grid, pool: pool)
      let levels = FourierBounds.levels(height: height, width: width)
      factor = ErrorBounds.lambda * u * (levels + Double(depth).squareRoot())
      worstFactor = u * (FourierBounds.worstPerLevel * levels + Double(depth))
    }
    let oracle = ErrorBounds.probabilistic(depth) * 0x1p-53
    let underflow =
      Double(depth)
      * (data.elementType == .float64
        ? Double.leastNonzeroMagnitude : Double(Float.leastNonzeroMagnitude))
    let offsets = ErrorBounds.magnitudes(of: bias)
    let columns = expectation.grid.columns
    func total(_ factor: Double) -> [Double] {
      magnitudes.indices.map { i in
        let added = offsets.map { 2 * u * (abs(expectation.values[i]) + $0[columns[i % columns.count]]) } ?? 0
        return factor * amplified[i] + added + roundingOfResult * abs(expectation.values[i]) + oracle * magnitudes[i]
          + underflow + (expectation.uncertainty.isEmpty ? 0 : expectation.uncertainty[i])
      }
    }
    bounds = total(factor)
    worst = total(worstFactor)
  }

  private static func magnitudes(of bias: Tensor?) -> [Double]? {
    guard let bias else { return nil }
    if bias.elementType == .float64 { return bias.values(as: Double.self).map(abs) }
    return bias.values(as: Float.self).map { abs(Double($0)) }
  }

  /// min(k, λ√k).
  static func probabilistic(_ k: Int) -> Double {
    min(Double(k), lambda * Double(k).squareRoot())
  }

  /// Root mean square of the deciding bounds.
  public var rms: Double {
    bounds.isEmpty ? 0 : (bounds.reduce(0) { $0 + $1 * $1 } / Double(bounds.count)).squareRoot()
  }
}
