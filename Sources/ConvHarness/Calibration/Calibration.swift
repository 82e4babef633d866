public import ConvCore
import Foundation

/// Measures what work costs on this machine: a list of small operations by every candidate, in turn, on one thread in warm caches.
public struct Calibration: Sendable {
  /// How one operation is done, and how long that took.
  public struct Measurement: Sendable {
    public var item: RunItem
    /// The candidate, as on the command line.
    public var label: String
    public var work: ConvWork
    /// Median of its samples.
    public var nanoseconds: Double
    public var samples: Int
  }

  /// What was measured, items in their order.
  public private(set) var measurements: [Measurement] = []
  /// Seconds that it took.
  public private(set) var seconds = 0.0
  /// Items that were not reached before the time was over.
  public private(set) var unreached = 0

  /// Seconds that a calibration may take.
  public static let mostSeconds = 8.0

  /// Measures until all items were visited `visits` times or the time is over. What a candidate declines or what throws is left out:
  /// it prices nothing.
  ///
  /// - Parameters:
  ///   - isCandidate: whether a candidate would be chosen for an operation if it were fast: others price nothing.
  ///   - progress: is told the share that is done.
  ///   - shouldStop: is asked between items.
  /// - Throws: `MemoryError` for the operands.
  public init(
    _ items: [RunItem], candidates: [Competitor], visits: Int = 3, seconds limit: Double = mostSeconds,
    isCandidate: (Competitor, RunItem) -> Bool = { _, _ in true }, progress: (Double) -> Void = { _ in },
    shouldStop: () -> Bool = { false }
  ) throws {
    let pool = WorkerPool(threads: 1)
    let start = ContinuousClock.now
    var samples = [[[Double]]](repeating: [], count: items.count)
    var works = [[ConvWork?]](repeating: [], count: items.count)
    // The visits are far apart, so that one bad moment of the machine is not in all samples of an item.
    visiting: for visit in 0..<visits {
      for (step, index) in Calibration.order(items.count).enumerated() {
        let item = items[index]
        let elapsed = (ContinuousClock.now - start).seconds
        if shouldStop() || elapsed > limit {
          if visit == 0 { unreached = items.count - step }
          break visiting
        }
        progress(max(elapsed / limit, Double(visit * items.count + step) / Double(visits * items.count)))
        let (own, work) = try Calibration.sample(item, candidates, pool, isCandidate)
        works[index] = work
        samples[index] = visit == 0 ? own : zip(samples[index], own).map { $0 + $1 }
      }
    }
    for (index, item) in items.enumerated() where !works[index].isEmpty {
      for (c, candidate) in candidates.enumerated() {
        guard let work = works[index][c], !samples[index][c].isEmpty else { continue }
        measurements.append(
          Measurement(
            item: item, label: candidate.label, work: work,
            nanoseconds: Statistics.median(samples[index][c]) * 1e9, samples: samples[index][c].count))
      }
    }
    seconds = (ContinuousClock.now - start).seconds
  }

  /// All numbers below `count`, neighbours far apart: what a slow machine does not reach is a bit of every kind.
  static func order(_ count: Int) -> [Int] {
    guard count > 1 else { return Array(0..<count) }
    func divisor(_ a: Int, _ b: Int) -> Int { b == 0 ? a : divisor(b, a % b) }
    var step = max(1, Int(Double(count) * 0.618))
    while divisor(step, count) > 1 { step += 1 }
    return (0..<count).map { $0 * step % count }
  }

  /// Rounds of one visit, and executions before each sample.
  private static let rounds = 2
  private static let untimed = 2
  /// How many times slower than the fastest a candidate is not sampled again: it is never chosen.
  private static let hopeless = 4.0

  /// Seconds per execution of every candidate in one visit, in turn.
  private static func sample(
    _ item: RunItem, _ candidates: [Competitor], _ pool: WorkerPool,
    _ isCandidate: (Competitor, RunItem) -> Bool
  ) throws -> (seconds: [[Double]], works: [ConvWork?]) {
    let data = try ProblemData(problem: item.problem.problem, seed: 1, pool: pool)
    var works = [ConvWork?](repeating: nil, count: candidates.count)
    var contestants: [Contestant] = []
    for (index, candidate) in candidates.enumerated() where isCandidate(candidate, item) {
      let options = PlanOptions(threads: 1, filterState: item.filterState, variant: candidate.variant)
      guard let plan = try? candidate.backend.plan(for: item.operation, options) else { continue }
      works[index] = plan.work
      contestants.append(Contestant(row: index, plan: plan, preparedFilter: nil, threadOwner: nil))
    }
    let memory = try PlacedMemory(
      operation: item.operation,
      tensors: (
        try data.input.converted(to: item.format), data.filter,
        try data.outputGradient.converted(to: item.format)
      ),
      workspaceBytes: contestants.map(\.plan.workspaceBytes).max() ?? 0, seed: 1)
    var seconds = [[Double]](repeating: [], count: candidates.count)
    for _ in 0..<rounds {
      let best = seconds.compactMap(\.first).min() ?? .infinity
      for contestant in contestants where seconds[contestant.row].first ?? 0 < hopeless * best {
        for _ in 0..<untimed { try contestant.execute(in: memory, pool: pool, phases: nil) }
        let start = ContinuousClock.now
        var count = 0
        // Short executions are repeated until the clock's own cost is lost in them.
        repeat {
          try contestant.execute(in: memory, pool: pool, phases: nil)
          count += 1
        } while (ContinuousClock.now - start).seconds < 20e-6
        seconds[contestant.row].append((ContinuousClock.now - start).seconds / Double(count))
      }
    }
    return (seconds, works)
  }

  /// For `PriceFit`.
  public var samples: [PriceFit.Sample] {
    var items: [RunItem: Int] = [:]
    return measurements.map { measurement in
      let number = items[measurement.item] ?? items.count
      items[measurement.item] = number
      return PriceFit.Sample(
        work: measurement.work, nanoseconds: measurement.nanoseconds, item: number)
    }
  }
}
