internal import CConvKernels
import ConvCore

/// Forward and backward data as implicit matrix products: the left operand is the image itself (or a padded copy of a few of its rows
/// that stays in cache), the right one the weights in panels.
///
/// Backward data is in gather form: each residue of dx modulo the stride is a dense correlation over dy. Problems with few
/// target channels compute blocks of neighbouring targets at once.
struct DensePlan<T: DirectScalar>: ConvPlan {
  let operation: ConvOperation
  let kernels: Kernels
  let rows, columns: [AxisPhase]
  let window: ImageWindow
  let weights: DenseWeights
  /// Target extents; one row for pointwise problems.
  let target: Extent
  /// Steps of one task along the height and along the width.
  let band, chunk: Int
  /// Elements of a task's copy of the source, and of the results of one row that do not go straight to the target.
  let copyCount, stripCount: Int
  let slots: Int
  /// Whether every execution packs the weights.
  let isFresh: Bool

  var problem: ConvProblem { operation.problem }
  var isBackward: Bool { operation.pass == .backwardData }
  var targetFormat: MemoryFormat { isBackward ? operation.inputFormat : operation.outputFormat }
  var targetChannels: Int { isBackward ? problem.c : problem.k }
  /// Whether results are stored where they belong: channels last, one target per step.
  var storesDirectly: Bool { targetFormat == .nhwc && (columns.first?.block ?? 1) == 1 }

  private var size: Int { MemoryLayout<T>.stride }
  private var packedBytes: Int { aligned(weights.count * size) }
  private var biasCount: Int { operation.epilogue.bias ? weights.groups * weights.panels * weights.panel : 0 }
  private var slotBytes: Int { aligned((copyCount + stripCount) * size) }
  var workspaceBytes: Int { packedBytes + aligned(biasCount * size) + slots * slotBytes }
  var preparedBytes: Int { weights.count * size }
  var variant: String { "direct[kernel=implicit]" }
  var executedBy: String { "direct" }
  var errorModel: ErrorModel {
    .summation(.chain, accumulator: operation.elementType)
  }
  /// Blocks multiply by the zeros of their union of taps too.
  var executedFLOPs: Double {
    var products = 0.0
    for row in rows {
      for column in columns {
        products +=
          Double(row.count * row.offsets) * Double(column.count * column.offsets) * Double(column.block)
      }
    }
    return 2 * products * Double(problem.n) * Double(problem.groups) * Double(weights.sources)
      * Double(weights.targets)
  }

  var work: ConvWork {
    let size = Double(MemoryLayout<T>.stride)
    let units = Double(problem.n) * Double(problem.groups)
    let (sources, targets) = (Double(weights.sources), Double(weights.targets))
    let lanes = Double(kernels.lanes(T.self))
    let operands = operation.operandBytes
    let pieces = Double(divideUp(columns.map(\.count).max() ?? 1, chunk))
    let bands = Double(divideUp(rows.map(\.count).max() ?? 1, band))
    var work = ConvWork()
    for row in rows {
      for column in columns {
        let depth = Double(row.offsets * column.offsets) * sources
        let tiles = units * Double(row.count) * (Double(column.count) / 6).rounded(.up)
        let width = (Double(column.block) * targets / lanes).rounded(.up) * lanes
        work[.implicitProducts] += 2 * tiles * 6 * width * depth
        work[.calls] += units * Double(row.count) * pieces * Double(weights.panels)
      }
    }
    if isFresh { work = work + weights.packing(elementBytes: size, of: operands) }
    let sourceBytes = units * Double(window.extent.count) * sources * size
    let resultBytes = units * Double(target.count) * targets * size
    let sourceFormat = isBackward ? operation.outputFormat : operation.inputFormat
    if copyCount > 0 {
      let copied = units * pieces * bands * Double(copyCount) * size
      work.addImage(
        sourceFormat, max(sourceBytes, copied), channels: weights.sources,
        planeBytes: window.extent.count * MemoryLayout<T>.stride, of: operands)
      work[.moved] += 2 * copied
      work[.runs] += units * pieces * bands * Double(unionOfReaches(rows, 0..<band).count)
    } else {
      work.add(.moved, sourceBytes, of: operands)
    }
    work.addImage(
      targetFormat, resultBytes, channels: min(weights.targets, weights.panel),
      planeBytes: target.count * MemoryLayout<T>.stride, of: operands)
    if !storesDirectly { work[.moved] += 2 * resultBytes }
    return work
  }

  /// - Throws: `Refusal`.
  init(_ operation: ConvOperation, _ options: PlanOptions) throws {
    let problem = operation.problem
    self.operation = operation
    kernels = .current
    isFresh = options.filterState == .fresh
    let isBackward = operation.pass == .backwardData
    let (height, width) = AxisShape.pair(problem)
    let panel = T.panel(kernels)
    let perGroup = isBackward ? problem.cPerGroup : problem.kPerGroup
    rows = height.phases(operation.pass)
    let block = width.bestBlock(
      operation.pass, targets: perGroup, lanes: kernels.lanes(T.self), panel: panel)
    columns = width.phases(operation.pass, block: block)
    weights = DenseWeights(operation, rows, columns, panel: panel)
    let source = isBackward ? (height.output, width.output) : (height.input, width.input)
    target =
      isBackward ? Extent(h: height.input, w: width.input) : Extent(h: height.output, w: width.output)
    window = ImageWindow(
      isBackward ? operation.outputFormat : operation.inputFormat, Extent(h: source.0, w: source.1),
      channels: isBackward ? problem.k : problem.c, groups: problem.groups, rows, columns)

    let units = saturatingProduct(problem.n, problem.groups)
    let down = rows.map(\.count).max() ?? 1
    let across = columns.map(\.count).max() ?? 1
    (band, chunk) = DensePlan.blocking(rows, columns, window, units: units, down: down, across: across)
    copyCount = window.copyCount(rows, band, columns, chunk)
    let isDirect = (isBackward ? operation.inputFormat : operation.outputFormat) == .nhwc && block == 1
    stripCount =
      isDirect
      ? 0
      : saturatingProduct((chunk + 1) * (columns.first?.targetStep ?? 1), block > 1 ? perGroup : panel)
    let elements = saturatingProduct(
      MemoryLayout<T>.stride, copyCount > .max - stripCount ? .max : copyCount + stripCount)
    slots = try affordableSlots(aligned(elements), options, limit: options.workspaceLimit)
    guard saturatingProduct(weights.count, MemoryLayout<T>.stride) < Int.max / 4 else {
      throw Refusal(reason: "the filter in panels is larger than memory can be")
    }
  }

  /// Bytes of the source that one task reads: they stay in the L2 cache while the panels pass.
  private static var targetBytes: Int { 128 << 10 }

  /// Steps per task: enough windows to use a panel well, few enough for the cache and for all cores to have tasks.
  private static func blocking(
    _ rows: [AxisPhase], _ columns: [AxisPhase], _ window: ImageWindow, units: Int, down: Int, across: Int
  ) -> (band: Int, chunk: Int) {
    func bytes(_ band: Int, _ chunk: Int) -> Int {
      let height = unionOfReaches(rows, 0..<band).count
      let width = unionOfReaches(columns, 0..<chunk).count
      return saturatingProduct(saturatingProduct(height, width), window.own * MemoryLayout<T>.stride)
    }
    // Chunks are multiples of the heights of the tiles, 4, 6, 8 and 12.
    let grain = 24
    var chunk = across
    if saturatingProduct(units, down) < wantedTasks {
      chunk = divideUp(across, divideUp(wantedTasks, units * down))
      chunk = min(across, divideUp(chunk, grain) * grain)
    }
    while chunk > 2 * grain, bytes(1, chunk) > targetBytes { chunk = divideUp(chunk / 2, grain) * grain }
    let pieces = saturatingProduct(units, divideUp(across, chunk))
    var band = divideUp(down, divideUp(wantedTasks, pieces))
    while band > 1, bytes(band, chunk) > targetBytes || band * chunk > 1024 { band = divideUp(band, 2) }
    return (band, chunk)
  }

  func prepare(filter: UnsafeRawPointer, pool: WorkerPool) throws -> PreparedFilter {
    try preparedFilter(count: weights.count) {
      weights.pack(kernels, filter.assumingMemoryBound(to: T.self), to: $0, pool)
    }
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
    let (from, to) = isBackward ? (bound.output, bound.input) : (bound.input, bound.output)
    var panels = UnsafePointer(bound.filter.assumingMemoryBound(to: T.self))
    if operands.preparedFilter == nil {
      let packed = start.bindMemory(to: T.self, capacity: weights.count)
      phases.measure("filter") { weights.pack(kernels, panels, to: packed, pool) }
      panels = UnsafePointer(packed)
    }
    var bias: UnsafePointer<T>?
    if operation.epilogue.bias, let given = operands.bias?.assumingMemoryBound(to: T.self) {
      let padded = (start + packedBytes).bindMemory(to: T.self, capacity: biasCount)
      weights.spread(given, to: padded)
      bias = UnsafePointer(padded)
    }
    let down = divideUp(rows.map(\.count).max() ?? 1, band)
    let across = divideUp(columns.map(\.count).max() ?? 1, chunk)
    weights.owners.withUnsafeBufferPointer { owners in
      let frame = DenseFrame(
        plan: self, x: from.assumingMemoryBound(to: T.self), panels: panels,
        y: to.assumingMemoryBound(to: T.self), bias: bias, owners: owners)
      phases.measure("products") {
        forEachTask(
          problem.n * problem.groups * down * across, slots: slotBytes == 0 ? pool.threads : slots,
          slotBytes: slotBytes,
          scratch: slotBytes == 0 ? nil : start + packedBytes + aligned(biasCount * size), pool: pool
        ) { task, scratch in
          let (column, row, unit) = (task % across, task / across % down, task / across / down)
          frame.piece(
            image: unit / problem.groups, group: unit % problem.groups, row * band..<(row + 1) * band,
            column * chunk..<(column + 1) * chunk,
            scratch?.bindMemory(to: T.self, capacity: copyCount + stripCount))
        }
      }
    }
  }
}

extension AxisShape {
  /// Neighbouring targets per step that fill vectors best: 1, unless blocks win clearly despite the zeros in their taps.
  func bestBlock(_ pass: ConvPass, targets: Int, lanes: Int, panel: Int) -> Int {
    if dilation > 1 { return 1 }
    let unit = pass == .backwardData ? stride : 1
    func efficiency(_ block: Int, taps used: Double, of offsets: Int) -> Double {
      let columns = block * targets
      return Double(columns) / Double(divideUp(columns, lanes) * lanes) * used / Double(offsets)
    }
    var (best, found) = (1, 1.15 * efficiency(1, taps: 1, of: 1))
    let own = pass == .backwardData ? Double(taps) / Double(stride) : Double(taps)
    let extent = pass == .backwardData ? input : output
    var block = unit == 1 ? 2 : unit
    while block * targets <= panel, block <= extent {
      let offsets =
        pass == .backwardData ? (taps - 1) / stride + (block - 1) / stride + 1 : (block - 1) * stride + taps
      let value = efficiency(block, taps: own, of: offsets)
      if value > found { (best, found) = (block, value) }
      block += unit
    }
    return best
  }
}
