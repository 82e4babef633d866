import ConvAutograd
import ConvCore
import ConvNaive
import Testing

/// Convolution, ReLU and 2×2 pooling as one operation.
@Suite struct FusedConvolutionTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let problem: String
    let relu: Bool, pools: Bool, bias: Bool
    var testDescription: String { "\(problem) relu \(relu) pool \(pools) bias \(bias)" }
  }

  /// Even and odd outputs, pairs of rows and columns that are left over; groups; 1-D and 3-D with ReLU alone.
  static let cases: [Case] = {
    var all: [Case] = []
    for problem in ["conv2d:n2c2h4w4k3r3s3p1", "conv2d:n1c2h5w7k2r3s2p1", "conv2d:n2c4h6w5k4r2s2g2"] {
      for (relu, pools) in [(true, false), (false, true), (true, true)] {
        for bias in [true, false] { all.append(Case(problem: problem, relu: relu, pools: pools, bias: bias)) }
      }
    }
    for problem in ["conv1d:n2c3w7k4s3p1", "conv3d:n1c2d3h4w3k2t2r2s2p1"] {
      all.append(Case(problem: problem, relu: true, pools: false, bias: true))
    }
    return all
  }()

  private func conv(
    _ problem: ConvProblem, _ inputs: [Variable], relu: Bool = false, maxPool2x2: Bool = false
  ) throws -> Variable {
    let axes = problem.axesInUse
    let padding = Sizes(axes.flatMap { [problem.padding.before[$0], problem.padding.after[$0]] })
    return try inputs[0].conv(
      weight: inputs[1], bias: inputs.count > 2 ? inputs[2] : nil, padding: padding, groups: problem.groups,
      relu: relu, maxPool2x2: maxPool2x2)
  }

  @Test(arguments: cases, [MemoryFormat.nchw, .nhwc])
  func gradientsAreThoseOfCentralDifferences(_ test: Case, _ format: MemoryFormat) throws {
    let problem = try ConvProblem(parsing: test.problem)
    var inputs = try [
      normal(problem.inputShape, seed: 11).converted(to: format), normal(problem.filterShape, seed: 12),
    ]
    if test.bias { inputs.append(try normal([problem.k], seed: 13)) }
    try onNaive {
      try gradcheck(
        { try conv(problem, $0, relu: test.relu, maxPool2x2: test.pools) }, inputs)
    }
  }

  /// Small integers: ties, exact zeros and sums without rounding, so that every number must be equal; and NaN.
  private func integers(_ shape: [Int], seed: UInt64, _ type: ElementType) throws -> Tensor {
    var generator = PhiloxGenerator(seed: seed)
    let values = (0..<shape.reduce(1, *)).map { _ in Float(Int.random(in: -2...2, using: &generator)) }
    return try Tensor(values, shape: shape).converted(to: type)
  }

  private struct Results: Equatable {
    var output: [UInt64] = []
    var gradients: [[UInt64]] = []
  }

  private func bits(_ tensor: Tensor) throws -> [UInt64] {
    // One NaN is as good as another, and −0 equals 0.
    try tensor.converted(to: .float64).values(as: Double.self).map {
      $0.isNaN ? .max : $0 == 0 ? 0 : $0.bitPattern
    }
  }

  private func results(_ tensors: [Tensor], _ body: ([Variable]) throws -> Variable) throws -> Results {
    let inputs = tensors.map { Variable($0, requiresGrad: true) }
    let y = try body(inputs)
    let gradient = try integers(y.shape, seed: 5, y.elementType)
    try y.backward(gradient: gradient)
    return Results(
      output: try bits(y.value), gradients: try inputs.map { try bits(try #require($0.grad)) })
  }

  @Test(arguments: cases, [MemoryFormat.nchw, .nhwc])
  func equalsTheOperationsOneByOne(_ test: Case, _ format: MemoryFormat) throws {
    let problem = try ConvProblem(parsing: test.problem)
    for type in [ElementType.float32, .float64] {
      for hasNaN in [false, true] {
        var x = try integers(problem.inputShape, seed: 1, type).converted(to: format)
        if hasNaN {
          let middle = x.count / 2
          if type == .float32 {
            x.withUnsafeMutablePointer(as: Float.self) { $0[middle] = .nan }
          } else {
            x.withUnsafeMutablePointer(as: Double.self) { $0[middle] = .nan }
          }
        }
        var tensors = try [x, integers(problem.filterShape, seed: 2, type)]
        if test.bias { tensors.append(try integers([problem.k], seed: 3, type)) }
        try onNaive {
          let fused = try results(tensors) {
            try conv(problem, $0, relu: test.relu, maxPool2x2: test.pools)
          }
          let plain = try results(tensors) {
            var y = try conv(problem, $0)
            if test.relu { y = try y.relu() }
            return test.pools ? try y.maxPool2d(kernel: 2) : y
          }
          #expect(fused == plain, "\(type), NaN: \(hasNaN)")
          #expect(Set(plain.output).count > 3, "the outputs are too few to tell")
          #expect(plain.output.contains(.max) == hasNaN)
        }
      }
    }
  }

  /// More channels than a block of the kernels, more rows than a piece of the way back, batches of one.
  @Test(arguments: [[1, 3, 130, 131], [2, 67, 7, 6], [1, 2, 5, 40]], [MemoryFormat.nchw, .nhwc])
  func piecesJoin(_ shape: [Int], _ format: MemoryFormat) throws {
    let x = try integers(shape, seed: 4, .float32).converted(to: format)
    let w = try integers([70, shape[1], 1, 1], seed: 5, .float32)
    let b = try integers([70], seed: 6, .float32)
    try onNaive {
      for threads in [1, 2, 3] {
        var context = ConvolutionContext.current
        context.pool = .pool(threads: threads)
        try context.run {
          let fused = try results([x, w, b]) {
            try $0[0].conv(weight: $0[1], bias: $0[2], relu: true, maxPool2x2: true)
          }
          let plain = try results([x, w, b]) {
            try $0[0].conv(weight: $0[1], bias: $0[2]).relu().maxPool2d(kernel: 2)
          }
          #expect(fused == plain, "\(threads) threads")
        }
      }
    }
  }

  @Test(arguments: [ElementType.float32, .float64])
  func linearWithReLUEqualsBoth(_ type: ElementType) throws {
    for (rows, inputs, outputs) in [(1, 3, 5), (600, 7, 3), (5, 33, 70)] {
      let tensors = try [
        integers([rows, inputs], seed: 1, type), integers([outputs, inputs], seed: 2, type),
        integers([outputs], seed: 3, type),
      ]
      let fused = try results(tensors) { try $0[0].linear(weight: $0[1], bias: $0[2], relu: true) }
      let plain = try results(tensors) { try $0[0].linear(weight: $0[1], bias: $0[2]).relu() }
      #expect(fused == plain)
      #expect(fused.output.contains(0) && Set(fused.output).count > 2)
    }
  }

  @Test func whatCannotBeIsAnError() throws {
    let x = Variable(try normal([1, 2, 3, 3], seed: 1))
    let w = Variable(try normal([2, 2, 3, 3], seed: 2))
    try onNaive {
      // An output of one row has no window of two.
      #expect(throws: ConvError.self) { try x.conv(weight: w, maxPool2x2: true) }
      let line = Variable(try normal([1, 2, 8], seed: 1))
      let taps = Variable(try normal([2, 2, 3], seed: 2))
      #expect(throws: ConvError.self) { try line.conv(weight: taps, maxPool2x2: true) }
    }
  }

  /// A format conversion is the identity for values and gradients.
  @Test func conversionsPassGradientsOn() throws {
    let x = Variable(try normal([2, 3, 4, 5], seed: 1), requiresGrad: true)
    let y = try x.converted(to: .nhwc)
    #expect(y.value.format == .nhwc && y.value.values(as: Double.self) == x.value.values(as: Double.self))
    let g = try normal([2, 3, 4, 5], seed: 2).converted(to: .nhwc)
    try y.backward(gradient: g)
    #expect(x.grad?.format == .nchw && x.grad?.values(as: Double.self) == g.values(as: Double.self))
    #expect(try x.converted(to: .nchw) === x)
  }
}
