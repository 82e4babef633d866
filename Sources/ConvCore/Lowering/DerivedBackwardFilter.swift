/// backwardFilter from forward: dw[k, c] is the convolution of x (channels as batch, images as channels) with dy as the
/// filter, where stride and dilation exchange their parts.
struct DerivedBackwardFilter: Lowering, LoweredPlan {
  let operation: ConvOperation
  let innerOperation: ConvOperation
  private let crop: SubImage
  var inner: [any ConvPlan] = []

  var innerOperations: [ConvOperation] { [innerOperation] }
  var label: String { "backward filter from forward" }

  init?(_ operation: ConvOperation) {
    let pr = operation.problem
    // Groups are a loop before they come here.
    guard operation.pass == .backwardFilter, pr.spatialRank == 2, pr.groups == 1,
      operation.isCanonicalFormat, operation.epilogue.isEmpty
    else { return nil }
    var kept = Extent(w: 1), after = Extent(d: 0, h: 0, w: 0)
    for axis in 1...2 {
      // Just what R outputs with stride l and P taps with dilation u read: the rest of the image is cropped.
      let read = (pr.filter[axis] - 1) * pr.dilation[axis] + (pr.output[axis] - 1) * pr.stride[axis] + 1
      let available = pr.padding.before[axis] + pr.input[axis]
      kept[axis] = min(pr.input[axis], max(1, read - pr.padding.before[axis]))
      after[axis] = max(0, read - available)
    }
    guard
      let problem = try? ConvProblem(
        spatialRank: 2, n: pr.c, c: pr.n, k: pr.k, input: kept, filter: pr.output, stride: pr.dilation,
        padding: Padding(before: pr.padding.before, after: after), dilation: pr.stride),
      problem.output.h >= pr.filter.h, problem.output.w >= pr.filter.w
    else { return nil }
    crop = SubImage(
      height: pr.input.h, width: pr.input.w, rows: AxisSlice(start: 0, step: 1, count: kept.h),
      columns: AxisSlice(start: 0, step: 1, count: kept.w))
    self.operation = operation
    innerOperation = ConvOperation(.forward, problem, elementType: operation.elementType)
  }

  var scratchBytes: Int {
    ScratchAllocator.aligned(innerOperation.inputBytes) + ScratchAllocator.aligned(innerOperation.filterBytes)
      + ScratchAllocator.aligned(innerOperation.outputBytes)
  }

  func prepare(filter: UnsafeRawPointer, pool: WorkerPool) throws -> PreparedFilter {
    try requireFilterToRead()
    throw ConvError.operand("backward-filter reads no filter: there is nothing to prepare")
  }

  func execute(
    _ operands: ConvOperands, workspace: UnsafeMutableRawBufferPointer, pool: WorkerPool,
    phases: PhaseRecorder?
  ) throws {
    var scratch = try ScratchAllocator(workspace, needed: workspaceBytes)
    guard let input = operands.input, let output = operands.output, let filter = operands.filter else {
      throw ConvError.operand("an operand is missing for \(operation)")
    }
    let pr = operation.problem
    let x = scratch.take(innerOperation.inputBytes)
    let dy = scratch.take(innerOperation.filterBytes)
    let dw = scratch.take(innerOperation.outputBytes)
    phases.measure("exchange batch and channels") {
      let plane = pr.input.count * elementBytes
      let keptPlane = innerOperation.problem.input.count * elementBytes
      for n in 0..<pr.n {
        pool.parallelFor(pr.c) { c in
          crop.gather(
            input + (n * pr.c + c) * plane, to: x + (c * pr.n + n) * keptPlane, planes: 1,
            elementBytes: elementBytes, pool: pool)
        }
        copyRuns(
          output + n * pr.k * pr.output.count * elementBytes, stride: pr.output.count * elementBytes,
          to: dy + n * pr.output.count * elementBytes, stride: pr.n * pr.output.count * elementBytes,
          byteCount: pr.output.count * elementBytes, count: pr.k, pool: pool)
      }
    }
    try inner[0].execute(
      ConvOperands(input: x, filter: dy, output: dw), workspace: scratch.rest, pool: pool, phases: phases)
    phases.measure("exchange batch and channels") {
      let found = innerOperation.problem.output
      let taps = SubImage(
        height: found.h, width: found.w, rows: AxisSlice(start: 0, step: 1, count: pr.filter.h),
        columns: AxisSlice(start: 0, step: 1, count: pr.filter.w))
      pool.parallelFor(pr.k) { k in
        for c in 0..<pr.c {
          taps.gather(
            dw + (c * pr.k + k) * found.count * elementBytes,
            to: filter + (k * pr.c + c) * pr.filter.count * elementBytes, planes: 1,
            elementBytes: elementBytes, pool: pool)
        }
      }
    }
  }
}
