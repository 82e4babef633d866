// What users ask a backend: an operation is executed by the engine's own plan, or by a chain of lowerings (one file each in
// this folder) down to operations that the engine supports itself. Support and plan come from the same resolution, so that they
// cannot disagree.

/// How an operation would be executed.
enum Resolution {
  /// By the engine's own plan.
  case native
  /// By a lowering.
  case lowered(any Lowering)
  /// Not at all.
  case unsupported(String)
}

/// One rewriting of an operation into others that are nearer to what an engine can do.
protocol Lowering: Sendable {
  /// As it appears in `executedBy`: "groups", "dilation", …
  var label: String { get }
  /// The operations that it rewrites to; all must be supported.
  var innerOperations: [ConvOperation] { get }
  /// A plan over plans for `innerOperations`, in that order.
  func plan(_ operation: ConvOperation, _ inner: [any ConvPlan]) throws -> any ConvPlan
}

extension ConvolutionBackend {
  /// Whether the backend can do the operation, by itself or through the core's lowerings.
  ///
  /// `.supported` is a promise of a right answer.
  public func support(for operation: ConvOperation, _ options: PlanOptions = PlanOptions()) -> Support {
    switch resolve(operation, options) {
    case .native, .lowered: .supported
    case .unsupported(let reason): .unsupported(reason)
    }
  }

  /// A plan for the operation.
  ///
  /// - Throws: `ConvError.unsupported` with the engine's reason.
  public func plan(
    for operation: ConvOperation, _ options: PlanOptions = PlanOptions()
  ) throws -> any ConvPlan {
    switch resolve(operation, options) {
    case .native:
      return try nativePlan(for: operation, options)
    case .lowered(let lowering):
      let inner = try lowering.innerOperations.map { try plan(for: $0, options) }
      return try lowering.plan(operation, inner)
    case .unsupported(let reason):
      throw ConvError.unsupported(backend: name, operation: "\(operation)", reason: reason)
    }
  }

  func resolve(_ operation: ConvOperation, _ options: PlanOptions) -> Resolution {
    if let contradiction = operation.contradiction { return .unsupported(contradiction) }
    let native = nativeSupport(for: operation, options)
    guard let reason = native.reason else { return .native }
    return .unsupported(reason)
  }
}
