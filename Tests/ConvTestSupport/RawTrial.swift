import ConvCore

/// One problem with operands in logical order, run on raw memory: results start as NaN, workspaces as 0xA5.
public struct RawTrial<T: ConvScalar> {
  public var problem: ConvProblem
  public var x: [T]
  public var w: [T]
  public var dy: [T]

  /// Standard normal operands, or integers of small magnitude, so that every sum is exact.
  public init(_ problem: ConvProblem, seed: UInt64, integers: Bool = false) {
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

  /// The result of a plan in logical order. `accumulator` is what the result holds before, in logical order too.
  ///
  /// - Throws: `WorkspaceOverrun`; what the plan throws.
  public func run(
    _ plan: any ConvPlan, pool: WorkerPool = .shared, bias: [T]? = nil, accumulator: [T]? = nil,
    prepared: Bool = false
  ) throws -> [T] {
    let operation = plan.operation
    let pass = operation.pass
    func tensor(_ values: [T], _ shape: [Int], _ format: MemoryFormat, isResult: Bool) throws -> Tensor {
      if isResult && accumulator == nil { return try .full(shape, T.nan, format: format) }
      return try Tensor(isResult ? accumulator ?? values : values, shape: shape, format: format)
    }
    var input = try tensor(x, problem.inputShape, operation.inputFormat, isResult: pass == .backwardData)
    var filter = try tensor(w, problem.filterShape, operation.filterFormat, isResult: pass == .backwardFilter)
    var output = try tensor(dy, problem.outputShape, operation.outputFormat, isResult: pass == .forward)
    let packed = prepared ? try plan.prepare(filter: filter, pool: pool) : nil
    try input.withUnsafeMutableRawPointer { x in
      try filter.withUnsafeMutableRawPointer { w in
        try output.withUnsafeMutableRawPointer { y in
          try (bias ?? []).withUnsafeBytes { b in
            try plan.executeGuarded(
              ConvOperands(
                input: x, filter: packed == nil ? w : nil, output: y, bias: bias == nil ? nil : b.baseAddress,
                preparedFilter: packed), pool: pool)
          }
        }
      }
    }
    switch pass {
    case .forward: return output.values()
    case .backwardData: return input.values()
    case .backwardFilter: return filter.values()
    }
  }

  /// The result in float64 by the oracle's plain sums.
  public func expected(_ pass: ConvPass) -> [Double] { oracleValues(problem, pass, x, w, dy).map(\.sum) }
}

/// Every result of a pass by the oracle, in logical order: the sum and the sum of magnitudes.
public func oracleValues<T: ConvScalar>(
  _ problem: ConvProblem, _ pass: ConvPass, _ x: [T], _ w: [T], _ dy: [T]
) -> [(sum: Double, magnitude: Double)] {
  let oracle = ConvOracle<T>(problem)
  let shape = problem.resultShape(pass)
  // Axes that the problem lacks count as 1.
  let extents = [Int](repeating: 1, count: 5 - shape.count) + shape.dropFirst(2)
  let area = extents.reduce(1, *)
  return (0..<shape.reduce(1, *)).map { i in
    let at = Extent(
      d: i / (extents[1] * extents[2]) % extents[0], h: i / extents[2] % extents[1], w: i % extents[2])
    let (outer, inner) = (i / area / shape[1], i / area % shape[1])
    let value =
      switch pass {
      case .forward: oracle.forward(x, w, n: outer, k: inner, at: at)
      case .backwardData: oracle.backwardData(dy, w, n: outer, c: inner, at: at)
      case .backwardFilter: oracle.backwardFilter(x, dy, k: outer, c: inner, tap: at)
      }
    return (value.sum, value.magnitude)
  }
}
