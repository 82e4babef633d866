import ConvAutograd
import ConvCore
import ConvNN
import ConvOptim

/// Trains a network on a backend and compares it with a stored trajectory: after each step loss, gradient norm, the parameters'
/// distance and of each parameter the median distance of sampled entries, at the end the parameters one by one; and each operation
/// by itself (`LayerCheck`).
///
/// Each quantity may deviate by what the envelopes allow and a floor at the backend's κ (`EnvelopeScale`).
public struct TrajectoryCheck: Sendable {
  /// One compared quantity.
  public struct Deviation: Sendable {
    /// As in `loss of step 3`.
    public var quantity: String
    public var found: Double
    public var expected: Double
    public var allowed: Double
    /// |found − expected| / allowed.
    public var ratio: Double { found.isFinite ? abs(found - expected) / allowed : .infinity }
  }

  /// κ of the backend, and the level that it was judged by.
  public let kappa: Double
  public let level: Int?
  /// What was compared of the whole steps and of the parameters at the end.
  public let quantities: [Deviation]
  /// What was compared of each operation by itself (`LayerCheck`).
  public let operations: [Deviation]
  /// Step by step; without allowances where the bounds are above every stored level.
  public let steps: [TrajectoryStep]
  /// Where the first step that deviates went wrong first: a layer's input on the way forward, a parameter's gradient on the way
  /// back, or the update.
  public let divergence: String?
  /// Whether the initial weights were equal bit by bit.
  public let startsEqual: Bool
  /// Which operation would pass a wrong result, and why; nil where none would.
  public let doubt: String?

  /// All comparisons that decide.
  public var deviations: [Deviation] { operations + quantities }

  /// The largest ratio; at most 1 passes.
  public var error: Double { deviations.map(\.ratio).max() ?? .nan }

  /// `passed`, `failed`, or `mistrusted` where the bounds are above every stored level or an operation would pass wrong results.
  public var verification: Verification {
    if !startsEqual { return Verification(.failed, reason: "the initial weights differ from the definition") }
    let unjudged = level == nil ? "2·κ = \(2 * kappa) is above every stored level" : nil
    return Verification(deviations, hint: divergence, doubt: doubt ?? unjudged)
  }

  /// Trains `steps` steps (all that are stored unless said otherwise).
  ///
  /// - Parameters:
  ///   - fallback: runs the layers that the competitor declines.
  ///   - batches: the stored ones, `TrainingImages.reference`.
  ///   - setup: how it is trained; as the reference defines it unless something else is to be judged.
  /// - Throws: `FileError` about the references; what the backend and the setup throw.
  public init(
    _ competitor: Competitor, fallback: Competitor? = nil, trajectory: Trajectory, batches: TrainingImages,
    steps: Int? = nil, setup: TrainingSetup = TrainingSetup(), pool: WorkerPool = .shared
  ) throws {
    let steps = min(steps ?? trajectory.steps, trajectory.steps)
    let model = try setup.model(trajectory.network)
    try initialize(model, seed: trajectory.seed)
    let named = model.namedParameters()
    guard named.map(\.name) == trajectory.parameters else {
      throw trajectory.file.malformed("the network's parameters are \(named.map(\.name))")
    }
    startsEqual = try TrajectoryCheck.startsEqual(named, trajectory)
    let start = named.map { $0.parameter.value }
    let optimizer = try setup.optimizer(named, trajectory.optimizer)
    let watch = try InputWatch(model, trajectory)
    let recorder = ExecutionRecorder()
    var records: [StepRecord] = []
    let images = try batches.fitted(to: trajectory.network, batch: trajectory.batch)
    try withBackend(
      competitor.backend, fallback: fallback?.backend, variant: competitor.variant,
      fallbackVariant: fallback?.variant, pool: pool, recorder: recorder
    ) {
      for step in 0..<min(steps, images.batches.count) {
        for (_, parameter) in named { parameter.zeroGrad() }
        let batch = try setup.batch(images.batches, step)
        let loss = try ModuleObservation.$observer.withValue(watch) { try setup.gradients(model, batch).loss }
        let gradients = named.map { gradientNorm([$0.parameter]) }
        try optimizer.step()
        records.append(
          StepRecord(
            loss: Double(loss.value.scalar(as: Float.self)), inputs: watch.norms, gradients: gradients,
            samples: named.flatMap { StepRecord.sample($0.parameter.value) }))
      }
    }
    let layers = try LayerCheck.all(of: competitor, fallback, recorder.entries, pool: pool)
    operations = layers.flatMap(\.deviations)
    doubt = layers.doubt
    kappa = layers.kappa
    let scale = EnvelopeScale(kappa, levels: trajectory.levels)
    level = scale?.level
    var judge = TrajectoryJudge(trajectory, scale)
    self.steps = try judge.steps(records, start)
    divergence = try judge.divergence(self.steps, records)
    if steps == trajectory.steps && level != nil {
      try judge.parameters(named.map(\.parameter.value), start)
    }
    quantities = judge.deviations
  }

  private static func startsEqual(
    _ named: [(name: String, parameter: Variable)], _ trajectory: Trajectory
  ) throws -> Bool {
    try named.allSatisfy { name, parameter in
      let indices = try trajectory.file.tensor("sample_indices.\(name)", .int64).values(as: Int64.self)
      let expected = try trajectory.file.tensor("initial_sample.\(name)", .float32).values(as: Float.self)
      let values = parameter.value.values(as: Float.self)
      guard indices.count == expected.count, indices.allSatisfy({ values.indices.contains(Int($0)) }) else {
        throw trajectory.file.malformed("the sample of '\(name)' does not fit the parameter")
      }
      return zip(indices, expected).allSatisfy { values[Int($0)].bitPattern == $1.bitPattern }
    }
  }
}
