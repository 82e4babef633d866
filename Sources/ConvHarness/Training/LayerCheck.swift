import ConvAutograd
import ConvCore

/// One operation of a network on an engine, on generated operands of its shape: its κ, and whether its results are right.
///
/// The quantities of a whole network are wide: their envelopes hold what every layer's roundings may do, and a ReLU makes more of it. So
/// the step of a network is judged layer by layer too, by two deviations:
///
/// - **The largest error**, as a multiple of its bound (`ErrorBounds`).
/// - **The systematic error** β = Σ eᵢyᵢ / Σ yᵢ² of sampled results y with errors e, for engines whose error model is a plain sum: the
///   factor by which all results are too large. Roundings of different results are independent and have mean zero, so that
///   Σ eᵢyᵢ has a deviation of (Σ yᵢ²σᵢ²)^½ at most, and |β| ≤ λ·(Σ yᵢ²σᵢ²)^½ / Σ yᵢ² but for a probability of 2·exp(−λ²/2)
///   (`ErrorBounds.deviations`): √n times less than single results show. Transforms have errors that a whole tile shares; of
///   them no more is known than the bounds of single results.
struct LayerCheck {
  /// κ = √3 · rms(σ) / (u · rms(Σ|a·b|)) + 1; σ is the standard deviation of an error that the engine's model allows
  /// (`ErrorBounds.deviations`), and √3 times it is the amplitude of a uniform perturbation with that deviation, as the envelopes
  /// were made with.
  let kappa: Double
  /// What was compared.
  let deviations: [TrajectoryCheck.Deviation]

  /// Of one operation, but for its epilogue.
  ///
  /// - Throws: what planning and the plan throw; `ConvError.unsupported` where the error model does not describe the problem.
  init(of competitor: Competitor, _ operation: ConvOperation, pool: WorkerPool) throws {
    var operation = operation
    operation.epilogue = .none
    let (problem, pass) = (operation.problem, operation.pass)
    let data = try ProblemData(
      problem: problem, elementType: operation.elementType, seed: 17, pool: pool)
    let plan = try competitor.backend.plan(
      for: operation, PlanOptions(threads: pool.threads, variant: competitor.variant))
    let grid = SampleGrid.stratified(problem, pass, atLeast: 256, seed: 17)
    let expectation = Expectation(grid: grid, data: data, pool: pool)
    guard let bounds = ErrorBounds(model: plan.errorModel, expectation: expectation, data: data, pool: pool)
    else {
      throw ConvError.unsupported(
        backend: competitor.backend.name, operation: "\(plan.operation)",
        reason: "its error model does not describe the problem")
    }
    func size(_ values: [Double]) -> Double { values.reduce(0) { $0 + $1 * $1 }.squareRoot() }
    let unit = operation.elementType.unitRoundoff * size(expectation.magnitudes)
    kappa = 3.0.squareRoot() * size(bounds.deviations) / unit

    let results = Verifier.values(of: try Verifier(pool: pool).execute(plan, data), at: grid)
    let verification = Verification(results: results, expectation: expectation, bounds: bounds)
    let name = "\(pass.rawValue) \(problem) on \(competitor.label)"
    var deviations = [
      TrajectoryCheck.Deviation(
        quantity: "the largest error of \(name), as a multiple of its bound,", found: verification.errorRatio,
        expected: 0, allowed: 1)
    ]
    let values = expectation.values
    let square = values.reduce(0) { $0 + $1 * $1 }
    if case .summation = plan.errorModel, square > 0 {
      let product = values.indices.reduce(0) { $0 + (results[$1] - values[$1]) * values[$1] }
      let spread = size(zip(values, bounds.deviations).map { $0 * $1 })
      deviations.append(
        TrajectoryCheck.Deviation(
          quantity: "the systematic error of \(name)", found: product / square, expected: 0,
          allowed: 3.0.squareRoot() * ErrorBounds.lambda(judged: 1) * spread / square))
    }
    self.deviations = deviations
  }

  /// Of all operations that ran, each shape once.
  ///
  /// - Throws: as `init`.
  static func all(
    of competitor: Competitor, _ fallback: Competitor?, _ entries: [ExecutionRecorder.Entry], pool: WorkerPool
  ) throws -> [LayerCheck] {
    var known: Set<ConvOperation> = []
    var checks: [LayerCheck] = []
    for entry in entries {
      guard let engine = entry.isFallback ? fallback : competitor, known.insert(entry.operation).inserted
      else { continue }
      checks.append(try LayerCheck(of: engine, entry.operation, pool: pool))
    }
    return checks
  }
}
