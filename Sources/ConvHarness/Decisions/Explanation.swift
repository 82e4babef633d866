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
  /// the plan's error model does not describe the operation.
  public let relativeBound: Double
  /// Magnitudes of the operands up to which nothing overflows; nil where it declines.
  public let finiteRange: FiniteRange?

  /// Explanations of one item, in the order of the competitors.
  ///
  /// The bounds are those of sampled results of the run's data, as a verification would use them.
  /// - Throws: `MemoryError` and the like for the data; what a competitor throws is its reason.
  public static func all(
    of item: RunItem, by competitors: [Competitor], settings: RunSettings
  ) throws -> [Explanation] {
    let problem = item.problem.problem
    let data = try ProblemData(problem: problem, seed: settings.seed, pool: settings.pool)
    let grid = SampleGrid.stratified(problem, item.pass, seed: settings.seed)
    let expectation = Expectation(grid: grid, data: data, pool: settings.pool)
    return competitors.map { competitor in
      let options = PlanOptions(
        threads: settings.pool.threads, workspaceLimit: settings.workspaceLimit,
        filterState: item.filterState, variant: competitor.variant)
      if let reason = competitor.backend.support(for: item.operation, options).reason {
        return Explanation(competitor, problem, declined: reason)
      }
      do {
        let plan = try competitor.backend.plan(for: item.operation, options)
        let bounds = ErrorBounds(
          model: plan.errorModel, expectation: expectation, data: data, pool: settings.pool)
        return Explanation(
          competitor, plan, prices: settings.prices, relativeBound: (bounds?.rms ?? .nan) / expectation.rms)
      } catch {
        return Explanation(competitor, problem, declined: "promised support, then: \(error)")
      }
    }
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
