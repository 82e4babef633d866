/// The memory that an execution reads and writes: dense, in the operation's formats, not overlapping.
///
/// Which are read and which are written follows from the pass:
///
/// | pass           | reads                          | writes                           |
/// |----------------|--------------------------------|----------------------------------|
/// | forward        | input, filter, bias            | output, argmax                   |
/// | backwardData   | output (dy), filter            | input (dx)                       |
/// | backwardFilter | input, output (dy)             | filter (dw), biasGradient (db)   |
public struct ConvOperands {
  /// x or dx.
  public var input: UnsafeMutableRawPointer?
  /// w or dw; nil where `preparedFilter` is given.
  public var filter: UnsafeMutableRawPointer?
  /// y or dy.
  public var output: UnsafeMutableRawPointer?
  /// bias[K].
  public var bias: UnsafeRawPointer?
  /// db[K].
  public var biasGradient: UnsafeMutableRawPointer?
  /// One byte per pooled output.
  public var argmax: UnsafeMutablePointer<UInt8>?
  /// The filter as `ConvPlan.prepare` returned it.
  public var preparedFilter: PreparedFilter?

  /// The operands that the pass needs.
  public init(
    input: UnsafeMutableRawPointer? = nil, filter: UnsafeMutableRawPointer? = nil,
    output: UnsafeMutableRawPointer? = nil, bias: UnsafeRawPointer? = nil,
    biasGradient: UnsafeMutableRawPointer? = nil, argmax: UnsafeMutablePointer<UInt8>? = nil,
    preparedFilter: PreparedFilter? = nil
  ) {
    self.input = input
    self.filter = filter
    self.output = output
    self.bias = bias
    self.biasGradient = biasGradient
    self.argmax = argmax
    self.preparedFilter = preparedFilter
  }
}

/// A filter in a plan's own form (transformed, packed). Usable with the plan that made it, until the weights change.
public struct PreparedFilter: Sendable {
  /// `ConvPlan.signature` of the plan that made it.
  public let signature: String
  /// `Tensor.revision` of the weights it was made from; nil when it was made from raw memory.
  public var sourceRevision: UInt64?
  /// The plan's own data, one or more buffers.
  public let buffers: [PooledBuffer]
  /// Prepared filters of inner plans, for lowered operations.
  public let inner: [PreparedFilter]

  /// Made by plans only.
  public init(signature: String, buffers: [PooledBuffer], inner: [PreparedFilter] = []) {
    self.signature = signature
    self.buffers = buffers
    self.inner = inner
  }
}

/// How one operation will be executed: shapes only, no data. Re-entrant: several threads may execute one plan at once,
/// each with its own workspace.
///
/// ## Values
///
/// NaN and infinities are values like others: a result that has one in a term of its sum is not finite. Beyond that
///
/// - the padding is zeros, and an engine may multiply by them or leave them out: where a non-finite element of the filter (for
///   backwardFilter of dy) meets the padding only, a result may be NaN, or what the other terms make of it;
/// - engines that add up products as they are (`ErrorModel.summation`) leave all other results as they are without it;
/// - engines that transform tiles may make other results non-finite too: `.winograd` those of a tile (of dx, of dw) that has the element
///   in its window, `.fft` those of the same image or filter, depth and channels; both, where it is in the filter (for backwardFilter in
///   dy), all results of that filter's channel (for backwardData of its pair of channels).
///
/// Finite operands give finite results as long as no sum of products overflows; transforms overflow earlier. How much earlier follows
/// from the error model too (`FiniteRange` in the harness).
public protocol ConvPlan: Sendable {
  /// What the plan computes.
  var operation: ConvOperation { get }
  /// Bytes of workspace that `execute` needs, 64-byte aligned. Depends on `PlanOptions.threads` at most.
  var workspaceBytes: Int { get }
  /// Bytes that `prepare(filter:)` holds; 0 where there is nothing to prepare.
  var preparedBytes: Int { get }
  /// FLOPs that the algorithm really does, transforms included.
  var executedFLOPs: Double { get }
  /// What the algorithm does, by kinds of work that have a price: predictions of time come from it.
  var work: ConvWork { get }
  /// The engine's choice in its own words, as in `winograd[tile=4x4]`.
  var variant: String { get }
  /// The engine and the lowerings above it, as in `winograd` or `winograd via groups`.
  var executedBy: String { get }
  /// What the harness derives tolerances from.
  var errorModel: ErrorModel { get }
  /// Transforms a filter once for many executions. `filter` is in the operation's filter format.
  ///
  /// - Throws: `ConvError.operand` for backwardFilter, which has no filter to read; `MemoryError`.
  func prepare(filter: UnsafeRawPointer, pool: WorkerPool) throws -> PreparedFilter
  /// Computes. Overwrites all of its result (or adds to it, where the epilogue says `accumulate`).
  ///
  /// The workspace has at least `workspaceBytes` and may hold anything. `pool` does not influence the result.
  func execute(
    _ operands: ConvOperands, workspace: UnsafeMutableRawBufferPointer, pool: WorkerPool,
    phases: PhaseRecorder?) throws
}

extension ConvPlan {
  /// Identifies plans whose prepared filters may be exchanged.
  public var signature: String { "\(executedBy) \(variant) \(operation)" }

  /// Engines that say no more: matrix products by a library.
  public var work: ConvWork { ConvWork([.libraryProducts: executedFLOPs]) }

  /// Plans without anything to prepare keep a copy of the filter.
  public var preparedBytes: Int { 0 }
}
