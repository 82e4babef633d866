import ConvCore

/// What one competitor would do with an operation, from its plan alone: nothing is executed.
public struct Explanation: Sendable {
  /// The competitor, as on the command line.
  public let label: String
  /// Why it declines; nil where it has a plan.
  public let reason: String?
  /// Who would compute, with the lowerings above it, and with which choices.
  public let executedBy: String
  public let variant: String
  /// Bytes of workspace, and of a prepared filter.
  public let workspaceBytes: Int
  public let preparedBytes: Int
  /// FLOPs of the direct algorithm and those that the plan really does, transforms included.
  public let directFLOPs: Double
  public let executedFLOPs: Double
  /// By the cost model, on one core.
  public let predictedMilliseconds: Double
  /// rms of the deciding error bounds, relative to the results' rms: errors stay below it, usually by a factor of 5 to 50. NaN where
  /// the plan's error model does not describe the operation, and without data for it.
  public let relativeBound: Double
  /// Magnitudes of the operands up to which nothing overflows; nil where it declines.
  public let finiteRange: FiniteRange?

  /// Explanations of one item, in the order of the competitors.
  ///
  /// The bounds are those of sampled results of the run's data, as a verification would use them; without any where
  /// `leavesOutBounds` says so.
  /// - Throws: `MemoryError` and the like for the data; what a competitor throws is its reason.
  public static func all(
    of item: RunItem, by competitors: [Competitor], settings: RunSettings
  ) throws -> [Explanation] {
    let problem = item.problem.problem
    var sampled: (data: ProblemData, expectation: Expectation)?
    if leavesOutBounds(of: problem) == nil {
      let data = try ProblemData(problem: problem, seed: settings.seed, pool: settings.pool)
      let grid = SampleGrid.stratified(problem, item.pass, seed: settings.seed)
      sampled = (data, Expectation(grid: grid, data: data, pool: settings.pool))
    }
    return competitors.map { competitor in
      let options = PlanOptions(
        threads: settings.pool.threads, workspaceLimit: settings.workspaceLimit,
        filterState: item.filterState, variant: competitor.variant)
      if let reason = competitor.backend.support(for: item.operation, options).reason {
        return Explanation(competitor, problem, declined: reason)
      }
      do {
        let plan = try competitor.backend.plan(for: item.operation, options)
        let bound = sampled.flatMap { data, expectation in
          ErrorBounds(model: plan.errorModel, expectation: expectation, data: data, pool: settings.pool)
            .map { $0.rms / expectation.rms }
        }
        return Explanation(competitor, plan, prices: settings.prices, relativeBound: bound ?? .nan)
      } catch {
        return Explanation(competitor, problem, declined: "promised support, then: \(error)")
      }
    }
  }

  /// Elements of x, w and y together up to which data are made: fractions of a second.
  public static let mostElements = 1 << 25

  /// Why explanations of a problem have no error bounds; nil where they have.
  public static func leavesOutBounds(of problem: ConvProblem) -> String? {
    let shapes = [problem.inputShape, problem.filterShape, problem.outputShape]
    let count = shapes.reduce(0) { $0 + $1.reduce(1, *) }
    if count <= mostElements { return nil }
    return "error bounds are left out: they need data of \(count) elements, at most \(mostElements) are made"
  }

  private init(
    _ competitor: Competitor, _ plan: any ConvPlan, prices: WorkPrices?, relativeBound: Double
  ) {
    label = competitor.label
    reason = nil
    executedBy = plan.executedBy
    variant = plan.variant
    workspaceBytes = plan.workspaceBytes
    preparedBytes = plan.preparedBytes
    directFLOPs = plan.operation.problem.directFLOPs
    executedFLOPs = plan.executedFLOPs
    predictedMilliseconds =
      prices.map { $0.nanoseconds(plan.work, elementType: plan.operation.elementType) * 1e-6 } ?? .nan
    self.relativeBound = relativeBound
    finiteRange = FiniteRange(
      plan.errorModel, plan.operation.pass, plan.operation.problem, plan.operation.elementType)
  }

  private init(_ competitor: Competitor, _ problem: ConvProblem, declined reason: String) {
    label = competitor.label
    self.reason = reason
    executedBy = ""
    variant = ""
    workspaceBytes = 0
    preparedBytes = 0
    directFLOPs = problem.directFLOPs
    executedFLOPs = .nan
    predictedMilliseconds = .nan
    relativeBound = .nan
    finiteRange = nil
  }
}
