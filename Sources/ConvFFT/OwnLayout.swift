import ConvCore

/// One axis of a dense convolution as a correlation, cut into overlapping tiles (overlap-save):
/// target[p] = Σ_r source[p + r − before] · taps[r], tile i yields the targets from i · step on.
///
/// Forward reads x, backwardData reads dy with reversed taps and R − 1 − padding zeros before it; for backwardFilter the
/// targets are those of forward, of which the tiles of dy take the filter's place.
struct CorrelationAxis: Sendable {
  let length: Int
  let taps: Int
  /// Zeros before the source; negative where its first elements are not read.
  let before: Int
  let source, target: Int

  /// nil where the tile is shorter than the filter.
  init?(_ operation: ConvOperation, axis: Int, length: Int) {
    let problem = operation.problem
    let (input, output) = (problem.input[axis], problem.output[axis])
    let padding = problem.padding.before[axis]
    taps = problem.filter[axis]
    guard length >= taps else { return nil }
    self.length = length
    let backward = operation.pass == .backwardData
    before = backward ? taps - 1 - padding : padding
    (source, target) = backward ? (output, input) : (input, output)
  }

  /// Targets of a tile.
  var step: Int { length - taps + 1 }
  var tiles: Int { (target + step - 1) / step }
  /// Targets of tile `index`.
  func targets(_ index: Int) -> Int { min(step, target - index * step) }
}

/// Neighbouring tiles of one tile row of one image, which share a strip.
struct TileSegment {
  var image, row, column, count: Int
  /// Index of the first tile within the block of tiles.
  var first: Int
}

/// How one operation is cut into tiles and blocks for our own transforms.
///
/// Per bin every pass is a product of a *source* (tiles × I) and an *operator* (I × O) to a *result* (tiles × O), where I
/// and O are the channels summed over and produced; for backwardFilter source (tiles × I) and operator (tiles × O) give a
/// result (I × O), summed over tiles. The blocks depend on the operation, the limits and the lanes, never on threads.
struct OwnLayout: Sendable {
  let operation: ConvOperation
  let vertical, horizontal: CorrelationAxis
  let lanes, bins, work: Int
  /// Tasks that run at once, each with scratch of its own.
  let slots: Int
  /// Channels of a group summed over and produced.
  let sum, produce: Int
  /// Blocks: lane blocks summed over and produced, tiles.
  var sumBlock: Int
  var produceBlock: Int
  var tileBlock: Int

  /// Bytes of source and result spectra that stay in the last-level cache; the same for a block of transformed filters.
  static let dataBudget = 12 << 20
  static let filterBudget = 8 << 20
  /// Most filters that are kept transformed because tiles come in several blocks.
  static let wholeFilterBudget = 64 << 20
  /// Tiles that make products efficient.
  static let goodTiles = 48
  /// Floats of a strip of several tiles, so that it stays near.
  static let stripBudget = 24 << 10

  var pass: ConvPass { operation.pass }
  var groups: Int { operation.problem.groups }
  var tilesPerImage: Int { vertical.tiles * horizontal.tiles }
  var tiles: Int { operation.problem.n * tilesPerImage }
  var sumLanes: Int { (sum + lanes - 1) / lanes }
  var produceLanes: Int { (produce + lanes - 1) / lanes }
  var line: Int { 2 * lanes }

  /// Blocks not yet chosen.
  init(
    _ operation: ConvOperation, _ vertical: CorrelationAxis, _ horizontal: CorrelationAxis,
    _ transform: OwnTransform, slots: Int
  ) {
    self.operation = operation
    self.vertical = vertical
    self.horizontal = horizontal
    (lanes, bins, work) = (transform.lanes, transform.bins, transform.work)
    self.slots = max(1, slots)
    let problem = operation.problem
    let backward = operation.pass == .backwardData
    (sum, produce) =
      backward ? (problem.kPerGroup, problem.cPerGroup) : (problem.cPerGroup, problem.kPerGroup)
    tileBlock = problem.n * vertical.tiles * horizontal.tiles
    sumBlock = (sum + lanes - 1) / lanes
    produceBlock = (produce + lanes - 1) / lanes
  }

  // MARK: Sizes in floats

  /// Floats between bins: off powers of two, where the bins of a tile would share one cache set.
  private static func stride(_ floats: Int) -> Int { (floats + 15) / 16 * 16 + 16 }

  var sourceBlockStride: Int { tileBlock * line }
  var operatorRows: Int { pass == .backwardFilter ? tileBlock : min(sum, sumBlock * lanes) }
  var operatorBlockStride: Int { operatorRows * line }
  var resultRows: Int { pass == .backwardFilter ? min(sum, sumBlock * lanes) : tileBlock }
  var resultBlockStride: Int { resultRows * line }
  var sourceStride: Int { Self.stride(sumBlock * sourceBlockStride) }
  var operatorStride: Int { Self.stride(produceBlock * operatorBlockStride) }
  var resultStride: Int { Self.stride(produceBlock * resultBlockStride) }
  var sourceFloats: Int { bins * sourceStride }
  var operatorFloats: Int { bins * operatorStride }
  var resultFloats: Int { bins * resultStride }

  /// Tiles of a segment.
  var segmentTiles: Int {
    let columns = Self.stripBudget / (vertical.length * lanes)
    return max(1, min(horizontal.tiles, (columns - horizontal.length) / horizontal.step + 1))
  }
  /// A strip of a segment's source, results or of a filter.
  var stripFloats: Int {
    vertical.length * ((segmentTiles - 1) * horizontal.step + horizontal.length) * lanes
  }
  var slotFloats: Int { Self.stride(stripFloats) + Self.stride(work) }
  var scratchFloats: Int { slots * slotFloats }

  private static let floatBytes = MemoryLayout<Float>.stride
  /// Bytes of the transformed filters that are held at once.
  var filterBytes: Int {
    (pass == .backwardFilter ? resultFloats : operatorFloats) * Self.floatBytes
  }
  /// Bytes of everything else.
  var dataBytes: Int {
    (sourceFloats + operatorFloats + resultFloats + scratchFloats) * Self.floatBytes - filterBytes
  }

  // MARK: Blocks

  var sumBlocks: Int { (sumLanes + sumBlock - 1) / sumBlock }
  var produceBlocks: Int { (produceLanes + produceBlock - 1) / produceBlock }
  var tileBlocks: Int { (tiles + tileBlock - 1) / tileBlock }

  /// Chooses the blocks: all tiles at once where the cache holds them, with the filters in blocks that it holds too; else
  /// blocks of tiles, with all filters transformed once where memory allows.
  ///
  /// - Returns: false where not even the smallest blocks stay under `limit` bytes.
  mutating func chooseBlocks(limit: Int) -> Bool {
    func shrink(_ value: Int) -> Int { (value + 1) / 2 }
    let budget = min(Self.dataBudget, limit)
    while tileBlock > Self.goodTiles && dataBytes > budget {
      tileBlock = max(Self.goodTiles, shrink(tileBlock))
    }
    let filterBudget = tileBlock == tiles ? Self.filterBudget : Self.wholeFilterBudget
    while filterBytes > filterBudget && produceBlock > 2 { produceBlock = shrink(produceBlock) }
    while dataBytes > limit {
      if tileBlock > 8 {
        tileBlock = shrink(tileBlock)
      } else if produceBlock > 2 {
        produceBlock = shrink(produceBlock)
      } else if sumBlock > 4 {
        sumBlock = shrink(sumBlock)
      } else if tileBlock > 1 {
        tileBlock = shrink(tileBlock)
      } else if produceBlock > 1 {
        produceBlock = 1
      } else if sumBlock > 1 {
        sumBlock = shrink(sumBlock)
      } else {
        return false
      }
    }
    // Equal blocks: the last one is not left with a few.
    tileBlock = (tiles + tileBlocks - 1) / tileBlocks
    produceBlock = (produceLanes + produceBlocks - 1) / produceBlocks
    sumBlock = (sumLanes + sumBlocks - 1) / sumBlocks
    return true
  }

  /// The segments of a range of tiles.
  func segments(_ range: Range<Int>) -> [TileSegment] {
    var segments: [TileSegment] = []
    var tile = range.lowerBound
    while tile < range.upperBound {
      let (line, column) = tile.quotientAndRemainder(dividingBy: horizontal.tiles)
      let (image, row) = line.quotientAndRemainder(dividingBy: vertical.tiles)
      let count = min(segmentTiles, horizontal.tiles - column, range.upperBound - tile)
      segments.append(
        TileSegment(image: image, row: row, column: column, count: count, first: tile - range.lowerBound))
      tile += count
    }
    return segments
  }
}
