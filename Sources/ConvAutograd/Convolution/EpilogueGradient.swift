import ConvCore

/// The way back through what follows a convolution: from the gradient of maxPool(relu(y)) to that of y, and, in the same pass
/// over memory, to that of the bias.
///
/// ReLU and maximum commute, so that one look at the final output says where ReLU clamped.
struct EpilogueGradient {
  /// Logical shape of y, before the pooling.
  let shape: [Int]
  let format: MemoryFormat
  /// maxPool(relu(y)), where there is a ReLU.
  let output: Tensor?
  /// Each winner's place in its 2×2 window, where there is a pooling.
  let argmax: Tensor?

  /// - Parameter gradient: of the final output.
  /// - Returns: the gradients of y, in y's format, and of the bias [K].
  func backward(_ gradient: Tensor, pool: WorkerPool) throws -> (output: Tensor, bias: Tensor) {
    let g = try gradient.converted(to: format, pool: pool)
    return g.elementType == .float64 ? try plain(g, pool) : try vectorised(g, pool)
  }

  private var images: Int { shape[0] }
  private var channels: Int { shape[1] }
  private var plane: Int { shape.dropFirst(2).reduce(1, *) }
  /// Rows and columns; one column where there is no pooling, which alone needs to know rows.
  private var height: Int { argmax == nil ? plane : shape[2] }
  private var width: Int { argmax == nil ? 1 : shape[3] }

  /// float32: pieces of one image, some planes (NCHW) or some rows (NHWC) each, by the vectorised kernels. The bias gradient's
  /// shares, one for each piece or image, are summed in Double, in order.
  private func vectorised(_ g: Tensor, _ pool: WorkerPool) throws -> (output: Tensor, bias: Tensor) {
    let (images, channels, height, width) = (images, channels, height, width)
    let isNCHW = format == .nchw
    let (lines, line) = isNCHW ? (channels, height * width) : (height, width * channels)
    // A constant size, so that no result follows the thread count; pairs of lines, so that no window is cut.
    let perPiece = max(2, (65536 / line) & ~1)
    let pieces = (lines + perPiece - 1) / perPiece
    let shareRows = isNCHW ? images : images * pieces
    let shares = try PooledBuffer(count: shareRows * channels, of: Float.self)
    let sums = shares.baseAddress.bindMemory(to: Float.self, capacity: shareRows * channels)
    var dy = try Tensor(uninitialized: shape, format: format)
    dy.withUnsafeMutablePointer(as: Float.self) { dy in
      g.withUnsafePointer(as: Float.self) { g in
        withOptional(output, Float.self) { y in
          withOptional(argmax, UInt8.self) { argmax in
            pool.parallelFor(images * pieces) { task in
              let first = task % pieces * perPiece
              let piece = Piece(
                image: task / pieces, lines: first..<min(lines, first + perPiece),
                sum: isNCHW ? sums + task / pieces * channels + first : sums + task * channels)
              spread(piece, g, y, argmax, into: dy)
            }
          }
        }
      }
    }
    var db = try Tensor(uninitialized: [channels])
    db.withUnsafeMutablePointer(as: Float.self) { db in
      for k in 0..<channels {
        var sum = 0.0
        for row in 0..<shareRows { sum += Double(sums[row * channels + k]) }
        db[k] = Float(sum)
      }
    }
    return (dy, db)
  }

  private struct Piece {
    var image: Int
    /// Channels (NCHW) or rows (NHWC).
    var lines: Range<Int>
    /// Where its share of the bias gradient goes.
    var sum: UnsafeMutablePointer<Float>
  }

  private func spread(
    _ piece: Piece, _ g: UnsafePointer<Float>, _ y: UnsafePointer<Float>?, _ argmax: UnsafePointer<UInt8>?,
    into dy: UnsafeMutablePointer<Float>
  ) {
    let (lines, sum) = (piece.lines, piece.sum)
    let isNCHW = format == .nchw
    let line = isNCHW ? height * width : width * channels
    let start = (piece.image * (isNCHW ? channels : height) + lines.lowerBound) * line
    sum.update(repeating: 0, count: isNCHW ? lines.count : channels)
    guard let argmax else {
      if let y {
        Elementwise.reluBackward(
          count: lines.count * line, output: y + start, outputGradient: g + start, into: dy + start)
      } else {
        (dy + start).update(from: g + start, count: lines.count * line)
      }
      if isNCHW {
        Elementwise.addSumsNCHW(channels: lines.count, area: line, dy + start, into: sum)
      } else {
        Elementwise.addSumsNHWC(pixels: lines.count * width, channels: channels, dy + start, into: sum)
      }
      return
    }
    let (halfHeight, halfWidth) = (height / 2, width / 2)
    guard isNCHW else {
      let pooled = (piece.image * halfHeight + lines.lowerBound / 2) * halfWidth * channels
      Elementwise.spreadToPairs(
        height: lines.count, width: width, channels: channels, g + pooled, output: y.map { $0 + pooled },
        winner: argmax + pooled, into: dy + start, sum: sum)
      return
    }
    for index in 0..<lines.count {
      let pooled = (piece.image * channels + lines.lowerBound + index) * halfHeight * halfWidth
      Elementwise.spreadToPairs(
        height: height, width: width, channels: 1, g + pooled, output: y.map { $0 + pooled },
        winner: argmax + pooled, into: dy + start + index * line, sum: sum + index)
    }
  }

  /// float64: one channel after the other, one sum each.
  private func plain(_ g: Tensor, _ pool: WorkerPool) throws -> (output: Tensor, bias: Tensor) {
    let (images, channels, height, width) = (images, channels, height, width)
    let (channel, step) = format == .nchw ? (height * width, 1) : (1, channels)
    let isPooled = argmax != nil
    let (rows, columns) = isPooled ? (height / 2, width / 2) : (height, width)
    let pooledChannel = format == .nchw ? rows * columns : 1
    var dy = try Tensor.zeros(shape, elementType: .float64, format: format)
    var db = try Tensor(uninitialized: [channels], elementType: .float64)
    dy.withUnsafeMutablePointer(as: Double.self) { dy in
      db.withUnsafeMutablePointer(as: Double.self) { db in
        g.withUnsafePointer(as: Double.self) { g in
          withOptional(output, Double.self) { y in
            withOptional(argmax, UInt8.self) { argmax in
              pool.parallelFor(channels) { k in
                var sum = 0.0
                for image in 0..<images {
                  let from = image * channels * rows * columns + k * pooledChannel
                  let to = image * channels * height * width + k * channel
                  for i in 0..<rows * columns {
                    let at = from + i * step
                    let passed = y.map { $0[at] <= 0 ? 0 : g[at] } ?? g[at]
                    var place = i
                    if let argmax {
                      let winner = Int(argmax[at])
                      place = (2 * (i / columns) + winner / 2) * width + 2 * (i % columns) + winner % 2
                    }
                    dy[to + place * step] = passed
                    sum += passed
                  }
                }
                db[k] = sum
              }
            }
          }
        }
      }
    }
    return (dy, db)
  }
}

private func withOptional<T: TensorScalar, R>(
  _ tensor: Tensor?, _: T.Type, _ body: (UnsafePointer<T>?) throws -> R
) rethrows -> R {
  guard let tensor else { return try body(nil) }
  return try tensor.withUnsafePointer(as: T.self) { try body($0) }
}
