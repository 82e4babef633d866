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

  /// Compares with tolerances of a few roundings of the terms' own size.
  private func check(_ what: String, _ found: [Double], _ expected: [Double], within allowed: [Double]) {
    let wrong = found.indices.first { !(abs(found[$0] - expected[$0]) <= allowed[$0]) }
    #expect(
      wrong == nil,
      "\(what)[\(wrong ?? 0)]: \(found[wrong ?? 0]) for \(expected[wrong ?? 0]) ± \(allowed[wrong ?? 0])"
    )
  }

  @Test(arguments: blocks, [0.0, 300])
  func momentsAreMeanAndSquares(_ block: ChannelNormalization, _ offset: Double) {
    let (rows, channels) = (block.rows, block.channels)
    let x = random(rows * channels, seed: 1, mean: offset)
    var mean = [Double](repeating: .nan, count: channels)
    var squares = mean
    block.moments(x, mean: &mean, squares: &squares)
    var (means, sums) = (mean, mean)
    for c in 0..<channels {
      let column = (0..<rows).map { Double(x[$0 * channels + c]) }
      means[c] = column.reduce(0, +) / Double(rows)
      sums[c] = column.reduce(0) { $0 + ($1 - means[c]) * ($1 - means[c]) }
    }
    // Differences of neighbours are exact, or rounded at the size of the deviations; so the mean's size does not matter much.
    check("mean of \(block)", mean, means, within: means.map { _ in 4e-6 })
    check(
      "squares of \(block)", squares, sums, within: sums.map { $0 * 4e-6 + Double(rows) * 1e-11 * offset })
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
    let u = 0x1p-24
    var (values, allowed) = ([Double](), [Double]())
    for i in 0..<count {
      let c = i % channels
      let product = (Double(x[i]) - Double(mean[c])) * Double(factor[c])
      let sum = product + Double(shift[c]) + (options.adds ? Double(other[i]) : 0)
      values.append(options.relu ? max(sum, 0) : sum)
      allowed.append(4 * u * (abs(product) + abs(Double(shift[c])) + abs(Double(other[i])) + abs(sum)))
    }
    check("y of \(block)", y.map { Double($0) }, values, within: allowed)

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
    var (sums, products, sizes) = (
      [Double](repeating: 0, count: channels), [Double](repeating: 0, count: channels),
      [Double](repeating: 0, count: channels)
    )
    var (slopes, slopeSizes) = ([Double](), [Double]())
    for i in 0..<count {
      let c = i % channels
      let (d, deviation) = (Double(gradient[i]), Double(x[i]) - Double(mean[c]))
      sums[c] += d
      products[c] += d * deviation
      sizes[c] += abs(d) + abs(d * deviation)
      let terms = [d, -Double(offset[c]), -deviation * Double(slope[c])]
      slopes.append(Double(factor[c]) * terms.reduce(0, +))
      slopeSizes.append(4 * u * abs(Double(factor[c])) * terms.reduce(0) { $0 + abs($1) })
    }
    check("sums of \(block)", sum, sums, within: sizes.map { 16 * u * $0 })
    check("products of \(block)", product, products, within: sizes.map { 16 * u * $0 })
    check("dx of \(block)", dx.map { Double($0) }, slopes, within: slopeSizes)
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
