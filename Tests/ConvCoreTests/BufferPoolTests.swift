import ConvCore
import Testing

@Suite struct BufferPoolTests {
  @Test func blocksAreAlignedAndLargeEnough() throws {
    for bytes in [0, 1, 63, 64, 65, 1000, 4097, 1 << 20, (2 << 20) - 1, 2 << 20, 5_000_001] {
      let buffer = try PooledBuffer(byteCount: bytes)
      let alignment = bytes >= 2 << 20 ? 2 << 20 : 64
      #expect(UInt(bitPattern: buffer.baseAddress) % UInt(alignment) == 0, "\(bytes) bytes")
      #expect(buffer.byteCount == bytes)
      buffer.bytes.initializeMemory(as: UInt8.self, repeating: 0xA5)
      let size = try #require(BufferPool.blockSize(for: bytes))
      #expect(
        size >= bytes && size % 64 == 0 && (bytes < 256 || size <= bytes + bytes / 4), "\(bytes): \(size)")
    }
  }

  @Test func releasedBlocksAreReused() throws {
    let pool = BufferPool(cacheLimit: 1 << 20)
    let first = try PooledBuffer(byteCount: 10_000, pool: pool).baseAddress
    #expect(pool.cachedBytes == BufferPool.blockSize(for: 10_000))
    let second = try PooledBuffer(byteCount: 9_900, pool: pool)
    #expect(second.baseAddress == first)
    #expect(pool.cachedBytes == 0)
    let third = try PooledBuffer(byteCount: 10_000, pool: pool)
    #expect(third.baseAddress != second.baseAddress)
  }

  @Test func theCacheHasALimit() throws {
    let pool = BufferPool(cacheLimit: 100_000)
    do {
      let buffers = try (0..<10).map { _ in try PooledBuffer(byteCount: 40_000, pool: pool) }
      #expect(buffers.count == 10)
    }
    #expect(pool.cachedBytes > 0 && pool.cachedBytes <= 100_000, "\(pool.cachedBytes)")
    pool.trim()
    #expect(pool.cachedBytes == 0)
  }

  @Test func usedBytesArePeaks() throws {
    let pool = BufferPool(cacheLimit: 1 << 20)
    let block = try #require(BufferPool.blockSize(for: 10_000))
    do {
      let first = try PooledBuffer(byteCount: 10_000, pool: pool)
      let second = try PooledBuffer(byteCount: 10_000, pool: pool)
      #expect(pool.usedBytes == 2 * block && first.baseAddress != second.baseAddress)
    }
    #expect(pool.usedBytes == 0 && pool.peakUsedBytes == 2 * block)
    // Less than before leaves the peak where it was.
    do {
      let less = try PooledBuffer(byteCount: 10_000, pool: pool)
      #expect(pool.usedBytes == block && pool.peakUsedBytes == 2 * block && less.byteCount == 10_000)
    }
    pool.resetPeak()
    #expect(pool.peakUsedBytes == 0)
    // Out of the cache, and after the cache was emptied.
    for _ in 0..<2 {
      let buffer = try PooledBuffer(byteCount: 9_900, pool: pool)
      #expect(pool.usedBytes == block && pool.peakUsedBytes == block && buffer.byteCount == 9_900)
      pool.trim()
      #expect(pool.usedBytes == block)
    }
    #expect(pool.usedBytes == 0)
  }

  @Test func absurdSizesThrow() {
    #expect(throws: MemoryError.invalidSize(byteCount: -1)) { try PooledBuffer(byteCount: -1) }
    #expect(throws: MemoryError.invalidSize(byteCount: Int.max)) { try PooledBuffer(byteCount: Int.max) }
    #expect(throws: MemoryError.self) { try PooledBuffer(byteCount: 1 << 50) }
    #expect(throws: MemoryError.self) { try PooledBuffer(count: Int.max / 2, of: Double.self) }
    #expect(throws: MemoryError.self) { try PooledBuffer(count: -3, of: Float.self) }
  }

  @Test func manyThreadsShareIt() async {
    let pool = BufferPool(cacheLimit: 1 << 22)
    let failures = await withTaskGroup(of: Int.self) { group in
      for task in 0..<4 {
        group.addTask {
          var failures = 0
          for round in 0..<500 {
            let count = 16 + round % 7 * 300
            guard let buffer = try? PooledBuffer(count: count, of: Int.self, pool: pool) else {
              failures += 1
              continue
            }
            let elements = buffer.elements(of: Int.self)
            for i in 0..<count { elements[i] = task }
            if !elements.allSatisfy({ $0 == task }) { failures += 1 }
          }
          return failures
        }
      }
      return await group.reduce(0, +)
    }
    #expect(failures == 0)
  }
}
