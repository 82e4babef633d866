import ConvCore
import Foundation

/// Whose threads are to work: those of the pool, or an engine's own.
///
/// Threads of pools may poll for work for some milliseconds after their last execution (ours 3, libgomp's about 6), and would take
/// processor time from those of another library.
struct ThreadHandover {
  /// Whose threads worked last.
  private enum Owner {
    /// Anybody's.
    case unknown
    case pool
    case engine(any ConvolutionBackend)
  }

  private let pool: WorkerPool
  private var owner = Owner.unknown
  /// Whether others worked before the threads that were last handed to.
  private(set) var hasChanged = false

  /// Nobody knows who worked before.
  init(pool: WorkerPool) { self.pool = pool }

  /// Sends the threads that worked last to sleep and wakes those of `next`, nil for the pool's; returns the seconds that this took.
  ///
  /// - Parameters:
  ///   - wakes: whether they are also woken where they worked last, and may have fallen asleep since.
  ///   - lends: whether those that worked last come back soon: they fall asleep by themselves then, since an engine may end threads that
  ///     it is to send to sleep, and new ones have to be spread over the processors first.
  @discardableResult
  mutating func hand(
    to next: (any ConvolutionBackend)?, wakes: Bool = false, lends: Bool = false
  ) -> Double {
    let start = ContinuousClock.now
    hasChanged = !isOwner(next)
    if !hasChanged {
      if !wakes { return 0 }
      wake(next)
      return (ContinuousClock.now - start).seconds
    }
    switch owner {
    case .engine(let engine): if !lends { engine.restThreads() }
    case .pool: pool.rest()
    case .unknown: if next != nil { pool.rest() }
    }
    ThreadRest.wait()
    wake(next)
    owner = next.map { .engine($0) } ?? .pool
    return (ContinuousClock.now - start).seconds
  }

  private func wake(_ owner: (any ConvolutionBackend)?) {
    if let owner { owner.wakeThreads(pool.threads) } else { pool.parallelFor(pool.threads) { _ in } }
  }

  private func isOwner(_ next: (any ConvolutionBackend)?) -> Bool {
    switch (owner, next) {
    case (.unknown, _): false
    case (.pool, let next): next == nil
    case (.engine(let engine), let next): engine.name == next?.name
    }
  }
}

/// Whether the other threads of this process sleep.
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
