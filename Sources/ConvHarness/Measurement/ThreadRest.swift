import ConvCore
import Foundation

/// Waits until the other threads of this process sleep.
///
/// Threads of pools may poll for work for some milliseconds after their last execution (ours 3, libgomp's about 6), and would take
/// processor time from those of another library.
enum ThreadRest {
  /// Threads of this process that run or want to run, the calling one left out; 0 where the system does not say.
  static var runningOthers: Int {
    let folder = "/proc/self/task"
    let files = FileManager.default
    // <process>/task/<thread>
    let own = (try? files.destinationOfSymbolicLink(atPath: "/proc/thread-self"))?.split(separator: "/").last
    guard let own, let threads = try? files.contentsOfDirectory(atPath: folder) else { return 0 }
    return threads.count { thread in
      guard thread != own else { return false }
      // A thread that has just ended has no file any more.
      let text = (try? String(contentsOfFile: "\(folder)/\(thread)/stat", encoding: .utf8)) ?? ""
      return isRunning(stat: text)
    }
  }

  /// Whether a line of `/proc/<pid>/stat` says so: the state follows the name, which may hold parentheses.
  static func isRunning(stat: String) -> Bool {
    guard let end = stat.lastIndex(of: ")") else { return false }
    return stat[stat.index(after: end)...].drop { $0 == " " }.first == "R"
  }

  /// Sends the threads that worked to sleep and wakes those that are to work; nil stands for the pool's.
  ///
  /// - Returns: whether they are others.
  @discardableResult
  static func handOver(
    from previous: (any ConvolutionBackend)?, to next: (any ConvolutionBackend)?, pool: WorkerPool
  ) -> Bool {
    guard previous?.name != next?.name else { return false }
    if let previous { previous.restThreads() } else { pool.rest() }
    wait()
    if let next { next.wakeThreads(pool.threads) } else { pool.parallelFor(pool.threads) { _ in } }
    return true
  }

  /// Waits until nothing else runs, `limit` seconds at most; returns whether that happened.
  @discardableResult
  static func wait(limit: Double = 0.05) -> Bool {
    let end = ContinuousClock.now + .seconds(limit)
    while runningOthers > 0 {
      if ContinuousClock.now >= end { return false }
      Thread.sleep(forTimeInterval: 0.1e-3)
    }
    return true
  }
}
