import ConvCore
import ConvNaive
import Testing

/// Numbers small enough to be computed by hand.
@Suite struct ConvNaiveTests {
  /// x = 1…9 in 3×3, w = 1 2 / 3 4, stride 1, padding 0: y = Σ over the 2×2 window, by hand.
  @Test func passesByHand() throws {
    let problem = try ConvProblem(parsing: "conv2d:n1c1h3w3k1r2s2")
    let x = try Tensor((1...9).map(Float.init), shape: [1, 1, 3, 3])
    let w = try Tensor([1, 2, 3, 4] as [Float], shape: [1, 1, 2, 2])
    let dy = try Tensor([1, 0, 0, 2] as [Float], shape: [1, 1, 2, 2])
    let y = try plan(.forward, problem).forward(input: x, filter: w).output
    #expect(y.values(as: Float.self) == [37, 47, 67, 77])
    let dx = try plan(.backwardData, problem).backwardData(outputGradient: dy, filter: w)
    #expect(dx.values(as: Float.self) == [1, 2, 0, 3, 6, 4, 0, 6, 8])
    let dw = try plan(.backwardFilter, problem).backwardFilter(input: x, outputGradient: dy).filterGradient
    // dw = 1·(1 2 / 4 5) + 2·(5 6 / 8 9).
    #expect(dw.values(as: Float.self) == [11, 14, 20, 23])
  }

  /// Stride 2, dilation 2, padding 1 on the left only, two groups; each group is a 1-D problem done by hand.
  @Test func strideDilationPaddingAndGroupsByHand() throws {
    let problem = try ConvProblem(parsing: "conv1d:n1c2w6k2s2u2p1,0l2g2")
    let x = try Tensor([1, 2, 3, 4, 5, 6, 10, 20, 30, 40, 50, 60] as [Float], shape: [1, 2, 6])
    let w = try Tensor([1, 10, 1, -1] as [Float], shape: [2, 1, 2])
    // Padded: 0 1 2 3 4 5 6; outputs read places 0 and 2, 2 and 4, 4 and 6.
    let y = try plan(.forward, problem).forward(input: x, filter: w).output
    #expect(y.values(as: Float.self) == [20, 42, 64, -20, -20, -20])
  }

  /// A sum of 2²⁴ and many ones: float32 accumulators would lose the ones.
  @Test func accumulatesInDouble() throws {
    let problem = try ConvProblem(parsing: "conv2d:n1c65h1w1k1r1s1")
    let values = [Float(1 << 24)] + [Float](repeating: 1, count: 64)
    let y = try plan(.forward, problem).forward(
      input: try Tensor(values, shape: problem.inputShape),
      filter: try Tensor.full(problem.filterShape, Float(1))
    ).output
    #expect(y.scalar(as: Float.self) == Float((1 << 24) + 64))
  }

  private func plan(_ pass: ConvPass, _ problem: ConvProblem) throws -> any ConvPlan {
    try NaiveBackend().plan(for: ConvOperation(pass, problem))
  }
}
