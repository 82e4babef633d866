import ConvCore
import Dispatch
import Synchronization

/// Forward, or backwardData as the forward convolution of dy with the flipped, transposed filter and padding r − 1 − p.
///
/// Per block of tiles: input windows → planes [tiles][in], one product per plane with the transformed filter
/// [in][out], planes [tiles][out] → tiles of the result. `WinogradDataSizes.Driver` says how the threads share that.
struct WinogradDataPlan<T: WinogradScalar>: ConvPlan {
  let operation: ConvOperation
  let variant: String
  let errorModel: ErrorModel

  private let sizes: WinogradDataSizes
  private let source: ImageLayout
  private let target: ImageLayout
  private let inputPair, filterPair, outputPair: TilePair
  private let tileBlocks: [TileBlock]

  var executedBy: String { "winograd" }
  var workspaceBytes: Int { sizes.workspaceBytes }
  var preparedBytes: Int { sizes.preparedBytes }
  var executedFLOPs: Double { sizes.executedFLOPs }
  var work: ConvWork { sizes.work }

  private var filter: FilterLayout { sizes.filter }
  private var planes: Int { sizes.planes }
  private var slots: Int { sizes.slots }
  private var filterStride: Int { sizes.filterStride }
  private var panelStride: Int { sizes.panelStride }
  private var isPrepared: Bool { sizes.isPrepared }
  private var inputs: Int { sizes.filter.inputs }
  private var outputs: Int { sizes.filter.outputs }
  private var inputStride: Int { sizes.inputStride }
  private var outputStride: Int { sizes.outputStride }
  private var inputPitch: Int { sizes.inputPitch }
  private var outputPitch: Int { sizes.outputPitch }
  private var blockElements: Int { sizes.blockElements }

  /// - Throws: `WinogradVariant.Refusal` where the workspace limit is too small for one tile.
  init(_ operation: ConvOperation, _ options: PlanOptions, _ variant: WinogradVariant) throws {
    let sizes = try WinogradDataSizes(operation, options, variant, panel: T.panel)
    let (vertical, horizontal) = (variant.vertical, variant.horizontal)
    self.operation = operation
    self.variant = variant.text
    self.sizes = sizes
    inputPair = TilePair(vertical: vertical.input, horizontal: horizontal.input)
    filterPair = TilePair(vertical: vertical.filter, horizontal: horizontal.filter)
    outputPair = TilePair(vertical: vertical.output, horizontal: horizontal.output)
    let (inputs, outputs) = (sizes.filter.inputs, sizes.filter.outputs)
    errorModel = .winograd(
      vertical: vertical.transform, horizontal: horizontal.transform,
      depth: KernelMatrixMultiplier.summationDepth(inputs))
    let backward = operation.pass == .backwardData
    let chunk = sizes.driver == .privateBlocks ? 1 << 20 : 64
    let strip = 32 * 4 / MemoryLayout<T>.stride
    let (sourceFormat, targetFormat) =
      backward
      ? (operation.outputFormat, operation.inputFormat) : (operation.inputFormat, operation.outputFormat)
    source = ImageLayout(
      grid: sizes.grid, channels: inputs, format: sourceFormat,
      chunk: min(inputs, sourceFormat == .nchw ? strip : chunk))
    target = ImageLayout(
      grid: sizes.grid.target, channels: outputs, format: targetFormat,
      chunk: operation.epilogue.maxPool2x2 ? outputs : min(outputs, targetFormat == .nchw ? strip : chunk))
    tileBlocks = TileBlock.all(of: sizes.tiles, by: sizes.blockTiles, source: source, target: target)
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
    if sizes.driver == .fusedFilter && fresh {
      let panels = memory + blockElements
      try runShared(x, y, memory, epilogue, pool, phases) { v, m, count in
        try multiplyFused(weights, v, m, count, panels, pool)
      }
      return
    }
    // Filters first: transformed by `prepare`, or now.
    var u = weights
    var blocks = memory
    if !isPrepared && sizes.driver != .fusedFilter {
      if fresh {
        phases.measure("filter transform") {
          filter.transform(weights, filterPair, into: memory, pool: pool)
        }
        u = UnsafePointer(memory)
      }
      blocks += planes * filterStride
    }
    if sizes.driver == .privateBlocks {
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
