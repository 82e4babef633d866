import CConvKernels
import ConvCore
import ConvTestSupport
import Testing

@testable import ConvDirect

/// Depthwise kernels, channels last, on every instruction set: all tails of channels, every number of windows
/// and taps at which loops end differently, odd steps, NaN.
@Suite struct DepthwiseKernelTests {
  private func forward<T: DirectScalar>(_ example: KernelCase<ImplicitKernelTests.Finish>, _: T.Type) {
    let finish = example.row
    for channels in example.lengths(T.self) where channels <= 4 * example.lanes(T.self) + 1 {
      for columns in [0, 1, 2, 3, 7, 15] {
        let (xStep, yStep) = (2 * channels + 1, channels + 3)
        let offsets = [0, 5, channels + 1, 2 * xStep + 2]
        let weights = [0, channels + 1, 3 * channels, 2 * channels]
        let x: [T] = KernelValues.integers((columns + 4) * xStep + channels + 10, seed: 1, special: 70)
        let w: [T] = KernelValues.integers(4 * channels + 2, seed: 2)
        let bias: [T] = KernelValues.integers(channels, seed: 3, special: 30)
        var expected: [T] = KernelValues.integers(columns * yStep, seed: 4, special: 30)
        let memory = KernelMemory()
        let y = memory.result(expected)
        withShape(offsets, weights) { shape in
          (shape.columns, shape.channels) = (columns, channels)
          (shape.x_step, shape.y_step) = (xStep, yStep)
          (shape.accumulate, shape.relu) = (finish.accumulate ? 1 : 0, finish.relu ? 1 : 0)
          T.depthwise(
            Kernels(table: example.kernels), &shape, memory.input(x), memory.input(w),
            finish.bias ? memory.input(bias) : nil, y)
        }
        for i in 0..<columns {
          for c in 0..<channels {
            var sum = T.zero
            for t in offsets.indices { sum += x[offsets[t] + i * xStep + c] * w[weights[t] + c] }
            if finish.bias { sum += bias[c] }
            if finish.relu { sum = rectified(sum) }
            expected[i * yStep + c] = finish.accumulate ? expected[i * yStep + c] + sum : sum
          }
        }
        if let wrong = memory.difference(y, from: expected) {
          Issue.record("\(example) \(T.self) \(columns) windows, \(channels) channels: \(wrong)")
        }
      }
    }
  }

  @Test(arguments: KernelCase.all(ImplicitKernelTests.finishes))
  func forward(_ example: KernelCase<ImplicitKernelTests.Finish>) {
    forward(example, Float.self)
    forward(example, Double.self)
  }

  private func gradient<T: DirectScalar>(_ example: KernelCase<Int>, _: T.Type) {
    let taps = example.row
    for channels in example.lengths(T.self) where channels <= 4 * example.lanes(T.self) + 1 {
      let (rows, columns) = (3, 4)
      let (xStep, yStep) = (2 * channels + 1, channels + 3)
      let (xRow, yRow) = (6 * xStep, 5 * yStep)
      let offsets = (0..<taps).map { $0 % 3 * (channels + 1) + $0 / 3 * xRow }
      let weights = (0..<taps).map { (taps - 1 - $0) * (channels + 1) }
      let x: [T] = KernelValues.integers((rows + taps / 3 + 1) * xRow, seed: 5, special: 200)
      let dy: [T] = KernelValues.integers(rows * yRow, seed: 6, special: 200)
      var expected: [T] = KernelValues.integers(taps * (channels + 1), seed: 7)
      let memory = KernelMemory()
      let g = memory.result(expected)
      withShape(offsets, weights) { shape in
        (shape.rows, shape.columns, shape.channels) = (rows, columns, channels)
        (shape.x_row, shape.x_step, shape.y_row, shape.y_step) = (xRow, xStep, yRow, yStep)
        T.depthwiseGradient(Kernels(table: example.kernels), &shape, memory.input(x), memory.input(dy), g)
      }
      for t in 0..<taps {
        for c in 0..<channels {
          for i in 0..<rows * columns {
            let (j, i) = (i / columns, i % columns)
            expected[weights[t] + c] +=
              x[offsets[t] + j * xRow + i * xStep + c] * dy[j * yRow + i * yStep + c]
          }
        }
      }
      if let wrong = memory.difference(g, from: expected) {
        Issue.record("\(example) \(T.self) taps, \(channels) channels: \(wrong)")
      }
    }
  }

  @Test("sums of taps", arguments: KernelCase.all([1, 2, 3, 5, 6, 9, 13, 20]))
  func gradient(_ example: KernelCase<Int>) {
    gradient(example, Float.self)
    gradient(example, Double.self)
  }

  private func withShape(_ offsets: [Int], _ weights: [Int], _ body: (inout vb_depthwise) -> Void) {
    offsets.withUnsafeBufferPointer { offsets in
      weights.withUnsafeBufferPointer { weights in
        var shape = vb_depthwise()
        shape.taps = offsets.count
        (shape.offsets, shape.weights) = (offsets.baseAddress, weights.baseAddress)
        body(&shape)
      }
    }
  }
}
