import ConvAutograd
import ConvCore
import ConvHarness
import ConvNN
import ConvOptim
import ConvVision
import Foundation

/// One training run: model, optimizer, data, and where it is.
final class TrainSession {
  private let network: ImageNetwork
  private let model: any Module
  private let optimizer: any Optimizer
  private let loader: DataLoader
  private let test: DataLoader
  private let backend: Competitor
  private let fallback: Competitor?
  private let pool: WorkerPool
  private let recorder = ExecutionRecorder()
  private var state: TrainCheckpoint

  /// Training stopped because the loss is no number any more.
  struct Diverged: StatusError, CustomStringConvertible {
    let description: String
    var exitStatus: ExitStatus { .verificationFailed }
  }

  /// A run that begins at `state`.
  ///
  /// - Parameter path: the file that `state` was read from, whose tensors are loaded; nil for a fresh one.
  /// - Throws: `FileError.malformed` where they do not fit.
  init(
    network: ImageNetwork, state: TrainCheckpoint, from path: String?, train: LabelledImages,
    test: LabelledImages,
    backend: Competitor, fallback: Competitor?, pool: WorkerPool
  ) throws {
    self.network = network
    self.state = state
    self.backend = backend
    self.fallback = fallback
    self.pool = pool
    let settings = state.settings
    loader = try DataLoader(
      train, batchSize: settings.batchSize, shuffleSeed: settings.seed, transform: network.transform)
    self.test = try DataLoader(test, batchSize: settings.batchSize, transform: network.transform)
    model = try network.make()
    try initialize(model, seed: settings.seed)
    switch settings.optimizer {
    case .adam: optimizer = try Adam(model.parameters(), learningRate: settings.learningRate)
    case .sgd:
      optimizer = try SGD(
        model.parameters(), learningRate: settings.learningRate, momentum: settings.momentum)
    }
    guard let path else { return }
    do {
      try model.loadStateDict(state.model)
      try optimizer.loadStateDict(state.optimizer)
    } catch let error as ConvError {
      throw FileError.malformed(path: path, reason: "\(error)")
    }
    optimizer.learningRate = settings.learningRate
  }

  /// Trains to the end of epoch number `epochs`, tests after each one, and prints.
  ///
  /// - Throws: `InterruptedError` after Ctrl-C, `Diverged`, `ConvError`, `FileError`.
  func run(epochs: Int, checkpoint: String?) throws {
    let settings = state.settings
    StandardOutput.line(
      "\(network.name) on \(backend.label), \(pool.threads) threads: \(settings.images) images, batch "
        + "\(settings.batchSize), \(settings.optimizer.rawValue) lr \(settings.learningRate), seed \(settings.seed)"
    )
    if state.epoch > 0 || state.batch > 0 {
      StandardOutput.write("going on after epoch \(state.epoch), batch \(state.batch)")
    }
    var matrix = ConfusionMatrix(classNames: loader.data.classNames)
    try inContext {
      for epoch in state.epoch..<epochs {
        let (loss, rate) = try trainEpoch(epoch, of: epochs, checkpoint)
        matrix = try evaluate(checkpoint)
        StandardOutput.write(
          "epoch \(epoch + 1)/\(epochs): loss \(decimals(loss, 4)), \(Int(rate.rounded())) images/s, test accuracy "
            + "\(decimals(100 * matrix.accuracy, 2)) %")
        try save(checkpoint)
      }
    }
    StandardOutput.write("\ntest images: rows are the actual classes, columns the predicted ones\n\(matrix)")
    StandardOutput.write(
      "accuracy \(decimals(100 * matrix.accuracy, 2)) %, macro F1 \(decimals(matrix.macroF1, 3))")
    if let engines { StandardOutput.write(engines) }
    if let checkpoint { StandardOutput.line("checkpoint: \(checkpoint)") }
  }

  /// One epoch, or what is left of it; mean loss of its batches and images per second of this run.
  private func trainEpoch(_ epoch: Int, of epochs: Int, _ checkpoint: String?) throws -> (Double, Double) {
    model.train()
    let order = loader.order(epoch: epoch)
    let lossFunction = CrossEntropyLoss()
    var progress = ProgressBar(total: loader.batchCount)
    let clock = ContinuousClock()
    let begin = clock.now
    var images = 0
    while state.batch < loader.batchCount {
      if Interruption.isRequested {
        progress.clear()
        throw try interruption(
          checkpoint, "after \(state.batch) of \(loader.batchCount) batches of epoch \(epoch + 1)")
      }
      let batch = try loader.batch(state.batch, order: order)
      optimizer.zeroGrad()
      let loss = try lossFunction(model(Variable(batch.images)), batch.labels)
      try loss.backward()
      try optimizer.step()
      let value = Double(loss.value.scalar(as: Float.self))
      state.batch += 1
      state.lossSum += value
      images += batch.indices.count
      guard value.isFinite else {
        progress.clear()
        throw Diverged(
          description:
            "the loss of batch \(state.batch) of epoch \(epoch + 1) is \(value): training diverged; "
            + "a smaller --lr may help")
      }
      progress.update(state.batch, status(epoch, epochs, value, images, clock.now - begin))
    }
    progress.clear()
    let result = (state.lossSum / Double(state.batch), Double(images) / seconds(clock.now - begin))
    state.epoch += 1
    state.batch = 0
    state.lossSum = 0
    return result
  }

  private func status(
    _ epoch: Int, _ epochs: Int, _ loss: Double, _ images: Int, _ elapsed: Duration
  ) -> String {
    let rate = Double(images) / seconds(elapsed)
    let left = Double(settingsImagesLeft) / rate
    return
      "epoch \(epoch + 1)/\(epochs)  loss \(decimals(loss, 3))  \(Int(rate)) images/s  \(Int(left)) s left"
  }

  private var settingsImagesLeft: Int {
    max(0, state.settings.images - state.batch * state.settings.batchSize)
  }

  private func evaluate(_ checkpoint: String?) throws -> ConfusionMatrix {
    model.eval()
    var matrix = ConfusionMatrix(classNames: test.data.classNames)
    let order = test.order(epoch: 0)
    try noGrad {
      for index in 0..<test.batchCount {
        if Interruption.isRequested {
          throw try interruption(checkpoint, "while testing after epoch \(state.epoch)")
        }
        let batch = try test.batch(index, order: order)
        try matrix.add(logits: model(Variable(batch.images)).value, labels: batch.labels)
      }
    }
    return matrix
  }

  private func save(_ checkpoint: String?) throws {
    guard let checkpoint else { return }
    state.model = model.stateDict()
    state.optimizer = try optimizer.stateDict()
    try state.write(to: checkpoint)
  }

  /// Saves what there is; the error says how to go on.
  private func interruption(_ checkpoint: String?, _ place: String) throws -> InterruptedError {
    try save(checkpoint)
    let way =
      checkpoint.map { "go on with --resume \($0)" } ?? "nothing was saved, since there is no --checkpoint"
    return InterruptedError(description: "interrupted \(place); \(way)")
  }

  /// What ran each convolution, where that does not go without saying.
  private var engines: String? {
    let layers = model.namedModules().map { ($0.name, recorder.engines(of: ObjectIdentifier($0.module))) }
      .filter { !$0.1.isEmpty }
    guard layers.contains(where: { $0.1 != backend.backend.name }) else { return nil }
    var table = TextTable(["layer", "runs on"])
    for (name, engine) in layers { table.add([name, engine]) }
    return table.text
  }

  private func inContext(_ body: () throws -> Void) throws {
    try withBackend(
      backend.backend, fallback: fallback?.backend, variant: backend.variant,
      fallbackVariant: fallback?.variant, pool: pool, recorder: recorder, body)
  }
}

/// Seconds as a number.
func seconds(_ duration: Duration) -> Double {
  let (seconds, attoseconds) = duration.components
  return Double(seconds) + Double(attoseconds) * 1e-18
}

/// `value` with so many digits after the point.
func decimals(_ value: Double, _ digits: Int) -> String { String(format: "%.\(digits)f", value) }
