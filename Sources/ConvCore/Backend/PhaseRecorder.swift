import Dispatch

/// Collects the wall time of a plan's phases (input transform, products, …) over executions.
///
/// Not thread-safe: phases are recorded by the thread that executes the plan, around its parallel loops.
public final class PhaseRecorder {
  /// Seconds per phase, in order of first appearance.
  public private(set) var phases: [(name: String, seconds: Double)] = []

  /// Empty.
  public init() {}

  /// Times `body` as part of phase `name`.
  public func measure<R>(_ name: String, _ body: () throws -> R) rethrows -> R {
    let start = DispatchTime.now().uptimeNanoseconds
    defer { add(name, Double(DispatchTime.now().uptimeNanoseconds - start) * 1e-9) }
    return try body()
  }

  /// Adds time to a phase.
  public func add(_ name: String, _ seconds: Double) {
    if let index = phases.firstIndex(where: { $0.name == name }) {
      phases[index].seconds += seconds
    } else {
      phases.append((name, seconds))
    }
  }

  /// Forgets everything.
  public func reset() { phases = [] }
}

extension Optional where Wrapped == PhaseRecorder {
  /// Times `body` where there is a recorder, else just runs it.
  public func measure<R>(_ name: String, _ body: () throws -> R) rethrows -> R {
    if let recorder = self { return try recorder.measure(name, body) }
    return try body()
  }
}
