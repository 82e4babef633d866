import ConvCore
import ConvTestSupport
import Foundation
import Synchronization
import Testing

@testable import ConvHarness

/// What is in the caches, and whose threads are awake, when a sample begins.
@Suite(.serialized) struct CacheStateTests {
  /// Of its own: what finds a pool at work runs on the calling thread alone, and probes have no figure then.
  private static let pool = WorkerPool(threads: 2)

  private final class Log: Sendable {
    private let entries = Mutex<[String]>([])
    func add(_ entry: String) { entries.withLock { $0.append(entry) } }
    /// What was added since the last call, what follows itself once.
    func takeRuns() -> [String] {
      let all = take()
      return all.indices.filter { $0 == 0 || all[$0] != all[$0 - 1] }.map { all[$0] }
    }
    /// What was added since the last call.
    func take() -> [String] {
      entries.withLock { entries in
        defer { entries = [] }
        return entries
      }
    }
  }

  /// Contestants of which each writes its name into the log; those with a capital letter have threads of their own.
  private func executor(
    _ names: [String], _ state: CacheState, _ log: Log, probe: PeakProbe? = nil
  ) throws -> ContestantExecutor {
    let operation = ConvOperation(
      .forward, try .conv2d(n: 1, c: 2, h: 5, w: 5, k: 3, r: 3, s: 3, stride: 1, padding: 1))
    let data = try ProblemData(problem: operation.problem, seed: 3, pool: Self.pool)
    nonisolated(unsafe) let evictor = try CacheEvictor.make(state, pool: Self.pool)
    let contestants = try names.enumerated().map { index, name in
      var engine = FakeBackend.plugin { _, _, _ in
        // How often the caches had been filled with something else by then.
        log.add("\(name)\(evictor?.touches.first.map { "\($0)" } ?? "")")
      }
      engine.threading = .ownThreads
      engine.onThreads = { log.add("\(name) \($0)") }
      return Contestant(
        row: index, plan: try engine.plan(for: operation, PlanOptions(threads: 2)), preparedFilter: nil,
        threadOwner: name == name.uppercased() ? engine : nil)
    }
    let memory = try PlacedMemory(
      operation: operation, tensors: (data.input, data.filter, data.outputGradient),
      workspaceBytes: contestants.map(\.plan.workspaceBytes).max() ?? 0, seed: 1)
    return ContestantExecutor(
      contestants: contestants, memory: memory, pool: Self.pool,
      evictor: evictor, probe: probe, shouldStop: { false })
  }

  @Test(arguments: CacheState.allCases) func samplesFollowUntimedExecutions(_ state: CacheState) throws {
    let log = Log()
    var executor = try executor(["a", "b"], state, log)
    let evictor = executor.evictor
    #expect((evictor == nil) == (state == .warm))
    _ = try executor.settle(before: 0, untimed: 3)
    func entries(_ name: String, _ touches: Int, count: Int) -> [String] {
      Array(repeating: state == .warm ? name : "\(name)\(touches)", count: count)
    }
    #expect(log.take() == entries("a", 0, count: 3) && evictor?.touches ?? [1, 1] == [1, 1])
    // Whatever is evicted, is so after the untimed executions: nothing runs before the sample.
    _ = try executor.execute(0, repetitions: 2, isWarmUp: false)
    #expect(log.take() == entries("a", 1, count: 2) && evictor?.touches ?? [1, 1] == [1, 1])
    _ = try executor.settle(before: 1, untimed: 1)
    #expect(log.take() == entries("b", 1, count: 1) && evictor?.touches ?? [2, 2] == [2, 2])
    _ = try executor.settle(before: 1, untimed: 0)
    #expect(log.take() == [] && evictor?.touches ?? [3, 3] == [3, 3])
  }

  /// What no untimed execution wakes is woken, since moving the memory may have lasted longer than threads poll.
  @Test func threadsAreAwakeWithoutUntimedExecutions() throws {
    let log = Log()
    var executor = try executor(["A"], .warm, log)
    _ = try executor.settle(before: 0, untimed: 0)
    #expect(log.takeRuns() == ["A wake 2", "A"])
    _ = try executor.settle(before: 0, untimed: 0)
    #expect(log.take() == ["A wake 2"])
  }

  /// Two threads on one machine, and sixty-four over several last-level caches.
  @Test func evictorsFillTheCachesOfEveryMachine() throws {
    func bytes(_ state: CacheState, _ files: CacheFiles, _ threads: Int) -> Int? {
      CacheEvictor.bytesPerThread(state, caches: files.sizes, threads: threads)
    }
    for files in [CacheFiles.zen5, .zen3, .emeraldRapids] {
      #expect(bytes(.warm, files, 2) == nil)
    }
    #expect(bytes(.network, .zen5, 2) == 2 << 20 && bytes(.network, .emeraldRapids, 2) == 4 << 20)
    // Both processors share 32 MiB: 64 MiB together.
    #expect(bytes(.cold, .zen5, 2) == 32 << 20 && bytes(.cold, .zen5, 1) == 64 << 20)
    // Of sixteen that share 32 MiB each fills a sixteenth of twice that, however many such caches there are.
    #expect(bytes(.cold, .zen3, 16) == 4 << 20 && bytes(.cold, .zen3, 64) == 4 << 20)
    #expect(bytes(.cold, .zen3, 2) == 32 << 20)
    #expect(bytes(.cold, .emeraldRapids, 8) == 2 * (61440 << 10) / 8)
    // Their own second level takes more than their share of the last one.
    #expect(bytes(.cold, .emeraldRapids, 48) == 4 << 20)
    let unknown = CacheSizes(levels: [])
    #expect(CacheEvictor.bytesPerThread(.network, caches: unknown, threads: 2) == 2 << 20)
    #expect(CacheEvictor.bytesPerThread(.cold, caches: unknown, threads: 2) == 32 << 20)
    #expect(throws: MemoryError.self) { try CacheEvictor(pool: Self.pool, bytesPerThread: 1 << 50) }
    // A sixteenth of what the process may have, all threads together.
    let allowance = MemoryAllowance(physical: 1 << 34, addresses: 1 << 26)
    let most = 1 << 22
    #expect(
      throws: MemoryError.exceedsProbeShare(byteCount: 2 * most, allowance: allowance)
    ) { try CacheEvictor(pool: WorkerPool(threads: 2), bytesPerThread: most, allowance: allowance) }
    let evictor = try CacheEvictor(
      pool: WorkerPool(threads: 2), bytesPerThread: most / 2, allowance: allowance)
    #expect(evictor.byteCount == most)
  }

  /// Evicting works on the pool's threads: an engine with threads of its own gets them back awake.
  @Test func threadsOfTheEngineAreAwakeWhenItsSampleBegins() throws {
    let log = Log()
    var executor = try executor(["A", "b"], .network, log)
    _ = try executor.settle(before: 0, untimed: 2)
    // They come back to where they were: an engine that is told to rest may end its threads.
    #expect(log.takeRuns() == ["A wake 2", "A0", "A wake 2"])
    _ = try executor.settle(before: 1, untimed: 1)
    #expect(log.take() == ["A rest", "b1"])
    var warm = try self.executor(["A", "b"], .warm, log)
    _ = try warm.settle(before: 0, untimed: 1)
    // New threads work for a while before they are timed.
    let first = log.take()
    #expect(first.count > 3 && first[0] == "A wake 2" && first.dropFirst().allSatisfy { $0 == "A" })
    _ = try warm.settle(before: 0, untimed: 1)
    #expect(log.take() == ["A"])
    _ = try warm.execute(1, repetitions: 1, isWarmUp: true)
    #expect(log.take() == ["A rest", "b"])
  }

  /// The machine's speed is looked at on the pool's threads, whoever worked before.
  @Test func probesTakeTheThreads() throws {
    let log = Log()
    var executor = try executor(["A"], .warm, log, probe: PeakProbe(pool: Self.pool))
    _ = try executor.settle(before: 0, untimed: 1)
    executor.probeSpeed()
    #expect(log.takeRuns() == ["A wake 2", "A", "A rest"])
    #expect(executor.peaks.count == 1 && executor.peaks[0] > 0 && executor.probingSeconds > 0)
    // At least three in a visit; after that as much as the executions allow.
    for round in 0..<10 { _ = try executor.beginRound(round) }
    #expect((3...10).contains(executor.peaks.count))
  }

  /// Percents of the peak are of the peak of the same visits, whatever was measured at the beginning of the run.
  @Test func rowsAreComparedWithThePeakOfTheirVisits() throws {
    var settings = RunSettings(pool: Self.pool, baseline: "plugin", seed: 1)
    settings.sampling.budgetSeconds = 0.01
    var run = LayerRun(settings: settings, limits: MachineLimits(threads: 2, fmaPeak: 1, bandwidth: 1e9))
    let item = RunItem(
      suite: "s", problem: BenchmarkProblem(try ConvProblem(parsing: "conv2d:n1c2h5w5k2r3s3p1")),
      pass: .forward)
    var rows: [ResultRow]?
    for index in 0..<2 {
      let before = rows?[0].peakProbes ?? []
      rows = try run.rows(
        for: item, competitors: [Competitor(FakeBackend.plugin())],
        visit: Visit(index: index, of: 2), earlier: rows)
      let row = try #require(rows?.first)
      // At least three between the rounds of each visit, and one after the last.
      #expect(row.peakProbes.count >= before.count + 4 && row.peakProbes.starts(with: before))
      let own = Statistics.median(Array(row.peakProbes.dropFirst(before.count)))
      #expect(abs((run.visitPeak ?? 0) / own - 1) < 1e-4)
      let expected = row.gflopsEffective / Statistics.median(row.peakProbes) * 100
      #expect(abs(row.peakPercent / expected - 1) < 1e-9 && row.rooflineGflops == row.peakGflops)
    }
    #expect(run.ledger.probes > 0)
  }

  @Test func everyThreadOfAPoolHasItsPart() {
    let pool = Self.pool
    let parts = Mutex<[Int: [pthread_t]]>([:])
    let runs = 20
    for _ in 0..<runs {
      // A worker that polls would be there in time without being waited for; one that has fallen asleep is not.
      pool.rest()
      Thread.sleep(forTimeInterval: 1e-3)
      EveryThread.run(pool) { index in parts.withLock { $0[index, default: []].append(pthread_self()) } }
    }
    let seen = parts.withLock { $0 }
    #expect(seen.keys.sorted() == [0, 1] && seen.values.allSatisfy { $0.count == runs })
    // Without waiting for each other the first thread takes both parts nearly always; where other processes keep a thread from
    // running for 20 ms, now and then.
    let shared = zip(seen[0] ?? [], seen[1] ?? []).count { $0 == $1 }
    #expect(shared <= runs / 2, "\(shared) of \(runs) times one thread did both parts")
  }

  @Test func statesAreDefinedInWords() {
    for state in CacheState.allCases { #expect(state.definition.contains("untimed executions")) }
    #expect(Set(CacheState.allCases.map(\.definition)).count == 3)
  }
}
