import ConvCore
import Foundation

/// What the machine can do at best with a number of threads, as measured in the run.
public struct MachineLimits: Sendable, Hashable {
  public var threads: Int
  /// GFLOP/s in float32.
  public var fmaPeak: Double
  /// GB/s (10⁹ bytes) of memory: the triad's.
  public var bandwidth: Double
  /// Caches and memory, the nearest first; empty where they were not measured.
  public var levels: [CacheBandwidth]
  /// GFLOP/s of our own matrix kernel, taken in turn with the peak; NaN where it was not measured.
  public var matrixKernel: Double

  /// Known limits.
  public init(
    threads: Int, fmaPeak: Double, bandwidth: Double, levels: [CacheBandwidth] = [],
    matrixKernel: Double = .nan
  ) {
    self.threads = threads
    self.fmaPeak = fmaPeak
    self.bandwidth = bandwidth
    self.levels = levels
    self.matrixKernel = matrixKernel
  }

  /// Measures all; about a third of a second. Peak and matrix kernel take turns; each is the median of its
  /// samples.
  ///
  /// - Throws: `MemoryError`.
  public static func measure(pool: WorkerPool) throws -> MachineLimits {
    let (peak, kernel) = (PeakProbe(pool: pool), try MatrixKernelProbe(pool: pool))
    let turns = (0..<12).map { _ in (peak: peak.gflops(), kernel: kernel.gflops()) }
    // A sample that was not to be had is none.
    func median(_ samples: [Double]) -> Double { Statistics.median(samples.filter(\.isFinite)) }
    let levels = try BandwidthProbe.measure(pool: pool)
    return MachineLimits(
      threads: pool.threads, fmaPeak: median(turns.map(\.peak)),
      bandwidth: levels.first { $0.level == BandwidthProbe.memory }?.triad ?? .nan, levels: levels,
      matrixKernel: median(turns.map(\.kernel)))
  }

  /// What our own matrix kernel makes of the peak; NaN where it was not measured.
  public var matrixKernelShare: Double { matrixKernel / fmaPeak }

  /// The roofline at an arithmetic intensity in FLOP per byte, GFLOP/s (Williams, Waterman, Patterson,
  /// *Roofline*, 2009); NaN where a limit was not measured.
  public func roofline(intensity: Double) -> Double {
    let memory = intensity * bandwidth
    return memory < fmaPeak ? memory : memory.isNaN ? .nan : fmaPeak
  }
}

extension RunItem {
  /// Bytes that any algorithm has to move if nothing is in a cache: input, filter and output, once each.
  public var compulsoryBytes: Int {
    let problem = problem.problem
    let elements = [problem.inputShape, problem.filterShape, problem.outputShape].map { $0.reduce(1, *) }
    return elements.reduce(0, +) * operation.elementType.byteCount
  }
}

/// Whether operands are in the caches when a sample begins.
public enum CacheState: String, Sendable, Hashable, CaseIterable {
  /// As the executions before have left them.
  case warm
  /// Evicted before every execution.
  case cold
}

/// Fills the caches with something else than the operands.
final class CacheEvictor {
  private let memory: UnsafeMutablePointer<UInt64>
  private let count: Int
  private let pool: WorkerPool

  /// A scratch of twice the last-level cache, written by all threads of the pool.
  init(pool: WorkerPool, byteCount: Int = 2 * CacheSizes.lastLevel) {
    self.pool = pool
    count = max(1, byteCount / 8)
    memory = .allocate(capacity: count)
    memory.initialize(repeating: 0, count: count)
  }

  deinit { memory.deallocate() }

  /// Touches every line of the scratch.
  func evict() {
    let pieces = 4 * pool.threads
    let size = (count + pieces - 1) / pieces
    pool.parallelFor(pieces) { piece in
      for i in stride(from: piece * size, to: min(count, (piece + 1) * size), by: 8) { memory[i] &+= 1 }
    }
  }
}

/// The memory of this process.
public enum MemoryProbe {
  /// Forgets the largest resident size so far; does nothing where the system does not allow it.
  public static func resetPeak() {
    guard let file = FileHandle(forWritingAtPath: "/proc/self/clear_refs") else { return }
    try? file.write(contentsOf: Data("5".utf8))
    try? file.close()
  }

  /// Largest resident size since the start or the last reset (`VmHWM`), in bytes; nil where the system does not say.
  public static var peakBytes: Int? {
    (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)).flatMap(peakBytes(status:))
  }

  static func peakBytes(status: String) -> Int? {
    guard let line = status.split(separator: "\n").first(where: { $0.hasPrefix("VmHWM:") }) else {
      return nil
    }
    let words = line.split(whereSeparator: \.isWhitespace)
    return words.count == 3 ? Int(words[1]).map { $0 << 10 } : nil
  }
}
