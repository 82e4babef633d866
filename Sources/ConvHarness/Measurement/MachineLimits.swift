import ConvCore
import Foundation

/// What the machine can do at best with a number of threads, as measured in the run.
public struct MachineLimits: Sendable, Hashable {
  public var threads: Int
  /// GFLOP/s in float32.
  public var fmaPeak: Double
  /// GB/s (10⁹ bytes) of memory.
  public var bandwidth: Double

  /// Known limits.
  public init(threads: Int, fmaPeak: Double, bandwidth: Double) {
    self.threads = threads
    self.fmaPeak = fmaPeak
    self.bandwidth = bandwidth
  }

  /// Measures both; about half a second.
  ///
  /// - Throws: `MemoryError`.
  public static func measure(pool: WorkerPool) throws -> MachineLimits {
    MachineLimits(
      threads: pool.threads, fmaPeak: try PeakProbe.measure(pool: pool),
      bandwidth: try BandwidthProbe.measure(pool: pool))
  }

  /// The roofline at an arithmetic intensity in FLOP per byte, GFLOP/s (Williams, Waterman, Patterson, *Roofline*, 2009).
  public func roofline(intensity: Double) -> Double { min(fmaPeak, intensity * bandwidth) }
}

extension RunItem {
  /// Bytes that any algorithm has to move if nothing is in a cache: input, filter and output, once each.
  public var compulsoryBytes: Int {
    let problem = problem.problem
    let elements = [problem.inputShape, problem.filterShape, problem.outputShape].map { $0.reduce(1, *) }
    return elements.reduce(0, +) * operation.elementType.byteCount
  }
}

/// The memory bandwidth of the machine: the triad a = b + s·c of STREAM on arrays that no cache holds.
public enum BandwidthProbe {
  /// How the figure was got, for reports.
  public static let label =
    "triad of STREAM, 12 bytes per element, beyond the last-level cache, best of the probe"

  /// GB/s of all threads of `pool` together: the best of about 0.15 s. The arrays take four times the last-level cache
  /// together, at most an eighth of the memory.
  ///
  /// References: McCalpin, *Memory bandwidth and machine balance*, 1995.
  /// - Throws: `MemoryError`.
  public static func measure(pool: WorkerPool) throws -> Double {
    let limit = Int(ProcessInfo.processInfo.physicalMemory / 8)
    let bytes = min(4 * CacheSizes.lastLevel, limit)
    let pieces = pool.threads
    let vectors = max(1, bytes / 3 / pieces / MemoryLayout<SIMD8<Float>>.stride)
    let count = vectors * pieces
    // Not from the pool of buffers, which would keep them.
    let memory = UnsafeMutablePointer<SIMD8<Float>>.allocate(capacity: 3 * count)
    defer { memory.deallocate() }
    let (a, b, c) = (memory, memory + count, memory + 2 * count)
    // Each thread touches its piece first, so that its pages lie near it.
    pool.parallelFor(pieces) { piece in
      for i in piece * vectors..<(piece + 1) * vectors {
        a[i] = SIMD8(repeating: 0)
        b[i] = SIMD8(repeating: 1)
        c[i] = SIMD8(repeating: 2)
      }
    }
    var best = 0.0
    let end = ContinuousClock.now + .milliseconds(150)
    repeat {
      let start = ContinuousClock.now
      pool.parallelFor(pieces) { piece in
        let scale = SIMD8<Float>(repeating: 0.5)
        for i in piece * vectors..<(piece + 1) * vectors { a[i] = b[i] + scale * c[i] }
      }
      let seconds = (ContinuousClock.now - start).seconds
      best = max(best, Double(3 * count * MemoryLayout<SIMD8<Float>>.stride) / seconds * 1e-9)
    } while ContinuousClock.now < end
    return best
  }
}

/// Sizes of the caches as the system states them.
public enum CacheSizes {
  /// Bytes of the largest cache of the first processor; 32 MiB where the system does not say.
  public static let lastLevel: Int = {
    let sizes = (0..<8).compactMap { index in
      let path = "/sys/devices/system/cpu/cpu0/cache/index\(index)/size"
      return (try? String(contentsOfFile: path, encoding: .utf8)).flatMap(bytes)
    }
    return sizes.max() ?? 32 << 20
  }()

  /// `32768K` in bytes.
  static func bytes(_ text: String) -> Int? {
    let text = text.trimmingCharacters(in: .whitespacesAndNewlines)
    let units: [Character: Int] = ["K": 1 << 10, "M": 1 << 20, "G": 1 << 30]
    guard let last = text.last, let unit = units[last] else { return Int(text) }
    return Int(text.dropLast()).map { $0 * unit }
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
