import CConvKernels
import ConvCore
import Testing

/// The copies of lines against plain loops, on every instruction set: all lengths around the vectors', every step.
@Suite struct LineKernelTests {
  @Test(arguments: InstructionSet.available)
  func gather(_ instructionSet: InstructionSet) throws {
    let kernels = try #require(vb_kernels_named(instructionSet.rawValue))
    for length in 0..<40 {
      for (step, before, after) in [(1, 0, 0), (1, 1, 2), (2, 1, 0), (3, 0, 5)] {
        let (lines, stride) = (3, 3 * length + 4)
        let from = (0..<lines * stride).map { Float($0 + 1) }
        let width = before + length + after
        // One element more, which must stay.
        var to = [Float](repeating: -1, count: lines * width + 1)
        vb_gather_lines_f32(kernels, lines, before, length, after, from, stride, step, &to)
        var wide = [Double](repeating: -1, count: to.count)
        vb_gather_lines_f64(kernels, lines, before, length, after, from.map(Double.init), stride, step, &wide)
        var expected = [Float](repeating: 0, count: lines * width) + [-1]
        for line in 0..<lines {
          for i in 0..<length { expected[line * width + before + i] = from[line * stride + i * step] }
        }
        #expect(to == expected, "\(instructionSet) length \(length) step \(step)")
        #expect(wide == expected.map(Double.init), "\(instructionSet) length \(length) step \(step), f64")
      }
    }
  }

  @Test(arguments: InstructionSet.available)
  func scatter(_ instructionSet: InstructionSet) throws {
    let kernels = try #require(vb_kernels_named(instructionSet.rawValue))
    for length in 0..<40 {
      for step in 1...3 {
        let (lines, stride, target) = (3, length + 2, 3 * length + 1)
        let from = (0..<lines * stride).map { Float($0 + 1) }
        let start = (0..<lines * target).map { Float(1000 * $0) }
        var (to, wide) = (start, start.map(Double.init))
        vb_scatter_lines_f32(kernels, lines, length, from, stride, &to, target, step)
        vb_scatter_lines_f64(kernels, lines, length, from.map(Double.init), stride, &wide, target, step)
        var expected = start
        for line in 0..<lines {
          for i in 0..<length { expected[line * target + i * step] += from[line * stride + i] }
        }
        #expect(to == expected, "\(instructionSet) length \(length) step \(step)")
        #expect(wide == expected.map(Double.init), "\(instructionSet) length \(length) step \(step), f64")
      }
    }
  }
}
