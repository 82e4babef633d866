internal import CConvKernels
import Foundation
import Synchronization

/// A set of worker threads for fork-join loops.
///
/// A fork and join costs about a microsecond while the workers are awake; they poll for a few milliseconds after
/// their last chunk and then sleep. Threads of a pool that has more of them than there are processors (`Processors.current`) do
/// not poll: they would keep each other from work. Threads only claim chunks, in any order: what a chunk computes must not
/// depend on which thread runs it.
public final class WorkerPool: @unchecked Sendable {
  /// The pool of this process: one thread per processor that it may use (`Processors.current`), or as many as `VBENCH_THREADS` says.
  public static let shared = WorkerPool.pool(threads: defaultThreads)

  /// Largest number of threads that a pool is made with.
  public static let maximumThreads = 1024

  /// Threads of the pool, the calling thread included.
  ///
  /// Less than what was asked for when the system refused to start more, or beyond `maximumThreads`.
  public let threads: Int
  /// Threads that were asked for, at least 1 and at most `maximumThreads`.
  public let wantedThreads: Int
  /// Whether waiting threads poll for some milliseconds: there is a processor for each.
  public let polls: Bool

  private let handle: OpaquePointer

  /// A pool of `threads` threads, the calling one included (at least 1, at most `maximumThreads`).
  public convenience init(threads: Int) { self.init(threads: threads, processors: .current) }

  /// A pool for known processors.
  init(threads: Int, processors: Processors) {
    wantedThreads = min(max(threads, 1), WorkerPool.maximumThreads)
    polls = wantedThreads <= processors.count
    guard let handle = vb_pool_create(UInt32(wantedThreads), polls ? 3000 : 0) else {
      fatalError("out of memory while creating a pool of \(wantedThreads) threads")
    }
    self.handle = handle
    self.threads = Int(vb_pool_threads(handle))
  }

  /// Makes sure that the system started all threads that were asked for, each with the memory that kernels work in.
  ///
  /// - Throws: `MemoryError.threads`, `.outOfMemory`.
  public func requireAllThreads() throws(MemoryError) {
    if threads < wantedThreads { throw .threads(wanted: wantedThreads, started: threads) }
    if vb_pool_lacks_scratch(handle) != 0 { throw .outOfMemory(byteCount: 1248 << 10) }
  }

  deinit { vb_pool_destroy(handle) }

  private static let pools = Mutex<[Int: WorkerPool]>([:])

  /// The process's pool of `threads` threads, made at its first use.
  public static func pool(threads: Int) -> WorkerPool {
    let wanted = min(max(threads, 1), maximumThreads)
    return pools.withLock { pools in
      if let pool = pools[wanted] { return pool }
      let pool = WorkerPool(threads: wanted)
      pools[wanted] = pool
      return pool
    }
  }

  /// Threads of `shared`: `VBENCH_THREADS` when it is a positive number, the processors that this process may use otherwise.
  private static var defaultThreads: Int {
    let processors = min(Processors.current.count, maximumThreads)
    guard let text = ProcessInfo.processInfo.environment["VBENCH_THREADS"], !text.isEmpty else {
      return processors
    }
    if let threads = Int(text), (1...maximumThreads).contains(threads) { return threads }
    StandardError.write(
      "vbench: VBENCH_THREADS=\(QuotedText.shortened(text)) is not in 1...\(maximumThreads); using \(processors)\n"
    )
    return processors
  }

  /// Calls `body(i)` once for every i in 0..<count, on all threads of the pool, and returns when all calls have.
  ///
  /// `body` runs on several threads at once and the caller answers for disjoint writes; it may capture unsafe
  /// pointers. A nested call, or one made while another thread is using the pool, runs inline.
  ///
  /// - Precondition: `count >= 0`.
  public func parallelFor(_ count: Int, _ body: (Int) -> Void) {
    precondition(count >= 0, "parallelFor: count \(count) is negative")
    var start = 0
    while start < count {
      // The core counts chunks in 32 bits.
      let length = min(count - start, Int(UInt32.max))
      run(start, length, body)
      start += length
    }
  }

  /// Sends the workers to sleep at once, instead of after some milliseconds: before another library's threads are to work.
  ///
  /// - Precondition: no `parallelFor` is under way.
  public func rest() { vb_pool_rest(handle) }

  private func run(_ start: Int, _ count: Int, _ body: (Int) -> Void) {
    typealias Job = (start: Int, body: (Int) -> Void)
    let ran = withoutActuallyEscaping(body) { body in
      var job: Job = (start, body)
      return withUnsafeMutablePointer(to: &job) {
        vb_pool_run(
          handle, UInt32(count),
          { context, index in
            let job = context!.assumingMemoryBound(to: Job.self)
            job.pointee.body(job.pointee.start + index)
          }, $0)
      }
    }
    if ran == 0 {
      for index in start..<start + count { body(index) }
    }
  }

  /// As `parallelFor(_:_:)`, for a body that throws.
  ///
  /// After the first error no further chunk begins; of the errors thrown the one of the smallest index is
  /// rethrown when all threads have stopped.
  public func parallelFor(_ count: Int, throwing body: (Int) throws -> Void) throws {
    let failed = Atomic<Bool>(false)
    let first = Mutex<(index: Int, error: any Error)?>(nil)
    parallelFor(count) { index in
      if failed.load(ordering: .relaxed) { return }
      do {
        try body(index)
      } catch {
        first.withLock { first in
          if first.map({ index < $0.index }) ?? true { first = (index, error) }
        }
        failed.store(true, ordering: .relaxed)
      }
    }
    if let first = first.withLock({ $0 }) { throw first.error }
  }
}
