import ConvCore

/// What all threads of a pool get done together, at the same time.
///
/// The threads begin a phase together, when all of them are awake and warm. Each then works in small blocks
/// until a common end, and its rate is what it did over the time from the common begin to the end of its own
/// last block. The figure is the sum of these rates.
///
/// So a thread that a hypervisor or another process stops meanwhile lowers the figure by what it did not do,
/// as it would lower an engine's; but nobody is charged for waiting for it, as all work over the longest time
/// would do, nor is a thread that comes late taken for a faster one, as work over its own time would do.
enum PoolRates {
  /// Work of one kind.
  struct Phase {
    /// Uncounted work before: this long, and at least so many blocks.
    var warmUpSeconds = 0.5e-3
    var warmUpBlocks = 1
    /// Counted work.
    var seconds: Double
    /// What one block is counted as.
    var unitsPerBlock: Double
    /// Some microseconds of work of one thread; blocks of a phase are numbered.
    var block: (_ thread: Int, _ index: Int) -> Void
  }

  /// Units per second of all threads together, for each phase; NaN for all of them where the threads could
  /// not be brought together, because other processes kept one from running or because the pool is at work.
  ///
  /// The phases follow each other within one job of the pool, so that a thread finds in each what it has
  /// touched before.
  ///
  /// - Parameters:
  ///   - patience: seconds that a thread waits for the others at most.
  ///   - prepare: what each thread does once at the begin.
  static func measure(
    _ phases: [Phase], pool: WorkerPool, patience: Double = 2, prepare: (_ thread: Int) -> Void = { _ in }
  ) -> [Double] {
    let threads = pool.threads
    let gate = ThreadGate(threads: threads, patience: patience)
    var rates = [Double](repeating: .nan, count: phases.count * threads)
    rates.withUnsafeMutableBufferPointer { rates in
      let rates = rates.baseAddress
      pool.parallelFor(threads) { thread in
        guard let rates else { return }
        prepare(thread)
        guard gate.pass(0) != nil else { return }
        for (number, phase) in phases.enumerated() {
          var index = 0
          let warm = gate.now + phase.warmUpSeconds
          repeat {
            phase.block(thread, index)
            index += 1
          } while index < phase.warmUpBlocks || gate.now < warm
          guard let begin = gate.pass(number + 1) else { return }
          let (first, end) = (index, begin + phase.seconds)
          var now = begin
          repeat {
            phase.block(thread, index)
            index += 1
            now = gate.now
          } while now < end
          rates[number * threads + thread] = Double(index - first) * phase.unitsPerBlock / (now - begin)
        }
      }
    }
    if gate.isBroken { return phases.map { _ in .nan } }
    return phases.indices.map { rates[$0 * threads..<($0 + 1) * threads].reduce(0, +) }
  }
}

extension Duration {
  /// The duration in seconds.
  public var seconds: Double {
    Double(components.seconds) + Double(components.attoseconds) * 1e-18
  }
}
