import ConvCore
import ConvHarness

extension RunCommand {
  /// Shrinks what failed, prints how to repeat it, and saves the tensors into `failures/` of the report's folder.
  ///
  /// - Throws: `FileError`, and `ConvError.allocationFailed`.
  func describeFailures(
    _ report: RunReport, _ competitors: [Competitor], _ pool: WorkerPool, folder: String
  ) throws {
    var failures = FailureReport(folder: folder + "/failures", seconds: shrinking.shrink, pool: pool)
    for row in report.rows where row.verification.verdict == .failed {
      guard let competitor = competitors.first(where: { $0.label == row.backend }) else { continue }
      let operation = ConvOperation(
        row.pass, try ConvProblem(parsing: row.problem), elementType: row.elementType,
        inputFormat: row.format, outputFormat: row.format)
      let failure = FailureCase(
        competitor: competitor, operation: operation, filterState: row.filterState,
        distribution: row.distribution, seed: layerOptions.seed, workspaceLimit: row.workspaceLimit)
      if let text = try failures.describe(failure, shouldStop: { Interruption.isRequested }) { print(text) }
    }
  }
}
