import ConvCore
import Foundation

/// A competitor that has passed its verification, with everything that an execution needs.
struct Contestant {
  /// Index of its row.
  let row: Int
  let plan: any ConvPlan
  let operands: ConvOperands
  let workspace: UnsafeMutableRawBufferPointer
  /// Whether its threads are not the pool's.
  let hasOwnThreads: Bool
  /// Keeps the memory of the operands alive.
  let owners: [PooledBuffer]
}

/// Executes contestants for a `RoundSampler`.
struct ContestantExecutor: SampledExecutor {
  let contestants: [Contestant]
  let pool: WorkerPool
  let evictor: CacheEvictor?
  let shouldStop: () -> Bool
  /// Seconds inside of the engines.
  private(set) var kernelSeconds = 0.0
  /// Seconds of `settle`.
  private(set) var waitingSeconds = 0.0
  /// Phases of each contestant's last execution of the warm-up.
  private(set) var phases: [[(name: String, seconds: Double)]]
  /// Largest resident size of the process during each contestant's first execution of the warm-up.
  private(set) var peakBytes: [Int?]

  init(
    contestants: [Contestant], pool: WorkerPool, evictor: CacheEvictor?, shouldStop: @escaping () -> Bool
  ) {
    self.contestants = contestants
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
    let start = ContinuousClock.now
    for _ in 0..<repetitions {
      try contestant.plan.execute(
        contestant.operands, workspace: contestant.workspace, pool: pool, phases: recorder)
    }
    let seconds = (ContinuousClock.now - start).seconds
    if isFirst { peakBytes[index] = MemoryProbe.peakBytes }
    if let recorder { phases[index] = recorder.phases }
    kernelSeconds += seconds
    return seconds
  }

  /// Threads poll for work for some milliseconds after their last execution and would take processor time from those of
  /// another library: one waits until they sleep, then wakes the contestant's own by an execution that is not timed.
  mutating func settle(before index: Int, after previous: Int?, repetitions: Int) throws -> Double {
    let start = ContinuousClock.now
    if let previous, previous != index,
      contestants[previous].hasOwnThreads || contestants[index].hasOwnThreads
    {
      Thread.sleep(forTimeInterval: 0.008)
      if repetitions > 1 {
        let own = contestants[index]
        try own.plan.execute(own.operands, workspace: own.workspace, pool: pool, phases: nil)
      }
    }
    evictor?.evict()
    let seconds = (ContinuousClock.now - start).seconds
    waitingSeconds += seconds
    return seconds
  }
}
