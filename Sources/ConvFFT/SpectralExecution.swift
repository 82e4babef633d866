#if FFTW
  import ConvCore
  import Synchronization

  // All generic loops are in this file, with the two entry points that name the types: without whole-module
  // optimisation the compiler specialises within one file only.

  /// Executes `plan` on bound operands.
  func executeSpectral(
    _ plan: SpectralPlan, _ bound: BoundOperands, prepared: Bool, workspace: UnsafeMutableRawPointer,
    _ pool: WorkerPool, _ phases: PhaseRecorder?
  ) {
    switch plan.operation.elementType {
    case .float64:
      SpectralExecution<Double>(plan, bound, prepared: prepared, workspace: workspace, pool).run(phases)
    default:
      SpectralExecution<Float>(plan, bound, prepared: prepared, workspace: workspace, pool).run(phases)
    }
  }

  /// Transforms a whole filter, block after block.
  func prepareSpectra(
    _ plan: SpectralPlan, filter: UnsafeRawPointer, spectra: UnsafeMutableRawPointer,
    scratch: UnsafeMutableRawPointer, _ pool: WorkerPool
  ) {
    let filter = UnsafeMutableRawPointer(mutating: filter)
    switch plan.operation.elementType {
    case .float64:
      SpectralExecution<Double>(plan, filter: filter, spectra: spectra, scratch: scratch, pool).prepare()
    default:
      SpectralExecution<Float>(plan, filter: filter, spectra: spectra, scratch: scratch, pool).prepare()
    }
  }

  private struct SpectralExecution<T: ConvScalar> {
    typealias Pointer = UnsafeMutablePointer<T>
    let plan: SpectralPlan
    let layout: SpectralLayout
    let pool: WorkerPool
    /// x or dx, w or dw, y or dy. Those that an execution has not are never read.
    let input, filter, output: Pointer
    let prepared: Bool
    /// Blocks of spectra; with a prepared filter `operators` is all of it.
    let source, operators, result: Pointer
    let scratch: Pointer

    init(
      _ plan: SpectralPlan, _ bound: BoundOperands, prepared: Bool, workspace: UnsafeMutableRawPointer,
      _ pool: WorkerPool
    ) {
      self.plan = plan
      layout = plan.layout
      self.pool = pool
      input = bound.input.assumingMemoryBound(to: T.self)
      filter = bound.filter.assumingMemoryBound(to: T.self)
      output = bound.output.assumingMemoryBound(to: T.self)
      self.prepared = prepared
      let base = workspace.assumingMemoryBound(to: T.self)
      scratch = base
      source = scratch + layout.scratchElements
      result = source + layout.sourceElements
      operators = prepared ? filter : result + layout.resultElements
    }

    init(
      _ plan: SpectralPlan, filter: UnsafeMutableRawPointer, spectra: UnsafeMutableRawPointer,
      scratch: UnsafeMutableRawPointer, _ pool: WorkerPool
    ) {
      self.plan = plan
      layout = plan.layout
      self.pool = pool
      self.filter = filter.assumingMemoryBound(to: T.self)
      operators = spectra.assumingMemoryBound(to: T.self)
      self.scratch = scratch.assumingMemoryBound(to: T.self)
      (input, output, source, result) = (self.filter, self.filter, self.scratch, self.scratch)
      prepared = false
    }

    // MARK: The passes

    func run(_ phases: PhaseRecorder?) {
      if layout.pass == .backwardFilter { runBackwardFilter(phases) } else { runData(phases) }
    }

    func prepare() {
      for g in 0..<layout.groupBlocks {
        for o in 0..<layout.produceBlocks {
          for i in 0..<layout.sumBlocks {
            transformFilter(block(g, i, o, 0), into: operators + operatorOffset(g, i, o))
          }
        }
      }
    }

    /// forward: result y = x · conj(w); backwardData: result dx = dy · w.
    private func runData(_ phases: PhaseRecorder?) {
      let forward = layout.pass == .forward
      if !forward { phases.measure("output transform") { clear(input, layout.input) } }
      // What the source and operator buffers hold.
      var (held, transformed) = ([-1], [-1])
      for g in 0..<layout.groupBlocks {
        for o in 0..<layout.produceBlocks {
          for t in 0..<layout.tileBlocks {
            for i in 0..<layout.sumBlocks {
              let block = block(g, i, o, t)
              if held != [g, i, t] {
                held = [g, i, t]
                phases.measure("input transform") {
                  transformSource(block, forward ? layout.input : layout.output, forward ? input : output)
                }
              }
              var spectra = operators
              if prepared {
                spectra += operatorOffset(g, i, o)
              } else if transformed != [g, i, o] {
                transformed = [g, i, o]
                phases.measure("filter transform") { transformFilter(block, into: operators) }
              }
              phases.measure("products") { multiplyTiles(block, spectra, accumulate: i > 0) }
            }
            let block = block(g, 0, o, t)
            phases.measure("output transform") {
              invertResult(block, forward ? layout.output : layout.input, forward ? output : input)
            }
          }
        }
      }
    }

    /// result dw = Σ x · conj(dy) over tiles, in their order.
    private func runBackwardFilter(_ phases: PhaseRecorder?) {
      var (held, transformed) = ([-1], [-1])
      for g in 0..<layout.groupBlocks {
        for i in 0..<layout.sumBlocks {
          for o in 0..<layout.produceBlocks {
            for t in 0..<layout.tileBlocks {
              let block = block(g, i, o, t)
              if held != [g, i, t] {
                held = [g, i, t]
                phases.measure("input transform") { transformSource(block, layout.input, input) }
              }
              if transformed != [g, o, t] {
                transformed = [g, o, t]
                phases.measure("gradient transform") { transformGradient(block) }
              }
              phases.measure("products") { multiplyFilter(block, accumulate: t > 0) }
            }
            phases.measure("output transform") { invertFilter(block(g, i, o, 0)) }
          }
        }
      }
    }

    private func block(_ g: Int, _ i: Int, _ o: Int, _ t: Int) -> Block {
      func range(_ index: Int, _ size: Int, _ count: Int) -> Range<Int> {
        index * size..<min(count, (index + 1) * size)
      }
      return Block(
        groups: range(g, layout.groupBlock, layout.groups), sum: range(i, layout.sumBlock, layout.sum),
        produce: range(o, layout.produceBlock, layout.produce),
        tiles: range(t, layout.tileBlock, layout.tiles))
    }

    private func operatorOffset(_ g: Int, _ i: Int, _ o: Int) -> Int {
      ((g * layout.produceBlocks + o) * layout.sumBlocks + i) * layout.operatorElements
    }

    // MARK: Tasks

    /// Calls `body` for every row and block of at most `size` columns, with scratch that is its own.
    private func forEachBlock(
      rows: Int, columns: Int, size: Int,
      _ body: (_ row: Int, _ columns: Range<Int>, _ real: Pointer, _ complex: Pointer) -> Void
    ) {
      let blocks = (columns + size - 1) / size
      let count = rows * blocks
      let next = Atomic<Int>(0)
      let perSlot = layout.realScratch + layout.complexScratch
      pool.parallelFor(min(layout.slots, count)) { slot in
        let real = scratch + slot * perSlot
        while true {
          let task = next.wrappingAdd(1, ordering: .relaxed).oldValue
          if task >= count { break }
          let first = task % blocks * size
          body(task / blocks, first..<min(columns, first + size), real, real + layout.realScratch)
        }
      }
    }

    // MARK: Source

    private func transformSource(_ block: Block, _ side: PlaneSide, _ memory: Pointer) {
      let groups = block.groups.count
      let columns = block.sum.count * groups
      let rows = block.tiles.count
      var target = SpectrumTarget(real: 0, imaginary: columns, negated: nil, stride: layout.sourceStride)
      var rowStride = 2 * columns
      if layout.pass == .backwardFilter {
        target.imaginary = rows * columns
        rowStride = columns
      }
      transformTiles(
        block, side, memory, channels: block.sum, rowStride: rowStride, target, plan.fastSource,
        into: source)
    }

    /// dy of a backwardFilter pass: [−Im; Re; Im] × tiles × channels.
    private func transformGradient(_ block: Block) {
      let columns = block.produce.count * block.groups.count
      let rows = block.tiles.count
      transformTiles(
        block, layout.output, output, channels: block.produce, rowStride: columns,
        SpectrumTarget(
          real: rows * columns, imaginary: 2 * rows * columns, negated: 0, stride: layout.operatorStride),
        plan.fastOperator, into: operators)
    }

    private func transformTiles(
      _ block: Block, _ side: PlaneSide, _ memory: Pointer, channels: Range<Int>, rowStride: Int,
      _ target: SpectrumTarget, _ fast: RealTransform?, into spectra: Pointer
    ) {
      let groups = block.groups.count
      let columns = channels.count * groups
      let samples = layout.height * layout.width
      let size = SpectralPlan.batch(columns, largest: batch(fast, of: columns))
      forEachBlock(rows: block.tiles.count, columns: columns, size: size) { row, range, real, complex in
        let tile = block.tiles.lowerBound + row
        for column in range {
          gather(
            side, memory, tile: tile, group: block.groups.lowerBound + column % groups,
            channel: channels.lowerBound + column / groups,
            into: real + (column - range.lowerBound) * samples)
        }
        transform(
          real, complex, range, fast, plan.denseData, target,
          into: spectra + row * rowStride + range.lowerBound)
      }
    }

    /// Planes of one transform: the fast ones were planned for the largest block of columns.
    private func batch(_ fast: RealTransform?, of columns: Int) -> Int {
      fast?.count ?? min(columns, SpectralLayout.denseBatch)
    }

    // MARK: Filter

    /// Memory offset and phase of a filter plane, by the operator's row (summed over) and column (produced).
    @inline(__always)
    private func filterPlane(_ group: Int, _ sum: Int, _ produce: Int) -> (offset: Int, phase: Int) {
      let (c, k) = layout.pass == .backwardData ? (produce, sum) : (sum, produce)
      let channels = layout.input.channels
      let plane = (group * layout.output.channels + k) * channels + c % channels
      return (plane * layout.vertical.taps * layout.horizontal.taps, c / channels)
    }

    /// forward: [−Im; Re; Im] × channels summed × channels produced; backwardData: [Im; Re; −Im].
    private func transformFilter(_ block: Block, into spectra: Pointer) {
      let groups = block.groups.count
      let columns = block.produce.count * groups
      let part = block.sum.count * columns
      let forward = layout.pass == .forward
      let target = SpectrumTarget(
        real: part, imaginary: forward ? 2 * part : 0, negated: forward ? 0 : 2 * part,
        stride: layout.operatorStride)
      let dense = plan.denseFilter
      // A fast transform reads a tile of zeros around the taps, a dense one the taps alone.
      let rows = dense == nil ? layout.height : layout.vertical.span
      let width = dense == nil ? layout.width : layout.horizontal.span
      let phases = layout.horizontal.phases
      let size = SpectralPlan.batch(columns, largest: batch(plan.fastOperator, of: columns))
      let step = dense == nil ? 1 : SpectralLayout.denseRows
      forEachBlock(rows: (block.sum.count + step - 1) / step, columns: columns, size: size) {
        rowBlock, range, real, complex in
        let sums = rowBlock * step..<min(block.sum.count, (rowBlock + 1) * step)
        let samples = rows * width
        for column in range {
          let plane = real + (column - range.lowerBound) * samples
          let group = block.groups.lowerBound + column % groups
          let produce = block.produce.lowerBound + column / groups
          for row in sums {
            let (offset, phase) = filterPlane(group, block.sum.lowerBound + row, produce)
            copyIn(
              filter + offset, width: layout.horizontal.taps, layout.verticalTaps[phase / phases],
              layout.horizontalTaps[phase % phases],
              plane: plane + (row - sums.lowerBound) * range.count * samples, rows: rows, columns: width)
          }
        }
        for row in sums {
          transform(
            real + (row - sums.lowerBound) * range.count * samples, complex, range, plan.fastOperator, dense,
            target, into: spectra + row * columns + range.lowerBound)
        }
      }
    }

    /// dw from result [Re; Im] × channels summed (C) × channels produced (K).
    private func invertFilter(_ block: Block) {
      let groups = block.groups.count
      let columns = block.produce.count * groups
      let dense = plan.denseFilter
      let width = dense == nil ? layout.width : layout.horizontal.span
      let samples = dense == nil ? layout.height * width : layout.vertical.span * width
      let phases = layout.horizontal.phases
      let size = SpectralPlan.batch(columns, largest: batch(plan.fastResult, of: columns))
      let target = SpectrumTarget(
        real: 0, imaginary: block.sum.count * columns, negated: nil, stride: layout.resultStride)
      let scale = dense == nil ? 1 / T(samples) : 1
      let step = dense == nil ? 1 : SpectralLayout.denseRows
      forEachBlock(rows: (block.sum.count + step - 1) / step, columns: columns, size: size) {
        rowBlock, range, real, complex in
        let sums = rowBlock * step..<min(block.sum.count, (rowBlock + 1) * step)
        for row in sums {
          invert(
            result + row * columns + range.lowerBound, target, range, plan.fastResult, dense, complex,
            real + (row - sums.lowerBound) * range.count * samples)
        }
        for column in range {
          let plane = real + (column - range.lowerBound) * samples
          let group = block.groups.lowerBound + column % groups
          let produce = block.produce.lowerBound + column / groups
          for row in sums {
            let (offset, phase) = filterPlane(group, block.sum.lowerBound + row, produce)
            copyOut(
              plane + (row - sums.lowerBound) * range.count * samples, columns: width, scale: scale,
              layout.verticalTaps[phase / phases], layout.horizontalTaps[phase % phases], filter + offset,
              width: layout.horizontal.taps)
          }
        }
      }
    }

    // MARK: Result

    private func invertResult(_ block: Block, _ side: PlaneSide, _ memory: Pointer) {
      let groups = block.groups.count
      let columns = block.produce.count * groups
      let samples = layout.height * layout.width
      let size = SpectralPlan.batch(columns, largest: batch(plan.fastResult, of: columns))
      let target = SpectrumTarget(real: 0, imaginary: columns, negated: nil, stride: layout.resultStride)
      let scale = plan.denseData == nil ? 1 / T(samples) : 1
      forEachBlock(rows: block.tiles.count, columns: columns, size: size) { row, range, real, complex in
        invert(
          result + row * 2 * columns + range.lowerBound, target, range, plan.fastResult, plan.denseData,
          complex, real)
        for column in range {
          let at = locate(
            side, tile: block.tiles.lowerBound + row, group: block.groups.lowerBound + column % groups,
            channel: block.produce.lowerBound + column / groups)
          copyOut(
            real + (column - range.lowerBound) * samples, columns: layout.width, scale: scale, at.vertical,
            at.horizontal, memory + at.offset, width: side.width)
        }
      }
    }

    /// Zeros: inputs that no output reads have no tile.
    private func clear(_ memory: Pointer, _ side: PlaneSide) {
      let plane = side.height * side.width
      pool.parallelFor(layout.operation.problem.n * side.allChannels) { index in
        (memory + index * plane).update(repeating: 0, count: plane)
      }
    }

    // MARK: Planes

    @inline(__always)
    private func locate(
      _ side: PlaneSide, tile: Int, group: Int, channel: Int
    ) -> (offset: Int, vertical: Window, horizontal: Window) {
      let (image, place) = tile.quotientAndRemainder(dividingBy: layout.tilesPerImage)
      let (v, h) = place.quotientAndRemainder(dividingBy: layout.horizontalTiles)
      let (phase, c) = channel.quotientAndRemainder(dividingBy: side.channels)
      let (pv, ph) = phase.quotientAndRemainder(dividingBy: side.horizontalPhases)
      let plane = image * side.allChannels + group * side.channels + c
      return (
        plane * side.height * side.width, side.verticalWindows[pv * layout.verticalTiles + v],
        side.horizontalWindows[ph * layout.horizontalTiles + h]
      )
    }

    @inline(__always)
    private func gather(
      _ side: PlaneSide, _ memory: Pointer, tile: Int, group: Int, channel: Int, into plane: Pointer
    ) {
      let at = locate(side, tile: tile, group: group, channel: channel)
      copyIn(
        memory + at.offset, width: side.width, at.vertical, at.horizontal, plane: plane,
        rows: layout.height, columns: layout.width)
    }

    /// plane = the windows of a memory plane `width` wide, zero elsewhere.
    @inline(__always)
    private func copyIn(
      _ memory: Pointer, width: Int, _ vertical: Window, _ horizontal: Window, plane: Pointer, rows: Int,
      columns: Int
    ) {
      if vertical.hi - vertical.lo < rows || horizontal.hi - horizontal.lo < columns {
        plane.update(repeating: 0, count: rows * columns)
      }
      let count = horizontal.hi - horizontal.lo
      guard count > 0 else { return }
      for row in vertical.lo..<vertical.hi {
        let from =
          memory + (vertical.start + (row - vertical.lo) * vertical.stride) * width + horizontal.start
        let to = plane + row * columns + horizontal.lo
        if horizontal.stride == 1 {
          for index in 0..<count { to[index] = from[index] }
        } else {
          for index in 0..<count { to[index] = from[index * horizontal.stride] }
        }
      }
    }

    /// The windows of a memory plane = scale · plane.
    @inline(__always)
    private func copyOut(
      _ plane: Pointer, columns: Int, scale: T, _ vertical: Window, _ horizontal: Window,
      _ memory: Pointer, width: Int
    ) {
      let count = horizontal.hi - horizontal.lo
      guard count > 0 else { return }
      for row in vertical.lo..<vertical.hi {
        let to = memory + (vertical.start + (row - vertical.lo) * vertical.stride) * width + horizontal.start
        let from = plane + row * columns + horizontal.lo
        if horizontal.stride == 1 {
          for index in 0..<count { to[index] = scale * from[index] }
        } else {
          for index in 0..<count { to[index * horizontal.stride] = scale * from[index] }
        }
      }
    }

    // MARK: Transforms

    /// Spectra of the planes in `real`, one for each of `range`, stored at `spectra`.
    @inline(__always)
    private func transform(
      _ real: Pointer, _ complex: Pointer, _ range: Range<Int>, _ fast: RealTransform?,
      _ dense: DenseTransform?, _ target: SpectrumTarget, into spectra: Pointer
    ) {
      let count = range.count
      guard let fast else {
        let dense = dense!
        func product(_ matrix: UnsafePointer<T>, _ row: Int) {
          plan.multiplier.multiply(
            m: dense.bins, n: count, k: dense.samples, a: matrix, lda: dense.samples, transposeA: false,
            b: UnsafePointer(real), ldb: dense.samples, transposeB: true, c: spectra + row,
            ldc: target.stride, accumulate: false)
        }
        product(dense.real(T.self), target.real)
        product(dense.imaginary(T.self), target.imaginary)
        if let row = target.negated { product(dense.negatedImaginary(T.self), row) }
        return
      }
      let samples = layout.height * layout.width
      if count < fast.count {
        // The plan transforms full batches only.
        (real + count * samples).update(repeating: 0, count: (fast.count - count) * samples)
      }
      fast.forward(real, complex)
      for bin in 0..<layout.bins {
        let from = complex + 2 * bin * fast.count
        let to = spectra + bin * target.stride
        let (re, im) = (to + target.real, to + target.imaginary)
        for index in 0..<count {
          re[index] = from[2 * index]
          im[index] = from[2 * index + 1]
        }
        if let negated = target.negated {
          let ni = to + negated
          for index in 0..<count { ni[index] = -from[2 * index + 1] }
        }
      }
    }

    /// The planes of spectra at `spectra`, into `real`.
    @inline(__always)
    private func invert(
      _ spectra: Pointer, _ target: SpectrumTarget, _ range: Range<Int>, _ fast: RealTransform?,
      _ dense: DenseTransform?, _ complex: Pointer, _ real: Pointer
    ) {
      let count = range.count
      guard let fast else {
        let dense = dense!
        func product(_ matrix: UnsafePointer<T>, _ row: Int, _ accumulate: Bool) {
          plan.multiplier.multiply(
            m: count, n: dense.samples, k: dense.bins, a: UnsafePointer(spectra + row), lda: target.stride,
            transposeA: true, b: matrix, ldb: dense.samples, transposeB: false, c: real, ldc: dense.samples,
            accumulate: accumulate)
        }
        product(dense.inverseReal(T.self), target.real, false)
        product(dense.inverseImaginary(T.self), target.imaginary, true)
        return
      }
      for bin in 0..<layout.bins {
        let to = complex + 2 * bin * fast.count
        let from = spectra + bin * target.stride
        let (re, im) = (from + target.real, from + target.imaginary)
        for index in 0..<count {
          to[2 * index] = re[index]
          to[2 * index + 1] = im[index]
        }
        for index in 2 * count..<2 * fast.count { to[index] = 0 }
      }
      fast.inverse(complex, real)
    }

    // MARK: Products

    /// Calls `body` for every bin and block of `rows`, in parallel.
    private func forEachBin(rows: Int, _ body: (_ bin: Int, _ rows: Range<Int>) -> Void) {
      // With few bins their rows are split too, so that all cores have work.
      let size = layout.bins >= 32 ? rows : max(64, (rows * layout.bins + 31) / 32)
      let blocks = (rows + size - 1) / size
      pool.parallelFor(layout.bins * blocks) { task in
        let first = task % blocks * size
        body(task / blocks, first..<min(rows, first + size))
      }
    }

    /// Per bin: [Re Im](tiles × 2I) · operator (3I × O): rows 0..<2I give Im, rows I..<3I give Re.
    private func multiplyTiles(_ block: Block, _ spectra: Pointer, accumulate: Bool) {
      let (i, o, groups) = (block.sum.count, block.produce.count, block.groups.count)
      if layout.groupBlock > 1 {
        forEachBin(rows: block.tiles.count) { bin, rows in
          GroupProducts(i: i, o: o, groups: groups).tiles(
            rows, source + bin * layout.sourceStride, spectra + bin * layout.operatorStride,
            result + bin * layout.resultStride)
        }
        return
      }
      forEachBin(rows: block.tiles.count) { bin, rows in
        let a = UnsafePointer(source + bin * layout.sourceStride + rows.lowerBound * 2 * i)
        let b = UnsafePointer(spectra + bin * layout.operatorStride)
        let c = result + bin * layout.resultStride + rows.lowerBound * 2 * o
        plan.multiplier.multiply(
          m: rows.count, n: o, k: 2 * i, a: a, lda: 2 * i, transposeA: false, b: b + i * o, ldb: o,
          transposeB: false, c: c, ldc: 2 * o, accumulate: accumulate)
        plan.multiplier.multiply(
          m: rows.count, n: o, k: 2 * i, a: a, lda: 2 * i, transposeA: false, b: b, ldb: o,
          transposeB: false, c: c + o, ldc: 2 * o, accumulate: accumulate)
      }
    }

    /// Per bin: source [Re; Im](2·tiles × C)ᵀ · gradient (3·tiles × K): rows 0..<2·tiles give Im, tiles...
    /// give Re.
    private func multiplyFilter(_ block: Block, accumulate: Bool) {
      let (i, o, groups, tiles) = (
        block.sum.count, block.produce.count, block.groups.count, block.tiles.count
      )
      if layout.groupBlock > 1 {
        forEachBin(rows: 1) { bin, _ in
          GroupProducts(i: i, o: o, groups: groups).filter(
            tiles, source + bin * layout.sourceStride, operators + bin * layout.operatorStride,
            result + bin * layout.resultStride, accumulate: accumulate)
        }
        return
      }
      forEachBin(rows: i) { bin, rows in
        let a = UnsafePointer(source + bin * layout.sourceStride + rows.lowerBound)
        let b = UnsafePointer(operators + bin * layout.operatorStride)
        let c = result + bin * layout.resultStride + rows.lowerBound * o
        plan.multiplier.multiply(
          m: rows.count, n: o, k: 2 * tiles, a: a, lda: i, transposeA: true, b: b + tiles * o, ldb: o,
          transposeB: false, c: c, ldc: o, accumulate: accumulate)
        plan.multiplier.multiply(
          m: rows.count, n: o, k: 2 * tiles, a: a, lda: i, transposeA: true, b: b, ldb: o,
          transposeB: false, c: c + i * o, ldc: o, accumulate: accumulate)
      }
    }
  }
#endif
