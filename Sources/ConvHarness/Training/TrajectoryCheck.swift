import ConvAutograd
import ConvCore
import ConvNN
import ConvOptim

/// Trains a network on a backend and compares it with a stored trajectory: after each step loss, gradient norm and the parameters'
/// distance, at the end the parameters one by one.
///
/// Each quantity may deviate by 4 × envelope + floor at the backend's κ (`EnvelopeScale`).
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
  /// All comparisons that decide.
  public let deviations: [Deviation]
  /// Step by step; without allowances where the bounds are above every stored level.
  public let steps: [TrajectoryStep]
  /// Where the first step that deviates went wrong first: a layer's input on the way forward, a parameter's gradient on the way
  /// back, or the update.
  public let divergence: String?
  /// Whether the initial weights were equal bit by bit.
  public let startsEqual: Bool

  /// The largest ratio; at most 1 passes.
  public var error: Double { deviations.map(\.ratio).max() ?? .nan }

  /// `passed`, `failed`, or `mistrusted` where the bounds are above every stored level.
  public var verification: Verification {
    guard level != nil else {
      return Verification(.mistrusted, reason: "κ = \(kappa) is above every stored level")
    }
    if !startsEqual { return Verification(.failed, reason: "the initial weights differ from the definition") }
    if let worst = deviations.max(by: { $0.ratio < $1.ratio }), !(worst.ratio <= 1) {
      return Verification(
        .failed,
        reason: "\(worst.quantity) is \(worst.found), \(worst.expected) ± \(worst.allowed) is expected"
          + (divergence.map { "; \($0)" } ?? ""))
    }
    return Verification(.passed, reason: "")
  }

  /// Trains `steps` steps (all that are stored unless said otherwise).
  ///
  /// - Parameters:
  ///   - fallback: runs the layers that the competitor declines.
  ///   - batches: the stored ones, `TrainingImages.reference`.
  /// - Throws: `FileError` about the references; what the backend throws.
  public init(
    _ competitor: Competitor, fallback: Competitor? = nil, trajectory: Trajectory, batches: TrainingImages,
    steps: Int? = nil, pool: WorkerPool = .shared
  ) throws {
    let steps = min(steps ?? trajectory.steps, trajectory.steps)
    let model = try trajectory.network.make()
    try initialize(model, seed: trajectory.seed)
    let named = model.namedParameters()
    guard named.map(\.name) == trajectory.parameters else {
      throw trajectory.file.malformed("the network's parameters are \(named.map(\.name))")
    }
    startsEqual = try TrajectoryCheck.startsEqual(named, trajectory)
    let start = named.map { $0.parameter.value }
    let optimizer = try TrajectoryCheck.optimizer(trajectory, model.parameters())
    let watch = try InputWatch(model, trajectory)
    let recorder = ExecutionRecorder()
    var records: [StepRecord] = []
    let images = try batches.fitted(to: trajectory.network, batch: trajectory.batch)
    try withBackend(
      competitor.backend, fallback: fallback?.backend, variant: competitor.variant,
      fallbackVariant: fallback?.variant, pool: pool, recorder: recorder
    ) {
      for batch in images.batches.prefix(steps) {
        optimizer.zeroGrad()
        let logits = try ModuleObservation.$observer.withValue(watch) { try model(Variable(batch.images)) }
        let loss = try CrossEntropyLoss()(logits, batch.labels)
        try loss.backward()
        let gradients = named.map { gradientNorm([$0.parameter]) }
        try optimizer.step()
        records.append(
          StepRecord(
            loss: Double(loss.value.scalar(as: Float.self)), inputs: watch.norms, gradients: gradients,
            samples: named.flatMap { StepRecord.sample($0.parameter.value) }))
      }
    }
    let layers = try LayerCheck.all(of: competitor, fallback, recorder.entries, pool: pool)
    let needed = layers.map(\.kappa).max() ?? 0
    kappa = needed
    level = trajectory.levels.sorted().first { Double($0) >= needed }
    var judge = TrajectoryJudge(trajectory, level, EnvelopeScale(needed, levels: trajectory.levels))
    self.steps = try judge.steps(records, sizes: named.map { $0.parameter.value.count })
    divergence = try judge.divergence(self.steps, records)
    if steps == trajectory.steps && level != nil {
      try judge.parameters(named.map(\.parameter.value), start)
    }
    deviations = judge.deviations
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

  private static func optimizer(_ trajectory: Trajectory, _ parameters: [Variable]) throws -> any Optimizer {
    let attributes = trajectory.optimizer
    func number(_ key: String) throws -> Double {
      guard let value = attributes[key]?.number else {
        throw trajectory.file.malformed("the optimizer lacks the number '\(key)'")
      }
      return value
    }
    switch attributes["op"]?.string {
    case "sgd":
      return try SGD(
        parameters, learningRate: number("lr"), momentum: number("momentum"), dampening: number("dampening"),
        weightDecay: number("weight_decay"), nesterov: attributes["nesterov"]?.bool ?? false)
    case "adam":
      guard let betas = attributes["betas"]?.array?.compactMap(\.number), betas.count == 2 else {
        throw trajectory.file.malformed("the optimizer's 'betas' must be two numbers")
      }
      return try Adam(
        parameters, learningRate: number("lr"), betas: (betas[0], betas[1]), eps: number("eps"),
        weightDecay: number("weight_decay"))
    default:
      throw trajectory.file.malformed("unknown optimizer \(attributes["op"]?.string ?? "without 'op'")")
    }
  }
}
