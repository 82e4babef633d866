internal import CConvKernels
import ConvCore

/// Backward filter as implicit matrix products: the rows of the left operand are windows of the image, read in place or from a padded
/// copy of a few rows, the right operand is dy in panels, and the result is dw as [R·S·C/g][K/g].
struct DenseFilterPlan<T: DirectScalar>: ConvPlan {
  let operation: ConvOperation
  let kernels: Kernels
  let row, column: AxisPhase
  let window: ImageWindow
  let panel: Int
  /// Rows and columns of dy of one item; a partial sum adds up items.
  let band, chunk: Int
  /// Output channels of one task.
  let channels: Int
  /// Elements of each run of a window that one task multiplies: all of them, or whole strips where a window read in place costs
  /// nothing to read once more.
  let reach: Int
  /// Partial sums.
  let partials: Int
  let copyCount, packedCount: Int
  /// Elements of a strip of the left operand, packed where its windows are so far apart that they evict each other and enough panels
  /// read it; 0 where it is read in place.
  let stripCount: Int
  let slots: Int

  var problem: ConvProblem { operation.problem }
  /// Rows of one group's matrix.
  private var depth: Int { problem.cPerGroup * problem.filter.count }
  private var filterCount: Int { problem.k * depth }
  private var size: Int { MemoryLayout<T>.stride }
  private var sumBytes: Int { aligned(partials * filterCount * size) }
  private var slotBytes: Int { aligned((copyCount + packedCount + stripCount) * size) }
  private var across: Int { divideUp(column.count, chunk) }
  private var down: Int { divideUp(row.count, band) }
  private var items: Int { problem.n * down * across }
  private var blocks: Int { divideUp(problem.kPerGroup, channels) }
  /// Neighbouring elements of a window, and how many such runs it has.
  private var length: Int { column.dilation == 1 ? column.offsets * problem.cPerGroup : problem.cPerGroup }
  private var runs: Int { column.dilation == 1 ? 1 : column.offsets }
  private var parts: Int { divideUp(length, reach) }
  var workspaceBytes: Int { sumBytes + slots * slotBytes }
  var executedFLOPs: Double { problem.directFLOPs }
  var variant: String { "direct[kernel=implicit]" }
  var executedBy: String { "direct" }
  /// The sum of one item, the items of a partial sum, and the partial sums (blocked summation: the lengths add up).
  var errorModel: ErrorModel {
    .summation(
      .unknown(
        depth: min(band, row.count) * min(chunk, column.count) + divideUp(items, partials) + partials),
      accumulator: operation.elementType)
  }

  var work: ConvWork {
    let size = Double(MemoryLayout<T>.stride)
    let lanes = Double(kernels.lanes(T.self))
    let (groups, pixels) = (Double(problem.groups), Double(problem.n * problem.output.count))
    let (run, count) = (Double(length), Double(items))
    let runs = Double(row.offsets * runs)
    let k = Double(problem.kPerGroup)
    let operands = operation.operandBytes
    let (blocks, parts) = (Double(blocks), Double(parts))
    let sums = Double(filterCount) * size
    var work = ConvWork()
    let sumsOfTiles = groups * runs * (run / 6).rounded(.up) * 6 * (k / lanes).rounded(.up) * lanes
    work[.implicitProducts] = 2 * sumsOfTiles * pixels
    let inputBytes = Double(problem.n * problem.input.count * problem.c) * size
    work.addImage(
      operation.inputFormat, inputBytes * blocks, channels: problem.cPerGroup,
      planeBytes: problem.input.count * MemoryLayout<T>.stride, of: operands)
    work.addImage(
      operation.outputFormat, 2 * pixels * k * groups * parts * size, channels: channels,
      planeBytes: problem.output.count * MemoryLayout<T>.stride, of: operands)
    if copyCount > 0 {
      work[.moved] += 2 * inputBytes * blocks
      work[.runs] += count * groups * blocks * Double(band)
    }
    if stripCount > 0 {
      work[.moved] += 2 * pixels * Double(depth) * groups * blocks * size
      work[.runs] += pixels * groups * runs * blocks * (run / 6).rounded(.up)
    }
    // Every item writes its sums tile by tile.
    work.add(.gathered, count * sums, of: sums)
    work.add(.moved, 2 * Double(partials) * sums, of: Double(partials) * sums)
    work.add(isTransposed ? .reordered : .gathered, sums, of: operands)
    work[.calls] = count * groups * runs * (k / Double(panel)).rounded(.up) * parts
    return work
  }

  /// Whether dw is the transposed sums as they lie in memory.
  private var isTransposed: Bool {
    !operation.epilogue.accumulate && (operation.filterFormat == .nhwc || problem.filter.count == 1)
  }

  /// - Throws: `Refusal`.
  init(_ operation: ConvOperation, _ options: PlanOptions) throws {
    let problem = operation.problem
    self.operation = operation
    kernels = .current
    panel = T.panel(kernels)
    let (height, width) = AxisShape.pair(problem)
    row = height.phases(.forward)[0]
    column = width.phases(.forward)[0]
    window = ImageWindow(
      operation.inputFormat, Extent(h: height.input, w: width.input), channels: problem.c,
      groups: problem.groups, [row], [column])
    let size = MemoryLayout<T>.stride
    channels = evenShare(problem.kPerGroup, most: 1024 / size, unit: panel)
    // A panel of dy and a strip of windows stay in the L1 cache, all panels of a task in half of the L2 cache.
    let pixels = max(64, min(24 << 10, (256 << 10) / divideUp(channels, panel)) / (panel * size))
    chunk = evenShare(column.count, most: pixels, unit: 1)
    band = chunk == column.count ? evenShare(row.count, most: max(1, pixels / column.count), unit: 1) : 1
    copyCount = window.copyCount([row], band, [column], chunk)
    packedCount = saturatingProduct(saturatingProduct(band, chunk), divideUp(channels, panel) * panel)
    let distance = column.sourceStep * problem.cPerGroup * size
    stripCount = channels > 2 * panel && distance >= 256 ? band * chunk * stripHeight : 0
    let (elements, overflow) = copyCount.addingReportingOverflow(packedCount + stripCount)
    let slotBytes = aligned(overflow ? .max : saturatingProduct(elements, size))
    let sums = saturatingProduct(
      saturatingProduct(problem.k, problem.cPerGroup), saturatingProduct(problem.filter.count, size))
    let blocks = saturatingProduct(problem.groups, divideUp(problem.kPerGroup, channels))
    let length = (column.dilation == 1 ? column.offsets : 1) * problem.cPerGroup
    // Each part packs dy again, each partial sum is one more pass over dw: both stay small beside the products.
    let parts = window.isInPlace ? max(1, min(divideUp(wantedTasks, blocks), length / 96)) : 1
    reach = parts == 1 ? length : evenShare(length, most: divideUp(length, parts), unit: stripHeight)
    let items = saturatingProduct(
      problem.n, divideUp(row.count, band) * divideUp(column.count, chunk))
    let tasks = saturatingProduct(blocks, divideUp(length, reach))
    let images = saturatingProduct(
      problem.n,
      saturatingProduct(problem.input.count, problem.c) + saturatingProduct(problem.output.count, problem.k))
    let sparing = max(2, saturatingProduct(images, size) / 8 / max(1, sums))
    partials = max(
      1, min(divideUp(wantedTasks, tasks), items, sparing, options.workspaceLimit / 2 / max(1, sums)))
    guard options.workspaceLimit >= sums else {
      throw Refusal(
        reason:
          "direct needs \(sums) bytes of workspace for the sums of dw, the limit is \(options.workspaceLimit)"
      )
    }
    slots = try affordableSlots(
      slotBytes, options, limit: options.workspaceLimit - aligned(saturatingProduct(partials, sums)))
  }

  func prepare(filter: UnsafeRawPointer, pool: WorkerPool) throws -> PreparedFilter {
    try preparedFilter(count: 0) { (_: UnsafeMutablePointer<T>) in }
  }

  // Plans are reached through the protocol, where the compiler would leave the loops below generic.
  @_specialize(where T == Float)
  @_specialize(where T == Double)
  func execute(
    _ operands: ConvOperands, workspace: UnsafeMutableRawBufferPointer, pool: WorkerPool,
    phases: PhaseRecorder?
  ) throws {
    try checkOperands(operands, workspace)
    let bound = try operands.bound(for: operation, signature: signature)
    guard let start = workspace.baseAddress else { return }
    let x = UnsafePointer(bound.input.assumingMemoryBound(to: T.self))
    let dy = UnsafePointer(bound.output.assumingMemoryBound(to: T.self))
    let sums = start.bindMemory(to: T.self, capacity: partials * filterCount)
    phases.measure("products") {
      forEachTask(
        problem.groups * blocks * parts * partials, slots: slots, slotBytes: slotBytes,
        scratch: start + sumBytes,
        pool: pool
      ) { task, scratch in
        guard let scratch = scratch?.bindMemory(to: T.self, capacity: copyCount + packedCount + stripCount)
        else { return }
        let (sum, part, unit) = (task % partials, task / partials % parts, task / partials / parts)
        let (block, group) = (unit % blocks, unit / blocks)
        let own = block * channels..<min(problem.kPerGroup, (block + 1) * channels)
        add(
          items * sum / partials..<items * (sum + 1) / partials, group, own,
          part * reach..<min(length, (part + 1) * reach), x, dy,
          sums + sum * filterCount + group * problem.kPerGroup * depth, scratch)
      }
    }
    phases.measure("partial sums") {
      reduce(sums, bound.filter.assumingMemoryBound(to: T.self), pool)
    }
  }

  /// Sums of the items `share` for one group's output channels `own` and the elements `within` of each run, into their place of
  /// sums[depth][K/g].
  private func add(
    _ share: Range<Int>, _ group: Int, _ own: Range<Int>, _ within: Range<Int>, _ x: UnsafePointer<T>,
    _ dy: UnsafePointer<T>, _ sums: UnsafeMutablePointer<T>, _ scratch: UnsafeMutablePointer<T>
  ) {
    let packed = scratch + copyCount
    for item in share {
      let image = item / (down * across)
      let steps = (item / across % down * band..<(item / across % down + 1) * band).clamped(to: 0..<row.count)
      let places = (item % across * chunk..<(item % across + 1) * chunk).clamped(to: 0..<column.count)
      let view = window.view(
        kernels, x + image * window.extent.count * window.channels, group: group, rows: row.reach(steps),
        columns: column.reach(places), copy: scratch)
      // Rows are whole where there are several: their pixels follow each other.
      let pixels = steps.count * places.count
      let first = steps.lowerBound * column.count + places.lowerBound
      let (area, channel) = (problem.output.count, group * problem.kPerGroup + own.lowerBound)
      if operation.outputFormat == .nhwc {
        let from = dy + (image * area + first) * problem.k + channel
        T.pack(kernels, pixels, own.count, from, problem.k, transposed: false, packed)
      } else {
        let from = dy + (image * problem.k + channel) * area + first
        T.pack(kernels, pixels, own.count, from, area, transposed: true, packed)
      }
      multiply(
        view, steps, places, own, within, packed, packed + packedCount, sums,
        accumulate: item > share.lowerBound)
    }
  }

  private func multiply(
    _ view: ImageWindow.View<T>, _ steps: Range<Int>, _ places: Range<Int>, _ own: Range<Int>,
    _ within: Range<Int>, _ packed: UnsafePointer<T>, _ strip: UnsafeMutablePointer<T>,
    _ sums: UnsafeMutablePointer<T>,
    accumulate: Bool
  ) {
    let channels = problem.cPerGroup
    let line = row.sourceFirst + steps.lowerBound * row.sourceStep - view.firstRow
    let at = column.sourceFirst + places.lowerBound * column.sourceStep - view.firstColumn
    let from = view.start + line * view.pitch + at * channels
    let pixels = steps.count * places.count
    withUnsafeTemporaryAllocation(of: Int.self, capacity: steps.count + 1) { offsets in
      for step in 0..<steps.count { offsets[step] = step * row.sourceStep * view.pitch }
      offsets[steps.count] = 0
      var shape = vb_implicit()
      shape.row_step = 1
      shape.result_step = problem.kPerGroup
      shape.accumulate = accumulate ? 1 : 0
      if stripCount > 0 {
        shape.segments = 1
        shape.length = pixels
        shape.offsets = offsets.baseAddress.map { UnsafePointer($0 + steps.count) }
      } else {
        shape.rows = within.count
        shape.segments = steps.count
        shape.length = places.count
        shape.offsets = UnsafePointer(offsets.baseAddress)
        shape.term_step = column.sourceStep * channels
      }
      for r in 0..<row.offsets {
        for run in 0..<runs {
          let a = from + r * row.dilation * view.pitch + run * column.dilation * channels
          let c = sums + (r * runs + run) * length * problem.kPerGroup + own.lowerBound
          func panels(_ a: UnsafePointer<T>, _ c: UnsafeMutablePointer<T>) {
            for first in stride(from: 0, to: own.count, by: panel) {
              shape.width = min(panel, own.count - first)
              T.implicit(kernels, &shape, a, packed + first * pixels, nil, c + first)
            }
          }
          if stripCount == 0 {
            panels(a + within.lowerBound, c + within.lowerBound * problem.kPerGroup)
            continue
          }
          for first in stride(from: within.lowerBound, to: within.upperBound, by: stripHeight) {
            let height = min(stripHeight, within.upperBound - first)
            shape.rows = height
            shape.term_step = height
            copyStrip(a + first, height, view.pitch, steps.count, places.count, to: strip)
            panels(strip, c + first * problem.kPerGroup)
          }
        }
      }
    }
  }

  /// `height` neighbouring elements of every window, window by window.
  private func copyStrip(
    _ from: UnsafePointer<T>, _ height: Int, _ pitch: Int, _ steps: Int, _ places: Int,
    to strip: UnsafeMutablePointer<T>
  ) {
    let across = column.sourceStep * problem.cPerGroup
    for step in 0..<steps {
      T.gather(
        kernels, places, height, from + step * row.sourceStep * pitch, stride: across,
        strip + step * places * height)
    }
  }

  /// dw = or += the partial sums, in order, transposed into the filter's format.
  private func reduce(_ sums: UnsafeMutablePointer<T>, _ dw: UnsafeMutablePointer<T>, _ pool: WorkerPool) {
    if partials > 1 {
      let length = 4096
      pool.parallelFor(divideUp(filterCount, length)) { task in
        let range = task * length..<min(filterCount, (task + 1) * length)
        for part in 1..<partials {
          let from = sums + part * filterCount
          for i in range { sums[i] += from[i] }
        }
      }
    }
    let own = problem.kPerGroup
    let width = 32
    let blocks = divideUp(own, width)
    let strides = operation.filterFormat.strides(of: problem.filterShape)
    pool.parallelFor(problem.groups * blocks) { task in
      let (group, first) = (task / blocks, task % blocks * width)
      let range = first..<min(own, first + width)
      let from = sums + group * own * depth
      let to = dw + group * own * depth
      if isTransposed {
        T.transpose(kernels, depth, range.count, from + first, own, to + first * depth, depth)
        return
      }
      // Sums are read along K, where they lie together; what is written advances by one place for each of many filters.
      let (channels, accumulates) = (problem.cPerGroup, operation.epilogue.accumulate)
      for c in 0..<channels {
        for tap in 0..<problem.filter.count {
          let sums = from + (tap * channels + c) * own
          let place =
            c * strides[1] + tap / problem.filter.w * strides[2] + tap % problem.filter.w * strides[3]
          if accumulates {
            for k in range { to[k * strides[0] + place] += sums[k] }
          } else {
            for k in range { to[k * strides[0] + place] = sums[k] }
          }
        }
      }
    }
  }
}

/// Rows of a packed strip: the height of the largest tiles.
private let stripHeight = 6

/// The length, in whole units, of the least number of nearly equal pieces of `count` that are at most `most` long.
private func evenShare(_ count: Int, most: Int, unit: Int) -> Int {
  let pieces = max(1, divideUp(count, max(unit, most)))
  return min(count, divideUp(divideUp(count, pieces), unit) * unit)
}
