public final class PooledBuffer: @unchecked Sendable {
  public let baseAddress: UnsafeMutableRawPointer
  public let byteCount: Int
  public init(byteCount: Int) throws {
    self.byteCount = byteCount
    baseAddress = .allocate(byteCount: max(byteCount, 64), alignment: 64)
  }
  deinit { baseAddress.deallocate() }
}
