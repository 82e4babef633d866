import ConvCore

/// The choices of plan files, ready to be looked up: by the number of threads, then by the operation.
struct PlannedChoices: Sendable {
  private struct Plan: Sendable {
    let workspaceLimit: Int
    let candidates: [ConvPlanFile.Key: AutoBackend.Candidate]
  }
  /// An object, so that who takes an engine's stored values for its identity sees one address and not a thousand choices.
  private final class Table: Sendable {
    let byThreads: [Int: Plan]
    init(_ byThreads: [Int: Plan]) { self.byThreads = byThreads }
  }
  private let table: Table

  /// The choices of one machine with one or several numbers of threads.
  ///
  /// - Throws: `ConvError.unknownName` for an engine that this build has not, `.unsupported` where an engine declines what the file
  ///   gives it under the limits that the file was made with, or where the file names `auto`.
  init(_ plans: [ConvPlanFile.MachinePlan]) throws {
    var byThreads: [Int: Plan] = [:]
    for plan in plans {
      var candidates: [ConvPlanFile.Key: AutoBackend.Candidate] = [:]
      for (key, choice) in plan.choices {
        candidates[key] = try PlannedChoices.candidate(choice, key, plan)
      }
      byThreads[plan.machine.threads] = Plan(
        workspaceLimit: plan.conditions.workspaceLimit, candidates: candidates)
    }
    table = Table(byThreads)
  }

  private static func candidate(
    _ choice: ConvPlanFile.Choice, _ key: ConvPlanFile.Key, _ plan: ConvPlanFile.MachinePlan
  ) throws -> AutoBackend.Candidate {
    let candidate = try BackendRegistry.named(choice.backend)
    let operation = ConvOperation(key.pass, key.problem, inputFormat: key.format, outputFormat: key.format)
    if candidate.backend is AutoBackend {
      throw ConvError.unsupported(
        backend: "auto", operation: "\(operation)",
        reason: "the plan file names \(candidate), which is no engine: it chooses one")
    }
    let options = PlanOptions(
      threads: plan.machine.threads, workspaceLimit: plan.conditions.workspaceLimit,
      filterState: key.filterState, variant: candidate.variant)
    if let reason = candidate.backend.support(for: operation, options).reason {
      throw ConvError.unsupported(
        backend: "auto", operation: "\(operation)",
        reason: "the plan file names \(candidate), which declines: \(reason)")
    }
    return candidate
  }

  /// The choice for an operation; nil where there is none, and where less workspace is allowed than it may take.
  func candidate(for operation: ConvOperation, _ options: PlanOptions) -> AutoBackend.Candidate? {
    guard let plan = table.byThreads[options.threads], options.workspaceLimit >= plan.workspaceLimit,
      let key = ConvPlanFile.Key(operation, options.filterState)
    else { return nil }
    return plan.candidates[key]
  }
}
