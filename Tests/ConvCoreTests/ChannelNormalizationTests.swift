import TestBounds
import Testing

@testable import ConvCore

/// The passes of batch normalisation against plain sums in Double: pixels of NHWC, planes of NCHW, odd sizes, strips of channels,
/// means far from zero.
@Suite struct ChannelNormalizationTests {
  static let blocks = [
    (1, 1), (63, 1), (64, 1), (4096, 1), (9001, 1), (1, 7), (5, 2), (300, 3), (257, 64), (130, 100),
    (40, 515),
  ].map { ChannelNormalization(rows: $0.0, channels: $0.1) }

  private func random(_ count: Int, seed: UInt64, mean: Double = 0) -> [Float] {
    let philox = Philox(seed: seed, stream: 0)
    return (0..<count).map { Float(philox.normal(at: UInt64($0)) + mean) }
  }

  /// Compares with what the roundings of the formula allow.
  private func check(
    _ block: ChannelNormalization, _ found: [String: [Double]],
    _ trace: (RoundingTape) -> [String: [Traced]]
  ) {
    let bounds = RoundingBounds(.float32, trace)
    for (name, allowed) in bounds.allowed {
      let worst = RoundingBounds.worst(
        "\(name) of \(block)", bounds.values[name] ?? [], found[name] ?? [], allowed)
      #expect(worst.ratio <= 1, "\(worst)")
    }
  }

  @Test(arguments: blocks, [0.0, 300])
  func momentsAreMeanAndSquares(_ block: ChannelNormalization, _ offset: Double) {
    let (rows, channels) = (block.rows, block.channels)
    let x = random(rows * channels, seed: 1, mean: offset)
    var mean = [Double](repeating: .nan, count: channels)
    var squares = mean
    block.moments(x, mean: &mean, squares: &squares)
    check(block, ["mean": mean, "squares": squares]) { tape in
      let parts = tape.normalizationBlocks(rows: rows, channels: channels)
      var results: [String: [Traced]] = [:]
      for c in 0..<channels {
        let column = (0..<rows).map { tape.exact(Double(x[$0 * channels + c])) }
        let moments = tape.isStored ? tape.plainMoments(column) : tape.blockMoments(column, parts)
        results["mean", default: []].append(moments.mean)
        results["squares", default: []].append(moments.squares)
      }
      return results
    }
  }

  @Test(arguments: blocks, [(false, false), (true, false), (false, true), (true, true)])
  func forwardAndBackward(_ block: ChannelNormalization, _ options: (adds: Bool, relu: Bool)) {
    let (rows, channels) = (block.rows, block.channels)
    let count = rows * channels
    let (x, other, g) = (random(count, seed: 2), random(count, seed: 3), random(count, seed: 4))
    let (mean, factor, shift) = (
      random(channels, seed: 5), random(channels, seed: 6), random(channels, seed: 7)
    )
    var y = [Float](repeating: .nan, count: count)
    other.withUnsafeBufferPointer { other in
      block.forward(
        x, mean: mean, factor: factor, shift: shift, adding: options.adds ? other.baseAddress : nil,
        relu: options.relu, into: &y)
    }

    // Backward. What is masked is written where both y and a place for it are given.
    let keeps = options.adds && options.relu
    var masked = [Float](repeating: .nan, count: count)
    var sum = [Double](repeating: .nan, count: channels)
    var product = sum
    var dx = masked
    let (offset, slope) = (random(channels, seed: 8), random(channels, seed: 9))
    y.withUnsafeBufferPointer { y in
      masked.withUnsafeMutableBufferPointer { masked in
        block.sums(
          outputGradient: g, output: options.relu ? y.baseAddress : nil, x, mean: mean, sum: &sum,
          product: &product, masked: keeps ? masked.baseAddress : nil)
      }
      block.backward(
        outputGradient: g, output: options.relu ? y.baseAddress : nil, x, mean: mean, factor: factor,
        offset: offset, slope: slope, into: &dx)
    }
    let gradient = (0..<count).map { options.relu && y[$0] <= 0 ? 0 : g[$0] }
    if keeps { #expect(masked == gradient, "\(block)") }
    // max(y, 0) errs by no more than y.
    let bounds = RoundingBounds(.float32) { tape in
      func exact(_ x: Float) -> Traced { tape.exact(Double(x)) }
      let values = (0..<count).map { i in
        let c = i % channels
        let product = (exact(x[i]) - exact(mean[c])) * exact(factor[c])
        return product + exact(shift[c]) + (options.adds ? exact(other[i]) : tape.exact(0))
      }
      return ["y": values]
    }
    let plain = (bounds.values["y"] ?? []).map { options.relu ? max($0, 0) : $0 }
    let worst = RoundingBounds.worst("y of \(block)", plain, y.map { Double($0) }, bounds.allowed["y"] ?? [])
    #expect(worst.ratio <= 1, "\(worst)")
    check(block, ["sums": sum, "products": product, "dx": dx.map { Double($0) }]) { tape in
      func exact(_ x: Float) -> Traced { tape.exact(Double(x)) }
      let deviations = (0..<count).map { exact(x[$0]) - exact(mean[$0 % channels]) }
      var results: [String: [Traced]] = [:]
      results["dx"] = (0..<count).map { i in
        let c = i % channels
        return exact(factor[c]) * (exact(gradient[i]) - exact(offset[c]) - deviations[i] * exact(slope[c]))
      }
      for c in 0..<channels {
        let parts = tape.normalizationBlocks(rows: rows, channels: channels)
        let sums = parts.map { rows in
          (
            tape.sum(rows.map { exact(gradient[$0 * channels + c]) }),
            tape.sum(
              products: rows.map { (exact(gradient[$0 * channels + c]), deviations[$0 * channels + c]) })
          )
        }
        tape.inDouble {
          results["sums", default: []].append(tape.sum(sums.map(\.0)))
          results["products", default: []].append(tape.sum(sums.map(\.1)))
        }
      }
      return results
    }
  }

  @Test(arguments: [1, 3]) func nanStays(_ channels: Int) {
    let block = ChannelNormalization(rows: 40, channels: channels)
    var x = [Float](repeating: 1, count: 40 * channels)
    x[30 * channels] = .nan
    let ones = [Float](repeating: 1, count: channels)
    var y = x
    block.forward(x, mean: ones, factor: ones, shift: ones, adding: nil, relu: true, into: &y)
    #expect(y.indices.filter { y[$0].isNaN } == [30 * channels])
    var mean = [Double](repeating: 0, count: channels)
    var squares = mean
    block.moments(x, mean: &mean, squares: &squares)
    #expect(mean[0].isNaN && squares[0].isNaN)
  }
}
