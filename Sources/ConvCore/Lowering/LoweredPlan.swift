/// A plan that prepares memory, executes other plans, and puts their results where they belong.
protocol LoweredPlan: ConvPlan {
  /// "groups", "dilation", …
  var label: String { get }
  /// Plans of the inner operations. The first gives the variant.
  var inner: [any ConvPlan] { get set }
  /// Bytes that the lowering itself uses at the start of the workspace.
  var scratchBytes: Int { get }
  /// The plan's work, from the works of the inner plans.
  func work(_ inner: [ConvWork]) -> ConvWork
}

extension LoweredPlan {
  var workspaceBytes: Int { scratchBytes + (inner.map(\.workspaceBytes).max() ?? 0) }
  var variant: String { inner[0].variant }
  var executedBy: String {
    let by = inner[0].executedBy
    return by + (by.contains(" via ") ? ", " : " via ") + label
  }
  var errorModel: ErrorModel { inner[0].errorModel.rescaled(to: operation) }
  var executedFLOPs: Double { inner.reduce(0) { $0 + $1.executedFLOPs } }
  var work: ConvWork { work(inner.map(\.work)) }
  func work(_ inner: [ConvWork]) -> ConvWork { inner.reduce(copying, +) }
  /// What is copied to and from the lowering's scratch: all of it in and out, unless said otherwise.
  var copying: ConvWork {
    var work = ConvWork([.calls: 8])
    work.add(.reordered, 2 * Double(scratchBytes), of: operation.operandBytes + Double(scratchBytes))
    return work
  }
  var elementBytes: Int { operation.elementType.byteCount }

  /// Throws where there is no filter to prepare.
  func requireFilterToRead() throws {
    if operation.pass == .backwardFilter {
      throw ConvError.operand("backward-filter reads no filter: there is nothing to prepare")
    }
  }
}

extension ErrorModel {
  /// The same algorithm with the summation depth of `operation`, where the depth follows from the problem.
  func rescaled(to operation: ConvOperation) -> ErrorModel {
    switch self {
    case .summation(_, let accumulator):
      return .summation(
        .unknown(depth: operation.problem.summationDepth(operation.pass)), accumulator: accumulator)
    case .winograd, .fft, .polyphase:
      return self
    }
  }

  /// The same algorithm where `count` results are added to one.
  func summed(_ count: Int) -> ErrorModel {
    switch self {
    case .summation(.unknown(let depth), let accumulator):
      return .summation(.unknown(depth: depth * count), accumulator: accumulator)
    case .summation:
      return self
    case .winograd(let vertical, let horizontal, let depth):
      return .winograd(vertical: vertical, horizontal: horizontal, depth: depth * count)
    case .fft(let height, let width, let stepH, let stepW, let depth):
      return .fft(height: height, width: width, stepH: stepH, stepW: stepW, depth: depth * count)
    case .polyphase(let phases):
      return .polyphase(phases.map { $0.summed(count) })
    }
  }
}

extension LoweredPlan where Self: Lowering {
  func plan(_ inner: [any ConvPlan]) -> any ConvPlan {
    var plan = self
    plan.inner = inner
    return plan
  }
}

/// A lowered plan whose only inner plan reads the filter as it is.
protocol SameFilterPlan: LoweredPlan {}

extension SameFilterPlan {
  var preparedBytes: Int { inner[0].preparedBytes }

  func prepare(filter: UnsafeRawPointer, pool: WorkerPool) throws -> PreparedFilter {
    try requireFilterToRead()
    return PreparedFilter(
      signature: signature, buffers: [], inner: [try inner[0].prepare(filter: filter, pool: pool)])
  }
}

/// Hands out 64-byte aligned pieces of a workspace, front to back.
struct ScratchAllocator {
  private let workspace: UnsafeMutableRawBufferPointer
  private var used = 0

  /// Throws `ConvError.workspaceTooSmall` where the plan needs more than there is.
  init(_ workspace: UnsafeMutableRawBufferPointer, needed: Int) throws {
    guard workspace.count >= needed else {
      throw ConvError.workspaceTooSmall(needed: needed, found: workspace.count)
    }
    self.workspace = workspace
  }

  /// Bytes that a piece of `byteCount` takes.
  static func aligned(_ byteCount: Int) -> Int { (byteCount + 63) & ~63 }

  mutating func take(_ byteCount: Int) -> UnsafeMutableRawPointer {
    let piece = workspace.baseAddress! + used
    used += ScratchAllocator.aligned(byteCount)
    precondition(used <= workspace.count, "a lowering took more scratch than it declared")
    return piece
  }

  /// What is left, for the inner plans.
  var rest: UnsafeMutableRawBufferPointer { UnsafeMutableRawBufferPointer(rebasing: workspace[used...]) }
}

extension ConvOperation {
  /// Bytes of the pass's tensors.
  var inputBytes: Int { problem.inputShape.reduce(elementType.byteCount, *) }
  var filterBytes: Int { problem.filterShape.reduce(elementType.byteCount, *) }
  var outputBytes: Int { outputShape.reduce(elementType.byteCount, *) }
  /// Bytes of the tensor that the pass computes.
  var resultBytes: Int {
    switch pass {
    case .forward: outputBytes
    case .backwardData: inputBytes
    case .backwardFilter: filterBytes
    }
  }
}

extension ConvOperands {
  /// The tensor that `pass` computes.
  func result(of pass: ConvPass) -> UnsafeMutableRawPointer? {
    switch pass {
    case .forward: output
    case .backwardData: input
    case .backwardFilter: filter
    }
  }

  /// The same operands with another tensor as the result of `pass`.
  func replacingResult(of pass: ConvPass, by pointer: UnsafeMutableRawPointer) -> ConvOperands {
    var operands = self
    switch pass {
    case .forward: operands.output = pointer
    case .backwardData: operands.input = pointer
    case .backwardFilter: operands.filter = pointer
    }
    return operands
  }
}

/// Copies `count` runs of `byteCount` bytes between strided places.
func copyRuns(
  _ source: UnsafeRawPointer, stride sourceStride: Int, to destination: UnsafeMutableRawPointer,
  stride destinationStride: Int, byteCount: Int, count: Int, pool: WorkerPool
) {
  let perTask = max(1, 65536 / max(byteCount, 1))
  pool.parallelFor((count + perTask - 1) / perTask) { task in
    for run in task * perTask..<min(count, (task + 1) * perTask) {
      (destination + run * destinationStride).copyMemory(
        from: source + run * sourceStride, byteCount: byteCount)
    }
  }
}
