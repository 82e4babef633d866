internal import CConvKernels
import Synchronization

/// A cache of aligned memory blocks.
///
/// Fresh memory costs a page fault per page, some thirty times the cost of writing it warm; a training step that
/// frees its activations and allocates them again next step pays that every time. Released blocks are kept by size
/// class (four per octave, so a block is at most a quarter larger than asked for) up to `cacheLimit` bytes.
/// Blocks are 64-byte aligned; from 2 MB on 2 MB-aligned, with huge pages asked for. Thread-safe.
public final class BufferPool: Sendable {
  /// The pool that tensors and workspaces use: it keeps up to a quarter of what the process may have, 8 GB at most.
  public static let shared = BufferPool(cacheLimit: min(MemoryAllowance.current.bytes / 4, 8 << 30))

  private struct Block: @unchecked Sendable { let address: UnsafeMutableRawPointer }
  private struct State {
    var free: [Int: [Block]] = [:]
    var cachedBytes = 0
    var usedBytes = 0
    var peakUsedBytes = 0

    mutating func use(_ size: Int) {
      usedBytes += size
      peakUsedBytes = max(peakUsedBytes, usedBytes)
    }
  }
  private let state = Mutex(State())

  /// Bytes that the pool keeps at most.
  public let cacheLimit: Int
  /// What blocks in use may take together.
  private let allowance: MemoryAllowance

  /// A pool that keeps at most `cacheLimit` bytes of released blocks, and gives out at most `allowance`.
  public init(cacheLimit: Int, allowance: MemoryAllowance = .current) {
    self.cacheLimit = max(0, cacheLimit)
    self.allowance = allowance
  }

  deinit { trim() }

  /// Bytes of released blocks that the pool holds.
  public var cachedBytes: Int { state.withLock { $0.cachedBytes } }

  /// Bytes of blocks that are in use, whole blocks counted.
  public var usedBytes: Int { state.withLock { $0.usedBytes } }

  /// The largest number of bytes in use at a time since the pool was made or `resetPeak()` was called.
  public var peakUsedBytes: Int { state.withLock { $0.peakUsedBytes } }

  /// Begins a new peak at what is in use now.
  public func resetPeak() { state.withLock { $0.peakUsedBytes = $0.usedBytes } }

  /// The size of the block that serves `byteCount` bytes; nil when that overflows or is negative.
  ///
  /// Multiples of 64; four sizes per power of two.
  public static func blockSize(for byteCount: Int) -> Int? {
    guard byteCount >= 0, byteCount <= Int.max / 2 else { return nil }
    let bytes = max(byteCount, 64)
    let octave = Int.bitWidth - 1 - bytes.leadingZeroBitCount
    let step = max(64, 1 << (octave - 2))
    return (bytes + step - 1) / step * step
  }

  /// A block of at least `byteCount` bytes, uninitialised. Give it back with `release(_:byteCount:)`.
  ///
  /// - Throws: `MemoryError` when the size is absurd or the system has no memory.
  public func allocate(byteCount: Int) throws(MemoryError) -> UnsafeMutableRawPointer {
    guard let size = BufferPool.blockSize(for: byteCount) else {
      throw .invalidSize(byteCount: byteCount)
    }
    if let block = take(size) { return block.address }
    // Overcommitting systems and control groups grant what they cannot back and kill the process when it is written.
    let (used, cached) = state.withLock { ($0.usedBytes, $0.cachedBytes) }
    guard byteCount <= allowance.bytes, used <= allowance.bytes - byteCount else {
      throw .exceedsAllowance(byteCount: byteCount, used: used, allowance: allowance)
    }
    if cached > allowance.bytes - byteCount - used { trim() }
    var fresh = allocateBesideReserve(size)
    if fresh == nil {
      trim()
      fresh = allocateBesideReserve(size)
    }
    guard let address = fresh else { throw .outOfMemory(byteCount: byteCount) }
    state.withLock { $0.use(size) }
    return address
  }

  /// Bytes of addresses that no pool takes: a library's, which does not get on without them. 0 asks for nothing.
  package static let reserve = Atomic<Int>(0)

  private func allocateBesideReserve(_ size: Int) -> UnsafeMutableRawPointer? {
    guard let address = vb_memory_allocate(size) else { return nil }
    let reserve = BufferPool.reserve.load(ordering: .relaxed)
    if reserve == 0 || vb_memory_leaves(reserve) != 0 { return address }
    vb_memory_free(address)
    return nil
  }

  private func take(_ size: Int) -> Block? {
    state.withLock { state in
      guard let block = state.free[size]?.popLast() else { return nil }
      state.cachedBytes -= size
      state.use(size)
      return block
    }
  }

  /// Gives back a block that `allocate(byteCount:)` returned for the same `byteCount`.
  public func release(_ address: UnsafeMutableRawPointer, byteCount: Int) {
    guard let size = BufferPool.blockSize(for: byteCount) else {
      preconditionFailure("release: \(byteCount) bytes were never allocated")
    }
    let block = Block(address: address)
    let kept = state.withLock { state in
      state.usedBytes -= size
      guard size <= cacheLimit - state.cachedBytes else { return false }
      state.free[size, default: []].append(block)
      state.cachedBytes += size
      return true
    }
    if !kept { vb_memory_free(address) }
  }

  /// Frees all cached blocks.
  public func trim() {
    let blocks = state.withLock { state in
      let blocks = state.free.values.flatMap { $0 }
      state.free = [:]
      state.cachedBytes = 0
      return blocks
    }
    for block in blocks { vb_memory_free(block.address) }
  }
}

/// The owner of one block of a `BufferPool`; the block goes back with the last reference.
///
/// The contents are uninitialised. Who shares a buffer between threads answers for the order of its accesses.
public final class PooledBuffer: @unchecked Sendable {
  /// The first byte; 64-byte aligned, 2 MB-aligned from 2 MB on.
  public let baseAddress: UnsafeMutableRawPointer
  /// Bytes that were asked for.
  public let byteCount: Int
  private let pool: BufferPool

  /// A buffer of `byteCount` bytes out of `pool`.
  ///
  /// - Throws: `MemoryError` when the size is absurd or the system has no memory.
  public init(byteCount: Int, pool: BufferPool = .shared) throws(MemoryError) {
    baseAddress = try pool.allocate(byteCount: byteCount)
    self.byteCount = byteCount
    self.pool = pool
  }

  /// A buffer for `count` elements of `type`, overflow checked.
  ///
  /// - Throws: `MemoryError` when the size is absurd or the system has no memory.
  public convenience init<T: BitwiseCopyable>(
    count: Int, of type: T.Type, pool: BufferPool = .shared
  ) throws(MemoryError) {
    let (bytes, overflow) = count.multipliedReportingOverflow(by: MemoryLayout<T>.stride)
    guard !overflow else { throw .invalidSize(byteCount: count < 0 ? Int.min : Int.max) }
    try self.init(byteCount: bytes, pool: pool)
  }

  deinit { pool.release(baseAddress, byteCount: byteCount) }

  /// The bytes.
  public var bytes: UnsafeMutableRawBufferPointer {
    UnsafeMutableRawBufferPointer(start: baseAddress, count: byteCount)
  }

  /// The memory as elements of `type`; use one type only during a buffer's life.
  public func elements<T: BitwiseCopyable>(of type: T.Type) -> UnsafeMutableBufferPointer<T> {
    bytes.bindMemory(to: type)
  }
}
