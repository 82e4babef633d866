import ConvCore

/// A convolution by loops whose every second product is summed in a bfloat16 accumulator, the others in a float32 one.
///
/// Each result is a sum of scalars times vectors along a channel axis, so that the innermost loop is contiguous in all passes:
///
/// | pass           | result vector     | scalar        | vector        |
/// |----------------|-------------------|---------------|---------------|
/// | forward        | y[n, place, ·]    | x[n, at, c]   | w[tap, c, ·]  |
/// | backwardData   | dx[n, at, ·]      | dy[n, place, k] | w[k, tap, ·] |
/// | backwardFilter | dw[tap, c, ·]     | x[n, at, c]   | dy[n, place, ·] |
struct HalfBfloat16Sum {
  private let operation: ConvOperation
  private let problem: ConvProblem
  private let pool: WorkerPool
  /// Channels of a result vector that are summed at a time: two accumulators stay in the L1 cache, the vectors in L2.
  private static let lanes = 64

  init(_ operation: ConvOperation, _ pool: WorkerPool) {
    self.operation = operation
    self.problem = operation.problem
    self.pool = pool
  }

  /// Computes the pass; operands are in the operation's formats.
  func execute(_ operands: BoundOperands) throws {
    let pr = problem
    switch operation.pass {
    case .forward:
      let x = try channelsLast(operands.input, pr.inputShape, operation.inputFormat)
      let w = try channelsLast(operands.filter, pr.filterShape, operation.filterFormat)
      let byTap = try transposed(w, rows: pr.k, columns: pr.filter.count * pr.cPerGroup)
      let y = try PooledBuffer(count: pr.outputShape.reduce(1, *), of: Float.self)
      withExtendedLifetime((x, byTap, y)) { forward(floats(x), floats(byTap), floats(y)) }
      convert(y, .nhwc, to: operands.output, operation.outputFormat, pr.outputShape)
    case .backwardData:
      let dy = try channelsLast(operands.output, pr.outputShape, operation.outputFormat)
      let w = try channelsLast(operands.filter, pr.filterShape, operation.filterFormat)
      let dx = try PooledBuffer(count: pr.inputShape.reduce(1, *), of: Float.self)
      withExtendedLifetime((dy, w, dx)) { backwardData(floats(dy), floats(w), floats(dx)) }
      convert(dx, .nhwc, to: operands.input, operation.inputFormat, pr.inputShape)
    case .backwardFilter:
      let x = try channelsLast(operands.input, pr.inputShape, operation.inputFormat)
      let dy = try channelsLast(operands.output, pr.outputShape, operation.outputFormat)
      let byTap = try PooledBuffer(count: pr.filterShape.reduce(1, *), of: Float.self)
      withExtendedLifetime((x, dy, byTap)) { backwardFilter(floats(x), floats(dy), floats(byTap)) }
      let dw = try transposed(byTap, rows: pr.filter.count * pr.cPerGroup, columns: pr.k)
      convert(dw, .nhwc, to: operands.filter, operation.filterFormat, pr.filterShape)
    }
  }

  // MARK: Passes

  private func forward(
    _ x: UnsafeMutablePointer<Float>, _ w: UnsafeMutablePointer<Float>, _ y: UnsafeMutablePointer<Float>
  ) {
    let pr = problem
    let rows = pr.n * pr.output.d * pr.output.h
    let chunks = Chunks(groups: pr.groups, perGroup: pr.kPerGroup)
    pool.parallelFor(chunks.count * rows) { task in
      let (chunk, row) = (chunks[task / rows], task % rows)
      var at = Extent(d: row / pr.output.h % pr.output.d, h: row % pr.output.h, w: 0)
      let n = row / (pr.output.h * pr.output.d)
      let group = chunk.lowerBound / pr.kPerGroup
      let sums = Sums(chunk.count)
      for q in 0..<pr.output.w {
        at.w = q
        sums.clear()
        forEachTap { tap, number in
          guard let place = input(at, tap) else { return }
          let scalars = x + pixel(n, place, pr.input) * pr.c + group * pr.cPerGroup
          let vectors = w + number * pr.cPerGroup * pr.k + chunk.lowerBound
          for c in 0..<pr.cPerGroup {
            sums.add(scalars[c], vectors + c * pr.k, isCoarse: (c + number) & 1 == 1)
          }
        }
        sums.store(y + pixel(n, at, pr.output) * pr.k + chunk.lowerBound)
      }
      sums.free()
    }
  }

  private func backwardData(
    _ dy: UnsafeMutablePointer<Float>, _ w: UnsafeMutablePointer<Float>, _ dx: UnsafeMutablePointer<Float>
  ) {
    let pr = problem
    let rows = pr.n * pr.input.d * pr.input.h
    let chunks = Chunks(groups: pr.groups, perGroup: pr.cPerGroup)
    pool.parallelFor(chunks.count * rows) { task in
      let (chunk, row) = (chunks[task / rows], task % rows)
      var at = Extent(d: row / pr.input.h % pr.input.d, h: row % pr.input.h, w: 0)
      let n = row / (pr.input.h * pr.input.d)
      let group = chunk.lowerBound / pr.cPerGroup
      let step = pr.filter.count * pr.cPerGroup
      let sums = Sums(chunk.count)
      for column in 0..<pr.input.w {
        at.w = column
        sums.clear()
        forEachTap { tap, number in
          guard let place = output(at, tap) else { return }
          let scalars = dy + pixel(n, place, pr.output) * pr.k + group * pr.kPerGroup
          let vectors =
            w + (group * pr.kPerGroup * pr.filter.count + number) * pr.cPerGroup
            + chunk.lowerBound % pr.cPerGroup
          for k in 0..<pr.kPerGroup {
            sums.add(scalars[k], vectors + k * step, isCoarse: (k + number) & 1 == 1)
          }
        }
        sums.store(dx + pixel(n, at, pr.input) * pr.c + chunk.lowerBound)
      }
      sums.free()
    }
  }

  private func backwardFilter(
    _ x: UnsafeMutablePointer<Float>, _ dy: UnsafeMutablePointer<Float>, _ dw: UnsafeMutablePointer<Float>
  ) {
    let pr = problem
    let chunks = Chunks(groups: pr.groups, perGroup: pr.kPerGroup)
    let rows = pr.filter.count * pr.cPerGroup
    pool.parallelFor(chunks.count * rows) { task in
      let (chunk, row) = (chunks[task / rows], task % rows)
      let (number, c) = (row / pr.cPerGroup, row % pr.cPerGroup)
      let channel = chunk.lowerBound / pr.kPerGroup * pr.cPerGroup + c
      let tap = Extent(
        d: number / (pr.filter.h * pr.filter.w), h: number / pr.filter.w % pr.filter.h,
        w: number % pr.filter.w)
      let sums = Sums(chunk.count)
      for n in 0..<pr.n {
        for z in 0..<pr.output.d {
          for p in 0..<pr.output.h {
            for q in 0..<pr.output.w {
              let at = Extent(d: z, h: p, w: q)
              guard let place = input(at, tap) else { continue }
              sums.add(
                x[pixel(n, place, pr.input) * pr.c + channel],
                dy + pixel(n, at, pr.output) * pr.k + chunk.lowerBound, isCoarse: (n + z + p + q) & 1 == 1)
            }
          }
        }
      }
      sums.store(dw + row * pr.k + chunk.lowerBound)
      sums.free()
    }
  }

  // MARK: Geometry

  private func forEachTap(_ body: (Extent, Int) -> Void) {
    var number = 0
    for t in 0..<problem.filter.d {
      for r in 0..<problem.filter.h {
        for s in 0..<problem.filter.w {
          body(Extent(d: t, h: r, w: s), number)
          number += 1
        }
      }
    }
  }

  private func pixel(_ n: Int, _ at: Extent, _ extent: Extent) -> Int {
    ((n * extent.d + at.d) * extent.h + at.h) * extent.w + at.w
  }

  private func input(_ output: Extent, _ tap: Extent) -> Extent? {
    var place = Extent(w: 0)
    for axis in 0..<3 {
      place[axis] =
        output[axis] * problem.stride[axis] + tap[axis] * problem.dilation[axis]
        - problem.padding.before[axis]
      if place[axis] < 0 || place[axis] >= problem.input[axis] { return nil }
    }
    return place
  }

  private func output(_ input: Extent, _ tap: Extent) -> Extent? {
    var place = Extent(w: 0)
    for axis in 0..<3 {
      let shifted = input[axis] + problem.padding.before[axis] - tap[axis] * problem.dilation[axis]
      guard shifted >= 0, shifted % problem.stride[axis] == 0,
        shifted / problem.stride[axis] < problem.output[axis]
      else { return nil }
      place[axis] = shifted / problem.stride[axis]
    }
    return place
  }

  // MARK: Layouts

  private func floats(_ buffer: PooledBuffer) -> UnsafeMutablePointer<Float> {
    buffer.baseAddress.assumingMemoryBound(to: Float.self)
  }

  private func channelsLast(
    _ values: UnsafeMutableRawPointer, _ shape: [Int], _ format: MemoryFormat
  ) throws -> PooledBuffer {
    let copy = try PooledBuffer(count: shape.reduce(1, *), of: Float.self)
    MemoryFormat.convert(
      UnsafeRawPointer(values), from: format, to: copy.baseAddress, as: .nhwc, shape: shape,
      elementType: .float32, pool: pool)
    return copy
  }

  private func convert(
    _ buffer: PooledBuffer, _ from: MemoryFormat, to target: UnsafeMutableRawPointer, _ format: MemoryFormat,
    _ shape: [Int]
  ) {
    withExtendedLifetime(buffer) {
      MemoryFormat.convert(
        UnsafeRawPointer(buffer.baseAddress), from: from, to: target, as: format, shape: shape,
        elementType: .float32, pool: pool)
    }
  }

  private func transposed(_ matrix: PooledBuffer, rows: Int, columns: Int) throws -> PooledBuffer {
    let result = try PooledBuffer(count: rows * columns, of: Float.self)
    withExtendedLifetime((matrix, result)) {
      KernelMatrixMultiplier().transpose(
        rows: rows, columns: columns, source: UnsafePointer(floats(matrix)), lds: columns,
        target: floats(result), ldt: rows)
    }
    return result
  }

  /// The result channels in pieces of at most `lanes` that no group's end lies in.
  private struct Chunks {
    let groups, perGroup: Int
    private var perGroupCount: Int { (perGroup + lanes - 1) / lanes }
    var count: Int { groups * perGroupCount }
    init(groups: Int, perGroup: Int) {
      self.groups = groups
      self.perGroup = perGroup
    }
    subscript(index: Int) -> Range<Int> {
      let first = index / perGroupCount * perGroup + index % perGroupCount * lanes
      return first..<min(first + lanes, (index / perGroupCount + 1) * perGroup)
    }
  }

  /// The two accumulators of a result vector.
  private struct Sums {
    private let fine, coarse: UnsafeMutablePointer<Float>
    private let count: Int

    init(_ count: Int) {
      self.count = count
      fine = .allocate(capacity: 2 * count)
      coarse = fine + count
      clear()
    }

    func free() { fine.deallocate() }

    func clear() { fine.initialize(repeating: 0, count: 2 * count) }

    @inline(__always)
    func add(_ scalar: Float, _ vector: UnsafeMutablePointer<Float>, isCoarse: Bool) {
      if isCoarse {
        for i in 0..<count { coarse[i] = Significand.bfloat16(coarse[i] + scalar * vector[i]) }
      } else {
        for i in 0..<count { fine[i] += scalar * vector[i] }
      }
    }

    func store(_ result: UnsafeMutablePointer<Float>) {
      for i in 0..<count { result[i] = fine[i] + coarse[i] }
    }
  }
}
