import ConvCore

/// The numbers of a forward or backward-data plan: tiles, blocks, bytes, work. No matrices, no lists: predictions make it by the
/// thousand.
struct WinogradDataSizes: Sendable {
  /// How threads share the work. The result is the same, to the last bit.
  enum Driver {
    /// Each thread takes whole blocks that fit its L2 cache: small filters, many tiles.
    case privateBlocks
    /// All threads share one larger block and split its planes and panels.
    case sharedBlock
    /// As `sharedBlock`, with each panel of a fresh filter transformed right before it is used: large filters, few
    /// tiles. The transformed filter is (m + r − 1)²/r² times as large as the filter and would be written to memory
    /// and read back.
    case fusedFilter
  }

  let operation: ConvOperation
  /// The tiles over the source image.
  let grid: TileGrid
  let filter: FilterLayout
  let planes: Int
  let blockTiles: Int
  let driver: Driver
  /// Private blocks, or filter panels, in work at once.
  let slots: Int
  let filterStride: Int
  /// Distance between the planes of one panel.
  let panelStride: Int
  let isPrepared: Bool
  let preparedBytes: Int
  let workspaceBytes: Int
  private let size: Int
  private let panel: Int
  /// Whether the transforms have kernels of their own.
  private let hasKernels: Bool
  /// FLOPs of one tile and channel.
  private let inputFLOPs, filterFLOPs, outputFLOPs: Double

  var tiles: Int { grid.tiles }
  // From one tile to the next within a plane.
  var inputPitch: Int { pitch(filter.inputs) }
  var outputPitch: Int { pitch(filter.outputs) }
  // Plane strides of a block, off powers of two so that one tile's elements spread over cache sets.
  var inputStride: Int { WinogradDataSizes.padded(blockTiles * inputPitch) }
  var outputStride: Int { WinogradDataSizes.padded(blockTiles * outputPitch) }
  var blockElements: Int { planes * (inputStride + outputStride) }

  static func padded(_ count: Int) -> Int { (count + 15) / 16 * 16 + 16 }

  private func pitch(_ channels: Int) -> Int { WinogradDataSizes.pitch(channels, size) }

  /// Rows of a plane that lie a power of two apart would meet in few sets of the L1 cache: one more line parts them.
  private static func pitch(_ channels: Int, _ size: Int) -> Int {
    channels * size % 1024 == 0 ? channels + 64 / size : channels
  }

  /// - Parameter panel: Columns of one panel of the product kernel, for the operation's element type.
  /// - Throws: `WinogradVariant.Refusal` where the workspace limit is too small for one tile.
  init(_ operation: ConvOperation, _ options: PlanOptions, _ variant: WinogradVariant, panel: Int) throws {
    let problem = operation.problem
    let backward = operation.pass == .backwardData
    let (vertical, horizontal) = (variant.vertical, variant.horizontal)
    let (from, to) = backward ? (problem.output, problem.input) : (problem.input, problem.output)
    self.operation = operation
    self.panel = panel
    grid = TileGrid(
      images: problem.n, sourceH: from.h, sourceW: from.w, targetH: to.h, targetW: to.w,
      stepH: vertical.m, stepW: horizontal.m, windowH: vertical.tile, windowW: horizontal.tile,
      originH: backward ? vertical.r - 1 - problem.padding.top : problem.padding.top,
      originW: backward ? horizontal.r - 1 - problem.padding.left : problem.padding.left)
    filter = FilterLayout(
      k: problem.k, c: problem.c, r: vertical.r, s: horizontal.r, format: operation.filterFormat,
      transposed: backward)
    planes = vertical.tile * horizontal.tile
    hasKernels = TileAxis.hasKernels(vertical, horizontal)
    inputFLOPs = TilePair(vertical: vertical.input, horizontal: horizontal.input).flops
    filterFLOPs = TilePair(vertical: vertical.filter, horizontal: horizontal.filter).flops
    outputFLOPs = TilePair(vertical: vertical.output, horizontal: horizontal.output).flops
    let size = operation.elementType.byteCount
    self.size = size
    filterStride = filter.planeStride(panel: panel)
    let filterBytes = planes * filterStride * size
    preparedBytes = filterBytes
    isPrepared = options.filterState == .prepared

    // Blocks: a multiple of the product kernel's rows, V and M of one block in about 1 MB (private) or 12 MB (shared).
    let pitches =
      WinogradDataSizes.pitch(filter.inputs, size) + WinogradDataSizes.pitch(filter.outputs, size)
    let tileBytes = planes * pitches * size
    let overhead = planes * 2 * 32 * size
    let threads = max(1, options.threads)
    let tiles = grid.tiles
    func fitting(_ bytes: Int) -> Int {
      let count = (bytes - overhead) / tileBytes
      return min(tiles, count >= 6 ? count / 6 * 6 : count)
    }
    let privateTiles = max(min(6, tiles), fitting(1 << 20))
    let privateBytes = threads * (privateTiles * tileBytes + overhead)
    let wholeBytes = tiles * tileBytes + overhead
    let panels = (filter.outputs + panel - 1) / panel
    if filterBytes <= 12 << 20, tiles >= 8 * privateTiles, privateBytes <= options.workspaceLimit {
      driver = .privateBlocks
      blockTiles = privateTiles
      slots = min(threads, (tiles + privateTiles - 1) / privateTiles)
    } else if !isPrepared, filterBytes >= 4 << 20, panels >= 4,
      wholeBytes <= min(32 << 20, options.workspaceLimit)
    {
      driver = .fusedFilter
      blockTiles = tiles
      slots = min(threads, panels)
    } else {
      let most = max(min(6, tiles), fitting(12 << 20))
      let allowed = fitting(options.workspaceLimit)
      guard allowed >= 1 else {
        throw WinogradVariant.Refusal(
          "one tile takes \(tileBytes + overhead) bytes of workspace, the limit is \(options.workspaceLimit)")
      }
      driver = .sharedBlock
      blockTiles = min(most, allowed)
      slots = 1
    }
    try grid.requireListable(blocksOf: blockTiles)
    let rowBytes = Double(vertical.m * size) * Double(to.w) * Double(filter.outputs)
    if operation.epilogue.maxPool2x2
      && (vertical.m % 2 != 0 || horizontal.m % 2 != 0 || rowBytes > 0x1p20)
    {
      throw WinogradVariant.Refusal(
        "winograd pools rows of tiles with even sides in up to 1 MB, not \(vertical.m)×\(horizontal.m) in "
          + "\(rowBytes) bytes")
    }
    let block =
      planes
      * (WinogradDataSizes.padded(blockTiles * WinogradDataSizes.pitch(filter.inputs, size))
        + WinogradDataSizes.padded(blockTiles * WinogradDataSizes.pitch(filter.outputs, size)))
    panelStride = WinogradDataSizes.padded(KernelMatrixMultiplier.depthBlock(filter.inputs) * panel)
    switch driver {
    case .privateBlocks: workspaceBytes = (isPrepared ? 0 : filterBytes) + slots * block * size
    case .sharedBlock: workspaceBytes = (isPrepared ? 0 : filterBytes) + block * size
    case .fusedFilter: workspaceBytes = (slots * planes * panelStride + block) * size
    }
  }

  /// Products and transforms as the algorithm has them, without empty lanes.
  var executedFLOPs: Double {
    let (ins, outs, tiles) = (Double(filter.inputs), Double(filter.outputs), Double(tiles))
    return 2 * Double(planes) * tiles * ins * outs + (isPrepared ? 0 : ins * outs * filterFLOPs)
      + tiles * (ins * inputFLOPs + outs * outputFLOPs)
  }

  /// The same as the kernels do it, and the ways to memory.
  var work: ConvWork {
    let lanes = Double(InstructionSet.current.vectorBytes / size)
    func whole(_ channels: Double) -> Double { (channels / lanes).rounded(.up) * lanes }
    let (bytes, tiles, count) = (Double(size), Double(tiles), Double(planes))
    let (ins, outs) = (Double(filter.inputs), Double(filter.outputs))
    let blocks = (tiles / Double(blockTiles)).rounded(.up)
    let rows = blocks * (min(tiles, Double(blockTiles)) / 6).rounded(.up) * 6
    let operands = operation.operandBytes
    let filterBytes = count * ins * outs * bytes
    var work = ConvWork()
    let transforms: ConvWork.Kind = hasKernels ? .transforms : .plainTransforms
    work[.products] = 2 * count * min(rows, tiles + 6) * whole(outs) * ins
    work[transforms] = tiles * (whole(ins) * inputFLOPs + whole(outs) * outputFLOPs)
    work.add(
      .spread, 2 * count * tiles * (ins + outs) * bytes,
      of: count * (ins + outs) * bytes * min(tiles, Double(blockTiles)))
    if !isPrepared {
      work[transforms] += ins * whole(outs) * filterFLOPs
      work.add(.moved, ins * outs * Double(filter.r * filter.s) * bytes, of: operands)
      let kept = driver == .fusedFilter ? Double(planes * panelStride) * bytes : filterBytes
      work.add(.spread, filterBytes, of: kept)
      work[.runs] += ins * outs / lanes
    }
    // Channels that fill no vector are copied element by element, in and out.
    func rest(_ channels: Double) -> Double { channels == whole(channels) ? 0 : 1 }
    work[.runs] += tiles * (rest(ins) * 2 * count + rest(outs) * (count + Double(grid.stepH * grid.stepW)))
    if !isPrepared { work[.runs] += rest(outs) * ins * (count + Double(filter.r * filter.s)) }
    let images = Double(grid.images) * bytes
    work.addImage(
      formats.source, images * Double(grid.sourceH * grid.sourceW) * ins, channels: min(32, filter.inputs),
      planeBytes: grid.sourceH * grid.sourceW * size, of: operands)
    work.addImage(
      formats.target, images * Double(grid.targetH * grid.targetW) * outs, channels: min(32, filter.outputs),
      planeBytes: grid.targetH * grid.targetW * size, of: operands)
    work[.calls] = blocks * count * (outs / Double(panel)).rounded(.up) + 2 * tiles
    return work
  }

  private var formats: (source: MemoryFormat, target: MemoryFormat) {
    operation.pass == .backwardData
      ? (operation.outputFormat, operation.inputFormat) : (operation.inputFormat, operation.outputFormat)
  }
}
