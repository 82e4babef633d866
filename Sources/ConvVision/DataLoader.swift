import ConvCore

/// One batch of images ready for a network.
public struct ImageBatch: Sendable {
  /// `float32` [B, C, H, W].
  public let images: Tensor
  /// `int64` [B].
  public let labels: Tensor
  /// Positions in the data set.
  public let indices: [Int]
}

/// Cuts a data set into batches, in an order that depends on nothing but the seed and the epoch.
public struct DataLoader: Sendable {
  /// The data.
  public let data: LabelledImages
  /// Images of a batch; the last one may have fewer.
  public let batchSize: Int
  /// The seed of the order; nil keeps the order of the data.
  public let shuffleSeed: UInt64?
  /// Whether a last batch that is not full is left out.
  public let dropLast: Bool
  /// What is done to each batch.
  public let transform: ImageTransform

  /// A loader of `data`.
  ///
  /// - Throws: `ConvError.operand` where `batchSize` is below 1.
  public init(
    _ data: LabelledImages, batchSize: Int, shuffleSeed: UInt64? = nil, dropLast: Bool = false,
    transform: ImageTransform = ImageTransform()
  ) throws {
    guard batchSize >= 1 else {
      throw ConvError.operand("the batch size is \(batchSize), at least 1 is needed")
    }
    self.data = data
    self.batchSize = batchSize
    self.shuffleSeed = shuffleSeed
    self.dropLast = dropLast
    self.transform = transform
  }

  /// The number of batches of an epoch.
  public var batchCount: Int {
    data.count / batchSize + (dropLast || data.count % batchSize == 0 ? 0 : 1)
  }

  /// The order of the data in an epoch.
  ///
  /// Fisher–Yates from the last position down: position i is exchanged with ⌊w·(i + 1)/2³²⌋, w the next word of
  /// `Philox(seed, stream: epoch)`.
  public func order(epoch: Int) -> [Int] {
    var order = Array(0..<data.count)
    guard let shuffleSeed else { return order }
    var words = PhiloxGenerator(seed: shuffleSeed, stream: UInt32(truncatingIfNeeded: epoch))
    for i in stride(from: order.count - 1, to: 0, by: -1) {
      order.swapAt(i, Int((UInt64(words.nextWord()) * UInt64(i + 1)) >> 32))
    }
    return order
  }

  /// Batch `index` of an epoch whose order is `order`.
  ///
  /// - Precondition: `index` is in 0..<batchCount.
  public func batch(_ index: Int, order: [Int]) throws -> ImageBatch {
    precondition(index >= 0 && index < batchCount, "batch \(index) of \(batchCount)")
    let indices = Array(order.dropFirst(index * batchSize).prefix(batchSize))
    let (images, labels) = try data.batch(indices)
    return ImageBatch(images: try transform(images), labels: labels, indices: indices)
  }

  /// All batches of an epoch, made one by one as they are asked for.
  public func batches(epoch: Int = 0) -> AnySequence<Result<ImageBatch, any Error>> {
    let order = order(epoch: epoch)
    return AnySequence((0..<batchCount).lazy.map { index in Result { try batch(index, order: order) } })
  }
}
