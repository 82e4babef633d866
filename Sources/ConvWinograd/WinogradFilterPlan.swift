import ConvCore

/// backwardFilter by F(r × s, m × m): dw is the output tile, tiles of dy are the filter, windows of x the input.
///
/// Per block of tiles: windows of x → V [plane][tile][C], tiles of dy → D in panels of K, G[plane] += Vᵀ·D; after the
/// last block Aᵀ brings G [plane][C][K] to dw. Blocks are summed in order, so the result does not depend on threads.
/// Where G would take too much of the workspace, the input channels are done in parts.
struct WinogradFilterPlan<T: WinogradScalar>: ConvPlan {
  let operation: ConvOperation
  let variant: String
  let errorModel: ErrorModel

  private let sizes: WinogradFilterSizes
  private let inputPair, gradientPair, filterPair: TilePair
  /// x in chunks of channels, dy in panels.
  private let input, gradient: ImageLayout
  private let blocks: [TileBlock]

  var executedBy: String { "winograd" }
  var workspaceBytes: Int { sizes.workspaceBytes }
  var executedFLOPs: Double { sizes.executedFLOPs }
  var work: ConvWork { sizes.work }

  private var grid: TileGrid { sizes.grid }
  private var filter: FilterLayout { sizes.filter }
  private var planes: Int { sizes.planes }
  private var blockTiles: Int { sizes.blockTiles }
  private var part: Int { sizes.part }
  private var panels: Int { sizes.panels }
  private var inputStride: Int { sizes.inputStride }
  private var gradientStride: Int { sizes.gradientStride }
  private var productStride: Int { sizes.productStride }

  /// - Throws: `WinogradVariant.Refusal` where the workspace limit is too small.
  init(_ operation: ConvOperation, _ options: PlanOptions, _ variant: WinogradVariant) throws {
    let problem = operation.problem
    let (vertical, horizontal) = try (variant.vertical.exchanged(), variant.horizontal.exchanged())
    let sizes = try WinogradFilterSizes(
      operation, options, vertical: vertical, horizontal: horizontal, panel: T.panel)
    self.operation = operation
    self.variant = variant.text
    self.sizes = sizes
    inputPair = TilePair(vertical: vertical.input, horizontal: horizontal.input)
    gradientPair = TilePair(vertical: vertical.filter, horizontal: horizontal.filter)
    filterPair = TilePair(vertical: vertical.output, horizontal: horizontal.output)
    let (grid, size) = (sizes.grid, MemoryLayout<T>.stride)
    input = ImageLayout(
      grid: grid, channels: problem.c, format: operation.inputFormat,
      chunk: operation.inputFormat == .nchw ? 128 / size : 64)
    gradient = ImageLayout(
      grid: grid.target, channels: problem.k, format: operation.outputFormat, chunk: T.panel)
    blocks = TileBlock.all(of: grid.tiles, by: sizes.blockTiles, source: input, target: gradient)
    errorModel = .winograd(
      vertical: vertical.transform, horizontal: horizontal.transform,
      depth: KernelMatrixMultiplier.summationDepth(grid.tiles, perCall: sizes.blockTiles))
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
