import Synchronization

/// Groups as a loop: each group is a convolution of its own. Many small groups run side by side, one per thread.
struct GroupLowering: Lowering, LoweredPlan {
  let operation: ConvOperation
  let innerOperation: ConvOperation
  /// Groups that are computed at the same time, each with its own scratch and workspace.
  let slots: Int
  var inner: [any ConvPlan] = []

  var innerOperations: [ConvOperation] { [innerOperation] }
  var label: String { "groups" }

  init?(_ operation: ConvOperation, threads: Int) {
    let pr = operation.problem
    guard pr.groups > 1, operation.isCanonicalFormat, operation.epilogue.isEmpty,
      let single = try? ConvProblem(
        spatialRank: pr.spatialRank, n: pr.n, c: pr.cPerGroup, k: pr.kPerGroup, input: pr.input,
        filter: pr.filter, stride: pr.stride, padding: pr.padding, dilation: pr.dilation)
    else { return nil }
    self.operation = operation
    var innerOperation = operation
    innerOperation.problem = single
    self.innerOperation = innerOperation
    sideBySide = pr.groups >= GroupLowering.mostSlots
    slots = sideBySide ? min(max(1, threads), GroupLowering.mostSlots) : 1
  }

  /// Limits are divided by this number, not by the threads, so that blockings do not follow the thread count.
  private static let mostSlots = 8
  private let sideBySide: Bool

  func innerOptions(_ options: PlanOptions) -> PlanOptions {
    var inner = options
    inner.workspaceLimit = max(0, options.workspaceLimit - scratchBytes)
    if sideBySide {
      inner.workspaceLimit /= GroupLowering.mostSlots
      inner.threads = 1
    }
    return inner
  }

  /// A single image's group is contiguous and needs no copy.
  private var copies: Bool { operation.problem.n > 1 }
  private var slotScratch: Int {
    copies
      ? ScratchAllocator.aligned(innerOperation.inputBytes)
        + ScratchAllocator.aligned(innerOperation.outputBytes)
      : 0
  }
  var scratchBytes: Int { (sideBySide ? GroupLowering.mostSlots : 1) * slotScratch }
  var workspaceBytes: Int {
    slots * (slotScratch + (inner.isEmpty ? 0 : ScratchAllocator.aligned(inner[0].workspaceBytes)))
  }
  var executedFLOPs: Double { Double(operation.problem.groups) * inner[0].executedFLOPs }
  func work(_ inner: [ConvWork]) -> ConvWork { Double(operation.problem.groups) * (inner[0] + copying) }
  /// One group's.
  var copying: ConvWork {
    var work = ConvWork([.calls: 8])
    work.add(.moved, 2 * Double(slotScratch), of: operation.operandBytes)
    return work
  }
  var preparedBytes: Int { operation.problem.groups * inner[0].preparedBytes }

  func prepare(filter: UnsafeRawPointer, pool: WorkerPool) throws -> PreparedFilter {
    try requireFilterToRead()
    let filters = try (0..<operation.problem.groups).map {
      try inner[0].prepare(filter: filter + $0 * innerOperation.filterBytes, pool: pool)
    }
    return PreparedFilter(signature: signature, buffers: [], inner: filters)
  }

  func execute(
    _ operands: ConvOperands, workspace: UnsafeMutableRawBufferPointer, pool: WorkerPool,
    phases: PhaseRecorder?
  ) throws {
    guard workspace.count >= workspaceBytes else {
      throw ConvError.workspaceTooSmall(needed: workspaceBytes, found: workspace.count)
    }
    let prepared = try operands.preparedFilter?.innerFilters(of: self)
    let groups = operation.problem.groups
    if !sideBySide {
      for group in 0..<groups {
        try run(group, operands, prepared, workspace, pool, phases)
      }
      return
    }
    // Inside the loop the pool is busy, so that each group runs on one thread.
    let failure = Mutex<(any Error)?>(nil)
    let share = workspaceBytes / slots
    phases.measure("groups") {
      pool.parallelFor(slots) { slot in
        let own = UnsafeMutableRawBufferPointer(rebasing: workspace[slot * share..<(slot + 1) * share])
        do {
          for group in stride(from: slot, to: groups, by: slots) {
            try run(group, operands, prepared, own, pool, nil)
          }
        } catch {
          failure.withLock { $0 = $0 ?? error }
        }
      }
    }
    if let error = failure.withLock({ $0 }) { throw error }
  }

  private func run(
    _ group: Int, _ operands: ConvOperands, _ prepared: [PreparedFilter]?,
    _ workspace: UnsafeMutableRawBufferPointer, _ pool: WorkerPool, _ phases: PhaseRecorder?
  ) throws {
    var scratch = try ScratchAllocator(workspace, needed: slotScratch + inner[0].workspaceBytes)
    let pr = operation.problem
    guard let input = operands.input, let output = operands.output,
      operands.filter != nil || prepared != nil
    else { throw ConvError.operand("an operand is missing for \(operation)") }
    var part = ConvOperands()
    part.filter = operands.filter.map { $0 + group * innerOperation.filterBytes }
    part.preparedFilter = prepared?[group]
    let inputRun = innerOperation.inputBytes / pr.n
    let outputRun = innerOperation.outputBytes / pr.n
    if !copies {
      part.input = input + group * inputRun
      part.output = output + group * outputRun
      return try inner[0].execute(part, workspace: scratch.rest, pool: pool, phases: phases)
    }
    let x = scratch.take(innerOperation.inputBytes)
    let y = scratch.take(innerOperation.outputBytes)
    part.input = x
    part.output = y
    let inputStride = inputRun * pr.groups
    let outputStride = outputRun * pr.groups
    if operation.pass != .backwardData {
      copyRuns(
        input + group * inputRun, stride: inputStride, to: x, stride: inputRun, byteCount: inputRun,
        count: pr.n, pool: pool)
    }
    if operation.pass != .forward {
      copyRuns(
        output + group * outputRun, stride: outputStride, to: y, stride: outputRun,
        byteCount: outputRun, count: pr.n, pool: pool)
    }
    try inner[0].execute(part, workspace: scratch.rest, pool: pool, phases: phases)
    switch operation.pass {
    case .forward:
      copyRuns(
        y, stride: outputRun, to: output + group * outputRun, stride: outputStride,
        byteCount: outputRun, count: pr.n, pool: pool)
    case .backwardData:
      copyRuns(
        x, stride: inputRun, to: input + group * inputRun, stride: inputStride, byteCount: inputRun,
        count: pr.n, pool: pool)
    case .backwardFilter:
      break
    }
  }
}
