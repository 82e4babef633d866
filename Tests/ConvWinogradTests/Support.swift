import ConvCore
import Testing

@testable import ConvWinograd

/// One operation with operands in logical order, run on raw memory: results start as NaN, workspaces as 0xA5.
struct Trial<T: ConvScalar> {
  var problem: ConvProblem
  var x: [T]
  var w: [T]
  var dy: [T]

  /// Standard normal operands, or integers of small magnitude.
  init(_ problem: ConvProblem, seed: UInt64, integers: Bool = false) {
    self.problem = problem
    func values(_ shape: [Int], _ stream: UInt32) -> [T] {
      let philox = Philox(seed: seed, stream: stream)
      return (0..<shape.reduce(1, *)).map { i in
        integers ? T(Int(philox.word(at: UInt64(i)) % 7) - 3) : T(philox.normal(at: UInt64(i)))
      }
    }
    x = values(problem.inputShape, 0)
    w = values(problem.filterShape, 1)
    dy = values(problem.outputShape, 2)
  }

  /// The result in logical order.
  func run(
    _ operation: ConvOperation, _ options: PlanOptions = PlanOptions(threads: 2), pool: WorkerPool = .shared,
    bias: [T]? = nil, accumulator: [T]? = nil, phases: PhaseRecorder? = nil
  ) throws -> [T] {
    let plan = try WinogradBackend().plan(for: operation, options)
    return try run(plan, prepared: options.filterState == .prepared, pool: pool, bias, accumulator, phases)
  }

  func run(
    _ plan: any ConvPlan, prepared: Bool = false, pool: WorkerPool = .shared, _ bias: [T]? = nil,
    _ accumulator: [T]? = nil, _ phases: PhaseRecorder? = nil
  ) throws -> [T] {
    let operation = plan.operation
    var input = try Tensor(x, shape: problem.inputShape, format: operation.inputFormat)
    var filter = try Tensor(w, shape: problem.filterShape, format: operation.filterFormat)
    var output = try Tensor(dy, shape: problem.outputShape, format: operation.outputFormat)
    let preparedFilter = prepared ? try plan.prepare(filter: filter, pool: pool) : nil
    let nan = T.nan
    switch operation.pass {
    case .forward:
      output =
        try accumulator.map { try Tensor($0, shape: problem.outputShape, format: operation.outputFormat) }
        ?? .full(problem.outputShape, nan, format: operation.outputFormat)
    case .backwardData:
      input =
        try accumulator.map { try Tensor($0, shape: problem.inputShape, format: operation.inputFormat) }
        ?? .full(problem.inputShape, nan, format: operation.inputFormat)
    case .backwardFilter: filter = try .full(problem.filterShape, nan, format: operation.filterFormat)
    }
    let workspace = UnsafeMutableRawBufferPointer.allocate(byteCount: plan.workspaceBytes + 64, alignment: 64)
    defer { workspace.deallocate() }
    for i in 0..<workspace.count { workspace[i] = 0xA5 }
    let inner = UnsafeMutableRawBufferPointer(rebasing: workspace[..<plan.workspaceBytes])
    try input.withUnsafeMutableRawPointer { x in
      try filter.withUnsafeMutableRawPointer { w in
        try output.withUnsafeMutableRawPointer { y in
          try (bias ?? [0]).withUnsafeBytes { b in
            let operands = ConvOperands(
              input: x, filter: preparedFilter == nil ? w : nil, output: y,
              bias: bias == nil ? nil : b.baseAddress, preparedFilter: preparedFilter)
            try plan.execute(operands, workspace: inner, pool: pool, phases: nil)
          }
        }
      }
    }
    for i in plan.workspaceBytes..<workspace.count where workspace[i] != 0xA5 {
      Issue.record("\(operation): wrote \(i - plan.workspaceBytes) bytes beyond its workspace")
      break
    }
    switch operation.pass {
    case .forward: return output.values()
    case .backwardData: return input.values()
    case .backwardFilter: return filter.values()
    }
  }

  /// The result in float64 by the oracle.
  func expected(_ pass: ConvPass) -> [Double] {
    let oracle = ConvOracle<T>(problem)
    let shape = problem.resultShape(pass)
    // Axes that the problem lacks count as 1.
    let extents = [Int](repeating: 1, count: 5 - shape.count) + shape.dropFirst(2)
    let area = extents.reduce(1, *)
    var result = [Double](repeating: 0, count: shape.reduce(1, *))
    for i in result.indices {
      let at = Extent(
        d: i / (extents[1] * extents[2]) % extents[0], h: i / extents[2] % extents[1], w: i % extents[2])
      let (outer, inner) = (i / area / shape[1], i / area % shape[1])
      switch pass {
      case .forward: result[i] = oracle.forward(x, w, n: outer, k: inner, at: at).sum
      case .backwardData: result[i] = oracle.backwardData(dy, w, n: outer, c: inner, at: at).sum
      case .backwardFilter: result[i] = oracle.backwardFilter(x, dy, k: outer, c: inner, tap: at).sum
      }
    }
    return result
  }
}

/// Largest |found − expected| over the expected result's rms; infinite where something is not finite.
func relativeError<T: ConvScalar>(_ found: [T], _ expected: [Double]) -> Double {
  guard found.count == expected.count else { return .infinity }
  var (worst, squares) = (0.0, 0.0)
  for (a, b) in zip(found, expected) {
    guard a.isFinite else { return .infinity }
    worst = max(worst, abs(Double(a) - b))
    squares += b * b
  }
  return worst == 0 ? 0 : worst / (squares / Double(max(1, expected.count))).squareRoot()
}
