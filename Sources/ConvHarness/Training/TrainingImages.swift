import ConvCore
import ConvVision

/// Batches that training runs are fed with.
public struct TrainingImages: Sendable {
  /// Where they come from, for reports.
  public let source: String
  /// Images [N, 3, 32, 32] float32 in 0…1 and labels [N] int64, one pair per step.
  public let batches: [(images: Tensor, labels: Tensor)]

  /// The first `count` batches of Fashion-MNIST as `seed-cnn` takes them.
  ///
  /// Bilinear from 28 to 32 with half-pixel centres, grey copied to 3 channels, byte/255; shuffled by `seed`.
  /// - Throws: `FileError` where the files are missing or malformed.
  public static func fashionMNIST(
    directory: String = FashionMNIST.systemDirectory, batchSize: Int, count: Int, seed: UInt64
  ) throws -> TrainingImages {
    let train = try FashionMNIST.split("train", in: directory)
    let loader = try DataLoader(
      train, batchSize: batchSize, shuffleSeed: seed, dropLast: true, transform: .seedCNN)
    let order = loader.order(epoch: 0)
    let batches = try (0..<min(count, loader.batchCount)).map { index in
      let batch = try loader.batch(index, order: order)
      return (images: batch.images, labels: batch.labels)
    }
    return TrainingImages(source: "Fashion-MNIST, \(directory)", batches: batches)
  }

  /// The stored batches of the reference trajectories.
  ///
  /// - Throws: `FileError` where the file is missing or malformed.
  public static func reference(root: String, count: Int) throws -> TrainingImages {
    let path = root + "/trajectories/batches.safetensors"
    let file = try ReferenceFile(path: path)
    let images = try file.tensor("images", .uint8)
    let labels = try file.tensor("labels", .int64)
    guard images.rank == 5, labels.rank == 2, labels.shape == Array(images.shape[..<2]) else {
      throw file.malformed("images have shape \(images.shape), labels \(labels.shape)")
    }
    let perStep = images.shape[1...].reduce(1, *)
    let batchSize = images.shape[1]
    let bytes = images.values(as: UInt8.self)
    let classes = labels.values(as: Int64.self)
    let batches = try (0..<min(count, images.shape[0])).map { step in
      // Divided in float32, as the references do.
      let values = bytes[step * perStep..<(step + 1) * perStep].map { Float($0) / 255 }
      return (
        images: try Tensor(values, shape: Array(images.shape[1...])),
        labels: try Tensor(Array(classes[step * batchSize..<(step + 1) * batchSize]), shape: [batchSize])
      )
    }
    return TrainingImages(source: "the reference batches, \(path)", batches: batches)
  }
}
