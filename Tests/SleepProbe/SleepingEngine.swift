import ConvTestSupport
import Foundation

extension FakeBackend {
  /// An engine of a known duration: computes by the oracle's plain loops, then sleeps.
  ///
  /// Every execution appends a line to the file that VBENCH_SLEEP_LOG names: the engine, the problem, and the seconds that the execution
  /// took by the engine's own clock. What a run executed, how often and in which order, can be read there, also after a process was
  /// killed.
  static func sleeping(milliseconds: Int) -> FakeBackend {
    let name = "sleep-\(milliseconds)ms"
    return FakeBackend(
      name,
      changing: { plan in
        let problem = plan.operation.problem
        plan.variant = name
        plan.surround { operands, _, execute in
          let start = ContinuousClock.now
          try execute(operands)
          // Never shorter than asked for, unless a signal ends it.
          usleep(UInt32(milliseconds) * 1000)
          ExecutionFile.append("\(name) \(problem) \((ContinuousClock.now - start) / .seconds(1))\n")
        }
      })
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
