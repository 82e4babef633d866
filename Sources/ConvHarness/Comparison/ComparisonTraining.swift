import ConvAutograd
import ConvCore
import ConvNN
import ConvOptim

extension Comparison {
  /// Largest relative difference of the first losses: two networks that are not the same, or not fed the same, differ by more.
  static let lossTolerance = 0x1p-12

  /// Full training steps of seed-cnn with Adam on both sides, from the same initial weights and images: one row per competitor.
  ///
  /// - Throws: `PeerError.broken`, and what making a model throws; what an engine throws is in its row.
  public func trainingRows(
    batch: Int, pool: WorkerPool, competitors: [Competitor], shouldStop: () -> Bool = { false }
  ) throws -> [ComparisonRow] {
    var rows: [ComparisonRow] = []
    var contestants: [Contestant] = []
    let (seed, threads) = (settings.seed, pool.threads)
    var peerLoss = Double.nan
    var peerVerification = Verification(.unsupported, reason: "no configuration trains")
    var configurations: [String] = []
    for configuration in peer.identity.configurations {
      do {
        peerLoss = try peer.train(
          threads: threads, seed: seed, batch: batch, configuration: configuration, repetitions: 1,
          first: true
        ).loss
        configurations.append(configuration)
        peerVerification = Verification(.passed, reason: "first loss \(CSV.number(peerLoss))")
      } catch PeerError.declined(let reason) {
        if configurations.isEmpty { peerVerification = Verification(.unsupported, reason: reason) }
      }
    }
    for competitor in competitors {
      if shouldStop() { break }
      var row = ComparisonRow(
        suite: "seed-cnn", problem: "seed-cnn", name: "batch \(batch)", group: .training, pass: "training",
        backend: competitor.label, threads: threads, filterState: FilterState.fresh.rawValue,
        peer: peer.identity)
      row.peerVerification = peerVerification
      do {
        let trainee = try Trainee(competitor, seed: seed, batch: batch, pool: pool)
        let loss = try trainee.step()
        let deviation = abs(loss - peerLoss) / abs(peerLoss)
        row.verification =
          configurations.isEmpty || deviation <= Comparison.lossTolerance
          ? Verification(.passed, reason: "first loss \(CSV.number(loss))")
          : Verification(
            .failed, reason: "first loss \(CSV.number(loss)), the peer's \(CSV.number(peerLoss))")
        if row.verification.verdict == .passed {
          contestants.append(Contestant(row: rows.count) { try trainee.seconds(repetitions: $0) })
        }
      } catch {
        row.verification = Verification(.unsupported, reason: "\(error)")
      }
      rows.append(row)
    }
    guard settings.times, !contestants.isEmpty, !configurations.isEmpty else { return rows }
    for configuration in configurations {
      contestants.append(
        Contestant(configuration: configuration) { [peer] in
          try peer.train(
            threads: threads, seed: seed, batch: batch, configuration: configuration, repetitions: $0,
            first: false
          ).seconds
        })
    }
    try takeTurns(&contestants, shouldStop)
    settle(contestants, &rows)
    return rows
  }
}

/// seed-cnn on one engine.
private final class Trainee {
  private let competitor: Competitor
  private let pool: WorkerPool
  private let model: SeedCNN
  private let optimizer: Adam
  private let images, labels: Tensor

  init(_ competitor: Competitor, seed: UInt64, batch: Int, pool: WorkerPool) throws {
    self.competitor = competitor
    self.pool = pool
    model = try SeedCNN()
    try initialize(model, seed: seed)
    optimizer = try Adam(model.parameters(), learningRate: 0.001)
    var images = try TestData.tensor(
      [batch, 3, 32, 32], elementType: .float32, .uniform, seed: seed, operand: .input, pool: pool)
    let count = images.count
    images.withUnsafeMutablePointer(as: Float.self) { for i in 0..<count { $0[i] = ($0[i] + 1) / 2 } }
    self.images = images
    labels = try Tensor((0..<batch).map { Int64($0 % 10) }, shape: [batch])
  }

  /// The loss before the step.
  @discardableResult func step() throws -> Double {
    try withBackend(competitor.backend, variant: competitor.variant, pool: pool) {
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
