import ConvCore

/// Batch normalisation of x [N, C, area], as the library computes it: float32 in blocks around a value of their own, whose sums are joined
/// in float64; float64 by plain loops in two passes.
public struct NormalizationTrace {
  private let tape: RoundingTape
  private let places: [[Int]]
  private let training, summarizes: Bool
  private let scale: [Traced]
  /// x − mean, in sums and in the results, and 1/√(variance + eps).
  private let deviations, centered: [Traced]
  private let inverses, factors: [Traced]
  /// Blocks of each channel's elements.
  private let blocks: [[[Int]]]
  private let means, storedMeans: [Traced]
  /// Mean and biased variance per channel, in float64.
  public private(set) var moments: [(mean: Traced, variance: Traced)] = []
  /// y = (x − mean)/√(variance + eps) · weight + bias.
  public let output: [Traced]

  /// - Parameters:
  ///   - given: mean and variance per channel in evaluation; nil in training.
  ///   - summarizes: whether results forget what the errors of a channel's numbers have in common: wider, but fast for many elements.
  public init(
    _ tape: RoundingTape, _ x: [Traced], channels: Int, area: Int, weight: [Traced]? = nil,
    bias: [Traced]? = nil, eps: Double, given: (mean: [Traced], variance: [Traced])? = nil,
    format: MemoryFormat = .nchw, summarizes: Bool = false
  ) {
    self.tape = tape
    self.summarizes = summarizes
    training = given == nil
    let places = (0..<channels).map { channel in x.indices.filter { $0 / area % channels == channel } }
    self.places = places
    // Planes of NCHW; of NHWC runs of pixels, which the kernel takes in blocks.
    let run = format == .nchw && area > 1 ? area : max(128, (1 << 16) / channels)
    blocks = places.map { all in
      tape.parts(all.count, of: run).flatMap { run in
        tape.normalizationBlocks(rows: run.count, channels: format == .nchw && area > 1 ? 1 : channels).map {
          $0.map { all[run[$0]] }
        }
      }
    }
    if let given {
      moments = zip(given.mean, given.variance).map { ($0, $1) }
    } else {
      moments = zip(places, blocks).map { all, blocks in
        let count = tape.exact(Double(all.count))
        let (mean, squares) =
          tape.isDouble ? tape.plainMoments(all.map { x[$0] }) : tape.blockMoments(x, blocks)
        return (mean, tape.inDouble { squares / count })
      }
    }
    scale = weight ?? (0..<channels).map { _ in tape.exact(1) }
    means = moments.map(\.mean)
    storedMeans = means.map(tape.stored)
    inverses = moments.map { moment in
      tape.inDouble { tape.exact(1) / (moment.variance + tape.exact(eps)).squareRoot() }
    }
    factors = zip(inverses, scale).map { inverse, scale in tape.stored(tape.inDouble { inverse * scale }) }
    var (deviations, centered, output) = (x, x, x)
    for (channel, all) in places.enumerated() {
      let shift = bias?[channel] ?? tape.exact(0)
      // PyTorch's kernel for the CPU multiplies x itself: what cancels is as large as the mean.
      let (mean, factor) = (storedMeans[channel], factors[channel])
      let (sharedMean, sharedFactor) =
        summarizes ? (Self.summary(mean), Self.summary(factor)) : (mean, factor)
      let constant = tape.isStored ? shift - sharedMean * sharedFactor : shift
      for i in all {
        deviations[i] = x[i] - mean
        centered[i] = summarizes ? x[i] - sharedMean : deviations[i]
        output[i] = (tape.isStored ? x[i] : centered[i]) * sharedFactor + constant
      }
    }
    (self.deviations, self.centered, self.output) = (deviations, centered, output)
  }

  /// A result depends on four numbers of its channel: mean, factor, offset and slope.
  private static func summary(_ x: Traced) -> Traced { x.tape.summary(of: x, count: 4) }

  /// The gradients; dx = weight/√(variance + eps) · (dy − mean(dy) − x̂·mean(dy·x̂)) in training.
  public func backward(_ dy: [Traced]) -> (input: [Traced], weight: [Traced], bias: [Traced]) {
    var input = dy
    var (weights, biases): ([Traced], [Traced]) = ([], [])
    for (channel, all) in places.enumerated() {
      let count = tape.exact(Double(all.count))
      let inverse = inverses[channel]
      let (sum, normalized) = sums(dy, channel)
      weights.append(tape.stored(normalized))
      biases.append(tape.stored(sum))
      var factor = factors[channel]
      var offset = tape.stored(tape.inDouble { training ? sum / count : tape.exact(0) })
      var slope = tape.stored(
        tape.inDouble { training ? normalized / count * inverse : tape.exact(0) })
      if summarizes {
        (factor, offset, slope) = (Self.summary(factor), Self.summary(offset), Self.summary(slope))
      }
      for i in all { input[i] = factor * (dy[i] - offset - centered[i] * slope) }
    }
    return (input, weights, biases)
  }

  /// Σ dy and Σ dy·x̂ of a channel.
  private func sums(_ dy: [Traced], _ channel: Int) -> (Traced, Traced) {
    let inverse = inverses[channel]
    if tape.isDouble {
      let all = places[channel]
      return (
        tape.sum(all.map { dy[$0] }),
        tape.sum(products: all.map { (dy[$0], deviations[$0] * inverse) })
      )
    }
    let parts = blocks[channel].map { block in
      (tape.sum(block.map { dy[$0] }), tape.sum(products: block.map { (dy[$0], deviations[$0]) }))
    }
    return tape.inDouble {
      let sum = tape.sum(parts.map(\.0))
      // What the rounding of the mean has left out.
      let product = tape.sum(parts.map(\.1)) + (storedMeans[channel] - means[channel]) * sum
      return (sum, product * inverse)
    }
  }

  /// (1 − momentum)·before + momentum·batch of the mean, and of the unbiased variance.
  public func running(
    mean: [Traced], variance: [Traced], momentum: Double
  ) -> (mean: [Traced], variance: [Traced]) {
    guard training else { return (mean, variance) }
    let newest = tape.exact(momentum)
    func updated(_ before: Traced, _ batch: Traced, _ factor: Traced) -> Traced {
      let batch = tape.stored(batch)
      return tape.stored(
        tape.inDouble { (tape.exact(1) - newest) * before + newest * factor * batch })
    }
    let count = Double(places[0].count)
    let unbiased = tape.inDouble { tape.exact(count) / tape.exact(count - 1) }
    return (
      zip(mean, moments).map { updated($0, $1.mean, tape.exact(1)) },
      zip(variance, moments).map { updated($0, $1.variance, unbiased) }
    )
  }
}

extension RoundingTape {
  /// 0..<count in parts of a length.
  fileprivate func parts(_ count: Int, of length: Int) -> [[Int]] {
    stride(from: 0, to: count, by: length).map { Array($0..<min(count, $0 + length)) }
  }

  /// The rows of each float32 sum over a block of rows × channels: of one channel in lanes, of several as many as stay in the cache.
  public func normalizationBlocks(rows: Int, channels: Int) -> [[Int]] {
    parts(rows, of: channels == 1 ? 4096 : min(128, max(16, 8192 / channels)))
  }

  /// Mean and Σ (x − mean)² by plain sums in two passes.
  public func plainMoments(_ x: [Traced]) -> (mean: Traced, squares: Traced) {
    let mean = sum(x) / exact(Double(x.count))
    let deviations = x.map { $0 - mean }
    return (mean, sum(products: deviations.map { ($0, $0) }))
  }

  /// The same by float32 sums of blocks around a value of their own, joined in float64.
  public func blockMoments(_ x: [Traced], _ blocks: [[Int]]) -> (mean: Traced, squares: Traced) {
    var (count, mean, squares) = (0.0, exact(0), exact(0))
    for block in blocks {
      let first = x[block[0]]
      let total = sum(block.map { x[$0] - first })
      let n = Double(block.count)
      let own = inDouble { first + total / exact(n) }
      let center = stored(own)
      let deviations = block.map { x[$0] - center }
      let ownSquares = sum(products: deviations.map { ($0, $0) })
      inDouble {
        let share = exact(n) / exact(count + n)
        let shift = own - mean
        mean = count == 0 ? own : mean + shift * share
        squares = count == 0 ? ownSquares : squares + ownSquares + shift * shift * exact(count) * share
      }
      count += n
    }
    return (mean, squares)
  }
}
