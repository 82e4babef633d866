import ConvCore

/// Small integers for which an engine's arithmetic is exact, so that it has to agree with the oracle bit by bit.
///
/// Values are −1, 0 and 1. Operands are thinned (all but every n-th summed channel, or for backwardFilter all but every n-th row of
/// dy, set to zero) until every partial sum stays below 2²⁴ (float64: 2⁵³), and below 2²²/81 for transforms whose coefficients are
/// multiples of ½.
public enum IntegerLane {
  /// What a plan's result must be.
  public enum Demand: Sendable, Hashable {
    /// Equal to the oracle's value, with no tolerance.
    case exact
    /// Equal after rounding to the nearest integer, wherever the bound is below ½.
    case nearest
  }

  /// Plans that add products as they are, and Winograd plans whose matrices hold multiples of ½ only, are exact.
  public static func demand(of model: ErrorModel) -> Demand {
    switch model {
    case .summation: .exact
    case .winograd(let vertical, let horizontal, _):
      isDyadic(vertical) && isDyadic(horizontal) ? .exact : .nearest
    case .fft: .nearest
    case .polyphase(let models): models.allSatisfy { demand(of: $0) == .exact } ? .exact : .nearest
    }
  }

  private static func isDyadic(_ transform: WinogradTransform) -> Bool {
    transform.tile <= 4
      && (transform.at + transform.g + transform.bt).allSatisfy {
        ($0 * 2).rounded() == $0 * 2 && abs($0) <= 4
      }
  }

  /// Integer operands of a problem, thinned for a pass.
  public static func data(
    _ problem: ConvProblem, _ pass: ConvPass, elementType: ElementType = .float32, seed: UInt64,
    pool: WorkerPool = .shared
  ) throws -> ProblemData {
    var data = try ProblemData(
      problem: problem, elementType: elementType, distribution: .smallIntegers, seed: seed, pool: pool)
    // |values| ≤ 2, so that each product is at most 4. The transforms' coefficients need 81 · 4 more.
    let limit = elementType == .float64 ? 1 << 44 : (1 << 22) / 81 / 4
    let depth = problem.summationDepth(pass)
    let keepEvery = (depth + limit - 1) / limit
    if keepEvery > 1 {
      switch pass {
      case .forward, .backwardData: thin(&data.filter, every: keepEvery)
      case .backwardFilter: thin(&data.outputGradient, every: keepEvery)
      }
    }
    return data
  }

  private static func thin(_ tensor: inout Tensor, every step: Int) {
    func clear<T: ConvScalar>(_: T.Type) {
      let count = tensor.count
      tensor.withUnsafeMutablePointer(as: T.self) { values in
        for i in 0..<count where i % step != 0 { values[i] = 0 }
      }
    }
    if tensor.elementType == .float64 { clear(Double.self) } else { clear(Float.self) }
  }

  /// Checks one backend on one operation: `passed`, `failed` with the first difference, or `unsupported`.
  public static func check(
    _ backend: any ConvolutionBackend, _ operation: ConvOperation, _ options: PlanOptions, seed: UInt64,
    pool: WorkerPool = .shared
  ) -> Verification {
    if let reason = backend.support(for: operation, options).reason {
      return Verification(.unsupported, reason: reason)
    }
    do {
      let data = try data(
        operation.problem, operation.pass, elementType: operation.elementType, seed: seed, pool: pool)
      let plan = try backend.plan(for: operation, options)
      let grid = SampleGrid.stratified(operation.problem, operation.pass, seed: seed)
      let expectation = Expectation(grid: grid, data: data, pool: pool)
      let result = try Verifier(pool: pool).execute(plan, data, filterState: options.filterState)
      let values = Verifier.values(of: result, at: grid)
      return compare(plan, values, expectation, data, pool, stray: Verifier.strayValue(in: result))
    } catch {
      return Verification(.failed, reason: "\(backend.name) promised support, then: \(error)")
    }
  }

  private static func compare(
    _ plan: any ConvPlan, _ values: [Double], _ expectation: Expectation, _ data: ProblemData,
    _ pool: WorkerPool, stray: String?
  ) -> Verification {
    var verification = Verification(.passed, reason: "")
    verification.samples = values.count
    verification.errorMax = zip(values, expectation.values).reduce(0) { max($0, abs($1.0 - $1.1)) }
    if let stray { return failed(verification, stray) }
    switch demand(of: plan.errorModel) {
    case .exact:
      if let i = values.indices.first(where: { values[$0] != expectation.values[$0] }) {
        return failed(
          verification, "sample \(i) is \(values[i]), exactly \(expectation.values[i]) is expected")
      }
    case .nearest:
      guard
        let bounds = ErrorBounds(model: plan.errorModel, expectation: expectation, data: data, pool: pool)
      else { return failed(verification, "the error model \(plan.errorModel) does not describe the problem") }
      verification.samples = 0
      for i in values.indices where bounds.bounds[i] < 0.5 {
        verification.samples += 1
        if values[i].rounded() != expectation.values[i] {
          return failed(
            verification, "sample \(i) is \(values[i]), \(expectation.values[i]) after rounding is expected")
        }
      }
      if verification.samples == 0 {
        verification.verdict = .mistrusted
        verification.reason = "no bound is below ½"
      }
    }
    return verification
  }

  private static func failed(_ verification: Verification, _ reason: String) -> Verification {
    var verification = verification
    verification.verdict = .failed
    verification.reason = reason
    return verification
  }
}
