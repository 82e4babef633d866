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
/// In float32 each may deviate by 4 × envelope + floor at the backend's κ (`EnvelopeScale`), in float64 by 2⁻²⁹ of that, the quotient
/// of the unit roundoffs, and as much again for the stored values, which a float64 run has made too.
public struct NetworkCheck: Sendable {
  /// κ of the engines, and the stored level at or above it; nil where there is none.
  public let kappa: Double, level: Int?
  /// All comparisons that decide: distances in norm.
  public let deviations: [TrajectoryCheck.Deviation]

  /// `passed`, `failed`, or `mistrusted` where the bounds are above every stored level.
  public var verification: Verification {
    if let worst = deviations.max(by: { $0.ratio < $1.ratio }), !(worst.ratio <= 1) {
      return Verification(
        .failed, reason: "\(worst.quantity) deviates by \(worst.found), \(worst.allowed) is allowed")
    }
    if level == nil { return Verification(.mistrusted, reason: "κ = \(kappa) is above every stored level") }
    return Verification(.passed, reason: "")
  }

  /// Makes the step.
  ///
  /// - Parameter fallback: runs the layers that the competitor declines.
  /// - Throws: `FileError` about the reference; what the backend throws.
  public init(
    _ competitor: Competitor, fallback: Competitor? = nil, reference: NetworkReference,
    elementType: ElementType = .float32, format: MemoryFormat = .nhwc, pool: WorkerPool = .shared
  ) throws {
    let model = try reference.network.make()
    try initialize(model, seed: reference.seed)
    try model.convert(to: elementType)
    let (images, labels) = try reference.data(elementType, format)
    let recorder = ExecutionRecorder()
    let found = try withBackend(
      competitor.backend, fallback: fallback?.backend, variant: competitor.variant,
      fallbackVariant: fallback?.variant, pool: pool, recorder: recorder
    ) { try NetworkCheck.step(model, images, labels) }

    let layers = try LayerCheck.all(of: competitor, fallback, recorder.entries, pool: pool)
    let kappa = layers.map(\.kappa).max() ?? 0
    self.kappa = kappa
    let scale = EnvelopeScale(kappa, levels: reference.levels)
    level = scale?.upper
    guard let envelope = try scale?.envelope({ try reference.values("envelope.k\($0)") }) else {
      deviations = layers.flatMap(\.deviations)
      return
    }
    // Deviations are linear in the unit roundoff or smaller. In float64 the stored values have as many of their own.
    let u = elementType.unitRoundoff
    let unit = (elementType == .float64 ? 2 : 1) * u / 0x1p-24
    deviations =
      try layers.flatMap(\.deviations)
      + reference.quantities.enumerated().map { index, quantity in
        let expected = try reference.values(quantity)
        let values = try NetworkCheck.values(of: quantity, in: found)
        let picked =
          quantity.contains("_sample.")
          ? (0..<expected.count).map { values[$0 * values.count / expected.count] } : values
        guard picked.count == expected.count, envelope.count == reference.quantities.count
        else { throw reference.file.malformed("'\(quantity)' or the envelopes do not fit the network") }
        let distance = length(zip(picked, expected).map { $0 - $1 })
        let size = length(expected) + (quantity == "loss" ? 1 : 0)
        var floor = 8 * 0x1p-24 * size
        if quantity.hasPrefix("grad_sample.") {
          // Where all terms of a sum are 0 there is no envelope, but transforms leave an error of the neighbours' size: κ·u·rms(Σ|a·b|),
          // of which the gradient's own rms is the part that is known.
          let share = (Double(picked.count) / Double(max(1, values.count))).squareRoot()
          floor = max(floor, kappa * 0x1p-24 * length(values) * share)
        }
        // The norm itself is a sum of squares in float64, in the stored run too; a square root halves both their errors.
        let summed = found[quantity.replacing("grad_norm.", with: "grad.")]?.count ?? 0
        let norm = quantity.hasPrefix("grad_norm.")
          ? ErrorBounds.lambda(judged: 1) * Double(summed).squareRoot() * 0x1p-53 * size : 0
        let allowed = unit * (4 * envelope[index] + floor) + norm
        // Behind a dead ReLU gradients are 0, and nothing but 0 is right.
        return TrajectoryCheck.Deviation(
          quantity: quantity, found: distance, expected: 0, allowed: max(allowed, .leastNonzeroMagnitude))
      }
  }

  /// Loss, logits, gradients and running statistics by name.
  private static func step(
    _ model: any Module, _ images: Tensor, _ labels: Tensor
  ) throws -> [String: [Double]] {
    let logits = try model(Variable(images))
    let loss = try CrossEntropyLoss()(logits, labels)
    try loss.backward()
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

private func length(_ values: [Double]) -> Double { values.reduce(0) { $0 + $1 * $1 }.squareRoot() }
