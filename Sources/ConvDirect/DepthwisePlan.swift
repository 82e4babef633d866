internal import CConvKernels
import ConvCore

/// Depthwise forward and backward data: every channel has filters of its own, so that nothing is summed over channels.
///
/// NHWC: vectors of channels, several windows of a row at once; windows that reach into the padding read fewer taps. NCHW: vectors of
/// neighbouring windows over a padded copy of some rows, whose columns are sorted by residues of the stride.
struct DepthwisePlan<T: DirectScalar>: ConvPlan {
  let operation: ConvOperation
  let kernels: Kernels
  /// Phases along the height and the width.
  let rows, columns: [AxisPhase]
  /// Steps along the height that one task computes, of every phase.
  let band: Int
  /// The padded copy of a task's rows (NCHW).
  let planes: PaddedPlane?
  let slots: Int

  var problem: ConvProblem { operation.problem }
  private var isBackward: Bool { operation.pass == .backwardData }
  private var taps: Int { problem.filter.count }
  private var filterCount: Int { problem.k * taps }
  var source: Extent { isBackward ? problem.output : problem.input }
  var target: Extent { isBackward ? problem.input : problem.output }
  /// Filters per input channel.
  var multiplier: Int { problem.kPerGroup }

  /// Bytes of the transposed filter (NHWC).
  private var packedBytes: Int { planes == nil ? aligned(filterCount * MemoryLayout<T>.stride) : 0 }
  private var slotBytes: Int { planes.map { aligned($0.count * MemoryLayout<T>.stride) } ?? 0 }
  var workspaceBytes: Int { packedBytes + (planes == nil ? 0 : slots * slotBytes) }
  var preparedBytes: Int { filterCount * MemoryLayout<T>.stride }
  var executedFLOPs: Double { problem.directFLOPs }
  var work: ConvWork {
    let steps = rows.map(\.count).max() ?? 0
    return depthwiseWork(
      operation, lanes: kernels.lanes(T.self), bands: divideUp(max(1, steps), band), rows: rows,
      columns: columns,
      planes: planes)
  }
  var variant: String { "direct[kernel=depthwise]" }
  var executedBy: String { "direct" }
  var errorModel: ErrorModel {
    .summation(.chain, accumulator: operation.elementType)
  }

  /// - Throws: `Refusal`.
  init(_ operation: ConvOperation, _ options: PlanOptions) throws {
    let problem = operation.problem
    self.operation = operation
    kernels = .current
    rows = AxisShape(problem, 1).phases(operation.pass)
    columns = AxisShape(problem, 2).phases(operation.pass)
    let steps = rows.map(\.count).max() ?? 0
    if operation.inputFormat == .nhwc {
      guard problem.kPerGroup == 1 else {
        throw Refusal(
          reason: "depthwise filters with \(problem.kPerGroup) outputs per channel run in nchw, not in nhwc")
      }
      band = max(1, divideUp(steps, divideUp(wantedTasks, problem.n)))
      planes = nil
      slots = 1
      return
    }
    let lanes = kernels.lanes(T.self)
    var height = max(1, divideUp(steps, divideUp(wantedTasks, saturatingProduct(problem.n, problem.c))))
    var plane = PaddedPlane(rows, columns, steps: height, lanes: lanes)
    // The copy stays in the L1 cache.
    let target = (24 << 10) / MemoryLayout<T>.stride
    while height > 1, plane.count > target {
      height = divideUp(height, 2)
      plane = PaddedPlane(rows, columns, steps: height, lanes: lanes)
    }
    band = height
    planes = plane
    slots = try affordableSlots(
      aligned(saturatingProduct(plane.count, MemoryLayout<T>.stride)), options, limit: options.workspaceLimit)
  }

  func prepare(filter: UnsafeRawPointer, pool: WorkerPool) throws -> PreparedFilter {
    try preparedFilter(count: filterCount) { pack(filter.assumingMemoryBound(to: T.self), to: $0) }
  }

  /// [K][taps] (the same in KCRS and KRSC, with one channel) becomes [taps][K] for NHWC.
  private func pack(_ filter: UnsafePointer<T>, to packed: UnsafeMutablePointer<T>) {
    if planes == nil {
      T.transpose(kernels, problem.k, taps, filter, taps, packed, problem.k)
    } else {
      packed.update(from: filter, count: filterCount)
    }
  }

  // Plans are reached through the protocol, where the compiler would leave the loops below generic.
  @_specialize(where T == Float)
  @_specialize(where T == Double)
  func execute(
    _ operands: ConvOperands, workspace: UnsafeMutableRawBufferPointer, pool: WorkerPool,
    phases: PhaseRecorder?
  ) throws {
    try checkOperands(operands, workspace)
    let bound = try operands.bound(for: operation, signature: signature)
    let (from, to) = isBackward ? (bound.output, bound.input) : (bound.input, bound.output)
    var weights = UnsafePointer(bound.filter.assumingMemoryBound(to: T.self))
    if planes == nil && operands.preparedFilter == nil, let start = workspace.baseAddress {
      let packed = start.bindMemory(to: T.self, capacity: filterCount)
      phases.measure("filter") { pack(weights, to: packed) }
      weights = UnsafePointer(packed)
    }
    let frame = DepthwiseFrame(
      plan: self, x: from.assumingMemoryBound(to: T.self), w: weights, y: to.assumingMemoryBound(to: T.self),
      bias: operation.epilogue.bias ? operands.bias?.assumingMemoryBound(to: T.self) : nil)
    let bands = divideUp(rows.map(\.count).max() ?? 0, band)
    phases.measure("windows") {
      if let planes {
        forEachTask(
          problem.n * problem.c * bands, slots: slots, slotBytes: slotBytes, scratch: workspace.baseAddress,
          pool: pool
        ) { task, scratch in
          guard let scratch = scratch?.bindMemory(to: T.self, capacity: planes.count) else { return }
          frame.planeBand(task / bands, band(task % bands), planes, scratch)
        }
      } else {
        pool.parallelFor(problem.n * bands) { frame.pixels(image: $0 / bands, band($0 % bands)) }
      }
    }
  }

  /// Steps of band `index`; the last phases may end before it does.
  private func band(_ index: Int) -> Range<Int> { index * band..<(index + 1) * band }
}

/// One execution.
struct DepthwiseFrame<T: DirectScalar> {
  let plan: DepthwisePlan<T>
  /// x or dy.
  let x: UnsafePointer<T>
  /// [taps][K] in NHWC, [K][taps] in NCHW.
  let w: UnsafePointer<T>
  /// y or dx.
  let y: UnsafeMutablePointer<T>
  let bias: UnsafePointer<T>?

  // MARK: Channels last

  /// All targets of `steps` of every phase in one image.
  func pixels(image: Int, _ steps: Range<Int>) {
    let (source, target) = (plan.source, plan.target)
    let channels = plan.problem.c
    let from = x + image * source.count * channels
    let to = y + image * target.count * channels
    let taps = plan.problem.filter.count
    withUnsafeTemporaryAllocation(of: Int.self, capacity: 2 * max(1, taps)) { lists in
      guard let offsets = lists.baseAddress else { return }
      for row in plan.rows {
        for step in steps.clamped(to: 0..<row.count) {
          let line = to + (row.targetFirst + step * row.targetStep) * target.w * channels
          let sourceLine = (row.sourceFirst + step * row.sourceStep) * source.w
          let tapRows = row.valid(step, extent: source.h)
          for column in plan.columns {
            let inner = column.interior(extent: source.w)
            func windows(_ range: Range<Int>, _ tapColumns: Range<Int>) {
              let first = sourceLine + column.sourceFirst + range.lowerBound * column.sourceStep
              var count = 0
              for r in tapRows {
                for s in tapColumns {
                  offsets[count] = (first + r * row.dilation * source.w + s * column.dilation) * channels
                  offsets[taps + count] = (row.taps[r] * plan.problem.filter.w + column.taps[s]) * channels
                  count += 1
                }
              }
              var shape = vb_depthwise()
              shape.columns = range.count
              shape.channels = channels
              shape.taps = count
              shape.offsets = UnsafePointer(offsets)
              shape.weights = UnsafePointer(offsets + taps)
              shape.x_step = column.sourceStep * channels
              shape.y_step = column.targetStep * channels
              shape.accumulate = plan.operation.epilogue.accumulate ? 1 : 0
              shape.relu = plan.operation.epilogue.relu ? 1 : 0
              let first_ = line + (column.targetFirst + range.lowerBound * column.targetStep) * channels
              T.depthwise(plan.kernels, &shape, from, w, bias, first_)
            }
            for at in 0..<inner.lowerBound { windows(at..<at + 1, column.valid(at, extent: source.w)) }
            if !inner.isEmpty { windows(inner, 0..<column.offsets) }
            for at in inner.upperBound..<column.count {
              windows(at..<at + 1, column.valid(at, extent: source.w))
            }
          }
        }
      }
    }
  }

  // MARK: Planes

  /// All targets of `steps` of every phase in plane `unit` (image · C + channel).
  func planeBand(_ unit: Int, _ steps: Range<Int>, _ padded: PaddedPlane, _ scratch: UnsafeMutablePointer<T>)
  {
    let problem = plan.problem
    let (source, target) = (plan.source, plan.target)
    let m = plan.multiplier
    let (image, channel) = (unit / problem.c, unit % problem.c)
    if plan.operation.pass == .forward {
      padded.fill(scratch, x + unit * source.count, source, steps)
      for k in channel * m..<(channel + 1) * m {
        windows(k, y + (image * problem.k + k) * target.count, steps, padded, scratch, accumulate: false)
      }
    } else {
      for k in channel * m..<(channel + 1) * m {
        padded.fill(scratch, x + (image * problem.k + k) * source.count, source, steps)
        windows(k, y + unit * target.count, steps, padded, scratch, accumulate: k > channel * m)
      }
    }
  }

  private func windows(
    _ k: Int, _ plane: UnsafeMutablePointer<T>, _ steps: Range<Int>, _ padded: PaddedPlane,
    _ scratch: UnsafeMutablePointer<T>, accumulate: Bool
  ) {
    let taps = plan.problem.filter.count
    let filter = w + k * taps
    withUnsafeTemporaryAllocation(of: Int.self, capacity: taps) { offsets in
      withUnsafeTemporaryAllocation(of: T.self, capacity: taps) { weights in
        for row in plan.rows {
          let own = steps.clamped(to: 0..<row.count)
          for column in plan.columns where !own.isEmpty {
            var count = 0
            for r in 0..<row.offsets {
              for s in 0..<column.offsets {
                offsets[count] = padded.offset(row, column, r, s)
                weights[count] = filter[row.taps[r] * plan.problem.filter.w + column.taps[s]]
                count += 1
              }
            }
            var shape = vb_plane()
            shape.rows = own.count
            shape.columns = column.count
            shape.taps = count
            shape.offsets = UnsafePointer(offsets.baseAddress)
            shape.x_row = row.sourceStep * padded.pitch
            shape.y_row = row.targetStep * plan.target.w
            shape.y_step = column.targetStep
            shape.accumulate = accumulate || plan.operation.epilogue.accumulate ? 1 : 0
            shape.relu = plan.operation.epilogue.relu ? 1 : 0
            guard let list = weights.baseAddress else { return }
            let first = row.targetFirst + own.lowerBound * row.targetStep
            T.plane(
              plan.kernels, &shape, scratch, list, bias?[k] ?? 0,
              plane + first * plan.target.w + column.targetFirst)
          }
        }
      }
    }
  }
}
