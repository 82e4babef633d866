import ConvAutograd
import ConvCore
import TestBounds
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

  static let cases = [[2, 3, 5, 7], [1, 1, 4, 4], [70, 5], [2, 130, 16, 16], [3, 64, 1, 9]].flatMap { shape in
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
    let bounds = try RoundingBounds(.float32) { try trace($0, test, training) }
    #expect(Set(exact.map(\.0)) == Set(bounds.allowed.keys))
    let flipped = try flippedChannels(test, exact, blocks)
    #expect(flipped.count <= bounds.undecided.count, "\(flipped)")
    for ((name, expected), (_, found)) in zip(exact, blocks) {
      #expect(found.elementType == .float32 && found.shape == expected.shape)
      let want = expected.values(as: Double.self)
      var have = try found.converted(to: .float64).values(as: Double.self)
      let area = expected.rank == 1 ? 1 : test.shape.dropFirst(2).reduce(1, *)
      if name != "output" {
        for i in have.indices where flipped.contains(i / area % test.shape[1]) { have[i] = want[i] }
      }
      let worst = RoundingBounds.worst(name, want, have, bounds.allowed[name] ?? [])
      #expect(worst.ratio <= 1, "\(worst)")
    }
  }

  /// Channels in which a ReLU fell the other way: where y is a rounding away from 0. Their gradients cannot be compared.
  private func flippedChannels(
    _ test: Case, _ exact: [(String, Tensor)], _ blocks: [(String, Tensor)]
  ) throws -> Set<Int> {
    guard test.relu, let want = exact.first(where: { $0.0 == "output" })?.1.values(as: Double.self),
      let have = blocks.first(where: { $0.0 == "output" })?.1.values(as: Float.self)
    else { return [] }
    let area = test.shape.dropFirst(2).reduce(1, *)
    return Set(want.indices.filter { (want[$0] > 0) != (have[$0] > 0) }.map { $0 / area % test.shape[1] })
  }

  /// The formula of `run`.
  private func trace(
    _ tape: RoundingTape, _ test: Case, _ training: Bool
  ) throws -> [String: [Traced]] {
    let (channels, area) = (test.shape[1], test.shape.dropFirst(2).reduce(1, *))
    func given(_ shape: [Int], _ seed: UInt64, mean: Double = 0) throws -> [Traced] {
      tape.exact(try random(shape, seed, mean: mean).converted(to: .float64).values(as: Double.self))
    }
    let fixed = (
      mean: try given([channels], 5), variance: [Traced](repeating: tape.exact(2), count: channels)
    )
    let norm = NormalizationTrace(
      tape, try given(test.shape, 1, mean: 5), channels: channels, area: area,
      weight: try given([channels], 3, mean: 1), bias: try given([channels], 4), eps: 1e-5,
      given: training ? nil : fixed, format: test.format, summarizes: true)
    var (y, dy) = (norm.output, try given(test.shape, 6))
    if test.adds { y = zip(y, try given(test.shape, 2)).map { $0 + $1 } }
    if test.relu {
      dy = zip(y, dy).map { $0.value > 0 ? $1 : tape.exact(0) }
      y = y.map { $0.clamped() }
    }
    let gradients = norm.backward(dy)
    var results = [
      "output": y, "input": gradients.input, "weight": gradients.weight, "bias": gradients.bias,
    ]
    if training {
      results["mean"] = norm.moments.map { tape.stored($0.mean) }
      results["variance"] = norm.moments.map { tape.stored($0.variance) }
    }
    if test.adds { results["residual"] = dy }
    return results
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
