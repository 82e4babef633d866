import ConvAutograd
import ConvCore
import ConvNN
import ConvOptim

/// One row of `training.csv`: full training steps of a network on one backend.
public struct TrainingRow: Sendable {
  public var network: String
  public var backend: String
  public var threads: Int
  public var batch: Int
  public var steps: Int
  /// Seconds per step and per part, one entry per timed step.
  public var forward: [Double] = []
  public var backward: [Double] = []
  public var optimizer: [Double] = []
  public var losses: [Double] = []
  /// The largest deviation from the stored trajectory as a fraction of what is allowed; at most 1 passes.
  public var trajectoryError: Double?
  /// What is wrong, where something is.
  public var problem = ""
  /// What ran on another engine than the one named.
  public var fallbacks: [String] = []
  /// Compared with the baseline, by paired steps.
  public var speedup: Speedup?

  var stepSeconds: [Double] { zip(zip(forward, backward), optimizer).map { $0.0 + $0.1 + $1 } }

  private static let columns: [(name: String, value: @Sendable (TrainingRow) -> String)] = [
    ("network", { $0.network }),
    ("backend", { $0.backend }),
    ("threads", { "\($0.threads)" }),
    ("batch", { "\($0.batch)" }),
    ("steps", { "\($0.steps)" }),
    ("step_median_ms", { milliseconds($0.stepSeconds) }),
    ("forward_ms", { milliseconds($0.forward) }),
    ("backward_ms", { milliseconds($0.backward) }),
    ("optimizer_ms", { milliseconds($0.optimizer) }),
    (
      "images_per_s",
      { $0.forward.isEmpty ? "" : CSV.number(Double($0.batch) / Statistics.median($0.stepSeconds)) }
    ),
    ("loss_first", { CSV.number($0.losses.first) }),
    ("loss_last", { CSV.number($0.losses.last) }),
    ("trajectory_error", { CSV.number($0.trajectoryError) }),
    ("speedup", { CSV.number($0.speedup?.ratio) }),
    ("speedup_low", { CSV.number($0.speedup?.low) }),
    ("speedup_high", { CSV.number($0.speedup?.high) }),
    ("verdict_speed", { $0.speedup?.verdict.rawValue ?? "" }),
    ("fallbacks", { $0.fallbacks.joined(separator: "; ") }),
    ("problem", { $0.problem }),
  ]

  private static func milliseconds(_ seconds: [Double]) -> String {
    CSV.number(Statistics.median(seconds) * 1e3)
  }

  /// `training.csv`.
  public static func csv(_ rows: [TrainingRow]) -> String {
    CSV.text(header: columns.map(\.name), rows: rows.map { row in columns.map { $0.value(row) } })
  }

  /// The values by column name.
  var fields: [(String, String)] { TrainingRow.columns.map { ($0.name, $0.value(self)) } }
}

/// Full training steps of `seed-cnn` with Adam, interleaved over backends: step 1 on each, step 2 on each, ….
public struct TrainingRun {
  private final class Trainee {
    let competitor: Competitor
    let model: SeedCNN
    let optimizer: Adam
    let recorder = ExecutionRecorder()
    var row: TrainingRow

    init(_ competitor: Competitor, seed: UInt64, row: TrainingRow) throws {
      self.competitor = competitor
      model = try SeedCNN()
      try initialize(model, seed: seed)
      optimizer = try Adam(model.parameters(), learningRate: 0.001)
      self.row = row
    }
  }

  /// Seed, pool and baseline.
  public let settings: RunSettings
  /// Seconds of timed steps of all backends together; each may use an equal share, and gets two steps in any case.
  public let secondsLimit: Double

  /// A run with known settings.
  public init(settings: RunSettings, secondsLimit: Double) {
    self.settings = settings
    self.secondsLimit = secondsLimit
  }

  /// Trains on the batches. The first step of each backend is warm-up (plans are made, memory is fetched) and not timed.
  ///
  /// - Throws: what making a model throws; what an engine throws is in its row.
  public func rows(
    _ images: TrainingImages, competitors: [Competitor], shouldStop: () -> Bool = { false },
    progress: (String) -> Void = { _ in }
  ) throws -> [TrainingRow] {
    let batch = images.batches.first?.labels.count ?? 0
    let trainees = try competitors.map { competitor in
      try Trainee(
        competitor, seed: settings.seed,
        row: TrainingRow(
          network: "seed-cnn", backend: competitor.label, threads: settings.pool.threads, batch: batch,
          steps: 0))
    }
    for (number, data) in images.batches.enumerated() {
      // Slow engines stop at their share of the time, so that the fast ones get their steps.
      for trainee in trainees where trainee.row.problem.isEmpty {
        let spent = trainee.row.stepSeconds.reduce(0, +)
        let share = secondsLimit / Double(max(1, trainees.count))
        if number > 1 && spent > share { continue }
        if shouldStop() { break }
        progress("seed-cnn, step \(number + 1) on \(trainee.competitor.label)")
        do {
          try withBackend(
            trainee.competitor.backend, variant: trainee.competitor.variant, pool: settings.pool,
            recorder: trainee.recorder
          ) { try step(trainee, data, timed: number > 0) }
        } catch {
          trainee.row.problem = "\(error)"
        }
      }
    }
    for trainee in trainees {
      trainee.row.fallbacks = Array(Set(trainee.recorder.entries.filter(\.isFallback).map(\.executedBy)))
        .sorted()
    }
    var rows = trainees.map(\.row)
    compare(&rows)
    return rows
  }

  private func step(_ trainee: Trainee, _ data: (images: Tensor, labels: Tensor), timed: Bool) throws {
    var last = ContinuousClock.now
    func lap() -> Double {
      let now = ContinuousClock.now
      defer { last = now }
      return (now - last).seconds
    }
    trainee.optimizer.zeroGrad()
    let logits = try trainee.model(Variable(data.images))
    let loss = try CrossEntropyLoss()(logits, data.labels)
    let forward = lap()
    try loss.backward()
    let backward = lap()
    try trainee.optimizer.step()
    let optimizer = lap()
    trainee.row.losses.append(Double(loss.value.scalar(as: Float.self)))
    trainee.row.steps += 1
    if timed {
      trainee.row.forward.append(forward)
      trainee.row.backward.append(backward)
      trainee.row.optimizer.append(optimizer)
    }
  }

  private func compare(_ rows: inout [TrainingRow]) {
    guard let baseline = rows.first(where: { $0.backend == settings.baseline }) else { return }
    for i in rows.indices where !rows[i].forward.isEmpty {
      rows[i].speedup =
        rows[i].backend == settings.baseline
        ? .ofBaseline
        : Speedup(baseline: baseline.stepSeconds, own: rows[i].stepSeconds, seed: settings.seed)
    }
  }
}
