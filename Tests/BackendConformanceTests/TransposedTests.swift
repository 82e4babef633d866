import ConvAutograd
import ConvBackends
import ConvCore
import ConvHarness
import ConvNN
import ConvTestSupport
import Testing

/// Transposed convolutions of 1 to 3 dimensions on every engine: small integers against the definition, each product where it
/// belongs.
@Suite struct TransposedTests {
  struct Case: Sendable, CustomTestStringConvertible {
    /// [N, Cin, …] and [Cin, Cout/groups, …].
    let input: [Int], weight: [Int]
    var stride = 1, padding = 0, outputPadding = 0, dilation = 1, groups = 1
    /// Extents as PyTorch gives them.
    let output: [Int]
    var testDescription: String {
      "\(input) \(weight) u\(stride) p\(padding) o\(outputPadding) l\(dilation) g\(groups)"
    }
  }

  /// Output padding below the stride, and from there up to the dilation: with padding to give up, with none, and where windows
  /// reach nothing of the output.
  static let cases = [
    Case(input: [1, 1, 3, 3], weight: [1, 1, 3, 3], outputPadding: 1, dilation: 2, output: [8, 8]),
    Case(
      input: [2, 3, 4, 5], weight: [3, 2, 3, 2], stride: 2, padding: 1, outputPadding: 1, output: [8, 9]),
    Case(
      input: [2, 4, 3, 4], weight: [4, 3, 2, 3], stride: 2, padding: 0, outputPadding: 3, dilation: 4,
      groups: 2,
      output: [12, 18]),
    Case(
      input: [1, 2, 4, 3], weight: [2, 5, 3, 3], padding: 1, outputPadding: 2, dilation: 3, output: [10, 9]),
    Case(input: [1, 3, 4, 4], weight: [3, 4, 1, 1], outputPadding: 2, dilation: 3, output: [6, 6]),
    Case(
      input: [1, 2, 3, 3], weight: [2, 2, 1, 1], padding: 2, outputPadding: 2, dilation: 3, output: [1, 1]),
    Case(
      input: [1, 2, 1, 1], weight: [2, 3, 1, 1], padding: 1, outputPadding: 5, dilation: 10, output: [4, 4]),
    Case(
      input: [2, 3, 6], weight: [3, 4, 3], stride: 3, padding: 2, outputPadding: 4, dilation: 5, output: [26]),
    Case(input: [2, 4, 5], weight: [4, 1, 2], outputPadding: 1, dilation: 2, groups: 4, output: [8]),
    Case(
      input: [1, 2, 2, 3, 2], weight: [2, 3, 2, 1, 3], outputPadding: 1, dilation: 2, output: [5, 4, 7]),
    Case(
      input: [1, 2, 2, 2, 3], weight: [2, 1, 2, 2, 2], stride: 2, padding: 1, outputPadding: 2, dilation: 3,
      groups: 2, output: [6, 6, 8]),
  ]

  private func integers(_ shape: [Int], seed: UInt64) throws -> Tensor {
    var generator = PhiloxGenerator(seed: seed)
    return try Tensor(
      (0..<shape.reduce(1, *)).map { _ in Float(Int.random(in: -3...3, using: &generator)) }, shape: shape)
  }

  /// y[h·u + r·l − p] += x[h]·w[r] for all channels of a group, and the same sums for the gradients.
  private func definition(_ t: Case, x: [Float], w: [Float], dy: [Float]) -> (
    y: [Float], dx: [Float], dw: [Float]
  ) {
    let (n, cin, perGroup) = (t.input[0], t.input[1], t.weight[1])
    let (inPerGroup, cout) = (cin / t.groups, perGroup * t.groups)
    let (area, taps, outArea) = (
      t.input.dropFirst(2).reduce(1, *), t.weight.dropFirst(2).reduce(1, *), t.output.reduce(1, *)
    )
    func coordinates(_ index: Int, _ extents: [Int]) -> [Int] {
      var (rest, result) = (index, [Int](repeating: 0, count: extents.count))
      for axis in extents.indices.reversed() {
        result[axis] = rest % extents[axis]
        rest /= extents[axis]
      }
      return result
    }
    var y = [Float](repeating: 0, count: n * cout * outArea)
    var (dx, dw) = ([Float](repeating: 0, count: x.count), [Float](repeating: 0, count: w.count))
    for position in 0..<area {
      for tap in 0..<taps {
        let place = zip(coordinates(position, Array(t.input[2...])), coordinates(tap, Array(t.weight[2...])))
          .map { $0 * t.stride + $1 * t.dilation - t.padding }
        guard zip(place, t.output).allSatisfy({ $0 >= 0 && $0 < $1 }) else { continue }
        let at = zip(place, t.output).reduce(0) { $0 * $1.1 + $1.0 }
        for image in 0..<n {
          for c in 0..<cin {
            for k in 0..<perGroup {
              let xi = (image * cin + c) * area + position
              let wi = (c * perGroup + k) * taps + tap
              let yi = (image * cout + c / inPerGroup * perGroup + k) * outArea + at
              y[yi] += x[xi] * w[wi]
              dx[xi] += dy[yi] * w[wi]
              dw[wi] += dy[yi] * x[xi]
            }
          }
        }
      }
    }
    return (y, dx, dw)
  }

  @Test(arguments: cases, BackendRegistry.all.map(\.name))
  func values(_ t: Case, _ name: String) throws {
    let engine = try #require(BackendRegistry.all.first { $0.name == name })
    let cout = t.weight[1] * t.groups
    let shape = [t.input[0], cout] + t.output
    for format in MemoryFormat.allCases {
      let (x, w, b, dy) = try (
        integers(t.input, seed: 1), integers(t.weight, seed: 2), integers([cout], seed: 3),
        integers(shape, seed: 4)
      )
      let inputs = try [x.converted(to: format), w, b].map { Variable($0, requiresGrad: true) }
      // Some engines decline large taps or strides: there the reference engine has to do.
      let y = try withBackend(engine, fallback: .naive) {
        let y = try inputs[0].convTranspose(
          weight: inputs[1], bias: inputs[2], stride: Sizes(t.stride), padding: Sizes(t.padding),
          outputPadding: Sizes(t.outputPadding), groups: t.groups, dilation: Sizes(t.dilation))
        try y.backward(gradient: dy)
        return y.value
      }
      #expect(y.shape == shape)
      let (plane, bias) = (t.output.reduce(1, *), b.values(as: Float.self))
      var expected = definition(
        t, x: x.values(as: Float.self), w: w.values(as: Float.self), dy: dy.values(as: Float.self))
      for i in expected.y.indices { expected.y[i] += bias[i / plane % cout] }
      let gradient = dy.values(as: Float.self)
      let db = (0..<cout).map { k in
        gradient.indices.reduce(Float(0)) { $1 / plane % cout == k ? $0 + gradient[$1] : $0 }
      }
      for (what, found, wanted) in [
        ("output", y, expected.y), ("input", inputs[0].grad, expected.dx),
        ("weight", inputs[1].grad, expected.dw),
        ("bias", inputs[2].grad, db),
      ] as [(String, Tensor?, [Float])] {
        let values = try #require(found).values(as: Float.self)
        // Transforms round; sums of so small integers stay far from their halves.
        #expect(values.map { $0.rounded() } == wanted, "\(what), \(format)")
      }
    }
  }

  @Test func outputPaddingOfStrideAndDilationIsRefused() throws {
    func transposed(_ stride: Int, _ outputPadding: Int, _ dilation: Int) throws {
      _ = try Variable(Tensor.zeros([1, 1, 3])).convTranspose(
        weight: Variable(Tensor.zeros([1, 1, 3])), stride: Sizes(stride), outputPadding: Sizes(outputPadding),
        dilation: Sizes(dilation))
    }
    for (stride, extra, dilation) in [(1, 1, 1), (2, 2, 2), (2, 3, 3), (3, 3, 2), (1, -1, 2)] {
      #expect(throws: ConvError.self) { try transposed(stride, extra, dilation) }
    }
  }
}
