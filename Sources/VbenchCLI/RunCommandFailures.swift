import ConvCore
import ConvHarness

extension RunCommand {
  /// Shrinks what failed or is mistrusted, prints how to repeat it, and saves the tensors into `failures/` of the report's folder.
  ///
  /// - Returns: the report with the minimal cases in its rows; nil where there are none.
  /// - Throws: `FileError`, and `MemoryError`.
  func describeFailures(
    _ report: RunReport, _ competitors: [Competitor], _ pool: WorkerPool, folder: String
  ) throws -> RunReport? {
    var report = report
    var failures = FailureReport(folder: folder + "/failures", seconds: shrinking.shrink, pool: pool)
    for (index, row) in report.rows.enumerated()
    where [.failed, .mistrusted].contains(row.verification.verdict) {
      guard let competitor = competitors.first(where: { $0.label == row.backend }) else { continue }
      let operation = ConvOperation(
        row.pass, try ConvProblem(parsing: row.problem), elementType: row.elementType,
        inputFormat: row.format, outputFormat: row.format)
      let failure = FailureCase(
        competitor: competitor, operation: operation, filterState: row.filterState,
        distribution: row.distribution, seed: layerOptions.seed, workspaceLimit: row.workspaceLimit)
      if let text = try failures.describe(failure, shouldStop: { Interruption.isRequested }) {
        StandardOutput.write(text)
      }
      report.rows[index].minimalRepro = failures.minimalRepros[failure.repro] ?? ""
    }
    return failures.minimalRepros.isEmpty ? nil : report
  }
}
