import Synchronization

/// Counts what happens on any thread.
public final class Counter: Sendable {
  private let count = Mutex(0)

  /// Nothing has happened.
  public init() {}

  public var value: Int { count.withLock { $0 } }
  /// One more; returns how many there were before.
  @discardableResult public func add() -> Int {
    count.withLock { count in
      defer { count += 1 }
      return count
    }
  }
}
