import ConvCore
import Foundation

/// Verifies, then times, all competitors on single layers, interleaved.
public struct LayerRun {
  /// How the run is carried out.
  public var settings: RunSettings
  /// The measured limits of the machine with the threads of the settings.
  public var limits: MachineLimits
  /// Where the time of all rows so far went; `total` and what happens elsewhere are left at zero.
  public private(set) var ledger = TimeLedger()
  private var cached: (problem: ConvProblem, data: ProblemData)?

  /// A run with known settings; without limits of the machine rows say nothing about them.
  public init(settings: RunSettings, limits: MachineLimits? = nil) {
    self.settings = settings
    self.limits =
      limits ?? MachineLimits(threads: settings.pool.threads, fmaPeak: .nan, bandwidth: .nan)
  }

  /// Rows of one item, one per competitor in their order.
  ///
  /// - Parameter shouldStop: is asked between executions; a stopped run returns what it has.
  /// - Throws: `ConvError.allocationFailed` and the like for the shared operands; what an engine throws is in its row.
  public mutating func rows(
    for item: RunItem, competitors: [Competitor], times: Bool = true, shouldStop: () -> Bool = { false }
  ) throws -> [ResultRow] {
    let start = ContinuousClock.now
    let data = try data(for: item.problem.problem)
    let operation = item.operation
    let grid = SampleGrid.stratified(item.problem.problem, item.pass, seed: settings.seed)
    let expectation = Expectation(grid: grid, data: data, pool: settings.pool)
    ledger.verification += (ContinuousClock.now - start).seconds
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
        threads: settings.pool.threads, workspaceLimit: settings.workspaceLimit,
        filterState: item.filterState, variant: competitor.variant)
      do {
        try prepare(
          &row, competitor, operation, options, data, expectation, rowIndex: rows.count, times: times,
          into: &contestants)
      } catch {
        row.set(Verification(.failed, reason: "\(competitor.label) promised support, then: \(error)"))
      }
      rows.append(row)
    }
    if times && !contestants.isEmpty {
      let memory = try PlacedMemory(
        operation: operation, tensors: (x, w, dy),
        workspaceBytes: contestants.map(\.plan.workspaceBytes).max() ?? 0, seed: settings.seed)
      try withoutActuallyEscaping(shouldStop) { shouldStop in
        try measure(contestants, memory, &rows, item, shouldStop: shouldStop)
      }
    }
    return rows
  }

  private mutating func data(for problem: ConvProblem) throws -> ProblemData {
    if let cached, cached.problem == problem { return cached.data }
    cached = nil
    let data = try ProblemData(
      problem: problem, distribution: settings.distribution, seed: settings.seed, pool: settings.pool)
    cached = (problem, data)
    return data
  }

  private mutating func prepare(
    _ row: inout ResultRow, _ competitor: Competitor, _ operation: ConvOperation, _ options: PlanOptions,
    _ data: ProblemData, _ expectation: Expectation, rowIndex: Int, times: Bool,
    into contestants: inout [Contestant]
  ) throws {
    if let reason = competitor.backend.support(for: operation, options).reason {
      row.set(Verification(.unsupported, reason: reason))
      return
    }
    let start = ContinuousClock.now
    let plan = try competitor.backend.plan(for: operation, options)
    let planned = ContinuousClock.now
    row.planMilliseconds = (planned - start).seconds * 1e3
    ledger.planning += (planned - start).seconds
    row.describe(plan)
    let verification = try Verifier(pool: settings.pool).verify(
      plan, data: data, expectation: expectation, filterState: options.filterState)
    ledger.verification += (ContinuousClock.now - planned).seconds
    row.set(verification)
    guard verification.verdict == .passed, times else { return }
    var prepared: PreparedFilter?
    if options.filterState == .prepared && operation.pass != .backwardFilter {
      let start = ContinuousClock.now
      prepared = try data.filter.withUnsafeRawPointer { try plan.prepare(filter: $0, pool: settings.pool) }
      let seconds = (ContinuousClock.now - start).seconds
      row.prepareMilliseconds = seconds * 1e3
      ledger.planning += seconds
    }
    contestants.append(
      Contestant(
        row: rowIndex, plan: plan, preparedFilter: prepared,
        hasOwnThreads: competitor.backend.threading == .ownThreads && settings.pool.threads > 1))
  }

  private mutating func measure(
    _ contestants: [Contestant], _ memory: PlacedMemory, _ rows: inout [ResultRow], _ item: RunItem,
    shouldStop: @escaping () -> Bool
  ) throws {
    let baseline = contestants.firstIndex { rows[$0.row].backend == settings.baseline }
    var executor = ContestantExecutor(
      contestants: contestants, memory: memory, pool: settings.pool,
      evictor: settings.cache == .cold ? CacheEvictor(pool: settings.pool) : nil, shouldStop: shouldStop)
    var sampler = RoundSampler(
      count: contestants.count, baseline: baseline, limits: settings.sampling, seed: settings.seed)
    defer {
      ledger.kernels += executor.kernelSeconds
      ledger.waiting += executor.waitingSeconds
    }
    _ = try sampler.run(&executor)
    for (index, contestant) in contestants.enumerated() {
      rows[contestant.row].phases = executor.phases[index]
      rows[contestant.row].peakMemoryBytes = executor.peakBytes[index]
      describe(sampler.series[index], contestant.plan, &rows[contestant.row], item)
    }
    compare(contestants, sampler, baseline: baseline, &rows)
  }

  /// Times, rates and what they are of the machine's limits.
  private func describe(
    _ series: RoundSampler.Series, _ plan: any ConvPlan, _ row: inout ResultRow, _ item: RunItem
  ) {
    guard !series.samples.isEmpty else { return }
    let values = series.values
    let median = Statistics.median(values)
    row.rounds = series.samples.keys.sorted()
    row.seconds = values
    row.minMilliseconds = (values.min() ?? .nan) * 1e3
    row.medianMilliseconds = median * 1e3
    row.p95Milliseconds = Statistics.quantile(values, 0.95) * 1e3
    row.gflopsEffective = item.problem.problem.directFLOPs / median * 1e-9
    row.gflopsExecuted = plan.executedFLOPs / median * 1e-9
    row.peakPercent = row.gflopsEffective / limits.fmaPeak * 100
    let intensity = item.problem.problem.directFLOPs / Double(item.compulsoryBytes)
    row.rooflineGflops = limits.roofline(intensity: intensity)
    row.rooflinePercent = row.gflopsEffective / row.rooflineGflops * 100
  }

  /// Ratios with the baseline and with the fastest competitor, by paired rounds.
  private func compare(
    _ contestants: [Contestant], _ sampler: RoundSampler, baseline: Int?, _ rows: inout [ResultRow]
  ) {
    let measured = contestants.indices.filter { !sampler.series[$0].samples.isEmpty }
    let medians = measured.map { Statistics.median(sampler.series[$0].values) }
    guard let best = zip(measured, medians).min(by: { $0.1 < $1.1 })?.0 else { return }
    let bestLabel = rows[contestants[best].row].backend
    for index in measured {
      let row = contestants[index].row
      if let baseline {
        let (reference, own) = sampler.paired(baseline, index)
        rows[row].speedup =
          index == baseline ? .ofBaseline : Speedup(baseline: reference, own: own, seed: settings.seed)
      }
      let (reference, own) = sampler.paired(best, index)
      rows[row].best =
        index == best
        ? .ofBest(bestLabel)
        : BestComparison(backend: bestLabel, best: reference, own: own, seed: settings.seed)
    }
  }
}
