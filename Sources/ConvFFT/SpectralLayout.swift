import ConvCore

/// One operand as planes: which channels there are, and where a tile's elements lie in its memory.
///
/// A plane is one (image, channel, phase). Channel index within a group: phase · channels + channel.
struct PlaneSide: Sendable {
  /// Channels of a group, without phases.
  let channels: Int
  /// Channels of all groups, without phases.
  let allChannels: Int
  let verticalPhases: Int
  let horizontalPhases: Int
  /// Extents in memory.
  let height: Int
  let width: Int
  /// Indexed by phase · tiles + tile.
  let verticalWindows: [Window]
  let horizontalWindows: [Window]

  /// Channels of a group times phases.
  var count: Int { channels * verticalPhases * horizontalPhases }
}

/// How one operation is cut into tiles and blocks.
///
/// Every pass is, per frequency bin, a product of a *source* (tiles × I) and an *operator* (I × O) to a
/// *result* (tiles × O), where I and O are the channels summed over and produced; for the filter gradient
/// source (tiles × I) and operator (tiles × O) give a result (I × O), summed over tiles.
struct SpectralLayout: Sendable {
  let operation: ConvOperation
  let vertical: PhaseAxis
  let horizontal: PhaseAxis
  let height: Int
  let width: Int
  let verticalTiles: Int
  let horizontalTiles: Int
  /// x or dx.
  let input: PlaneSide
  /// y or dy.
  let output: PlaneSide
  /// Windows of the phases' taps.
  let verticalTaps: [Window]
  let horizontalTaps: [Window]
  /// Half-spectrum bins of a tile.
  let bins: Int
  /// Planes that are transformed at once.
  let batch: Int
  /// Tasks that run at once, each with scratch of its own.
  let slots: Int
  /// Block sizes: groups, channels summed over, channels produced, tiles.
  var groupBlock = 1
  var sumBlock = 1
  var produceBlock = 1
  var tileBlock = 1

  var pass: ConvPass { operation.pass }
  var tilesPerImage: Int { verticalTiles * horizontalTiles }
  var tiles: Int { operation.problem.n * tilesPerImage }
  var groups: Int { operation.problem.groups }
  /// I: channels of a group that are summed over (for backwardFilter: input channels).
  var sum: Int { pass == .backwardData ? output.count : input.count }
  /// O: channels of a group that are produced (for backwardFilter: output channels).
  var produce: Int { pass == .backwardData ? input.count : output.count }

  /// The operation in tiles of height × width, blocks not yet chosen.
  init(
    _ operation: ConvOperation, _ vertical: PhaseAxis, _ horizontal: PhaseAxis, height: Int, width: Int,
    slots: Int
  ) {
    self.operation = operation
    self.vertical = vertical
    self.horizontal = horizontal
    self.height = height
    self.width = width
    self.slots = max(1, slots)
    bins = height * (width / 2 + 1)
    let problem = operation.problem
    let rows = vertical.tiles(length: height, pass: operation.pass)
    let columns = horizontal.tiles(length: width, pass: operation.pass)
    verticalTiles = rows.count
    horizontalTiles = columns.count
    func elements(_ axis: PhaseAxis, _ length: Int) -> (input: Range<Int>, output: Range<Int>) {
      switch operation.pass {
      case .backwardData: (axis.span - 1..<length, 0..<length)
      case .forward, .backwardFilter: (0..<length, 0..<length - axis.span + 1)
      }
    }
    let (v, h) = (elements(vertical, height), elements(horizontal, width))
    input = PlaneSide(
      channels: problem.cPerGroup, allChannels: problem.c, verticalPhases: vertical.phases,
      horizontalPhases: horizontal.phases, height: problem.input.h, width: problem.input.w,
      verticalWindows: (0..<vertical.phases).flatMap { phase in
        rows.map { vertical.inputWindow($0, phase: phase, elements: v.input) }
      },
      horizontalWindows: (0..<horizontal.phases).flatMap { phase in
        columns.map { horizontal.inputWindow($0, phase: phase, elements: h.input) }
      })
    output = PlaneSide(
      channels: problem.kPerGroup, allChannels: problem.k, verticalPhases: 1, horizontalPhases: 1,
      height: problem.output.h, width: problem.output.w,
      verticalWindows: rows.map { vertical.outputWindow($0, elements: v.output) },
      horizontalWindows: columns.map { horizontal.outputWindow($0, elements: h.output) })
    verticalTaps = (0..<vertical.phases).map { vertical.filterWindow(phase: $0) }
    horizontalTaps = (0..<horizontal.phases).map { horizontal.filterWindow(phase: $0) }
    batch = SpectralLayout.batch(height: height, width: width, operation.elementType)
  }

  /// 16 planes are a cache line of each bin; long transforms take fewer, so that they stay in the L2 cache.
  static func batch(height: Int, width: Int, _ elementType: ElementType) -> Int {
    var batch = 16
    while batch > 1 && batch * height * width * elementType.byteCount > 320 << 10 { batch /= 2 }
    return batch
  }

  // MARK: Sizes in elements

  /// Elements between the bins of a block: off powers of two, where the bins would share one cache set.
  static func stride(_ elements: Int) -> Int { (elements + 15) / 16 * 16 + 16 }

  /// Elements of one bin of a source block.
  var sourceStride: Int { Self.stride(2 * tileBlock * sumBlock * groupBlock) }
  /// Elements of one bin of an operator block (for backwardFilter of dy).
  var operatorStride: Int {
    Self.stride(3 * (pass == .backwardFilter ? tileBlock : sumBlock) * produceBlock * groupBlock)
  }
  /// Elements of one bin of a result block.
  var resultStride: Int {
    Self.stride(2 * (pass == .backwardFilter ? sumBlock : tileBlock) * produceBlock * groupBlock)
  }
  var sourceElements: Int { sourceStride * bins }
  var operatorElements: Int { operatorStride * bins }
  var resultElements: Int { resultStride * bins }

  /// Planes that a dense transform takes at once.
  static let denseBatch = 64
  /// Rows of the operator that a task transforms: their filters are neighbours in memory, those of a row
  /// far apart.
  static let denseRows = 8

  /// Elements of real scratch of a slot.
  var realScratch: Int {
    let planes = max(batch * height * width, Self.denseBatch * Self.largestDenseSamples(self))
    return Self.stride(planes)
  }
  /// Elements of complex scratch of a slot, in real numbers.
  var complexScratch: Int { Self.stride(2 * batch * bins) }
  /// Elements of scratch of all slots.
  var scratchElements: Int { slots * (realScratch + complexScratch) }

  private static func largestDenseSamples(_ layout: SpectralLayout) -> Int {
    max(
      layout.usesDenseData ? layout.height * layout.width : 0,
      layout.usesDenseFilter ? denseRows * layout.vertical.span * layout.horizontal.span : 0)
  }

  /// Whether filters are transformed by a dense matrix.
  var usesDenseFilter: Bool {
    TileCost.prefersDense(
      height: height, width: width, rows: vertical.span, columns: horizontal.span, parts: 3,
      elementType: operation.elementType)
  }
  /// Whether x, y are.
  var usesDenseData: Bool {
    TileCost.prefersDense(
      height: height, width: width, rows: height, columns: width, parts: 2,
      elementType: operation.elementType)
  }

  // MARK: Blocks

  /// Blocks in each dimension.
  var groupBlocks: Int { (groups + groupBlock - 1) / groupBlock }
  var sumBlocks: Int { (sum + sumBlock - 1) / sumBlock }
  var produceBlocks: Int { (produce + produceBlock - 1) / produceBlock }
  var tileBlocks: Int { (tiles + tileBlock - 1) / tileBlock }

  /// Bytes that do not belong to transformed filters.
  var dataBytes: Int {
    let filters = pass == .backwardFilter ? resultElements : operatorElements
    return (sourceElements + operatorElements + resultElements + scratchElements - filters)
      * operation.elementType.byteCount
  }
  /// Bytes of the block of transformed filters that is held at once.
  var filterBytes: Int {
    (pass == .backwardFilter ? resultElements : operatorElements) * operation.elementType.byteCount
  }

  /// Bytes of data and scratch with one tile and blocks of `channels` channels.
  static func leastBytes(
    height: Int, width: Int, channels: Int, slots: Int, _ elementType: ElementType
  ) -> Int {
    let batch = batch(height: height, width: width, elementType)
    let bins = height * (width / 2 + 1)
    let scratch = max(1, slots) * (stride(batch * height * width) + stride(2 * batch * bins))
    return (scratch + bins * (stride(3 * channels) + stride(2 * channels))) * elementType.byteCount
  }

  /// Groups whose products are so small that several groups are computed side by side.
  static let smallProduct = 64
  /// Bytes that stay in the last-level cache between phases.
  static let cacheBytes = 16 << 20

  /// Chooses the blocks: all channels at once where possible, then as many tiles as the caches hold.
  ///
  /// - Returns: false where not even the smallest blocks stay under `limit` bytes.
  mutating func chooseBlocks(limit: Int, prepared: Bool) -> Bool {
    let cache = min(Self.cacheBytes, limit)
    func shrink(_ value: Int) -> Int { (value + 1) / 2 }
    groupBlock = 1
    sumBlock = sum
    produceBlock = produce
    // Enough rows for efficient products, as far as the cache allows.
    tileBlock = tiles
    while tileBlock > 64 && dataBytes > cache { tileBlock = max(64, shrink(tileBlock)) }
    // Transformed filters: in cache where that costs nothing, in memory where all tiles do not fit at once.
    if !(prepared && pass != .backwardFilter) {
      let budget = tileBlock == tiles ? Self.cacheBytes : max(limit, Self.cacheBytes)
      while filterBytes > budget && produceBlock > 32 { produceBlock = max(32, shrink(produceBlock)) }
    }
    while dataBytes > limit {
      if tileBlock > 8 {
        tileBlock = shrink(tileBlock)
      } else if produceBlock > 32 {
        produceBlock = shrink(produceBlock)
      } else if sumBlock > 32 {
        sumBlock = shrink(sumBlock)
      } else if tileBlock > 1 {
        tileBlock = shrink(tileBlock)
      } else if produceBlock > 1 {
        produceBlock = shrink(produceBlock)
      } else if sumBlock > 1 {
        sumBlock = shrink(sumBlock)
      } else {
        return false
      }
    }
    if groups > 1, sum * produce <= Self.smallProduct, sumBlock == sum, produceBlock == produce {
      var trial = self
      while trial.groupBlock < groups {
        trial.groupBlock = min(groups, 2 * trial.groupBlock)
        if trial.dataBytes > cache || trial.filterBytes > Self.cacheBytes { break }
        groupBlock = trial.groupBlock
      }
      groupBlock = (groups + groupBlocks - 1) / groupBlocks
    }
    sumBlock = (sum + sumBlocks - 1) / sumBlocks
    produceBlock = (produce + produceBlocks - 1) / produceBlocks
    tileBlock = (tiles + tileBlocks - 1) / tileBlocks
    return true
  }
}

/// Where the spectra of neighbouring planes are stored: three rows of one bin; other bins are `stride`
/// further.
struct SpectrumTarget {
  var real: Int
  var imaginary: Int
  /// −Im, where the products need it.
  var negated: Int?
  var stride: Int
}

/// A range of each dimension.
struct Block {
  var groups: Range<Int>
  var sum: Range<Int>
  var produce: Range<Int>
  var tiles: Range<Int>
}
