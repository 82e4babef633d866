import ConvCore
import ConvNaive

/// A real engine under another name, with hooks: it may decline more than the engine does, and its plans may be changed.
///
///     FakeBackend("picky") { $0.pass == .forward ? nil : "no \($0.pass.rawValue)" }
///     FakeBackend("biased", .direct, changing: { $0.spoil { y, _ in for i in y.indices { y[i] *= 1.25 } } })
public struct FakeBackend: ConvolutionBackend, CustomStringConvertible {
  /// Why an operation is declined, or nil.
  public typealias Declines = @Sendable (ConvOperation) -> String?
  /// What becomes of a plan; called once for each.
  public typealias Changes = @Sendable (inout FakePlan) throws -> Void

  public var name: String
  /// Whose plans are executed.
  public var engine: any ConvolutionBackend
  /// Whether plans are the engine's with the core's lowerings, or its own alone.
  public var includesLowerings: Bool
  public var nativeFormats: [MemoryFormat]
  public var nativePasses: Set<ConvPass>
  public var threading = BackendThreading.workerPool
  public var choosesEngines = false
  /// Asked before the engine.
  public var declines: Declines
  public var changes: Changes
  /// The work of an operation without a plan; nil takes the plan's.
  public var works: (@Sendable (ConvOperation) throws -> ConvWork)?
  /// Is told `rest` and `wake`.
  public var onThreads: @Sendable (String) -> Void = { _ in }
  /// What a test's argument is called.
  public var description: String
  /// Plans are cached by an engine's stored values, among which all closures look alike.
  private let number = made.add()
  private static let made = Counter()

  /// The oracle and all passes, unless said otherwise. Plans are executed by `name`.
  public init(
    _ name: String, _ engine: any ConvolutionBackend = NaiveBackend(), includesLowerings: Bool = false,
    formats: [MemoryFormat] = [.nchw], passes: Set<ConvPass> = Set(ConvPass.allCases),
    declining declines: @escaping Declines = { _ in nil }, changing changes: @escaping Changes = { _ in }
  ) {
    self.name = name
    self.engine = engine
    self.includesLowerings = includesLowerings
    self.nativeFormats = formats
    self.nativePasses = passes
    self.declines = declines
    self.changes = changes
    description = name
  }

  public func restThreads() { onThreads("rest") }
  public func wakeThreads(_ count: Int) { onThreads("wake \(count)") }

  public func nativeSupport(for operation: ConvOperation, _ options: PlanOptions) -> Support {
    if let reason = declines(operation) { return .unsupported(reason) }
    return includesLowerings
      ? engine.support(for: operation, options) : engine.nativeSupport(for: operation, options)
  }

  public func nativeWork(for operation: ConvOperation, _ options: PlanOptions) throws -> ConvWork {
    try works?(operation) ?? nativePlan(for: operation, options).work
  }

  public func forwardPlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan {
    try plan(operation, options)
  }

  public func backwardDataPlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan {
    try plan(operation, options)
  }

  public func backwardFilterPlan(
    _ operation: ConvOperation, _ options: PlanOptions
  ) throws -> any ConvPlan {
    try plan(operation, options)
  }

  private func plan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan {
    let inner =
      includesLowerings
      ? try engine.plan(for: operation, options) : try engine.nativePlan(for: operation, options)
    var plan = FakePlan(inner, executedBy: name)
    try changes(&plan)
    return plan
  }
}
