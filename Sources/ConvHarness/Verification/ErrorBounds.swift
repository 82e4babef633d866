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
/// | polyphase | the sum of the phases' bounds |
///
/// All of them get the oracle's own uncertainty, min(k, λ√k)·2⁻⁵³·Σ|a·b|, and the smallest subnormal per product, for
/// products that underflow.
///
/// ## Derivation
///
/// **The model of one rounding.** fl(a ∘ b) = (a ∘ b)(1 + δ), |δ| ≤ u, for each addition and product (Higham: *Accuracy and
/// Stability of Numerical Algorithms*, 2nd ed., §2.2). A fused multiply-add rounds once in the place of twice, so that what
/// holds for separate roundings holds for it.
///
/// **Plain sums.** ŷ = Σ aᵢbᵢ·Π(1 + δ), where each term meets at most k roundings, whatever the order of summation is (k =
/// depth for one chain; less for partial sums, which an engine may declare). Hence ŷ − y = Σ aᵢbᵢ·θᵢ with 1 + θᵢ = Π(1 + δⱼ),
/// and |ŷ − y| ≤ max|θ|·Σ|aᵢbᵢ|. Two statements about θ make the two bounds:
///
/// - *deterministic* (`worst`): |θ| ≤ γₖ = k·u/(1 − k·u), to first order k·u. It always holds, and is reached only where all
///   k roundings err by u in the same direction.
/// - *probabilistic* (`bounds`, which decides): with independent δ of mean zero, ln Π(1 + δⱼ) is a sum of k bounded
///   martingale differences, and Azuma–Hoeffding's inequality gives |θ| ≤ γ̃ₖ(λ) ≈ λ√k·u but for a probability of 2·exp(−λ²/2).
///   The smaller of k and λ√k counts.
///
/// **Float64 accumulators** round the products' sum in 2⁻⁵³, then once to the element type: u·|y| + γₖ(2⁻⁵³)·Σ|a·b|.
///
/// **Winograd.** y = Aᵀ[(Σ_c (G w Gᵀ) ⊙ (Bᵀ x B))]A is computed as sums in three stages. In each stage the terms meet the
/// roundings of that stage's sum, and taking absolute values of every matrix bounds all that follow: with k the roundings of
/// the longest chain (the two transforms, the depth of the products' sum, the inverse transform), |ŷ − y| ≤ γₖ·|Aᵀ|(Σ |G||w||Gᵀ| ⊙
/// |Bᵀ||x||B|)|A|, with γ̃ₖ in the place of γₖ for the deciding bound. The matrices are the plan's own: other
/// interpolation points have other bounds, and nothing is tuned.
///
/// **FFT.** A transform of length L by log₂ L levels of butterflies has a relative error of O(u·log₂ L) in the 2-norm (Higham,
/// §24.1), by Parseval's identity the same before and after it. A product in the frequency domain of two transformed tiles
/// is off by that share of ‖x tile‖₂‖w‖₂ (Cauchy–Schwarz), the sum over `depth` of them by √depth more; every result of a tile has
/// the tile's bound.
///
/// **Lowerings** (phases of a stride, residues of a dilation) are exact copies: the bounds of the parts add up, each with one
/// rounding more for the addition.
///
/// That the bounds are not vacuous is part of every verdict: `Verification` calls a check `mistrusted` whose bounds exceed 5 % of
/// the values, or which all zeros or a result without one tap would pass.
public struct ErrorBounds: Sendable {
  /// The confidence parameter λ.
  public static let lambda = 4.0

  /// The deciding bound of each sample.
  public let bounds: [Double]
  /// The deterministic bound of each sample (k in the place of λ√k); it informs only.
  public let worst: [Double]
  /// The standard deviation of each sample that the model of independent roundings allows (√k in the place of λ√k): what a sum of
  /// many such errors, as in a network, is made of.
  public let deviations: [Double]
  /// The element type whose roundings they bound.
  public let elementType: ElementType

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
    elementType = data.elementType
    let depth = data.problem.summationDepth(expectation.grid.pass)
    let magnitudes = expectation.magnitudes
    guard
      let terms = ErrorBounds.terms(
        model, expectation.grid, data, magnitudes: magnitudes, moreRoundings: 0, pool)
    else { return nil }
    let roundingOfResult = ErrorBounds.resultRounding(model, u)
    let oracle = ErrorBounds.probabilistic(depth) * 0x1p-53
    let underflow = ErrorBounds.underflow(depth: depth, data.elementType)
    let offsets = ErrorBounds.magnitudes(of: bias)
    let columns = expectation.grid.columns
    func total(_ algorithm: [Double]) -> [Double] {
      magnitudes.indices.map { i in
        let added = offsets.map { 2 * u * (abs(expectation.values[i]) + $0[columns[i % columns.count]]) } ?? 0
        return algorithm[i] + added + roundingOfResult * abs(expectation.values[i]) + oracle * magnitudes[i]
          + underflow + (expectation.uncertainty.isEmpty ? 0 : expectation.uncertainty[i])
      }
    }
    bounds = total(terms.deciding)
    worst = total(terms.worst)
    deviations = zip(terms.deviation, expectation.values).map { $0 + roundingOfResult * abs($1) }
  }

  /// The algorithm's own part of the bounds of all samples of a grid, rows × columns.
  ///
  /// - Parameters:
  ///   - magnitudes: Σ|a·b| of the samples where they are known.
  ///   - moreRoundings: roundings of partial results that are added up afterwards.
  private static func terms(
    _ model: ErrorModel, _ grid: SampleGrid, _ data: ProblemData, magnitudes: [Double]?, moreRoundings: Int,
    _ pool: WorkerPool
  ) -> Terms? {
    let u = data.elementType.unitRoundoff
    let amplified: [Double]
    switch model {
    case .summation:
      amplified = magnitudes ?? Expectation(grid: grid, data: data, pool: pool).magnitudes
    case .winograd where isStrided(data.problem):
      // Dense stride 1 only after the dilation's residues have become images of their own.
      return lowered(model, grid, data, moreRoundings, pool)
    case .winograd(let vertical, let horizontal, _):
      guard
        let values = WinogradBounds(vertical: vertical, horizontal: horizontal, data: data)?
          .amplified(grid, pool: pool)
      else { return nil }
      amplified = values
    case .fft(let height, let width, let stepH, let stepW, _):
      let tiles = FourierBounds(height: height, width: width, stepH: stepH, stepW: stepW, data: data)
      amplified = tiles.normProducts(grid, pool: pool)
    case .polyphase:
      return lowered(model, grid, data, moreRoundings, pool)
    }
    let factor = factors(model, u, moreRoundings: moreRoundings)
    return Terms(
      deciding: amplified.map { factor.deciding * $0 }, worst: amplified.map { factor.worst * $0 },
      deviation: amplified.map { factor.deviation * $0 })
  }

  private struct Terms {
    var deciding, worst, deviation: [Double]
  }

  /// What the magnitudes of a model are multiplied with; of phases the least.
  private static func factors(
    _ model: ErrorModel, _ u: Double, moreRoundings: Int
  ) -> (deciding: Double, worst: Double, deviation: Double) {
    switch model {
    case .summation(let depth, let accumulator):
      let k = depth + moreRoundings
      if accumulator == .float64 {
        let n = Double(k) * 0x1p-53
        return (n / (1 - n), n / (1 - n), Double(k).squareRoot() * 0x1p-53)
      }
      return (probabilistic(k) * u, Double(k) * u, Double(k).squareRoot() * u)
    case .winograd(let vertical, let horizontal, let depth):
      let k = depth + WinogradBounds.transformRoundings(vertical, horizontal) + moreRoundings
      return (probabilistic(k) * u, Double(k) * u, Double(k).squareRoot() * u)
    case .fft(let height, let width, _, _, let depth):
      let levels = FourierBounds.levels(height: height, width: width)
      let k = Double(depth + moreRoundings)
      let deviation = u * (levels + k.squareRoot())
      return (lambda * deviation, u * (FourierBounds.worstPerLevel * levels + k), deviation)
    case .polyphase(let models):
      let all = models.map { factors($0, u, moreRoundings: moreRoundings) }
      return (
        all.map(\.deciding).min() ?? 0, all.map(\.worst).min() ?? 0, all.map(\.deviation).min() ?? 0
      )
    }
  }

  // MARK: For the sums of a projection

  /// A number that, times Σ|a·b|, is at most the algorithm's part of the deciding bound, whatever the data: what transforms
  /// amplify is never less than Σ|a·b|, for they compute Σ a·b exactly but for roundings (triangle inequality; for Fourier transforms
  /// Cauchy–Schwarz), and lowerings add up parts with more roundings.
  static func leastFactor(_ model: ErrorModel, _ u: Double) -> Double {
    factors(model, u, moreRoundings: 0).deciding
  }

  /// The algorithm's part of the deciding bounds of all samples of a grid, rows × columns; nil where the model does not describe
  /// the problem.
  static func algorithm(
    _ model: ErrorModel, _ grid: SampleGrid, _ data: ProblemData, pool: WorkerPool
  ) -> [Double]? {
    terms(model, grid, data, magnitudes: nil, moreRoundings: 0, pool)?.deciding
  }

  /// The rounding of a result, relative to it, that is not part of the algorithm's chain.
  static func resultRounding(_ model: ErrorModel, _ u: Double) -> Double {
    if case .summation(_, accumulator: .float64) = model { return u }
    return 0
  }

  /// The smallest subnormal number per product.
  static func underflow(depth: Int, _ elementType: ElementType) -> Double {
    Double(depth)
      * (elementType == .float64 ? Double.leastNonzeroMagnitude : Double(Float.leastNonzeroMagnitude))
  }

  private static func isStrided(_ problem: ConvProblem) -> Bool {
    problem.stride.h > 1 || problem.stride.w > 1
  }

  /// The bounds of a strided problem's parts: first the dilation's residues become a larger batch, then the stride's
  /// phases add up.
  private static func lowered(
    _ model: ErrorModel, _ grid: SampleGrid, _ data: ProblemData, _ moreRoundings: Int, _ pool: WorkerPool
  ) -> Terms? {
    let zeros = [Double](repeating: 0, count: grid.count)
    var sums = Terms(deciding: zeros, worst: zeros, deviation: zeros)
    func add(_ part: SubProblem, _ model: ErrorModel, _ roundings: Int) -> Bool {
      if part.rows.isEmpty { return true }
      let inner = SampleGrid(
        pass: grid.pass, problem: part.data.problem, rows: part.rows, columns: grid.columns)
      guard
        let terms = terms(model, inner, part.data, magnitudes: nil, moreRoundings: roundings, pool)
      else { return false }
      for (i, whole) in part.wholeRows.enumerated() {
        for j in grid.columns.indices {
          let (to, from) = (whole * grid.columns.count + j, i * grid.columns.count + j)
          sums.deciding[to] += terms.deciding[from]
          sums.worst[to] += terms.worst[from]
          sums.deviation[to] += terms.deviation[from]
        }
      }
      return true
    }
    let pr = grid.problem
    let cut = SubProblems(data: data, grid: grid)
    if pr.dilation.h > 1 || pr.dilation.w > 1 {
      guard let dense = try? cut.densified(), add(dense, model, moreRoundings) else {
        return nil
      }
    } else {
      guard case .polyphase(let models) = model, let phases = try? cut.phases(), phases.count == models.count
      else { return nil }
      let added = grid.pass == .forward ? phases.count : 0
      for (phase, model) in zip(phases, models) {
        guard add(phase, model, moreRoundings + added) else { return nil }
      }
    }
    return sums
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
