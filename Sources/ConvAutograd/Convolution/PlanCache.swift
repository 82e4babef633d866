import ConvCore
import Synchronization

/// Plans by engine, operation and options. Thread-safe.
final class PlanCache: Sendable {
  private struct Key: Hashable {
    let engine: Int
    let operation: ConvOperation
    let options: PlanOptions
  }
  private struct Entry {
    let plan: any ConvPlan
    /// Keeps objects alive whose addresses are part of the identity.
    let engine: ConvolutionEngine
  }

  static let shared = PlanCache()
  /// Beyond it all plans are dropped: networks on ever new shapes must not hold memory for ever.
  private static let largestCount = 4096
  private let entries = Mutex<[Key: Entry]>([:])

  /// The cached plan, or a new one.
  ///
  /// - Throws: `ConvError.unsupported` with the engine's reason.
  func plan(
    _ engine: ConvolutionEngine, _ operation: ConvOperation, _ options: PlanOptions
  ) throws -> any ConvPlan {
    let key = Key(engine: engine.identity, operation: operation, options: options)
    if let entry = entries.withLock({ $0[key] }) { return entry.plan }
    // Made outside of the lock: two threads may make the same plan once.
    let plan = try engine.backend.plan(for: operation, options)
    entries.withLock { entries in
      if entries.count >= Self.largestCount { entries.removeAll() }
      entries[key] = Entry(plan: plan, engine: engine)
    }
    return plan
  }
}

extension ConvolutionContext {
  /// The plans of `operations`, all on the engine, or all on the fallback where the engine declines one of them.
  ///
  /// - Throws: the engine's `ConvError.unsupported`; `ConvError.operand` where no backend is chosen.
  func plans(for operations: [ConvOperation], layer: AnyObject?) throws -> [any ConvPlan] {
    guard let engine else {
      throw ConvError.operand(
        "no convolution backend is chosen: use withBackend(_:_:), ConvolutionContext.default, "
          + "or a module that installs one")
    }
    var options = options
    options.threads = pool.threads
    let plans: [any ConvPlan]
    var isFallback = false
    do {
      plans = try operations.map { try PlanCache.shared.plan(engine, $0, options) }
    } catch ConvError.unsupported(let backend, let operation, let reason) {
      guard let fallback else {
        throw ConvError.unsupported(backend: backend, operation: operation, reason: reason)
      }
      // The options' variant is in the first engine's words.
      options.variant = fallbackVariant
      plans = try operations.map { try PlanCache.shared.plan(fallback, $0, options) }
      isFallback = true
    }
    if let recorder {
      for plan in plans {
        recorder.add(
          plan, layer: layer, engine: isFallback ? fallback ?? engine : engine, variant: options.variant,
          isFallback: isFallback)
      }
    }
    return plans
  }
}
