import ConvAutograd
import ConvCore
import Testing

/// Batch normalisation with its additions: float32 (blocks) against float64 (plain loops, which gradcheck and PyTorch's numbers
/// confirm), in both formats; and its bits on any number of threads.
@Suite struct NormalizationTests {
  struct Case: Sendable, CustomTestStringConvertible {
    var shape: [Int]
    var format = MemoryFormat.nchw
    var adds = false
    var relu = false
    var testDescription: String { "\(shape) \(format.rawValue), adds \(adds), relu \(relu)" }
  }

  static let cases = [[2, 3, 5, 7], [1, 1, 4, 4], [70, 5], [2, 130, 24, 24], [3, 64, 1, 9]].flatMap { shape in
    [MemoryFormat.nchw, .nhwc].flatMap { format in
      [(false, false), (true, false), (false, true), (true, true)].map {
        Case(shape: shape, format: format, adds: $0.0, relu: $0.1)
      }
    }
  }

  private func random(_ shape: [Int], _ seed: UInt64, mean: Double = 0) throws -> Tensor {
    let philox = Philox(seed: seed, stream: 0)
    let count = shape.reduce(1, *)
    return try Tensor((0..<count).map { Float(philox.normal(at: UInt64($0)) + mean) }, shape: shape)
  }

  /// y, statistics and all gradients by name.
  private func run(_ test: Case, _ type: ElementType, training: Bool = true) throws -> [(String, Tensor)] {
    let channels = test.shape[1]
    func leaf(_ shape: [Int], _ seed: UInt64, mean: Double = 0) throws -> Variable {
      Variable(
        try random(shape, seed, mean: mean).converted(to: type).converted(to: test.format), requiresGrad: true
      )
    }
    let (x, residual) = (try leaf(test.shape, 1, mean: 5), try leaf(test.shape, 2))
    let (weight, bias) = (try leaf([channels], 3, mean: 1), try leaf([channels], 4))
    var found: [(String, Tensor)] = []
    let y: Variable
    if training {
      let (output, statistics) = try x.batchNorm(
        weight: weight, bias: bias, adding: test.adds ? residual : nil, relu: test.relu)
      found = [("mean", statistics.mean), ("variance", statistics.variance)]
      y = output
    } else {
      y = try x.batchNorm(
        mean: random([channels], 5).converted(to: type),
        variance: Tensor.full([channels], Float(2)).converted(to: type), weight: weight, bias: bias,
        adding: test.adds ? residual : nil, relu: test.relu)
    }
    #expect(y.value.format == x.value.format)
    try y.backward(gradient: random(test.shape, 6).converted(to: type))
    found.append(("output", y.value))
    for (name, leaf) in [("input", x), ("weight", weight), ("bias", bias), ("residual", residual)] {
      if let gradient = leaf.grad { found.append((name, gradient)) }
    }
    #expect(found.contains { $0.0 == "residual" } == test.adds)
    return found
  }

  @Test(arguments: cases, [true, false]) func blocksAgreeWithPlainLoops(_ test: Case, _ training: Bool) throws
  {
    let exact = try run(test, .float64, training: training)
    let blocks = try run(test, .float32, training: training)
    #expect(exact.map(\.0) == blocks.map(\.0))
    for ((name, expected), (_, found)) in zip(exact, blocks) {
      #expect(found.elementType == .float32 && found.shape == expected.shape)
      let (want, have) = (
        expected.values(as: Double.self), try found.converted(to: .float64).values(as: Double.self)
      )
      let largest = want.reduce(0) { max($0, abs($1)) }
      // As for the stored cases of PyTorch. A ReLU may fall the other way where y is a rounding away from 0.
      let wrong = want.indices.filter { !(abs(want[$0] - have[$0]) <= 4e-6 * max(largest, 1)) }
      let unsure = test.relu && name != "output" ? want.count / 10_000 : 0
      #expect(wrong.count <= unsure, "\(name)[\(wrong.first ?? 0)] of \(wrong.count)")
    }
  }

  @Test(arguments: cases.filter { $0.adds && $0.relu }) func threadsDoNotChangeBits(_ test: Case) throws {
    let runs = try [1, 3].map { threads in
      var context = ConvolutionContext.current
      context.pool = .pool(threads: threads)
      return try context.run { try run(test, .float32).map { $0.1.values(as: Float.self).map(\.bitPattern) } }
    }
    #expect(runs[0] == runs[1])
  }

  @Test func residualsMustFit() throws {
    let x = Variable(try Tensor.zeros([2, 3, 4, 4]))
    #expect(throws: ConvError.self) { try x.batchNorm(adding: Variable(Tensor.zeros([2, 3, 4, 5]))) }
    #expect(throws: ConvError.self) {
      try x.batchNorm(adding: Variable(Tensor.zeros([2, 3, 4, 4], elementType: .float64)))
    }
  }
}
