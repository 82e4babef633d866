// What users ask a backend: an operation is executed by the engine's own plan, or by a chain of lowerings (one file each in
// this folder) down to operations that the engine supports itself. Support and plan come from the same resolution, so
// that they cannot disagree.
//
// An engine or a lowering that declines knows its own reason only. Which of them is the cause shows when the limit of the
// workspace is taken away: where that helps, the limit is the reason, and the one thing to say is how much would be enough;
// where it does not help, what is declined then is the reason.

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
  /// Bytes of workspace that the lowering itself needs; the rest of the limit is the inner plans'.
  var scratchBytes: Int { get }
  /// A plan over plans for `innerOperations`, in that order.
  func plan(_ inner: [any ConvPlan]) -> any ConvPlan
  /// The work of that plan, from the works of `innerOperations`.
  func work(_ inner: [ConvWork]) -> ConvWork
}

extension Lowering {
  /// What is left of the limits for the inner operations.
  func innerOptions(_ options: PlanOptions) -> PlanOptions {
    var inner = options
    inner.workspaceLimit = max(0, options.workspaceLimit - scratchBytes)
    return inner
  }
}

extension ConvolutionBackend {
  /// Whether the backend can do the operation, by itself or through the core's lowerings.
  ///
  /// `.supported` is a promise of a right answer.
  public func support(for operation: ConvOperation, _ options: PlanOptions = PlanOptions()) -> Support {
    switch resolve(operation, options) {
    case .native, .lowered: .supported
    case .unsupported(let reason): .unsupported(cause(of: reason, operation, options))
    }
  }

  /// Whether `support(for:_:)` says that the backend can do the operation; in the time of one look, since no reason is sought.
  package func supports(_ operation: ConvOperation, _ options: PlanOptions) -> Bool {
    switch resolve(operation, options) {
    case .native, .lowered: true
    case .unsupported: false
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
      let innerOptions = lowering.innerOptions(options)
      let inner = try lowering.innerOperations.map { try plan(for: $0, innerOptions) }
      return lowering.plan(inner)
    case .unsupported(let reason):
      throw ConvError.unsupported(
        backend: name, operation: "\(operation)", reason: cause(of: reason, operation, options))
    }
  }

  /// The work of the plan that `plan(for:_:)` would return, without making it.
  ///
  /// - Throws: `ConvError.unsupported` with the engine's reason.
  public func work(for operation: ConvOperation, _ options: PlanOptions = PlanOptions()) throws -> ConvWork {
    guard let work = try workIfSupported(for: operation, options) else {
      let reason = support(for: operation, options).reason ?? ""
      throw ConvError.unsupported(backend: name, operation: "\(operation)", reason: reason)
    }
    return work
  }

  /// As `work(for:_:)`; nil where the backend declines, in the time of one look, since no reason is sought.
  package func workIfSupported(for operation: ConvOperation, _ options: PlanOptions) throws -> ConvWork? {
    switch resolve(operation, options) {
    case .native:
      return try nativeWork(for: operation, options)
    case .lowered(let lowering):
      let innerOptions = lowering.innerOptions(options)
      return lowering.work(try lowering.innerOperations.map { try work(for: $0, innerOptions) })
    case .unsupported:
      return nil
    }
  }

  /// Beyond this size along any axis no limit of the workspace is looked for that would be enough.
  private static var largestSizeOfTriedLimits: Int { 8192 }

  /// Why an operation is declined: not what declined first under the limit of the workspace, but what is to be changed.
  private func cause(of reason: String, _ operation: ConvOperation, _ options: PlanOptions) -> String {
    func resolution(under limit: Int) -> Resolution {
      var other = options
      other.workspaceLimit = limit
      return resolve(operation, other)
    }
    func suffices(_ limit: Int) -> Bool {
      if case .unsupported = resolution(under: limit) { return false }
      return true
    }
    if options.workspaceLimit >= PlanOptions.unlimitedWorkspace { return reason }
    // Each try asks the engine and all lowerings, whose pieces are many: minutes for sizes that nobody runs.
    let p = operation.problem
    let sizes = [p.n, p.c, p.k, p.input.d, p.input.h, p.input.w, p.filter.d, p.filter.h, p.filter.w]
    if sizes.contains(where: { $0 > Self.largestSizeOfTriedLimits }) { return reason }
    if case .unsupported(let other) = resolution(under: PlanOptions.unlimitedWorkspace) { return other }
    // Limits that are enough need not be all above some number: what is told is one that was tried, some percent above the least
    // of its kind.
    var (low, high) = (options.workspaceLimit, max(64, options.workspaceLimit))
    while !suffices(high) {
      low = high
      high = high > PlanOptions.unlimitedWorkspace / 4 ? PlanOptions.unlimitedWorkspace : 4 * high
    }
    while high - low > max(64, high / 32) {
      let middle = low + (high - low) / 2
      if suffices(middle) { high = middle } else { low = middle }
    }
    return "the workspace limit of \(options.workspaceLimit) bytes is too small; \(high) bytes are enough"
  }

  /// The engine's own plan where it has one, else the first lowering whose inner operations all resolve; else what declined first
  /// under these options, which is not always the cause.
  func resolve(_ operation: ConvOperation, _ options: PlanOptions) -> Resolution {
    if let contradiction = operation.contradiction { return .unsupported(contradiction) }
    guard let reason = nativeSupport(for: operation, options).reason else { return .native }
    var derivedReason: String?
    for lowering in lowerings(of: operation, options) {
      let innerOptions = lowering.innerOptions(options)
      let failure = lowering.innerOperations.lazy.compactMap { inner -> String? in
        guard case .unsupported(let reason) = resolve(inner, innerOptions) else { return nil }
        return reason
      }.first
      guard let failure else { return .lowered(lowering) }
      derivedReason = derivedReason ?? "\(lowering.label): \(failure)"
    }
    if let derivedReason, !derivedReason.hasSuffix(reason) {
      return .unsupported("\(reason) (\(derivedReason))")
    }
    return .unsupported(reason)
  }

  /// The lowerings that apply to an operation, in the order in which they are tried.
  private func lowerings(of operation: ConvOperation, _ options: PlanOptions) -> [any Lowering] {
    // The structural lowerings below work in the logical order; an engine's own format is entered last, where that
    // is all that was missing.
    let nativeFormat = nativeFormats.lazy.compactMap { FormatLowering(operation, to: $0) }.first {
      nativeSupport(for: $0.innerOperation, $0.innerOptions(options)).isSupported
    }
    // Bias and ReLU stay with engines that apply them while results are in registers.
    let partOfEpilogue = EpilogueLowering(operation, keeping: Epilogue(bias: true, relu: true)).flatMap {
      nativeSupport(for: $0.innerOperation, $0.innerOptions(options)).isSupported ? $0 : nil
    }
    let candidates: [(any Lowering)?] = [
      nativeFormat,
      partOfEpilogue,
      EpilogueLowering(operation),
      AccumulateLowering(operation),
      RankLowering(operation),
      FormatLowering(operation, to: .nchw),
      DepthLowering(operation),
      GroupLowering(operation, threads: options.threads),
      DilationLowering(operation),
      PolyphaseLowering(operation),
      nativePasses.contains(.backwardData) ? nil : DerivedBackwardData(operation),
      nativePasses.contains(.backwardFilter) ? nil : DerivedBackwardFilter(operation),
    ]
    return candidates.compactMap { candidate in
      guard let candidate else { return nil }
      // Copies of whole tensors stay under half of the limit: larger batches are cut.
      if candidate.scratchBytes <= options.workspaceLimit / 2 { return candidate }
      return BatchLowering(operation, scratchBytes: candidate.scratchBytes, limit: options.workspaceLimit / 2)
    }
  }
}
