import ConvCore
import ConvNN
import ConvVision

/// Batches that training runs are fed with.
public struct TrainingImages: Sendable {
  /// Where they come from, for reports.
  public let source: String
  /// Images [N, C, H, W] float32 in 0…1 and labels [N] int64, one pair per step.
  public let batches: [(images: Tensor, labels: Tensor)]

  /// The first `count` batches of Fashion-MNIST as a network takes them; `seed-cnn` where none is named.
  ///
  /// Bilinear from 28 to the network's size with half-pixel centres, grey copied to its channels, byte/255; shuffled by `seed`.
  /// - Throws: `FileError` where the files are missing or malformed.
  public static func fashionMNIST(
    directory: String = FashionMNIST.systemDirectory, batchSize: Int, count: Int, seed: UInt64,
    network: ImageNetwork? = nil
  ) throws -> TrainingImages {
    let train = try FashionMNIST.split("train", in: directory)
    let transform =
      network.map { ImageTransform(height: $0.side, width: $0.side, channels: $0.channels) } ?? .seedCNN
    let loader = try DataLoader(
      train, batchSize: batchSize, shuffleSeed: seed, dropLast: true, transform: transform)
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

  /// RGB images as a network takes them, the first `batch` of each step: of larger ones the middle, smaller ones bilinear, of grey
  /// ones the green channel.
  ///
  /// - Throws: `ConvError.operand` for images that are not RGB or fewer than `batch`.
  public func fitted(to network: ImageNetwork, batch: Int) throws -> TrainingImages {
    TrainingImages(
      source: source,
      batches: try batches.map { images, labels in
        guard images.rank == 4, images.shape[1] == 3, images.shape[0] >= batch else {
          throw ConvError.operand("images of shape \(images.shape) for \(batch) RGB images")
        }
        let labels = try Tensor(Array(labels.values(as: Int64.self).prefix(batch)), shape: [batch])
        let wanted = network.inputShape(batch: batch)
        if images.shape == wanted { return (images, labels) }
        let large =
          images.shape[2] < network.side || images.shape[3] < network.side
          ? try resizeBilinear(images, height: network.side, width: network.side) : images
        let values = large.values(as: Float.self)
        let (height, width) = (large.shape[2], large.shape[3])
        let (top, left) = ((height - network.side) / 2, (width - network.side) / 2)
        var result: [Float] = []
        result.reserveCapacity(wanted.reduce(1, *))
        for image in 0..<batch {
          for channel in network.channels == 1 ? 1..<2 : 0..<3 {
            for row in top..<top + network.side {
              let start = ((image * 3 + channel) * height + row) * width + left
              result += values[start..<start + network.side]
            }
          }
        }
        return (try Tensor(result, shape: wanted), labels)
      })
  }
}
