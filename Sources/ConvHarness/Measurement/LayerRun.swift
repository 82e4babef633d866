import ConvCore
import Foundation

/// Verifies, then times, all competitors on single layers, interleaved.
public struct LayerRun {
  /// How the run is carried out.
  public var settings: RunSettings
  /// The measured limit of the machine, GFLOP/s.
  public let peak: Double
  private let verifier: Verifier
  private var cached: (problem: ConvProblem, data: ProblemData)?

  /// A run with known settings.
  public init(settings: RunSettings, peak: Double) {
    self.settings = settings
    self.peak = peak
    verifier = Verifier(pool: settings.pool)
  }

  /// A competitor that has passed its verification.
  private struct Contestant {
    let row: Int
    let plan: any ConvPlan
    let operands: ConvOperands
    let workspace: UnsafeMutableRawBufferPointer
    /// Whether its threads are not the pool's.
    let hasOwnThreads: Bool
    /// Keeps the memory of the operands alive.
    let owners: [PooledBuffer]
    var repetitions = 1
    var spent = 0.0
    var leastSamples = 2
    /// Seconds per execution, by round.
    var samples: [Int: Double] = [:]
  }

  /// Rows of one item, one per competitor in their order.
  ///
  /// - Parameter shouldStop: is asked between executions; a stopped run returns what it has.
  /// - Throws: `ConvError.allocationFailed` and the like for the shared operands; what an engine throws is in its row.
  public mutating func rows(
    for item: RunItem, competitors: [Competitor], times: Bool = true, shouldStop: () -> Bool = { false }
  ) throws -> [ResultRow] {
    let data = try data(for: item.problem.problem)
    let operation = item.operation
    let grid = SampleGrid.stratified(item.problem.problem, item.pass, seed: settings.seed)
    let expectation = Expectation(grid: grid, data: data, pool: settings.pool)
    var rows: [ResultRow] = []
    var contestants: [Contestant] = []
    let (x, w, dy) = (
      try data.input.converted(to: item.format), data.filter,
      try data.outputGradient.converted(to: item.format)
    )
    for competitor in competitors {
      if shouldStop() { break }
      var row = ResultRow(item: item, competitor: competitor, settings: settings)
      let options = PlanOptions(
        threads: settings.pool.threads, filterState: item.filterState, variant: competitor.variant)
      do {
        try prepare(
          &row, competitor, operation, options, data, expectation, operands: (x, w, dy), rowIndex: rows.count,
          times: times, into: &contestants)
      } catch {
        row.set(Verification(.failed, reason: "\(competitor.label) promised support, then: \(error)"))
      }
      rows.append(row)
    }
    if times && !contestants.isEmpty {
      try withExtendedLifetime((x, w, dy)) {
        try measure(&contestants, shouldStop: shouldStop)
      }
      summarize(contestants, &rows, item)
    }
    return rows
  }

  private mutating func data(for problem: ConvProblem) throws -> ProblemData {
    if let cached, cached.problem == problem { return cached.data }
    cached = nil
    let data = try ProblemData(problem: problem, seed: settings.seed, pool: settings.pool)
    cached = (problem, data)
    return data
  }

  private func prepare(
    _ row: inout ResultRow, _ competitor: Competitor, _ operation: ConvOperation, _ options: PlanOptions,
    _ data: ProblemData, _ expectation: Expectation, operands: (Tensor, Tensor, Tensor), rowIndex: Int,
    times: Bool, into contestants: inout [Contestant]
  ) throws {
    if let reason = competitor.backend.support(for: operation, options).reason {
      row.set(Verification(.unsupported, reason: reason))
      return
    }
    let start = ContinuousClock.now
    let plan = try competitor.backend.plan(for: operation, options)
    row.planMilliseconds = (ContinuousClock.now - start).seconds * 1e3
    row.describe(plan)
    let verification = try verifier.verify(
      plan, data: data, expectation: expectation, filterState: options.filterState)
    row.set(verification)
    guard verification.verdict == .passed, times else { return }
    contestants.append(
      try contestant(
        plan, operands, filterState: options.filterState, threading: competitor.backend.threading,
        rowIndex: rowIndex, &row))
  }

  private func contestant(
    _ plan: any ConvPlan, _ tensors: (Tensor, Tensor, Tensor), filterState: FilterState,
    threading: BackendThreading,
    rowIndex: Int, _ row: inout ResultRow
  ) throws -> Contestant {
    let operation = plan.operation
    let resultBytes =
      operation.problem.resultShape(operation.pass).reduce(1, *) * operation.elementType.byteCount
    let result = try PooledBuffer(byteCount: resultBytes)
    let workspace = try PooledBuffer(byteCount: plan.workspaceBytes)
    func pointer(_ tensor: Tensor) -> UnsafeMutableRawPointer {
      tensor.withUnsafeRawPointer { UnsafeMutableRawPointer(mutating: $0) }
    }
    var operands = ConvOperands(
      input: pointer(tensors.0), filter: pointer(tensors.1), output: pointer(tensors.2))
    switch operation.pass {
    case .forward: operands.output = result.baseAddress
    case .backwardData: operands.input = result.baseAddress
    case .backwardFilter: operands.filter = result.baseAddress
    }
    if filterState == .prepared && operation.pass != .backwardFilter {
      let start = ContinuousClock.now
      operands.preparedFilter = try plan.prepare(filter: pointer(tensors.1), pool: settings.pool)
      row.prepareMilliseconds = (ContinuousClock.now - start).seconds * 1e3
      operands.filter = nil
    }
    return Contestant(
      row: rowIndex, plan: plan, operands: operands,
      workspace: UnsafeMutableRawBufferPointer(start: workspace.baseAddress, count: plan.workspaceBytes),
      hasOwnThreads: threading == .ownThreads && settings.pool.threads > 1, owners: [result, workspace])
  }

  private func execute(_ contestant: Contestant, repetitions: Int) throws -> Double {
    let start = ContinuousClock.now
    for _ in 0..<repetitions {
      try contestant.plan.execute(
        contestant.operands, workspace: contestant.workspace, pool: settings.pool, phases: nil)
    }
    return (ContinuousClock.now - start).seconds
  }

  /// Warm-up by duration, then rounds A B C, B C A, … until the time is up.
  ///
  /// Every contestant has run once already, when it was verified. An execution that takes more than half of a contestant's share of
  /// the time therefore counts as its first sample; it gets a second one only where that is affordable.
  private func measure(_ contestants: inout [Contestant], shouldStop: () -> Bool) throws {
    let share = settings.secondsPerItem / Double(contestants.count)
    for i in contestants.indices {
      var spent = 0.0
      var last = 0.0
      repeat {
        last = try execute(contestants[i], repetitions: 1)
        spent += last
      } while spent < settings.warmUpSeconds && !shouldStop()
      if last > share / 2 {
        contestants[i].samples[0] = last
        contestants[i].spent = last
        contestants[i].leastSamples = last > settings.secondsPerItem ? 1 : 2
      }
      // A sample lasts at least half a millisecond, so that the clock does not matter.
      contestants[i].repetitions = max(1, min(1000, Int((0.5e-3 / max(last, 1e-7)).rounded(.up))))
    }
    var lastRan: Int?
    for round in 0..<settings.maximumRounds {
      var someoneRan = false
      for offset in contestants.indices {
        let i = (offset + round) % contestants.count
        // Slow engines must not use up the time of the others.
        let isDone =
          contestants[i].spent >= share && contestants[i].samples.count >= contestants[i].leastSamples
        if isDone || contestants[i].samples[round] != nil { continue }
        if shouldStop() { return }
        if let lastRan, lastRan != i, contestants[lastRan].hasOwnThreads || contestants[i].hasOwnThreads {
          try settle(contestants[i])
        }
        lastRan = i
        let seconds = try execute(contestants[i], repetitions: contestants[i].repetitions)
        contestants[i].samples[round] = seconds / Double(contestants[i].repetitions)
        contestants[i].spent += seconds
        someoneRan = true
      }
      if !someoneRan && round > 0 { return }
    }
  }

  /// Threads poll for work for some milliseconds after their last execution and would take processor time from those of
  /// another library: one waits until they sleep, then wakes the contestant's own by an execution that is not timed.
  private func settle(_ contestant: Contestant) throws {
    Thread.sleep(forTimeInterval: 0.008)
    if contestant.repetitions > 1 { _ = try execute(contestant, repetitions: 1) }
  }

  private func summarize(_ contestants: [Contestant], _ rows: inout [ResultRow], _ item: RunItem) {
    let baseline = contestants.first { rows[$0.row].backend == settings.baseline }
    for contestant in contestants {
      let values = contestant.samples.sorted { $0.key < $1.key }.map(\.value)
      guard !values.isEmpty else { continue }
      let median = Statistics.median(values)
      let row = contestant.row
      rows[row].seconds = values
      rows[row].minMilliseconds = (values.min() ?? .nan) * 1e3
      rows[row].medianMilliseconds = median * 1e3
      rows[row].p95Milliseconds = Statistics.quantile(values, 0.95) * 1e3
      rows[row].gflopsEffective = item.problem.problem.directFLOPs / median * 1e-9
      rows[row].gflopsExecuted = contestant.plan.executedFLOPs / median * 1e-9
      rows[row].peakPercent = rows[row].gflopsEffective / peak * 100
      guard let baseline else { continue }
      if baseline.row == contestant.row {
        rows[row].speedup = .ofBaseline
        continue
      }
      let rounds = contestant.samples.keys.filter { baseline.samples[$0] != nil }.sorted()
      rows[row].speedup = Speedup(
        baseline: rounds.map { baseline.samples[$0]! }, own: rounds.map { contestant.samples[$0]! },
        seed: settings.seed)
    }
  }
}
