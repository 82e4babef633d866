import CConvKernels
import ConvCore
import ConvTestSupport
import Testing

@testable import ConvDirect

/// Implicit products on every instruction set: all heights of strips over two tiles, all widths of a panel,
/// odd steps, NaN.
@Suite struct ImplicitKernelTests {
  /// What happens to the sums.
  struct Finish: Sendable, CustomStringConvertible {
    let bias: Bool, relu: Bool, accumulate: Bool
    var description: String {
      "\(bias ? "bias " : "")\(relu ? "relu " : "")\(accumulate ? "added" : "stored")"
    }
  }
  static let finishes = [
    (false, false, false), (true, false, false), (true, true, false), (true, true, true),
  ].map {
    Finish(bias: $0.0, relu: $0.1, accumulate: $0.2)
  }

  private func check<T: DirectScalar>(_ example: KernelCase<Finish>, _: T.Type) {
    let kernels = Kernels(table: example.kernels)
    let (panel, finish) = (T.panel(kernels), example.row)
    let offsets = [40, 3, 90]
    let (length, rowStep, termStep) = (3, 7, 2)
    let terms = offsets.count * length
    for rows in 0...25 {
      // One vector, a part of it, a part of the last, all.
      let lanes = example.lanes(T.self)
      for width in Set([1, lanes - 1, lanes, lanes + 1, panel - 1, panel, rows % panel]) {
        let resultStep = panel + 3
        let x: [T] = KernelValues.integers(100 + 25 * rowStep + length * termStep, seed: 1, special: 60)
        let b: [T] = KernelValues.integers(terms * panel, seed: 2)
        let bias: [T] = KernelValues.integers(panel, seed: 3, special: 30)
        var expected: [T] = KernelValues.integers(max(rows, 1) * resultStep, seed: 4, special: 30)
        let memory = KernelMemory()
        let c = memory.result(expected)
        offsets.withUnsafeBufferPointer { offsets in
          var shape = vb_implicit()
          (shape.rows, shape.width, shape.segments, shape.length) = (rows, width, offsets.count, length)
          shape.offsets = offsets.baseAddress
          (shape.row_step, shape.term_step, shape.result_step) = (rowStep, termStep, resultStep)
          (shape.accumulate, shape.relu) = (finish.accumulate ? 1 : 0, finish.relu ? 1 : 0)
          T.implicit(
            kernels, &shape, memory.input(x), memory.input(b), finish.bias ? memory.input(bias) : nil, c)
        }
        for i in 0..<rows {
          for j in 0..<width {
            var sum = T.zero
            for t in 0..<terms {
              sum += x[offsets[t / length] + i * rowStep + t % length * termStep] * b[t * panel + j]
            }
            if finish.bias { sum += bias[j] }
            if finish.relu { sum = rectified(sum) }
            expected[i * resultStep + j] = finish.accumulate ? expected[i * resultStep + j] + sum : sum
          }
        }
        if let wrong = memory.difference(c, from: expected) {
          Issue.record("\(example) \(T.self) \(rows)×\(width): \(wrong)")
        }
      }
    }
  }

  @Test(arguments: KernelCase.all(finishes)) func strips(_ example: KernelCase<Finish>) {
    check(example, Float.self)
    check(example, Double.self)
  }

  /// Terms that belong to some columns only: NaN and infinities of the others stay away from a column, and what is spoilt elsewhere
  /// in the tile changes no bit.
  private func ownedTerms<T: DirectScalar>(_ example: KernelCase<Finish>, _: T.Type) {
    let kernels = Kernels(table: example.kernels)
    let (panel, finish) = (T.panel(kernels), example.row)
    let (offsets, terms, rowStep, termStep) = ([31, 2], 3, 5, 2)
    let owners = [0..<panel / 2, panel / 4..<panel, panel - 1..<panel, 0..<0, 0..<panel]
    let length = terms * owners.count
    let isOwn = { (t: Int, j: Int) in owners[t % length / terms].contains(j) }
    for rows in 0...25 {
      for width in Set([1, panel / 2, panel - 1, panel]) {
        let x: [T] = KernelValues.integers(31 + 25 * rowStep + length * termStep, seed: 5, special: 40)
        var b: [T] = KernelValues.integers(offsets.count * length * panel, seed: 6)
        for i in b.indices where !isOwn(i / panel, i % panel) { b[i] = 0 }
        let bias: [T] = KernelValues.integers(panel, seed: 7)
        var expected: [T] = KernelValues.integers(max(rows, 1) * panel, seed: 8)
        let memory = KernelMemory()
        let c = memory.result(expected)
        offsets.withUnsafeBufferPointer { offsets in
          owners.flatMap { [$0.lowerBound, $0.upperBound] }.withUnsafeBufferPointer { owners in
            var shape = vb_implicit()
            (shape.rows, shape.width, shape.segments, shape.length) = (rows, width, offsets.count, length)
            (shape.offsets, shape.owners, shape.parts) = (
              offsets.baseAddress, owners.baseAddress, owners.count / 2
            )
            (shape.row_step, shape.term_step, shape.result_step) = (rowStep, termStep, panel)
            (shape.accumulate, shape.relu) = (finish.accumulate ? 1 : 0, finish.relu ? 1 : 0)
            T.implicit(
              kernels, &shape, memory.input(x), memory.input(b), finish.bias ? memory.input(bias) : nil, c)
          }
        }
        for i in 0..<rows {
          for j in 0..<width {
            var sum = T.zero
            for t in 0..<offsets.count * length where isOwn(t, j) {
              sum += x[offsets[t / length] + i * rowStep + t % length * termStep] * b[t * panel + j]
            }
            if finish.bias { sum += bias[j] }
            if finish.relu { sum = rectified(sum) }
            expected[i * panel + j] = finish.accumulate ? expected[i * panel + j] + sum : sum
          }
        }
        if let wrong = memory.difference(c, from: expected) {
          Issue.record("\(example) \(T.self) \(rows)×\(width): \(wrong)")
        }
      }
    }
  }

  @Test(arguments: KernelCase.all(finishes)) func ownedTerms(_ example: KernelCase<Finish>) {
    ownedTerms(example, Float.self)
    ownedTerms(example, Double.self)
  }
}
