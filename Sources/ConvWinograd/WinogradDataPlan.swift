import ConvCore
import Dispatch
import Synchronization

/// Forward, or backwardData as the forward convolution of dy with the flipped, transposed filter and padding r − 1 − p.
///
/// Per block of tiles: input windows → planes [tiles][in], one product per plane with the transformed filter
/// [in][out], planes [tiles][out] → tiles of the result. `Driver` says how the threads share that.
struct WinogradDataPlan<T: WinogradScalar>: ConvPlan {
  let operation: ConvOperation
  let variant: String
  let workspaceBytes: Int
  let preparedBytes: Int
  let executedFLOPs: Double
  let errorModel: ErrorModel

  private let source: ImageLayout
  private let target: ImageLayout
  private let filter: FilterLayout
  private let inputPair, filterPair, outputPair: TilePair
  private let planes: Int
  private let blockTiles: Int
  private let driver: Driver
  /// Private blocks, or filter panels, in work at once.
  private let slots: Int
  private let filterStride: Int
  /// Distance between the planes of one panel.
  private let panelStride: Int
  private let isPrepared: Bool
  private let tileBlocks: [TileBlock]

  var executedBy: String { "winograd" }

  /// How threads share the work. The result is the same, to the last bit.
  private enum Driver {
    /// Each thread takes whole blocks that fit its L2 cache: small filters, many tiles.
    case privateBlocks
    /// All threads share one larger block and split its planes and panels.
    case sharedBlock
    /// As `sharedBlock`, with each panel of a fresh filter transformed right before it is used: large filters, few
    /// tiles. The transformed filter is (m + r − 1)²/r² times as large as the filter and would be written to memory
    /// and read back.
    case fusedFilter
  }

  private var inputs: Int { filter.inputs }
  private var outputs: Int { filter.outputs }
  // Plane strides of a block, off powers of two so that one tile's elements spread over cache sets.
  private var inputStride: Int { WinogradDataPlan.padded(blockTiles * inputPitch) }
  private var outputStride: Int { WinogradDataPlan.padded(blockTiles * outputPitch) }
  // From one tile to the next within a plane.
  private var inputPitch: Int { WinogradDataPlan.pitch(inputs) }
  private var outputPitch: Int { WinogradDataPlan.pitch(outputs) }
  private var blockElements: Int { planes * (inputStride + outputStride) }

  private static func padded(_ count: Int) -> Int { (count + 15) / 16 * 16 + 16 }
  /// Rows of a plane that lie a power of two apart would meet in few sets of the L1 cache: one more line parts them.
  private static func pitch(_ channels: Int) -> Int {
    let bytes = channels * MemoryLayout<T>.stride
    return bytes % 1024 == 0 ? channels + 64 / MemoryLayout<T>.stride : channels
  }

  /// - Throws: `WinogradVariant.Refusal` where the workspace limit is too small for one tile.
  init(_ operation: ConvOperation, _ options: PlanOptions, _ variant: WinogradVariant) throws {
    let problem = operation.problem
    let backward = operation.pass == .backwardData
    let (vertical, horizontal) = (variant.vertical, variant.horizontal)
    let (from, to) = backward ? (problem.output, problem.input) : (problem.input, problem.output)
    let grid = TileGrid(
      images: problem.n, sourceH: from.h, sourceW: from.w, targetH: to.h, targetW: to.w,
      stepH: vertical.m, stepW: horizontal.m, windowH: vertical.tile, windowW: horizontal.tile,
      originH: backward ? vertical.r - 1 - problem.padding.top : problem.padding.top,
      originW: backward ? horizontal.r - 1 - problem.padding.left : problem.padding.left)
    let filter = FilterLayout(
      k: problem.k, c: problem.c, r: vertical.r, s: horizontal.r, format: operation.filterFormat,
      transposed: backward)
    let (v, h) = (vertical.transform, horizontal.transform)
    let planes = v.tile * h.tile
    self.operation = operation
    self.variant = variant.text
    self.filter = filter
    self.planes = planes
    inputPair = TilePair(
      vertical: CompiledMatrix(v.bt, rows: v.tile, columns: v.tile),
      horizontal: CompiledMatrix(h.bt, rows: h.tile, columns: h.tile))
    filterPair = TilePair(
      vertical: CompiledMatrix(v.g, rows: v.tile, columns: v.r),
      horizontal: CompiledMatrix(h.g, rows: h.tile, columns: h.r))
    outputPair = TilePair(
      vertical: CompiledMatrix(v.at, rows: v.m, columns: v.tile),
      horizontal: CompiledMatrix(h.at, rows: h.m, columns: h.tile))
    errorModel = .winograd(
      vertical: v, horizontal: h, depth: KernelMatrixMultiplier.summationDepth(filter.inputs))

    let size = MemoryLayout<T>.stride
    filterStride = filter.planeStride(panel: T.panel)
    let filterBytes = planes * filterStride * size
    preparedBytes = filterBytes
    isPrepared = options.filterState == .prepared

    // Blocks: a multiple of the product kernel's rows, V and M of one block in about 1 MB (private) or 12 MB (shared).
    let (inputPitch, outputPitch) = (
      WinogradDataPlan.pitch(filter.inputs), WinogradDataPlan.pitch(filter.outputs)
    )
    let tileBytes = planes * (inputPitch + outputPitch) * size
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
    let panels = (filter.outputs + T.panel - 1) / T.panel
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
    let pools = operation.epilogue.maxPool2x2
    let rowBytes = Double(vertical.m * size) * Double(to.w) * Double(filter.outputs)
    if pools && (vertical.m % 2 != 0 || horizontal.m % 2 != 0 || rowBytes > 0x1p20) {
      throw WinogradVariant.Refusal(
        "winograd pools rows of tiles with even sides in up to 1 MB, not \(vertical.m)×\(horizontal.m) in "
          + "\(rowBytes) bytes")
    }
    let chunk = driver == .privateBlocks ? 1 << 20 : 64
    let strip = 32 * 4 / size
    let (sourceFormat, targetFormat) =
      backward
      ? (operation.outputFormat, operation.inputFormat) : (operation.inputFormat, operation.outputFormat)
    source = ImageLayout(
      grid: grid, channels: filter.inputs, format: sourceFormat,
      chunk: min(filter.inputs, sourceFormat == .nchw ? strip : chunk))
    target = ImageLayout(
      grid: grid.target, channels: filter.outputs, format: targetFormat,
      chunk: pools ? filter.outputs : min(filter.outputs, targetFormat == .nchw ? strip : chunk))
    tileBlocks = TileBlock.all(of: tiles, by: blockTiles, source: source, target: target)
    let block =
      planes
      * (WinogradDataPlan.padded(blockTiles * inputPitch) + WinogradDataPlan.padded(blockTiles * outputPitch))
    panelStride = WinogradDataPlan.padded(KernelMatrixMultiplier.depthBlock(filter.inputs) * T.panel)
    switch driver {
    case .privateBlocks: workspaceBytes = (isPrepared ? 0 : filterBytes) + slots * block * size
    case .sharedBlock: workspaceBytes = (isPrepared ? 0 : filterBytes) + block * size
    case .fusedFilter: workspaceBytes = (slots * planes * panelStride + block) * size
    }

    let products = 2 * Double(planes) * Double(tiles) * Double(filter.inputs) * Double(filter.outputs)
    let filterFLOPs = isPrepared ? 0 : Double(filter.inputs * filter.outputs) * filterPair.flops
    executedFLOPs =
      products + filterFLOPs + Double(tiles)
      * (Double(filter.inputs) * inputPair.flops + Double(filter.outputs) * outputPair.flops)
  }

  var work: ConvWork {
    let size = Double(MemoryLayout<T>.stride)
    let tiles = Double(source.grid.tiles)
    let (ins, outs, count) = (Double(inputs), Double(outputs), Double(planes))
    let rows = (tiles / 6).rounded(.up) * 6
    let blocks = (tiles / Double(blockTiles)).rounded(.up)
    var work = ConvWork()
    // A tile of the kernel costs its accumulators' way to memory, too.
    work[.products] = 2 * count * rows * (outs / 8).rounded(.up) * 8 * (ins + 12)
    work[.moved] = 2 * count * tiles * (ins + outs) * size + (isPrepared ? 0 : 2 * count * ins * outs * size)
    work.addImage(
      source.format, Double(source.grid.images * source.grid.sourceH * source.grid.sourceW) * ins * size)
    work.addImage(
      target.format, Double(target.grid.images * target.grid.sourceH * target.grid.sourceW) * outs * size)
    work[.streamed] = blocks * count * ins * outs * size
    work[.calls] = blocks * count + tiles * (count / 8)
    return work
  }

  func prepare(filter weights: UnsafeRawPointer, pool: WorkerPool) throws -> PreparedFilter {
    let buffer = try PooledBuffer(byteCount: preparedBytes)
    filter.transform(
      weights.assumingMemoryBound(to: T.self), filterPair,
      into: buffer.baseAddress.assumingMemoryBound(to: T.self), pool: pool)
    return PreparedFilter(signature: signature, buffers: [buffer])
  }

  func execute(
    _ operands: ConvOperands, workspace: UnsafeMutableRawBufferPointer, pool: WorkerPool,
    phases: PhaseRecorder?
  ) throws {
    let bound = try operands.bound(for: operation, signature: signature)
    let fresh = operands.preparedFilter == nil
    if fresh && isPrepared {
      throw ConvError.operand("the plan was made for a prepared filter, none was given")
    }
    guard workspace.count >= workspaceBytes, let base = workspace.baseAddress else {
      throw ConvError.workspaceTooSmall(needed: workspaceBytes, found: workspace.count)
    }
    let backward = operation.pass == .backwardData
    let x = (backward ? bound.output : bound.input).assumingMemoryBound(to: T.self)
    let y = (backward ? bound.input : bound.output).assumingMemoryBound(to: T.self)
    let weights = UnsafePointer(bound.filter.assumingMemoryBound(to: T.self))
    let memory = base.assumingMemoryBound(to: T.self)
    if operation.epilogue.bias && operands.bias == nil {
      throw ConvError.operand("no bias was given for \(operation)")
    }
    var epilogue = OutputEpilogue<T>(
      bias: operation.epilogue.bias ? operands.bias?.assumingMemoryBound(to: T.self) : nil,
      relu: operation.epilogue.relu, accumulate: operation.epilogue.accumulate)
    var winners: PooledBuffer?
    if operation.epilogue.maxPool2x2 {
      if operands.argmax == nil { winners = try PooledBuffer(byteCount: operation.outputShape.reduce(1, *)) }
      epilogue.argmax = operands.argmax ?? winners?.baseAddress.assumingMemoryBound(to: UInt8.self)
    }
    defer { withExtendedLifetime(winners) {} }
    if driver == .fusedFilter && fresh {
      let panels = memory + blockElements
      try runShared(x, y, memory, epilogue, pool, phases) { v, m, count in
        try multiplyFused(weights, v, m, count, panels, pool)
      }
      return
    }
    // Filters first: transformed by `prepare`, or now.
    var u = weights
    var blocks = memory
    if !isPrepared && driver != .fusedFilter {
      if fresh {
        phases.measure("filter transform") {
          filter.transform(weights, filterPair, into: memory, pool: pool)
        }
        u = UnsafePointer(memory)
      }
      blocks += planes * filterStride
    }
    if driver == .privateBlocks {
      try runPrivate(x, u, y, blocks, epilogue, pool, phases)
    } else {
      try runShared(x, y, blocks, epilogue, pool, phases) { v, m, count in
        try multiply(u, v, m, count, pool)
      }
    }
  }

  /// Each thread takes the next block and does all of it.
  private func runPrivate(
    _ x: UnsafePointer<T>, _ u: UnsafePointer<T>, _ y: UnsafeMutablePointer<T>,
    _ blocks: UnsafeMutablePointer<T>, _ epilogue: OutputEpilogue<T>, _ pool: WorkerPool,
    _ phases: PhaseRecorder?
  ) throws {
    let next = Atomic<Int>(0)
    let isTimed = phases != nil
    let times = Mutex<[UInt64]>([0, 0, 0])
    try pool.parallelFor(slots) { slot in
      let v = blocks + slot * blockElements
      let m = v + planes * inputStride
      var spent: (UInt64, UInt64, UInt64) = (0, 0, 0)
      while true {
        let index = next.wrappingAdd(1, ordering: .relaxed).oldValue
        if index >= tileBlocks.count { break }
        let block = tileBlocks[index]
        let start = isTimed ? DispatchTime.now().uptimeNanoseconds : 0
        let planesTarget = PlaneTarget(
          base: v, planeStride: inputStride, tileStride: inputPitch, chunkStride: source.chunk)
        for band in block.source {
          for chunk in 0..<source.chunks {
            transformInput(
              source, band, chunk: chunk, channels: source.channelRange(chunk), inputPair, x, planesTarget)
          }
        }
        let transformed = isTimed ? DispatchTime.now().uptimeNanoseconds : 0
        for plane in 0..<planes {
          try T.multiply(
            block.count, outputs, inputs, v + plane * inputStride, inputPitch, transposed: false,
            u + plane * filterStride, m + plane * outputStride, outputPitch, accumulate: false)
        }
        let multiplied = isTimed ? DispatchTime.now().uptimeNanoseconds : 0
        for band in block.target {
          for chunk in 0..<target.chunks {
            transformOutput(
              target, band, chunk: chunk, outputPair, m, planeStride: outputStride, tileStride: outputPitch,
              y, epilogue)
          }
        }
        if isTimed {
          spent.0 += transformed - start
          spent.1 += multiplied - transformed
          spent.2 += DispatchTime.now().uptimeNanoseconds - multiplied
        }
      }
      if isTimed {
        times.withLock {
          $0[0] += spent.0
          $0[1] += spent.1
          $0[2] += spent.2
        }
      }
    }
    if let phases {
      // Threads work side by side: a phase's share of the wall time is its time over the number of slots.
      let total = times.withLock { $0 }
      for (name, nanoseconds) in zip(["input transform", "products", "output transform"], total) {
        phases.add(name, Double(nanoseconds) * 1e-9 / Double(slots))
      }
    }
  }

  /// All threads share one block: pieces of its input, then planes × panels, then pieces of its output.
  private func runShared(
    _ x: UnsafePointer<T>, _ y: UnsafeMutablePointer<T>, _ v: UnsafeMutablePointer<T>,
    _ epilogue: OutputEpilogue<T>, _ pool: WorkerPool, _ phases: PhaseRecorder?,
    products: (UnsafePointer<T>, UnsafeMutablePointer<T>, Int) throws -> Void
  ) throws {
    let m = v + planes * inputStride
    for block in tileBlocks {
      phases.measure("input transform") {
        let bands = block.source
        let planesTarget = PlaneTarget(
          base: v, planeStride: inputStride, tileStride: inputPitch, chunkStride: source.chunk)
        pool.parallelFor(bands.count * source.chunks) { task in
          let chunk = task % source.chunks
          transformInput(
            source, bands[task / source.chunks], chunk: chunk, channels: source.channelRange(chunk),
            inputPair, x,
            planesTarget)
        }
      }
      try phases.measure("products") { try products(v, m, block.count) }
      phases.measure("output transform") {
        let bands = block.target
        pool.parallelFor(bands.count * target.chunks) { task in
          transformOutput(
            target, bands[task / target.chunks], chunk: task % target.chunks, outputPair, m,
            planeStride: outputStride, tileStride: outputPitch, y, epilogue)
        }
      }
    }
  }
  /// M[plane] = V[plane]·U[plane] for `count` tiles, planes and panels side by side.
  private func multiply(
    _ u: UnsafePointer<T>, _ v: UnsafePointer<T>, _ m: UnsafeMutablePointer<T>, _ count: Int,
    _ pool: WorkerPool
  ) throws {
    let panel = T.panel
    let panels = (outputs + panel - 1) / panel
    try pool.parallelFor(planes * panels) { task in
      let (plane, column) = (task / panels, task % panels * panel)
      try T.multiply(
        count, min(panel, outputs - column), inputs, v + plane * inputStride, inputPitch, transposed: false,
        u + plane * filterStride + column * inputs, m + plane * outputStride + column, outputPitch,
        accumulate: false)
    }
  }

  /// The same with panels of the filter transformed into `scratch` as they are needed, in pieces of the kernel's own
  /// blocks of the sum over inputs: a piece stays in the L2 cache, and the bits are those of one product.
  private func multiplyFused(
    _ weights: UnsafePointer<T>, _ v: UnsafePointer<T>, _ m: UnsafeMutablePointer<T>, _ count: Int,
    _ scratch: UnsafeMutablePointer<T>, _ pool: WorkerPool
  ) throws {
    let panel = T.panel
    let panels = (outputs + panel - 1) / panel
    let depth = KernelMatrixMultiplier.depthBlock(inputs)
    let next = Atomic<Int>(0)
    try pool.parallelFor(slots) { slot in
      let u = scratch + slot * planes * panelStride
      while true {
        let index = next.wrappingAdd(1, ordering: .relaxed).oldValue
        if index >= panels { break }
        for first in stride(from: 0, to: inputs, by: depth) {
          let ins = first..<min(inputs, first + depth)
          filter.transform(weights, filterPair, panel: index, ins, into: u, planeStride: panelStride)
          for plane in 0..<planes {
            try T.multiply(
              count, min(panel, outputs - index * panel), ins.count, v + plane * inputStride + first,
              inputPitch, transposed: false, u + plane * panelStride,
              m + plane * outputStride + index * panel, outputPitch, accumulate: first > 0)
          }
        }
      }
    }
  }
}
