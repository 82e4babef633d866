/// Where the seconds of a run went.
public struct TimeLedger: Sendable, Hashable {
  /// Data, float64 sums, checked executions and bounds.
  public var verification = 0.0
  /// Planning and preparing filters.
  public var planning = 0.0
  /// Inside of the engines: warm-up and samples.
  public var kernels = 0.0
  /// Other libraries' threads fall asleep, caches are evicted.
  public var waiting = 0.0
  /// Full training steps and their trajectories.
  public var training = 0.0
  /// The limits of the machine.
  public var probes = 0.0
  /// From beginning to end.
  public var total = 0.0

  /// Nothing yet.
  public init() {}

  /// What the tool itself took: statistics, bookkeeping, files.
  public var tool: Double { max(0, total - verification - planning - kernels - waiting - training - probes) }

  /// Share of the run that was spent outside of engines and of what is asked of them: `tool` and `waiting` over `total`.
  public var overhead: Double { total > 0 ? (tool + waiting) / total : 0 }

  /// Names and seconds, in the order of reports.
  public var parts: [(name: String, seconds: Double)] {
    [
      ("verification", verification), ("planning", planning), ("kernels", kernels), ("waiting", waiting),
      ("training", training), ("probes", probes), ("tool", tool), ("total", total),
    ]
  }
}
