import ConvCore
import ConvTestSupport
import ConvWinograd

extension RawTrial {
  /// The result of the engine, its own plan or the core's lowerings of it, in logical order.
  func run(
    _ operation: ConvOperation, _ options: PlanOptions = PlanOptions(threads: 2), pool: WorkerPool = .shared,
    bias: [T]? = nil, accumulator: [T]? = nil
  ) throws -> [T] {
    try run(
      WinogradBackend().plan(for: operation, options), pool: pool, bias: bias, accumulator: accumulator,
      prepared: options.filterState == .prepared)
  }
}
