import ConvAutograd
import ConvCore
import ConvNN

/// One stored float64 training step of a network with its envelopes, as References/README.md defines it.
public struct NetworkReference: Sendable {
  /// The network.
  public let network: ImageNetwork
  /// Seeds of the initial weights and of the images.
  public let seed: UInt64, imageSeed: UInt64
  /// Images of the step.
  public let batch: Int
  /// Perturbation levels κ of the envelopes.
  public let levels: [Int]
  /// What is stored: `loss`, `logits`, `grad_norm.conv1.weight`, …, in the order of the envelopes.
  public let quantities: [String]
  /// The file.
  public let file: ReferenceFile

  /// Reads a reference.
  ///
  /// - Throws: `FileError`.
  public init(path: String) throws {
    file = try ReferenceFile(path: path)
    guard file.op == "network" else { throw file.malformed("operation is '\(file.op)', not 'network'") }
    try file.allowAttributes(
      ["network", "seed", "batch", "side", "images", "levels", "runs", "quantities"])
    let name = try file.attribute("network").string ?? ""
    guard let network = ImageNetwork.named(name) else { throw file.malformed("unknown network '\(name)'") }
    self.network = network
    guard try file.integer("side", least: 1) == network.side else {
      throw file.malformed("the images' side is not \(network.side)")
    }
    seed = UInt64(try file.integer("seed", least: 0))
    batch = try file.integer("batch", least: 1)
    let images = try file.attribute("images")
    guard let imageSeed = images["seed"]?.integer, imageSeed >= 0, images["stream"]?.integer == 0 else {
      throw file.malformed("attribute 'images' must have a seed, and the stream 0")
    }
    self.imageSeed = UInt64(imageSeed)
    guard let levels = try file.attribute("levels").integers, !levels.isEmpty else {
      throw file.malformed("attribute 'levels' must be a list of integers")
    }
    self.levels = levels
    guard let quantities = try file.attribute("quantities").array?.compactMap(\.string), !quantities.isEmpty
    else { throw file.malformed("attribute 'quantities' must be a list of names") }
    self.quantities = quantities
  }

  /// Images in 0...1 and labels 0, 1, ….
  func data(_ elementType: ElementType, _ format: MemoryFormat) throws -> (images: Tensor, labels: Tensor) {
    var images = try TestData.tensor(
      network.inputShape(batch: batch), elementType: .float32, .uniform, seed: imageSeed, operand: .input)
    let count = images.count
    images.withUnsafeMutablePointer(as: Float.self) { for i in 0..<count { $0[i] = ($0[i] + 1) / 2 } }
    return (
      try images.converted(to: elementType).converted(to: format),
      try Tensor((0..<batch).map { Int64($0 % 10) }, shape: [batch])
    )
  }

  /// The stored values of one quantity.
  func values(_ quantity: String) throws -> [Double] {
    try file.tensor(quantity, .float64).values(as: Double.self)
  }
}

/// One training step of a network on a backend, compared with a stored one: loss, logits, and of every parameter the gradient's
/// norm and a sample of it, of every running statistic a sample; and each layer by itself (`LayerCheck`).
///
/// In float32 each may deviate by what the envelopes allow and a floor at the backend's κ (`EnvelopeScale`), in float64 by 2⁻²⁹ of that, the quotient
/// of the unit roundoffs, and as much again for the stored values, which a float64 run has made too.
public struct NetworkCheck: Sendable {
  /// κ of the engines, and the stored level that they are judged by; nil where 2·κ is above all.
  public let kappa: Double, level: Int?
  /// What was compared of the step: distances in norm.
  public let quantities: [TrajectoryCheck.Deviation]
  /// What was compared of each operation by itself (`LayerCheck`).
  public let operations: [TrajectoryCheck.Deviation]
  /// Which operation would pass a wrong result, and why; nil where none would.
  public let doubt: String?

  /// All comparisons that decide.
  public var deviations: [TrajectoryCheck.Deviation] { operations + quantities }

  /// `passed`, `failed`, or `mistrusted` where the bounds are above every stored level or an operation would pass wrong results.
  public var verification: Verification {
    let unjudged = level == nil ? "2·κ = \(2 * kappa) is above every stored level" : nil
    return Verification(deviations, doubt: doubt ?? unjudged)
  }

  /// Makes the step.
  ///
  /// - Parameters:
  ///   - fallback: runs the layers that the competitor declines.
  ///   - setup: how the step is made, but for its optimizer, which it does not reach.
  /// - Throws: `FileError` about the reference; what the backend and the setup throw.
  public init(
    _ competitor: Competitor, fallback: Competitor? = nil, reference: NetworkReference,
    elementType: ElementType = .float32, format: MemoryFormat = .nhwc,
    setup: TrainingSetup = TrainingSetup(), pool: WorkerPool = .shared
  ) throws {
    let model = try setup.model(reference.network)
    try initialize(model, seed: reference.seed)
    try model.convert(to: elementType)
    let batch = try setup.batch([reference.data(elementType, format)], 0)
    let recorder = ExecutionRecorder()
    let found = try withBackend(
      competitor.backend, fallback: fallback?.backend, variant: competitor.variant,
      fallbackVariant: fallback?.variant, pool: pool, recorder: recorder
    ) { try NetworkCheck.step(model) { try setup.gradients(model, batch) } }

    let layers = try LayerCheck.all(of: competitor, fallback, recorder.entries, pool: pool)
    (kappa, doubt, operations) = (layers.kappa, layers.doubt, layers.flatMap(\.deviations))
    let scale = EnvelopeScale(kappa, levels: reference.levels)
    level = scale?.level
    let sizes = Dictionary(model.namedParameters().map { ($0.name, $0.parameter.value.count) }) { $1 }
    quantities =
      try scale.map {
        try reference.judge($0, kappa: layers.kappa, elementType, sizes: sizes) { quantity in
          let values = try NetworkCheck.values(of: quantity, in: found)
          guard quantity.contains("_sample.") else { return values }
          let count = try reference.values(quantity).count
          return (0..<count).map { values[$0 * values.count / count] }
        }
      } ?? []
  }

  /// Loss, logits, gradients and running statistics by name.
  private static func step(
    _ model: any Module, _ body: () throws -> (loss: Variable, logits: Variable)
  ) throws -> [String: [Double]] {
    let (loss, logits) = try body()
    func doubles(_ tensor: Tensor) throws -> [Double] {
      try tensor.converted(to: .float64).values(as: Double.self)
    }
    var found = ["loss": try doubles(loss.value), "logits": try doubles(logits.value)]
    for (name, parameter) in model.namedParameters() {
      found["grad.\(name)"] = try parameter.grad.map(doubles)
    }
    for (name, buffer) in model.namedBuffers() where buffer.value.elementType != .int64 {
      found["buffer.\(name)"] = try doubles(buffer.value)
    }
    return found
  }

  private static func values(of quantity: String, in found: [String: [Double]]) throws -> [Double] {
    let key =
      quantity.replacing("grad_norm.", with: "grad.").replacing("grad_sample.", with: "grad.")
      .replacing("buffer_sample.", with: "buffer.")
    guard let values = found[key] else { throw ConvError.operand("the network has no '\(key)'") }
    return quantity.hasPrefix("grad_norm.") ? [length(values)] : values
  }
}

extension NetworkReference {
  /// Of running statistics, which begin at 0 and 1.
  private static let momentum = 0.1

  /// The stored quantities beside those of a step at κ.
  ///
  /// - Parameters:
  ///   - sizes: elements of each parameter.
  ///   - found: a quantity by name, of samples the stored entries.
  /// - Throws: `FileError`; what `found` throws.
  func judge(
    _ scale: EnvelopeScale, kappa: Double, _ elementType: ElementType = .float32, sizes: [String: Int],
    _ found: (String) throws -> [Double]
  ) throws -> [TrajectoryCheck.Deviation] {
    let allowance = try scale.allowance { try values("envelope.k\($0)") }
    // Deviations are linear in the unit roundoff or smaller. In float64 the stored values have as many of their own.
    let unit = (elementType == .float64 ? 2 : 1) * elementType.unitRoundoff / 0x1p-24
    return try quantities.enumerated().map { index, quantity in
      let (expected, found) = (try values(quantity), try found(quantity))
      guard found.count == expected.count, allowance.count == quantities.count
      else { throw file.malformed("'\(quantity)' or the envelopes do not fit the network") }
      let size = length(expected) + (quantity == "loss" ? 1 : 0)
      var floor = 8 * 0x1p-24 * size
      var sum = 0.0
      if quantity.hasPrefix("grad_sample.") {
        // Where all terms of a sum are 0 there is no envelope, but transforms leave an error of the neighbours' size: κ·u·rms(Σ|a·b|),
        // of which the gradient's own rms is the part that is known: the stored gradient's, lest a wrong run set its own tolerance.
        let name = quantity.replacing("grad_sample.", with: "")
        let share = Double(expected.count) / Double(max(1, sizes[name] ?? expected.count))
        floor = max(floor, kappa * 0x1p-24 * (try values("grad_norm.\(name)")[0]) * share.squareRoot())
      } else if quantity.hasSuffix(".running_mean") {
        // Behind a normalisation a batch's mean is 0 by cancellation; what float32 rounds has the size of the values, which the stored
        // statistics tell.
        let variances = try values(quantity.replacing("running_mean", with: "running_var"))
        let squares = zip(expected, variances).map { mean, variance in
          mean * mean + NetworkReference.momentum * (variance - (1 - NetworkReference.momentum))
        }
        floor = max(floor, 8 * 0x1p-24 * squares.reduce(0, +).squareRoot())
      } else if quantity.hasPrefix("grad_norm.") {
        // The norm itself is a sum of squares in float64, in the stored run too; a square root halves both their errors.
        let terms = Double(sizes[quantity.replacing("grad_norm.", with: "")] ?? 0)
        sum = min(terms, ErrorBounds.lambda(judged: quantities.count) * terms.squareRoot()) * 0x1p-53 * size
      }
      let allowed = unit * (allowance[index] + floor) + sum
      // Behind a dead ReLU gradients are 0, and nothing but 0 is right.
      return TrajectoryCheck.Deviation(
        quantity: quantity, found: length(zip(found, expected).map { $0 - $1 }), expected: 0,
        allowed: max(allowed, .leastNonzeroMagnitude))
    }
  }
}

private func length(_ values: [Double]) -> Double { values.reduce(0) { $0 + $1 * $1 }.squareRoot() }
