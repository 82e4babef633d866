import ConvCore
import Foundation

/// How a comparison is carried out.
public struct ComparisonSettings: Sendable {
  /// Rounds in which all take their turn.
  public var rounds: Int
  /// Seconds of one sample; shorter executions are repeated where the caches' state allows it.
  public var secondsPerSample: Double
  /// What the caches hold when a sample of a layer begins, on both sides.
  public var cache: CacheState
  /// Seconds in which memory can fill the last-level cache; nil: measured.
  public var refillSeconds: Double?
  /// Seconds between two contestants, in which the threads of the last one go to sleep.
  public var pause: Double
  /// Seed of operands, samples and resampling.
  public var seed: UInt64
  /// Whether to time at all.
  public var times: Bool

  /// Settings for a thorough run.
  public init(
    rounds: Int = 12, secondsPerSample: Double = 0.05, cache: CacheState = .warm, pause: Double = 0.01,
    seed: UInt64 = 1, times: Bool = true, refillSeconds: Double? = nil
  ) {
    self.rounds = rounds
    self.secondsPerSample = secondsPerSample
    self.cache = cache
    self.refillSeconds = refillSeconds
    self.pause = pause
    self.seed = seed
    self.times = times
  }
}

/// Measures engines and a peer in turn, layer by layer, after both have been verified on the same operands.
public final class Comparison {
  public let settings: ComparisonSettings
  let peer: PeerProcess
  private var cached: (problem: ConvProblem, data: ProblemData)?
  private var evictor: CacheEvictor?
  private var refill: (pool: WorkerPool, seconds: Double)?
  /// What the machine could do at best during the last rows, GFLOP/s of all threads of their pool; nil where nothing was timed.
  public internal(set) var visitPeak: Double?
  /// Why the peer cannot be asked any more, where it ended while rows were timed: they have what had been measured by then.
  public private(set) var peerEnd: PeerError?

  /// A comparison with a running peer.
  ///
  /// - Throws: `HarnessError.usage` where the peer cannot bring about the state of the caches that is asked for.
  public init(peer: PeerProcess, settings: ComparisonSettings) throws {
    guard settings.cache == .warm || peer.identity.settles else {
      throw HarnessError.usage(
        "the peer \(peer.identity.name) does not say that it settles its caches: only warm can be measured, not "
          + settings.cache.rawValue)
    }
    self.peer = peer
    self.settings = settings
  }

  /// Whoever takes a turn.
  struct Contestant {
    /// The row of an engine; nil is the peer.
    var row: Int?
    var configuration = ""
    /// Seconds per execution.
    var seconds: (ComparisonTurn) throws -> Double
    var turn = ComparisonTurn()
    var samples: [Double] = []
  }

  /// Rows of one item, one per competitor.
  ///
  /// - Parameter shouldStop: is asked between samples; what has no time then has no ratio.
  /// - Throws: `PeerError` where it ends before anything is timed, see `peerEnd`; what an engine throws, or the peer declines, is in
  ///   the rows.
  public func rows(
    for item: RunItem, pool: WorkerPool, competitors: [Competitor], shouldStop: () -> Bool = { false }
  ) throws -> [ComparisonRow] {
    let problem = item.problem.problem
    let data = try data(for: problem, pool)
    let expectation = try Expectation(of: item.pass, data: data, seed: settings.seed, pool: pool)
    let (peerVerification, configurations) = try verifyPeer(item, pool, data, expectation)
    var rows: [ComparisonRow] = []
    var contestants: [Contestant] = []
    for competitor in competitors {
      if shouldStop() { break }
      var row = row(for: item, pool, competitor)
      row.peerVerification = peerVerification
      do {
        if let run = try prepare(&row, item, competitor, pool, data, expectation) {
          contestants.append(Contestant(row: rows.count, seconds: run))
        }
      } catch {
        row.verification = Verification(
          .failed, reason: "\(competitor.label) promised support, then: \(error)")
      }
      rows.append(row)
    }
    visitPeak = nil
    guard settings.times, !contestants.isEmpty, !configurations.isEmpty else { return rows }
    for configuration in configurations {
      let task = task(item, pool, configuration)
      contestants.append(
        Contestant(configuration: configuration) { [peer] in try peer.seconds(task, $0) })
    }
    try measure(&contestants, into: &rows, pool, settings.cache, shouldStop)
    return rows
  }

  private func row(for item: RunItem, _ pool: WorkerPool, _ competitor: Competitor) -> ComparisonRow {
    var row = ComparisonRow(
      suite: item.suite, problem: item.problem.problem.description, name: item.problem.name,
      group: ComparisonGroup(item.problem.problem, item.pass), pass: item.pass.rawValue,
      backend: competitor.label, threads: pool.threads, filterState: item.filterState.rawValue,
      peer: peer.identity)
    (row.cache, row.role) = (settings.cache, competitor.role)
    return row
  }

  private func task(_ item: RunItem, _ pool: WorkerPool, _ configuration: String) -> PeerTask {
    PeerTask(
      problem: item.problem.problem, pass: item.pass, threads: pool.threads, seed: settings.seed,
      configuration: configuration, filterState: item.filterState)
  }

  private func data(for problem: ConvProblem, _ pool: WorkerPool) throws -> ProblemData {
    if let cached, cached.problem == problem { return cached.data }
    cached = nil
    let data = try ProblemData(problem: problem, seed: settings.seed, pool: pool)
    cached = (problem, data)
    return data
  }

  // MARK: Verification

  /// The verdict on the peer, and the configurations that passed. A peer that sums products in float32, in whatever order, stays
  /// within the bound of such sums.
  private func verifyPeer(
    _ item: RunItem, _ pool: WorkerPool, _ data: ProblemData, _ expectation: Expectation
  ) throws -> (Verification, [String]) {
    let grid = expectation.grid
    let model = ErrorModel.summation(
      .unknown(depth: item.problem.problem.summationDepth(item.pass)), accumulator: .float32)
    guard let bounds = ErrorBounds(model: model, expectation: expectation, data: data, pool: pool) else {
      return (Verification(.mistrusted, reason: "no bound describes the problem"), [])
    }
    let indices = grid.rows.flatMap { row in grid.columns.map { grid.index(row, $0) } }
    var worst: Verification?
    var passed: [String] = []
    for configuration in peer.identity.configurations {
      let verification: Verification
      do {
        let values = try peer.values(task(item, pool, configuration), at: indices)
        verification = Verification(results: values, expectation: expectation, bounds: bounds)
      } catch PeerError.declined(let reason) {
        verification = Verification(.unsupported, reason: "\(configuration): \(reason)")
      }
      if verification.verdict == .passed { passed.append(configuration) }
      let isWorse =
        worst.map {
          ($0.verdict == .passed || $0.verdict == .unsupported && verification.verdict != .passed)
            && verification.verdict != .unsupported && !(verification.errorRatio <= $0.errorRatio)
        } ?? true
      if isWorse { worst = verification }
    }
    return (worst ?? Verification(.unsupported, reason: "the peer has no configuration"), passed)
  }

  /// Verifies an engine; how to time it, or nil where there is nothing to time.
  private func prepare(
    _ row: inout ComparisonRow, _ item: RunItem, _ competitor: Competitor, _ pool: WorkerPool,
    _ data: ProblemData, _ expectation: Expectation
  ) throws -> ((ComparisonTurn) throws -> Double)? {
    let operation = item.operation
    let options = PlanOptions(
      threads: pool.threads, filterState: item.filterState, variant: competitor.variant)
    if let reason = competitor.backend.support(for: operation, options).reason {
      row.verification = Verification(.unsupported, reason: reason)
      return nil
    }
    let plan = try competitor.backend.plan(for: operation, options)
    (row.variant, row.executedBy) = (plan.variant, plan.executedBy)
    row.format = item.format
    row.verification = try Verifier(pool: pool).verifyUntilTrusted(
      plan, data: data, expectation: expectation, filterState: item.filterState, seed: settings.seed)
    guard row.verification.verdict == .passed else { return nil }
    let execution = try PlanExecution(plan, data, item.filterState, pool)
    let evictor = try evictor(settings.cache, pool)
    return { try execution.seconds($0, evictor) }
  }

  private func evictor(_ state: CacheState, _ pool: WorkerPool) throws -> CacheEvictor? {
    if state == .warm { return nil }
    if evictor?.pool !== pool { evictor = try CacheEvictor.make(state, pool: pool) }
    return evictor
  }

  /// Seconds in which memory can fill the last level: what a peer's execution touches is not known, so it counts for both sides.
  private func refillSeconds(_ pool: WorkerPool) throws -> Double {
    if let seconds = settings.refillSeconds { return seconds }
    if let refill, refill.pool === pool { return refill.seconds }
    let bandwidth = try MachineLimits.measure(pool: pool).bandwidth
    let seconds = Double(CacheSizes.lastLevel) / (bandwidth > 0 ? bandwidth : 16) * 1e-9
    refill = (pool, seconds)
    return seconds
  }

  // MARK: Measurement

  /// Times all contestants; what a peer that ends has left is in the rows all the same.
  func measure(
    _ contestants: inout [Contestant], into rows: inout [ComparisonRow], _ pool: WorkerPool,
    _ cache: CacheState, _ shouldStop: () -> Bool
  ) throws {
    do {
      try takeTurns(&contestants, pool, cache, shouldStop)
    } catch let error as PeerError {
      peerEnd = error
    }
    settle(contestants, &rows)
  }

  /// A configuration of the peer that takes so many times as long as its best is not measured further.
  private static let hopeless = 3.0

  /// Rounds A B C, B C A, …: each one's sample follows a pause, in which the threads of the one before fall asleep, and executions that
  /// are not timed.
  func takeTurns(
    _ contestants: inout [Contestant], _ pool: WorkerPool, _ cache: CacheState, _ shouldStop: () -> Bool
  ) throws {
    let evictBytes = try evictor(cache, pool)?.byteCount ?? 0
    var limits = SamplingLimits()
    limits.refillSeconds = try refillSeconds(pool)
    var bestOfPeer = Double.infinity
    var first: [Double] = []
    for i in contestants.indices {
      Thread.sleep(forTimeInterval: settings.pause)
      let last: Double
      do {
        last = try contestants[i].seconds(ComparisonTurn())
      } catch PeerError.declined {
        // What it computed but cannot time has no time.
        first.append(.infinity)
        continue
      }
      first.append(last)
      if contestants[i].row == nil { bestOfPeer = min(bestOfPeer, last) }
      let repetitions = max(1, min(10_000, Int((settings.secondsPerSample / max(last, 1e-7)).rounded())))
      contestants[i].turn = ComparisonTurn(
        // One at least: a peer's threads fall asleep in the pause.
        untimed: max(1, limits.untimedExecutions(lasting: last, refill: limits.refillSeconds)),
        repetitions: cache.allowsRepetition ? repetitions : 1,
        evictBytes: evictBytes)
    }
    contestants = zip(contestants, first).filter { contestant, seconds in
      contestant.row != nil || seconds.isFinite && seconds <= Comparison.hopeless * bestOfPeer
    }.map(\.0)
    let probe = PeakProbe(pool: pool)
    var peaks: [Double] = []
    defer { visitPeak = peaks.isEmpty ? nil : Statistics.median(peaks) }
    for round in 0..<settings.rounds {
      Thread.sleep(forTimeInterval: settings.pause)
      let peak = probe.gflops()
      if peak.isFinite { peaks.append(peak) }
      for offset in contestants.indices {
        if shouldStop() { return }
        let i = (offset + round) % contestants.count
        Thread.sleep(forTimeInterval: settings.pause)
        contestants[i].samples.append(try contestants[i].seconds(contestants[i].turn))
      }
    }
  }

  /// Pairs each engine's samples with those of the peer's fastest configuration.
  func settle(_ contestants: [Contestant], _ rows: inout [ComparisonRow]) {
    let peers = contestants.filter { $0.row == nil && !$0.samples.isEmpty }
    guard
      let best = peers.min(by: { Statistics.median($0.samples) < Statistics.median($1.samples) })
    else { return }
    for contestant in contestants {
      guard let row = contestant.row else { continue }
      let rounds = min(contestant.samples.count, best.samples.count)
      rows[row].set(
        own: Array(contestant.samples.prefix(rounds)), peers: Array(best.samples.prefix(rounds)),
        configuration: best.configuration, seed: settings.seed)
    }
  }
}

/// What a contestant does when it is its turn.
public struct ComparisonTurn: Sendable, Hashable {
  /// Executions before the timed ones.
  public var untimed = 1
  /// Timed executions.
  public var repetitions = 1
  /// Bytes that all threads together touch before each timed execution, so that caches hold something else.
  public var evictBytes = 0
}

/// A plan with the memory that it runs on.
private final class PlanExecution {
  private let plan: any ConvPlan
  private let pool: WorkerPool
  private let tensors: [Tensor]
  private let result, workspace: PooledBuffer
  private var operands: ConvOperands

  init(_ plan: any ConvPlan, _ data: ProblemData, _ state: FilterState, _ pool: WorkerPool) throws {
    self.plan = plan
    self.pool = pool
    let operation = plan.operation
    tensors = [
      try data.input.converted(to: operation.inputFormat),
      try data.filter.converted(to: operation.filterFormat),
      try data.outputGradient.converted(to: operation.outputFormat),
    ]
    result = try PooledBuffer(
      byteCount: operation.problem.resultShape(operation.pass).reduce(1, *) * MemoryLayout<Float>.stride)
    workspace = try PooledBuffer(byteCount: plan.workspaceBytes)
    let addresses = tensors.map { $0.withUnsafeRawPointer { UnsafeMutableRawPointer(mutating: $0) } }
    operands = ConvOperands(input: addresses[0], filter: addresses[1], output: addresses[2])
    switch operation.pass {
    case .forward: operands.output = result.baseAddress
    case .backwardData: operands.input = result.baseAddress
    case .backwardFilter: operands.filter = result.baseAddress
    }
    if state == .prepared && operation.pass != .backwardFilter {
      operands.preparedFilter = try plan.prepare(filter: addresses[1], pool: pool)
      operands.filter = nil
    }
  }

  func seconds(_ turn: ComparisonTurn, _ evictor: CacheEvictor?) throws -> Double {
    func run() throws {
      try plan.execute(
        operands,
        workspace: UnsafeMutableRawBufferPointer(start: workspace.baseAddress, count: plan.workspaceBytes),
        pool: pool, phases: nil)
    }
    for _ in 0..<turn.untimed { try run() }
    var seconds = 0.0
    let evicts = turn.evictBytes > 0
    for _ in 0..<(evicts ? turn.repetitions : 1) {
      if evicts { evictor?.evict() }
      let start = ContinuousClock.now
      for _ in 0..<(evicts ? 1 : turn.repetitions) { try run() }
      seconds += (ContinuousClock.now - start).seconds
    }
    return seconds / Double(turn.repetitions)
  }
}
