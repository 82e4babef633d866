import ConvCore

/// Everything that a training run needs to go on bit by bit as if it had never stopped.
struct TrainCheckpoint {
  /// What must be equal in the run that goes on.
  struct Settings: Hashable {
    var network: String
    var optimizer: TrainCommand.OptimizerName
    var learningRate: Double
    var momentum: Double
    var batchSize: Int
    var seed: UInt64
    /// Number of training images.
    var images: Int
  }

  var settings: Settings
  /// The engine that the run used; another one is allowed, but then the numbers differ in their last bits.
  var backend: String
  /// Epochs that are complete.
  var epoch = 0
  /// Batches of the next epoch that are complete.
  var batch = 0
  /// Sum of the losses of those batches.
  var lossSum = 0.0
  /// The model's state dictionary, under its own keys.
  var model: [String: Tensor] = [:]
  /// The optimizer's state dictionary, in the file under `optimizer.KEY`.
  var optimizer: [String: Tensor] = [:]

  private static let format = "vbench-checkpoint-1"
  private static let optimizerPrefix = "optimizer."

  /// Writes the file, whole or not at all.
  ///
  /// - Throws: `FileError`.
  func write(to path: String) throws {
    let metadata: [String: String] = [
      "format": Self.format, "network": settings.network, "optimizer": settings.optimizer.rawValue,
      "learning_rate": "\(settings.learningRate)", "momentum": "\(settings.momentum)",
      "batch_size": "\(settings.batchSize)", "seed": "\(settings.seed)", "images": "\(settings.images)",
      "backend": backend, "epoch": "\(epoch)", "batch": "\(batch)", "loss_sum": "\(lossSum)",
    ]
    var tensors = model
    for (key, tensor) in optimizer { tensors[Self.optimizerPrefix + key] = tensor }
    try Safetensors.write(tensors, metadata: metadata, to: path)
  }

  /// What no run can have stored.
  ///
  /// - Throws: `FileError.malformed`.
  private func requirePossible(_ path: String) throws {
    func require(_ holds: Bool, _ what: String) throws {
      if !holds { throw FileError.malformed(path: path, reason: "\(what) is impossible") }
    }
    let (images, size) = (settings.images, settings.batchSize)
    try require((1...TrainCommand.largestCount).contains(size), "a batch size of \(size)")
    try require((1...TrainCommand.largestCount).contains(images), "a number of \(images) images")
    try require((0...TrainCommand.largestCount).contains(epoch), "an epoch \(epoch)")
    // The last batch of an epoch completes it.
    let batches = (images - 1) / size + 1
    try require((0..<batches).contains(batch), "batch \(batch) of \(batches) in an epoch")
    try require(
      settings.learningRate.isFinite && settings.learningRate > 0,
      "a learning rate of \(settings.learningRate)")
    try require((0..<1).contains(settings.momentum), "a momentum of \(settings.momentum)")
    try require(lossSum.isFinite, "a sum of losses of \(lossSum)")
    if batch == 0 { try require(lossSum == 0, "a sum of losses of \(lossSum) without a batch") }
  }

  init(settings: Settings, backend: String) {
    self.settings = settings
    self.backend = backend
  }

  /// Reads a file that `write` made.
  ///
  /// - Throws: `FileError`.
  init(path: String) throws {
    let file = try SafetensorsFile(path: path)
    func text(_ key: String) throws -> String {
      guard let value = file.metadata[key] else {
        throw FileError.malformed(path: path, reason: "its metadata lack '\(key)'")
      }
      return value
    }
    func number<T: LosslessStringConvertible>(_ key: String, _ type: T.Type = T.self) throws -> T {
      let value = try text(key)
      guard let number = T(value) else {
        throw FileError.malformed(
          path: path, reason: "its metadata '\(key)' is '\(value)', a \(T.self) is needed")
      }
      return number
    }
    let format = try text("format")
    guard format == Self.format else {
      throw FileError.malformed(path: path, reason: "its format is '\(format)', expected '\(Self.format)'")
    }
    let optimizerName = try text("optimizer")
    guard let optimizerName = TrainCommand.OptimizerName(rawValue: optimizerName) else {
      throw FileError.malformed(path: path, reason: "its metadata 'optimizer' is '\(optimizerName)'")
    }
    settings = Settings(
      network: try text("network"), optimizer: optimizerName, learningRate: try number("learning_rate"),
      momentum: try number("momentum"), batchSize: try number("batch_size"), seed: try number("seed"),
      images: try number("images"))
    backend = try text("backend")
    epoch = try number("epoch")
    batch = try number("batch")
    lossSum = try number("loss_sum")
    try requirePossible(path)
    for (key, tensor) in try file.allTensors() {
      if key.hasPrefix(Self.optimizerPrefix) {
        optimizer[String(key.dropFirst(Self.optimizerPrefix.count))] = tensor
      } else {
        model[key] = tensor
      }
    }
  }
}
