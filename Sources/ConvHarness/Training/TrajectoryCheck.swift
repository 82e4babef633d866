import ConvAutograd
import ConvCore
import ConvNN
import ConvOptim

/// A stored float64 training trajectory with its envelopes, as References/README.md defines it.
public struct Trajectory: Sendable {
  /// Perturbation levels κ of the envelopes.
  public let levels: [Int]
  /// Seed of the initial weights.
  public let seed: UInt64
  /// Steps that are stored.
  public let steps: Int
  /// `sgd` or `adam` with its attributes.
  public let optimizer: [String: JSONValue]
  /// Names of the parameters in order.
  public let parameters: [String]
  /// The file.
  public let file: ReferenceFile

  /// Reads a trajectory of `seed-cnn`.
  ///
  /// - Throws: `FileError`.
  public init(path: String) throws {
    file = try ReferenceFile(path: path)
    guard file.op == "trajectory" else { throw file.malformed("operation is '\(file.op)', not 'trajectory'") }
    guard try file.attribute("network").string == "seed-cnn" else {
      throw file.malformed("the network is not seed-cnn")
    }
    steps = try file.integer("steps", least: 1)
    seed = UInt64(try file.integer("seed", least: 0))
    guard let levels = try file.attribute("levels").integers, !levels.isEmpty else {
      throw file.malformed("attribute 'levels' must be a list of integers")
    }
    self.levels = levels
    guard let optimizer = try file.attribute("optimizer").object else {
      throw file.malformed("attribute 'optimizer' must be an object")
    }
    self.optimizer = optimizer
    guard let names = try file.attribute("parameters").array?.compactMap(\.string), !names.isEmpty else {
      throw file.malformed("attribute 'parameters' must be a list of names")
    }
    parameters = names
  }

  /// Values of a float64 tensor with a given count.
  func values(_ name: String, count: Int) throws -> [Double] {
    let values = try file.tensor(name, .float64).values(as: Double.self)
    guard values.count == count else {
      throw file.malformed("tensor '\(name)' has \(values.count) elements, \(count) are needed")
    }
    return values
  }
}

/// Trains `seed-cnn` on a backend and compares loss, gradient norm and final parameters with a stored trajectory.
///
/// Each quantity may deviate by 4 × envelope + floor at the smallest level κ that covers the backend's error bounds.
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
        reason: "\(worst.quantity) is \(worst.found), \(worst.expected) ± \(worst.allowed) is expected")
    }
    return Verification(.passed, reason: "")
  }

  /// Trains `steps` steps (all that are stored unless said otherwise).
  ///
  /// - Throws: `FileError` about the references; what the backend throws.
  public init(
    _ competitor: Competitor, trajectory: Trajectory, batches: TrainingImages, steps: Int? = nil,
    pool: WorkerPool = .shared
  ) throws {
    let steps = min(steps ?? trajectory.steps, trajectory.steps)
    kappa = try TrajectoryCheck.kappa(of: competitor, pool: pool)
    let needed = kappa
    let level = trajectory.levels.sorted().first { Double($0) >= needed }
    self.level = level
    let model = try SeedCNN()
    try initialize(model, seed: trajectory.seed)
    let named = model.namedParameters()
    guard named.map(\.name) == trajectory.parameters else {
      throw trajectory.file.malformed("the network's parameters are \(named.map(\.name))")
    }
    startsEqual = try TrajectoryCheck.startsEqual(named, trajectory)
    let start = named.map { $0.parameter.value }
    let optimizer = try TrajectoryCheck.optimizer(trajectory, model.parameters())
    var losses: [Double] = []
    var norms: [Double] = []
    try withBackend(competitor.backend, variant: competitor.variant, pool: pool) {
      for batch in batches.batches.prefix(steps) {
        optimizer.zeroGrad()
        let loss = try CrossEntropyLoss()(model(Variable(batch.images)), batch.labels)
        try loss.backward()
        losses.append(Double(loss.value.scalar(as: Float.self)))
        norms.append(gradientNorm(model.parameters()))
        try optimizer.step()
      }
    }
    guard let level else {
      deviations = []
      return
    }
    var judge = try Judge(trajectory, level)
    try judge.steps(losses, norms)
    if steps == trajectory.steps { try judge.parameters(named.map(\.parameter.value), start) }
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

  /// κ = rms(error bound) / (u · rms(Σ|a·b|)) + 1, the largest over the network's convolutions and passes.
  ///
  /// - Throws: what planning throws; `ConvError.unsupported` where an error model does not describe its problem.
  public static func kappa(of competitor: Competitor, pool: WorkerPool = .shared) throws -> Double {
    var largest = 0.0
    for layer in BenchmarkSuite.seedCNN.problems {
      for pass in ConvPass.allCases {
        let operation = ConvOperation(pass, layer.problem)
        largest = max(largest, try kappa(of: competitor, operation, pool: pool))
      }
    }
    return largest
  }

  /// κ of one operation.
  static func kappa(of competitor: Competitor, _ operation: ConvOperation, pool: WorkerPool) throws -> Double
  {
    let (problem, pass) = (operation.problem, operation.pass)
    let data = try ProblemData(problem: problem, seed: 17, pool: pool)
    let plan = try competitor.backend.plan(
      for: operation, PlanOptions(threads: pool.threads, variant: competitor.variant))
    let grid = SampleGrid.stratified(problem, pass, atLeast: 256, seed: 17)
    let expectation = Expectation(grid: grid, data: data, pool: pool)
    guard let bounds = ErrorBounds(model: plan.errorModel, expectation: expectation, data: data, pool: pool)
    else {
      throw ConvError.unsupported(
        backend: competitor.backend.name, operation: "\(plan.operation)",
        reason: "its error model does not describe the problem")
    }
    let squares = expectation.magnitudes.reduce(0) { $0 + $1 * $1 }
    let magnitude = (squares / Double(expectation.magnitudes.count)).squareRoot()
    return bounds.rms / (0x1p-24 * magnitude) + 1
  }
}

/// Collects deviations by the rules of References/README.md, "How to judge a float32 run".
private struct Judge {
  private let trajectory: Trajectory
  private let level: Int
  private let u = 0x1p-24
  var deviations: [TrajectoryCheck.Deviation] = []

  init(_ trajectory: Trajectory, _ level: Int) throws {
    self.trajectory = trajectory
    self.level = level
  }

  private mutating func add(
    _ quantity: String, _ found: Double, _ expected: Double, _ envelope: Double, floor: Double
  ) {
    deviations.append(
      TrajectoryCheck.Deviation(
        quantity: quantity, found: found, expected: expected, allowed: 4 * envelope + floor))
  }

  mutating func steps(_ losses: [Double], _ norms: [Double]) throws {
    let count = trajectory.steps
    let loss = try trajectory.values("loss", count: count)
    let norm = try trajectory.values("grad_norm", count: count)
    let lossEnvelope = try trajectory.values("envelope.k\(level).loss", count: count)
    let normEnvelope = try trajectory.values("envelope.k\(level).grad_norm", count: count)
    for i in losses.indices {
      add("loss of step \(i + 1)", losses[i], loss[i], lossEnvelope[i], floor: 8 * u * (1 + abs(loss[i])))
      add("gradient norm of step \(i + 1)", norms[i], norm[i], normEnvelope[i], floor: 8 * u * norm[i])
    }
  }

  mutating func parameters(_ final: [Tensor], _ initial: [Tensor]) throws {
    let names = trajectory.parameters
    let count = names.count
    let normEnvelope = try trajectory.values("envelope.k\(level).norm", count: count)
    let updateEnvelope = try trajectory.values("envelope.k\(level).update_norm", count: count)
    let sampleEnvelope = try trajectory.values("envelope.k\(level).sample_distance", count: count)
    let maxEnvelope = try trajectory.values("envelope.k\(level).sample_max", count: count)
    let rounding = Double(trajectory.steps) * u
    for (i, name) in names.enumerated() {
      let values = final[i].values(as: Float.self).map(Double.init)
      let before = initial[i].values(as: Float.self).map(Double.init)
      let norm = try trajectory.values("norm.\(name)", count: 1)[0]
      add("norm of \(name)", length(values), norm, normEnvelope[i], floor: rounding * norm)
      let update = try trajectory.values("update_norm.\(name)", count: 1)[0]
      add(
        "update norm of \(name)", length(zip(values, before).map(-)), update, updateEnvelope[i],
        floor: rounding * norm)
      let indices = try trajectory.file.tensor("sample_indices.\(name)", .int64).values(as: Int64.self)
      let sample = try trajectory.values("sample.\(name)", count: indices.count)
      let differences = zip(indices, sample).map { values[Int($0)] - $1 }
      add(
        "sample of \(name)", length(differences) / length(sample), 0, sampleEnvelope[i], floor: rounding)
      if trajectory.optimizer["op"]?.string != "adam" {
        let largest = sample.map(abs).max() ?? 0
        add(
          "sampled entries of \(name)", differences.map(abs).max() ?? 0, 0, maxEnvelope[i],
          floor: rounding * largest)
      }
    }
  }

  private func length(_ values: [Double]) -> Double { values.reduce(0) { $0 + $1 * $1 }.squareRoot() }
}
