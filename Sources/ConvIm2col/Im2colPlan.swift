import ConvCore

/// One operation as blocked matrix products. Three passes, each with the same frame: tasks claimed by workers, each worker with its
/// own column block; what a task computes and in which order it adds depends on the task only.
struct Im2colPlan: ConvPlan {
  let operation: ConvOperation
  let multiplier: any MatrixMultiplier
  let blocking: Im2colBlocking

  var problem: ConvProblem { operation.problem }
  /// Whether the images take the place of columns.
  var readsImages: Bool { operation.readsImages(blocksOf: blocking.images) }
  var isNCHW: Bool { operation.inputFormat == .nchw }
  /// Column rows of one group.
  var depth: Int { problem.cPerGroup * problem.filter.count }

  private var slotBytes: Int { blocking.slotBytes(operation.elementType) }
  private var filterCount: Int { problem.k * depth }
  private var partialBytes: Int {
    blocking.partialBytes(filterCount * operation.elementType.byteCount)
  }

  var workspaceBytes: Int { partialBytes + blocking.slots * slotBytes }
  var variant: String { "im2col[gemm=\(multiplier.name)]" }
  var executedBy: String { "im2col" }
  var preparedBytes: Int {
    operation.pass == .backwardFilter ? 0 : filterCount * operation.elementType.byteCount
  }
  /// Sums that are cut into several calls grow with the length of one call and the number of calls, not with the product
  /// of both (P. Blanchard, N. J. Higham, T. Mary: *A class of fast and accurate summation algorithms*, SIAM J. Sci. Comput.
  /// 42, 2020, section 2). How the multiplier cuts one call is its own affair: it counts with its full length.
  var errorModel: ErrorModel {
    let roundings: Int
    switch operation.pass {
    case .forward: roundings = blocking.rows + divideUp(depth, blocking.rows) - 1
    case .backwardData: roundings = problem.summationDepth(.backwardData)
    case .backwardFilter:
      let calls = divideUp(problem.n, blocking.images) * divideUp(problem.output.count, blocking.positions)
      let length = blocking.images * blocking.positions
      roundings = length + divideUp(calls, blocking.partials) - 1 + blocking.partials - 1
    }
    return .summation(.unknown(depth: roundings), accumulator: operation.elementType)
  }

  var executedFLOPs: Double {
    guard operation.pass == .backwardData, !readsImages else { return problem.directFLOPs }
    // Products of the positions that the slabs compute, and one addition per column element.
    let positions = slabs.reduce(0) { $0 + positionsReading(slab: $1).count }
    let products = problem.directFLOPs * Double(positions) / Double(problem.output.count)
    return products * (1 + 0.5 / Double(problem.kPerGroup))
  }

  var work: ConvWork {
    let size = Double(operation.elementType.byteCount)
    let operands = operation.operandBytes
    let groups = Double(problem.groups)
    let calls =
      Double(
        divideUp(problem.n, blocking.images) * divideUp(problem.output.count, blocking.positions)
          * divideUp(depth, blocking.rows)) * groups
    let positions = Double(problem.n * problem.output.count)
    let columns = positions * groups * Double(depth) * size
    let filter = Double(filterCount) * size
    let isScattered = operation.pass == .backwardData
    var work = ConvWork()
    let isOwn = multiplier is KernelMatrixMultiplier
    // One call multiplies a filter's rows with a block's positions, in whole vectors along the side that lies together.
    let lanes = Double(InstructionSet.current.vectorBytes) / size
    let rows = Double(min(blocking.rows, depth))
    let (k, width) = (Double(problem.kPerGroup), Double(blocking.images * blocking.positions))
    let side = !isNCHW ? k : operation.pass == .backwardFilter ? rows : min(width, positions)
    work[isOwn ? .products : .libraryProducts] =
      executedFLOPs * (side / lanes).rounded(.up) * lanes / side
    work[isOwn ? .calls : .libraryCalls] = calls
    // The library packs both factors of every call.
    let packing: ConvWork.Access = isOwn ? .reordered : .packed
    let columnBlock = readsImages ? operands : Double(blocking.columnElements) * size
    switch operation.pass {
    case .forward:
      work.add(packing, calls * k * rows * size, of: filter)
      work.add(packing, calls * rows * width * size, of: columnBlock)
    case .backwardData:
      work.add(packing, calls * k * rows * size, of: filter)
      work.add(packing, calls * k * width * size, of: operands)
    case .backwardFilter:
      work.add(packing, calls * k * width * size, of: operands)
      work.add(packing, calls * rows * width * size, of: columnBlock)
      work.add(.moved, 2 * calls * k * rows * size, of: filter)
    }
    if !readsImages {
      let block = Double(blocking.columnElements) * size
      let isApart = isNCHW && problem.stride.w > 1
      let passes: Double = isScattered ? 3 : 2
      work.add(isApart ? .gathered : .moved, (isApart ? passes - 1 : passes) * columns, of: block)
      // NCHW copies rows of windows, NHWC the taps of a window's row.
      work[.runs] =
        isNCHW
        ? groups * Double(depth) * positions / Double(problem.output.w)
        : groups * positions * Double(problem.filter.count / (problem.dilation.w == 1 ? problem.filter.w : 1))
    }
    work.add(
      .moved,
      Double(problem.n) * size
        * (Double(problem.c * problem.input.count) + Double(problem.k * problem.output.count)), of: operands)
    if blocking.sideElements > 0 { work.add(.moved, 2 * positions * groups * k * size, of: operands) }
    return work
  }

  func prepare(filter: UnsafeRawPointer, pool: WorkerPool) throws -> PreparedFilter {
    try PreparedFilter.copy(of: filter, for: self)
  }

  func execute(
    _ operands: ConvOperands, workspace: UnsafeMutableRawBufferPointer, pool: WorkerPool,
    phases: PhaseRecorder?
  ) throws {
    guard workspace.count >= workspaceBytes else {
      throw ConvError.workspaceTooSmall(needed: workspaceBytes, found: workspace.count)
    }
    let bound = try operands.bound(for: operation, signature: signature)
    if operation.epilogue.bias && operands.bias == nil {
      throw ConvError.operand("no bias was given for \(operation)")
    }
    switch operation.elementType {
    case .float64: run(Double.self, bound, operands.bias, workspace, pool, phases)
    default: run(Float.self, bound, operands.bias, workspace, pool, phases)
    }
  }

  private func run<T: ConvScalar>(
    _: T.Type, _ bound: BoundOperands, _ bias: UnsafeRawPointer?, _ workspace: UnsafeMutableRawBufferPointer,
    _ pool: WorkerPool, _ phases: PhaseRecorder?
  ) {
    let frame = Im2colExecution<T>(
      plan: self, x: bound.input.assumingMemoryBound(to: T.self),
      w: bound.filter.assumingMemoryBound(to: T.self),
      y: bound.output.assumingMemoryBound(to: T.self), bias: bias?.assumingMemoryBound(to: T.self),
      workspace: workspace.baseAddress, pool: pool)
    switch operation.pass {
    case .forward: phases.measure("columns and products") { frame.forward() }
    case .backwardData: phases.measure("products and scatter") { frame.backwardData() }
    case .backwardFilter:
      phases.measure("columns and products") { frame.backwardFilter() }
      if blocking.partials > 1 { phases.measure("partial sums") { frame.reducePartials() } }
    }
  }

  // MARK: Slabs of the image (backwardData)

  /// The axis that slabs cut: the outermost one, so that a slab's positions are one range.
  private var slabAxis: Int { 3 - problem.spatialRank }

  /// Ranges of the image along the outermost axis, one per task.
  var slabs: [Range<Int>] { blocks(of: problem.input[slabAxis], by: blocking.slab) }

  /// Flattened output positions that read any input of the slab.
  func positionsReading(slab: Range<Int>) -> Range<Int> {
    let axis = slabAxis
    let before = problem.padding.before[axis]
    let reach = (problem.filter[axis] - 1) * problem.dilation[axis]
    let (stride, all) = (problem.stride[axis], problem.output[axis])
    let first = min(max(ceilDivide(slab.lowerBound + before - reach, stride), 0), all)
    let end = min(max(ceilDivide(slab.upperBound + before, stride), first), all)
    let inner = problem.output.count / all
    return first * inner..<end * inner
  }

  func window(slab: Range<Int>) -> Columns.Window {
    var window = Columns(problem: problem, format: operation.inputFormat).wholeImage
    window.lower[slabAxis] = slab.lowerBound
    window.upper[slabAxis] = slab.upperBound
    return window
  }
}

/// `0..<count` in steps of `size`; the last may be shorter.
func blocks(of count: Int, by size: Int) -> [Range<Int>] {
  stride(from: 0, to: count, by: size).map { $0..<min($0 + size, count) }
}
