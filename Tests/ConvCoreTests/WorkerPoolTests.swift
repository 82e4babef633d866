import ConvCore
import Foundation
import Synchronization
import Testing

private final class Counter: Sendable {
  let value = Atomic<Int>(0)
}

@Suite struct WorkerPoolTests {
  private func counts(_ n: Int, _ run: ((Int) -> Void) -> Void) -> [Int] {
    let counters = UnsafeMutablePointer<Int>.allocate(capacity: n)
    counters.initialize(repeating: 0, count: n)
    defer { counters.deallocate() }
    // One index belongs to one chunk: a second call of it shows as 2, unless two threads are in it at once.
    run { counters[$0] += 1 }
    return Array(UnsafeBufferPointer(start: counters, count: n))
  }

  @Test(arguments: [1, 2, 3, 7])
  func everyIndexOnce(_ threads: Int) {
    let pool = WorkerPool(threads: threads)
    #expect(pool.threads == threads)
    for n in [0, 1, 2, 3, 100, 10_001] {
      #expect(
        counts(n) { pool.parallelFor(n, $0) } == [Int](repeating: 1, count: n), "\(n) on \(threads) threads")
    }
  }

  @Test func manyTinyForks() {
    let pool = WorkerPool(threads: 3)
    let total = Atomic<Int>(0)
    var expected = 0
    for round in 0..<20_000 {
      let n = round % 5
      expected += n * (n + 1) / 2
      pool.parallelFor(n) { total.add($0 + 1, ordering: .relaxed) }
      // Everything is done when the call returns.
      if total.load(ordering: .relaxed) != expected {
        Issue.record("round \(round): \(total.load(ordering: .relaxed)) instead of \(expected)")
        return
      }
    }
  }

  @Test func sleepingWorkersWakeUp() {
    let pool = WorkerPool(threads: 2)
    for round in 0..<5 {
      usleep(20_000)
      #expect(counts(50) { pool.parallelFor(50, $0) } == [Int](repeating: 1, count: 50), "round \(round)")
    }
  }

  /// Also where the order to sleep meets workers that are about to sleep, sleep, or have not seen the run's end.
  @Test func restingWorkersWakeUp() {
    let pool = WorkerPool(threads: 3)
    let total = Atomic<Int>(0)
    for round in 1...5000 {
      if round % 3 != 0 { pool.rest() }
      pool.parallelFor(8) { _ in total.add(1, ordering: .relaxed) }
      if round % 1000 == 0 { usleep(5000) }
      if total.load(ordering: .relaxed) != 8 * round {
        Issue.record("round \(round): \(total.load(ordering: .relaxed)) instead of \(8 * round)")
        return
      }
    }
  }

  @Test func nestedCallsRunInline() {
    let pool = WorkerPool(threads: 2)
    let result = counts(400) { body in
      pool.parallelFor(20) { outer in pool.parallelFor(20) { body(outer * 20 + $0) } }
    }
    #expect(result == [Int](repeating: 1, count: 400))
  }

  @Test func concurrentCallers() async {
    let pool = WorkerPool(threads: 2)
    let total = Counter()
    await withTaskGroup(of: Void.self) { group in
      for _ in 0..<6 {
        group.addTask {
          for _ in 0..<500 { pool.parallelFor(7) { _ in total.value.add(1, ordering: .relaxed) } }
        }
      }
    }
    #expect(total.value.load(ordering: .relaxed) == 6 * 500 * 7)
  }

  private struct Failure: Error, Equatable { let index: Int }

  @Test(arguments: [1, 3])
  func errorsComeOut(_ threads: Int) throws {
    let pool = WorkerPool(threads: threads)
    #expect(throws: Failure(index: 5)) {
      try pool.parallelFor(40) { (index: Int) throws -> Void in if index == 5 { throw Failure(index: index) }
      }
    }
    let total = Atomic<Int>(0)
    try pool.parallelFor(40) { (index: Int) throws -> Void in total.add(index, ordering: .relaxed) }
    #expect(total.load(ordering: .relaxed) == 780)
  }

  @Test func poolsAreCachedPerSize() {
    #expect(WorkerPool.pool(threads: 2) === WorkerPool.pool(threads: 2))
    #expect(WorkerPool.pool(threads: 2) !== WorkerPool.pool(threads: 3))
    #expect(WorkerPool(threads: 0).threads == 1)
    #expect(WorkerPool.shared.threads >= 1)
  }

  @Test func poolsEnd() {
    for round in 0..<50 {
      let pool = WorkerPool(threads: 3)
      #expect(counts(9) { pool.parallelFor(9, $0) } == [Int](repeating: 1, count: 9), "round \(round)")
    }
  }
}
