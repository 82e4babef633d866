import ConvAutograd
import ConvCore

/// One operation of a network on an engine, on generated operands of its shape: its κ, and whether its results are right.
///
/// The quantities of a whole network are wide: their envelopes hold what every layer's roundings may do, and a ReLU makes more of it. So
/// the step of a network is judged layer by layer too, by two deviations:
///
/// - **The largest error**, as a multiple of its bound (`ErrorBounds`).
/// - **The systematic error** β = Σ eᵢyᵢ / Σ yᵢ² of sampled results y with errors e, for engines whose error model is a plain sum: the
///   factor by which all results are too large. Roundings of different results are independent and have mean zero, and each of
///   them is at most u times what it rounds, so that |Σ eᵢyᵢ| ≤ λ·(Σ yᵢ²·3σᵢ²)^½ but for a probability of 2·exp(−λ²/2)
///   (`ErrorBounds.deviations` are the σᵢ of roundings uniform in ±u): √n times less than single results show. Transforms have errors
///   that a whole tile shares; of them no more is known than the bounds of single results.
///
/// Operands on which a wrong result would pass decide nothing: the check is repeated with others, and says so where all are such.
struct LayerCheck {
  /// κ = √3 · rms(σ) / (u · rms(Σ|a·b|)); σ is the standard deviation of an error that the engine's model allows
  /// (`ErrorBounds.deviations`), and √3 times it is the amplitude of a uniform perturbation with that deviation, as the envelopes
  /// were made with.
  let kappa: Double
  /// What was compared.
  let deviations: [TrajectoryCheck.Deviation]
  /// Why a wrong result would pass, whatever the operands; nil where it would not.
  let doubt: String?

  /// Seeds of operands, one after the other as long as a wrong result would pass.
  static let seeds: [UInt64] = [17, 18, 19]

  /// Of one operation, but for its epilogue.
  ///
  /// - Throws: what planning and the plan throw; `ConvError.unsupported` where the error model does not describe the problem.
  init(
    of competitor: Competitor, _ operation: ConvOperation, seeds: [UInt64] = LayerCheck.seeds,
    pool: WorkerPool
  ) throws {
    var operation = operation
    operation.epilogue = .none
    let plan = try competitor.backend.plan(
      for: operation, PlanOptions(threads: pool.threads, variant: competitor.variant))
    let name = "\(operation.pass.rawValue) \(operation.problem) on \(competitor.label)"
    var kappa = 0.0
    var deviations: [TrajectoryCheck.Deviation] = []
    var doubts: [String] = []
    for seed in seeds {
      let finding = try Finding(of: plan, name, seed, pool)
      kappa = max(kappa, finding.kappa)
      deviations += finding.deviations
      guard let doubt = finding.doubt else { break }
      doubts.append(doubt)
    }
    (self.kappa, self.deviations) = (kappa, deviations)
    doubt = doubts.count < seeds.count ? nil : doubts.last.map { "\(name): \($0)" }
  }

  /// What operands of one seed show.
  private struct Finding {
    let kappa: Double
    let deviations: [TrajectoryCheck.Deviation]
    let doubt: String?

    init(of plan: any ConvPlan, _ name: String, _ seed: UInt64, _ pool: WorkerPool) throws {
      let operation = plan.operation
      let (problem, pass) = (operation.problem, operation.pass)
      let data = try ProblemData(
        problem: problem, elementType: operation.elementType, seed: seed, pool: pool)
      let grid = SampleGrid.stratified(problem, pass, atLeast: 256, seed: seed)
      let expectation = Expectation(grid: grid, data: data, pool: pool)
      guard let bounds = ErrorBounds(model: plan.errorModel, expectation: expectation, data: data, pool: pool)
      else {
        throw ConvError.unsupported(
          backend: plan.executedBy, operation: "\(operation)",
          reason: "its error model does not describe the problem")
      }
      func size(_ values: [Double]) -> Double { values.reduce(0) { $0 + $1 * $1 }.squareRoot() }
      let unit = operation.elementType.unitRoundoff * size(expectation.magnitudes)
      kappa = 3.0.squareRoot() * size(bounds.deviations) / unit

      let results = Verifier.values(of: try Verifier(pool: pool).execute(plan, data), at: grid)
      let verification = Verification(results: results, expectation: expectation, bounds: bounds)
      doubt = verification.verdict == .mistrusted ? verification.reason : nil
      var deviations = [
        TrajectoryCheck.Deviation(
          quantity: "the largest error of \(name), as a multiple of its bound,",
          found: verification.errorRatio,
          expected: 0, allowed: 1)
      ]
      let values = expectation.values
      let square = values.reduce(0) { $0 + $1 * $1 }
      if case .summation = plan.errorModel, square > 0 {
        let product = values.indices.reduce(0) { $0 + (results[$1] - values[$1]) * values[$1] }
        let spread = 3.0.squareRoot() * size(zip(values, bounds.deviations).map { $0 * $1 })
        deviations.append(
          TrajectoryCheck.Deviation(
            quantity: "the systematic error of \(name)", found: product / square, expected: 0,
            allowed: ErrorBounds.lambda(judged: 1) * spread / square))
      }
      self.deviations = deviations
    }
  }

  /// Of all operations that ran, each once, whatever its epilogues.
  ///
  /// - Throws: as `init`.
  static func all(
    of competitor: Competitor, _ fallback: Competitor?, _ entries: [ExecutionRecorder.Entry], pool: WorkerPool
  ) throws -> [LayerCheck] {
    var known: [Bool: Set<ConvOperation>] = [:]
    var checks: [LayerCheck] = []
    for entry in entries {
      var operation = entry.operation
      operation.epilogue = .none
      guard let engine = entry.isFallback ? fallback : competitor,
        known[entry.isFallback, default: []].insert(operation).inserted
      else { continue }
      checks.append(try LayerCheck(of: engine, operation, pool: pool))
    }
    return checks
  }
}

extension [LayerCheck] {
  /// The largest κ.
  var kappa: Double { map(\.kappa).max() ?? 0 }
  /// Why one of them would pass a wrong result.
  var doubt: String? { lazy.compactMap(\.doubt).first }
}

extension Verification {
  /// The verdict of a training step: failed where anything deviates by more than it may, mistrusted where something was not judged.
  init(_ deviations: [TrajectoryCheck.Deviation], hint: String? = nil, doubt: String?) {
    if let worst = deviations.max(by: { $0.ratio < $1.ratio }), !(worst.ratio <= 1) {
      self.init(
        .failed,
        reason: "\(worst.quantity) is \(worst.found), \(worst.expected) ± \(worst.allowed) is expected"
          + (hint.map { "; \($0)" } ?? ""))
    } else {
      self.init(doubt == nil ? .passed : .mistrusted, reason: doubt ?? "")
    }
  }
}
