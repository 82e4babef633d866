import CConvKernels
import ConvCore
import ConvTestSupport
import Testing

/// The copies of lines on every instruction set: all lengths around the vectors', every step, what is no
/// number, and what lies between and behind lines.
@Suite struct LineKernelTests {
  /// Elements between neighbours of a line, and zeros before and after it.
  struct Line: Sendable, CustomStringConvertible {
    let step: Int, before: Int, after: Int
    var description: String { "step \(step), \(before) before, \(after) after" }
  }
  private static let lines = [(1, 0, 0), (1, 1, 2), (2, 1, 0), (2, 0, 3), (3, 0, 5), (4, 2, 1)].map {
    Line(step: $0.0, before: $0.1, after: $0.2)
  }

  private func gather<T: LineScalar>(_ example: KernelCase<Line>, _: T.Type) {
    let line = example.row
    for length in example.lengths(T.self) {
      let (lines, stride) = (3, line.step * length + 4)
      let from: [T] = KernelValues.integers(lines * stride, seed: 1, special: 5)
      let width = line.before + length + line.after
      let memory = KernelMemory()
      let to = memory.result([T](repeating: -1, count: lines * width))
      T.gather(
        example.kernels, lines, line.before, length, line.after, memory.input(from), stride, line.step, to)
      var expected = [T](repeating: 0, count: lines * width)
      for l in 0..<lines {
        for i in 0..<length { expected[l * width + line.before + i] = from[l * stride + i * line.step] }
      }
      let wrong = memory.difference(to, from: expected)
      #expect(wrong == nil, "\(example) \(T.self), length \(length): \(wrong ?? "")")
    }
  }

  @Test(arguments: KernelCase.all(lines)) func gather(_ example: KernelCase<Line>) {
    gather(example, Float.self)
    gather(example, Double.self)
  }

  private func scatter<T: LineScalar>(_ example: KernelCase<Int>, _: T.Type) {
    let step = example.row
    for length in example.lengths(T.self) {
      // Lines of which the targets do not overlap: the next begins beside or behind the last.
      let (lines, stride, target) = (3, length + 2, step * length + 1)
      let from: [T] = KernelValues.integers(lines * stride, seed: 2, special: 6)
      var expected: [T] = KernelValues.integers(lines * target, seed: 3, special: 7)
      let memory = KernelMemory()
      let to = memory.result(expected)
      T.scatter(example.kernels, lines, length, memory.input(from), stride, to, target, step)
      for l in 0..<lines {
        for i in 0..<length { expected[l * target + i * step] += from[l * stride + i] }
      }
      let wrong = memory.difference(to, from: expected)
      #expect(wrong == nil, "\(example) \(T.self), length \(length): \(wrong ?? "")")
    }
  }

  @Test(arguments: KernelCase.all([1, 2, 3])) func scatter(_ example: KernelCase<Int>) {
    scatter(example, Float.self)
    scatter(example, Double.self)
  }
}

/// Both element types' copies of lines, spelled once.
private protocol LineScalar: ConvScalar {
  static func gather(
    _ kernels: OpaquePointer, _ lines: Int, _ before: Int, _ length: Int, _ after: Int,
    _ from: UnsafePointer<Self>, _ stride: Int, _ step: Int, _ to: UnsafeMutablePointer<Self>)
  static func scatter(
    _ kernels: OpaquePointer, _ lines: Int, _ length: Int, _ from: UnsafePointer<Self>, _ stride: Int,
    _ to: UnsafeMutablePointer<Self>, _ target: Int, _ step: Int)
}

extension Float: LineScalar {
  static func gather(
    _ kernels: OpaquePointer, _ lines: Int, _ before: Int, _ length: Int, _ after: Int,
    _ from: UnsafePointer<Float>, _ stride: Int, _ step: Int, _ to: UnsafeMutablePointer<Float>
  ) { vb_gather_lines_f32(kernels, lines, before, length, after, from, stride, step, to) }

  static func scatter(
    _ kernels: OpaquePointer, _ lines: Int, _ length: Int, _ from: UnsafePointer<Float>, _ stride: Int,
    _ to: UnsafeMutablePointer<Float>, _ target: Int, _ step: Int
  ) { vb_scatter_lines_f32(kernels, lines, length, from, stride, to, target, step) }
}

extension Double: LineScalar {
  static func gather(
    _ kernels: OpaquePointer, _ lines: Int, _ before: Int, _ length: Int, _ after: Int,
    _ from: UnsafePointer<Double>, _ stride: Int, _ step: Int, _ to: UnsafeMutablePointer<Double>
  ) { vb_gather_lines_f64(kernels, lines, before, length, after, from, stride, step, to) }

  static func scatter(
    _ kernels: OpaquePointer, _ lines: Int, _ length: Int, _ from: UnsafePointer<Double>, _ stride: Int,
    _ to: UnsafeMutablePointer<Double>, _ target: Int, _ step: Int
  ) { vb_scatter_lines_f64(kernels, lines, length, from, stride, to, target, step) }
}
