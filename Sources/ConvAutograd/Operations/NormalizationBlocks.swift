import ConvCore

/// How a tensor [N, C, …] divides into the blocks of `ChannelNormalization`, whatever the number of threads: in NHWC runs of
/// pixels with all channels, in NCHW single planes. Each block belongs to one part of every sum over a channel.
private struct ChannelBlocks {
  let channels: Int
  /// Partial sums per channel: runs of pixels, or images.
  let parts: Int
  /// Pixels (in NCHW of one image) in all, and of all parts but the last.
  private let rows, rowsPerPart: Int
  private let isPlanar: Bool

  init(_ x: Tensor) {
    let (batch, channels, positions, _, step) = x.channelLayout
    self.channels = channels
    // [N, C] is the same in both formats.
    isPlanar = step == 1 && positions > 1
    if isPlanar {
      (parts, rows, rowsPerPart) = (batch, positions, positions)
    } else {
      rows = batch * positions
      rowsPerPart = min(rows, max(128, (1 << 16) / channels))
      parts = (rows + rowsPerPart - 1) / rowsPerPart
    }
  }

  /// Elements per channel in a part.
  func count(ofPart part: Int) -> Int { isPlanar ? rows : min(rowsPerPart, rows - part * rowsPerPart) }

  /// Calls `body` in parallel for each block, with its first element, its first channel, and its place in [parts][channels].
  @inline(__always)
  func forEach(_ body: (ChannelNormalization, _ start: Int, _ channel: Int, _ place: Int) -> Void) {
    guard isPlanar else {
      forEachTask(parts, work: rows * channels) { part in
        body(
          ChannelNormalization(rows: count(ofPart: part), channels: channels), part * rowsPerPart * channels,
          0,
          part * channels)
      }
      return
    }
    let planes = parts * channels
    forEachChunk(planes, size: max(1, chunkSize / rows)) { range in
      for plane in range {
        body(ChannelNormalization(rows: rows, channels: 1), plane * rows, plane % channels, plane)
      }
    }
  }

  /// Memory for two sums per part and channel.
  func partialSums() throws -> (PooledBuffer, UnsafeMutablePointer<Double>, UnsafeMutablePointer<Double>) {
    let count = parts * channels
    let buffer = try PooledBuffer(byteCount: 2 * count * MemoryLayout<Double>.stride)
    let first = buffer.baseAddress.bindMemory(to: Double.self, capacity: 2 * count)
    return (buffer, first, first + count)
  }
}

/// Mean and variance per channel of a float32 tensor.
func blockMoments(_ x: Tensor) throws -> ChannelMoments {
  let blocks = ChannelBlocks(x)
  let channels = blocks.channels
  let (buffer, mean, squares) = try blocks.partialSums()
  return x.withUnsafePointer(as: Float.self) { x in
    withExtendedLifetime(buffer) {
      blocks.forEach { block, start, _, place in
        block.moments(x + start, mean: mean + place, squares: squares + place)
      }
      var moments = ChannelMoments(mean: [], variance: [])
      for channel in 0..<channels {
        var (count, center, sum) = (0.0, 0.0, 0.0)
        for part in 0..<blocks.parts {
          let n = Double(blocks.count(ofPart: part))
          let (share, place) = (n / (count + n), part * channels + channel)
          let shift = mean[place] - center
          // Exact for the first part, whose share is 1.
          center += shift * share
          sum += squares[place] + shift * shift * count * share
          count += n
        }
        moments.mean.append(center)
        moments.variance.append(sum / count)
      }
      return moments
    }
  }
}

extension Normalization {
  private var floatMean: [Float] { mean.map { Float($0) } }
  private var floatFactor: [Float] { zip(inverse, scale).map { Float($0 * $1) } }

  func blockForward(_ shift: [Double], adding residual: Tensor?) throws -> Tensor {
    let (means, factors, shifts) = (floatMean, floatFactor, shift.map { Float($0) })
    var y = try Tensor(uninitialized: x.shape, format: x.format)
    func run(_ other: UnsafePointer<Float>?) {
      x.withUnsafePointer(as: Float.self) { x0 in
        y.withUnsafeMutablePointer(as: Float.self) { y in
          means.withUnsafeBufferPointer { means in
            factors.withUnsafeBufferPointer { factors in
              shifts.withUnsafeBufferPointer { shifts in
                guard let mean = means.baseAddress, let factor = factors.baseAddress,
                  let shift = shifts.baseAddress
                else { return }
                ChannelBlocks(x).forEach { block, start, channel, _ in
                  block.forward(
                    x0 + start, mean: mean + channel, factor: factor + channel, shift: shift + channel,
                    adding: other.map { $0 + start }, relu: relu, into: y + start)
                }
              }
            }
          }
        }
      }
    }
    if let residual { residual.withUnsafePointer(as: Float.self) { run($0) } } else { run(nil) }
    return y
  }

  /// As `exactBackward`; the residual's gradient is the output's own where there is no ReLU.
  func blockBackward(_ g: Tensor, _ y: Tensor?, needsResidual: Bool) throws -> Gradients {
    let blocks = ChannelBlocks(x)
    var residual: Tensor?
    if needsResidual && y != nil { residual = try Tensor(uninitialized: x.shape, format: x.format) }
    let (sums, products) = try gradientSums(blocks, g, y, masked: &residual)
    var gradients = Gradients(
      input: try Tensor(uninitialized: x.shape, format: x.format),
      scale: zip(products, inverse).map { $0 * $1 }, shift: sums,
      residual: residual ?? (needsResidual ? g : nil))
    // What is masked already needs no y.
    backward(blocks, residual ?? g, residual == nil ? y : nil, sums, products, into: &gradients.input)
    return gradients
  }

  /// Σ g and Σ g·(x − mean) per channel.
  private func gradientSums(
    _ blocks: ChannelBlocks, _ g: Tensor, _ y: Tensor?, masked: inout Tensor?
  ) throws -> ([Double], [Double]) {
    let (buffer, sum, product) = try blocks.partialSums()
    let means = floatMean
    func run(_ masked: UnsafeMutablePointer<Float>?) {
      withPointers(x, g, y) { x, g, y in
        means.withUnsafeBufferPointer { means in
          guard let mean = means.baseAddress else { return }
          blocks.forEach { block, start, channel, place in
            block.sums(
              outputGradient: g + start, output: y.map { $0 + start }, x + start, mean: mean + channel,
              sum: sum + place, product: product + place, masked: masked.map { $0 + start })
          }
        }
      }
    }
    if masked == nil { run(nil) } else { masked?.withUnsafeMutablePointer(as: Float.self) { run($0) } }
    func joined(_ parts: UnsafeMutablePointer<Double>) -> [Double] {
      (0..<blocks.channels).map { channel in
        (0..<blocks.parts).reduce(0.0) { $0 + parts[$1 * blocks.channels + channel] }
      }
    }
    return withExtendedLifetime(buffer) {
      let sums = joined(sum)
      // What the rounding of the mean has left out.
      let products = joined(product).enumerated().map { $1 + (Double(means[$0]) - mean[$0]) * sums[$0] }
      return (sums, products)
    }
  }

  private func backward(
    _ blocks: ChannelBlocks, _ g: Tensor, _ y: Tensor?, _ sums: [Double], _ products: [Double],
    into dx: inout Tensor
  ) {
    let count = Double(x.count / blocks.channels)
    let (means, factors) = (floatMean, floatFactor)
    let offsets = sums.map { Float(training ? $0 / count : 0) }
    let slopes = zip(products, inverse).map { Float(training ? $0 / count * $1 * $1 : 0) }
    dx.withUnsafeMutablePointer(as: Float.self) { dx in
      withPointers(x, g, y) { x, g, y in
        means.withUnsafeBufferPointer { means in
          factors.withUnsafeBufferPointer { factors in
            offsets.withUnsafeBufferPointer { offsets in
              slopes.withUnsafeBufferPointer { slopes in
                guard let mean = means.baseAddress, let factor = factors.baseAddress,
                  let offset = offsets.baseAddress, let slope = slopes.baseAddress
                else { return }
                blocks.forEach { block, start, channel, _ in
                  block.backward(
                    outputGradient: g + start, output: y.map { $0 + start }, x + start, mean: mean + channel,
                    factor: factor + channel, offset: offset + channel, slope: slope + channel,
                    into: dx + start)
                }
              }
            }
          }
        }
      }
    }
  }
}

private func withPointers(
  _ x: Tensor, _ g: Tensor, _ y: Tensor?,
  _ body: (UnsafePointer<Float>, UnsafePointer<Float>, UnsafePointer<Float>?) -> Void
) {
  x.withUnsafePointer(as: Float.self) { x in
    g.withUnsafePointer(as: Float.self) { g in
      guard let y else { return body(x, g, nil) }
      y.withUnsafePointer(as: Float.self) { body(x, g, $0) }
    }
  }
}
