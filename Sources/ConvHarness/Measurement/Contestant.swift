import ConvCore
import Foundation

/// A competitor that has passed its verification, with everything that an execution needs.
struct Contestant {
  /// Index of its row.
  let row: Int
  let plan: any ConvPlan
  /// The filter as the plan wants it, where it is prepared once.
  let preparedFilter: PreparedFilter?
  /// The engine where its threads are not the pool's.
  let threadOwner: (any ConvolutionBackend)?

  /// One execution in the item's memory.
  func execute(in memory: PlacedMemory, pool: WorkerPool, phases: PhaseRecorder?) throws {
    var operands = memory.operands
    if let preparedFilter {
      operands.filter = nil
      operands.preparedFilter = preparedFilter
    }
    try plan.execute(
      operands, workspace: memory.workspace(byteCount: plan.workspaceBytes), pool: pool, phases: phases)
  }
}

/// Executes contestants for a `RoundSampler`.
struct ContestantExecutor: SampledExecutor {
  /// Share of the time that moving the memory may take: where the operands are large for the work, rounds share places.
  private static let movingShare = 0.03

  let contestants: [Contestant]
  let memory: PlacedMemory
  let pool: WorkerPool
  let evictor: CacheEvictor?
  let shouldStop: () -> Bool
  /// Seconds inside of the engines.
  private(set) var kernelSeconds = 0.0
  /// Seconds of `beginRound` and `settle`.
  private(set) var waitingSeconds = 0.0
  private var movingSeconds = 0.0
  /// Phases of each contestant's last execution of the warm-up.
  private(set) var phases: [[(name: String, seconds: Double)]]
  /// Bytes of operands, result and workspace, and what the process grew by besides, in each contestant's first execution.
  private(set) var peakBytes: [Int?]

  init(
    contestants: [Contestant], memory: PlacedMemory, pool: WorkerPool, evictor: CacheEvictor?,
    shouldStop: @escaping () -> Bool
  ) {
    self.contestants = contestants
    self.memory = memory
    self.pool = pool
    self.evictor = evictor
    self.shouldStop = shouldStop
    phases = Array(repeating: [], count: contestants.count)
    peakBytes = Array(repeating: nil, count: contestants.count)
  }

  var isStopRequested: Bool { shouldStop() }

  mutating func execute(_ index: Int, repetitions: Int, isWarmUp: Bool) throws -> Double {
    let contestant = contestants[index]
    // Phases are recorded in the warm-up only: samples are of the engine as its users call it.
    let recorder = isWarmUp ? PhaseRecorder() : nil
    let isFirst = isWarmUp && peakBytes[index] == nil
    if isFirst { MemoryProbe.resetPeak() }
    let before = isFirst ? MemoryProbe.peakBytes : nil
    let start = ContinuousClock.now
    for _ in 0..<repetitions { try contestant.execute(in: memory, pool: pool, phases: recorder) }
    let seconds = (ContinuousClock.now - start).seconds
    if isFirst, let before, let after = MemoryProbe.peakBytes {
      peakBytes[index] = memory.operandBytes + contestant.plan.workspaceBytes + max(0, after - before)
    }
    if let recorder { phases[index] = recorder.phases }
    kernelSeconds += seconds
    return seconds
  }

  /// Other places for everybody's operands, results and workspaces.
  mutating func beginRound(_ round: Int) throws -> Double {
    guard round > 0, movingSeconds <= ContestantExecutor.movingShare * kernelSeconds else { return 0 }
    let start = ContinuousClock.now
    memory.move()
    let seconds = (ContinuousClock.now - start).seconds
    movingSeconds += seconds
    waitingSeconds += seconds
    return seconds
  }

  /// Where the threads change, those of the contestant before are sent to sleep and the contestant's own are woken; what is
  /// short is also executed once without being timed.
  mutating func settle(before index: Int, after previous: Int?, repetitions: Int) throws -> Double {
    let start = ContinuousClock.now
    let own = contestants[index]
    if let previous,
      ThreadRest.handOver(from: contestants[previous].threadOwner, to: own.threadOwner, pool: pool),
      repetitions > 1
    {
      try own.execute(in: memory, pool: pool, phases: nil)
    }
    evictor?.evict()
    let seconds = (ContinuousClock.now - start).seconds
    waitingSeconds += seconds
    return seconds
  }
}
