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
  /// What the machine could do at best during the last visit, GFLOP/s of all threads: the median of `PeakProbe`s between its rounds;
  /// nil where nothing was timed.
  public private(set) var visitPeak: Double?
  /// Made once for a state of the caches and a pool, since they are large.
  private var evictors: [(state: CacheState, evictor: CacheEvictor)] = []
  private var cached: (problem: ConvProblem, data: ProblemData)?

  /// A run with known settings; without limits of the machine rows say nothing about them.
  public init(settings: RunSettings, limits: MachineLimits? = nil) {
    self.settings = settings
    self.limits =
      limits ?? MachineLimits(threads: settings.pool.threads, fmaPeak: .nan, bandwidth: .nan)
  }

  /// Rows of one item, one per competitor in their order.
  ///
  /// - Parameters:
  ///   - visit: which of the visits to this item it is.
  ///   - earlier: the rows that the visit before returned. What they say of verification stays; samples are added to theirs.
  ///   - shouldStop: is asked between executions; a stopped run returns what it has.
  /// - Throws: `MemoryError` for the shared operands and for an engine's own memory; what else an engine throws is in its row.
  public mutating func rows(
    for item: RunItem, competitors: [Competitor], times: Bool = true, visit: Visit = .only,
    earlier: [ResultRow]? = nil, shouldStop: () -> Bool = { false }
  ) throws -> [ResultRow] {
    if let earlier {
      return try rows(again: earlier, item, competitors, visit: visit, shouldStop: shouldStop)
    }
    let start = ContinuousClock.now
    let data = try data(for: item.problem.problem)
    let expectation = try Expectation(of: item.pass, data: data, seed: settings.seed, pool: settings.pool)
    ledger.verification += (ContinuousClock.now - start).seconds
    var rows: [ResultRow] = []
    var contestants: [Contestant] = []
    for competitor in competitors {
      if shouldStop() { break }
      var row = ResultRow(item: item, competitor: competitor, settings: settings)
      do {
        try prepare(
          &row, competitor, item, data, expectation, rowIndex: rows.count, times: times, into: &contestants)
      } catch let error as MemoryError {
        // What the process may not have is no fault of the engine's.
        throw error
      } catch {
        row.set(Verification(.failed, reason: "\(competitor.label) promised support, then: \(error)"))
      }
      rows.append(row)
    }
    if times {
      try measure(contestants, &rows, item, data, visit, shouldStop: shouldStop)
    }
    return rows
  }

  /// A later visit: those that were sampled in every round of the earlier ones are sampled on.
  private mutating func rows(
    again earlier: [ResultRow], _ item: RunItem, _ competitors: [Competitor], visit: Visit,
    shouldStop: () -> Bool
  ) throws -> [ResultRow] {
    var rows = earlier
    let rounds = rows.map(\.seconds.count).max() ?? 0
    guard rounds > 0, !shouldStop() else { return rows }
    let start = ContinuousClock.now
    let data = try data(for: item.problem.problem)
    ledger.verification += (ContinuousClock.now - start).seconds
    var contestants: [Contestant] = []
    for (index, competitor) in competitors.enumerated().prefix(rows.count)
    where 2 * rows[index].seconds.count > rounds {
      let planning = ContinuousClock.now
      let plan = try competitor.backend.plan(for: item.operation, options(competitor, item))
      ledger.planning += (ContinuousClock.now - planning).seconds
      var row = rows[index]
      contestants.append(try contestant(plan, data, competitor, item, rowIndex: index, &row))
    }
    try measure(contestants, &rows, item, data, visit, shouldStop: shouldStop)
    return rows
  }

  private func options(_ competitor: Competitor, _ item: RunItem) -> PlanOptions {
    PlanOptions(
      threads: settings.pool.threads, workspaceLimit: settings.workspaceLimit,
      filterState: item.filterState, variant: competitor.variant)
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
    _ row: inout ResultRow, _ competitor: Competitor, _ item: RunItem, _ data: ProblemData,
    _ expectation: Expectation, rowIndex: Int, times: Bool, into contestants: inout [Contestant]
  ) throws {
    let operation = item.operation
    let options = options(competitor, item)
    if let reason = competitor.backend.support(for: operation, options).reason {
      row.set(Verification(.unsupported, reason: reason))
      return
    }
    let start = ContinuousClock.now
    let plan = try competitor.backend.plan(for: operation, options)
    let planned = ContinuousClock.now
    row.planMilliseconds = (planned - start).seconds * 1e3
    ledger.planning += (planned - start).seconds
    row.describe(plan, prices: settings.prices)
    let verification = try Verifier(pool: settings.pool).verifyUntilTrusted(
      plan, data: data, expectation: expectation, filterState: options.filterState, seed: settings.seed)
    ledger.verification += (ContinuousClock.now - planned).seconds
    row.set(verification)
    guard verification.verdict == .passed, times else { return }
    contestants.append(try contestant(plan, data, competitor, item, rowIndex: rowIndex, &row))
  }

  private mutating func contestant(
    _ plan: any ConvPlan, _ data: ProblemData, _ competitor: Competitor, _ item: RunItem, rowIndex: Int,
    _ row: inout ResultRow
  ) throws -> Contestant {
    var prepared: PreparedFilter?
    if item.filterState == .prepared && item.pass != .backwardFilter {
      let start = ContinuousClock.now
      prepared = try data.filter.withUnsafeRawPointer { try plan.prepare(filter: $0, pool: settings.pool) }
      let seconds = (ContinuousClock.now - start).seconds
      row.prepareMilliseconds = seconds * 1e3
      ledger.planning += seconds
    }
    return Contestant(
      row: rowIndex, plan: plan, preparedFilter: prepared,
      threadOwner: competitor.threadOwner(pool: settings.pool))
  }

  private mutating func measure(
    _ contestants: [Contestant], _ rows: inout [ResultRow], _ item: RunItem, _ data: ProblemData,
    _ visit: Visit, shouldStop: () -> Bool
  ) throws {
    visitPeak = nil
    guard !contestants.isEmpty else { return }
    let start = ContinuousClock.now
    let seed = settings.seed &+ UInt64(visit.index)
    let memory = try PlacedMemory(
      operation: item.operation,
      tensors: (
        try data.input.converted(to: item.format), data.filter,
        try data.outputGradient.converted(to: item.format)
      ),
      workspaceBytes: contestants.map(\.plan.workspaceBytes).max() ?? 0, seed: seed)
    ledger.verification += (ContinuousClock.now - start).seconds
    let evictor = try cacheEvictor()
    let sampling = sampling(visit)
    // What each touches, at the rate at which memory fills the last level.
    let refills = contestants.map { contestant in
      let bytes = memory.operandBytes + contestant.plan.workspaceBytes + contestant.plan.preparedBytes
      return sampling.refillSeconds * Double(bytes) / Double(CacheSizes.lastLevel)
    }
    try withoutActuallyEscaping(shouldStop) { shouldStop in
      var executor = ContestantExecutor(
        contestants: contestants, memory: memory, pool: settings.pool, evictor: evictor,
        probe: PeakProbe(pool: settings.pool), shouldStop: shouldStop)
      var sampler = RoundSampler(
        earlier: contestants.map { rows[$0.row].samplesByRound }, refills: refills,
        baseline: contestants.firstIndex { rows[$0.row].backend == settings.baseline },
        limits: sampling, seed: seed)
      defer {
        ledger.kernels += executor.kernelSeconds
        ledger.waiting += executor.waitingSeconds
        ledger.probes += executor.probingSeconds
      }
      _ = try sampler.run(&executor)
      executor.probeSpeed()
      visitPeak = executor.peaks.isEmpty ? nil : Statistics.median(executor.peaks)
      for (index, contestant) in contestants.enumerated() {
        if visit.index == 0 {
          rows[contestant.row].phases = executor.phases[index]
          rows[contestant.row].peakMemoryBytes = executor.peakBytes[index]
        }
        rows[contestant.row].peakProbes += executor.peaks
        describe(sampler.series[index], contestant.plan, &rows[contestant.row], item)
      }
    }
    // Comparisons before the last visit are for runs that do not get that far.
    ResultRow.compare(
      &rows, baseline: settings.baseline, seed: settings.seed, resamples: visit.isLast ? 2000 : 200)
  }

  /// The visit's part of the sampling, with what this machine's last-level cache costs; where the bandwidth was not measured, at
  /// 16 GB/s.
  private func sampling(_ visit: Visit) -> SamplingLimits {
    var share = visit.share(of: settings.sampling)
    let bandwidth = limits.bandwidth > 0 ? limits.bandwidth : 16
    share.refillSeconds = Double(CacheSizes.lastLevel) / bandwidth * 1e-9
    return share
  }

  /// What brings about the caches' state that is wanted.
  ///
  /// - Throws: `MemoryError`.
  private mutating func cacheEvictor() throws -> CacheEvictor? {
    let known = evictors.first { $0.state == settings.cache && $0.evictor.pool === settings.pool }
    if let known { return known.evictor }
    let made = try CacheEvictor.make(settings.cache, pool: settings.pool)
    if let made { evictors.append((settings.cache, made)) }
    return made
  }

  /// Times, rates and what they are of the machine's limits.
  private func describe(
    _ series: RoundSampler.Series, _ plan: any ConvPlan, _ row: inout ResultRow, _ item: RunItem
  ) {
    guard !series.samples.isEmpty else { return }
    let values = series.values
    let median = Statistics.median(values)
    row.rounds = series.samples.keys.sorted()
    row.untimedExecutions = series.untimed
    row.seconds = values
    row.minMilliseconds = (values.min() ?? .nan) * 1e3
    row.medianMilliseconds = median * 1e3
    row.p95Milliseconds = Statistics.quantile(values, 0.95) * 1e3
    row.gflopsEffective = item.problem.problem.directFLOPs / median * 1e-9
    row.gflopsExecuted = plan.executedFLOPs / median * 1e-9
    // Of the same moments: machines drift by factors within a minute.
    var limits = limits
    limits.fmaPeak = row.peakGflops
    row.peakPercent = row.gflopsEffective / limits.fmaPeak * 100
    let intensity = item.problem.problem.directFLOPs / Double(item.compulsoryBytes)
    row.rooflineGflops = limits.roofline(intensity: intensity)
    row.rooflinePercent = row.gflopsEffective / row.rooflineGflops * 100
  }
}
