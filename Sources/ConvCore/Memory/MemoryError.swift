/// Why memory could not be had.
public enum MemoryError: Error, Hashable, Sendable, CustomStringConvertible {
  /// A negative size, or one whose computation overflowed.
  case invalidSize(byteCount: Int)
  /// With what is in use, more than this process may have.
  case exceedsAllowance(byteCount: Int, used: Int, allowance: MemoryAllowance)
  /// A probe of the machine that would take more than its share of that.
  case exceedsProbeShare(byteCount: Int, allowance: MemoryAllowance)
  /// The system refused.
  case outOfMemory(byteCount: Int)
  /// A library that does not say how much it asked for was refused it.
  case refused(library: String, what: String)
  /// The system started fewer threads than were asked for.
  case threads(wanted: Int, started: Int)

  /// What was asked for and what there is.
  public var description: String {
    switch self {
    case .invalidSize(let byteCount): "invalid buffer size: \(byteCount) bytes"
    case .exceedsAllowance(let byteCount, let used, let allowance):
      "a buffer of \(byteCount) bytes was asked for\(used > 0 ? " beside \(used) bytes in use" : ""); "
        + "this process may have \(allowance)"
    case .exceedsProbeShare(let byteCount, let allowance):
      "measuring the machine or filling its caches takes \(byteCount) bytes; probes take at most \(allowance.probeBytes), a sixteenth of what this "
        + "process may have, \(allowance)"
    case .outOfMemory(let byteCount): "out of memory: no buffer of \(byteCount) bytes could be allocated"
    case .refused(let library, let what): "out of memory: \(library) could not \(what)"
    case .threads(let wanted, let started):
      "\(wanted) threads were asked for; the system refused more than \(started) (their stacks count towards ulimit -v, "
        + "they themselves towards ulimit -u)"
    }
  }
}
