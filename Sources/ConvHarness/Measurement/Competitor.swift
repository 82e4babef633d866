import ConvCore

/// An engine in a run, with the variant that it is to use.
public struct Competitor: Sendable {
  /// What a competitor is to the others.
  public enum Role: String, Sendable, Hashable, CaseIterable {
    /// It has plans of its own and can be the best.
    case engine
    /// Its plans are those of engines. It stands beside them: it is compared with the best and never is the best.
    case chooser
  }

  /// The name in rows: `winograd`, `winograd[tile=2x2]`; `winograd#2` competes with itself.
  public let label: String
  /// The name on the command line.
  public let selection: String
  /// The engine.
  public var backend: any ConvolutionBackend
  /// For `PlanOptions.variant`.
  public let variant: String?
  /// What the command line says besides to get this competitor, as in `--plan plan.json`; empty where it says nothing.
  public var options = ""
  /// What it is to the others.
  public var role: Role { backend.choosesEngines ? .chooser : .engine }

  /// The engine where it computes on threads of its own beside the pool's; nil where it uses the pool's.
  func threadOwner(pool: WorkerPool) -> (any ConvolutionBackend)? {
    backend.threading == .ownThreads && pool.threads > 1 ? backend : nil
  }

  /// An engine; its label is its name, with the variant in brackets where there is one.
  ///
  /// - Parameter copy: 2 and up where the same engine and variant takes part once more: what two copies differ by is noise.
  public init(_ backend: any ConvolutionBackend, variant: String? = nil, copy: Int = 1) {
    self.backend = backend
    self.variant = variant
    selection = variant.map { "\(backend.name)[\($0)]" } ?? backend.name
    label = copy > 1 ? "\(selection)#\(copy)" : selection
  }
}

/// One thing to measure: a problem of a suite, in one pass, format and filter state.
public struct RunItem: Sendable, Hashable {
  public var suite: String
  public var problem: BenchmarkProblem
  public var pass: ConvPass
  public var format: MemoryFormat
  public var filterState: FilterState

  /// The format where none is named: that of networks.
  public static let standardFormat = MemoryFormat.nhwc

  /// An item of a run.
  public init(
    suite: String, problem: BenchmarkProblem, pass: ConvPass, format: MemoryFormat = standardFormat,
    filterState: FilterState = .fresh
  ) {
    self.suite = suite
    self.problem = problem
    self.pass = pass
    self.format = format
    self.filterState = filterState
  }

  /// The operation; filters stay in the network's own format.
  public var operation: ConvOperation {
    ConvOperation(pass, problem.problem, inputFormat: format, outputFormat: format)
  }
}

/// How a run is carried out.
public struct RunSettings: Sendable {
  /// Threads.
  public var pool: WorkerPool
  /// The competitor that the others are compared with.
  public var baseline: String
  /// Seed of the data, of the sampling and of the bootstrap.
  public var seed: UInt64
  /// How the operands' elements are distributed.
  public var distribution: DataDistribution
  /// How long and how often competitors are sampled.
  public var sampling = SamplingLimits()
  /// What the caches hold when a sample begins. All but warm samples are single executions.
  public var cache = CacheState.warm {
    didSet { sampling.leastSampleSeconds = cache.allowsRepetition ? SamplingLimits().leastSampleSeconds : 0 }
  }
  /// Bytes of workspace that plans may ask for; engines obey or decline.
  public var workspaceLimit = PlanOptions().workspaceLimit
  /// What rows' predicted times are made from; without prices rows predict nothing.
  public var prices: WorkPrices?

  /// Settings for a thorough run.
  public init(
    pool: WorkerPool = .shared, baseline: String = "im2col", seed: UInt64 = 1,
    sampling: SamplingLimits = SamplingLimits(), distribution: DataDistribution = .uniform
  ) {
    self.pool = pool
    self.baseline = baseline
    self.seed = seed
    self.distribution = distribution
    self.sampling = sampling
  }
}

/// Whether this build's times mean anything.
public enum BuildConfiguration {
  /// Whether the package was built without optimisation, so that commands refuse to time.
  public static var isDebug: Bool {
    #if DEBUG
      !timesInDebug
    #else
      false
    #endif
  }

  /// Lets a debug build time all the same; to be set before the first command, and only by a test's executable whose engines sleep:
  /// what these take does not depend on how they were compiled, and in a checkout whatever takes the times is optimised.
  package nonisolated(unsafe) static var timesInDebug = false
}
