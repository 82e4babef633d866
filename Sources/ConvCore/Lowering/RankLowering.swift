/// 1-D as 2-D of height 1: the memory is the same, only the problem is read differently.
struct RankLowering: Lowering, SameFilterPlan {
  let operation: ConvOperation
  let innerOperation: ConvOperation
  var inner: [any ConvPlan] = []

  var label: String { "1-D as 2-D" }
  var innerOperations: [ConvOperation] { [innerOperation] }
  var scratchBytes: Int { 0 }

  init?(_ operation: ConvOperation) {
    let problem = operation.problem
    guard problem.spatialRank == 1,
      let planar = try? ConvProblem(
        spatialRank: 2, n: problem.n, c: problem.c, k: problem.k, groups: problem.groups,
        input: problem.input, filter: problem.filter, stride: problem.stride, padding: problem.padding,
        dilation: problem.dilation)
    else { return nil }
    self.operation = operation
    var innerOperation = operation
    innerOperation.problem = planar
    self.innerOperation = innerOperation
  }

  func execute(
    _ operands: ConvOperands, workspace: UnsafeMutableRawBufferPointer, pool: WorkerPool,
    phases: PhaseRecorder?
  ) throws {
    try inner[0].execute(
      try operands.unwrappingPrepared(for: self), workspace: workspace, pool: pool, phases: phases)
  }
}

extension ConvOperands {
  /// Replaces the prepared filter of a lowered plan by that of its only inner plan.
  func unwrappingPrepared(for plan: some ConvPlan) throws -> ConvOperands {
    guard let preparedFilter else { return self }
    var operands = self
    operands.preparedFilter = try preparedFilter.innerFilters(of: plan)[0]
    return operands
  }
}

extension PreparedFilter {
  /// The inner plans' filters, where this was prepared by `plan`.
  func innerFilters(of plan: some ConvPlan) throws -> [PreparedFilter] {
    guard signature == plan.signature else {
      throw ConvError.stalePreparedFilter(
        reason: "it was prepared by '\(signature)', the plan is '\(plan.signature)'")
    }
    return inner
  }
}
