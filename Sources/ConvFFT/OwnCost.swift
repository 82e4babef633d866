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
}
