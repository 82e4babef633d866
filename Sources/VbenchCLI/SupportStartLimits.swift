import ConvCore
import Foundation
import Synchronization

/// What the system's limits (`ulimit`) have to leave, so that what is missing is said in words instead of in the crash of a library.
enum StartLimits {
  /// Files that may be open at once: reports, journals, peers' pipes and those of `git`.
  static let files: UInt64 = 32
  /// Bytes of the main thread's stack; those of workers are their own.
  static let stack: UInt64 = 512 << 10
  /// Bytes of addresses of the executable, its libraries and what the language needs.
  static let ownAddresses = 192 << 20
  /// Bytes of addresses that OpenBLAS takes for each thread that multiplies and each that it starts itself, one less than the
  /// processors: where it is refused them it asks again for ever.
  static let addressesPerMultiplier = 128 << 20

  /// What is missing of a limit.
  struct LimitError: StatusError, CustomStringConvertible, Equatable {
    let description: String
    var exitStatus: ExitStatus { .outOfMemory }
  }

  /// Raises soft limits where that is allowed, and makes sure that the process can begin.
  ///
  /// - Throws: `LimitError`.
  static func require() throws {
    try require(RLIMIT_NOFILE, files, "open files at once (ulimit -n)")
    try require(RLIMIT_STACK, stack, "bytes of stack (ulimit -s)")
    try requireAddresses(multipliers: 0)
  }

  /// Makes sure that so many threads can multiply at once.
  ///
  /// - Throws: `LimitError`.
  static func requireAddresses(multipliers: Int) throws {
    let allowance = MemoryAllowance.current
    guard allowance.source == .addresses || allowance.source == .data else { return }
    try requireAddresses(multipliers: multipliers, processors: Processors.current.allowed.count, allowance)
    #if OpenBLAS
      // Tensors leave OpenBLAS what it will ask for.
      let bytes = multipliers * addressesPerMultiplier
      BufferPool.reserve.store(max(bytes, BufferPool.reserve.load(ordering: .relaxed)), ordering: .relaxed)
    #endif
  }

  /// The same for known limits.
  static func requireAddresses(multipliers: Int, processors: Int, _ allowance: MemoryAllowance) throws {
    #if OpenBLAS
      let threads = processors - 1 + multipliers
    #else
      let threads = 0
    #endif
    let needed = ownAddresses + threads * addressesPerMultiplier
    guard allowance.bytes < needed else { return }
    throw LimitError(
      description: "this process may have \(allowance); \(needed) are needed"
        + (threads > 0
          ? ", since OpenBLAS takes \(addressesPerMultiplier) for each of \(threads) thread\(threads == 1 ? "" : "s")"
          : ""))
  }

  private static func require(_ resource: __rlimit_resource, _ needed: UInt64, _ what: String) throws {
    let resource = Int32(resource.rawValue)
    var limit = rlimit()
    guard getrlimit(resource, &limit) == 0, limit.rlim_cur < needed else { return }
    limit.rlim_cur = min(rlim_t(needed), limit.rlim_max)
    if setrlimit(resource, &limit) == 0, limit.rlim_cur >= needed { return }
    throw LimitError(description: "this process may have \(limit.rlim_cur) \(what); \(needed) are needed")
  }
}
