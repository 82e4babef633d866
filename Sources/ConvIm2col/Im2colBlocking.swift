import ConvCore

/// How one operation is cut into tasks and column blocks.
///
/// A function of the operation and the workspace limit, never of the thread count: `slots`, the only field that the thread count
/// limits, says how many workers may run at once, not what they compute.
struct Im2colBlocking: Sendable {
  /// Column rows of one block: the summed dimension of forward, the produced one of the backward passes.
  var rows: Int
  /// Output positions of one block, of each of its images.
  var positions: Int
  /// Images of one block; more than 1 only where it takes all positions of each.
  var images: Int
  /// Channels of one backwardData task, all of a group where it is not cut.
  var channels: Int
  /// Extent of a backwardData task's slab of the image along its outermost axis.
  var slab: Int
  /// Partial sums of backwardFilter.
  var partials: Int
  /// Elements of the column buffer of one worker; 0 where no columns are built.
  var columnElements: Int
  /// Elements of one worker's copy of y or dy with its images side by side: NCHW images lie apart, a block of several is
  /// one matrix only in a copy. 0 where blocks have one image.
  var sideElements: Int
  /// Workers that have a column buffer.
  var slots: Int

  /// Bytes of one worker's column buffer, rounded up to whole cache lines.
  func columnBytes(_ type: ElementType) -> Int { (columnElements * type.byteCount + 63) / 64 * 64 }
  /// Bytes of one worker's buffers.
  func slotBytes(_ type: ElementType) -> Int {
    columnBytes(type) + (sideElements * type.byteCount + 63) / 64 * 64
  }

  /// Tasks that an operation is cut into where its size allows it, so that small batches use all cores.
  static let wantedTasks = 8
  /// Column bytes of one worker: they stay in the L2 or L3 cache between being built and multiplied.
  static let targetBytes = 2 << 20
  /// Depth of a column block is a multiple of this where it is cut: the depth that matrix kernels pack at once.
  static let depthStep = 384

  /// The blocks for `operation`, or nil when not even one column element fits the limit.
  init?(_ operation: ConvOperation, _ options: PlanOptions) {
    let problem = operation.problem
    let size = operation.elementType.byteCount
    let depth = problem.cPerGroup * problem.filter.count
    let positions = problem.output.count
    var limit = options.workspaceLimit
    let images = Self.imagesPerBlock(operation, limit: limit)
    let units = saturatingProduct(divideUp(problem.n, images), problem.groups)
    self.init(
      rows: depth, positions: positions, images: images, channels: problem.cPerGroup,
      slab: problem.input[3 - problem.spatialRank], partials: 1, columnElements: 0,
      sideElements: images > 1 && operation.inputFormat == .nchw ? problem.kPerGroup * images * positions : 0,
      slots: max(1, options.threads))

    let readsImages = operation.readsImages(blocksOf: images)
    if operation.pass == .backwardFilter {
      cutFilterGradient(problem, size: size, limit: &limit)
    } else if images == 1 {
      let isScattered = operation.pass == .backwardData && !readsImages
      cutPositions(perUnit: isScattered ? 1 : divideUp(Self.wantedTasks, units), isIdentity: readsImages)
      if isScattered { cutImageGradient(problem, units: units, format: operation.inputFormat) }
    }
    if readsImages { return }

    // One column buffer may take an eighth of the limit, so that eight workers have one each; small limits leave fewer workers.
    let bytes = min(Self.targetBytes, max(limit / 8, min(limit, 64 << 10))) / 64 * 64
    let elements = bytes / size
    guard elements >= 1 else { return nil }
    fit(elements)
    slots = max(1, min(slots, limit / max(slotBytes(operation.elementType), 1)))
  }

  private init(
    rows: Int, positions: Int, images: Int, channels: Int, slab: Int, partials: Int, columnElements: Int,
    sideElements: Int, slots: Int
  ) {
    self.rows = rows
    self.positions = positions
    self.images = images
    self.sideElements = sideElements
    self.channels = channels
    self.slab = slab
    self.partials = partials
    self.columnElements = columnElements
    self.slots = slots
  }

  /// Small images share a block: each matrix call packs the filter anew, which few columns do not pay for.
  private static func imagesPerBlock(_ operation: ConvOperation, limit: Int) -> Int {
    let problem = operation.problem
    let positions = problem.output.count
    guard positions <= 256, problem.kPerGroup >= 32, limit >= 1 << 20 else { return 1 }
    let size = operation.elementType.byteCount
    let side = problem.kPerGroup * positions * size
    let most = [
      512 / positions, operation.inputFormat == .nchw ? min(targetBytes, limit / 8) / side : .max,
      saturatingProduct(problem.n, problem.groups) / wantedTasks, problem.n,
    ].min()!
    // Blocks of like size.
    return most <= 1 ? 1 : divideUp(problem.n, divideUp(problem.n, most))
  }

  /// Cuts the positions of an image into about `perUnit` blocks; narrow blocks would repack the weights too often.
  private mutating func cutPositions(perUnit wanted: Int, isIdentity: Bool) {
    let all = positions
    let widest = isIdentity ? 4096 : 1024
    let most = max(all / 96, min(2, all / 16), 1)
    let count = max(min(wanted, most), divideUp(all, widest))
    positions = divideUp(all, count)
    if positions >= 32 { positions = min(all, (positions + 15) / 16 * 16) }
  }

  /// Cuts dx among tasks: channels first (NCHW), then slabs of the image, which compute the positions at their edges twice.
  private mutating func cutImageGradient(_ problem: ConvProblem, units: Int, format: MemoryFormat) {
    let taps = problem.filter.count
    var wanted = divideUp(Self.wantedTasks, units)
    if format == .nchw && wanted > 1 {
      let most = max(1, problem.cPerGroup / max(1, divideUp(192, taps)))
      channels = divideUp(problem.cPerGroup, min(wanted, most))
      wanted = divideUp(wanted, divideUp(problem.cPerGroup, channels))
    }
    if wanted >= 4 {
      let axis = 3 - problem.spatialRank
      let halo = (problem.filter[axis] - 1) * problem.dilation[axis]
      // Each cut computes `halo` lines of positions twice: a third of the work at most.
      let most = halo == 0 ? wanted : 1 + problem.input[axis] / (3 * halo)
      slab = divideUp(problem.input[axis], min(wanted, most))
    }
  }

  /// Cuts dw into row blocks, and where that gives few tasks its sum into a fixed number of partial sums.
  private mutating func cutFilterGradient(_ problem: ConvProblem, size: Int, limit: inout Int) {
    let depth = rows
    let wanted = divideUp(Self.wantedTasks, problem.groups)
    let blocks = max(min(wanted, depth / 144), divideUp(depth, 1152), 1)
    rows = divideUp(depth, blocks)
    positions = divideUp(positions, divideUp(positions, 800))
    let tasks = saturatingProduct(problem.groups, divideUp(depth, rows))
    let items = saturatingProduct(divideUp(problem.n, images), divideUp(problem.output.count, positions))
    let bytes = saturatingProduct(saturatingProduct(problem.k, depth), size)
    // Half of the limit at most; rounding up to a cache line is counted in, so that the column buffers keep theirs.
    let affordable = 1 + max(0, limit / 2 - 64) / max(bytes, 1)
    partials = max(1, min(divideUp(Self.wantedTasks, tasks), items, affordable))
    limit -= partialBytes(bytes)
  }

  /// Bytes that the partial sums beyond the first take, in whole cache lines.
  func partialBytes(_ filterBytes: Int) -> Int { ((partials - 1) * filterBytes + 63) / 64 * 64 }

  /// Shrinks the block until it has at most `elements` elements.
  private mutating func fit(_ elements: Int) {
    let leastRows = min(rows, 128)
    let asked = images
    if images > 1 { images = max(1, min(images, elements / leastRows / positions)) }
    if saturatingProduct(rows, images * positions) > elements {
      if images == 1 {
        let all = positions
        positions = max(1, min(positions, elements / leastRows))
        if positions < all {
          // Parts of like length, of whole vectors: a short rest would pack the filter for a few columns.
          positions = divideUp(all, divideUp(all, positions))
          if positions >= 32 { positions = positions / 16 * 16 }
        }
      }
      let most = max(1, min(rows, elements / (images * positions)))
      if most < rows {
        let parts = divideUp(rows, most)
        rows = min(most, (divideUp(rows, parts) + Self.depthStep - 1) / Self.depthStep * Self.depthStep)
      }
    }
    columnElements = rows * images * positions
    sideElements = images == 1 ? 0 : sideElements / asked * images
  }
}

extension ConvOperation {
  /// Whether the column matrix is the image itself: one tap, stride 1, no padding.
  var isIdentity: Bool {
    problem.filter.count == 1 && problem.stride.count == 1 && problem.input == problem.output
      && problem.padding == Padding()
  }
}

extension ConvOperation {
  /// Whether a block of `images` images needs no columns: the images themselves have that form, side by side in NHWC.
  func readsImages(blocksOf images: Int) -> Bool { isIdentity && (images == 1 || inputFormat == .nhwc) }
}

/// ⌈a / b⌉ for positive numbers.
func divideUp(_ a: Int, _ b: Int) -> Int { (a - 1) / b + 1 }

/// a·b, or the largest number where that overflows.
func saturatingProduct(_ a: Int, _ b: Int) -> Int {
  let (product, overflow) = a.multipliedReportingOverflow(by: b)
  return overflow ? .max : product
}
