import ConvCore
import Synchronization

/// Which engine the convolutions of a network run on, and how. Per task, per layer, or the process's default.
public struct ConvolutionContext: Sendable {
  /// The engine; nil is an error at the first convolution.
  public var engine: ConvolutionEngine?
  /// Runs the layers that `engine` declines; nil makes those an error at their first use.
  public var fallback: ConvolutionEngine?
  /// One variant of the fallback; nil leaves the choice to it. (That of `engine` is in the options.)
  public var fallbackVariant: String?
  /// How plans are made; `threads` is overridden by the pool's.
  public var options: PlanOptions
  /// The threads of all operations, not only of convolutions.
  public var pool: WorkerPool
  /// Multiplies the matrices of `linear` and `matmul`.
  public var matrixMultiplier: any MatrixMultiplier
  /// Is told which layer ran where.
  public var recorder: ExecutionRecorder?
  /// The physical order that 2-D convolution layers bring their inputs to, as PyTorch's channels_last does for a whole network:
  /// converted where an image enters, kept from layer to layer. nil: what the engine takes without conversion, first of all.
  public var memoryFormat: MemoryFormat?

  /// The order that `memoryFormat` or else the engine chooses.
  public var preferredFormat: MemoryFormat {
    memoryFormat ?? engine?.backend.nativeFormats.first ?? .nchw
  }

  /// A context of its own.
  public init(
    backend: (any ConvolutionBackend)? = nil, fallback: (any ConvolutionBackend)? = nil,
    options: PlanOptions = PlanOptions(), pool: WorkerPool = .shared,
    matrixMultiplier: any MatrixMultiplier = KernelMatrixMultiplier(), recorder: ExecutionRecorder? = nil
  ) {
    engine = backend.map { ConvolutionEngine($0) }
    self.fallback = fallback.map { ConvolutionEngine($0) }
    self.options = options
    self.pool = pool
    self.matrixMultiplier = matrixMultiplier
    self.recorder = recorder
  }

  @TaskLocal private static var scoped: ConvolutionContext?
  private static let processDefault = Mutex(ConvolutionContext())

  /// What applies where no scope says otherwise. Setting it affects the whole process.
  public static var `default`: ConvolutionContext {
    get { processDefault.withLock { $0 } }
    set { processDefault.withLock { $0 = newValue } }
  }

  /// Sets the default's backend unless one was set before: how a module of layers installs its own choice.
  public static func installDefault(backend: any ConvolutionBackend) {
    processDefault.withLock { context in
      if context.engine == nil { context.engine = ConvolutionEngine(backend) }
    }
  }

  /// The innermost scope's context, else the default.
  public static var current: ConvolutionContext { scoped ?? Self.default }

  /// Runs `body` in this context.
  public func run<R>(_ body: () throws -> R) rethrows -> R {
    try Self.$scoped.withValue(self) { try body() }
  }
}

/// Runs `body` with its convolutions on `backend`, or on `fallback` where the backend declines one.
///
/// Without a fallback a declined convolution throws `ConvError.unsupported` at its first use. A `backward()` uses the
/// engine that the forward pass ran on, also outside of the scope.
/// - Parameters:
///   - variant: one variant of the backend, as in `tile=2x2`.
///   - fallbackVariant: one variant of the fallback.
///   - pool: the threads of all operations; the surrounding scope's where left out.
///   - recorder: is told which layer ran where.
public func withBackend<R>(
  _ backend: any ConvolutionBackend, fallback: (any ConvolutionBackend)? = nil, variant: String? = nil,
  fallbackVariant: String? = nil, pool: WorkerPool? = nil, recorder: ExecutionRecorder? = nil,
  _ body: () throws -> R
) rethrows -> R {
  var context = ConvolutionContext.current
  context.engine = ConvolutionEngine(backend)
  context.fallback = fallback.map { ConvolutionEngine($0) }
  context.options.variant = variant
  context.fallbackVariant = fallbackVariant
  if let pool { context.pool = pool }
  if let recorder { context.recorder = recorder }
  return try context.run(body)
}

/// A backend with the identity by which its plans are cached.
public struct ConvolutionEngine: Sendable {
  /// The engine itself.
  public let backend: any ConvolutionBackend
  /// Stands for type and configuration: equal identities make equal plans.
  let identity: Int

  /// Wraps a backend.
  public init(_ backend: any ConvolutionBackend) {
    self.backend = backend
    identity = Self.identity(ofBackend: backend)
  }

  private struct Identities {
    var ofText: [String: Int] = [:]
    /// Of types without stored values, whose name says everything.
    var ofType: [ObjectIdentifier: Int] = [:]
  }
  private static let identities = Mutex(Identities())

  private static func identity<B: ConvolutionBackend>(ofBackend backend: B) -> Int {
    let isType = MemoryLayout<B>.size == 0
    if isType, let known = identities.withLock({ $0.ofType[ObjectIdentifier(B.self)] }) { return known }
    let text = backend.name + " " + identity(of: backend)
    return identities.withLock { identities in
      let number = identities.ofText[text] ?? identities.ofText.count
      identities.ofText[text] = number
      if isType { identities.ofType[ObjectIdentifier(B.self)] = number }
      return number
    }
  }

  /// All stored values, recursively; classes by their address.
  private static func identity(of value: Any) -> String {
    let mirror = Mirror(reflecting: value)
    let type = String(reflecting: type(of: value))
    if mirror.displayStyle == .class { return "\(type)@\(ObjectIdentifier(value as AnyObject).hashValue)" }
    if mirror.children.isEmpty { return "\(type).\(value)" }
    return "\(type)(" + mirror.children.map { identity(of: $0.value) }.joined(separator: ",") + ")"
  }
}

/// What ran where: one entry per layer, problem and pass.
public final class ExecutionRecorder: Sendable {
  /// One operation of one layer.
  public struct Entry: Hashable, Sendable {
    /// The layer's object, where the convolution was called by one.
    public let layer: ObjectIdentifier?
    /// What was computed.
    public let operation: ConvOperation
    /// The engine and the lowerings above it, as in `winograd via groups`.
    public let executedBy: String
    /// The engine's variant, as in `winograd[tile=4x4]`.
    public let variant: String
    /// Whether the fallback ran it.
    public let isFallback: Bool
  }

  /// What an entry follows from; its texts take longer to make than to find them known.
  private struct Source: Hashable {
    let layer: ObjectIdentifier?
    let engine: Int
    let variant: String?
    let operation: ConvOperation
    let isFallback: Bool
  }
  private struct State {
    var entries: [Entry] = []
    var known: Set<Entry> = []
    var sources: Set<Source> = []
  }
  private let state = Mutex(State())

  /// Empty.
  public init() {}

  /// In order of first use.
  public var entries: [Entry] { state.withLock { $0.entries } }

  func add(
    _ plan: any ConvPlan, layer: AnyObject?, engine: ConvolutionEngine, variant: String?, isFallback: Bool
  ) {
    let layer = layer.map { ObjectIdentifier($0) }
    let source = Source(
      layer: layer, engine: engine.identity, variant: variant, operation: plan.operation,
      isFallback: isFallback)
    state.withLock { state in
      guard state.sources.insert(source).inserted else { return }
      let entry = Entry(
        layer: layer, operation: plan.operation, executedBy: plan.executedBy, variant: plan.variant,
        isFallback: isFallback)
      if state.known.insert(entry).inserted { state.entries.append(entry) }
    }
  }
}
