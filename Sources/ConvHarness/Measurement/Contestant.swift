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
  /// Share of the time that probes of the machine's speed may take, beyond the first ones.
  private static let probingShare = 0.03
  private static let leastProbes = 3

  let contestants: [Contestant]
  let memory: PlacedMemory
  let pool: WorkerPool
  let evictor: CacheEvictor?
  let probe: PeakProbe?
  let shouldStop: () -> Bool
  /// Seconds inside of the engines.
  private(set) var kernelSeconds = 0.0
  /// Seconds of moving memory, handing over threads and evicting caches.
  private(set) var waitingSeconds = 0.0
  private(set) var movingSeconds = 0.0
  /// Seconds of `peaks`.
  private(set) var probingSeconds = 0.0
  /// What the multipliers could do at best between the rounds of this visit, GFLOP/s of all threads.
  private(set) var peaks: [Double] = []
  /// Phases of each contestant's last execution of the warm-up.
  private(set) var phases: [[(name: String, seconds: Double)]]
  /// Bytes of operands, result and workspace, and what the process grew by besides, in each contestant's first execution.
  private(set) var peakBytes: [Int?]
  private var threads: ThreadHandover

  init(
    contestants: [Contestant], memory: PlacedMemory, pool: WorkerPool, evictor: CacheEvictor? = nil,
    probe: PeakProbe? = nil, shouldStop: @escaping () -> Bool
  ) {
    self.contestants = contestants
    self.memory = memory
    self.pool = pool
    self.evictor = evictor
    self.probe = probe
    self.shouldStop = shouldStop
    phases = Array(repeating: [], count: contestants.count)
    peakBytes = Array(repeating: nil, count: contestants.count)
    threads = ThreadHandover(pool: pool)
  }

  var isStopRequested: Bool { shouldStop() }

  mutating func execute(_ index: Int, repetitions: Int, isWarmUp: Bool) throws -> Double {
    let contestant = contestants[index]
    if isWarmUp { waitingSeconds += threads.hand(to: contestant.threadOwner) }
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

  /// Other places for everybody's operands, results and workspaces; now and then a look at the machine's speed.
  mutating func beginRound(_ round: Int) throws -> Double {
    var seconds = 0.0
    if peaks.count < Self.leastProbes || probingSeconds <= Self.probingShare * kernelSeconds {
      seconds += probeSpeed()
    }
    guard round > 0, movingSeconds <= Self.movingShare * kernelSeconds else { return seconds }
    let start = ContinuousClock.now
    memory.move()
    let moving = (ContinuousClock.now - start).seconds
    movingSeconds += moving
    waitingSeconds += moving
    return seconds + moving
  }

  /// Measures what the machine can do at best right now; returns the seconds that this took.
  @discardableResult
  mutating func probeSpeed() -> Double {
    guard let probe else { return 0 }
    let handed = threads.hand(to: nil)
    waitingSeconds += handed
    let start = ContinuousClock.now
    let peak = probe.gflops()
    // It has none where a thread did not get to run.
    if peak.isFinite { peaks.append(peak) }
    let seconds = (ContinuousClock.now - start).seconds
    probingSeconds += seconds
    return handed + seconds
  }

  /// Seconds for which threads that have just been woken work untimed: an engine's own may be new ones, which the system first has to
  /// spread over the processors.
  private static let wakingSeconds = 0.01

  /// The contestant's threads are awake and those of others asleep, it has executed so often on these operands, and the caches are
  /// in the state that is wanted.
  mutating func settle(before index: Int, untimed: Int) throws -> Double {
    let contestant = contestants[index]
    var waited = threads.hand(to: contestant.threadOwner, wakes: untimed == 0)
    let areNew = threads.hasChanged && contestant.threadOwner != nil
    let start = ContinuousClock.now
    var count = 0
    while count < untimed || areNew && (ContinuousClock.now - start).seconds < Self.wakingSeconds {
      try contestant.execute(in: memory, pool: pool, phases: nil)
      count += 1
    }
    let executed = (ContinuousClock.now - start).seconds
    if let evictor {
      waited += threads.hand(to: nil, lends: true)
      let start = ContinuousClock.now
      evictor.evict()
      waited += (ContinuousClock.now - start).seconds
      waited += threads.hand(to: contestant.threadOwner)
    }
    kernelSeconds += executed
    waitingSeconds += waited
    return executed + waited
  }
}
