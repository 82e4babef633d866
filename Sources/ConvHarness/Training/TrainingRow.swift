import ConvCore
import ConvNN

/// One row of `training.csv`: full training steps of a network on one backend.
public struct TrainingRow: Sendable {
  public var network: String
  public var backend: String
  /// Whether the backend is an engine or chooses among engines, layer by layer. Rows of files without that column are read as engines'.
  public var role = Competitor.Role.engine
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
  /// Compared with the fastest engine, by paired steps; nil where no engine has a time.
  public var best: BestComparison?
  /// Why the backend cannot run the network, where it declines a layer.
  public var declined = ""
  /// Largest resident size of the process during a step, all backends' networks included; nil where the system does not say.
  public var residentBytes: Int?
  /// Memory of this network during a step: weights, gradients, the optimizer's state, activations and workspaces.
  public var pooledBytes: Int?
  /// Where a step's time goes: medians over some steps.
  public var layers: [LayerProfile.Layer] = []
  /// The steps beside the stored trajectory.
  public var trajectory: TrajectoryRecord?

  var stepSeconds: [Double] { zip(zip(forward, backward), optimizer).map { $0.0 + $0.1 + $1 } }

  /// Whether it has times and nothing is known to be wrong with it.
  var isTimed: Bool { !forward.isEmpty && problem.isEmpty && (trajectoryError ?? 0) <= 1 }

  /// The fastest engine of some rows, which are of one network.
  static func fastestEngine(_ rows: [TrainingRow]) -> TrainingRow? {
    rows.filter { $0.role == .engine && $0.isTimed }
      .min { Statistics.median($0.stepSeconds) < Statistics.median($1.stepSeconds) }
  }

  /// Compares the rows of one network with the baseline and with the fastest engine that is not known to be wrong. A chooser mixes
  /// engines, so that it took no engine's very plan.
  public static func compare(_ rows: inout [TrainingRow], baseline: String, seed: UInt64) {
    let reference = rows.first { $0.backend == baseline }
    let best = fastestEngine(rows)
    for i in rows.indices where !rows[i].forward.isEmpty {
      let own = rows[i].stepSeconds
      if let reference {
        rows[i].speedup =
          rows[i].backend == baseline
          ? .ofBaseline : Speedup(baseline: reference.stepSeconds, own: own, seed: seed)
      }
      rows[i].best = best.map {
        rows[i].backend == $0.backend
          ? .ofBest($0.backend)
          : BestComparison(backend: $0.backend, best: $0.stepSeconds, own: own, seed: seed)
      }
    }
  }

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
    ("declined", { $0.declined }),
    ("resident_bytes", { $0.residentBytes.map { "\($0)" } ?? "" }),
    ("pooled_bytes", { $0.pooledBytes.map { "\($0)" } ?? "" }),
    ("best_backend", { $0.best?.backend ?? "" }),
    ("ratio_to_best", { CSV.number($0.best?.ratio) }),
    ("ratio_to_best_low", { CSV.number($0.best?.low) }),
    ("ratio_to_best_high", { CSV.number($0.best?.high) }),
    ("verdict_best", { $0.best?.verdict.rawValue ?? "" }),
    ("role", { $0.role.rawValue }),
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
