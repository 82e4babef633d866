/// 3-D as a sum of 2-D: y[·, ·, z] = Σ_t x[·, ·, z·u + t·l − pad] ∗ w[·, ·, t], slice by slice.
struct DepthLowering: Lowering, LoweredPlan {
  let operation: ConvOperation
  /// Overwriting and accumulating.
  let innerOperations: [ConvOperation]
  var inner: [any ConvPlan] = []

  var label: String { "3-D as sums of 2-D" }

  /// Slices that are executed at most: lists of all of them are made.
  private static let mostSlices = 1 << 20

  init?(_ operation: ConvOperation) {
    let pr = operation.problem
    guard pr.spatialRank == 3, pr.filter.d <= Self.mostSlices / pr.output.d, operation.isCanonicalFormat,
      operation.epilogue.isEmpty,
      let planar = try? ConvProblem(
        spatialRank: 2, n: pr.n, c: pr.c, k: pr.k, groups: pr.groups,
        input: Extent(h: pr.input.h, w: pr.input.w), filter: Extent(h: pr.filter.h, w: pr.filter.w),
        stride: Extent(h: pr.stride.h, w: pr.stride.w),
        padding: Padding(
          top: pr.padding.top, bottom: pr.padding.bottom, left: pr.padding.left, right: pr.padding.right),
        dilation: Extent(h: pr.dilation.h, w: pr.dilation.w))
    else { return nil }
    self.operation = operation
    var slice = operation
    slice.problem = planar
    var added = slice
    added.epilogue.accumulate = true
    innerOperations = [slice, added]
  }

  private var slice: ConvOperation { innerOperations[0] }
  var scratchBytes: Int {
    ScratchAllocator.aligned(slice.inputBytes) + ScratchAllocator.aligned(slice.filterBytes)
      + ScratchAllocator.aligned(slice.outputBytes)
  }

  /// Pairs of depth and output depth that tap `t` connects.
  private func pairs(tap t: Int) -> [(d: Int, z: Int)] {
    let pr = operation.problem
    return (0..<pr.output.d).compactMap { z in
      let d = z * pr.stride.d + t * pr.dilation.d - pr.padding.front
      return (0..<pr.input.d).contains(d) ? (d, z) : nil
    }
  }

  var executedFLOPs: Double {
    (0..<operation.problem.filter.d).reduce(0) { $0 + Double(pairs(tap: $1).count) }
      * inner[0].executedFLOPs
  }

  func work(_ inner: [ConvWork]) -> ConvWork {
    (0..<operation.problem.filter.d).reduce(0) { $0 + Double(pairs(tap: $1).count) }
      * (inner[0] + copying)
  }

  var errorModel: ErrorModel {
    let slices = operation.pass == .backwardFilter ? operation.problem.output.d : operation.problem.filter.d
    return inner[0].errorModel.summed(slices).rescaled(to: operation)
  }

  var preparedBytes: Int { operation.problem.filter.d * (inner[0].preparedBytes + inner[1].preparedBytes) }

  func prepare(filter: UnsafeRawPointer, pool: WorkerPool) throws -> PreparedFilter {
    try requireFilterToRead()
    let buffer = try PooledBuffer(byteCount: slice.filterBytes)
    var taps: [PreparedFilter] = []
    for t in 0..<operation.problem.filter.d {
      gatherFilter(filter, tap: t, to: buffer.baseAddress, pool)
      for plan in inner { taps.append(try plan.prepare(filter: buffer.baseAddress, pool: pool)) }
    }
    return PreparedFilter(signature: signature, buffers: [], inner: taps)
  }

  func execute(
    _ operands: ConvOperands, workspace: UnsafeMutableRawBufferPointer, pool: WorkerPool,
    phases: PhaseRecorder?
  ) throws {
    var scratch = try ScratchAllocator(workspace, needed: workspaceBytes)
    let prepared = try operands.preparedFilter?.innerFilters(of: self)
    let x = scratch.take(slice.inputBytes)
    let w = scratch.take(slice.filterBytes)
    let y = scratch.take(slice.outputBytes)
    guard let input = operands.input, let output = operands.output,
      operands.filter != nil || prepared != nil
    else { throw ConvError.operand("an operand is missing for \(operation)") }
    let pr = operation.problem
    let connections = (0..<pr.filter.d).map { t in pairs(tap: t).map { (t: t, d: $0.d, z: $0.z) } }
    func run(_ kind: Int, tap t: Int) throws {
      var slices = ConvOperands(input: x, filter: w, output: y)
      if let prepared {
        slices.preparedFilter = prepared[2 * t + kind]
      } else if operation.pass != .backwardFilter {
        gatherFilter(operands.filter!, tap: t, to: w, pool)
      }
      try inner[kind].execute(slices, workspace: scratch.rest, pool: pool, phases: phases)
    }
    switch operation.pass {
    case .forward:
      for z in 0..<pr.output.d {
        let reads = connections.joined().filter { $0.z == z }
        for (index, read) in reads.enumerated() {
          gather(input, depth: pr.input.d, at: read.d, to: x, slice.inputBytes, pr.n * pr.c, pool)
          try run(index == 0 ? 0 : 1, tap: read.t)
        }
        if reads.isEmpty { clear(y, slice.outputBytes) }
        scatter(y, slice.outputBytes, to: output, depth: pr.output.d, at: z, pr.n * pr.k, pool)
      }
    case .backwardData:
      for d in 0..<pr.input.d {
        let reads = connections.joined().filter { $0.d == d }
        for (index, read) in reads.enumerated() {
          gather(output, depth: pr.output.d, at: read.z, to: y, slice.outputBytes, pr.n * pr.k, pool)
          try run(index == 0 ? 0 : 1, tap: read.t)
        }
        if reads.isEmpty { clear(x, slice.inputBytes) }
        scatter(x, slice.inputBytes, to: input, depth: pr.input.d, at: d, pr.n * pr.c, pool)
      }
    case .backwardFilter:
      for t in 0..<pr.filter.d {
        for (index, read) in connections[t].enumerated() {
          gather(input, depth: pr.input.d, at: read.d, to: x, slice.inputBytes, pr.n * pr.c, pool)
          gather(output, depth: pr.output.d, at: read.z, to: y, slice.outputBytes, pr.n * pr.k, pool)
          try run(index == 0 ? 0 : 1, tap: t)
        }
        if connections[t].isEmpty { clear(w, slice.filterBytes) }
        scatter(
          w, slice.filterBytes, to: operands.filter!, depth: pr.filter.d, at: t, pr.k * pr.cPerGroup, pool)
      }
    }
  }

  private func gatherFilter(
    _ filter: UnsafeRawPointer, tap: Int, to destination: UnsafeMutableRawPointer, _ pool: WorkerPool
  ) {
    let pr = operation.problem
    gather(filter, depth: pr.filter.d, at: tap, to: destination, slice.filterBytes, pr.k * pr.cPerGroup, pool)
  }

  /// Slice `index` of a tensor with `planes` × `depth` planes.
  private func gather(
    _ source: UnsafeRawPointer, depth: Int, at index: Int, to destination: UnsafeMutableRawPointer,
    _ sliceBytes: Int, _ planes: Int, _ pool: WorkerPool
  ) {
    let run = sliceBytes / planes
    copyRuns(
      source + index * run, stride: depth * run, to: destination, stride: run, byteCount: run,
      count: planes, pool: pool)
  }

  private func scatter(
    _ source: UnsafeRawPointer, _ sliceBytes: Int, to destination: UnsafeMutableRawPointer, depth: Int,
    at index: Int, _ planes: Int, _ pool: WorkerPool
  ) {
    let run = sliceBytes / planes
    copyRuns(
      source, stride: run, to: destination + index * run, stride: depth * run, byteCount: run,
      count: planes, pool: pool)
  }

  private func clear(_ pointer: UnsafeMutableRawPointer, _ byteCount: Int) {
    pointer.initializeMemory(as: UInt8.self, repeating: 0, count: byteCount)
  }
}
