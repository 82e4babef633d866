internal import CConvKernels
import ConvCore

/// Depthwise backward filter: each tap's sum over images and windows, in a fixed number of partial sums.
///
/// NHWC: the sums of a few taps and one vector of channels stay in registers along rows of windows. NCHW: the same for one channel,
/// over vectors of neighbouring windows.
struct DepthwiseFilterPlan<T: DirectScalar>: ConvPlan {
  let operation: ConvOperation
  let kernels: Kernels
  let row, column: AxisPhase
  /// Rows of windows of one item; a partial sum adds up items.
  let band: Int
  /// Channels of one task.
  let channels: Int
  /// Partial sums.
  let partials: Int
  let planes: PaddedPlane?
  let slots: Int

  var problem: ConvProblem { operation.problem }
  private var taps: Int { problem.filter.count }
  private var filterCount: Int { problem.k * taps }
  private var bands: Int { divideUp(problem.output.h, band) }
  private var items: Int { problem.n * bands }
  private var sumBytes: Int { aligned(partials * filterCount * MemoryLayout<T>.stride) }
  private var slotBytes: Int { planes.map { aligned($0.count * MemoryLayout<T>.stride) } ?? 0 }
  var workspaceBytes: Int { sumBytes + slots * slotBytes }
  var executedFLOPs: Double { problem.directFLOPs }
  var work: ConvWork {
    depthwiseWork(
      operation, lanes: kernels.lanes(T.self), bands: bands, rows: [row], columns: [column], planes: planes)
  }
  var variant: String { "direct[kernel=depthwise]" }
  var executedBy: String { "direct" }
  /// The longest partial sum, the sum of them, and the lanes of a vector where windows are spread over them.
  var errorModel: ErrorModel {
    let terms = min(divideUp(items, partials) * band, problem.n * problem.output.h) * problem.output.w
    let lanes = planes == nil ? 0 : kernels.lanes(T.self)
    return .summation(.unknown(depth: terms + lanes + partials), accumulator: operation.elementType)
  }

  /// - Throws: `Refusal`.
  init(_ operation: ConvOperation, _ options: PlanOptions) throws {
    let problem = operation.problem
    self.operation = operation
    kernels = .current
    row = AxisShape(problem, 1).phases(.forward)[0]
    column = AxisShape(problem, 2).phases(.forward)[0]
    let isPlanar = operation.inputFormat == .nchw
    if !isPlanar && problem.kPerGroup > 1 {
      throw Refusal(
        reason: "depthwise filters with \(problem.kPerGroup) outputs per channel run in nchw, not in nhwc")
    }
    channels = isPlanar ? 1 : 64
    let blocks = divideUp(isPlanar ? problem.c : problem.k, channels)
    let wantedPartials = divideUp(wantedTasks, blocks)
    var height = divideUp(problem.output.h, divideUp(wantedPartials, problem.n))
    var plane: PaddedPlane?
    if isPlanar {
      let lanes = kernels.lanes(T.self)
      var padded = PaddedPlane([row], [column], steps: height, lanes: lanes)
      let target = (24 << 10) / MemoryLayout<T>.stride
      while height > 1, padded.count > target {
        height = divideUp(height, 2)
        padded = PaddedPlane([row], [column], steps: height, lanes: lanes)
      }
      plane = padded
    }
    band = height
    planes = plane
    let scratch = plane.map { aligned(saturatingProduct($0.count, MemoryLayout<T>.stride)) } ?? 0
    let sums = problem.k * problem.filter.count * MemoryLayout<T>.stride
    let left = options.workspaceLimit - scratch - 64
    guard left >= sums else {
      throw Refusal(
        reason: "direct needs \(sums + scratch + 64) bytes of workspace for the sums of dw, "
          + "the limit is \(options.workspaceLimit)")
    }
    partials = min(wantedPartials, problem.n * divideUp(problem.output.h, height), left / sums)
    slots = try affordableSlots(
      scratch, options, limit: options.workspaceLimit - aligned(partials * sums))
  }

  func prepare(filter: UnsafeRawPointer, pool: WorkerPool) throws -> PreparedFilter {
    try preparedFilter(count: 0) { (_: UnsafeMutablePointer<T>) in }
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
    guard let start = workspace.baseAddress else { return }
    let x = UnsafePointer(bound.input.assumingMemoryBound(to: T.self))
    let dy = UnsafePointer(bound.output.assumingMemoryBound(to: T.self))
    let dw = bound.filter.assumingMemoryBound(to: T.self)
    let sums = start.bindMemory(to: T.self, capacity: partials * filterCount)
    let blocks = divideUp(planes == nil ? problem.k : problem.c, channels)
    phases.measure("windows") {
      forEachTask(
        blocks * partials, slots: planes == nil ? pool.threads : slots, slotBytes: slotBytes,
        scratch: planes == nil ? nil : start + sumBytes, pool: pool
      ) { task, scratch in
        let (block, part) = (task / partials, task % partials)
        let share = items * part / partials..<items * (part + 1) / partials
        let own = sums + part * filterCount
        if let planes, let scratch = scratch?.bindMemory(to: T.self, capacity: planes.count) {
          planeSums(block, share, x, dy, own, planes, scratch)
        } else {
          channelSums(block * channels..<min(problem.k, (block + 1) * channels), share, x, dy, own)
        }
      }
    }
    phases.measure("partial sums") { reduce(UnsafePointer(sums), dw, pool) }
  }

  /// Rows of item `index` of the list (image, band).
  private func item(_ index: Int) -> (image: Int, rows: Range<Int>) {
    let first = index % bands * band
    return (index / bands, first..<min(first + band, problem.output.h))
  }

  /// dw[k][tap] (+)= the partial sums, in order.
  private func reduce(_ sums: UnsafePointer<T>, _ dw: UnsafeMutablePointer<T>, _ pool: WorkerPool) {
    // The sums of NHWC are [taps][K], those of NCHW [K][taps] as dw is.
    let (tapStep, channelStep) = planes == nil ? (problem.k, 1) : (1, taps)
    let chunk = 256
    pool.parallelFor(divideUp(problem.k, chunk)) { task in
      for k in task * chunk..<min(problem.k, (task + 1) * chunk) {
        for tap in 0..<taps {
          var sum: T = operation.epilogue.accumulate ? dw[k * taps + tap] : 0
          for part in 0..<partials { sum += sums[part * filterCount + tap * tapStep + k * channelStep] }
          dw[k * taps + tap] = sum
        }
      }
    }
  }

  // MARK: Planes

  /// Sums of all filters of one input channel over `share`, into own[K][taps].
  private func planeSums(
    _ channel: Int, _ share: Range<Int>, _ x: UnsafePointer<T>, _ dy: UnsafePointer<T>,
    _ own: UnsafeMutablePointer<T>, _ padded: PaddedPlane, _ scratch: UnsafeMutablePointer<T>
  ) {
    let m = problem.kPerGroup
    (own + channel * m * taps).update(repeating: 0, count: m * taps)
    withUnsafeTemporaryAllocation(of: Int.self, capacity: taps) { offsets in
      for r in 0..<row.offsets {
        for s in 0..<column.offsets { offsets[r * column.offsets + s] = padded.offset(row, column, r, s) }
      }
      for index in share {
        let (image, rows) = item(index)
        padded.fill(scratch, x + (image * problem.c + channel) * problem.input.count, problem.input, rows)
        for k in channel * m..<(channel + 1) * m {
          var shape = vb_plane()
          shape.rows = rows.count
          shape.columns = problem.output.w
          shape.taps = taps
          shape.offsets = UnsafePointer(offsets.baseAddress)
          shape.x_row = row.sourceStep * padded.pitch
          shape.y_row = problem.output.w
          shape.y_step = 1
          let first = (image * problem.k + k) * problem.output.count + rows.lowerBound * problem.output.w
          T.planeGradient(kernels, &shape, scratch, dy + first, own + k * taps)
        }
      }
    }
  }

  // MARK: Channels last

  /// Sums of `range` of the channels over `share`, into own[taps][K].
  private func channelSums(
    _ range: Range<Int>, _ share: Range<Int>, _ x: UnsafePointer<T>, _ dy: UnsafePointer<T>,
    _ own: UnsafeMutablePointer<T>
  ) {
    for tap in 0..<taps {
      (own + tap * problem.k + range.lowerBound).update(repeating: 0, count: range.count)
    }
    let inner = column.interior(extent: problem.input.w)
    for index in share {
      let (image, rows) = item(index)
      let from = x + image * problem.input.count * problem.c
      let to = dy + image * problem.output.count * problem.k
      // Rows whose windows are inside of the image go together.
      let whole = row.interior(extent: problem.input.h).clamped(to: rows)
      var first = rows.lowerBound
      while first < rows.upperBound {
        let isWhole = whole.contains(first)
        let run = first..<(isWhole ? whole.upperBound : first + 1)
        let tapRows = isWhole ? 0..<row.offsets : row.valid(first, extent: problem.input.h)
        func windows(_ columns: Range<Int>, _ tapColumns: Range<Int>) {
          add(run, columns, tapRows, tapColumns, range, from, to, own)
        }
        for at in 0..<inner.lowerBound { windows(at..<at + 1, column.valid(at, extent: problem.input.w)) }
        if !inner.isEmpty { windows(inner, 0..<column.offsets) }
        for at in inner.upperBound..<column.count {
          windows(at..<at + 1, column.valid(at, extent: problem.input.w))
        }
        first = run.upperBound
      }
    }
  }

  private func add(
    _ rows: Range<Int>, _ columns: Range<Int>, _ tapRows: Range<Int>, _ tapColumns: Range<Int>,
    _ range: Range<Int>, _ x: UnsafePointer<T>, _ dy: UnsafePointer<T>, _ own: UnsafeMutablePointer<T>
  ) {
    let count = tapRows.count * tapColumns.count
    if count == 0 { return }
    withUnsafeTemporaryAllocation(of: Int.self, capacity: 2 * count) { lists in
      guard let offsets = lists.baseAddress else { return }
      let firstRow = row.sourceFirst + rows.lowerBound * row.sourceStep
      let firstColumn = column.sourceFirst + columns.lowerBound * column.sourceStep
      var next = 0
      for r in tapRows {
        for s in tapColumns {
          let line = (firstRow + r * row.dilation) * problem.input.w
          offsets[next] = (line + firstColumn + s * column.dilation) * problem.c
          offsets[count + next] = (r * column.offsets + s) * problem.k
          next += 1
        }
      }
      var shape = vb_depthwise()
      shape.rows = rows.count
      shape.columns = columns.count
      shape.channels = range.count
      shape.taps = count
      shape.offsets = UnsafePointer(offsets)
      shape.weights = UnsafePointer(offsets + count)
      shape.x_row = row.sourceStep * problem.input.w * problem.c
      shape.x_step = column.sourceStep * problem.c
      shape.y_row = problem.output.w * problem.k
      shape.y_step = problem.k
      let first = (rows.lowerBound * problem.output.w + columns.lowerBound) * problem.k
      T.depthwiseGradient(
        kernels, &shape, x + range.lowerBound, dy + first + range.lowerBound, own + range.lowerBound)
    }
  }
}
