import ConvCore

/// backwardFilter by F(r × s, m × m): dw is the output tile, tiles of dy are the filter, windows of x the input.
///
/// Per block of tiles: windows of x → V [plane][tile][C], tiles of dy → D in panels of K, G[plane] += Vᵀ·D; after the
/// last block Aᵀ brings G [plane][C][K] to dw. Blocks are summed in order, so the result does not depend on threads.
/// Where G would take too much of the workspace, the input channels are done in parts.
struct WinogradFilterPlan<T: WinogradScalar>: ConvPlan {
  let operation: ConvOperation
  let variant: String
  let workspaceBytes: Int
  let executedFLOPs: Double
  let errorModel: ErrorModel

  private let grid: TileGrid
  private let filter: FilterLayout
  private let inputPair, gradientPair, filterPair: TilePair
  private let planes: Int
  private let blockTiles: Int
  /// Input channels of one part.
  private let part: Int
  private let panels: Int
  /// x in chunks of channels, dy in panels.
  private let input, gradient: ImageLayout
  private let blocks: [TileBlock]

  var executedBy: String { "winograd" }

  private static func padded(_ count: Int) -> Int { (count + 15) / 16 * 16 + 16 }
  private var inputStride: Int { WinogradFilterPlan.padded(blockTiles * part) }
  private var gradientStride: Int { WinogradFilterPlan.padded(blockTiles * panels * T.panel) }
  private var productStride: Int { WinogradFilterPlan.padded(part * filter.k) }

  /// - Throws: `WinogradVariant.Refusal` where the workspace limit is too small.
  init(_ operation: ConvOperation, _ options: PlanOptions, _ variant: WinogradVariant) throws {
    let problem = operation.problem
    let (m, r) = ((variant.vertical.m, variant.horizontal.m), (variant.vertical.r, variant.horizontal.r))
    // The same points serve F(m, r) and F(r, m): both have m + r − 1 of them.
    let vertical = try WinogradFilterPlan.swapped(variant.vertical).transform
    let horizontal = try WinogradFilterPlan.swapped(variant.horizontal).transform
    let grid = TileGrid(
      images: problem.n, sourceH: problem.input.h, sourceW: problem.input.w, targetH: problem.output.h,
      targetW: problem.output.w, stepH: m.0, stepW: m.1, windowH: m.0 + r.0 - 1, windowW: m.1 + r.1 - 1,
      originH: problem.padding.top, originW: problem.padding.left)
    let planes = vertical.tile * horizontal.tile
    let panels = (problem.k + T.panel - 1) / T.panel
    self.operation = operation
    self.variant = variant.text
    self.grid = grid
    self.planes = planes
    self.panels = panels
    filter = FilterLayout(
      k: problem.k, c: problem.c, r: r.0, s: r.1, format: operation.filterFormat, transposed: false)
    inputPair = TilePair(
      vertical: CompiledMatrix(vertical.bt, rows: vertical.tile, columns: vertical.tile),
      horizontal: CompiledMatrix(horizontal.bt, rows: horizontal.tile, columns: horizontal.tile))
    gradientPair = TilePair(
      vertical: CompiledMatrix(vertical.g, rows: vertical.tile, columns: m.0),
      horizontal: CompiledMatrix(horizontal.g, rows: horizontal.tile, columns: m.1))
    filterPair = TilePair(
      vertical: CompiledMatrix(vertical.at, rows: r.0, columns: vertical.tile),
      horizontal: CompiledMatrix(horizontal.at, rows: r.1, columns: horizontal.tile))
    let tiles = grid.tiles

    // Bytes of V, D and G for blocks of `count` tiles and `channels` input channels at once.
    let size = MemoryLayout<T>.stride
    func bytes(_ count: Int, _ channels: Int) -> (blocks: Int, products: Int) {
      let elements =
        WinogradFilterPlan.padded(count * channels) + WinogradFilterPlan.padded(count * panels * T.panel)
      return (planes * elements * size, planes * WinogradFilterPlan.padded(channels * problem.k) * size)
    }
    let limit = options.workspaceLimit
    var part = problem.c
    while part > 1 && bytes(min(tiles, 48), part).blocks + bytes(1, part).products > limit {
      part = (part + 1) / 2
    }
    let products = bytes(1, part).products
    // Every block reads and writes all of G: the larger G, the larger the blocks.
    let budget = min(max(8 << 20, products), limit - products)
    let overhead = bytes(0, 0).blocks
    let tileBytes = planes * (part + panels * T.panel) * size
    var count = max(0, budget - overhead) / tileBytes
    if count >= tiles { count = tiles }
    if count >= 16 && count < tiles {
      // Blocks of equal length: the last one is not left with a few tiles.
      let blocks = (tiles + count - 1) / count
      count = (tiles + blocks - 1) / blocks
    }
    while count > 1 && bytes(count, part).blocks + products > limit { count -= 1 }
    guard count >= 1, bytes(count, part).blocks + products <= limit else {
      let needed = bytes(1, part)
      throw WinogradVariant.Refusal(
        "one tile takes \(needed.blocks + needed.products) bytes of workspace, the limit is \(limit)")
    }
    blockTiles = count
    self.part = part
    input = ImageLayout(
      grid: grid, channels: problem.c, format: operation.inputFormat,
      chunk: operation.inputFormat == .nchw ? 128 / size : 64)
    gradient = ImageLayout(
      grid: grid.target, channels: problem.k, format: operation.outputFormat, chunk: T.panel)
    blocks = TileBlock.all(of: tiles, by: count, source: input, target: gradient)
    errorModel = .winograd(
      vertical: vertical, horizontal: horizontal,
      depth: KernelMatrixMultiplier.summationDepth(tiles, perCall: count))
    let total = bytes(count, part)
    workspaceBytes = total.blocks + total.products

    let parts = Double((problem.c + part - 1) / part)
    let (c, k) = (Double(problem.c), Double(problem.k))
    executedFLOPs =
      2 * Double(planes) * Double(tiles) * c * k + c * k * filterPair.flops
      + Double(tiles) * (c * inputPair.flops + parts * k * gradientPair.flops)
  }

  var work: ConvWork {
    let size = Double(MemoryLayout<T>.stride)
    let (tiles, count) = (Double(grid.tiles), Double(planes))
    let (c, k) = (Double(filter.c), Double(filter.k))
    let parts = (c / Double(part)).rounded(.up)
    let blocks = (tiles / Double(blockTiles)).rounded(.up)
    var work = ConvWork()
    work[.products] = 2 * count * (c / 6).rounded(.up) * 6 * (k / 8).rounded(.up) * 8 * (tiles + 12 * blocks)
    work[.moved] = 2 * count * tiles * (c + parts * k) * size + count * c * k * size
    work.addImage(operation.inputFormat, Double(grid.images * grid.sourceH * grid.sourceW) * c * size)
    work.addImage(
      operation.outputFormat, Double(grid.images * grid.targetH * grid.targetW) * k * parts * size)
    work[.streamed] = 2 * blocks * count * c * k * size
    work[.calls] = parts * blocks * count * 2 + parts * tiles * (count / 8)
    return work
  }

  private static func swapped(_ axis: ToomCook) throws -> ToomCook {
    axis.points.isEmpty
      ? try ToomCook(m: axis.r, r: axis.m, magnitudes: [])
      : try ToomCook(m: axis.r, r: axis.m, points: axis.points)
  }

  func prepare(filter: UnsafeRawPointer, pool: WorkerPool) throws -> PreparedFilter {
    throw ConvError.operand("backward-filter reads no filter: there is nothing to prepare")
  }

  func execute(
    _ operands: ConvOperands, workspace: UnsafeMutableRawBufferPointer, pool: WorkerPool,
    phases: PhaseRecorder?
  ) throws {
    let bound = try operands.bound(for: operation, signature: signature)
    guard workspace.count >= workspaceBytes, let base = workspace.baseAddress else {
      throw ConvError.workspaceTooSmall(needed: workspaceBytes, found: workspace.count)
    }
    let x = bound.input.assumingMemoryBound(to: T.self)
    let dy = bound.output.assumingMemoryBound(to: T.self)
    let dw = bound.filter.assumingMemoryBound(to: T.self)
    let v = base.assumingMemoryBound(to: T.self)
    let d = v + planes * inputStride
    let g = d + planes * gradientStride
    for first in stride(from: 0, to: filter.c, by: part) {
      let channels = first..<min(filter.c, first + part)
      for (index, block) in blocks.enumerated() {
        phases.measure("input transform") { transform(x, channels, block, v, pool) }
        phases.measure("gradient transform") { transform(dy, block, d, pool) }
        try phases.measure("products") {
          try multiply(v, d, g, channels.count, block.count, accumulate: index > 0, pool)
        }
      }
      phases.measure("filter transform") {
        filter.writeGradient(
          g, planeStride: productStride, ins: channels, filterPair, to: dw, pool: pool)
      }
    }
  }

  /// Windows of x, channels `channels` of it, to V.
  private func transform(
    _ x: UnsafePointer<T>, _ channels: Range<Int>, _ block: TileBlock, _ v: UnsafeMutablePointer<T>,
    _ pool: WorkerPool
  ) {
    // Chunks of this part only; a part may begin anywhere.
    let chunks = (channels.count + input.chunk - 1) / input.chunk
    let target = PlaneTarget(
      base: v, planeStride: inputStride, tileStride: channels.count, chunkStride: input.chunk)
    pool.parallelFor(block.source.count * chunks) { task in
      let chunk = task % chunks
      let start = channels.lowerBound + chunk * input.chunk
      transformInput(
        input, block.source[task / chunks], chunk: chunk,
        channels: start..<min(channels.upperBound, start + input.chunk), inputPair, x, target)
    }
  }

  /// Tiles of dy to D, in panels.
  private func transform(
    _ dy: UnsafePointer<T>, _ block: TileBlock, _ d: UnsafeMutablePointer<T>, _ pool: WorkerPool
  ) {
    let target = PlaneTarget(
      base: d, planeStride: gradientStride, tileStride: T.panel, chunkStride: block.count * T.panel)
    pool.parallelFor(block.target.count * panels) { task in
      transformInput(
        gradient, block.target[task / panels], chunk: task % panels,
        channels: gradient.channelRange(task % panels), gradientPair, dy, target)
    }
  }

  /// G[plane] (+)= Vᵀ·D for all planes.
  private func multiply(
    _ v: UnsafePointer<T>, _ d: UnsafePointer<T>, _ g: UnsafeMutablePointer<T>, _ channels: Int,
    _ tiles: Int, accumulate: Bool, _ pool: WorkerPool
  ) throws {
    let rows = 96
    let pieces = (channels + rows - 1) / rows
    try pool.parallelFor(planes * pieces) { task in
      let (plane, row) = (task / pieces, task % pieces * rows)
      try T.multiply(
        min(rows, channels - row), filter.k, tiles, v + plane * inputStride + row, channels,
        transposed: true, d + plane * gradientStride, g + plane * productStride + row * filter.k, filter.k,
        accumulate: accumulate)
    }
  }
}
