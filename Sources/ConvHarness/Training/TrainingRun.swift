import ConvAutograd
import ConvCore
import ConvNN
import ConvOptim

/// Full training steps of a network with Adam, interleaved over backends in turns: steps 1 to 4 on each, steps 5 to 8 on each, ….
///
/// The first step of a turn is not timed: it begins with what another backend left in the caches, the others with what the
/// backend itself did, as in a training of its own.
public struct TrainingRun {
  /// Steps of a backend in a row.
  static let turn = 4

  /// Seed, pool and baseline.
  public let settings: RunSettings
  /// Seconds of steps of all backends together, the first of each left out; each may use an equal share, and gets two steps in any case.
  public let secondsLimit: Double
  /// What is trained.
  public let network: ImageNetwork
  /// Runs the layers that a backend declines; without one such a backend cannot run the network.
  public let fallback: Competitor?

  /// A run with known settings, of `seed-cnn` unless said otherwise.
  public init(
    settings: RunSettings, secondsLimit: Double, network: ImageNetwork = .all[0],
    fallback: Competitor? = nil
  ) {
    self.settings = settings
    self.secondsLimit = secondsLimit
    self.network = network
    self.fallback = fallback
  }

  /// The turns of that many steps: a single step that is left over belongs to the last one, since it could not be timed by itself.
  static func turns(of count: Int) -> [Range<Int>] {
    let starts = Array(stride(from: 0, to: max(count - 1, min(count, 1)), by: turn))
    return starts.indices.map { starts[$0]..<($0 + 1 < starts.count ? starts[$0 + 1] : count) }
  }

  /// Trains on the batches. The first step of each turn is not timed (in the very first one plans are made and memory is fetched); after
  /// the last one follow some without an update, in which each layer is timed and memory is looked at.
  ///
  /// - Parameters:
  ///   - seesPeak: is told what the machine could do at best before each turn, GFLOP/s of all threads.
  ///   - progress: is told before each step of which competitor it is, and that in words.
  /// - Throws: what making a model throws; what an engine throws is in its row.
  public func rows(
    _ images: TrainingImages, competitors: [Competitor], shouldStop: () -> Bool = { false },
    seesPeak: (Double) -> Void = { _ in }, progress: (Int, String) -> Void = { _, _ in }
  ) throws -> [TrainingRow] {
    let batch = images.batches.first?.labels.count ?? 0
    let trainees = try competitors.map { competitor in
      var row = TrainingRow(
        network: network.name, backend: competitor.label, threads: settings.pool.threads, batch: batch,
        steps: 0)
      row.role = competitor.role
      return try Trainee(competitor, self, row: row)
    }
    // Whoever comes after a library that polls for work would share the processors with it.
    var threads = ThreadHandover(pool: settings.pool)
    let share = secondsLimit / Double(max(1, trainees.count))
    let probe = PeakProbe(pool: settings.pool)
    for turn in TrainingRun.turns(of: images.batches.count) {
      if !BuildConfiguration.isDebug && !shouldStop() {
        threads.hand(to: nil)
        seesPeak(probe.gflops())
      }
      for (index, trainee) in trainees.enumerated() {
        for number in turn where trainee.isRunning {
          // Slow engines stop at their share of the time, so that the fast ones get their steps.
          if number > 1 && trainee.spent > share { break }
          if shouldStop() { break }
          progress(index, "\(network.name), step \(number + 1) on \(trainee.competitor.label)")
          threads.hand(to: trainee.competitor.threadOwner(pool: settings.pool))
          trainee.attempt { try trainee.step(images.batches[number], timed: number > turn.lowerBound) }
        }
      }
    }
    for trainee in trainees where trainee.isRunning && !trainee.row.forward.isEmpty && !shouldStop() {
      if let data = images.batches.first { trainee.attempt { try trainee.profile(data) } }
    }
    for trainee in trainees {
      trainee.row.fallbacks = Array(Set(trainee.recorder.entries.filter(\.isFallback).map(\.executedBy)))
        .sorted()
    }
    var rows = trainees.map(\.row)
    TrainingRow.compare(&rows, baseline: settings.baseline, seed: settings.seed)
    return rows
  }
}

/// A network on one backend.
private final class Trainee {
  let competitor: Competitor
  let recorder = ExecutionRecorder()
  var row: TrainingRow
  private let run: TrainingRun
  private let model: any Module
  private let optimizer: Adam
  /// Seconds of all steps but the first.
  private(set) var spent = 0.0
  /// Bytes of the pool that the network holds between steps.
  private var heldBytes: Int

  init(_ competitor: Competitor, _ run: TrainingRun, row: TrainingRow) throws {
    self.competitor = competitor
    self.run = run
    self.row = row
    let before = BufferPool.shared.usedBytes
    model = try run.network.make()
    try initialize(model, seed: run.settings.seed)
    optimizer = try Adam(model.parameters(), learningRate: 0.001)
    heldBytes = BufferPool.shared.usedBytes - before
  }

  var isRunning: Bool { row.problem.isEmpty && row.declined.isEmpty }

  /// Runs `body` on the backend; an error ends this network's part, and is told in its row.
  func attempt(_ body: () throws -> Void) {
    do {
      try withBackend(
        competitor.backend, fallback: run.fallback?.backend, variant: competitor.variant,
        fallbackVariant: run.fallback?.variant, pool: run.settings.pool, recorder: recorder, body)
    } catch let error as ConvError {
      if case .unsupported = error { row.declined = "\(error)" } else { row.problem = "\(error)" }
    } catch {
      row.problem = "\(error)"
    }
  }

  func step(_ data: (images: Tensor, labels: Tensor), timed: Bool) throws {
    let before = BufferPool.shared.usedBytes
    var last = ContinuousClock.now
    func lap() -> Double {
      let now = ContinuousClock.now
      defer { last = now }
      return (now - last).seconds
    }
    optimizer.zeroGrad()
    let logits = try model(Variable(data.images))
    let loss = try CrossEntropyLoss()(logits, data.labels)
    let forward = lap()
    try loss.backward()
    let backward = lap()
    try optimizer.step()
    let seconds = lap()
    row.losses.append(Double(loss.value.scalar(as: Float.self)))
    row.steps += 1
    if timed {
      row.forward.append(forward)
      row.backward.append(backward)
      row.optimizer.append(seconds)
    }
    if row.steps == 1 {
      // Gradients and moments stay.
      heldBytes += BufferPool.shared.usedBytes - before
    } else {
      spent += forward + backward + seconds
    }
  }

  /// Forward and backward with timestamps per layer: three times where that takes less than two seconds, else once.
  func profile(_ data: (images: Tensor, labels: Tensor)) throws {
    let before = BufferPool.shared.usedBytes
    BufferPool.shared.resetPeak()
    MemoryProbe.resetPeak()
    var profiles: [LayerProfile] = []
    let count = Statistics.median(row.stepSeconds) * 3 < 2 ? 3 : 1
    for _ in 0..<count {
      optimizer.zeroGrad()
      profiles.append(
        try model.profiledStep(Variable(data.images)) { try CrossEntropyLoss()($0, data.labels) }.profile)
    }
    row.pooledBytes = heldBytes + BufferPool.shared.peakUsedBytes - before
    row.residentBytes = MemoryProbe.peakBytes
    row.layers = LayerProfile.medians(profiles)
  }
}

extension LayerProfile {
  /// The layers of the first with the medians of all, which are of equal calls.
  static func medians(_ profiles: [LayerProfile]) -> [Layer] {
    guard let first = profiles.first else { return [] }
    return first.layers.indices.map { index in
      var layer = first.layers[index]
      layer.forward = Statistics.median(profiles.map { $0.layers[index].forward })
      layer.backward = Statistics.median(profiles.map { $0.layers[index].backward })
      return layer
    }
  }
}
