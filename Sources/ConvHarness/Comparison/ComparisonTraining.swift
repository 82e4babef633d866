import ConvAutograd
import ConvCore
import ConvNN
import ConvOptim

/// The training of a network, to be measured.
public struct TrainingItem: Sendable {
  public var network: ImageNetwork
  /// Images per step.
  public var batch: Int
  /// Memory format of the images, and so of all activations.
  public var format: MemoryFormat
  /// Runs the layers that an engine declines, and those that it could run by lowerings only (a stride by polyphase, say): a rule
  /// known before anything is measured. Without one there is no time for an engine that declines any.
  public var fallback: Competitor?

  /// A training; the network's own batch size unless said otherwise.
  public init(
    network: ImageNetwork, batch: Int? = nil, format: MemoryFormat = .nhwc, fallback: Competitor? = nil
  ) {
    self.network = network
    self.batch = batch ?? network.batch
    self.format = format
    self.fallback = fallback
  }
}

extension Comparison {
  /// Steps whose losses are compared before anything is timed.
  static let comparedSteps = 4

  /// Full training steps of a network with Adam on both sides, from the same initial weights and images: one row per competitor.
  /// A competitor whose first losses are not the peer's is not timed.
  ///
  /// - Throws: `PeerError` where it ends before anything is timed, see `peerEnd`, and what making a model throws; what an engine throws is in its row.
  public func trainingRows(
    for item: TrainingItem, pool: WorkerPool, competitors: [Competitor], shouldStop: () -> Bool = { false }
  ) throws -> [ComparisonRow] {
    var rows: [ComparisonRow] = []
    var contestants: [Contestant] = []
    var peerLosses: [(configuration: String, losses: [Double])] = []
    var peerVerification = Verification(.unsupported, reason: "no configuration trains")
    func training(_ configuration: String) -> PeerTraining {
      PeerTraining(
        network: item.network.name, batch: item.batch,
        image: Array(item.network.inputShape(batch: item.batch).dropFirst()), threads: pool.threads,
        seed: settings.seed, configuration: configuration)
    }
    for configuration in peer.identity.configurations {
      do {
        let losses = try peer.train(
          training(configuration), repetitions: Comparison.comparedSteps, first: true
        ).losses
        peerLosses.append((configuration, losses))
        peerVerification = Verification(
          .passed, reason: LossAgreement.text(losses) + "; \(LossAgreement.unverified)")
      } catch PeerError.declined(let reason) {
        if peerLosses.isEmpty { peerVerification = Verification(.unsupported, reason: reason) }
      }
    }
    for competitor in competitors {
      if shouldStop() { break }
      var row = ComparisonRow(
        suite: item.network.name, problem: item.network.name, name: "batch \(item.batch)", group: .training,
        pass: "training", backend: competitor.label, threads: pool.threads,
        filterState: FilterState.fresh.rawValue, peer: peer.identity)
      (row.format, row.role) = (item.format, competitor.role)
      row.peerVerification = peerVerification
      do {
        let trainee = try Trainee(competitor, item, seed: settings.seed, pool: pool)
        let losses = try (0..<(peerLosses.map(\.losses.count).max() ?? 1)).map { _ in try trainee.step() }
        row.backend = trainee.label
        row.executedBy = trainee.engines.joined(separator: "; ")
        row.verification = Verification(.passed, reason: LossAgreement.text(losses))
        for (configuration, theirs) in peerLosses {
          guard let reason = LossAgreement.difference(losses, theirs, configuration) else { continue }
          row.verification = Verification(.failed, reason: reason)
        }
        if row.verification.verdict == .passed {
          contestants.append(Contestant(row: rows.count) { try trainee.seconds(repetitions: $0.repetitions) })
        }
      } catch {
        row.verification = Verification(.unsupported, reason: "\(error)")
      }
      rows.append(row)
    }
    visitPeak = nil
    guard settings.times, !contestants.isEmpty, !peerLosses.isEmpty else { return rows }
    for (configuration, _) in peerLosses {
      contestants.append(
        Contestant(configuration: configuration) { [peer] in
          try peer.train(training(configuration), repetitions: $0.repetitions, first: false).seconds
        })
    }
    // Each side's steps follow one of its own that is not timed.
    try measure(&contestants, into: &rows, pool, .warm, shouldStop)
    return rows
  }
}

/// Whether two trainings from equal weights on equal images are the same by their losses.
///
/// The first losses may differ by 2⁻¹² of their size: networks that are not the same, or not fed the same, differ by more. Later ones
/// by an eighth of what training has changed since the first, too: a parameter whose gradient is little more than rounding moves
/// either way by a whole step of Adam, and another learning rate or moment changes the loss by more than an eighth.
enum LossAgreement {
  /// What is not known of a peer that answers with losses alone: logits, gradients and updates.
  static let unverified = "not verified beyond the loss"

  /// What differs, in words; nil where nothing does.
  static func difference(_ ours: [Double], _ theirs: [Double], _ configuration: String) -> String? {
    var change = 0.0
    for (step, (own, their)) in zip(ours, theirs).enumerated() {
      change = max(change, abs(their - theirs[0]))
      if !(abs(own - their) <= 0x1p-12 * abs(their) + change / 8) {
        return
          "loss of step \(step + 1) is \(CSV.number(own)), the peer's \(CSV.number(their)) (\(configuration))"
      }
    }
    return nil
  }

  static func text(_ losses: [Double]) -> String {
    (losses.count == 1 ? "first loss " : "losses ") + losses.map { CSV.number($0) }.joined(separator: " ")
  }
}

/// A network on one engine.
private final class Trainee {
  private let competitor: Competitor
  private let fallback: Competitor?
  private let pool: WorkerPool
  private let recorder = ExecutionRecorder()
  private let model: any Module
  private let optimizer: Adam
  private let images, labels: Tensor

  init(_ competitor: Competitor, _ item: TrainingItem, seed: UInt64, pool: WorkerPool) throws {
    self.competitor = competitor
    self.pool = pool
    fallback = item.fallback
    model = try item.network.make()
    var images = try TestData.tensor(
      item.network.inputShape(batch: item.batch), elementType: .float32, .uniform, seed: seed,
      operand: .input, pool: pool)
    let count = images.count
    images.withUnsafeMutablePointer(as: Float.self) { for i in 0..<count { $0[i] = ($0[i] + 1) / 2 } }
    self.images = try images.converted(to: item.format)
    labels = try Tensor((0..<item.batch).map { Int64($0 % 10) }, shape: [item.batch])
    optimizer = try Adam(model.parameters(), learningRate: 0.001)
    if let fallback { try assign(fallback) }
    try initialize(model, seed: seed)
  }

  /// Gives the fallback the layers whose convolution the competitor does not support itself.
  private func assign(_ fallback: Competitor) throws {
    let trial = ExecutionRecorder()
    _ = try noGrad {
      try withBackend(fallback.backend, variant: fallback.variant, pool: pool, recorder: trial) {
        try model(Variable(images))
      }
    }
    let engine = competitor.backend
    let options = PlanOptions(threads: pool.threads, variant: competitor.variant)
    for case let (_, layer as ConvolutionLayer) in model.namedModules() {
      guard let operation = trial.entries.first(where: { $0.layer == ObjectIdentifier(layer) })?.operation
      else { continue }
      if !engine.computesNatively(operation.problem, options) {
        (layer.backend, layer.variant) = (fallback.backend, fallback.variant)
      }
    }
  }

  /// The competitor's label, with the fallback's where that took part.
  var label: String {
    guard let fallback, fallback.label != competitor.label else { return competitor.label }
    let own = model.namedModules().contains { ($0.module as? ConvolutionLayer)?.backend != nil }
    let isUsed = own || recorder.entries.contains(where: \.isFallback)
    return isUsed ? "\(competitor.label)+\(fallback.label)" : competitor.label
  }

  /// What ran the convolutions, sorted.
  var engines: [String] { Set(recorder.entries.map(\.executedBy)).sorted() }

  /// The loss before the step.
  @discardableResult func step() throws -> Double {
    try withBackend(
      competitor.backend, fallback: fallback?.backend, variant: competitor.variant,
      fallbackVariant: fallback?.variant, pool: pool, recorder: recorder
    ) {
      optimizer.zeroGrad()
      let loss = try CrossEntropyLoss()(model(Variable(images)), labels)
      try loss.backward()
      try optimizer.step()
      return Double(loss.value.scalar(as: Float.self))
    }
  }

  func seconds(repetitions: Int) throws -> Double {
    try step()
    let start = ContinuousClock.now
    for _ in 0..<repetitions { try step() }
    return (ContinuousClock.now - start).seconds / Double(repetitions)
  }
}
