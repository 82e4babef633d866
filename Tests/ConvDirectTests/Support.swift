import ConvCore
import ConvDirect
import Testing

/// One problem with operands in logical order, run on raw memory: results start as NaN, workspaces as 0xA5.
struct Case<T: ConvScalar> {
  let problem: ConvProblem
  var x, w, dy: [T]

  /// Integers of small magnitude, so that every sum is exact, or standard normal values.
  init(_ problem: ConvProblem, seed: UInt64, integers: Bool = true) {
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

  /// The result of a plan in logical order.
  func run(
    _ plan: any ConvPlan, pool: WorkerPool = .shared, bias: [T]? = nil, accumulator: [T]? = nil,
    prepared: Bool = false
  ) throws -> [T] {
    let operation = plan.operation
    func tensor(_ values: [T], _ shape: [Int], _ format: MemoryFormat, isResult: Bool) throws -> Tensor {
      if isResult && accumulator == nil { return try .full(shape, T.nan, format: format) }
      return try Tensor(isResult ? accumulator ?? values : values, shape: shape, format: format)
    }
    let pass = operation.pass
    var input = try tensor(x, problem.inputShape, operation.inputFormat, isResult: pass == .backwardData)
    var filter = try tensor(w, problem.filterShape, operation.filterFormat, isResult: pass == .backwardFilter)
    var output = try tensor(dy, problem.outputShape, operation.outputFormat, isResult: pass == .forward)
    let packed = prepared ? try plan.prepare(filter: filter, pool: pool) : nil
    let guardBytes = 64
    let workspace = UnsafeMutableRawBufferPointer.allocate(
      byteCount: plan.workspaceBytes + guardBytes, alignment: 64)
    defer { workspace.deallocate() }
    for i in workspace.indices { workspace[i] = 0xA5 }
    try input.withUnsafeMutableRawPointer { x in
      try filter.withUnsafeMutableRawPointer { w in
        try output.withUnsafeMutableRawPointer { y in
          try (bias ?? []).withUnsafeBytes { b in
            let operands = ConvOperands(
              input: x, filter: packed == nil ? w : nil, output: y, bias: bias == nil ? nil : b.baseAddress,
              preparedFilter: packed)
            try plan.execute(
              operands, workspace: UnsafeMutableRawBufferPointer(rebasing: workspace[..<plan.workspaceBytes]),
              pool: pool, phases: nil)
          }
        }
      }
    }
    #expect(
      workspace[plan.workspaceBytes...].allSatisfy { $0 == 0xA5 }, "\(operation) wrote beyond its workspace")
    switch pass {
    case .forward: return output.values()
    case .backwardData: return input.values()
    case .backwardFilter: return filter.values()
    }
  }

  /// The result by the oracle's plain sums.
  func expected(_ pass: ConvPass) -> [Double] {
    let oracle = ConvOracle<T>(problem)
    let shape = problem.resultShape(pass)
    let (height, width) = (shape[2], shape[3])
    return (0..<shape.reduce(1, *)).map { i in
      let at = Extent(d: 0, h: i / width % height, w: i % width)
      let (outer, inner) = (i / (height * width) / shape[1], i / (height * width) % shape[1])
      switch pass {
      case .forward: return oracle.forward(x, w, n: outer, k: inner, at: at).sum
      case .backwardData: return oracle.backwardData(dy, w, n: outer, c: inner, at: at).sum
      case .backwardFilter: return oracle.backwardFilter(x, dy, k: outer, c: inner, tap: at).sum
      }
    }
  }
}

/// The engine's own plan: nothing that the core's lowerings would make of the operation.
func nativePlan(_ operation: ConvOperation, _ options: PlanOptions = PlanOptions(threads: 2)) throws
  -> any ConvPlan
{
  let backend = DirectBackend()
  switch operation.pass {
  case .forward: return try backend.forwardPlan(operation, options)
  case .backwardData: return try backend.backwardDataPlan(operation, options)
  case .backwardFilter: return try backend.backwardFilterPlan(operation, options)
  }
}

/// An operation in one format.
func operation(
  _ pass: ConvPass, _ problem: ConvProblem, _ format: MemoryFormat, _ type: ElementType = .float32,
  epilogue: Epilogue = .none
) -> ConvOperation {
  ConvOperation(
    pass, problem, elementType: type, inputFormat: format, outputFormat: format, filterFormat: format,
    epilogue: epilogue)
}

/// "12 of 40 differ, first at 3: 5.0 instead of 7.0", or nil.
func difference<T: ConvScalar>(_ found: [T], _ expected: [Double]) -> String? {
  guard found.count == expected.count else { return "\(found.count) values instead of \(expected.count)" }
  let wrong = found.indices.filter { Double(found[$0]) != expected[$0] }
  guard let first = wrong.first else { return nil }
  return
    "\(wrong.count) of \(found.count) differ, first at \(first): \(found[first]) instead of \(expected[first])"
}
