import ConvCore

/// Tiles of a result, products per frequency as matrix products, and back: the same for both kinds of transforms.
///
/// | pass           | windows of | filter  | product per frequency |
/// |----------------|------------|---------|-----------------------|
/// | forward        | x          | w       | [tile, c] · [c, k]    |
/// | backwardData   | dy         | w flipped | [tile, k] · [k, c]  |
/// | backwardFilter | x          | tiles of dy | [c, tile] · [tile, k] |
///
/// Complex products are real ones of twice the depth and width: (a + bi)(c + di) = [a b]·[[c d] [−d c]].
struct RoundedTransformPlan: ConvPlan {
  let honest: any ConvPlan
  let tiles: any TileTransforms

  var operation: ConvOperation { honest.operation }
  var workspaceBytes: Int { 0 }
  var executedFLOPs: Double { honest.executedFLOPs }
  var work: ConvWork { honest.work }
  var variant: String { honest.variant }
  var executedBy: String { honest.executedBy }
  var errorModel: ErrorModel { honest.errorModel }
  private static let lanes = 16

  /// The transforms that a model describes; nil where it is of another kind, or cuts dw into tiles.
  static func tiles(_ model: ErrorModel, _ operation: ConvOperation, bits: Int) -> (any TileTransforms)? {
    let problem = operation.problem
    let isFilter = operation.pass == .backwardFilter
    switch model {
    case .winograd(let vertical, let horizontal, _):
      if isFilter, vertical.m < problem.filter.h || horizontal.m < problem.filter.w { return nil }
      if !isFilter, vertical.r < problem.filter.h || horizontal.r < problem.filter.w { return nil }
      return WinogradTiles(vertical, horizontal, bits: bits)
    case .fft(let height, let width, let stepH, let stepW, _):
      let (filter, step) = ((h: problem.filter.h, w: problem.filter.w), (h: stepH, w: stepW))
      guard stepH + filter.h - 1 <= height, stepW + filter.w - 1 <= width else { return nil }
      return FourierTiles(
        height: height, width: width, taps: isFilter ? step : filter, results: isFilter ? filter : step,
        bits: bits)
    default: return nil
    }
  }

  func prepare(filter: UnsafeRawPointer, pool: WorkerPool) throws -> PreparedFilter {
    try PreparedFilter.copy(of: filter, for: self)
  }

  func execute(
    _ operands: ConvOperands, workspace: UnsafeMutableRawBufferPointer, pool: WorkerPool,
    phases: PhaseRecorder?
  ) throws {
    let bound = try operands.bound(for: operation, signature: signature)
    let pr = operation.problem
    let input = (bound.input, pr.inputShape, operation.inputFormat)
    let filter = (bound.filter, pr.filterShape, operation.filterFormat)
    let output = (bound.output, pr.outputShape, operation.outputFormat)
    switch operation.pass {
    case .forward: try convolve(input, filter, output, pool)
    case .backwardData: try convolve(output, filter, input, pool)
    case .backwardFilter: try correlate(input, output, filter, pool)
    }
  }

  private typealias Operand = (UnsafeMutableRawPointer, [Int], MemoryFormat)
  private var parts: Int { tiles.isComplex ? 2 : 1 }

  // MARK: forward and backwardData

  private func convolve(_ from: Operand, _ filter: Operand, _ to: Operand, _ pool: WorkerPool) throws {
    let pr = operation.problem
    let isForward = operation.pass == .forward
    let (depth, width) = isForward ? (pr.c, pr.k) : (pr.k, pr.c)
    let (source, target) = isForward ? (pr.input, pr.output) : (pr.output, pr.input)
    let offset =
      isForward
      ? (h: -pr.padding.top, w: -pr.padding.left)
      : (h: pr.padding.top - pr.filter.h + 1, w: pr.padding.left - pr.filter.w + 1)
    let image = try channelsLast(from, pool)
    let weights = try channelsLast(filter, pool)
    let result = try PooledBuffer(count: to.1.reduce(1, *), of: Float.self)
    let (step, bins, parts) = (tiles.results, tiles.bins, parts)
    let across = divideUp(target.w, step.w)
    let down = divideUp(target.h, step.h)
    let count = pr.n * down * across
    // [bin][tile][depth · parts], [bin][depth · parts][block · parts], [bin][tile][block · parts]
    let block = min(64, width)
    let rowLength = depth * parts
    let windows = try PooledBuffer(count: bins * count * rowLength, of: Float.self)
    let taps = try PooledBuffer(count: bins * rowLength * block * parts, of: Float.self)
    let sums = try PooledBuffer(count: bins * count * block * parts, of: Float.self)
    withExtendedLifetime((image, weights, result, windows, taps, sums)) {
      let (x, w, y) = (floats(image), floats(weights), floats(result))
      let (a, b, c) = (floats(windows), floats(taps), floats(sums))
      let groups = divideUp(depth, Self.lanes)
      pool.parallelFor(count * groups) { task in
        let (tile, first) = (task / groups, task % groups * Self.lanes)
        let place = (n: tile / (down * across), h: tile / across % down, w: tile % across)
        transformed(tiles.window, tiles.input) { i, j in
          let h = place.h * step.h + i + offset.h
          let column = place.w * step.w + j + offset.w
          guard h >= 0, h < source.h, column >= 0, column < source.w else { return .zero }
          return load(x + ((place.n * source.h + h) * source.w + column) * depth, first, depth, 1)
        } store: { bin, part, value in
          let row = a + (bin * count + tile) * rowLength
          store(value, row + part, first, depth, parts)
        }
      }
      for start in stride(from: 0, to: width, by: block) {
        let end = min(width, start + block)
        let columns = (end - start) * parts
        let groups = divideUp(end - start, Self.lanes)
        pool.parallelFor(depth * groups) { task in
          let (d, first) = (task / groups, start + task % groups * Self.lanes)
          let area = pr.filter.h * pr.filter.w
          transformed(tiles.taps, tiles.filter) { i, j in
            guard i < pr.filter.h, j < pr.filter.w else { return .zero }
            if isForward { return load(w + (i * pr.filter.w + j) * pr.c + d, first, end, area * pr.c) }
            let flipped = (pr.filter.h - 1 - i) * pr.filter.w + pr.filter.w - 1 - j
            return load(w + (d * area + flipped) * pr.c, first, end, 1)
          } store: { bin, part, value in
            storeFactor(value, b + bin * rowLength * columns, d, part, first - start, end - start)
          }
        }
        multiply(bins, pool) { bin in
          (
            count, columns, rowLength, a + bin * count * rowLength, rowLength, false,
            b + bin * rowLength * columns, c + bin * count * columns
          )
        }
        pool.parallelFor(count * groups) { task in
          let (tile, first) = (task / groups, start + task % groups * Self.lanes)
          let place = (n: tile / (down * across), h: tile / across % down, w: tile % across)
          results { bin, part in
            load(c + (bin * count + tile) * columns + part, first - start, end - start, parts)
          } store: { i, j, value in
            let (h, column) = (place.h * step.h + i, place.w * step.w + j)
            guard h < target.h, column < target.w else { return }
            store(value, y + ((place.n * target.h + h) * target.w + column) * width, first, end, 1)
          }
        }
      }
      convert(result, to: to, pool)
    }
  }

  // MARK: backwardFilter

  private func correlate(_ x: Operand, _ dy: Operand, _ dw: Operand, _ pool: WorkerPool) throws {
    let pr = operation.problem
    let image = try channelsLast(x, pool)
    let gradient = try channelsLast(dy, pool)
    let result = try PooledBuffer(count: dw.1.reduce(1, *), of: Float.self)
    let (step, bins, parts) = (tiles.taps, tiles.bins, parts)
    let across = divideUp(pr.output.w, step.w)
    let down = divideUp(pr.output.h, step.h)
    let count = pr.n * down * across
    // [bin][tile · parts][c], [bin][tile · parts][block · parts], [bin][c][block · parts]
    let block = min(64, pr.k)
    let windows = try PooledBuffer(count: bins * count * parts * pr.c, of: Float.self)
    let taps = try PooledBuffer(count: bins * count * parts * block * parts, of: Float.self)
    let sums = try PooledBuffer(count: bins * pr.c * block * parts, of: Float.self)
    withExtendedLifetime((image, gradient, result, windows, taps, sums)) {
      let (x, dy, dw_) = (floats(image), floats(gradient), floats(result))
      let (a, b, c) = (floats(windows), floats(taps), floats(sums))
      let groups = divideUp(pr.c, Self.lanes)
      pool.parallelFor(count * groups) { task in
        let (tile, first) = (task / groups, task % groups * Self.lanes)
        let place = (n: tile / (down * across), h: tile / across % down, w: tile % across)
        transformed(tiles.window, tiles.input) { i, j in
          let h = place.h * step.h + i - pr.padding.top
          let column = place.w * step.w + j - pr.padding.left
          guard h >= 0, h < pr.input.h, column >= 0, column < pr.input.w else { return .zero }
          return load(x + ((place.n * pr.input.h + h) * pr.input.w + column) * pr.c, first, pr.c, 1)
        } store: { bin, part, value in
          store(value, a + ((bin * count + tile) * parts + part) * pr.c, first, pr.c, 1)
        }
      }
      for start in stride(from: 0, to: pr.k, by: block) {
        let end = min(pr.k, start + block)
        let columns = (end - start) * parts
        let kGroups = divideUp(end - start, Self.lanes)
        pool.parallelFor(count * kGroups) { task in
          let (tile, first) = (task / kGroups, start + task % kGroups * Self.lanes)
          let place = (n: tile / (down * across), h: tile / across % down, w: tile % across)
          transformed(tiles.taps, tiles.filter) { i, j in
            let (h, column) = (place.h * step.h + i, place.w * step.w + j)
            guard h < pr.output.h, column < pr.output.w else { return .zero }
            return load(dy + ((place.n * pr.output.h + h) * pr.output.w + column) * pr.k, first, end, 1)
          } store: { bin, part, value in
            storeFactor(value, b + bin * count * parts * columns, tile, part, first - start, end - start)
          }
        }
        multiply(bins, pool) { bin in
          (
            pr.c, columns, count * parts, a + bin * count * parts * pr.c, pr.c, true,
            b + bin * count * parts * columns, c + bin * pr.c * columns
          )
        }
        pool.parallelFor(pr.c * kGroups) { task in
          let (channel, first) = (task / kGroups, start + task % kGroups * Self.lanes)
          results { bin, part in
            load(c + (bin * pr.c + channel) * columns + part, first - start, end - start, parts)
          } store: { i, j, value in
            guard i < pr.filter.h, j < pr.filter.w else { return }
            let tap = dw_ + (i * pr.filter.w + j) * pr.c + channel
            store(value, tap, first, end, pr.filter.h * pr.filter.w * pr.c)
          }
        }
      }
      convert(result, to: dw, pool)
    }
  }

  // MARK: Tiles and matrices

  private func transformed(
    _ extent: (h: Int, w: Int),
    _ transform: (UnsafeMutablePointer<Lanes>, UnsafeMutablePointer<Lanes>) -> Void,
    load: (Int, Int) -> Lanes, store: (_ bin: Int, _ part: Int, Lanes) -> Void
  ) {
    let (area, values) = (extent.h * extent.w, tiles.bins * parts)
    withUnsafeTemporaryAllocation(of: Lanes.self, capacity: area + values) { scratch in
      let (elements, spectrum) = (scratch.baseAddress!, scratch.baseAddress! + area)
      for i in 0..<extent.h {
        for j in 0..<extent.w { elements[i * extent.w + j] = load(i, j) }
      }
      transform(elements, spectrum)
      for value in 0..<values { store(value / parts, value % parts, spectrum[value]) }
    }
  }

  private func results(load: (_ bin: Int, _ part: Int) -> Lanes, store: (Int, Int, Lanes) -> Void) {
    let extent = tiles.results
    let (area, values) = (extent.h * extent.w, tiles.bins * parts)
    withUnsafeTemporaryAllocation(of: Lanes.self, capacity: area + values) { scratch in
      let (elements, spectrum) = (scratch.baseAddress!, scratch.baseAddress! + area)
      for value in 0..<values { spectrum[value] = load(value / parts, value % parts) }
      tiles.output(spectrum, elements)
      for i in 0..<extent.h {
        for j in 0..<extent.w { store(i, j, elements[i * extent.w + j]) }
      }
    }
  }

  /// Writes one part of the right factor's element (d, columns from `first` on): for complex numbers both places of the 2×2 matrix.
  private func storeFactor(
    _ value: Lanes, _ matrix: UnsafeMutablePointer<Float>, _ d: Int, _ part: Int, _ first: Int, _ end: Int
  ) {
    let columns = end * parts
    let row = matrix + d * parts * columns
    store(value, row + part, first, end, parts)
    if tiles.isComplex {
      store(part == 0 ? value : -value, row + columns + 1 - part, first, end, parts)
    }
  }

  /// Channels from `first` on, as many as there are before `end`, `step` apart.
  private func load(_ values: UnsafeMutablePointer<Float>, _ first: Int, _ end: Int, _ step: Int) -> Lanes {
    var lanes = Lanes.zero
    for i in 0..<min(Self.lanes, end - first) { lanes[i] = values[(first + i) * step] }
    return lanes
  }

  private func store(
    _ lanes: Lanes, _ values: UnsafeMutablePointer<Float>, _ first: Int, _ end: Int, _ step: Int
  ) {
    for i in 0..<min(Self.lanes, end - first) { values[(first + i) * step] = lanes[i] }
  }

  private typealias Product = (
    m: Int, n: Int, k: Int, a: UnsafeMutablePointer<Float>, lda: Int, transposed: Bool,
    b: UnsafeMutablePointer<Float>, c: UnsafeMutablePointer<Float>
  )

  private func multiply(_ bins: Int, _ pool: WorkerPool, _ product: (Int) -> Product) {
    let kernel = KernelMatrixMultiplier()
    pool.parallelFor(bins) { bin in
      let p = product(bin)
      kernel.multiply(
        m: p.m, n: p.n, k: p.k, a: UnsafePointer(p.a), lda: p.lda, transposeA: p.transposed,
        b: UnsafePointer(p.b), ldb: p.n, transposeB: false, c: p.c, ldc: p.n, accumulate: false)
    }
  }

  private func divideUp(_ a: Int, _ b: Int) -> Int { (a + b - 1) / b }

  private func floats(_ buffer: PooledBuffer) -> UnsafeMutablePointer<Float> {
    buffer.baseAddress.assumingMemoryBound(to: Float.self)
  }

  private func channelsLast(_ operand: Operand, _ pool: WorkerPool) throws -> PooledBuffer {
    let copy = try PooledBuffer(count: operand.1.reduce(1, *), of: Float.self)
    MemoryFormat.convert(
      UnsafeRawPointer(operand.0), from: operand.2, to: copy.baseAddress, as: .nhwc, shape: operand.1,
      elementType: .float32, pool: pool)
    return copy
  }

  private func convert(_ buffer: PooledBuffer, to operand: Operand, _ pool: WorkerPool) {
    MemoryFormat.convert(
      UnsafeRawPointer(buffer.baseAddress), from: .nhwc, to: operand.0, as: operand.2, shape: operand.1,
      elementType: .float32, pool: pool)
  }
}
