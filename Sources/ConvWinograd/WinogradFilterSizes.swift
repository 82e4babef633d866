import ConvCore

/// The numbers of a backward-filter plan: tiles, blocks, bytes, work. No matrices, no lists.
struct WinogradFilterSizes: Sendable {
  let operation: ConvOperation
  let grid: TileGrid
  let filter: FilterLayout
  let planes: Int
  let blockTiles: Int
  /// Input channels of one part.
  let part: Int
  let panels: Int
  let workspaceBytes: Int
  private let panel, size: Int
  /// Whether the transforms have kernels of their own.
  private let hasKernels: Bool
  /// FLOPs of one tile and channel.
  private let inputFLOPs, gradientFLOPs, filterFLOPs: Double

  static func padded(_ count: Int) -> Int { (count + 15) / 16 * 16 + 16 }
  var inputStride: Int { WinogradFilterSizes.padded(blockTiles * part) }
  var gradientStride: Int { WinogradFilterSizes.padded(blockTiles * panels * panel) }
  var productStride: Int { WinogradFilterSizes.padded(part * filter.k) }
  var parts: Int { (filter.c + part - 1) / part }

  /// - Parameters:
  ///   - vertical: F(r, m) along the height, as `TileAxis.exchanged` makes it, and so `horizontal`.
  ///   - panel: Columns of one panel of the product kernel, for the operation's element type.
  /// - Throws: `WinogradVariant.Refusal` where the workspace limit is too small.
  init(
    _ operation: ConvOperation, _ options: PlanOptions, vertical: TileAxis, horizontal: TileAxis, panel: Int
  ) throws {
    let problem = operation.problem
    let (m, r) = ((vertical.r, horizontal.r), (vertical.m, horizontal.m))
    let grid = TileGrid(
      images: problem.n, sourceH: problem.input.h, sourceW: problem.input.w, targetH: problem.output.h,
      targetW: problem.output.w, stepH: m.0, stepW: m.1, windowH: m.0 + r.0 - 1, windowW: m.1 + r.1 - 1,
      originH: problem.padding.top, originW: problem.padding.left)
    let planes = vertical.tile * horizontal.tile
    let panels = (problem.k + panel - 1) / panel
    self.operation = operation
    self.grid = grid
    self.planes = planes
    self.panels = panels
    self.panel = panel
    filter = FilterLayout(
      k: problem.k, c: problem.c, r: r.0, s: r.1, format: operation.filterFormat, transposed: false)
    hasKernels = TileAxis.hasKernels(vertical, horizontal)
    inputFLOPs = TilePair(vertical: vertical.input, horizontal: horizontal.input).flops
    gradientFLOPs = TilePair(vertical: vertical.filter, horizontal: horizontal.filter).flops
    filterFLOPs = TilePair(vertical: vertical.output, horizontal: horizontal.output).flops
    let tiles = grid.tiles

    // Bytes of V, D and G for blocks of `count` tiles and `channels` input channels at once.
    let size = operation.elementType.byteCount
    self.size = size
    func bytes(_ count: Int, _ channels: Int) -> (blocks: Int, products: Int) {
      let elements =
        WinogradFilterSizes.padded(count * channels) + WinogradFilterSizes.padded(count * panels * panel)
      return (planes * elements * size, planes * WinogradFilterSizes.padded(channels * problem.k) * size)
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
    let tileBytes = planes * (part + panels * panel) * size
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
    try grid.requireListable(blocksOf: count)
    self.part = part
    let total = bytes(count, part)
    workspaceBytes = total.blocks + total.products
  }

  /// Products and transforms as the algorithm has them, without empty lanes.
  var executedFLOPs: Double {
    let (c, k, tiles) = (Double(filter.c), Double(filter.k), Double(grid.tiles))
    return 2 * Double(planes) * tiles * c * k + c * k * filterFLOPs
      + tiles * (c * inputFLOPs + Double(parts) * k * gradientFLOPs)
  }

  /// The same as the kernels do it, and the ways to memory.
  var work: ConvWork {
    let lanes = Double(InstructionSet.current.vectorBytes / size)
    func whole(_ channels: Double) -> Double { (channels / lanes).rounded(.up) * lanes }
    let (bytes, tiles, count) = (Double(size), Double(grid.tiles), Double(planes))
    let (c, k, parts) = (Double(filter.c), Double(filter.k), Double(parts))
    let blocks = (tiles / Double(blockTiles)).rounded(.up)
    let operands = operation.operandBytes
    // G of one part stays where it is while blocks pass.
    let gradient = count * Double(part) * k * bytes
    var work = ConvWork()
    let transforms: ConvWork.Kind = hasKernels ? .transforms : .plainTransforms
    work[.products] = 2 * count * (c / 6).rounded(.up) * 6 * whole(k) * tiles
    work[transforms] =
      tiles * (whole(c) * inputFLOPs + parts * whole(k) * gradientFLOPs) + c * whole(k) * filterFLOPs
    work.add(
      .spread, 2 * count * tiles * (c + parts * k) * bytes,
      of: count * (Double(part) + k) * bytes * min(tiles, Double(blockTiles)))
    work.add(.spread, 2 * count * c * k * bytes, of: gradient)
    work.add(.moved, Double(filter.r * filter.s) * c * k * bytes, of: operands)
    work[.runs] = c * k / lanes
    // Channels that fill no vector are copied element by element, in and out.
    func rest(_ channels: Double) -> Double { channels == whole(channels) ? 0 : 1 }
    work[.runs] +=
      tiles * (rest(c) * 2 * count + parts * rest(k) * (count + Double(grid.stepH * grid.stepW)))
      + c * rest(k) * (count + Double(filter.r * filter.s))
    let images = Double(grid.images) * bytes
    work.addImage(
      operation.inputFormat, images * Double(grid.sourceH * grid.sourceW) * c, channels: min(32, filter.c),
      planeBytes: grid.sourceH * grid.sourceW * size, of: operands)
    work.addImage(
      operation.outputFormat, images * Double(grid.targetH * grid.targetW) * k * parts,
      channels: min(panel, filter.k),
      planeBytes: grid.targetH * grid.targetW * size, of: operands)
    work[.calls] = parts * blocks * count * (c / Double(part) / 96).rounded(.up) + 2 * parts * tiles
    return work
  }
}
