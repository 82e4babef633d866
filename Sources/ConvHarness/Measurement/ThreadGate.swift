import Foundation
import Synchronization

/// Lets threads through when all have come.
final class ThreadGate: Sendable {
  private let threads: Int
  private let patience: Double
  private let origin = ContinuousClock.now
  private let arrivals = Atomic<Int>(0)
  private let passages = Atomic<Int>(0)
  private let opened = Atomic<UInt64>(0)
  private let broken = Atomic<Bool>(false)

  init(threads: Int, patience: Double) {
    self.threads = threads
    self.patience = patience
  }

  /// Seconds since this was made.
  var now: Double { (ContinuousClock.now - origin).seconds }

  /// Whether a thread has waited in vain.
  var isBroken: Bool { broken.load(ordering: .acquiring) }

  /// Waits until every thread has called this for the passage with this number, and returns when that was;
  /// nil when one did not come.
  func pass(_ passage: Int) -> Double? {
    let come = arrivals.add(1, ordering: .acquiringAndReleasing).newValue
    if come == threads * (passage + 1) {
      opened.store(now.bitPattern, ordering: .relaxed)
      passages.store(passage + 1, ordering: .releasing)
    }
    let arrival = now
    var looks = 0
    while passages.load(ordering: .acquiring) <= passage {
      looks += 1
      guard looks.isMultiple(of: 1024) else { continue }
      let waited = now - arrival
      if isBroken || waited > patience {
        broken.store(true, ordering: .releasing)
        return nil
      }
      // The others come within microseconds, unless they want this processor.
      if waited > 0.1e-3 { sched_yield() }
    }
    return Double(bitPattern: opened.load(ordering: .relaxed))
  }
}
