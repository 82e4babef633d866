import ConvCore
import Foundation

/// How fast all threads together read, write and combine arrays that lie in one level of the memory, in GB/s
/// (10⁹ bytes).
///
/// Counted are the bytes that a program names, as STREAM does: 4 per word read or written, 12 per element of
/// the triad. What a cache fetches in order to overwrite it is not counted.
public struct CacheBandwidth: Sendable, Hashable {
  /// `L1`, `L2`, `L3` or `memory`.
  public var level: String
  /// Bytes that each thread goes through again and again.
  public var bytesPerThread: Int
  /// Of a sum.
  public var read: Double
  /// Of a fill, through the caches.
  public var write: Double
  /// Of a = b + s·c.
  public var triad: Double

  /// Known figures.
  public init(level: String, bytesPerThread: Int, read: Double, write: Double, triad: Double) {
    self.level = level
    self.bytesPerThread = bytesPerThread
    self.read = read
    self.write = write
    self.triad = triad
  }
}

/// The bandwidth of the caches and of memory, on the instruction set that kernels run on
/// (`InstructionSet.current`).
///
/// References: McCalpin, *Memory bandwidth and machine balance*, 1995.
public struct BandwidthProbe {
  /// How memory's figure was got, for reports.
  public static let label =
    "triad of STREAM, 12 bytes per element, beyond the last-level cache, all threads together"

  /// An array that fits into a level and not into the one below.
  public struct Footprint: Sendable, Hashable {
    /// As in `CacheBandwidth`.
    public var level: String
    /// Bytes that each thread goes through.
    public var bytesPerThread: Int
  }

  private let pool: WorkerPool
  private let kernels = LimitKernels()
  private let buffers: [PooledBuffer]

  /// Memory for arrays of up to `bytesPerThread` bytes in each thread of `pool`.
  ///
  /// - Throws: `MemoryError`, also where all threads together would take more than a probe's share.
  public init(pool: WorkerPool, bytesPerThread: Int) throws {
    self.pool = pool
    try MemoryAllowance.current.requireShare(pool.threads, of: bytesPerThread)
    // Not from the shared pool, which would keep them. Large blocks get huge pages, as tensors do.
    let memory = BufferPool(cacheLimit: 0)
    buffers = try (0..<pool.threads).map { _ in
      try PooledBuffer(byteCount: max(bytesPerThread, 4096), pool: memory)
    }
  }

  /// GB/s of a pass over arrays that take `bytesPerThread` bytes together in each thread, over `seconds`; NaN
  /// as of `PeakProbe`.
  ///
  /// - Precondition: not more than this was made for.
  public func rate(_ pass: Pass, bytesPerThread: Int, seconds: Double) -> Double {
    let phase = self.phase(pass, bytesPerThread: bytesPerThread, seconds: seconds)
    return PoolRates.measure([phase], pool: pool, prepare: touch)[0] * 1e-9
  }

  /// All levels; about a quarter of a second, more where the last level is so large that fetching four times
  /// as much memory takes long.
  ///
  /// Medians of three rounds over all levels, of some milliseconds each.
  ///
  /// - Throws: `MemoryError`.
  public static func measure(pool: WorkerPool) throws -> [CacheBandwidth] {
    let footprints = footprints(threads: pool.threads)
    let largest = footprints.map(\.bytesPerThread).max() ?? 0
    let probe = try BandwidthProbe(pool: pool, bytesPerThread: largest)
    let phases = footprints.flatMap { footprint in
      // A block of memory takes a hundred times as long as one of the nearest cache.
      let seconds = footprint.level == memory ? 12e-3 : 2e-3
      return Pass.allCases.map {
        probe.phase($0, bytesPerThread: footprint.bytesPerThread, seconds: seconds)
      }
    }
    let rounds = 3
    let rates = PoolRates.measure(
      Array(repeating: phases, count: rounds).flatMap { $0 }, pool: pool, prepare: probe.touch)
    let medians = phases.indices.map { phase in
      Statistics.median((0..<rounds).map { rates[$0 * phases.count + phase] }) * 1e-9
    }
    return footprints.indices.map { index in
      let figures = medians[index * Pass.allCases.count..<(index + 1) * Pass.allCases.count]
      return CacheBandwidth(
        level: footprints[index].level, bytesPerThread: footprints[index].bytesPerThread,
        read: figures[figures.startIndex], write: figures[figures.startIndex + 1],
        triad: figures[figures.startIndex + 2])
    }
  }

  /// What each of that many threads goes through on this machine.
  public static func footprints(threads: Int) -> [Footprint] {
    footprints(of: .current, threads: threads, allowance: .current)
  }

  /// The name of what is beyond the caches.
  static let memory = "memory"

  /// What each thread goes through to measure each level, the nearest first.
  ///
  /// Of a cache half of a thread's share of it, if as many threads share it as can; of the last one at most
  /// four times the cache below, since others may use the rest. It has to exceed the cache below: where it
  /// does not, the level cannot be told from that one and is left out. Of memory four times the share of the
  /// last cache (32 MiB for all threads where the system does not name any), at most a sixteenth of what the
  /// process may have; it is left out when that is not twice the share, as a cache is whose footprint does not
  /// fit in that sixteenth.
  static func footprints(of caches: CacheSizes, threads: Int, allowance: MemoryAllowance) -> [Footprint] {
    var footprints: [Footprint] = []
    var below = 0
    func share(_ level: CacheSizes.Level) -> Int { level.bytes / min(threads, level.processors) }
    for (index, level) in caches.levels.enumerated() {
      var bytes = share(level) / 2
      if index == caches.levels.count - 1 && below > 0 { bytes = min(bytes, 4 * below) }
      if bytes > below, bytes <= allowance.probeBytes / threads {
        footprints.append(Footprint(level: "L\(level.level)", bytesPerThread: bytes))
      }
      below = level.bytes
    }
    let last = caches.levels.last.map(share) ?? (32 << 20) / threads
    let bytes = min(4 * last, allowance.probeBytes / threads)
    if bytes >= 2 * last { footprints.append(Footprint(level: memory, bytesPerThread: bytes)) }
    return footprints
  }

  /// Ways to go through memory, in the order of `CacheBandwidth`.
  public enum Pass: String, Sendable, CaseIterable {
    case read, write, triad

    /// Bytes per element, as STREAM counts.
    var bytesPerElement: Int { self == .triad ? 12 : 4 }
  }

  /// Each thread writes its memory, so that its pages lie near it.
  private func touch(_ thread: Int) {
    let bytes = buffers[thread].byteCount
    kernels.write(passes: 1, count: bytes / 4, Float(1).bitPattern, into: words(thread))
  }

  private func words(_ thread: Int) -> UnsafeMutablePointer<UInt32> {
    buffers[thread].baseAddress.assumingMemoryBound(to: UInt32.self)
  }

  /// Passes over a footprint in blocks of about 4 MiB: some of a small one, a part of a large one.
  private func phase(_ pass: Pass, bytesPerThread: Int, seconds: Double) -> PoolRates.Phase {
    let blocks = Blocks(pass, bytesPerThread: bytesPerThread)
    let (count, passes) = (blocks.count, blocks.passes)
    precondition(
      blocks.stride * (pass == .triad ? 3 : 1) * 4 <= buffers[0].byteCount,
      "\(bytesPerThread) bytes of \(buffers[0].byteCount)")
    return PoolRates.Phase(
      // All of it has to be where it belongs.
      warmUpBlocks: blocks.parts, seconds: seconds,
      unitsPerBlock: Double(passes * count * pass.bytesPerElement)
    ) { thread, index in
      let start = words(thread) + index % blocks.parts * count
      switch pass {
      case .read: _ = kernels.read(passes: passes, count: count, start)
      case .write: kernels.write(passes: passes, count: count, Float(1).bitPattern, into: start)
      case .triad:
        let a = UnsafeMutableRawPointer(start).assumingMemoryBound(to: Float.self)
        kernels.triad(
          passes: passes, count: count, scale: 0.5, a + blocks.stride, a + 2 * blocks.stride, into: a)
      }
    }
  }

  /// How a footprint is cut into blocks of equal work.
  struct Blocks: Hashable {
    static let bytes = 4 << 20

    /// Elements from an array to the next; all arrays begin at the same place of a page where they are that
    /// long, so that no store looks like one to what is loaded next.
    var stride: Int
    /// Parts of an array, one per block.
    var parts: Int
    /// Elements of a part.
    var count: Int
    /// How often a block goes through its part.
    var passes: Int

    init(_ pass: Pass, bytesPerThread: Int) {
      let arrays = pass == .triad ? 3 : 1
      let bytes = bytesPerThread / arrays
      let grain = bytes >= 4096 ? 4096 : 64
      stride = max(1, bytes / grain * grain / 4)
      parts = max(1, stride * pass.bytesPerElement / Blocks.bytes)
      count = stride / parts
      passes = max(1, Blocks.bytes / (count * pass.bytesPerElement))
    }
  }
}
