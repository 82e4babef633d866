import ConvAutograd
import ConvCore
import ConvNaive
import Testing

/// Every operation against central differences in float64.
@Suite struct GradcheckTests {
  struct Operation: Sendable, CustomTestStringConvertible {
    let name: String
    let shapes: [[Int]]
    /// Values that keep their distance, for functions with kinks.
    var hasKinks = false
    var offset = 0.0
    let function: @Sendable ([Variable]) throws -> Variable
    var testDescription: String { "\(name) \(shapes)" }
  }

  static let shapes = [[1], [7], [2, 3], [2, 3, 4, 5]]

  static let operations: [Operation] = {
    var all = shapes.flatMap(elementwise)
    for shapes: [[Int]] in [
      [[3, 4], [4]], [[2, 3, 2, 2], [3, 1, 1]], [[2, 1], [1, 3]], [[], [2, 2]], [[3], [2, 1, 3]],
    ] {
      all += broadcast(shapes)
    }
    for (m, k, n) in [(1, 1, 1), (2, 3, 4), (5, 1, 7), (9, 17, 3)] { all += matrices(m, k, n) }
    for shape in [[1, 1, 2, 2], [2, 3, 5, 7], [1, 2, 8, 6]] { all += images(shape) }
    return all
  }()

  private static func elementwise(_ shape: [Int]) -> [Operation] {
    [
      Operation(name: "add", shapes: [shape, shape]) { try $0[0] + $0[1] },
      Operation(name: "subtract", shapes: [shape, shape]) { try $0[0] - $0[1] },
      Operation(name: "multiply", shapes: [shape, shape]) { try $0[0] * $0[1] },
      Operation(name: "divide", shapes: [shape, shape], offset: 9) { try $0[0] / $0[1] },
      Operation(name: "neg", shapes: [shape]) { try -$0[0] },
      Operation(name: "scalars", shapes: [shape]) { try 3 - (2 + (($0[0] * 3 + 1) / 7 - 2)) * 0.5 },
      Operation(name: "relu", shapes: [shape], hasKinks: true) { try $0[0].relu() },
      Operation(name: "relu6", shapes: [shape], hasKinks: true) { try ($0[0] * 9).relu6() },
      Operation(name: "sigmoid", shapes: [shape]) { try $0[0].sigmoid() },
      Operation(name: "tanh", shapes: [shape]) { try $0[0].tanh() },
      Operation(name: "exp", shapes: [shape]) { try $0[0].exp() },
      Operation(name: "log", shapes: [shape], offset: 9) { try $0[0].log() },
      Operation(name: "sum", shapes: [shape]) { try ($0[0] * $0[0]).sum() },
      Operation(name: "mean", shapes: [shape]) { try ($0[0] * $0[0]).mean() },
      Operation(name: "reshape", shapes: [shape]) { try ($0[0] * $0[0]).reshape([-1, 1]) },
      Operation(name: "flatten", shapes: [shape]) { try ($0[0] * $0[0]).flatten(startDim: 0) },
      Operation(name: "dropout", shapes: [shape]) {
        try $0[0].dropout(p: 0.4, random: Philox(seed: 5, stream: 1))
      },
      Operation(name: "mse", shapes: [shape, shape]) { try $0[0].mse($0[1]) },
      Operation(name: "mse sum", shapes: [shape, shape]) { try $0[0].mse($0[1], reduction: .sum) },
      Operation(name: "bce", shapes: [shape, shape]) { try $0[0].bceWithLogits($0[1]) },
      Operation(name: "bce sum", shapes: [shape, shape]) {
        try $0[0].bceWithLogits($0[1], reduction: .sum)
      },
      Operation(name: "used twice", shapes: [shape]) { try $0[0] * $0[0] + $0[0] },
    ]
  }

  private static func broadcast(_ shapes: [[Int]]) -> [Operation] {
    [
      Operation(name: "broadcast add", shapes: shapes) { try $0[0] + $0[1] },
      Operation(name: "broadcast subtract", shapes: shapes) { try $0[0] - $0[1] },
      Operation(name: "broadcast multiply", shapes: shapes) { try $0[0] * $0[1] },
      Operation(name: "broadcast divide", shapes: shapes, offset: 9) { try $0[0] / $0[1] },
    ]
  }

  private static func matrices(_ m: Int, _ k: Int, _ n: Int) -> [Operation] {
    [
      Operation(name: "matmul", shapes: [[m, k], [k, n]]) { try $0[0].matmul($0[1]) },
      Operation(name: "linear", shapes: [[m, k], [n, k], [n]]) {
        try $0[0].linear(weight: $0[1], bias: $0[2])
      },
      Operation(name: "linear without bias", shapes: [[2, m, k], [n, k]]) {
        try $0[0].linear(weight: $0[1])
      },
      Operation(name: "transpose2d", shapes: [[m, k]]) { try ($0[0] * $0[0]).transpose2d() },
      Operation(name: "logSoftmax", shapes: [[m, k]]) { try $0[0].logSoftmax() },
      Operation(name: "crossEntropy", shapes: [[m, k]]) {
        try $0[0].crossEntropy(Tensor((0..<m).map { Int64($0 * 3 % k) }, shape: [m]))
      },
      Operation(name: "crossEntropy sum", shapes: [[m, k]]) {
        try $0[0].crossEntropy(Tensor((0..<m).map { Int64($0 % k) }, shape: [m]), reduction: .sum)
      },
    ]
  }

  private static func images(_ shape: [Int]) -> [Operation] {
    [
      Operation(name: "maxPool2d 2", shapes: [shape], hasKinks: true) {
        try $0[0].maxPool2d(kernel: 2)
      },
      Operation(name: "maxPool2d 3/1 padded", shapes: [shape], hasKinks: true) {
        try $0[0].maxPool2d(kernel: 3, stride: 1, padding: 1)
      },
      Operation(name: "maxPool2d 2x1/1x2", shapes: [shape], hasKinks: true) {
        try $0[0].maxPool2d(kernel: [2, 1], stride: [1, 2], padding: [1, 0])
      },
      Operation(name: "avgPool2d 2", shapes: [shape]) { try $0[0].avgPool2d(kernel: 2) },
      Operation(name: "avgPool2d 3/1 padded", shapes: [shape]) {
        try $0[0].avgPool2d(kernel: 3, stride: 1, padding: 1)
      },
      Operation(name: "avgPool2d excluding padding", shapes: [shape]) {
        try $0[0].avgPool2d(kernel: [3, 2], stride: [2, 1], padding: [1, 1], countIncludePad: false)
      },
      Operation(name: "batchNorm", shapes: [shape, [shape[1]], [shape[1]]]) {
        try $0[0].batchNorm(weight: $0[1], bias: $0[2]).output
      },
      Operation(name: "batchNorm without affine", shapes: [shape]) { try $0[0].batchNorm().output },
      Operation(name: "batchNorm, residual, relu", shapes: [shape, [shape[1]], [shape[1]], shape]) {
        try $0[0].batchNorm(weight: $0[1], bias: $0[2], adding: $0[3], relu: true).output
      },
      Operation(name: "batchNorm, residual", shapes: [shape, shape]) {
        try $0[0].batchNorm(adding: $0[1]).output
      },
      Operation(name: "globalAvgPool2d", shapes: [shape]) { try $0[0].globalAvgPool2d() },
      Operation(name: "batchNorm in evaluation", shapes: [shape, [shape[1]], [shape[1]]]) { inputs in
        let channels = inputs[0].shape[1]
        return try inputs[0].batchNorm(
          mean: Tensor((0..<channels).map { Double($0) * 0.3 }, shape: [channels]),
          variance: Tensor((0..<channels).map { Double($0) + 0.5 }, shape: [channels]), weight: inputs[1],
          bias: inputs[2])
      },
    ]
  }

  @Test(arguments: operations)
  func operation(_ operation: Operation) throws {
    let inputs = try operation.shapes.enumerated().map { index, shape in
      operation.hasKinks
        ? try spread(shape, seed: UInt64(index + 1))
        : try normal(shape, seed: UInt64(index + 1), offset: operation.offset)
    }
    try gradcheck(operation.function, inputs)
  }

  @Test(arguments: operations.filter { $0.shapes[0].count == 4 })
  func channelsLast(_ operation: Operation) throws {
    let inputs = try operation.shapes.enumerated().map { index, shape in
      try
        (operation.hasKinks
        ? spread(shape, seed: UInt64(index + 1))
        : normal(shape, seed: UInt64(index + 1), offset: operation.offset)).converted(to: .nhwc)
    }
    try gradcheck(operation.function, inputs)
    // The order of dropout's random numbers and of all sums is the logical one: formats give equal results.
    let plain = try inputs.map { Variable(try $0.converted(to: .nchw)) }
    let (first, second) = try (
      operation.function(plain).value.values(as: Double.self),
      operation.function(inputs.map { Variable($0) }).value.values(as: Double.self)
    )
    for (a, b) in zip(first, second) {
      #expect(abs(a - b) <= 1e-12 * (1 + abs(a)), "\(operation.testDescription): nchw \(a), nhwc \(b)")
    }
  }

  static let convolutions = [
    "conv1d:n2c3w7k4s3p1", "conv1d:n1c4w9k6s2u2p2,0l2g2", "conv2d:n2c2h5w4k3r3s3p1",
    "conv2d:n1c4h6w5k4r2s3u2x1p1,0,2,1l1x2g2", "conv2d:n1c3h4w4k6r1s1g3", "conv3d:n1c2d3h4w3k2t2r2s2p1",
    "conv3d:n1c2d4h3w5k4t2r1s3u2x1x2p1,0,0,0,1,1g2",
  ]

  @Test(arguments: convolutions, [MemoryFormat.nchw, .nhwc])
  func convolution(_ text: String, _ format: MemoryFormat) throws {
    let problem = try ConvProblem(parsing: text)
    let axes = problem.axesInUse
    let padding = Sizes(axes.flatMap { [problem.padding.before[$0], problem.padding.after[$0]] })
    let inputs = try [
      normal(problem.inputShape, seed: 1).converted(to: format), normal(problem.filterShape, seed: 2),
      normal([problem.k], seed: 3),
    ]
    func conv(_ inputs: [Variable]) throws -> Variable {
      try inputs[0].conv(
        weight: inputs[1], bias: inputs.count > 2 ? inputs[2] : nil,
        stride: Sizes(axes.map { problem.stride[$0] }), padding: padding,
        dilation: Sizes(axes.map { problem.dilation[$0] }), groups: problem.groups)
    }
    try onNaive {
      #expect(try conv(inputs.map { Variable($0) }).shape == problem.outputShape)
      try gradcheck(conv, inputs)
      try gradcheck(conv, Array(inputs.prefix(2)))
    }
  }

  struct Transposed: Sendable {
    let shape: [Int], weight: [Int], stride: Sizes, padding: Sizes, outputPadding: Sizes, groups: Int
    let dilation: Sizes, output: [Int]
  }

  /// Output shapes as PyTorch gives them.
  static let transposed = [
    Transposed(
      shape: [2, 3, 4, 5], weight: [3, 2, 3, 3], stride: 1, padding: 0, outputPadding: 0, groups: 1,
      dilation: 1, output: [2, 2, 6, 7]),
    Transposed(
      shape: [1, 4, 3, 4], weight: [4, 3, 3, 2], stride: [2, 3], padding: [1, 0], outputPadding: [1, 2],
      groups: 2, dilation: 1, output: [1, 6, 6, 13]),
    Transposed(
      shape: [1, 2, 3, 3], weight: [2, 2, 2, 2], stride: 1, padding: 1, outputPadding: 1, groups: 1,
      dilation: 2, output: [1, 2, 4, 4]),
  ]

  @Test(arguments: transposed)
  func convolutionTransposed(_ t: Transposed) throws {
    let inputs = try [
      normal(t.shape, seed: 1), normal(t.weight, seed: 2), normal([t.output[1]], seed: 3),
    ]
    func transpose(_ inputs: [Variable]) throws -> Variable {
      try inputs[0].convTranspose2d(
        weight: inputs[1], bias: inputs[2], stride: t.stride, padding: t.padding,
        outputPadding: t.outputPadding, groups: t.groups, dilation: t.dilation)
    }
    try onNaive {
      #expect(try transpose(inputs.map { Variable($0) }).shape == t.output)
      try gradcheck(transpose, inputs)
    }
  }

  @Test func findsWrongGradients() throws {
    let input = try normal([3], seed: 1)
    func wrong(_ factor: Double) -> ([Variable]) throws -> Variable {
      { inputs in
        let y = try noGrad { try inputs[0] * 3 }
        return Variable.record("wrong", y.value, inputs) { g in
          [try noGrad { try Variable(g) * factor }.value]
        }
      }
    }
    try gradcheck(wrong(3), [input])
    for factor in [-3, 0, 3.01, .nan] {
      #expect(throws: GradcheckFailure.self, "factor \(factor)") { try gradcheck(wrong(factor), [input]) }
    }
    #expect(throws: ConvError.self) { try gradcheck(wrong(3), [Tensor([1 as Float], shape: [1])]) }
  }
}
