import ConvCore
import Foundation

/// What the caches hold when a sample begins: the same for every engine, whichever others take part.
///
/// A sample always follows untimed executions of the same engine on the same operands, which wake the threads and bring back what
/// the engine uses: code, tables, prepared filters, operands. How many follows from how long they last and what they touch
/// (`SamplingLimits.untimedExecutions`); where refilling all of the last level is nothing beside an execution, there are none.
public enum CacheState: String, Sendable, Hashable, CaseIterable {
  /// As untimed executions have left them: as in a loop over one layer.
  case warm
  /// First- and second-level caches hold something else, the last level may hold the operands: as between the layers of a network.
  case network
  /// No cache holds anything of use.
  case cold

  /// What a sample begins with, in one sentence for reports.
  public var definition: String {
    switch self {
    case .warm:
      "each sample follows untimed executions of the same engine on the same operands (none where one lasts so long that "
        + "refilling the last-level cache is less than 0.5 % of it)"
    case .network:
      "before each sample, after untimed executions, L1 and L2 of all threads are filled with something else; "
        + "the last level may hold the operands"
    case .cold: "before each sample, after untimed executions, all caches are filled with something else"
    }
  }

  /// Whether several executions may follow each other in one sample.
  var allowsRepetition: Bool { self == .warm }
}

/// Fills caches with something else than the operands.
final class CacheEvictor {
  private let memory: UnsafeMutablePointer<UInt64>
  /// Words that each thread touches.
  private let count: Int
  let pool: WorkerPool

  /// What brings about a state of the caches before each sample; nil where the untimed executions do.
  ///
  /// - Throws: `MemoryError`.
  static func make(_ state: CacheState, pool: WorkerPool) throws -> CacheEvictor? {
    try bytesPerThread(state, caches: .current, threads: pool.threads).map {
      try CacheEvictor(pool: pool, bytesPerThread: $0)
    }
  }

  /// What each thread touches: twice the caches of its own processor; for `cold` also its share of twice the last level, which as many
  /// threads fill as share one: threads may lie on several of them. Nil for `warm`. Sizes that the system does not state are `CacheSizes`'s
  /// standard ones.
  static func bytesPerThread(_ state: CacheState, caches: CacheSizes, threads: Int) -> Int? {
    let own = 2 * caches.ownedByProcessor
    switch state {
    case .warm: return nil
    case .network: return own
    case .cold:
      guard let last = caches.levels.last else {
        return max(own, 2 * CacheSizes.standardLastLevel / threads)
      }
      return max(own, 2 * last.bytes / min(threads, last.processors))
    }
  }

  /// A scratch of its own for each thread of the pool.
  ///
  /// - Throws: `MemoryError`, also where that is more than a probe's share of what the process may have: caches that are not filled
  ///   would not be what the rows say they are.
  init(pool: WorkerPool, bytesPerThread: Int, allowance: MemoryAllowance = .current) throws {
    self.pool = pool
    try allowance.requireShare(pool.threads, of: bytesPerThread)
    count = max(8, bytesPerThread / 8)
    let (words, bytes) = (count * pool.threads, 8 * count * pool.threads)
    var pointer: UnsafeMutableRawPointer?
    // Not from the pool of buffers, which would keep it.
    guard posix_memalign(&pointer, 4096, bytes) == 0, let pointer else {
      throw MemoryError.outOfMemory(byteCount: bytes)
    }
    memory = pointer.bindMemory(to: UInt64.self, capacity: words)
    memory.initialize(repeating: 0, count: words)
  }

  deinit { free(memory) }

  /// Bytes of all threads together.
  var byteCount: Int { 8 * count * pool.threads }

  /// Touches every line of the scratch, each thread its own part.
  func evict() {
    EveryThread.run(pool) { thread in
      let own = self.memory + thread * self.count
      for i in stride(from: 0, to: self.count, by: 8) { own[i] &+= 1 }
    }
  }

  /// How often the first line of each thread's part was touched.
  var touches: [UInt64] { (0..<pool.threads).map { memory[$0 * count] } }
}

/// Work that every thread of a pool has to do itself.
enum EveryThread {
  /// Calls `body` with 0, 1, … on the threads of the pool, once on each of them: who has begun waits until all others have too. What a
  /// thread that gets no processor for 20 ms would have done, another one does.
  static func run(_ pool: WorkerPool, _ body: @escaping (Int) -> Void) {
    let gate = ThreadGate(threads: pool.threads, patience: 0.02)
    pool.parallelFor(pool.threads) { index in
      _ = gate.pass(0)
      body(index)
    }
  }
}
