import CConvKernels
import ConvTestSupport
import Testing

/// Optimizer steps on every instruction set and all tails, with factors of which no step rounds: equal bits.
/// What rounds is `PassKernelTests`' concern.
@Suite struct OptimizerKernelTests {
  /// Which step of gradient descent.
  enum Descent: String, Sendable, CaseIterable { case plain, momentum, nesterov }

  /// NaN or an infinity of one gradient or moment reaches its own parameter, as the formula says, and no
  /// other.
  @Test(arguments: KernelCase.all([0, 9])) func adam(_ example: KernelCase<Int>) {
    // keep2 · v + new2 · g'² is the square of 1, 5 or 13; twice that and 6 a power of two.
    let pairs: [(g: Float, v: Float)] = [(1, 1), (-1, 49), (7, 1), (-5, 25), (17, 49), (7, 289), (-17, 49)]
    var factors = vb_adam(
      keep: 0.5, decay: 0.25, new1: 0.5, keep2: 0.5, new2: 0.5, rate: 0.25, root: 0.5, eps: 6)
    for count in example.lengths(Float.self) {
      var start: [Float] = KernelValues.integers(count, seed: 1)
      let special: [Float] = KernelValues.integers(count, seed: 2, special: example.row)
      // Gradients without the decay that the kernel adds.
      var g = (0..<count).map { pairs[$0 % pairs.count].g - 0.125 * start[$0] }
      var first: [Float] = KernelValues.integers(count, seed: 3)
      var second = (0..<count).map { pairs[$0 % pairs.count].v }
      for i in special.indices where !special[i].isFinite {
        if i % 4 == 0 { start[i] = special[i] }
        if i % 4 == 1 { g[i] = special[i] }
        if i % 4 == 2 { first[i] = special[i] }
        if i % 4 == 3 { second[i] = special[i] }
      }
      let memory = KernelMemory()
      let (p, m, v) = (memory.result(start), memory.result(first), memory.result(second))
      vb_adam_f32(example.kernels, count, &factors, p, memory.input(g), m, v)
      var (parameters, means, squares): ([Float], [Float], [Float]) = ([], [], [])
      for i in 0..<count {
        let s = start[i] * 0.5
        let gradient = g[i] + 0.25 * s
        let mean = first[i] + 0.5 * (gradient - first[i])
        let square = 0.5 * second[i] + 0.5 * gradient * gradient
        means.append(mean)
        squares.append(square)
        parameters.append(s - 0.25 * mean / (square.squareRoot() / 0.5 + 6))
      }
      for wrong in [
        memory.difference(p, from: parameters), memory.difference(m, from: means),
        memory.difference(v, from: squares),
      ] {
        #expect(wrong == nil, "\(example), \(count) parameters: \(wrong ?? "")")
      }
    }
  }

  @Test(arguments: KernelCase.all(Descent.allCases)) func descent(_ example: KernelCase<Descent>) {
    var factors = vb_sgd(rate: 0.5, decay: 0.25, keep: 0.5, take: 0.75)
    for count in example.lengths(Float.self) {
      let start: [Float] = KernelValues.integers(count, seed: 4, special: 17)
      let g: [Float] = KernelValues.integers(count, seed: 5, special: 13)
      let before: [Float] = KernelValues.integers(count, seed: 6, special: 19)
      let memory = KernelMemory()
      let (p, v) = (memory.result(start), memory.result(before))
      let isPlain = example.row == .plain
      vb_sgd_f32(
        example.kernels, count, &factors, example.row == .nesterov ? 1 : 0, p, memory.input(g),
        isPlain ? nil : v)
      var (parameters, velocities) = (start, before)
      for i in 0..<count {
        let gradient = g[i] + 0.25 * start[i]
        let velocity = 0.5 * before[i] + 0.75 * gradient
        let ahead = gradient + 0.5 * velocity
        if !isPlain { velocities[i] = velocity }
        parameters[i] -= 0.5 * (isPlain ? gradient : example.row == .nesterov ? ahead : velocity)
      }
      for wrong in [memory.difference(p, from: parameters), memory.difference(v, from: velocities)] {
        #expect(wrong == nil, "\(example), \(count) parameters: \(wrong ?? "")")
      }
    }
  }
}
