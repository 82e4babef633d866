import ConvCore
import ConvNaive
import ConvTestSupport
import Testing

@testable import ConvIm2col

/// A matrix multiplier with a printable name for test arguments.
struct Multiplier: Sendable, CustomTestStringConvertible {
  let value: any MatrixMultiplier
  var testDescription: String { value.name }

  static var all: [Multiplier] {
    var all = [Multiplier(value: KernelMatrixMultiplier())]
    #if OpenBLAS
      all.append(Multiplier(value: OpenBLASMatrixMultiplier()))
    #endif
    return all
  }
}

/// Random problems, the corners included: reproducible from the seed.
struct ProblemGenerator {
  var random: PhiloxGenerator

  init(seed: UInt64) { random = PhiloxGenerator(seed: seed) }

  mutating func problem() -> ConvProblem {
    while true {
      let rank = Int.random(in: 1...3, using: &random)
      let groups = [1, 1, 1, 2, 3, 5].randomElement(using: &random)!
      let largest = [0, 40, 13, 7][rank]
      var input = Extent(w: 1), filter = Extent(w: 1), stride = Extent(w: 1), dilation = Extent(w: 1)
      var before = Extent(d: 0, h: 0, w: 0), after = before
      let isSame = Int.random(in: 0..<3, using: &random) == 0
      for axis in (3 - rank)..<3 {
        input[axis] = Int.random(in: 1...largest, using: &random)
        filter[axis] = Int.random(in: 1...5, using: &random)
        if isSame {
          before[axis] = filter[axis] / 2
          after[axis] = filter[axis] - 1 - filter[axis] / 2
          continue
        }
        stride[axis] = [1, 1, 2, 3].randomElement(using: &random)!
        dilation[axis] = [1, 1, 2, 3].randomElement(using: &random)!
        before[axis] = Int.random(in: 0...6, using: &random)
        after[axis] = Int.random(in: 0...6, using: &random)
      }
      let problem = try? ConvProblem(
        spatialRank: rank, n: Int.random(in: 1...3, using: &random),
        c: groups * Int.random(in: 1...9, using: &random), k: groups * Int.random(in: 1...9, using: &random),
        groups: groups, input: input, filter: filter, stride: stride,
        padding: Padding(before: before, after: after), dilation: dilation)
      if let problem, problem.directFLOPs < 1.5e6 { return problem }
    }
  }
}

/// Executes plans on memory that is poisoned first, with a workspace of exactly the size that the plan names.
struct Run<T: ConvScalar> {
  let operation: ConvOperation
  var x: [T], w: [T], y: [T], bias: [T]

  /// Operands in physical order; the result's array is the accumulator.
  init(_ operation: ConvOperation, seed: UInt64) {
    self.operation = operation
    var random = PhiloxGenerator(seed: seed &+ 1)
    func values(_ count: Int) -> [T] { (0..<count).map { _ in T(Double.random(in: -1...1, using: &random)) } }
    x = values(operation.problem.inputShape.reduce(1, *))
    w = values(operation.problem.filterShape.reduce(1, *))
    y = values(operation.problem.outputShape.reduce(1, *))
    bias = values(operation.problem.k)
  }

  /// Small integers: every engine's sums are exact.
  mutating func useIntegers() {
    for i in x.indices { x[i] = (x[i] * 4).rounded() }
    for i in w.indices { w[i] = (w[i] * 4).rounded() }
    for i in y.indices { y[i] = (y[i] * 4).rounded() }
    for i in bias.indices { bias[i] = (bias[i] * 4).rounded() }
  }

  /// The result of `plan` in physical order.
  func result(
    of plan: any ConvPlan, pool: WorkerPool = .shared, isPrepared: Bool = false
  ) throws -> [T] {
    var (x, w, y) = (x, w, y)
    let accumulates = operation.epilogue.accumulate
    func poison(_ values: inout [T]) {
      if !accumulates { for i in values.indices { values[i] = .nan } }
    }
    switch operation.pass {
    case .forward: poison(&y)
    case .backwardData: poison(&x)
    case .backwardFilter: poison(&w)
    }
    let prepared =
      try isPrepared ? w.withUnsafeBytes { try plan.prepare(filter: $0.baseAddress!, pool: pool) } : nil
    try x.withUnsafeMutableBytes { x in
      try w.withUnsafeMutableBytes { w in
        try y.withUnsafeMutableBytes { y in
          try bias.withUnsafeBytes { bias in
            try plan.executeGuarded(
              ConvOperands(
                input: x.baseAddress, filter: isPrepared ? nil : w.baseAddress, output: y.baseAddress,
                bias: operation.epilogue.bias ? bias.baseAddress : nil, preparedFilter: prepared), pool: pool)
          }
        }
      }
    }
    switch operation.pass {
    case .forward: return y
    case .backwardData: return x
    case .backwardFilter: return w
    }
  }

  /// The formula's values and the magnitudes of their sums, in physical order, epilogue included.
  func expected() throws -> [(value: Double, magnitude: Double)] {
    let problem = operation.problem
    func logical(_ values: [T], _ shape: [Int], _ format: MemoryFormat) -> [T] {
      reordered(values, shape, from: format, to: .nchw)
    }
    let x = logical(self.x, problem.inputShape, operation.inputFormat)
    let w = logical(self.w, problem.filterShape, operation.filterFormat)
    let y = logical(self.y, problem.outputShape, operation.outputFormat)
    // Magnitudes are the formula on absolute values.
    let sums = try naive(x.map { Double($0) }, w.map { Double($0) }, y.map { Double($0) })
    let magnitudes = try naive(
      x.map { Double(abs($0)) }, w.map { Double(abs($0)) }, y.map { Double(abs($0)) })
    let values = zip(sums, magnitudes)
    let initial = operation.pass == .forward ? y : operation.pass == .backwardData ? x : w
    let perChannel = problem.output.count
    let finished = values.enumerated().map { index, value -> (value: Double, magnitude: Double) in
      var (sum, magnitude) = value
      func add(_ term: Double) {
        sum += term
        magnitude += abs(term)
      }
      if operation.epilogue.accumulate { add(Double(initial[index])) }
      if operation.epilogue.bias { add(Double(bias[index / perChannel % problem.k])) }
      return (operation.epilogue.relu ? max(0, sum) : sum, magnitude)
    }
    let format =
      operation.pass == .forward
      ? operation.outputFormat
      : operation.pass == .backwardData ? operation.inputFormat : operation.filterFormat
    return reordered(finished, problem.resultShape(operation.pass), from: .nchw, to: format)
  }

  /// The oracle's results in float64, in logical order.
  private func naive(_ x: [Double], _ w: [Double], _ y: [Double]) throws -> [Double] {
    var (x, w, y) = (x, w, y)
    let plan = try NaiveBackend().plan(
      for: ConvOperation(operation.pass, operation.problem, elementType: .float64))
    try x.withUnsafeMutableBytes { x in
      try w.withUnsafeMutableBytes { w in
        try y.withUnsafeMutableBytes { y in
          try plan.execute(
            ConvOperands(input: x.baseAddress, filter: w.baseAddress, output: y.baseAddress),
            workspace: UnsafeMutableRawBufferPointer(start: nil, count: 0), pool: .shared, phases: nil)
        }
      }
    }
    return operation.pass == .forward ? y : operation.pass == .backwardData ? x : w
  }
}

/// The elements of a dense tensor in another physical order, one by one.
func reordered<E>(_ values: [E], _ shape: [Int], from: MemoryFormat, to: MemoryFormat) -> [E] {
  let (source, target) = (from.strides(of: shape), to.strides(of: shape))
  var result = values
  for index in 0..<values.count {
    var (rest, a, b) = (index, 0, 0)
    for axis in shape.indices.reversed() {
      a += rest % shape[axis] * source[axis]
      b += rest % shape[axis] * target[axis]
      rest /= shape[axis]
    }
    result[b] = values[a]
  }
  return result
}

/// Compares with the formula: |error| ≤ (depth + 2)·u·Σ|a·b|, the classical bound, which no order of summation can exceed.
func expectFormula<T: ConvScalar>(
  _ operation: ConvOperation, _ expected: [(value: Double, magnitude: Double)], _ found: [T], exact: Bool,
  _ note: String,
  sourceLocation: SourceLocation = #_sourceLocation
) {
  let u = operation.elementType.unitRoundoff
  let depth = Double(operation.problem.summationDepth(operation.pass) + 3)
  var worst = (index: -1, ratio: 0.0)
  for (index, (value, magnitude)) in expected.enumerated() {
    let error = abs(Double(found[index]) - value)
    let bound = exact ? 0 : depth * u * magnitude
    if !(error <= bound) {
      let ratio = error.isNaN ? Double.infinity : error / max(bound, .leastNormalMagnitude)
      if ratio > worst.ratio { worst = (index, ratio) }
    }
  }
  if worst.index >= 0 {
    let (value, magnitude) = expected[worst.index]
    Issue.record(
      "\(operation) \(note): element \(worst.index) is \(found[worst.index]), expected \(value) (Σ|a·b| \(magnitude))",
      sourceLocation: sourceLocation)
  }
}
