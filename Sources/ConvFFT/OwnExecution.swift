import ConvCore
import Synchronization

/// One execution of an `OwnPlan`.
///
/// Phases are loops over small tasks that the threads claim: segments of tiles × lane blocks for images, lane blocks ×
/// channels for filters, bins for products. What a task computes does not depend on who claims it.
struct OwnExecution {
  typealias Pointer = UnsafeMutablePointer<Float>
  private let layout: OwnLayout
  private let transform: OwnTransform
  private let strips: LaneStrips
  private let pool: WorkerPool
  /// x or dx, w or dw, y or dy. Those that an execution has not are never read.
  private let input, filter, output: Pointer
  private let prepared: Bool
  /// Blocks of spectra; with a prepared filter `operators` is all of it.
  private let source, operators, result: Pointer
  private let scratch: Pointer

  /// For the passes.
  init(
    _ layout: OwnLayout, _ transform: OwnTransform, _ pool: WorkerPool, _ bound: BoundOperands,
    prepared: Bool, workspace: UnsafeMutableRawPointer
  ) {
    self.layout = layout
    self.transform = transform
    self.pool = pool
    self.prepared = prepared
    strips = LaneStrips(kernels: transform.kernels, lanes: transform.lanes)
    input = bound.input.assumingMemoryBound(to: Float.self)
    filter = bound.filter.assumingMemoryBound(to: Float.self)
    output = bound.output.assumingMemoryBound(to: Float.self)
    scratch = workspace.assumingMemoryBound(to: Float.self)
    source = scratch + layout.scratchFloats
    result = source + layout.sourceFloats
    operators = prepared ? filter : result + layout.resultFloats
  }

  /// For `prepare`.
  init(
    _ layout: OwnLayout, _ transform: OwnTransform, _ pool: WorkerPool, filter: UnsafeMutableRawPointer,
    spectra: UnsafeMutableRawPointer, scratch: UnsafeMutableRawPointer
  ) {
    self.layout = layout
    self.transform = transform
    self.pool = pool
    prepared = false
    strips = LaneStrips(kernels: transform.kernels, lanes: transform.lanes)
    self.filter = filter.assumingMemoryBound(to: Float.self)
    operators = spectra.assumingMemoryBound(to: Float.self)
    self.scratch = scratch.assumingMemoryBound(to: Float.self)
    (input, output, source, result) = (self.filter, self.filter, self.scratch, self.scratch)
  }

  // MARK: The passes

  func run(_ phases: PhaseRecorder?) {
    for group in 0..<layout.groups {
      if layout.pass == .backwardFilter { runFilter(group, phases) } else { runData(group, phases) }
    }
  }

  func prepare() {
    for group in 0..<layout.groups {
      for o in 0..<layout.produceBlocks {
        for i in 0..<layout.sumBlocks {
          transformFilter(group, sums(i), produces(o), into: operators + operatorOffset(group, o, i))
        }
      }
    }
  }

  /// result y = x · conj(w); for backwardData dx = dy · conj(w reversed).
  private func runData(_ group: Int, _ phases: PhaseRecorder?) {
    // What the source and operator buffers hold.
    var (held, transformed) = ([-1], [-1])
    for o in 0..<layout.produceBlocks {
      for t in 0..<layout.tileBlocks {
        for i in 0..<layout.sumBlocks {
          if held != [i, t] {
            held = [i, t]
            phases.measure("input transform") { transformSource(group, sums(i), tiles(t)) }
          }
          var spectra = operators
          if prepared {
            spectra += operatorOffset(group, o, i)
          } else if transformed != [i, o] {
            transformed = [i, o]
            phases.measure("filter transform") {
              transformFilter(group, sums(i), produces(o), into: operators)
            }
          }
          phases.measure("products") {
            multiply(
              rows: tiles(t).count, depth: channels(sums(i)), produces(o), operators: spectra,
              accumulate: i > 0)
          }
        }
        phases.measure("output transform") { invertResult(group, produces(o), tiles(t)) }
      }
    }
  }

  /// result dw = Σ x · conj(dy) over tiles, in their order.
  private func runFilter(_ group: Int, _ phases: PhaseRecorder?) {
    var (held, transformed) = ([-1], [-1])
    for i in 0..<layout.sumBlocks {
      for o in 0..<layout.produceBlocks {
        for t in 0..<layout.tileBlocks {
          if held != [i, t] {
            held = [i, t]
            phases.measure("input transform") { transformSource(group, sums(i), tiles(t)) }
          }
          if transformed != [o, t] {
            transformed = [o, t]
            phases.measure("gradient transform") { transformGradient(group, produces(o), tiles(t)) }
          }
          phases.measure("products") {
            multiply(
              rows: channels(sums(i)), depth: tiles(t).count, produces(o), operators: operators,
              accumulate: t > 0)
          }
        }
        phases.measure("output transform") { invertFilter(group, sums(i), produces(o)) }
      }
    }
  }

  // MARK: Blocks and tasks

  private func block(_ index: Int, _ size: Int, _ count: Int) -> Range<Int> {
    index * size..<min(count, (index + 1) * size)
  }
  private func sums(_ index: Int) -> Range<Int> { block(index, layout.sumBlock, layout.sumLanes) }
  private func produces(_ index: Int) -> Range<Int> { block(index, layout.produceBlock, layout.produceLanes) }
  private func tiles(_ index: Int) -> Range<Int> { block(index, layout.tileBlock, layout.tiles) }
  /// Channels summed over in lane blocks.
  private func channels(_ blocks: Range<Int>) -> Int {
    min(layout.sum, blocks.upperBound * layout.lanes) - blocks.lowerBound * layout.lanes
  }
  private func operatorOffset(_ group: Int, _ o: Int, _ i: Int) -> Int {
    ((group * layout.produceBlocks + o) * layout.sumBlocks + i) * layout.operatorFloats
  }

  /// Calls `body` for every task, with a strip and working memory of its own.
  private func forEach(_ count: Int, _ body: (_ task: Int, _ strip: Pointer, _ work: Pointer) -> Void) {
    let next = Atomic<Int>(0)
    pool.parallelFor(min(layout.slots, count)) { slot in
      let strip = scratch + slot * layout.slotFloats
      let work = strip + layout.slotFloats - layout.work
      while true {
        let task = next.wrappingAdd(1, ordering: .relaxed).oldValue
        if task >= count { break }
        body(task, strip, work)
      }
    }
  }

  // MARK: Images

  private func image(_ index: Int, _ group: Int, isInput: Bool) -> LaneStrips.Image {
    let operation = layout.operation
    let problem = operation.problem
    let format = isInput ? operation.inputFormat : operation.outputFormat
    let extent = isInput ? problem.input : problem.output
    let (all, own) = isInput ? (problem.c, problem.cPerGroup) : (problem.k, problem.kPerGroup)
    let plane = extent.h * extent.w
    return LaneStrips.Image(
      base: (isInput ? input : output) + index * all * plane + group * own * (format == .nchw ? plane : 1),
      format: format, height: extent.h, width: extent.w, channels: own, pixelChannels: all)
  }

  /// Tiles of x, for backwardData of dy.
  private func transformSource(_ group: Int, _ blocks: Range<Int>, _ range: Range<Int>) {
    let (v, h) = (layout.vertical, layout.horizontal)
    let segments = layout.segments(range)
    forEach(segments.count * blocks.count) { task, strip, work in
      let (segment, block) = (segments[task / blocks.count], blocks.lowerBound + task % blocks.count)
      let columns = (segment.count - 1) * h.step + h.length
      strips.gather(
        image(segment.image, group, isInput: layout.pass != .backwardData), block: block,
        row: segment.row * v.step - v.before, column: segment.column * h.step - h.before, rows: v.length,
        columns: columns, into: strip)
      let line = source + (block - blocks.lowerBound) * layout.sourceBlockStride
      for tile in 0..<segment.count {
        transform.forward(
          strip + tile * h.step * layout.lanes, rowStride: columns * layout.lanes, rows: v.length,
          columns: h.length, work: work, into: line + (segment.first + tile) * layout.line,
          binStride: layout.sourceStride)
      }
    }
  }

  /// Tiles of dy that do not overlap, each in a transform's first step × step samples.
  private func transformGradient(_ group: Int, _ blocks: Range<Int>, _ range: Range<Int>) {
    let (v, h) = (layout.vertical, layout.horizontal)
    let segments = layout.segments(range)
    forEach(segments.count * blocks.count) { task, strip, work in
      let (segment, block) = (segments[task / blocks.count], blocks.lowerBound + task % blocks.count)
      let columns = segment.count * h.step
      let rows = v.targets(segment.row)
      strips.gather(
        image(segment.image, group, isInput: false), block: block, row: segment.row * v.step,
        column: segment.column * h.step, rows: rows, columns: columns, into: strip)
      let line = operators + (block - blocks.lowerBound) * layout.operatorBlockStride
      for tile in 0..<segment.count {
        transform.forward(
          strip + tile * h.step * layout.lanes, rowStride: columns * layout.lanes, rows: rows,
          columns: h.targets(segment.column + tile), work: work,
          into: line + (segment.first + tile) * layout.line, binStride: layout.operatorStride)
      }
    }
  }

  /// Tiles of y, for backwardData of dx.
  private func invertResult(_ group: Int, _ blocks: Range<Int>, _ range: Range<Int>) {
    let (v, h) = (layout.vertical, layout.horizontal)
    let segments = layout.segments(range)
    forEach(segments.count * blocks.count) { task, strip, work in
      let (segment, block) = (segments[task / blocks.count], blocks.lowerBound + task % blocks.count)
      let rowStride = segment.count * h.step * layout.lanes
      let rows = v.targets(segment.row)
      let line = result + (block - blocks.lowerBound) * layout.resultBlockStride
      for tile in 0..<segment.count {
        transform.inverse(
          line + (segment.first + tile) * layout.line, binStride: layout.resultStride, rows: rows,
          columns: h.targets(segment.column + tile), work: work, into: strip + tile * h.step * layout.lanes,
          rowStride: rowStride)
      }
      strips.scatter(
        strip, rowStride: rowStride, block: block, row: segment.row * v.step, column: segment.column * h.step,
        rows: rows, columns: segment.count * h.step,
        to: image(segment.image, group, isInput: layout.pass == .backwardData))
    }
  }

  // MARK: Filters

  private func filters(_ group: Int) -> LaneStrips.Filters {
    let problem = layout.operation.problem
    let taps = problem.filter.h * problem.filter.w
    let (c, k) = (problem.cPerGroup, problem.kPerGroup)
    let channelLast = layout.operation.filterFormat == .nhwc
    let backward = layout.pass == .backwardData
    return LaneStrips.Filters(
      base: filter + group * k * c * taps, taps: taps, kStride: c * taps, cStride: channelLast ? 1 : taps,
      tapStride: channelLast ? c : 1, lanesAreInputs: backward, channels: layout.produce)
  }

  /// Operators: channels summed over × lane blocks produced.
  private func transformFilter(
    _ group: Int, _ sums: Range<Int>, _ blocks: Range<Int>, into spectra: Pointer
  ) {
    let filters = filters(group)
    let width = layout.horizontal.taps * layout.lanes
    forEachFilter(sums, blocks) { row, block, strip, work in
      strips.gather(
        filters, block: blocks.lowerBound + block, row: sums.lowerBound * layout.lanes + row,
        reversed: layout.pass == .backwardData, into: strip)
      transform.forward(
        strip, rowStride: width, rows: layout.vertical.taps, columns: layout.horizontal.taps, work: work,
        into: spectra + block * layout.operatorBlockStride + row * layout.line,
        binStride: layout.operatorStride)
    }
  }

  /// dw from the result: input channels × lane blocks of output channels.
  private func invertFilter(_ group: Int, _ sums: Range<Int>, _ blocks: Range<Int>) {
    let filters = filters(group)
    forEachFilter(sums, blocks) { row, block, strip, work in
      transform.inverse(
        result + block * layout.resultBlockStride + row * layout.line, binStride: layout.resultStride,
        rows: layout.vertical.taps, columns: layout.horizontal.taps, work: work, into: strip,
        rowStride: layout.horizontal.taps * layout.lanes)
      strips.scatter(
        strip, block: blocks.lowerBound + block, row: sums.lowerBound * layout.lanes + row, to: filters)
    }
  }

  /// Calls `body` for every channel summed over and lane block produced, a few neighbours per task: a spectrum's lines
  /// and those of the next channel are neighbours in memory.
  private func forEachFilter(
    _ sums: Range<Int>, _ blocks: Range<Int>,
    _ body: (_ row: Int, _ block: Int, _ strip: Pointer, _ work: Pointer) -> Void
  ) {
    let rows = channels(sums)
    let piece = 4
    let pieces = (rows + piece - 1) / piece
    forEach(pieces * blocks.count) { task, strip, work in
      let (block, first) = (task / pieces, task % pieces * piece)
      for row in first..<min(rows, first + piece) { body(row, block, strip, work) }
    }
  }

  // MARK: Products

  private func multiply(
    rows: Int, depth: Int, _ blocks: Range<Int>, operators spectra: Pointer, accumulate: Bool
  ) {
    let a = OwnTransform.Matrix(
      base: source, binStride: layout.sourceStride, blockStride: layout.sourceBlockStride)
    let b = OwnTransform.Matrix(
      base: spectra, binStride: layout.operatorStride, blockStride: layout.operatorBlockStride)
    let c = OwnTransform.Matrix(
      base: result, binStride: layout.resultStride, blockStride: layout.resultBlockStride)
    // Enough pieces for threads to finish together.
    let piece = (layout.bins + 63) / 64
    let pieces = (layout.bins + piece - 1) / piece
    pool.parallelFor(pieces) { task in
      let first = task * piece
      transform.multiply(
        bins: first, count: min(piece, layout.bins - first), rows: rows, blocks: blocks.count, depth: depth,
        a,
        transposed: layout.pass == .backwardFilter, b, into: c, accumulate: accumulate)
    }
  }
}
