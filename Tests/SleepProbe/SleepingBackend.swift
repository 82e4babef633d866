import ConvCore
import ConvNaive
import Foundation

/// An engine of a known duration: computes by the oracle's plain loops, then sleeps.
///
/// Every execution appends a line to the file that VBENCH_SLEEP_LOG names: the engine, the problem, and the seconds that the execution
/// took by the engine's own clock. What a run executed, how often and in which order, can be read there, also after a process was killed.
struct SleepingBackend: ConvolutionBackend {
  let milliseconds: Int
  var name: String { "sleep-\(milliseconds)ms" }
  var nativePasses: Set<ConvPass> { Set(ConvPass.allCases) }

  func nativeSupport(for operation: ConvOperation, _ options: PlanOptions) -> Support {
    NaiveBackend().nativeSupport(for: operation, options)
  }
  func forwardPlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan {
    try plan(operation, options)
  }
  func backwardDataPlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan {
    try plan(operation, options)
  }
  func backwardFilterPlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan {
    try plan(operation, options)
  }
  private func plan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan {
    SleepingPlan(
      inner: try NaiveBackend().nativePlan(for: operation, options), name: name, milliseconds: milliseconds)
  }
}

private struct SleepingPlan: ConvPlan {
  let inner: any ConvPlan
  let name: String
  let milliseconds: Int
  var operation: ConvOperation { inner.operation }
  var workspaceBytes: Int { inner.workspaceBytes }
  var executedFLOPs: Double { inner.executedFLOPs }
  var variant: String { name }
  var executedBy: String { name }
  var errorModel: ErrorModel { inner.errorModel }

  func prepare(filter: UnsafeRawPointer, pool: WorkerPool) throws -> PreparedFilter {
    try inner.prepare(filter: filter, pool: pool)
  }

  func execute(
    _ operands: ConvOperands, workspace: UnsafeMutableRawBufferPointer, pool: WorkerPool,
    phases: PhaseRecorder?
  ) throws {
    let start = ContinuousClock.now
    try inner.execute(operands, workspace: workspace, pool: pool, phases: phases)
    // Never shorter than asked for, unless a signal ends it.
    usleep(UInt32(milliseconds) * 1000)
    let duration = ContinuousClock.now - start
    ExecutionFile.append("\(name) \(operation.problem) \(duration / .seconds(1))\n")
  }
}

/// The file of executions.
private enum ExecutionFile {
  private static let descriptor: Int32? = ProcessInfo.processInfo.environment["VBENCH_SLEEP_LOG"].map {
    path in
    let descriptor = open(path, O_WRONLY | O_APPEND | O_CREAT, 0o644)
    precondition(descriptor >= 0, "\(path) cannot be opened for writing")
    return descriptor
  }

  static func append(_ line: String) {
    guard let descriptor else { return }
    let count = line.utf8.count
    precondition(line.withCString { write(descriptor, $0, count) } == count, "a line was not written")
  }
}
