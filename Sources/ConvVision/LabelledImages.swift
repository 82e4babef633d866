import ConvCore

/// Images with one label each.
public struct LabelledImages: Sendable {
  /// `uint8` [N, C, H, W].
  public let images: Tensor
  /// `int64` [N], each in 0..<classNames.count.
  public let labels: Tensor
  /// The classes' names by label.
  public let classNames: [String]

  /// Images and labels that belong together.
  ///
  /// - Throws: `ConvError` where element types, ranks, counts or labels do not fit.
  public init(images: Tensor, labels: Tensor, classNames: [String]) throws {
    for (what, tensor, type, rank) in [
      ("the images", images, ElementType.uint8, 4), ("the labels", labels, .int64, 1),
    ] {
      guard tensor.elementType == type else {
        throw ConvError.elementTypeMismatch(what: what, expected: type, found: tensor.elementType)
      }
      guard tensor.rank == rank else {
        throw ConvError.invalidShape(tensor.shape, reason: "\(what) need rank \(rank), not \(tensor.rank)")
      }
    }
    guard images.shape[0] == labels.shape[0] else {
      throw ConvError.shapeMismatch(what: "the labels", expected: [images.shape[0]], found: labels.shape)
    }
    let strange = labels.values(as: Int64.self).enumerated().first {
      !(0..<Int64(classNames.count)).contains($0.element)
    }
    if let (index, label) = strange {
      throw ConvError.operand("label \(index) is \(label), the classes are 0 to \(classNames.count - 1)")
    }
    self.images = try images.converted(to: .nchw)
    self.labels = labels
    self.classNames = classNames
  }

  /// The number of images.
  public var count: Int { images.shape[0] }

  /// The first `count` images, or all where there are fewer.
  ///
  /// - Throws: `ConvError.invalidShape` where `count` is below 0.
  public func prefix(_ count: Int) throws -> LabelledImages {
    if count >= self.count { return self }
    guard count >= 0 else { throw ConvError.invalidShape([count], reason: "a number of images below 0") }
    let indices = Array(0..<count)
    return try LabelledImages(
      images: gather(images, indices, as: UInt8.self), labels: gather(labels, indices, as: Int64.self),
      classNames: classNames)
  }

  /// The images and labels at `indices`, in that order.
  ///
  /// - Precondition: all indices are in 0..<count.
  public func batch(_ indices: [Int]) throws -> (images: Tensor, labels: Tensor) {
    try (gather(images, indices, as: UInt8.self), gather(labels, indices, as: Int64.self))
  }
}

/// The rows of `tensor` (along its first axis) at `indices`.
private func gather<T: TensorScalar>(_ tensor: Tensor, _ indices: [Int], as type: T.Type) throws -> Tensor {
  let row = tensor.shape.dropFirst().reduce(1, *)
  var result = try Tensor(
    uninitialized: [indices.count] + tensor.shape.dropFirst(), elementType: tensor.elementType)
  tensor.withUnsafePointer(as: T.self) { from in
    result.withUnsafeMutablePointer(as: T.self) { to in
      for (place, index) in indices.enumerated() {
        precondition(index >= 0 && index < tensor.shape[0], "index \(index) of \(tensor.shape[0]) rows")
        (to + place * row).update(from: from + index * row, count: row)
      }
    }
  }
  return result
}
