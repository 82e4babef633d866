/// Who computes, and what follows from it.
public enum BackendThreading: Sendable, Hashable {
  /// The threads of the pool that a plan is executed with. Results have the same bits for every number of threads.
  case workerPool
  /// A library's own threads, as many as the plan was made for. The bits may depend on their number, and they may poll for
  /// some milliseconds after an execution.
  case ownThreads
}

/// A convolution engine.
///
/// An engine implements `forwardPlan` and says in `nativeSupport` what its own plans can do; everything else (backward
/// passes, formats, epilogues, groups, dilation, strides, 1-D and 3-D) the core derives where the engine declines it.
/// Users ask `support(for:_:)` and `plan(for:_:)`, which see the lowerings too.
public protocol ConvolutionBackend: Sendable {
  /// One lower-case word: `naive`, `im2col`, `winograd`, `fft`.
  var name: String { get }
  /// Formats that the engine's plans take without conversion, best first.
  var nativeFormats: [MemoryFormat] { get }
  /// Passes that the engine has plans of its own for. The core derives the others from forward; of these it derives nothing.
  var nativePasses: Set<ConvPass> { get }
  /// Who computes.
  var threading: BackendThreading { get }
  /// Whether its plans are those of other engines, among which it chooses. A chooser stands beside the engines: it does not
  /// compete with the one that it chose.
  var choosesEngines: Bool { get }
  /// Sends threads of the engine's own to sleep, before others are to work.
  func restThreads()
  /// Wakes that many of them, so that an execution does not begin with it.
  func wakeThreads(_ count: Int)
  /// Whether the engine's own plan for this operation exists and gives a right answer.
  func nativeSupport(for operation: ConvOperation, _ options: PlanOptions) -> Support
  /// The work of the engine's own plan for a natively supported operation. Engines whose plans are more than some numbers say it
  /// without making one: automatic choices ask many engines and take one.
  func nativeWork(for operation: ConvOperation, _ options: PlanOptions) throws -> ConvWork
  /// A plan for a natively supported forward operation.
  func forwardPlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan
  /// A plan for a natively supported backwardData operation.
  func backwardDataPlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan
  /// A plan for a natively supported backwardFilter operation.
  func backwardFilterPlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan
}

extension ConvolutionBackend {
  /// NCHW.
  public var nativeFormats: [MemoryFormat] { [.nchw] }

  /// The pool's workers.
  public var threading: BackendThreading { .workerPool }

  /// That of the plan.
  public func nativeWork(for operation: ConvOperation, _ options: PlanOptions) throws -> ConvWork {
    try nativePlan(for: operation, options).work
  }

  /// An engine with plans of its own.
  public var choosesEngines: Bool { false }

  /// Nothing: the pool's workers are not the engine's.
  public func restThreads() {}

  /// Nothing.
  public func wakeThreads(_ count: Int) {}

  /// Forward: both backward passes are derived from it.
  public var nativePasses: Set<ConvPass> { [.forward] }

  /// Engines without a backward pass of their own: the core derives it from forward.
  public func backwardDataPlan(
    _ operation: ConvOperation, _ options: PlanOptions
  ) throws -> any ConvPlan {
    throw ConvError.unsupported(
      backend: name, operation: "\(operation)", reason: "no backward-data plan of its own")
  }

  /// Engines without a backward pass of their own: the core derives it from forward.
  public func backwardFilterPlan(
    _ operation: ConvOperation, _ options: PlanOptions
  ) throws -> any ConvPlan {
    throw ConvError.unsupported(
      backend: name, operation: "\(operation)", reason: "no backward-filter plan of its own")
  }

  /// The engine's own plan, whichever the pass.
  public func nativePlan(
    for operation: ConvOperation, _ options: PlanOptions
  ) throws -> any ConvPlan {
    switch operation.pass {
    case .forward: try forwardPlan(operation, options)
    case .backwardData: try backwardDataPlan(operation, options)
    case .backwardFilter: try backwardFilterPlan(operation, options)
    }
  }
}
