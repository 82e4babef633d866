import TestBounds
import Testing

@testable import ConvCore

/// Passes between convolutions: pooling and optimizer kernels against plain loops.
@Suite struct PassKernelTests {
  private func random(_ count: Int, seed: UInt64) -> [Float] {
    var generator = PhiloxGenerator(seed: seed)
    return (0..<count).map { _ in Float(Int.random(in: -4...4, using: &generator)) }
  }

  /// Small integers, so that ties are frequent, and NaNs, some in one window; odd sizes, so that a last row and column stay
  /// out.
  @Test(arguments: [(4, 4, 1), (5, 7, 1), (2, 131, 1), (4, 6, 3), (5, 5, 64), (3, 2, 70), (1, 4, 2)])
  func maximumAndSpreadOfPairs(_ size: (height: Int, width: Int, channels: Int)) {
    let (height, width, channels) = size
    var x = random(height * width * channels, seed: 7)
    var generator = PhiloxGenerator(seed: 9)
    if x.count > 20 { for i in x.indices where Int.random(in: 0..<5, using: &generator) == 0 { x[i] = .nan } }
    let (rows, columns) = (height / 2, width / 2)
    var y = [Float](repeating: 99, count: rows * columns * channels)
    var winner = [UInt8](repeating: 9, count: y.count)
    Elementwise.maximumOfPairs(
      height: height, width: width, channels: channels, x, into: &y, winner: &winner)
    let g = random(y.count, seed: 8).map { $0 + 0.5 }
    var dx = [Float](repeating: .nan, count: x.count)
    var sum = [Float](repeating: 3, count: channels)
    Elementwise.spreadToPairs(
      height: height, width: width, channels: channels, g, winner: winner, into: &dx, sum: &sum)
    var maskedDx = [Float](repeating: .nan, count: x.count)
    var maskedSum = [Float](repeating: 3, count: channels)
    Elementwise.spreadToPairs(
      height: height, width: width, channels: channels, g, output: y, winner: winner, into: &maskedDx,
      sum: &maskedSum)
    var expected = [Float](repeating: 0, count: x.count)
    var masked = expected
    // Halves of small integers: exact in any order.
    var (sums, maskedSums) = ([Float](repeating: 3, count: channels), [Float](repeating: 3, count: channels))
    for p in 0..<rows {
      for q in 0..<columns {
        for c in 0..<channels {
          let places = (0..<4).map { ((2 * p + $0 / 2) * width + 2 * q + $0 % 2) * channels + c }
          let values = places.map { x[$0] }
          let best = values.firstIndex { $0.isNaN } ?? values.firstIndex(of: values.max()!)!
          let i = (p * columns + q) * channels + c
          #expect(winner[i] == UInt8(best), "\(size) at \(p), \(q), \(c)")
          #expect(y[i].bitPattern == values[best].bitPattern)
          expected[places[best]] = g[i]
          sums[c] += g[i]
          // A ReLU's gradient is 0 where its output is; NaN lets it pass, as in PyTorch.
          if y[i] <= 0 { continue }
          masked[places[best]] = g[i]
          maskedSums[c] += g[i]
        }
      }
    }
    #expect(dx == expected, "\(size)")
    #expect(maskedDx == masked, "\(size)")
    #expect(sum == sums && maskedSum == maskedSums, "\(size)")
  }

  /// Compares with a formula whose roundings bound what the kernel may differ.
  private func check(
    _ found: [String: [Float]], _ trace: (RoundingTape) -> [String: [Traced]]
  ) {
    let bounds = RoundingBounds(.float32, trace)
    for (name, allowed) in bounds.allowed {
      let worst = RoundingBounds.worst(
        name, bounds.values[name] ?? [], found[name]?.map { Double($0) } ?? [], allowed)
      #expect(worst.ratio <= 1, "\(worst)")
    }
  }

  @Test(arguments: [1, 8, 37])
  func adamStep(_ count: Int) {
    let factors = Elementwise.AdamFactors(
      keep: 0.99, decay: 0.01, new1: 0.1, keep2: 0.999, new2: 0.001, rate: 0.01, root: 0.05, eps: 1e-8)
    let start = random(count, seed: 1).map { $0 / 8 + 1 }
    let g = random(count, seed: 2).map { $0 / 4 + 0.1 }
    let m0 = random(count, seed: 3)
    let v0 = random(count, seed: 4).map { abs($0) + 0.5 }
    var (p, m, v) = (start, m0, v0)
    Elementwise.adam(count: count, factors, parameters: &p, gradients: g, first: &m, second: &v)
    check(["parameter": p, "first": m, "second": v]) { tape in
      func exact(_ x: Float) -> Traced { tape.exact(Double(x)) }
      var results: [String: [Traced]] = [:]
      for i in 0..<count {
        let s = exact(start[i]) * exact(factors.keep)
        let gradient = exact(g[i]) + exact(factors.decay) * s
        let mean = exact(m0[i]) + exact(factors.new1) * (gradient - exact(m0[i]))
        let square = exact(factors.keep2) * exact(v0[i]) + exact(factors.new2) * gradient * gradient
        let step =
          exact(factors.rate) * mean / (square.squareRoot() / exact(factors.root) + exact(factors.eps))
        results["first", default: []].append(mean)
        results["second", default: []].append(square)
        results["parameter", default: []].append(s - step)
      }
      return results
    }
  }

  /// With and without a velocity and Nesterov's look ahead.
  @Test(arguments: [1, 8, 37], [(false, false), (true, false), (true, true)])
  func sgdStep(_ count: Int, _ options: (momentum: Bool, nesterov: Bool)) {
    let factors = Elementwise.SGDFactors(
      rate: 0.01, decay: 0.02, keep: 0.9, take: 0.7, nesterov: options.nesterov)
    let start = random(count, seed: 1).map { $0 / 8 + 1 }
    let g = random(count, seed: 2).map { $0 / 4 + 0.1 }
    let v0 = random(count, seed: 3)
    var (p, v) = (start, v0)
    v.withUnsafeMutableBufferPointer { v in
      Elementwise.sgd(
        count: count, factors, parameters: &p, gradients: g, velocity: options.momentum ? v.baseAddress : nil)
    }
    check(["parameter": p, "velocity": v]) { tape in
      func exact(_ x: Float) -> Traced { tape.exact(Double(x)) }
      var results: [String: [Traced]] = [:]
      for i in 0..<count {
        let gradient = exact(g[i]) + exact(factors.decay) * exact(start[i])
        var (velocity, step) = (exact(v0[i]), gradient)
        if options.momentum {
          velocity = exact(factors.keep) * velocity + exact(factors.take) * gradient
          step = options.nesterov ? gradient + exact(factors.keep) * velocity : velocity
        }
        results["velocity", default: []].append(velocity)
        results["parameter", default: []].append(exact(start[i]) - exact(factors.rate) * step)
      }
      return results
    }
  }
}
