import CConvKernels
import ConvCore
import ConvTestSupport
import Testing

@testable import ConvDirect

/// Windows of one plane on every instruction set: all tails of rows, every number of vectors and taps at
/// which loops end differently, steps of results, NaN. What is read beyond a row is NaN and does not matter.
@Suite struct PlaneKernelTests {
  /// What happens to the sums.
  struct Finish: Sendable, CustomStringConvertible {
    let step: Int, relu: Bool, accumulate: Bool
    var description: String { "step \(step)\(relu ? " relu" : "") \(accumulate ? "added" : "stored")" }
  }
  private static let finishes = [(1, false, false), (1, true, true), (2, true, false), (3, false, true)].map {
    Finish(step: $0.0, relu: $0.1, accumulate: $0.2)
  }

  /// Pixels of windows with NaN between the rows: a kernel that lets them into a sum spoils it.
  private func plane<T: DirectScalar>(_ rows: Int, _ columns: Int, gap: Int, special: Int, _: T.Type) -> [T] {
    let values: [T] = KernelValues.integers(rows * columns, seed: 1, special: special)
    return (0..<rows).flatMap { row in
      values[row * columns..<(row + 1) * columns] + [T](repeating: .nan, count: gap)
    }
  }

  private func forward<T: DirectScalar>(_ example: KernelCase<Finish>, _: T.Type) {
    let finish = example.row
    let (rows, height, width) = (3, 2, 3)
    for columns in example.lengths(T.self) where columns > 0 {
      let xRow = columns + width - 1 + 5
      let x: [T] = plane(rows + height - 1, columns + width - 1, gap: 5, special: 90, T.self)
      let offsets = (0..<height * width).map { $0 / width * xRow + $0 % width }
      let w: [T] = KernelValues.integers(offsets.count, seed: 2)
      let yRow = columns * finish.step + 2
      var expected: [T] = KernelValues.integers(rows * yRow, seed: 3, special: 30)
      let memory = KernelMemory()
      let y = memory.result(expected)
      offsets.withUnsafeBufferPointer { offsets in
        var shape = vb_plane()
        (shape.rows, shape.columns, shape.taps) = (rows, columns, offsets.count)
        (shape.offsets, shape.x_row, shape.y_row, shape.y_step) = (
          offsets.baseAddress, xRow, yRow, finish.step
        )
        (shape.accumulate, shape.relu) = (finish.accumulate ? 1 : 0, finish.relu ? 1 : 0)
        T.plane(Kernels(table: example.kernels), &shape, memory.input(x), memory.input(w), -2, y)
      }
      for j in 0..<rows {
        for i in 0..<columns {
          let sum = offsets.indices.reduce(T.zero) { $0 + x[offsets[$1] + j * xRow + i] * w[$1] } - 2
          let value = finish.relu ? rectified(sum) : sum
          let at = j * yRow + i * finish.step
          expected[at] = finish.accumulate ? expected[at] + value : value
        }
      }
      if let wrong = memory.difference(y, from: expected) {
        Issue.record("\(example) \(T.self) \(columns) windows: \(wrong)")
      }
    }
  }

  @Test(arguments: KernelCase.all(finishes)) func forward(_ example: KernelCase<Finish>) {
    forward(example, Float.self)
    forward(example, Double.self)
  }

  private func gradient<T: DirectScalar>(_ example: KernelCase<Int>, _: T.Type) {
    let (rows, taps) = (3, example.row)
    for columns in example.lengths(T.self) where columns > 0 {
      // Each tap has a plane of its own: what lies behind a tap's windows is no other tap's.
      let xRow = columns + 3
      let x: [T] = plane(rows * taps, columns, gap: 3, special: 0, T.self)
      let offsets = (0..<taps).map { $0 * rows * xRow }
      let yRow = columns + 1
      var dy: [T] = plane(rows, columns, gap: 1, special: 0, T.self)
      if columns % 2 == 0 { dy[yRow + columns - 1] = .infinity }
      var expected: [T] = KernelValues.integers(taps, seed: 4)
      let memory = KernelMemory()
      let g = memory.result(expected)
      offsets.withUnsafeBufferPointer { offsets in
        var shape = vb_plane()
        (shape.rows, shape.columns, shape.taps) = (rows, columns, taps)
        (shape.offsets, shape.x_row, shape.y_row) = (offsets.baseAddress, xRow, yRow)
        T.planeGradient(Kernels(table: example.kernels), &shape, memory.input(x), memory.input(dy), g)
      }
      for t in 0..<taps {
        for j in 0..<rows {
          for i in 0..<columns { expected[t] += x[offsets[t] + j * xRow + i] * dy[j * yRow + i] }
        }
      }
      if let wrong = memory.difference(g, from: expected) {
        Issue.record("\(example) taps, \(T.self), \(columns) windows: \(wrong)")
      }
    }
  }

  @Test("sums of taps", arguments: KernelCase.all([1, 2, 3, 4, 5, 9, 14, 17]))
  func gradient(_ example: KernelCase<Int>) {
    gradient(example, Float.self)
    gradient(example, Double.self)
  }
}
