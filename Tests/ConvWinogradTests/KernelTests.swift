import ConvCore
import Testing

@testable import ConvWinograd

/// The kernels' paths for the forms that Toom–Cook matrices have, on every instruction set.
@Suite struct TransformKernelTests {
  @Test("whole tiles of the known shapes agree with the plain product", arguments: InstructionSet.available)
  func knownForms(instructionSet: InstructionSet) throws {
    for (m, r) in [
      (4, 3), (3, 4), (2, 5), (5, 2), (2, 3), (3, 2), (6, 3), (3, 6), (4, 5), (5, 4),
    ] {
      try check(ToomCook(m: m, r: r, magnitudes: ToomCook.defaultMagnitudes(tile: m + r - 1)), instructionSet)
    }
  }

  /// Coefficients that are no exact multiples of each other take another path than the default points.
  @Test("points that are not dyadic", arguments: InstructionSet.available)
  func otherPoints(instructionSet: InstructionSet) throws {
    let magnitudes = try [(2, 3), (3, 2), (1, 3)].map { try Rational($0.0, over: $0.1) }
    for (m, r, count) in [(4, 3, 2), (2, 5, 2), (6, 3, 3), (4, 5, 3)] {
      try check(ToomCook(m: m, r: r, magnitudes: Array(magnitudes.prefix(count))), instructionSet)
    }
  }

  private func check(_ axis: ToomCook, _ instructionSet: InstructionSet) {
    let t = axis.transform
    for (matrix, rows, columns) in [(t.bt, t.tile, t.tile), (t.g, t.tile, t.r), (t.at, t.m, t.tile)] {
      let transform = SmallTransform(rows: rows, columns: columns, matrix, instructionSet: instructionSet)
      check(transform, matrix, rows, columns, Double.self, 1e-14)
      check(transform, matrix, rows, columns, Float.self, 5e-6)
    }
  }

  private func check<T: ConvScalar>(
    _ transform: SmallTransform, _ matrix: [Double], _ rows: Int, _ columns: Int, _: T.Type,
    _ tolerance: Double
  ) {
    let channels = 37
    // Inputs are at most about 4: errors grow with the largest sum of coefficients, squared for two axes.
    let sums = (0..<rows).map { i in matrix[i * columns..<(i + 1) * columns].reduce(0) { $0 + abs($1) } }
    let bound = tolerance * (sums.max() ?? 0) * (sums.max() ?? 0)
    let philox = Philox(seed: 101)
    let input = (0..<columns * columns * channels).map { T(philox.normal(at: UInt64($0))) }
    var output = [T](repeating: .nan, count: rows * rows * channels)
    transform.apply(
      right: transform,
      TransformLayout(
        channels: channels, inputRowStride: columns * channels, inputColumnStride: channels,
        outputRowStride: rows * channels, outputColumnStride: channels), input: input, output: &output)
    for i in 0..<rows {
      for j in 0..<rows {
        for c in 0..<channels {
          var expected = 0.0
          for a in 0..<columns {
            for b in 0..<columns {
              expected +=
                matrix[i * columns + a] * matrix[j * columns + b]
                * Double(input[(a * columns + b) * channels + c])
            }
          }
          let found = Double(output[(i * rows + j) * channels + c])
          #expect(
            abs(found - expected) <= bound,
            "\(transform.instructionSet) \(rows)×\(columns) \(T.self) at \(i) \(j) \(c) seed 101: \(found), \(expected)"
          )
        }
      }
    }
  }
}
