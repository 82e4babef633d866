internal import CConvKernels
import Foundation

/// The memory that this process may have, whoever limits it.
public struct MemoryAllowance: Sendable, Hashable, CustomStringConvertible {
  /// Who limits it.
  public enum Source: Sendable, Hashable, CaseIterable {
    /// The machine's memory.
    case physical
    /// RLIMIT_AS, `ulimit -v`: addresses, libraries and stacks included.
    case addresses
    /// RLIMIT_DATA, `ulimit -d`.
    case data
    /// Control groups.
    case controlGroups
  }

  /// Bytes at most.
  public let bytes: Int
  /// Whose limit that is.
  public let source: Source

  /// The least of the limits that there are; `Int.max` where none is known.
  public init(physical: UInt64?, addresses: UInt64? = nil, data: UInt64? = nil, controlGroups: UInt64? = nil)
  {
    let limits: [(UInt64?, Source)] = [
      (physical, .physical), (addresses, .addresses), (data, .data), (controlGroups, .controlGroups),
    ]
    let known = limits.compactMap { limit in limit.0.map { (bytes: $0, source: limit.1) } }
    let least = known.min { $0.bytes < $1.bytes }
    bytes = Int(clamping: least?.bytes ?? .max)
    source = least?.source ?? .physical
  }

  /// That of this process, as it was when it was first asked for.
  public static let current: MemoryAllowance = {
    let physical = vb_memory_physical()
    return MemoryAllowance(
      physical: physical == 0 ? nil : physical, addresses: resourceLimit(Int32(RLIMIT_AS.rawValue)),
      data: resourceLimit(Int32(RLIMIT_DATA.rawValue)), controlGroups: ControlGroups.current.memory)
  }()

  /// What a probe may take of it, all threads together: a sixteenth.
  public var probeBytes: Int { bytes / 16 }

  /// Makes sure that `threads` pieces of `byteCount` bytes are no more than a probe may take.
  ///
  /// - Throws: `MemoryError.exceedsProbeShare`.
  package func requireShare(_ threads: Int, of byteCount: Int) throws(MemoryError) {
    let (bytes, overflow) = threads.multipliedReportingOverflow(by: byteCount)
    if overflow || bytes > probeBytes {
      throw .exceedsProbeShare(byteCount: overflow ? .max : bytes, allowance: self)
    }
  }

  /// Makes sure that `byteCount` bytes can be had: for arrays of the language, which end the process where they cannot.
  ///
  /// - Throws: `MemoryError`.
  package func require(byteCount: Int) throws(MemoryError) {
    guard byteCount >= 0 else { throw .invalidSize(byteCount: byteCount) }
    if byteCount < MemoryAllowance.smallBytes { return }
    if byteCount > bytes { throw .exceedsAllowance(byteCount: byteCount, used: 0, allowance: self) }
    guard let memory = vb_memory_allocate(byteCount) else {
      BufferPool.shared.trim()
      guard let memory = vb_memory_allocate(byteCount) else { throw .outOfMemory(byteCount: byteCount) }
      return vb_memory_free(memory)
    }
    vb_memory_free(memory)
  }

  /// What is smaller is not looked after: there are as many places as there are arrays.
  private static let smallBytes = 64 << 10

  /// As in `8589934592 bytes of addresses (ulimit -v)`.
  public var description: String {
    switch source {
    case .physical: "\(bytes) bytes of memory"
    case .addresses: "\(bytes) bytes of addresses (ulimit -v)"
    case .data: "\(bytes) bytes of data (ulimit -d)"
    case .controlGroups: "\(bytes) bytes of memory (control group)"
    }
  }

  /// The soft limit of a resource; nil where there is none.
  private static func resourceLimit(_ resource: Int32) -> UInt64? {
    var limit = rlimit()
    guard getrlimit(resource, &limit) == 0, limit.rlim_cur < UInt64(Int64.max) else { return nil }
    return UInt64(limit.rlim_cur)
  }
}
