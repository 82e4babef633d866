#if FFTW
  import ConvCore

  /// Convolutions whose taps never meet in one output sub-image: 1×1 filters, strides of at least the
  /// filter, filters as large as the padded input.
  ///
  /// After the polyphase decomposition every filter has a single tap, its spectrum is constant, and the
  /// shortest tile is the best one: transforms of length 1, which are the identity. What remains are the
  /// products over channels and phases, y = W (K × C·R·S) · X (C·R·S × pixels), with real numbers.
  struct PointwisePlan: ConvPlan {
    let operation: ConvOperation
    /// Output pixels of a block.
    let pixelBlock: Int
    /// Blocks of pixels, images and groups that are multiplied at once.
    let unitBlock: Int
    let multiplier = KernelMatrixMultiplier()

    /// nil where not even single pixels stay under `limit` bytes.
    init?(_ operation: ConvOperation, limit: Int) {
      self.operation = operation
      let problem = operation.problem
      let pixels = problem.output.count
      if PointwisePlan.isDirect(problem) {
        pixelBlock = min(pixels, 1024)
        unitBlock = problem.n * problem.groups * ((pixels + pixelBlock - 1) / pixelBlock)
        return
      }
      let column = problem.cPerGroup * problem.filter.count * operation.elementType.byteCount
      guard column <= limit else { return nil }
      let budget = min(limit, 8 << 20)
      let most = max(1, min(1024, budget / 4 / column))
      let blocks = (pixels + most - 1) / most
      pixelBlock = (pixels + blocks - 1) / blocks
      unitBlock = max(1, min(problem.n * problem.groups * blocks, budget / (pixelBlock * column)))
    }

    /// Whether the columns are the input itself.
    private static func isDirect(_ problem: ConvProblem) -> Bool {
      problem.filter.count == 1 && problem.output == problem.input
        && problem.padding.before.h == 0 && problem.padding.before.w == 0
        && (problem.stride.h == 1 || problem.output.h == 1)
        && (problem.stride.w == 1 || problem.output.w == 1)
    }

    var executedBy: String { "fft" }
    var variant: String { "fft[tile=1x1]" }
    var executedFLOPs: Double { operation.problem.directFLOPs }
    /// Products of whole tiles of the kernel; the image, or its columns, are packed for each block of rows.
    var work: ConvWork {
      let problem = operation.problem
      let size = operation.elementType.byteCount
      let lanes = Double(InstructionSet.current.vectorBytes / size)
      func whole(_ count: Int, _ unit: Double) -> Double { (Double(count) / unit).rounded(.up) * unit }
      let (k, depth) = (problem.kPerGroup, problem.cPerGroup * problem.filter.count)
      let pixels = problem.output.count
      let matrices = Double(problem.n * problem.groups)
      let units = matrices * Double((pixels + pixelBlock - 1) / pixelBlock)
      let columns = matrices * Double(depth) * Double(pixels * size)
      let operands = operation.operandBytes
      // Blocks of pixels fill whole vectors, the last one of an image too.
      let filled = Double(pixels / pixelBlock) * whole(pixelBlock, lanes) + whole(pixels % pixelBlock, lanes)
      let (rows, width, terms, rowBlock) =
        switch operation.pass {
        case .forward: (k, filled, Double(depth), 128)
        case .backwardData: (depth, filled, Double(k), 128)
        case .backwardFilter: (k, whole(depth, lanes), Double(pixels), 64)
        }
      var work = ConvWork()
      work[.products] = 2 * matrices * whole(rows, 6) * width * terms
      let blocks = (Double(rows) / Double(rowBlock)).rounded(.up)
      let right = Double(pixels * size) * Double(operation.pass == .backwardData ? k : depth)
      let isTransposed = operation.pass == .backwardFilter
      work.add(
        isTransposed ? .reordered : .moved, (isTransposed ? 1 : 2) * matrices * blocks * right, of: operands)
      work[.calls] = units * blocks
      if !direct {
        work.add(.gathered, 2 * columns, of: operands)
        // Each row of a window is found anew.
        work[.runs] = 4 * matrices * Double(depth) * Double(pixels / problem.output.w)
      }
      if !direct && operation.pass == .backwardData {
        work.add(
          .moved, matrices * Double(problem.cPerGroup) * Double(problem.input.count * size), of: operands)
      }
      work.add(.moved, matrices * Double(k) * Double(pixels * size), of: operands)
      return work
    }
    var errorModel: ErrorModel {
      .summation(
        .unknown(depth: operation.problem.summationDepth(operation.pass)), accumulator: operation.elementType)
    }
    fileprivate var direct: Bool { PointwisePlan.isDirect(operation.problem) }
    fileprivate var unitElements: Int {
      operation.problem.cPerGroup * operation.problem.filter.count * pixelBlock
    }
    var workspaceBytes: Int { direct ? 0 : unitBlock * unitElements * operation.elementType.byteCount }
    var preparedBytes: Int {
      if operation.pass == .backwardFilter { return 0 }
      return operation.problem.filterShape.reduce(operation.elementType.byteCount, *)
    }

    func prepare(filter: UnsafeRawPointer, pool: WorkerPool) throws -> PreparedFilter {
      try PreparedFilter.copy(of: filter, for: self)
    }

    func execute(
      _ operands: ConvOperands, workspace: UnsafeMutableRawBufferPointer, pool: WorkerPool,
      phases: PhaseRecorder?
    ) throws {
      let bound = try operands.bound(for: operation, signature: signature)
      guard workspace.count >= workspaceBytes else {
        throw ConvError.workspaceTooSmall(needed: workspaceBytes, found: workspace.count)
      }
      // A direct plan has no columns of its own.
      let base = workspace.baseAddress ?? bound.input
      switch operation.elementType {
      case .float64: PointwiseExecution<Double>(self, bound, base, pool).run(phases)
      default: PointwiseExecution<Float>(self, bound, base, pool).run(phases)
      }
    }
  }

  private struct PointwiseExecution<T: ConvScalar> {
    typealias Pointer = UnsafeMutablePointer<T>
    let plan: PointwisePlan
    let problem: ConvProblem
    let x, w, y, columns: Pointer
    let pool: WorkerPool
    /// C/g·R·S and P·Q.
    let depth, pixels: Int
    let pixelBlocks: Int

    init(
      _ plan: PointwisePlan, _ bound: BoundOperands, _ workspace: UnsafeMutableRawPointer, _ pool: WorkerPool
    ) {
      self.plan = plan
      self.pool = pool
      problem = plan.operation.problem
      x = bound.input.assumingMemoryBound(to: T.self)
      w = bound.filter.assumingMemoryBound(to: T.self)
      y = bound.output.assumingMemoryBound(to: T.self)
      columns = workspace.assumingMemoryBound(to: T.self)
      depth = problem.cPerGroup * problem.filter.count
      pixels = problem.output.count
      pixelBlocks = (pixels + plan.pixelBlock - 1) / plan.pixelBlock
    }

    /// One image's and group's block of pixels.
    private struct Unit {
      var image: Int
      var group: Int
      var pixels: Range<Int>
    }

    private func unit(_ index: Int) -> Unit {
      let (rest, block) = index.quotientAndRemainder(dividingBy: pixelBlocks)
      let first = block * plan.pixelBlock
      return Unit(
        image: rest % problem.n, group: rest / problem.n,
        pixels: first..<min(pixels, first + plan.pixelBlock))
    }

    /// The columns of a unit, C·R·S × its pixels, and their row stride.
    private func matrix(_ unit: Unit, _ slot: Int) -> (pointer: Pointer, stride: Int) {
      if plan.direct {
        let channel = unit.image * problem.c + unit.group * problem.cPerGroup
        return (x + channel * pixels + unit.pixels.lowerBound, pixels)
      }
      return (columns + slot * plan.unitElements, unit.pixels.count)
    }

    /// The outputs of a unit: K/g × pixels, with stride `pixels`.
    private func outputs(_ unit: Unit) -> Pointer {
      y + (unit.image * problem.k + unit.group * problem.kPerGroup) * pixels + unit.pixels.lowerBound
    }

    func run(_ phases: PhaseRecorder?) {
      let pass = plan.operation.pass
      let units = problem.n * problem.groups * pixelBlocks
      if pass == .backwardData && !plan.direct {
        phases.measure("output transform") {
          let plane = problem.input.count
          pool.parallelFor(problem.n * problem.c) { (x + $0 * plane).update(repeating: 0, count: plane) }
        }
      }
      var first = 0
      while first < units {
        let block = first..<min(units, first + plan.unitBlock)
        if pass != .backwardData && !plan.direct {
          phases.measure("input transform") { exchange(block, gather: true) }
        }
        phases.measure("products") {
          switch pass {
          case .forward: multiplyForward(block)
          case .backwardData: multiplyBackward(block)
          case .backwardFilter: multiplyFilter(block)
          }
        }
        if pass == .backwardData && !plan.direct {
          phases.measure("output transform") { exchange(block, gather: false) }
        }
        first = block.upperBound
      }
    }

    /// Copies between x and the columns: each input element belongs to one column at most.
    private func exchange(_ block: Range<Int>, gather: Bool) {
      let taps = problem.filter.count
      pool.parallelFor(block.count * problem.cPerGroup) { task in
        let (slot, c) = task.quotientAndRemainder(dividingBy: problem.cPerGroup)
        let unit = unit(block.lowerBound + slot)
        let matrix = matrix(unit, slot)
        let channel = unit.image * problem.c + unit.group * problem.cPerGroup + c
        let plane = x + channel * problem.input.count
        for r in 0..<problem.filter.h {
          for s in 0..<problem.filter.w {
            let row = matrix.pointer + (c * taps + r * problem.filter.w + s) * matrix.stride
            copyTap(unit.pixels, row, plane, r, s, gather: gather)
          }
        }
      }
    }

    /// One row of the columns: the elements that tap (r, s) reads for a range of output pixels.
    private func copyTap(
      _ pixels: Range<Int>, _ row: Pointer, _ plane: Pointer, _ r: Int, _ s: Int, gather: Bool
    ) {
      let width = problem.output.w
      if gather { row.update(repeating: 0, count: pixels.count) }
      var pixel = pixels.lowerBound
      while pixel < pixels.upperBound {
        let (p, q) = pixel.quotientAndRemainder(dividingBy: width)
        let end = min(pixels.upperBound, (p + 1) * width)
        let h = p * problem.stride.h + r * problem.dilation.h - problem.padding.top
        if h >= 0 && h < problem.input.h {
          let window = Window(
            first: s * problem.dilation.w - problem.padding.left, stride: problem.stride.w,
            length: problem.input.w, elements: q..<q + end - pixel)
          let to = row + (pixel - pixels.lowerBound) + (window.lo - q)
          let from = plane + h * problem.input.w + window.start
          for index in 0..<window.hi - window.lo {
            if gather {
              to[index] = from[index * window.stride]
            } else {
              from[index * window.stride] = to[index]
            }
          }
        }
        pixel = end
      }
    }

    /// Rows of a product that one task computes.
    private static var rowBlock: Int { 128 }

    /// y = W · X per unit and block of K.
    private func multiplyForward(_ block: Range<Int>) {
      let k = problem.kPerGroup
      let rowBlocks = (k + Self.rowBlock - 1) / Self.rowBlock
      pool.parallelFor(block.count * rowBlocks) { task in
        let (slot, first) = (task / rowBlocks, task % rowBlocks * Self.rowBlock)
        let unit = unit(block.lowerBound + slot)
        let matrix = matrix(unit, slot)
        plan.multiplier.multiply(
          m: min(Self.rowBlock, k - first), n: unit.pixels.count, k: depth,
          a: UnsafePointer(w + (unit.group * k + first) * depth), lda: depth, transposeA: false,
          b: UnsafePointer(matrix.pointer), ldb: matrix.stride, transposeB: false,
          c: outputs(unit) + first * pixels, ldc: pixels, accumulate: false)
      }
    }

    /// dX = Wᵀ · dy per unit and block of C·R·S.
    private func multiplyBackward(_ block: Range<Int>) {
      let k = problem.kPerGroup
      let rowBlocks = (depth + Self.rowBlock - 1) / Self.rowBlock
      pool.parallelFor(block.count * rowBlocks) { task in
        let (slot, first) = (task / rowBlocks, task % rowBlocks * Self.rowBlock)
        let unit = unit(block.lowerBound + slot)
        let matrix = matrix(unit, slot)
        plan.multiplier.multiply(
          m: min(Self.rowBlock, depth - first), n: unit.pixels.count, k: k,
          a: UnsafePointer(w + unit.group * k * depth + first), lda: depth, transposeA: true,
          b: UnsafePointer(outputs(unit)), ldb: pixels, transposeB: false,
          c: matrix.pointer + first * matrix.stride, ldc: matrix.stride, accumulate: false)
      }
    }

    /// dW += dy · Xᵀ over the units of a group in their order, per block of K and C·R·S.
    private func multiplyFilter(_ block: Range<Int>) {
      let k = problem.kPerGroup
      let (rowBlocks, columnBlocks) = ((k + 63) / 64, (depth + 255) / 256)
      let perGroup = problem.n * pixelBlocks
      let groups = block.lowerBound / perGroup..<(block.upperBound - 1) / perGroup + 1
      pool.parallelFor(groups.count * rowBlocks * columnBlocks) { task in
        let group = groups.lowerBound + task / (rowBlocks * columnBlocks)
        let row = task / columnBlocks % rowBlocks * 64
        let column = task % columnBlocks * 256
        let units = block.clamped(to: group * perGroup..<(group + 1) * perGroup)
        for index in units {
          let unit = unit(index)
          let matrix = matrix(unit, index - block.lowerBound)
          plan.multiplier.multiply(
            m: min(64, k - row), n: min(256, depth - column), k: unit.pixels.count,
            a: UnsafePointer(outputs(unit) + row * pixels), lda: pixels, transposeA: false,
            b: UnsafePointer(matrix.pointer + column * matrix.stride), ldb: matrix.stride, transposeB: true,
            c: w + (group * k + row) * depth + column, ldc: depth, accumulate: index > group * perGroup)
        }
      }
    }
  }
#endif
