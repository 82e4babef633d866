import ConvCore
import Synchronization

/// One execution: the operands with their type.
struct Im2colExecution<T: ConvScalar> {
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
  let readsImages: Bool
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
    readsImages = plan.readsImages
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

  /// A worker's own memory.
  private struct Buffers {
    let columns: UnsafeMutablePointer<T>?
    /// y or dy of several NCHW images, side by side.
    let side: UnsafeMutablePointer<T>?
  }

  /// A matrix in row-major order.
  private struct Matrix {
    let start: UnsafeMutablePointer<T>
    let stride: Int
  }

  /// What one matrix call covers: some output positions of each of some images, of one group.
  private struct Block {
    let images: Range<Int>
    let group: Int
    let positions: Range<Int>

    var width: Int { images.count * positions.count }
  }

  /// Calls `body(task, buffers)` for every task: each worker has its own buffers and claims tasks until none is left.
  private func forEachTask(_ count: Int, _ body: (Int, Buffers) -> Void) {
    let blocking = plan.blocking
    let (slotBytes, columnBytes) = (blocking.slotBytes(T.elementType), blocking.columnBytes(T.elementType))
    let next = Atomic<Int>(0)
    pool.parallelFor(min(blocking.slots, count)) { slot in
      let own = workspace.map { $0 + slot * slotBytes }
      let buffers = Buffers(
        columns: columnBytes == 0
          ? nil : own?.bindMemory(to: T.self, capacity: columnBytes / MemoryLayout<T>.stride),
        side: blocking.sideElements == 0
          ? nil : own.map { ($0 + columnBytes).bindMemory(to: T.self, capacity: blocking.sideElements) })
      while true {
        let task = next.wrappingAdd(1, ordering: .relaxed).oldValue
        if task >= count { return }
        body(task, buffers)
      }
    }
  }

  private var imageBlocks: [Range<Int>] { blocks(of: problem.n, by: plan.blocking.images) }

  /// The column matrix of `rows` [rows][width] (NCHW) or [width][rows] (NHWC): built, or the images themselves.
  private func columnMatrix(_ block: Block, _ rows: Range<Int>, _ buffers: Buffers) -> Matrix {
    if readsImages {
      let image = inputGroup(block.images.lowerBound, block.group)
      return Matrix(
        start: image + offset(block.positions.lowerBound, inputStride)
          + (isNCHW ? rows.lowerBound * inputStride : rows.lowerBound),
        stride: inputStride)
    }
    guard let buffer = buffers.columns else {
      preconditionFailure("a plan with columns was made without a column buffer")
    }
    let part = columnBlock(block, rows)
    for (index, image) in block.images.enumerated() {
      columns.build(
        UnsafePointer(inputGroup(image, block.group)), part, buffer + index * step(block, rows))
    }
    return Matrix(start: buffer, stride: part.stride)
  }

  /// One image's part of the columns of several.
  private func columnBlock(_ block: Block, _ rows: Range<Int>) -> Columns.Block {
    Columns.Block(rows: rows, positions: block.positions, stride: isNCHW ? block.width : rows.count)
  }

  /// From one image's part of the columns to the next.
  private func step(_ block: Block, _ rows: Range<Int>) -> Int {
    block.positions.count * (isNCHW ? 1 : rows.count)
  }

  /// Whether the outputs of a block lie apart, so that its matrix is a copy.
  private func isApart(_ block: Block) -> Bool { isNCHW && block.images.count > 1 }

  /// Where y or dy of a block is, or its copy: [K/g][width] (NCHW) or [width][K/g] (NHWC).
  private func outputMatrix(_ block: Block, _ buffers: Buffers) -> Matrix {
    guard isApart(block) else {
      let image = outputGroup(block.images.lowerBound, block.group)
      return Matrix(start: image + offset(block.positions.lowerBound, outputStride), stride: outputStride)
    }
    guard let side = buffers.side else {
      preconditionFailure("a plan with blocks of several images was made without a buffer for their outputs")
    }
    return Matrix(start: side, stride: block.width)
  }

  /// Copies the outputs of a block of several images from (`inward`) or to the images.
  private func copyOutputs(_ block: Block, _ matrix: Matrix, inward: Bool) {
    let length = block.positions.count
    for (index, image) in block.images.enumerated() {
      let output = outputGroup(image, block.group) + block.positions.lowerBound
      for k in 0..<problem.kPerGroup {
        let (inside, outside) = (
          matrix.start + k * matrix.stride + index * length, output + k * outputStride
        )
        if inward {
          inside.update(from: outside, count: length)
        } else {
          outside.update(from: inside, count: length)
        }
      }
    }
  }

  // MARK: Forward

  /// y block = w · columns (NCHW) or columns · wᵀ (NHWC), summed over blocks of column rows.
  func forward() {
    let rowBlocks = blocks(of: depth, by: plan.blocking.rows)
    let epilogue = plan.operation.epilogue
    forEachBlock { block, buffers in
      let filter = UnsafePointer(filterGroup(block.group))
      let output = outputMatrix(block, buffers)
      if isApart(block) && epilogue.accumulate { copyOutputs(block, output, inward: true) }
      for rows in rowBlocks {
        let matrix = columnMatrix(block, rows, buffers)
        let accumulate = rows.lowerBound > 0 || epilogue.accumulate
        if isNCHW {
          plan.multiplier.multiply(
            m: problem.kPerGroup, n: block.width, k: rows.count, a: filter + rows.lowerBound, lda: depth,
            transposeA: false, b: UnsafePointer(matrix.start), ldb: matrix.stride, transposeB: false,
            c: output.start, ldc: output.stride, accumulate: accumulate)
        } else {
          plan.multiplier.multiply(
            m: block.width, n: problem.kPerGroup, k: rows.count, a: UnsafePointer(matrix.start),
            lda: matrix.stride, transposeA: false, b: filter + rows.lowerBound, ldb: depth, transposeB: true,
            c: output.start, ldc: output.stride, accumulate: accumulate)
        }
      }
      finish(output, block)
      if isApart(block) { copyOutputs(block, output, inward: false) }
    }
  }

  /// Tasks that cut positions and images alike: each has one block.
  private func forEachBlock(_ body: (Block, Buffers) -> Void) {
    let imageBlocks = self.imageBlocks
    let positionBlocks = blocks(of: problem.output.count, by: plan.blocking.positions)
    let perImages = problem.groups * positionBlocks.count
    forEachTask(imageBlocks.count * perImages) { task, buffers in
      body(
        Block(
          images: imageBlocks[task / perImages], group: task % perImages / positionBlocks.count,
          positions: positionBlocks[task % positionBlocks.count]), buffers)
    }
  }

  /// Bias and ReLU on one block of y.
  private func finish(_ output: Matrix, _ block: Block) {
    let relu = plan.operation.epilogue.relu
    let bias = plan.operation.epilogue.bias ? self.bias.map { $0 + block.group * problem.kPerGroup } : nil
    if bias == nil && !relu { return }
    let (rows, length) = isNCHW ? (problem.kPerGroup, block.width) : (block.width, problem.kPerGroup)
    for row in 0..<rows {
      let line = output.start + row * output.stride
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
    if readsImages { return backwardDataInPlace() }
    let blocking = plan.blocking
    let imageBlocks = self.imageBlocks
    let channelBlocks = blocks(of: problem.cPerGroup, by: blocking.channels)
    let slabs = plan.slabs
    let perUnit = channelBlocks.count * slabs.count
    forEachTask(imageBlocks.count * problem.groups * perUnit) { task, buffers in
      guard let buffer = buffers.columns else {
        preconditionFailure("a plan with columns was made without a column buffer")
      }
      let unit = task / perUnit
      let (images, group) = (imageBlocks[unit / problem.groups], unit % problem.groups)
      let channels = channelBlocks[task % perUnit / slabs.count]
      let slab = slabs[task % slabs.count]
      let window = plan.window(slab: slab)
      let overwrites = !plan.operation.epilogue.accumulate
      let reading = readingPositions(images, slab)
      // In NCHW the first columns clear what they are added to, channel by channel, while it is in the cache.
      if overwrites && (!isNCHW || reading.isEmpty) {
        for image in images { clear(inputGroup(image, group), channels, window) }
      }
      let filter = UnsafePointer(filterGroup(group))
      let taps = problem.filter.count
      // Only NCHW cuts channels; there a channel's rows lie together.
      let allRows = isNCHW ? channels.lowerBound * taps..<channels.upperBound * taps : 0..<depth
      var position = reading.lowerBound
      while position < reading.upperBound {
        let positions = position..<min(position + blocking.positions, reading.upperBound)
        let block = Block(images: images, group: group, positions: positions)
        let gradient = outputMatrix(block, buffers)
        if isApart(block) { copyOutputs(block, gradient, inward: true) }
        var row = allRows.lowerBound
        while row < allRows.upperBound {
          let rows = row..<min(row + blocking.rows, allRows.upperBound)
          if isNCHW {
            plan.multiplier.multiply(
              m: rows.count, n: block.width, k: problem.kPerGroup, a: filter + row, lda: depth,
              transposeA: true, b: UnsafePointer(gradient.start), ldb: gradient.stride, transposeB: false,
              c: buffer, ldc: block.width, accumulate: false)
          } else {
            plan.multiplier.multiply(
              m: block.width, n: rows.count, k: problem.kPerGroup, a: UnsafePointer(gradient.start),
              lda: gradient.stride, transposeA: false, b: filter + row, ldb: depth, transposeB: false,
              c: buffer, ldc: rows.count, accumulate: false)
          }
          for (index, image) in images.enumerated() {
            columns.scatter(
              UnsafePointer(buffer + index * step(block, rows)), columnBlock(block, rows), window,
              clearing: overwrites && position == reading.lowerBound, inputGroup(image, group))
          }
          row = rows.upperBound
        }
        position = positions.upperBound
      }
    }
  }

  /// dx = wᵀ · dy where the images take the place of columns.
  private func backwardDataInPlace() {
    forEachBlock { block, buffers in
      let filter = UnsafePointer(filterGroup(block.group))
      let gradient = outputMatrix(block, buffers)
      let result = columnMatrix(block, 0..<depth, buffers)
      let accumulate = plan.operation.epilogue.accumulate
      if isNCHW {
        plan.multiplier.multiply(
          m: depth, n: block.width, k: problem.kPerGroup, a: filter, lda: depth, transposeA: true,
          b: UnsafePointer(gradient.start), ldb: gradient.stride, transposeB: false, c: result.start,
          ldc: result.stride, accumulate: accumulate)
      } else {
        plan.multiplier.multiply(
          m: block.width, n: depth, k: problem.kPerGroup, a: UnsafePointer(gradient.start),
          lda: gradient.stride, transposeA: false, b: filter, ldb: depth, transposeB: false, c: result.start,
          ldc: result.stride, accumulate: accumulate)
      }
    }
  }

  /// The positions that a task of backwardData goes through: a block of several images has all of them.
  private func readingPositions(_ images: Range<Int>, _ slab: Range<Int>) -> Range<Int> {
    images.count > 1 ? 0..<problem.output.count : plan.positionsReading(slab: slab)
  }

  /// Zeros in the channels and the slab of one group's dx.
  private func clear(_ input: UnsafeMutablePointer<T>, _ channels: Range<Int>, _ window: Columns.Window) {
    let inputs = columns.inputs(of: window)
    if isNCHW {
      for channel in channels {
        (input + channel * problem.input.count + inputs.lowerBound).update(repeating: 0, count: inputs.count)
      }
    } else {
      for position in inputs {
        (input + position * problem.c).update(repeating: 0, count: problem.cPerGroup)
      }
    }
  }

  // MARK: Backward filter

  /// dw: each task sums one block of dw's columns over its share of the (images, positions) list, in order.
  func backwardFilter() {
    let blocking = plan.blocking
    let rowBlocks = blocks(of: depth, by: blocking.rows)
    let imageBlocks = self.imageBlocks
    let positionBlocks = blocks(of: problem.output.count, by: blocking.positions)
    let items = imageBlocks.count * positionBlocks.count
    forEachTask(problem.groups * rowBlocks.count * blocking.partials) { task, buffers in
      let part = task % blocking.partials
      let rows = rowBlocks[task / blocking.partials % rowBlocks.count]
      let group = task / blocking.partials / rowBlocks.count
      let result = (part == 0 ? w : partial(part)) + group * problem.kPerGroup * depth + rows.lowerBound
      let share = items * part / blocking.partials..<items * (part + 1) / blocking.partials
      for item in share {
        let block = Block(
          images: imageBlocks[item / positionBlocks.count], group: group,
          positions: positionBlocks[item % positionBlocks.count])
        let gradient = outputMatrix(block, buffers)
        if isApart(block) { copyOutputs(block, gradient, inward: true) }
        let matrix = columnMatrix(block, rows, buffers)
        let accumulate = item > share.lowerBound || (part == 0 && plan.operation.epilogue.accumulate)
        if isNCHW {
          plan.multiplier.multiply(
            m: problem.kPerGroup, n: rows.count, k: block.width, a: UnsafePointer(gradient.start),
            lda: gradient.stride, transposeA: false, b: UnsafePointer(matrix.start), ldb: matrix.stride,
            transposeB: true, c: result, ldc: depth, accumulate: accumulate)
        } else {
          plan.multiplier.multiply(
            m: problem.kPerGroup, n: rows.count, k: block.width, a: UnsafePointer(gradient.start),
            lda: gradient.stride, transposeA: true, b: UnsafePointer(matrix.start), ldb: matrix.stride,
            transposeB: false, c: result, ldc: depth, accumulate: accumulate)
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
