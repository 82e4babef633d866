import ConvCore
import Testing

@testable import ConvWinograd

/// The kernels' paths for the patterns of zeros that Toom–Cook matrices have, on every instruction set.
@Suite struct TransformKernelTests {
  @Test("whole tiles of the known shapes agree with the plain product", arguments: InstructionSet.available)
  func knownPatterns(instructionSet: InstructionSet) throws {
    for (m, r) in [(4, 3), (3, 4), (2, 5), (5, 2), (2, 3), (3, 2)] {
      let t = try ToomCook(m: m, r: r, magnitudes: ToomCook.defaultMagnitudes(tile: m + r - 1)).transform
      for (matrix, rows, columns) in [(t.bt, t.tile, t.tile), (t.g, t.tile, r), (t.at, m, t.tile)] {
        let transform = SmallTransform(rows: rows, columns: columns, matrix, instructionSet: instructionSet)
        check(transform, matrix, rows, columns, Double.self, 1e-13)
        check(transform, matrix, rows, columns, Float.self, 1e-5)
      }
    }
  }

  private func check<T: ConvScalar>(
    _ transform: SmallTransform, _ matrix: [Double], _ rows: Int, _ columns: Int, _: T.Type,
    _ tolerance: Double
  ) {
    let channels = 37
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
          // Coefficients reach 5 and 36 terms are summed: an absolute bound suits all of them.
          #expect(
            abs(found - expected) <= tolerance * 64,
            "\(transform.instructionSet) \(rows)×\(columns) \(T.self) at \(i) \(j) \(c) seed 101: \(found), \(expected)"
          )
        }
      }
    }
  }
}
