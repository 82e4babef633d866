import ConvCore
import Foundation

/// How far each sampled result may be from its float64 value, derived from the plan's `ErrorModel` and the actual operands alone.
///
/// ## The deciding bound
///
/// Every addition and product is rounded: fl(a ∘ b) = (a ∘ b)(1 + δ), |δ| ≤ u (Higham: *Accuracy and Stability of Numerical
/// Algorithms*, 2nd ed., §2.2). To first order a result is off by Σⱼ gⱼ·sⱼ·δⱼ, with sⱼ the rounded values and gⱼ what a change of them
/// changes the result by. In the model of independent roundings of mean zero (in fact: a martingale of bounded differences) Azuma and
/// Hoeffding's inequality bounds that sum by
///
///     λ·u·√V,   V = Σⱼ (gⱼ·sⱼ)²
///
/// but for a probability of 2·exp(−λ²/2) (N. J. Higham, T. Mary: *A new approach to probabilistic rounding error analysis*, SIAM J. Sci.
/// Comput. 41, 2019; the same: *Sharper probabilistic backward error analysis for basic linear algebra kernels with random data*, SIAM
/// J. Sci. Comput. 42, 2020, where the values of data of mean zero take the place of sums of magnitudes). For N judged results
/// together λ = √(2·ln(2N/p)) with a miss probability of p = 10⁻³ for all of them. **p is nominal**: roundings are not random. That the
/// model holds is measured, by simulation in the tests and by the tables of honest and of coarse engines.
///
/// V in units of u² is the *variance proxy* of a result. It is made of squares of actual values, of nothing else:
///
/// | model | V |
/// |-------|---|
/// | summation | `SumRoundings`, of y, Σ(a·b)² and Σs² along two orders |
/// | the same with a wider accumulator | none: u·\|y\| + 2γₖ(2⁻⁵³)·Σ\|a·b\| decides, which always holds |
/// | Winograd | `WinogradBounds`: proxies propagated through the plan's own three matrices |
/// | FFT | `FourierBounds`: energies, by Parseval's identity |
/// | polyphase | the sum of the phases' V, and their partial sums' squares |
///
/// A bias enters every partial sum where it is the first term: k·(b² + |b·y|) more, and (|y| + |b|)² for the result. Products that
/// underflow are off by half the smallest subnormal number, whatever they are: its square, in units of u², joins each rounding's.
///
/// ## The deterministic bound
///
/// With n roundings |Σ gⱼsⱼδⱼ| ≤ u·Σ|gⱼsⱼ| ≤ u·√n·√V (Cauchy–Schwarz), so that λ is never more than √n. For plain sums
/// `worst` is k·u·Σ|a·b| (Higham, §4.2), for transforms u·√(n·V). It informs, but for *correlated* data.
///
/// ## Correlated data
///
/// Where the same number is added again and again, its roundings err in one direction, and no independence is left. Harness data that are
/// drawn at random have none of that. On all others the oracle runs two plain sums in the element type beside the float64 ones; where
/// one is off by more than half of a chain's bound, the deterministic bound decides for all results (`isCorrelated`).
///
/// ## Trust
///
/// That the bounds are not vacuous is part of every verdict: `Verification` calls a check `mistrusted` which operands rounded to 11
/// bits, all zeros or a result without one tap would pass.
public struct ErrorBounds: Sendable {
  /// The nominal probability that one of the judged results exceeds its bound though all roundings are independent.
  public static let missProbability = 1e-3

  /// The factor λ = √(2·ln(2N/p)) of N judged results.
  public static func lambda(judged count: Int) -> Double {
    (2 * log(2 * Double(max(1, count)) / missProbability)).squareRoot()
  }

  /// The deciding bound of each sample.
  public let bounds: [Double]
  /// The deterministic bound of each sample; it informs where data are not correlated.
  public let worst: [Double]
  /// The standard deviation of each sample's error where each rounding is uniform in ±u: u·√(V/3).
  public let deviations: [Double]
  /// Whether the deterministic bounds decide.
  public let isCorrelated: Bool
  /// The element type whose roundings they bound.
  public let elementType: ElementType

  /// Bounds for every sample of an expectation.
  ///
  /// - Parameter bias: per column, added by the plan's epilogue.
  /// - Returns: nil where the model does not describe the problem (a transform with fewer taps than the filter).
  public init?(
    model: ErrorModel, expectation: Expectation, data: ProblemData, bias: Tensor? = nil,
    pool: WorkerPool = .shared
  ) {
    let u = data.elementType.unitRoundoff
    elementType = data.elementType
    let grid = expectation.grid
    let terms = data.problem.summationDepth(grid.pass)
    let offsets = bias.map { ErrorBounds.magnitudes(of: $0) }
    let columns = grid.columns
    let extra = expectation.uncertainty.isEmpty ? { _ in 0.0 } : { expectation.uncertainty[$0] }
    isCorrelated = ErrorBounds.isCorrelated(expectation, terms: terms, u)
    if case .summation(_, let accumulator) = model, accumulator == .float64, data.elementType != .float64 {
      let n = Double(terms + 2) * 0x1p-53
      bounds = grid.indices.map { i in
        let offset = offsets.map { $0[columns[i % columns.count]] } ?? 0
        return u * (abs(expectation.values[i]) + (offset > 0 ? abs(expectation.values[i]) + 2 * offset : 0))
          + 2 * n / (1 - n) * (expectation.magnitudes[i] + offset)
          + ErrorBounds.leastMagnitude(data.elementType) + extra(i)
      }
      (worst, deviations) = (bounds, expectation.values.map { u * abs($0) / 3.0.squareRoot() })
      return
    }
    guard let proxies = Proxies(model, expectation: expectation, data: data, pool: pool) else { return nil }
    let lambda = min(ErrorBounds.lambda(judged: grid.count), proxies.roundings.squareRoot())
    // Subnormal results of float64 are not squared: their squares are 0.
    let underflow = elementType == .float64 ? Double(terms) * .leastNonzeroMagnitude : 0
    var (deciding, deviations, worst): ([Double], [Double], [Double]) = ([], [], [])
    for i in grid.indices {
      var square = proxies.squares[i]
      var magnitude = expectation.magnitudes[i]
      if let offset = offsets.map({ $0[columns[i % columns.count]] }) {
        square += proxies.sums.ofBias(offset, total: expectation.values[i])
        magnitude += 2 * offset
      }
      let size = u * square.squareRoot()
      deviations.append(size / 3.0.squareRoot())
      deciding.append(lambda * size + underflow + extra(i))
      worst.append(
        (proxies.isPlainSum
          ? Double(proxies.sums.longest + 1) * (u * magnitude + ErrorBounds.leastMagnitude(elementType))
          : proxies.roundings.squareRoot() * size + underflow) + extra(i))
    }
    (self.deviations, self.worst) = (deviations, worst)
    bounds = isCorrelated ? zip(deciding, worst).map { max($0, $1) } : deciding
  }

  /// Whether plain sums of data that nobody drew are off by more than half of what independent roundings would allow a chain.
  private static func isCorrelated(_ expectation: Expectation, terms: Int, _ u: Double) -> Bool {
    guard !expectation.controls.isEmpty else { return false }
    let chain = SumRoundings(.chain, terms: terms)
    let lambda = min(lambda(judged: expectation.grid.count), Double(2 * terms).squareRoot())
    let least = Double(terms) * leastRounding(expectation.elementType)
    return expectation.grid.indices.contains { i in
      let square = chain.squares(
        total: expectation.values[i], terms: expectation.squares[i] + least, path: expectation.paths[i])
      return expectation.controls[i] > 0.5 * lambda * u * square.squareRoot()
    }
  }

  private static func magnitudes(of bias: Tensor) -> [Double] {
    if bias.elementType == .float64 { return bias.values(as: Double.self).map(abs) }
    return bias.values(as: Float.self).map { abs(Double($0)) }
  }

  /// The smallest subnormal number.
  static func leastMagnitude(_ elementType: ElementType) -> Double {
    elementType == .float64 ? Double.leastNonzeroMagnitude : Double(Float.leastNonzeroMagnitude)
  }

  /// The square of what a subnormal result is rounded by, in units of u²; of float64 numbers it is 0.
  static func leastRounding(_ elementType: ElementType) -> Double {
    let rounding = 0.5 * leastMagnitude(elementType) / elementType.unitRoundoff
    return rounding * rounding
  }

  /// Root mean square of the deciding bounds.
  public var rms: Double {
    bounds.isEmpty ? 0 : (bounds.reduce(0) { $0 + $1 * $1 } / Double(bounds.count)).squareRoot()
  }
}
