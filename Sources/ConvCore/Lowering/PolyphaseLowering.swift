/// Stride u by polyphase: the taps of each residue mod u form a small dense filter on a subsampled image, and
/// y = Σ over residues. For engines that have the small filters but no strides.
struct PolyphaseLowering: Lowering, LoweredPlan {
  let operation: ConvOperation
  let innerOperations: [ConvOperation]
  private let phasesOfStride: [Phase]
  var inner: [any ConvPlan] = []

  var label: String { "stride by polyphase" }

  /// One residue of the stride.
  private struct Phase: Sendable {
    let rows: AxisSlice
    let columns: AxisSlice
    let tapRows: AxisSlice
    let tapColumns: AxisSlice
  }

  /// Phases at most: each is an operation with a plan of its own.
  private static let mostPhases = 1 << 12

  init?(_ operation: ConvOperation) {
    let pr = operation.problem
    guard pr.spatialRank == 2, pr.stride.h > 1 || pr.stride.w > 1, pr.dilation.h == 1,
      pr.dilation.w == 1, operation.isCanonicalFormat, operation.epilogue.isEmpty,
      min(pr.stride.h, pr.filter.h) * min(pr.stride.w, pr.filter.w) <= Self.mostPhases
    else { return nil }
    func slices(_ axis: Int) -> [(image: AxisSlice, taps: AxisSlice)] {
      let step = pr.stride[axis]
      return (0..<min(step, pr.filter[axis])).map { residue in
        let taps = (pr.filter[axis] - residue + step - 1) / step
        return (
          AxisSlice(
            start: residue - pr.padding.before[axis], step: step, count: pr.output[axis] + taps - 1),
          AxisSlice(start: residue, step: step, count: taps)
        )
      }
    }
    var phases: [Phase] = []
    var operations: [ConvOperation] = []
    for row in slices(1) {
      for column in slices(2) {
        guard
          let problem = try? ConvProblem(
            spatialRank: 2, n: pr.n, c: pr.c, k: pr.k, groups: pr.groups,
            input: Extent(h: row.image.count, w: column.image.count),
            filter: Extent(h: row.taps.count, w: column.taps.count))
        else { return nil }
        var phase = operation
        phase.problem = problem
        phase.epilogue.accumulate = operation.pass == .forward && !phases.isEmpty
        operations.append(phase)
        phases.append(
          Phase(rows: row.image, columns: column.image, tapRows: row.taps, tapColumns: column.taps))
      }
    }
    self.operation = operation
    innerOperations = operations
    phasesOfStride = phases
  }

  var scratchBytes: Int {
    ScratchAllocator.aligned(innerOperations.map(\.inputBytes).max()!)
      + ScratchAllocator.aligned(innerOperations.map(\.filterBytes).max()!)
  }

  /// Each phase's image and filter.
  var copying: ConvWork {
    let bytes = innerOperations.reduce(0) { $0 + $1.inputBytes + $1.filterBytes }
    var work = ConvWork([.calls: 8 * Double(innerOperations.count)])
    work.add(.gathered, Double(bytes), of: operation.operandBytes)
    return work
  }

  var errorModel: ErrorModel {
    let models = inner.map(\.errorModel)
    if case .summation = models[0] { return models[0].rescaled(to: operation) }
    return .polyphase(models)
  }

  var preparedBytes: Int { inner.reduce(0) { $0 + $1.preparedBytes } }

  func prepare(filter: UnsafeRawPointer, pool: WorkerPool) throws -> PreparedFilter {
    try requireFilterToRead()
    let filters = try zip(inner, phasesOfStride).map { plan, phase in
      let taps = try PooledBuffer(byteCount: plan.operation.filterBytes)
      gatherTaps(filter, phase, to: taps.baseAddress, pool)
      return try plan.prepare(filter: taps.baseAddress, pool: pool)
    }
    return PreparedFilter(signature: signature, buffers: [], inner: filters)
  }

  func execute(
    _ operands: ConvOperands, workspace: UnsafeMutableRawBufferPointer, pool: WorkerPool,
    phases: PhaseRecorder?
  ) throws {
    var scratch = try ScratchAllocator(workspace, needed: workspaceBytes)
    let prepared = try operands.preparedFilter?.innerFilters(of: self)
    guard let input = operands.input, let output = operands.output,
      operands.filter != nil || prepared != nil
    else { throw ConvError.operand("an operand is missing for \(operation)") }
    let pr = operation.problem
    let x = scratch.take(innerOperations.map(\.inputBytes).max()!)
    let w = scratch.take(innerOperations.map(\.filterBytes).max()!)
    let pass = operation.pass
    if pass == .backwardData {
      input.initializeMemory(as: UInt8.self, repeating: 0, count: operation.inputBytes)
    }
    for (index, phase) in phasesOfStride.enumerated() {
      let image = SubImage(
        height: pr.input.h, width: pr.input.w, rows: phase.rows, columns: phase.columns)
      var part = ConvOperands(input: x, filter: w, output: output)
      if pass != .backwardData {
        phases.measure("split phases") {
          image.gather(input, to: x, planes: pr.n * pr.c, elementBytes: elementBytes, pool: pool)
        }
      }
      if let prepared {
        part.preparedFilter = prepared[index]
      } else if pass != .backwardFilter {
        gatherTaps(operands.filter!, phase, to: w, pool)
      }
      try inner[index].execute(part, workspace: scratch.rest, pool: pool, phases: phases)
      switch pass {
      case .forward:
        break
      case .backwardData:
        phases.measure("join phases") {
          image.scatter(x, to: input, planes: pr.n * pr.c, elementBytes: elementBytes, pool: pool)
        }
      case .backwardFilter:
        taps(phase).scatter(
          w, to: operands.filter!, planes: pr.k * pr.cPerGroup, elementBytes: elementBytes, pool: pool)
      }
    }
  }

  private func taps(_ phase: Phase) -> SubImage {
    SubImage(
      height: operation.problem.filter.h, width: operation.problem.filter.w, rows: phase.tapRows,
      columns: phase.tapColumns)
  }

  private func gatherTaps(
    _ filter: UnsafeRawPointer, _ phase: Phase, to destination: UnsafeMutableRawPointer, _ pool: WorkerPool
  ) {
    let pr = operation.problem
    taps(phase).gather(
      filter, to: destination, planes: pr.k * pr.cPerGroup, elementBytes: elementBytes, pool: pool)
  }
}
