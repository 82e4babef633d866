import ConvCore
import ConvTestSupport
import Testing

/// Small transforms of plain matrices on every instruction set: all numbers of channels around vectors, NaN
/// and infinities. Random matrices and layouts are `SmallTransformTests`' concern, Toom–Cook matrices
/// ConvWinograd's.
@Suite struct TransformKernelTests {
  /// Shapes without a known form, with zeros.
  struct Matrix: Sendable, CustomStringConvertible {
    let rows: Int, columns: Int
    var description: String { "\(rows)×\(columns)" }
    /// Halves of small integers.
    let coefficients: [Double]

    init(_ rows: Int, _ columns: Int) {
      (self.rows, self.columns) = (rows, columns)
      coefficients = (0..<rows * columns).map { i -> Double in
        if i % 3 == 1 { return 0 }
        return Double(i * 5 % 7 - 3) / 2
      }
    }
  }
  private static let matrices = [(1, 1), (5, 3), (3, 9), (9, 2)].map { Matrix($0.0, $0.1) }

  /// A coefficient of 0 takes no part, whatever it would be multiplied with.
  private func sum<T: ConvScalar>(_ m: Matrix, row: Int, _ element: (Int) -> T) -> T {
    (0..<m.columns).reduce(0) { sum, j in
      let factor = m.coefficients[row * m.columns + j]
      return factor == 0 ? sum : sum + T(factor) * element(j)
    }
  }

  private func oneAxis<T: ConvScalar>(_ example: KernelCase<Matrix>, _: T.Type) {
    let m = example.row
    let transform = SmallTransform(
      rows: m.rows, columns: m.columns, m.coefficients, instructionSet: example.set)
    for channels in example.lengths(T.self) {
      let (inputStride, outputStride) = (channels + 1, channels + 3)
      let x: [T] = KernelValues.integers(m.columns * inputStride, seed: 1, special: 9)
      var expected: [T] = KernelValues.integers(m.rows * outputStride, seed: 2)
      let memory = KernelMemory()
      let y = memory.result(expected)
      transform.apply(
        channels: channels, input: memory.input(x), inputStride: inputStride, output: y,
        outputStride: outputStride)
      for i in 0..<m.rows {
        for c in 0..<channels { expected[i * outputStride + c] = sum(m, row: i) { x[$0 * inputStride + c] } }
      }
      let wrong = memory.difference(y, from: expected)
      #expect(wrong == nil, "\(example) \(T.self), \(channels) channels: \(wrong ?? "")")
    }
  }

  @Test(arguments: KernelCase.all(matrices)) func oneAxis(_ example: KernelCase<Matrix>) {
    oneAxis(example, Float.self)
    oneAxis(example, Double.self)
  }

  /// Bias, ReLU and what was there before, each with and without: NaN stays through all of them.
  private func twoAxes<T: ConvScalar>(_ example: KernelCase<Int>, _: T.Type) {
    let (left, right) = (Self.matrices[1], Self.matrices[2])
    let transforms = [left, right].map {
      SmallTransform(rows: $0.rows, columns: $0.columns, $0.coefficients, instructionSet: example.set)
    }
    for channels in example.lengths(T.self) where channels <= 4 * example.lanes(T.self) + 1 {
      let (inPixel, outPixel) = (channels + 1, channels + 3)
      var layout = TransformLayout(
        channels: channels, inputRowStride: right.columns * inPixel, inputColumnStride: inPixel,
        outputRowStride: right.rows * outPixel, outputColumnStride: outPixel)
      layout.relu = example.row & 1 != 0
      layout.accumulate = example.row & 2 != 0
      let x: [T] = KernelValues.integers(left.columns * right.columns * inPixel, seed: 3, special: 50)
      let bias: [T]? = example.row & 4 != 0 ? KernelValues.integers(channels, seed: 4, special: 20) : nil
      var expected: [T] = KernelValues.integers(left.rows * right.rows * outPixel, seed: 5, special: 20)
      let memory = KernelMemory()
      let y = memory.result(expected)
      transforms[0].apply(
        right: transforms[1], layout, input: memory.input(x), output: y, bias: bias.map { memory.input($0) })
      for i in 0..<left.rows {
        for j in 0..<right.rows {
          for c in 0..<channels {
            var value = sum(right, row: j) { q in
              sum(left, row: i) { p in x[(p * right.columns + q) * inPixel + c] }
            }
            let at = (i * right.rows + j) * outPixel + c
            if layout.accumulate { value += expected[at] }
            if let bias { value += bias[c] }
            expected[at] = layout.relu ? rectified(value) : value
          }
        }
      }
      let wrong = memory.difference(y, from: expected)
      #expect(wrong == nil, "\(example) \(T.self), \(channels) channels: \(wrong ?? "")")
    }
  }

  @Test(arguments: KernelCase.all(Array(0..<8))) func twoAxes(_ example: KernelCase<Int>) {
    twoAxes(example, Float.self)
    twoAxes(example, Double.self)
  }
}
