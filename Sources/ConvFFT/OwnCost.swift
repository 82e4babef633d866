import ConvCore

/// A cost model for our own transforms, in nanoseconds of one core, on the scale of `TileCost`.
///
/// Constants were measured on a core with AVX2 (85 GFLOP/s at best). They only choose tiles and provider, and are the same
/// on every machine.
enum OwnCost {
  /// Channels that cost as much as one: a lane block's.
  static let lanes = 8

  /// Of one transform of a lane block per sample, strips and the spectrum's way to memory included.
  static func perSample(_ length: Int) -> Double { length <= 16 ? 3.2 : length == 32 ? 4 : 6.5 }

  /// Of one transform of a lane block, of which rows × columns samples are not zero or wanted.
  static func transform(_ height: Int, _ width: Int, rows: Int, columns: Int) -> Double {
    let samples = Double(height * width)
    // Rows are skipped; columns shorten the first pass of what is left.
    let share = 0.5 + 0.4 * Double(rows) / Double(height) + 0.1 * Double(columns) / Double(width)
    return samples * share * (perSample(height) + perSample(width)) / 2 + 60
  }

  /// Estimated time of the operation.
  static func estimate(
    _ operation: ConvOperation, _ vertical: CorrelationAxis, _ horizontal: CorrelationAxis, fresh: Bool
  ) -> Double {
    let problem = operation.problem
    let (height, width) = (vertical.length, horizontal.length)
    func blocks(_ channels: Int) -> Double { Double((channels + lanes - 1) / lanes) }
    let tiles = Double(problem.n * vertical.tiles * horizontal.tiles)
    let bins = Double(height * width / 2 + 2)
    let backward = operation.pass == .backwardData
    let (sum, produce) =
      backward ? (problem.kPerGroup, problem.cPerGroup) : (problem.cPerGroup, problem.kPerGroup)
    let whole = transform(height, width, rows: height, columns: width)
    let part = transform(height, width, rows: vertical.step, columns: horizontal.step)
    let taps = transform(height, width, rows: vertical.taps, columns: horizontal.taps)
    var time = tiles * (blocks(sum) * whole + blocks(produce) * part)
    let gradient = operation.pass == .backwardFilter
    if fresh || gradient { time += Double(sum) * blocks(produce) * taps }
    // 8 FLOPs per product; short sums and few rows leave the kernel waiting.
    let (rows, depth) = gradient ? (Double(sum), tiles) : (tiles, Double(sum))
    let rate = 75 * rows / (rows + 2) * depth / (depth + 3)
    time += 8 * tiles * bins * Double(sum) * blocks(produce) * Double(lanes) / rate
    // The filters' spectra are written and read once.
    time += bins * Double(sum) * blocks(produce) * Double(lanes) * 8 * (fresh || gradient ? 0.12 : 0.08)
    return Double(problem.groups) * time + 5000
  }

  /// What a plan with this layout does, with the lanes that it has.
  static func work(_ layout: OwnLayout, fresh: Bool) -> ConvWork {
    let operation = layout.operation
    let problem = operation.problem
    let (vertical, horizontal) = (layout.vertical, layout.horizontal)
    let (height, width) = (vertical.length, horizontal.length)
    let gradient = operation.pass == .backwardFilter
    let backward = operation.pass == .backwardData
    let tiles = Double(layout.tiles)
    let (sum, produce) = (Double(layout.sumLanes), Double(layout.produceLanes))
    let (bins, lanes) = (Double(layout.bins), Double(layout.lanes))
    let whole = transform(height, width, rows: height, columns: width)
    let part = transform(height, width, rows: vertical.step, columns: horizontal.step)
    let taps = transform(height, width, rows: vertical.taps, columns: horizontal.taps)
    let filters = fresh || gradient
    var work = ConvWork([.calls: 50])
    work[.fourier] = tiles * (sum * whole + produce * part)
    if filters { work[.fourier] += Double(layout.sum) * produce * taps }
    // Short sums and few rows leave the kernel waiting.
    let (rows, depth) = gradient ? (Double(layout.sum), tiles) : (tiles, Double(layout.sum))
    work[.spectralProducts] =
      8 * bins * Double(layout.sum) * tiles * produce * lanes * (1 + 2 / rows) * (1 + 3 / depth)
    let bytes = bins * lanes * 8
    let data = tiles * (sum + produce) * bytes
    let operators = Double(layout.sum) * produce * bytes
    work.add(.spread, 2 * data, of: min(data, Double(layout.dataBytes)))
    work.add(.spread, (filters ? 2 : 0) * operators, of: min(operators, Double(layout.filterBytes)))
    let operands = operation.operandBytes
    let size = Double(operation.elementType.byteCount)
    let input = Double(problem.n * problem.c) * Double(problem.input.count) * size
    let output = Double(problem.n * problem.k) * Double(problem.output.count) * size
    let groups = Double(problem.groups)
    work.addImage(
      operation.inputFormat, input / groups, channels: layout.lanes,
      planeBytes: problem.input.count * operation.elementType.byteCount, of: operands)
    work.addImage(
      operation.outputFormat, output / groups, channels: layout.lanes,
      planeBytes: problem.output.count * operation.elementType.byteCount, of: operands)
    if filters {
      work.add(
        backward ? .gathered : .reordered,
        Double(problem.kPerGroup * problem.cPerGroup) * Double(problem.filter.count) * size, of: operands)
    }
    return groups * work
  }
}
