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
  /// GFLOP/s of our own matrix kernel; NaN where it was not measured.
  public var matrixKernel: Double
  /// What it makes of the peak: the median of quotients of samples that were taken in turn; NaN where it was not measured.
  public var matrixKernelShare: Double

  /// Known limits.
  public init(
    threads: Int, fmaPeak: Double, bandwidth: Double, levels: [CacheBandwidth] = [],
    matrixKernel: Double = .nan, matrixKernelShare: Double = .nan
  ) {
    self.threads = threads
    self.fmaPeak = fmaPeak
    self.bandwidth = bandwidth
    self.levels = levels
    self.matrixKernel = matrixKernel
    self.matrixKernelShare = matrixKernelShare
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
      matrixKernel: median(turns.map(\.kernel)),
      matrixKernelShare: median(turns.map { $0.kernel / $0.peak }))
  }

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
