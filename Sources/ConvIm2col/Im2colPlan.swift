import ConvCore
import Synchronization

/// One operation as blocked matrix products. Three passes, each with the same frame: tasks claimed by workers, each worker with its
/// own column block; what a task computes and in which order it adds depends on the task only.
struct Im2colPlan: ConvPlan {
  let operation: ConvOperation
  let multiplier: any MatrixMultiplier
  let blocking: Im2colBlocking

  var problem: ConvProblem { operation.problem }
  var isIdentity: Bool { operation.isIdentity }
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
      let calls = problem.n * divideUp(problem.output.count, blocking.positions)
      roundings = blocking.positions + divideUp(calls, blocking.partials) - 1 + blocking.partials - 1
    }
    return .summation(depth: roundings, accumulator: operation.elementType)
  }

  var executedFLOPs: Double {
    guard operation.pass == .backwardData, !isIdentity else { return problem.directFLOPs }
    // Products of the positions that the slabs compute, and one addition per column element.
    let positions = slabs.reduce(0) { $0 + positionsReading(slab: $1).count }
    let products = problem.directFLOPs * Double(positions) / Double(problem.output.count)
    return products * (1 + 0.5 / Double(problem.kPerGroup))
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
    let frame = Frame<T>(
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

/// One execution: the operands with their type.
private struct Frame<T: ConvScalar> {
  let plan: Im2colPlan
  /// x or dx.
  let x: UnsafeMutablePointer<T>
  /// w or dw.
  let w: UnsafeMutablePointer<T>
  /// y or dy.
  let y: UnsafeMutablePointer<T>
  let bias: UnsafePointer<T>?
  let workspace: UnsafeMutableRawPointer?
  let pool: WorkerPool
  let problem: ConvProblem
  let isNCHW: Bool
  let isIdentity: Bool
  let depth: Int
  let columns: Columns

  init(
    plan: Im2colPlan, x: UnsafeMutablePointer<T>, w: UnsafeMutablePointer<T>, y: UnsafeMutablePointer<T>,
    bias: UnsafePointer<T>?, workspace: UnsafeMutableRawPointer?, pool: WorkerPool
  ) {
    self.plan = plan
    self.x = x
    self.w = w
    self.y = y
    self.bias = bias
    self.workspace = workspace
    self.pool = pool
    problem = plan.problem
    isNCHW = plan.isNCHW
    isIdentity = plan.isIdentity
    depth = plan.depth
    columns = Columns(problem: plan.problem, format: plan.operation.inputFormat)
  }

  // Matrices of one group. NCHW: x [C/g][H·W], y [K/g][P·Q]; NHWC: x [H·W][C], y [P·Q][K], columns of which are the group's.
  private var inputStride: Int { isNCHW ? problem.input.count : problem.c }
  private var outputStride: Int { isNCHW ? problem.output.count : problem.k }

  private func inputGroup(_ image: Int, _ group: Int) -> UnsafeMutablePointer<T> {
    x + image * problem.c * problem.input.count
      + group * problem.cPerGroup * (isNCHW ? problem.input.count : 1)
  }

  private func outputGroup(_ image: Int, _ group: Int) -> UnsafeMutablePointer<T> {
    y + image * problem.k * problem.output.count
      + group * problem.kPerGroup * (isNCHW ? problem.output.count : 1)
  }

  private func filterGroup(_ group: Int) -> UnsafeMutablePointer<T> { w + group * problem.kPerGroup * depth }

  /// Where position `position` of a group's output (or of an identity's input) begins.
  private func offset(_ position: Int, _ stride: Int) -> Int { isNCHW ? position : position * stride }

  /// Calls `body(task, column buffer)` for every task: each worker has one buffer and claims tasks until none is left.
  private func forEachTask(_ count: Int, _ body: (Int, UnsafeMutablePointer<T>?) -> Void) {
    let slotBytes = plan.blocking.slotBytes(T.elementType)
    let next = Atomic<Int>(0)
    pool.parallelFor(min(plan.blocking.slots, count)) { slot in
      let buffer = slotBytes == 0 ? nil : workspace.map { $0 + slot * slotBytes }
      let elements = buffer?.bindMemory(to: T.self, capacity: slotBytes / MemoryLayout<T>.stride)
      while true {
        let task = next.wrappingAdd(1, ordering: .relaxed).oldValue
        if task >= count { return }
        body(task, elements)
      }
    }
  }

  /// Builds `block` of `image`'s columns in `buffer`.
  private func build(
    _ image: UnsafePointer<T>, _ block: Columns.Block, _ buffer: UnsafeMutablePointer<T>?
  ) -> UnsafeMutablePointer<T> {
    guard let buffer else { preconditionFailure("a plan with columns was made without a column buffer") }
    columns.build(image, block, buffer)
    return buffer
  }

  // MARK: Forward

  /// y block = w · columns (NCHW) or columns · wᵀ (NHWC), summed over blocks of column rows.
  func forward() {
    let blocking = plan.blocking
    let count = problem.output.count
    let perUnit = divideUp(count, blocking.positions)
    forEachTask(problem.n * problem.groups * perUnit) { task, buffer in
      let unit = task / perUnit
      let (image, group) = (unit / problem.groups, unit % problem.groups)
      let first = task % perUnit * blocking.positions
      let positions = first..<min(first + blocking.positions, count)
      let input = UnsafePointer(inputGroup(image, group))
      let filter = UnsafePointer(filterGroup(group))
      let output = outputGroup(image, group) + offset(first, outputStride)
      var row = 0
      while row < depth {
        let rows = row..<min(row + blocking.rows, depth)
        let block = Columns.Block(rows: rows, positions: positions)
        let matrix =
          isIdentity ? input + offset(first, inputStride) : UnsafePointer(build(input, block, buffer))
        let accumulate = row > 0 || plan.operation.epilogue.accumulate
        if isNCHW {
          plan.multiplier.multiply(
            m: problem.kPerGroup, n: positions.count, k: rows.count, a: filter + row, lda: depth,
            transposeA: false, b: matrix, ldb: isIdentity ? inputStride : positions.count, transposeB: false,
            c: output, ldc: outputStride, accumulate: accumulate)
        } else {
          plan.multiplier.multiply(
            m: positions.count, n: problem.kPerGroup, k: rows.count, a: matrix,
            lda: isIdentity ? inputStride : rows.count, transposeA: false, b: filter + row, ldb: depth,
            transposeB: true, c: output, ldc: outputStride, accumulate: accumulate)
        }
        row = rows.upperBound
      }
      finish(output, group, positions.count)
    }
  }

  /// Bias and ReLU on one block of y.
  private func finish(_ output: UnsafeMutablePointer<T>, _ group: Int, _ positions: Int) {
    let relu = plan.operation.epilogue.relu
    let bias = plan.operation.epilogue.bias ? self.bias.map { $0 + group * problem.kPerGroup } : nil
    if bias == nil && !relu { return }
    let (rows, length) = isNCHW ? (problem.kPerGroup, positions) : (positions, problem.kPerGroup)
    for row in 0..<rows {
      let line = output + row * outputStride
      if let bias {
        if isNCHW {
          let value = bias[row]
          for i in 0..<length { line[i] += value }
        } else {
          for i in 0..<length { line[i] += bias[i] }
        }
      }
      // Written so that a NaN stays one.
      if relu { for i in 0..<length { line[i] = line[i] < 0 ? 0 : line[i] } }
    }
  }

  // MARK: Backward data

  /// dx: column gradients wᵀ · dy are scattered to the inputs of the task's channels and slab, which no other task touches.
  func backwardData() {
    if isIdentity { return backwardDataIdentity() }
    let blocking = plan.blocking
    let channelBlocks = blocks(of: problem.cPerGroup, by: blocking.channels)
    let slabs = plan.slabs
    let perUnit = channelBlocks.count * slabs.count
    forEachTask(problem.n * problem.groups * perUnit) { task, buffer in
      guard let buffer else { preconditionFailure("a plan with columns was made without a column buffer") }
      let unit = task / perUnit
      let (image, group) = (unit / problem.groups, unit % problem.groups)
      let channels = channelBlocks[task % perUnit / slabs.count]
      let slab = slabs[task % slabs.count]
      let window = plan.window(slab: slab)
      let input = inputGroup(image, group)
      if !plan.operation.epilogue.accumulate { clear(input, channels, window) }
      let output = UnsafePointer(outputGroup(image, group))
      let filter = UnsafePointer(filterGroup(group))
      let taps = problem.filter.count
      // Only NCHW cuts channels; there a channel's rows lie together.
      let allRows = isNCHW ? channels.lowerBound * taps..<channels.upperBound * taps : 0..<depth
      let reading = plan.positionsReading(slab: slab)
      var position = reading.lowerBound
      while position < reading.upperBound {
        let positions = position..<min(position + blocking.positions, reading.upperBound)
        let gradient = output + offset(position, outputStride)
        var row = allRows.lowerBound
        while row < allRows.upperBound {
          let rows = row..<min(row + blocking.rows, allRows.upperBound)
          if isNCHW {
            plan.multiplier.multiply(
              m: rows.count, n: positions.count, k: problem.kPerGroup, a: filter + row, lda: depth,
              transposeA: true, b: gradient, ldb: outputStride, transposeB: false, c: buffer,
              ldc: positions.count, accumulate: false)
          } else {
            plan.multiplier.multiply(
              m: positions.count, n: rows.count, k: problem.kPerGroup, a: gradient, lda: outputStride,
              transposeA: false, b: filter + row, ldb: depth, transposeB: false, c: buffer, ldc: rows.count,
              accumulate: false)
          }
          columns.scatter(
            UnsafePointer(buffer), Columns.Block(rows: rows, positions: positions), window, input)
          row = rows.upperBound
        }
        position = positions.upperBound
      }
    }
  }

  /// dx = wᵀ · dy where the columns are the image itself.
  private func backwardDataIdentity() {
    let blocking = plan.blocking
    let count = problem.output.count
    let perUnit = divideUp(count, blocking.positions)
    forEachTask(problem.n * problem.groups * perUnit) { task, _ in
      let unit = task / perUnit
      let (image, group) = (unit / problem.groups, unit % problem.groups)
      let first = task % perUnit * blocking.positions
      let positions = min(blocking.positions, count - first)
      let filter = UnsafePointer(filterGroup(group))
      let gradient = UnsafePointer(outputGroup(image, group)) + offset(first, outputStride)
      let result = inputGroup(image, group) + offset(first, inputStride)
      let accumulate = plan.operation.epilogue.accumulate
      if isNCHW {
        plan.multiplier.multiply(
          m: depth, n: positions, k: problem.kPerGroup, a: filter, lda: depth, transposeA: true, b: gradient,
          ldb: outputStride, transposeB: false, c: result, ldc: inputStride, accumulate: accumulate)
      } else {
        plan.multiplier.multiply(
          m: positions, n: depth, k: problem.kPerGroup, a: gradient, lda: outputStride, transposeA: false,
          b: filter, ldb: depth, transposeB: false, c: result, ldc: inputStride, accumulate: accumulate)
      }
    }
  }

  /// Zeros in the channels and the slab of one group's dx.
  private func clear(_ input: UnsafeMutablePointer<T>, _ channels: Range<Int>, _ window: Columns.Window) {
    let all = problem.input
    // The slab cuts the outermost axis only: its elements follow each other.
    let first = (window.lower.d * all.h + window.lower.h) * all.w + window.lower.w
    let end = ((window.upper.d - 1) * all.h + window.upper.h - 1) * all.w + window.upper.w
    if isNCHW {
      for channel in channels {
        (input + channel * all.count + first).update(repeating: 0, count: end - first)
      }
    } else {
      for position in first..<end {
        (input + position * problem.c).update(repeating: 0, count: problem.cPerGroup)
      }
    }
  }

  // MARK: Backward filter

  /// dw: each task sums one block of dw's columns over its share of the (image, position block) list, in order.
  func backwardFilter() {
    let blocking = plan.blocking
    let rowBlocks = blocks(of: depth, by: blocking.rows)
    let count = problem.output.count
    let perImage = divideUp(count, blocking.positions)
    let items = problem.n * perImage
    forEachTask(problem.groups * rowBlocks.count * blocking.partials) { task, buffer in
      let part = task % blocking.partials
      let rows = rowBlocks[task / blocking.partials % rowBlocks.count]
      let group = task / blocking.partials / rowBlocks.count
      let result = (part == 0 ? w : partial(part)) + group * problem.kPerGroup * depth + rows.lowerBound
      let share = items * part / blocking.partials..<items * (part + 1) / blocking.partials
      for item in share {
        let first = item % perImage * blocking.positions
        let positions = first..<min(first + blocking.positions, count)
        let input = UnsafePointer(inputGroup(item / perImage, group))
        let gradient = UnsafePointer(outputGroup(item / perImage, group)) + offset(first, outputStride)
        let block = Columns.Block(rows: rows, positions: positions)
        let matrix =
          isIdentity
          ? input + offset(first, inputStride) + (isNCHW ? rows.lowerBound * inputStride : rows.lowerBound)
          : UnsafePointer(build(input, block, buffer))
        let accumulate = item > share.lowerBound || (part == 0 && plan.operation.epilogue.accumulate)
        if isNCHW {
          plan.multiplier.multiply(
            m: problem.kPerGroup, n: rows.count, k: positions.count, a: gradient, lda: outputStride,
            transposeA: false, b: matrix, ldb: isIdentity ? inputStride : positions.count, transposeB: true,
            c: result, ldc: depth, accumulate: accumulate)
        } else {
          plan.multiplier.multiply(
            m: problem.kPerGroup, n: rows.count, k: positions.count, a: gradient, lda: outputStride,
            transposeA: true, b: matrix, ldb: isIdentity ? inputStride : rows.count, transposeB: false,
            c: result, ldc: depth, accumulate: accumulate)
        }
      }
    }
  }

  /// Partial sum `part`, 1 or more, behind the column buffers.
  private func partial(_ part: Int) -> UnsafeMutablePointer<T> {
    guard let workspace else {
      preconditionFailure("a plan with partial sums was executed without a workspace")
    }
    let start = workspace + plan.blocking.slots * plan.blocking.slotBytes(T.elementType)
    return start.assumingMemoryBound(to: T.self) + (part - 1) * problem.k * depth
  }

  /// dw += the partial sums, in order.
  func reducePartials() {
    let count = problem.k * depth
    let block = 4096
    pool.parallelFor(divideUp(count, block)) { task in
      let first = task * block
      let length = min(block, count - first)
      for part in 1..<plan.blocking.partials {
        let (from, to) = (partial(part) + first, w + first)
        for i in 0..<length { to[i] += from[i] }
      }
    }
  }
}
