/// backwardData from forward at stride 1: dx = dy ∗ w', where w' is w with its taps reversed and K and C exchanged,
/// padded by l·(R − 1) − padding. Where that would be negative, dy is cropped instead.
struct DerivedBackwardData: Lowering, LoweredPlan {
  let operation: ConvOperation
  let innerOperation: ConvOperation
  private let crop: SubImage
  var inner: [any ConvPlan] = []

  var innerOperations: [ConvOperation] { [innerOperation] }
  var label: String { "backward data from forward" }

  init?(_ operation: ConvOperation) {
    let pr = operation.problem
    guard operation.pass == .backwardData, pr.spatialRank == 2, pr.stride.h == 1, pr.stride.w == 1,
      operation.isCanonicalFormat, operation.epilogue.isEmpty
    else { return nil }
    var before = Extent(d: 0, h: 0, w: 0), after = before, kept = Extent(w: 1)
    var slices: [AxisSlice] = []
    for axis in 1...2 {
      let reach = (pr.filter[axis] - 1) * pr.dilation[axis]
      let first = reach - pr.padding.before[axis]
      let last = reach - pr.padding.after[axis]
      before[axis] = max(0, first)
      after[axis] = max(0, last)
      kept[axis] = pr.output[axis] + min(0, first) + min(0, last)
      slices.append(AxisSlice(start: -min(0, first), step: 1, count: kept[axis]))
    }
    guard
      let problem = try? ConvProblem(
        spatialRank: 2, n: pr.n, c: pr.k, k: pr.c, groups: pr.groups, input: kept, filter: pr.filter,
        padding: Padding(before: before, after: after), dilation: pr.dilation)
    else { return nil }
    crop = SubImage(height: pr.output.h, width: pr.output.w, rows: slices[0], columns: slices[1])
    self.operation = operation
    innerOperation = ConvOperation(.forward, problem, elementType: operation.elementType)
  }

  private var crops: Bool { innerOperation.inputBytes != operation.outputBytes }
  var scratchBytes: Int {
    ScratchAllocator.aligned(operation.filterBytes)
      + (crops ? ScratchAllocator.aligned(innerOperation.inputBytes) : 0)
  }
  var preparedBytes: Int { inner[0].preparedBytes }

  func prepare(filter: UnsafeRawPointer, pool: WorkerPool) throws -> PreparedFilter {
    let reversed = try PooledBuffer(byteCount: operation.filterBytes)
    reverse(filter, to: reversed.baseAddress, pool)
    return PreparedFilter(
      signature: signature, buffers: [],
      inner: [try inner[0].prepare(filter: reversed.baseAddress, pool: pool)])
  }

  func execute(
    _ operands: ConvOperands, workspace: UnsafeMutableRawBufferPointer, pool: WorkerPool,
    phases: PhaseRecorder?
  ) throws {
    var scratch = try ScratchAllocator(workspace, needed: workspaceBytes)
    let unwrapped = try operands.unwrappingPrepared(for: self)
    guard let input = operands.input, let output = operands.output,
      operands.filter != nil || unwrapped.preparedFilter != nil
    else { throw ConvError.operand("an operand is missing for \(operation)") }
    let w = scratch.take(operation.filterBytes)
    var forward = ConvOperands(
      input: output, filter: w, output: input, preparedFilter: unwrapped.preparedFilter)
    phases.measure("reverse filter") {
      if unwrapped.preparedFilter == nil { reverse(operands.filter!, to: w, pool) }
      if crops {
        let kept = scratch.take(innerOperation.inputBytes)
        let pr = operation.problem
        crop.gather(output, to: kept, planes: pr.n * pr.k, elementBytes: elementBytes, pool: pool)
        forward.input = kept
      }
    }
    try inner[0].execute(forward, workspace: scratch.rest, pool: pool, phases: phases)
  }

  /// w'[γ·C/g + c, k, R−1−r, S−1−s] = w[γ·K/g + k, c, r, s] in each group γ.
  private func reverse(_ filter: UnsafeRawPointer, to target: UnsafeMutableRawPointer, _ pool: WorkerPool) {
    let pr = operation.problem
    if elementBytes == 8 {
      reverseTaps(
        filter.assumingMemoryBound(to: UInt64.self), target.assumingMemoryBound(to: UInt64.self), pr, pool)
    } else {
      reverseTaps(
        filter.assumingMemoryBound(to: UInt32.self), target.assumingMemoryBound(to: UInt32.self), pr, pool)
    }
  }
}

private func reverseTaps<Word: BitwiseCopyable>(
  _ filter: UnsafePointer<Word>, _ reversed: UnsafeMutablePointer<Word>, _ pr: ConvProblem,
  _ pool: WorkerPool
) {
  let taps = pr.filter.count
  pool.parallelFor(pr.c) { task in
    let (group, c) = (task / pr.cPerGroup, task % pr.cPerGroup)
    for k in 0..<pr.kPerGroup {
      let from = filter + ((group * pr.kPerGroup + k) * pr.cPerGroup + c) * taps
      let to = reversed + (task * pr.kPerGroup + k) * taps
      for tap in 0..<taps { to[taps - 1 - tap] = from[tap] }
    }
  }
}
