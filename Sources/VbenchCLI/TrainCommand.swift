import ArgumentParser
import ConvBackends
import ConvCore
import ConvHarness
import ConvNN
import ConvVision
import Foundation

/// `vbench train`: a real training run.
struct TrainCommand: ParsableCommand {
  /// The optimizers that can be asked for.
  enum OptimizerName: String, CaseIterable, ExpressibleByArgument {
    case adam, sgd
  }

  static let configuration = CommandConfiguration(
    commandName: "train",
    abstract: "Trains a network on images, with one engine for all convolutions.",
    discussion: """
      The data set is a folder with the four files of Fashion-MNIST (IDX, gzip'd or not); by default that of \
      Debian's package dataset-fashion-mnist. Images are divided by 255, resized bilinearly to the network's \
      input and copied to its channels.

      A checkpoint holds weights, optimizer state and position. It is written whole or not at all, at the end of \
      each epoch and when the run is interrupted (Ctrl-C); a run that goes on from it computes the same bits as \
      one that never stopped.

      EXAMPLES
        vbench train seed-cnn
        vbench train seed-cnn --backend 'winograd[tile=4x4]' --epochs 3
        vbench train mobilenet-v2 --backend auto --plan plan.json --limit 2000
        vbench train seed-cnn --checkpoint seed.safetensors
        vbench train seed-cnn --resume seed.safetensors --epochs 5
      """)

  @Argument(
    help: "The network; `vbench list networks` names them.", completion: .list(ImageNetwork.all.map(\.name)))
  var model: String

  @Option(help: ArgumentHelp("Folder of the data set.", valueName: "dir"), completion: .directory)
  var dataset = FashionMNIST.systemDirectory

  @Option(
    help: ArgumentHelp(
      "The engine of the convolutions, with a variant where one is wanted: winograd[tile=4x4].",
      valueName: "engine"), completion: Completions.engine)
  var backend = "im2col"

  @Option(
    help: ArgumentHelp(
      "An engine, or a variant of one, for the layers that the backend declines; without one they are an error.",
      valueName: "engine"), completion: Completions.engine)
  var fallback: String?

  @OptionGroup var planFile: PlanFileOption

  @Option(
    help: ArgumentHelp(
      "Passes over the training images, those of a resumed run included.", valueName: "count"))
  var epochs = 1

  @Option(
    help: ArgumentHelp(
      "Images per step. (default: the network's own, `vbench list networks`)", valueName: "images"))
  var batchSize: Int?

  @Option(
    name: .customLong("lr"),
    help: ArgumentHelp("Learning rate. (default: 0.001 for adam, 0.01 for sgd)", valueName: "number"))
  var learningRate: Double?

  @Option(help: ArgumentHelp("The update rule. (default: adam)", valueName: "name"))
  var optimizer: OptimizerName?

  @Option(help: ArgumentHelp("Momentum of sgd, from 0 to below 1. (default: 0.9)", valueName: "number"))
  var momentum: Double?

  @Option(help: "Seed of initial weights and of the order of images. (default: 0)")
  var seed: UInt64?

  @Option(
    help: ArgumentHelp(
      "Uses the first images only, for training and for testing; all if left out.", valueName: "images"))
  var limit: Int?

  @Option(
    help: ArgumentHelp(
      "Writes a checkpoint after each epoch and on Ctrl-C; none if left out.", valueName: "file"),
    completion: .file(extensions: ["safetensors"]))
  var checkpoint: String?

  @Option(
    help: ArgumentHelp(
      "Goes on from a checkpoint, with its settings; a new run if left out.", valueName: "file"),
    completion: .file(extensions: ["safetensors"]))
  var resume: String?

  @Option(
    help: ArgumentHelp(
      "Threads of all operations. (default: one per processor, or VBENCH_THREADS; with --plan as it was tuned)",
      valueName: "count"))
  var threads: Int?

  @OptionGroup var openBLAS: OpenBLASOption
  @OptionGroup var profile: ProfileOption

  /// Epochs, images and images of a batch, as many as a problem's batch can have.
  static let largestCount = ConvProblem.Limits.size

  func validate() throws {
    for (option, value) in [("--epochs", epochs), ("--batch-size", batchSize), ("--limit", limit)] {
      guard let value, !(1...Self.largestCount).contains(value) else { continue }
      throw ValidationError("\(option) \(value): 1 to \(Self.largestCount) are possible")
    }
    if let threads, !(1...WorkerPool.maximumThreads).contains(threads) {
      throw ValidationError("--threads \(threads): 1 to \(WorkerPool.maximumThreads) are possible")
    }
    if let learningRate, !(learningRate > 0 && learningRate.isFinite) {
      throw ValidationError("--lr \(learningRate): a positive number is needed")
    }
    if let momentum, !(0..<1).contains(momentum) {
      throw ValidationError("--momentum \(momentum): a number from 0 to below 1 is needed")
    }
    if momentum != nil, optimizer == .adam { throw ValidationError("--momentum is for --optimizer sgd") }
  }

  func run() throws {
    if let error = InstructionSet.environmentError { throw error }
    let network = try ImageNetwork.known(model, in: .train)
    let followed = try planFile.read()
    let pool = try NameList.pool(threads: threads ?? followed?.threadsOfPool())
    let named = try ([backend] + (fallback.map { [$0] } ?? [])).map {
      try NameList.competitor($0, in: .train)
    }
    let engines = try followed?.apply(to: named, threads: [pool.threads]) ?? named
    let backend = engines[0]
    Interruption.catchSignals()
    let claim = try checkpoint.map(AtomicFile.claim)
    defer { claim?.end() }
    let start = try resume.map { try TrainCheckpoint(path: $0) }
    try openBLAS.apply()
    try profile.apply(to: engines)

    var train = try FashionMNIST.split("train", in: dataset)
    var test = try FashionMNIST.split("t10k", in: dataset)
    if let limit { (train, test) = (try train.prefix(limit), try test.prefix(limit)) }
    var state: TrainCheckpoint
    if let start {
      state = start
      try reconcile(&state, images: train.count, backend.selection)
    } else {
      state = TrainCheckpoint(
        settings: try freshSettings(train.count, network), backend: backend.selection)
    }
    if let followed {
      let parts = try plannedParts(network, state.settings, test.count, engines, pool)
      followed.report(on: parts).show()
    }

    let session = try TrainSession(
      network: network, state: state, from: resume, train: train, test: test, backend: backend,
      fallback: engines.count > 1 ? engines[1] : nil, pool: pool)
    try session.run(epochs: epochs, checkpoint: checkpoint)
  }

  /// What auto is asked for in training, and at the ends of epochs and of the test images, where fewer are left.
  private func plannedParts(
    _ network: ImageNetwork, _ settings: TrainCheckpoint.Settings, _ testImages: Int, _ engines: [Competitor],
    _ pool: WorkerPool
  ) throws -> [FollowedPlan.Part] {
    let batch = settings.batchSize
    func part(_ batch: Int) throws -> FollowedPlan.Part {
      try FollowedPlan.Part(
        training: network, batch: batch, engines: [engines[0]],
        fallback: engines.count > 1 ? engines[1] : nil,
        threads: [pool.threads])
    }
    var rests = FollowedPlan.Part(noun: "convolutions in the last batches", requests: [])
    if settings.images % batch > 0 { rests.requests += try part(settings.images % batch).requests }
    if testImages % batch > 0 {
      rests.requests += try part(testImages % batch).requests.filter { $0.key.pass == .forward }
    }
    return [try part(batch), rests]
  }

  private func freshSettings(_ images: Int, _ network: ImageNetwork) throws -> TrainCheckpoint.Settings {
    let optimizer = optimizer ?? .adam
    if momentum != nil, optimizer == .adam { throw UsageError("--momentum is for --optimizer sgd") }
    return TrainCheckpoint.Settings(
      network: model, optimizer: optimizer, learningRate: learningRate ?? (optimizer == .adam ? 0.001 : 0.01),
      momentum: optimizer == .adam ? 0 : momentum ?? 0.9, batchSize: batchSize ?? network.batch,
      seed: seed ?? 0,
      images: images)
  }

  /// Takes the checkpoint's settings; what the command line says otherwise is an error, or a note.
  private func reconcile(_ state: inout TrainCheckpoint, images: Int, _ selected: String) throws {
    let path = resume ?? ""
    func differs<T: Equatable>(_ what: String, _ wanted: T?, _ found: T) throws {
      guard let wanted, wanted != found else { return }
      throw UsageError("\(path) was made with \(what) \(found), \(wanted) is asked for")
    }
    try differs("network", model, state.settings.network)
    try differs("--optimizer", optimizer?.rawValue, state.settings.optimizer.rawValue)
    try differs("--batch-size", batchSize, state.settings.batchSize)
    try differs("--seed", seed, state.settings.seed)
    try differs("training images, see --limit:", images, state.settings.images)
    try differs("--momentum", momentum, state.settings.momentum)
    if let learningRate, learningRate != state.settings.learningRate {
      Terminal.warn(
        "note: learning rate \(learningRate) from here on, before it was \(state.settings.learningRate)")
      state.settings.learningRate = learningRate
    }
    if selected != state.backend {
      Terminal.warn("note: backend \(selected) from here on, before it was \(state.backend)")
      state.backend = selected
    }
    if state.epoch >= epochs {
      throw UsageError("\(path) has \(state.epoch) epochs already; --epochs \(epochs) leaves nothing to do")
    }
  }
}
