import ConvCore

/// What is done to images of bytes before they enter a network: byte/255, size, channels.
public struct ImageTransform: Hashable, Sendable {
  /// Height and width wanted; nil keeps the images' own.
  public var height: Int?
  /// Width wanted; nil keeps the images' own.
  public var width: Int?
  /// Copies of a grey channel wanted; nil keeps the images' own channels.
  public var channels: Int?

  /// A transform; by default only byte/255.
  public init(height: Int? = nil, width: Int? = nil, channels: Int? = nil) {
    self.height = height
    self.width = width
    self.channels = channels
  }

  /// The input of `seed-cnn`: 3×32×32.
  public static let seedCNN = ImageTransform(height: 32, width: 32, channels: 3)

  /// `uint8` [N, C, H, W] → `float32` [N, channels, height, width] in 0...1.
  ///
  /// - Throws: `ConvError` where the images are no bytes, or have several channels and others are wanted.
  public func callAsFunction(_ images: Tensor) throws -> Tensor {
    var result = try unitFloats(images)
    if height != nil || width != nil {
      guard result.rank == 4 else { throw ConvError.invalidShape(result.shape, reason: "images need rank 4") }
      let (h, w) = (height ?? result.shape[2], width ?? result.shape[3])
      if [h, w] != [result.shape[2], result.shape[3]] {
        result = try resizeBilinear(result, height: h, width: w)
      }
    }
    if let channels, result.rank != 4 || result.shape[1] != channels {
      result = try repeatChannel(result, channels)
    }
    return result
  }
}

/// `uint8` → `float32`: byte/255, divided in float32.
///
/// - Throws: `ConvError.elementTypeMismatch` for other element types.
public func unitFloats(_ images: Tensor) throws -> Tensor {
  guard images.elementType == .uint8 else {
    throw ConvError.elementTypeMismatch(what: "the images", expected: .uint8, found: images.elementType)
  }
  var result = try Tensor(uninitialized: images.shape, elementType: .float32, format: images.format)
  let count = images.count
  images.withUnsafePointer(as: UInt8.self) { from in
    result.withUnsafeMutablePointer(as: Float.self) { to in
      for index in 0..<count { to[index] = Float(from[index]) / 255 }
    }
  }
  return result
}

/// Copies the only channel: [N, 1, H, W] → [N, channels, H, W].
///
/// - Throws: `ConvError` for images that are no float32 or float64 of rank 4 with one channel.
public func repeatChannel(_ images: Tensor, _ channels: Int) throws -> Tensor {
  guard images.rank == 4, images.shape[1] == 1 else {
    throw ConvError.invalidShape(images.shape, reason: "one channel is needed to make \(channels) of it")
  }
  guard images.elementType == .float32 || images.elementType == .float64 else {
    throw ConvError.elementTypeMismatch(what: "the images", expected: .float32, found: images.elementType)
  }
  var result = try Tensor(
    uninitialized: [images.shape[0], channels, images.shape[2], images.shape[3]],
    elementType: images.elementType)
  let plane = images.shape[2] * images.shape[3] * images.elementType.byteCount
  let count = images.shape[0]
  // One channel: both memory formats are the same bytes.
  images.withUnsafeRawPointer { from in
    result.withUnsafeMutableRawPointer { to in
      for image in 0..<count {
        for channel in 0..<channels {
          (to + (image * channels + channel) * plane).copyMemory(from: from + image * plane, byteCount: plane)
        }
      }
    }
  }
  return result
}

/// Bilinear resizing with half-pixel centres: [N, C, H, W] → [N, C, height, width].
///
/// Output pixel i lies at s = max(0, (i + ½)·H/height − ½) of the input; its value is the linear interpolation of
/// the two neighbours ⌊s⌋ and min(⌊s⌋ + 1, H − 1), and so in both directions. Equal to PyTorch's
/// `F.interpolate(mode="bilinear", align_corners=False)` without antialiasing.
///
/// - Throws: `ConvError` for images that are no float32 or float64 of rank 4, or an impossible size.
public func resizeBilinear(
  _ images: Tensor, height: Int, width: Int, pool: WorkerPool = .shared
) throws -> Tensor {
  guard images.rank == 4 else { throw ConvError.invalidShape(images.shape, reason: "images need rank 4") }
  guard height >= 1, width >= 1, images.shape[2] >= 1, images.shape[3] >= 1 else {
    throw ConvError.invalidShape(images.shape, reason: "cannot be resized to \(height)×\(width)")
  }
  let plain = try images.converted(to: .nchw)
  var result = try Tensor(
    uninitialized: [images.shape[0], images.shape[1], height, width], elementType: images.elementType)
  switch images.elementType {
  case .float32: resize(plain, &result, Float.self, pool)
  case .float64: resize(plain, &result, Double.self, pool)
  default:
    throw ConvError.elementTypeMismatch(what: "the images", expected: .float32, found: images.elementType)
  }
  return result
}

/// Where the output pixels of one axis lie: lower neighbour, upper neighbour, weight of the upper one.
private struct AxisSamples<T: ConvScalar> {
  let lower: [Int]
  let upper: [Int]
  let weight: [T]

  init(from: Int, to: Int) {
    let scale = Double(from) / Double(to)
    let places = (0..<to).map { max(0, (Double($0) + 0.5) * scale - 0.5) }
    lower = places.map { min(Int($0), from - 1) }
    upper = lower.map { min($0 + 1, from - 1) }
    weight = zip(places, lower).map { T($0 - Double($1)) }
  }
}

private func resize<T: ConvScalar>(
  _ source: Tensor, _ result: inout Tensor, _: T.Type, _ pool: WorkerPool
) {
  let (h, w, p, q) = (source.shape[2], source.shape[3], result.shape[2], result.shape[3])
  let planes = source.shape[0] * source.shape[1]
  let rows = AxisSamples<T>(from: h, to: p)
  let columns = AxisSamples<T>(from: w, to: q)
  source.withUnsafePointer(as: T.self) { from in
    result.withUnsafeMutablePointer(as: T.self) { to in
      pool.parallelFor(planes) { plane in
        for row in 0..<p {
          let top = from + plane * h * w + rows.lower[row] * w
          let bottom = from + plane * h * w + rows.upper[row] * w
          let v = rows.weight[row]
          let line = to + (plane * p + row) * q
          for column in 0..<q {
            let (left, right, u) = (columns.lower[column], columns.upper[column], columns.weight[column])
            let upper = (1 - u) * top[left] + u * top[right]
            let lower = (1 - u) * bottom[left] + u * bottom[right]
            line[column] = (1 - v) * upper + v * lower
          }
        }
      }
    }
  }
}
