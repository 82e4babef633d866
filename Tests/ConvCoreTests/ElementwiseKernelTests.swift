import CConvKernels
import ConvTestSupport
import Testing

/// Elementwise passes and sums on every instruction set and all tails, with NaN, infinities and -0.
@Suite struct ElementwiseKernelTests {
  /// Whether a result lies where an operand does.
  enum Place: String, Sendable, CaseIterable { case apart, same }

  @Test(arguments: KernelCase.all([Float(3), -0.5])) func axpy(_ example: KernelCase<Float>) {
    for count in example.lengths(Float.self) {
      let x: [Float] = KernelValues.integers(count, seed: 1, special: 7)
      let before: [Float] = KernelValues.integers(count, seed: 2, special: 9)
      let memory = KernelMemory()
      let y = memory.result(before)
      vb_axpy_f32(example.kernels, count, example.row, memory.input(x), y)
      let wrong = memory.difference(y, from: zip(before, x).map { $0 + example.row * $1 })
      #expect(wrong == nil, "\(example), \(count) elements: \(wrong ?? "")")
    }
  }

  @Test(arguments: KernelCase.all(Place.allCases)) func relu(_ example: KernelCase<Place>) {
    for count in example.lengths(Float.self) {
      let x: [Float] = KernelValues.integers(count, seed: 3, special: 4)
      let memory = KernelMemory()
      let y = memory.result(example.row == .same ? x : [Float](repeating: 99, count: count))
      vb_relu_f32(example.kernels, count, example.row == .same ? y : memory.input(x), y)
      let wrong = memory.difference(y, from: x.map(rectified))
      #expect(wrong == nil, "\(example), \(count) elements: \(wrong ?? "")")
    }
  }

  @Test(arguments: KernelCase.all(Place.allCases)) func reluBackward(_ example: KernelCase<Place>) {
    for count in example.lengths(Float.self) {
      let y: [Float] = KernelValues.integers(count, seed: 4, special: 4)
      let dy: [Float] = KernelValues.integers(count, seed: 5, special: 5)
      let memory = KernelMemory()
      let dx = memory.result(example.row == .same ? dy : [Float](repeating: 99, count: count))
      vb_relu_backward_f32(
        example.kernels, count, memory.input(y), example.row == .same ? dx : memory.input(dy), dx)
      let wrong = memory.difference(dx, from: zip(y, dy).map { $0 <= 0 ? 0 : $1 })
      #expect(wrong == nil, "\(example), \(count) elements: \(wrong ?? "")")
    }
  }

  /// Rows × columns of the passes with a value per channel: tails of columns; then blocks of 64 and 256, and
  /// tails of them.
  private static func shapes(_ example: KernelCase<Int>) -> [(rows: Int, columns: Int)] {
    example.lengths(Float.self).map { (3, $0) }
      + [(0, 5), (1, 64), (255, 2), (256, 65), (257, 130), (513, 3), (2, 4099)]
  }

  @Test(arguments: KernelCase.all([0, 15])) func bias(_ example: KernelCase<Int>) {
    for (rows, columns) in Self.shapes(example) {
      let before: [Float] = KernelValues.integers(rows * columns, seed: 6, special: example.row)
      let perRow: [Float] = KernelValues.integers(rows, seed: 7, special: example.row)
      let perColumn: [Float] = KernelValues.integers(columns, seed: 8, special: example.row)
      let memory = KernelMemory()
      let (nchw, nhwc) = (memory.result(before), memory.result(before))
      vb_bias_nchw_f32(example.kernels, rows, columns, memory.input(perRow), nchw)
      vb_bias_nhwc_f32(example.kernels, rows, columns, memory.input(perColumn), nhwc)
      for wrong in [
        memory.difference(nchw, from: before.indices.map { before[$0] + perRow[$0 / columns] }),
        memory.difference(nhwc, from: before.indices.map { before[$0] + perColumn[$0 % columns] }),
      ] {
        #expect(wrong == nil, "\(example) \(rows)×\(columns): \(wrong ?? "")")
      }
    }
  }

  @Test(arguments: KernelCase.all([0, 90])) func sums(_ example: KernelCase<Int>) {
    for (rows, columns) in Self.shapes(example) {
      let y: [Float] = KernelValues.integers(rows * columns, seed: 9, special: example.row)
      var perRow: [Float] = KernelValues.integers(rows, seed: 10)
      var perColumn: [Float] = KernelValues.integers(columns, seed: 11)
      let memory = KernelMemory()
      let (nchw, nhwc) = (memory.result(perRow), memory.result(perColumn))
      let input = memory.input(y)
      vb_sum_nchw_f32(example.kernels, rows, columns, input, nchw)
      vb_sum_nhwc_f32(example.kernels, rows, columns, input, nhwc)
      for i in y.indices {
        perRow[i / columns] += y[i]
        perColumn[i % columns] += y[i]
      }
      for wrong in [memory.difference(nchw, from: perRow), memory.difference(nhwc, from: perColumn)] {
        #expect(wrong == nil, "\(example) \(rows)×\(columns): \(wrong ?? "")")
      }
    }
  }
}
