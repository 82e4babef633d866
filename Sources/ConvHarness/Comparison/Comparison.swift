import ConvCore
import Foundation

/// How a comparison is carried out.
public struct ComparisonSettings: Sendable {
  /// Rounds in which all take their turn.
  public var rounds: Int
  /// Seconds of one sample; shorter executions are repeated.
  public var secondsPerSample: Double
  /// Seconds between two contestants, in which the threads of the last one go to sleep.
  public var pause: Double
  /// Seed of operands, samples and resampling.
  public var seed: UInt64
  /// Whether to time at all.
  public var times: Bool

  /// Settings for a thorough run.
  public init(
    rounds: Int = 12, secondsPerSample: Double = 0.05, pause: Double = 0.01, seed: UInt64 = 1,
    times: Bool = true
  ) {
    self.rounds = rounds
    self.secondsPerSample = secondsPerSample
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

  /// A comparison with a running peer.
  public init(peer: PeerProcess, settings: ComparisonSettings) {
    self.peer = peer
    self.settings = settings
  }

  /// Whoever takes a turn.
  struct Contestant {
    /// The row of an engine; nil is the peer.
    var row: Int?
    var configuration = ""
    /// Seconds per execution of so many, after one that wakes the threads.
    var seconds: (Int) throws -> Double
    var repetitions = 1
    var samples: [Double] = []
  }

  /// Rows of one item, one per competitor.
  ///
  /// - Parameter shouldStop: is asked between samples; what has no time then has no ratio.
  /// - Throws: `PeerError.broken`; what an engine throws, or the peer declines, is in the rows.
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
    guard settings.times, !contestants.isEmpty, !configurations.isEmpty else { return rows }
    for configuration in configurations {
      let task = task(item, pool, configuration)
      contestants.append(
        Contestant(configuration: configuration) { [peer] in try peer.seconds(task, repetitions: $0) })
    }
    try takeTurns(&contestants, shouldStop)
    settle(contestants, &rows)
    return rows
  }

  private func row(for item: RunItem, _ pool: WorkerPool, _ competitor: Competitor) -> ComparisonRow {
    ComparisonRow(
      suite: item.suite, problem: item.problem.problem.description, name: item.problem.name,
      group: ComparisonGroup(item.problem.problem, item.pass), pass: item.pass.rawValue,
      backend: competitor.label, threads: pool.threads, filterState: item.filterState.rawValue,
      peer: peer.identity)
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
      depth: item.problem.problem.summationDepth(item.pass), accumulator: .float32)
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
  ) throws -> ((Int) throws -> Double)? {
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
    row.verification = try Verifier(pool: pool).verify(
      plan, data: data, expectation: expectation, filterState: item.filterState)
    guard row.verification.verdict == .passed else { return nil }
    let execution = try PlanExecution(plan, data, item.filterState, pool)
    return { try execution.seconds(repetitions: $0) }
  }

  // MARK: Measurement

  /// A configuration of the peer that takes so many times as long as its best is not measured further.
  private static let hopeless = 3.0

  /// Rounds A B C, B C A, …: each one's sample follows a pause and an execution that is not timed.
  func takeTurns(_ contestants: inout [Contestant], _ shouldStop: () -> Bool) throws {
    var bestOfPeer = Double.infinity
    var first: [Double] = []
    for i in contestants.indices {
      Thread.sleep(forTimeInterval: settings.pause)
      _ = try contestants[i].seconds(1)
      let last = try contestants[i].seconds(1)
      first.append(last)
      if contestants[i].row == nil { bestOfPeer = min(bestOfPeer, last) }
      contestants[i].repetitions = max(
        1, min(10_000, Int((settings.secondsPerSample / max(last, 1e-7)).rounded())))
    }
    contestants = zip(contestants, first).filter { contestant, seconds in
      contestant.row != nil || seconds <= Comparison.hopeless * bestOfPeer
    }.map(\.0)
    for round in 0..<settings.rounds {
      for offset in contestants.indices {
        if shouldStop() { return }
        let i = (offset + round) % contestants.count
        Thread.sleep(forTimeInterval: settings.pause)
        contestants[i].samples.append(try contestants[i].seconds(contestants[i].repetitions))
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

  func seconds(repetitions: Int) throws -> Double {
    func run() throws {
      try plan.execute(
        operands,
        workspace: UnsafeMutableRawBufferPointer(start: workspace.baseAddress, count: plan.workspaceBytes),
        pool: pool, phases: nil)
    }
    try run()
    let start = ContinuousClock.now
    for _ in 0..<repetitions { try run() }
    return (ContinuousClock.now - start).seconds / Double(repetitions)
  }
}
