internal import CConvKernels
import Foundation

/// The processors that this process may use: what every number of threads starts from.
public struct Processors: Sendable, Hashable, CustomStringConvertible {
  /// Numbers of those that its threads may run on (`sched_getaffinity`), ascending.
  public let allowed: [Int]
  /// Processors' seconds per second that its control groups grant; nil where they set no quota.
  public let quota: Double?

  /// Known limits.
  ///
  /// - Precondition: `allowed` is not empty.
  public init(allowed: [Int], quota: Double? = nil) {
    precondition(!allowed.isEmpty, "a process has at least one processor")
    self.allowed = allowed
    self.quota = quota
  }

  /// Those of this process, as they were when they were first asked for.
  public static let current = Processors(allowed: affinity(), quota: ControlGroups.current.processorQuota)

  /// Threads that can run at once: the allowed processors, at most the quota rounded down, at least 1.
  ///
  /// Down, since threads beyond a quota are all stopped together for the rest of each period (usually 100 ms): two threads under a
  /// quota of 1.5 stand still for 25 ms in every 100, in the midst of what is being timed. One thread never does.
  public var count: Int {
    guard let quota, quota < Double(allowed.count) else { return allowed.count }
    return max(1, Int(quota))
  }

  /// As in `CPUs 0-3,8` and `CPUs 0-3, of which control groups grant 1.5`.
  public var description: String {
    var runs: [ClosedRange<Int>] = []
    for number in allowed {
      if let last = runs.last, last.upperBound + 1 == number {
        runs[runs.count - 1] = last.lowerBound...number
      } else {
        runs.append(number...number)
      }
    }
    let list = runs.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" }
    let text = "CPU\(allowed.count == 1 ? "" : "s") \(list.joined(separator: ","))"
    guard let quota, quota < Double(allowed.count) else { return text }
    let rounded = (quota * 100).rounded() / 100
    let granted = rounded == rounded.rounded() ? "\(Int(rounded))" : "\(rounded)"
    return "\(text), of which control groups grant \(granted)"
  }

  /// What a reader of times must know about more threads than can run at once; nil where they can.
  public func note(threads: Int) -> String? {
    guard threads > count else { return nil }
    return
      "\(threads) threads on \(count) processor\(count == 1 ? "" : "s") (\(self)): they wait for each other, "
      + "and times say little"
  }

  /// The processors of the calling thread; all that are online where the system does not say.
  private static func affinity() -> [Int] {
    // The kernel refuses less than it has room for.
    for count in [16, 64, 256, 1024] {
      var words = [UInt64](repeating: 0, count: count)
      let written = vb_cpu_affinity(&words, count)
      let found = (0..<written * UInt64.bitWidth).filter { words[$0 / 64] >> ($0 % 64) & 1 != 0 }
      if !found.isEmpty { return found }
    }
    return Array(0..<max(1, ProcessInfo.processInfo.activeProcessorCount))
  }
}
