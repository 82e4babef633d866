/// The parts of an epilogue over y [images][channels][height][width] in either format, piece by piece: bias, ReLU and pooling
/// of one piece follow each other while it is in the cache.
struct EpiloguePasses {
  private let format: MemoryFormat
  private let images, channels, height, width: Int

  private var plane: Int { height * width }

  init(_ operation: ConvOperation) {
    let problem = operation.problem
    format = operation.outputFormat
    images = problem.n
    channels = problem.k
    // Only pooling, which is 2-D, needs to know rows.
    (height, width) =
      operation.epilogue.maxPool2x2 ? (problem.output.h, problem.output.w) : (problem.output.count, 1)
  }

  /// Some planes of one image in NCHW, some of its rows with all channels in NHWC: dense in both.
  private struct Piece {
    var image: Int
    var lines: Range<Int>
  }

  private func forEachPiece(_ pool: WorkerPool, _ body: (Piece) -> Void) {
    let (lines, line) = format == .nchw ? (channels, plane) : (height, width * channels)
    // In pairs, so that no window of rows is cut.
    let perPiece = max(2, (16384 / line) & ~1)
    let pieces = (lines + perPiece - 1) / perPiece
    pool.parallelFor(images * pieces) { task in
      let first = task % pieces * perPiece
      body(Piece(image: task / pieces, lines: first..<min(lines, first + perPiece)))
    }
  }

  /// y = relu(y + bias), each part optional; where `pooled` is given, it and `argmax` get the 2×2 maxima and their places.
  ///
  /// Ties take the first in row-major order, as PyTorch does; so do NaNs, which win.
  func finish<T: ConvScalar>(
    _ y: UnsafeMutablePointer<T>, bias: UnsafePointer<T>?, relu: Bool, pooled: UnsafeMutablePointer<T>?,
    argmax: UnsafeMutablePointer<UInt8>?, _ pool: WorkerPool
  ) {
    let (halfHeight, halfWidth) = (height / 2, width / 2)
    forEachPiece(pool) { piece in
      let lines = piece.lines
      // Windows of a plane, or of the rows of a piece, with the channels of each position beside each other.
      let (planes, own, rows) = format == .nchw ? (lines.count, 1, height) : (1, channels, lines.count)
      let first = (piece.image * (format == .nchw ? channels : height) + lines.lowerBound)
      let start = y + first * (format == .nchw ? plane : width * channels)
      if let bias { addBias(start, format == .nchw ? bias + lines.lowerBound : bias, lines.count) }
      if relu { clamp(start, lines.count * (format == .nchw ? plane : width * channels)) }
      guard let pooled else { return }
      var target =
        format == .nchw
        ? first * halfHeight * halfWidth
        : (piece.image * halfHeight + lines.lowerBound / 2) * halfWidth * channels
      for index in 0..<planes {
        maximum(
          start + index * plane, height: rows, channels: own, into: pooled + target,
          winner: argmax.map { $0 + target })
        target += halfHeight * halfWidth
      }
    }
  }

  private func addBias<T: ConvScalar>(_ y: UnsafeMutablePointer<T>, _ bias: UnsafePointer<T>, _ lines: Int) {
    switch (format, T.self == Float.self) {
    case (.nchw, true):
      Elementwise.addBiasNCHW(channels: lines, area: plane, bias: recast(bias), into: recast(y))
    case (.nhwc, true):
      Elementwise.addBiasNHWC(pixels: lines * width, channels: channels, bias: recast(bias), into: recast(y))
    case (.nchw, false):
      for i in 0..<lines * plane { y[i] += bias[i / plane] }
    case (.nhwc, false):
      for i in 0..<lines * width * channels { y[i] += bias[i % channels] }
    }
  }

  private func clamp<T: ConvScalar>(_ y: UnsafeMutablePointer<T>, _ count: Int) {
    if T.self == Float.self {
      Elementwise.relu(count: count, recast(UnsafePointer(y)), into: recast(y))
    } else {
      // Written so that NaN passes through.
      for i in 0..<count { y[i] = y[i] < 0 ? 0 : y[i] }
    }
  }

  /// Pools one [height][width][channels].
  private func maximum<T: ConvScalar>(
    _ x: UnsafePointer<T>, height: Int, channels: Int, into y: UnsafeMutablePointer<T>,
    winner: UnsafeMutablePointer<UInt8>?
  ) {
    if T.self == Float.self {
      let count = height / 2 * (width / 2) * channels
      func run(_ winner: UnsafeMutablePointer<UInt8>) {
        Elementwise.maximumOfPairs(
          height: height, width: width, channels: channels, recast(x), into: recast(y), winner: winner)
      }
      if let winner {
        run(winner)
      } else {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: max(1, count)) { run($0.baseAddress!) }
      }
      return
    }
    for p in 0..<height / 2 {
      for q in 0..<width / 2 {
        for k in 0..<channels {
          let corner = (2 * p * width + 2 * q) * channels + k
          var best = x[corner]
          var place: UInt8 = 0
          for candidate in 1..<4 {
            let value = x[corner + (candidate / 2 * width + candidate % 2) * channels]
            if value > best || (value.isNaN && !best.isNaN) {
              best = value
              place = UInt8(candidate)
            }
          }
          let at = (p * (width / 2) + q) * channels + k
          y[at] = best
          winner?[at] = place
        }
      }
    }
  }

  /// db[k] = Σ dy[n, k, ·], or added to it. float64: one sum per channel. float32: each image's sums by the vectorised
  /// kernels, in partial sums, the images' in Double.
  ///
  /// - Parameter shares: room for one number per image and channel.
  func sumChannels<T: ConvScalar>(
    _ dy: UnsafeMutablePointer<T>, to gradient: UnsafeMutablePointer<T>, accumulate: Bool,
    shares: UnsafeMutablePointer<Float>, _ pool: WorkerPool
  ) {
    let (step, channelStep) = format == .nchw ? (1, plane) : (channels, 1)
    func store(_ sum: Double, _ k: Int) { gradient[k] = accumulate ? gradient[k] + T(sum) : T(sum) }
    guard T.self == Float.self else {
      pool.parallelFor(channels) { k in
        var sum = 0.0
        for image in 0..<images {
          let from = dy + image * channels * plane + k * channelStep
          for position in 0..<plane { sum += Double(from[position * step]) }
        }
        store(sum, k)
      }
      return
    }
    let dy: UnsafePointer<Float> = recast(UnsafePointer(dy))
    pool.parallelFor(images) { image in
      let (from, to) = (dy + image * channels * plane, shares + image * channels)
      to.update(repeating: 0, count: channels)
      switch format {
      case .nchw: Elementwise.addSumsNCHW(channels: channels, area: plane, from, into: to)
      case .nhwc: Elementwise.addSumsNHWC(pixels: plane, channels: channels, from, into: to)
      }
    }
    for k in 0..<channels {
      var sum = 0.0
      for image in 0..<images { sum += Double(shares[image * channels + k]) }
      store(sum, k)
    }
  }
}
