public import ConvCore
public import ConvHarness

/// Verifies engines on one problem: all of them on the same data and expectations, and where a verdict is `mistrusted` again on
/// other data.
public final class SharpnessTrial {
  /// The data of the first attempt and of its repetitions; the seeds differ too.
  public static let repetitions: [DataDistribution] = [.uniform, .normal, .offset, .sparse]

  /// The problem.
  public let problem: ConvProblem
  private let distributions: [DataDistribution]
  private let seed: UInt64
  private let pool: WorkerPool
  private var data: [Int: ProblemData] = [:]
  private struct Key: Hashable { let pass: ConvPass, attempt: Int }
  private var expectations: [Key: Expectation] = [:]

  /// A problem's trial; nothing is computed before it is asked for.
  ///
  /// - Parameter distributions: of the attempts, one after the other.
  public init(
    _ problem: ConvProblem, distributions: [DataDistribution] = repetitions, seed: UInt64 = 1,
    pool: WorkerPool = .shared
  ) {
    self.problem = problem
    self.distributions = distributions
    self.seed = seed
    self.pool = pool
  }

  /// A verdict, the number of attempts that it took, and the data of the last one.
  public struct Finding: Sendable {
    /// Of the last attempt: the first that is not `mistrusted`, where there is one.
    public let verification: Verification
    /// 1 where the first verdict counts.
    public let attempts: Int
    /// The last attempt's data.
    public let distribution: DataDistribution

    /// As a trial finds it.
    public init(verification: Verification, attempts: Int, distribution: DataDistribution) {
      self.verification = verification
      self.attempts = attempts
      self.distribution = distribution
    }
  }

  /// The verdict on an engine.
  ///
  /// - Throws: what data and expectations throw (`MemoryError`).
  public func judge(
    _ backend: any ConvolutionBackend, _ pass: ConvPass, _ format: MemoryFormat, variant: String? = nil
  ) throws -> Finding {
    // Filters in the network's own format, as in runs.
    let operation = ConvOperation(pass, problem, inputFormat: format, outputFormat: format)
    let options = PlanOptions(threads: pool.threads, variant: variant)
    let verifier = Verifier(pool: pool)
    if let reason = backend.support(for: operation, options).reason {
      return Finding(
        verification: Verification(.unsupported, reason: reason), attempts: 0, distribution: distributions[0])
    }
    var attempt = 0
    while true {
      let (data, expectation) = try prepared(pass, attempt)
      let verification = verifier.verify(backend, operation, options, data: data, expectation: expectation)
      attempt += 1
      if verification.verdict != .mistrusted || attempt == distributions.count {
        return Finding(
          verification: verification, attempts: attempt, distribution: distributions[attempt - 1])
      }
    }
  }

  /// Computed once per pass and attempt: the oracle is what takes time.
  private func prepared(_ pass: ConvPass, _ attempt: Int) throws -> (ProblemData, Expectation) {
    let seed = seed &+ UInt64(attempt)
    let data =
      try self.data[attempt]
      ?? ProblemData(problem: problem, distribution: distributions[attempt], seed: seed, pool: pool)
    self.data[attempt] = data
    let key = Key(pass: pass, attempt: attempt)
    let expectation = try expectations[key] ?? Expectation(of: pass, data: data, seed: seed, pool: pool)
    expectations[key] = expectation
    return (data, expectation)
  }
}
