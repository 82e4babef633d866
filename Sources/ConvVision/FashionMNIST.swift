import ConvCore

/// Fashion-MNIST: 60 000 images to train on and 10 000 to test with, grey, 28×28, ten kinds of clothing.
///
/// References: Xiao, Rasul, Vollgraf: *Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning
/// Algorithms* (2017), arXiv:1708.07747.
public struct FashionMNIST: Sendable {
  /// Where Debian's package `dataset-fashion-mnist` puts it.
  public static let systemDirectory = "/usr/share/datasets/fashion-mnist"

  /// The ten classes in the order of their labels.
  public static let classNames = [
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
  ]

  /// The images to train on, `uint8` [N, 1, 28, 28].
  public let train: LabelledImages
  /// The images to test with.
  public let test: LabelledImages

  /// Reads the four files (IDX, gzip'd or not) in `directory`.
  ///
  /// - Throws: `FileError.missingInput` where one is not there, `.malformed` where one is not what it should be.
  public init(directory: String = FashionMNIST.systemDirectory) throws {
    train = try FashionMNIST.split("train", in: directory)
    test = try FashionMNIST.split("t10k", in: directory)
  }

  /// Reads one half: `train` or `t10k`.
  ///
  /// - Throws: as `init`.
  public static func split(_ name: String, in directory: String) throws -> LabelledImages {
    let (imagesPath, images) = try idx("\(name)-images-idx3-ubyte", in: directory)
    let (labelsPath, labels) = try idx("\(name)-labels-idx1-ubyte", in: directory)
    guard images.rank == 3, images.shape[1] == 28, images.shape[2] == 28 else {
      throw FileError.malformed(
        path: imagesPath, reason: "its shape is \(images.shape), expected [N, 28, 28]")
    }
    guard labels.rank == 1 else {
      throw FileError.malformed(path: labelsPath, reason: "its shape is \(labels.shape), expected [N]")
    }
    guard images.shape[0] > 0 else {
      throw FileError.malformed(path: imagesPath, reason: "it holds no images")
    }
    guard labels.shape[0] == images.shape[0] else {
      throw FileError.malformed(
        path: labelsPath, reason: "it has \(labels.shape[0]) labels for \(images.shape[0]) images")
    }
    do {
      return try LabelledImages(
        images: images.reshaped(to: [images.shape[0], 1, 28, 28]),
        labels: Tensor(labels.values(as: UInt8.self).map(Int64.init), shape: labels.shape),
        classNames: classNames)
    } catch let error as ConvError {
      throw FileError.malformed(path: labelsPath, reason: "\(error)")
    }
  }

  private static func idx(_ name: String, in directory: String) throws -> (path: String, tensor: Tensor) {
    let compressed = "\(directory)/\(name).gz"
    do {
      return (compressed, try IDX.read(path: compressed))
    } catch let error as FileError {
      guard case .missingInput = error else { throw error }
      let plain = "\(directory)/\(name)"
      do {
        return (plain, try IDX.read(path: plain))
      } catch FileError.missingInput {
        throw error
      }
    }
  }
}
