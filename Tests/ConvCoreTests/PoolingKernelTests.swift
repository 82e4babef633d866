import CConvKernels
import ConvTestSupport
import Testing

/// Maximum and spread of 2 × 2 windows on every instruction set: all tails of channels and of rows of
/// windows, ties, NaN.
@Suite struct PoolingKernelTests {
  /// What vectors run along.
  enum Order: String, Sendable, CaseIterable { case channels, windows }

  private struct Image: CustomStringConvertible {
    let height: Int, width: Int, channels: Int
    var description: String { "\(height)×\(width)×\(channels)" }
    var count: Int { height * width * channels }
    var windows: Int { height / 2 * (width / 2) * channels }

    /// The four places of each window, window by window, channel by channel.
    var places: [[Int]] {
      (0..<windows).map { i in
        let (c, q, p) = (i % channels, i / channels % (width / 2), i / channels / (width / 2))
        return (0..<4).map { ((2 * p + $0 / 2) * width + 2 * q + $0 % 2) * channels + c }
      }
    }
  }

  private static func images(_ example: KernelCase<Order>) -> [Image] {
    example.lengths(Float.self).flatMap { length in
      [(2, 0), (5, 1)].map { height, odd in
        example.row == .channels
          ? Image(height: height, width: 4 + odd, channels: length)
          : Image(height: height, width: 2 * length + odd, channels: 1)
      }
    }
  }

  @Test(arguments: KernelCase.all(Order.allCases))
  func maximum(_ example: KernelCase<Order>) {
    for image in Self.images(example) {
      let x: [Float] = KernelValues.integers(image.count, seed: 7, special: 6)
      let memory = KernelMemory()
      let y = memory.result([Float](repeating: 99, count: image.windows))
      let winner = memory.result([UInt8](repeating: 9, count: image.windows))
      vb_max_pairs_f32(
        example.kernels, image.height, image.width, image.channels, memory.input(x), y, winner)
      // The first NaN, else the first of the largest; -0 is as large as 0.
      let places = image.places
      let best = places.map { places in
        places.indices.first { x[places[$0]].isNaN }
          ?? places.indices.reduce(0) { x[places[$1]] > x[places[$0]] ? $1 : $0 }
      }
      let wrongPlaces = memory.difference(winner, from: best.map { UInt8($0) })
      #expect(wrongPlaces == nil, "\(example) \(image): \(wrongPlaces ?? "")")
      let wrong = memory.difference(y, from: zip(places, best).map { x[$0[$1]] })
      #expect(wrong == nil, "\(example) \(image): \(wrong ?? "")")
    }
  }

  @Test(arguments: KernelCase.all(Order.allCases))
  func spread(_ example: KernelCase<Order>) {
    for image in Self.images(example) {
      for masks in [false, true] {
        // Outputs of a ReLU and of none; NaN among gradients and outputs.
        let dy: [Float] = KernelValues.integers(image.windows, seed: 8, special: 40)
        let y: [Float] = KernelValues.integers(image.windows, seed: 9, special: 8)
        let winner = KernelValues.integers(image.windows, seed: 10, Float.self).map { UInt8(abs($0)) % 4 }
        let memory = KernelMemory()
        let dx = memory.result([Float](repeating: .nan, count: image.count))
        let sum = memory.result([Float](repeating: 3, count: image.channels))
        vb_spread_pairs_f32(
          example.kernels, image.height, image.width, image.channels, memory.input(dy),
          masks ? memory.input(y) : nil, memory.input(winner, between: 0), dx, sum)
        var expected = [Float](repeating: 0, count: image.count)
        var sums = [Float](repeating: 3, count: image.channels)
        for (i, places) in image.places.enumerated() {
          // A ReLU's gradient is 0 where its output is; NaN lets it pass, as in PyTorch.
          let g = masks && y[i] <= 0 ? 0 : dy[i]
          expected[places[Int(winner[i])]] = g
          sums[i % image.channels] += g
        }
        let wrong = memory.difference(dx, from: expected)
        #expect(wrong == nil, "\(example) \(image), masks \(masks): \(wrong ?? "")")
        let wrongSum = memory.difference(sum, from: sums)
        #expect(wrongSum == nil, "\(example) \(image), masks \(masks), sums: \(wrongSum ?? "")")
      }
    }
  }
}
