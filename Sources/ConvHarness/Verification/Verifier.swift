import ConvCore

/// Executes plans on poisoned memory and compares the results with an expectation.
public struct Verifier: Sendable {
  /// Threads that plans are executed with.
  public let pool: WorkerPool

  /// A verifier on a pool.
  public init(pool: WorkerPool = .shared) { self.pool = pool }

  /// Whether a backend's answer to an operation is right on the given data.
  ///
  /// `unsupported` where it declines; whatever its plan throws afterwards is `failed`.
  /// - Parameter seed: where it is given, a mistrusted result is repeated with other data (`verifyUntilTrusted`).
  public func verify(
    _ backend: any ConvolutionBackend, _ operation: ConvOperation, _ options: PlanOptions,
    data: ProblemData, expectation: Expectation, repeatingFrom seed: UInt64? = nil
  ) -> Verification {
    if let reason = backend.support(for: operation, options).reason {
      return Verification(.unsupported, reason: reason)
    }
    do {
      let plan = try backend.plan(for: operation, options)
      guard let seed else {
        return try verify(plan, data: data, expectation: expectation, filterState: options.filterState)
      }
      return try verifyUntilTrusted(
        plan, data: data, expectation: expectation, filterState: options.filterState, seed: seed)
    } catch {
      return Verification(.failed, reason: "\(backend.name) promised support, then: \(error)")
    }
  }

  /// Whether a plan's result is right on the given data.
  ///
  /// - Throws: what the plan throws.
  public func verify(
    _ plan: any ConvPlan, data: ProblemData, expectation: Expectation, filterState: FilterState = .fresh
  ) throws -> Verification {
    let result = try execute(plan, data, filterState: filterState)
    guard
      let bounds = ErrorBounds(model: plan.errorModel, expectation: expectation, data: data, pool: pool)
    else {
      return Verification(
        .mistrusted, reason: "the error model \(plan.errorModel) does not describe \(plan.operation)")
    }
    var verification = Verification(
      results: Verifier.values(of: result, at: expectation.grid), expectation: expectation,
      bounds: bounds, strayValue: Verifier.strayValue(in: result))
    verification.explainOverflow(of: plan, data)
    // No sum passes through a maximum.
    let isLinear = !plan.operation.epilogue.relu && !plan.operation.epilogue.maxPool2x2
    if isLinear, verification.verdict != .failed, let projected = expectation.projected {
      verification.add(
        ProjectionCheck(
          expected: projected, model: plan.errorModel, expectation: expectation, bounds: bounds, data: data,
          pool: pool
        ).finding(result), expectation)
    }
    return verification
  }

  /// Other data that a verification is repeated with at most.
  static let repeats = 2

  /// Verifies a plan; where the verdict is `mistrusted`, again with data drawn uniformly with the next seeds, until it can be trusted.
  ///
  /// - Throws: what the plan throws; `MemoryError` for the data.
  public func verifyUntilTrusted(
    _ plan: any ConvPlan, data: ProblemData, expectation: Expectation, filterState: FilterState = .fresh,
    seed: UInt64
  ) throws -> Verification {
    let first = try verify(plan, data: data, expectation: expectation, filterState: filterState)
    var verification = first
    for repeated in 1...Verifier.repeats where verification.verdict == .mistrusted {
      let seed = seed &+ UInt64(repeated)
      let other = try ProblemData(
        problem: data.problem, elementType: data.elementType, seed: seed, pool: pool)
      let expectation = try Expectation(of: plan.operation.pass, data: other, seed: seed, pool: pool)
      verification = try verify(plan, data: other, expectation: expectation, filterState: filterState)
      if verification.verdict == .failed { verification.reason += ", on uniform data of seed \(seed)" }
    }
    return verification.verdict == .mistrusted ? first : verification
  }

  /// Executes a plan on memory that shows what it does not write or reads by mistake: the result is filled with NaN (with
  /// zeros where the epilogue accumulates), the workspace with 0xA5.
  ///
  /// - Returns: The result tensor of the pass, in logical order.
  /// - Throws: what the plan throws.
  public func execute(
    _ plan: any ConvPlan, _ data: ProblemData, filterState: FilterState = .fresh
  ) throws -> Tensor {
    try execute(plan, data, bias: nil, filterState: filterState).result
  }

  /// The same with the operands of epilogues: the bias that the plan adds, the bias gradient that it yields.
  func execute(
    _ plan: any ConvPlan, _ data: ProblemData, bias: Tensor?, filterState: FilterState = .fresh
  ) throws -> (result: Tensor, biasGradient: Tensor?) {
    let operation = plan.operation
    var result = try poisoned(operation)
    var biasGradient: Tensor?
    if operation.epilogue.biasGradient {
      biasGradient = try poison([operation.problem.k], operation.elementType, .nchw)
    }
    let bias = try bias ?? Tensor.zeros([operation.problem.k], elementType: operation.elementType)
    try withOperands(operation, data) { operands in
      var operands = operands
      let db = biasGradient?.withUnsafeMutableRawPointer { $0 }
      operands.biasGradient = db
      operands.bias = operation.epilogue.bias ? bias.withUnsafeRawPointer { $0 } : nil
      if filterState == .prepared, operation.pass != .backwardFilter, let filter = operands.filter {
        operands.preparedFilter = try plan.prepare(filter: UnsafeRawPointer(filter), pool: pool)
        operands.filter = nil
      }
      try withWorkspace(plan.workspaceBytes) { workspace in
        try result.withUnsafeMutableRawPointer { pointer in
          switch operation.pass {
          case .forward: operands.output = pointer
          case .backwardData: operands.input = pointer
          case .backwardFilter: operands.filter = pointer
          }
          try withExtendedLifetime((bias, biasGradient)) {
            try plan.execute(operands, workspace: workspace, pool: pool, phases: nil)
          }
        }
      }
    }
    let logical = try result.converted(to: MemoryFormat.nchw)
    ExecutionLog.current?.append(plan, data, logical)
    return (logical, biasGradient)
  }

  private func poisoned(_ operation: ConvOperation) throws -> Tensor {
    let shape = operation.problem.resultShape(operation.pass)
    let format =
      switch operation.pass {
      case .forward: operation.outputFormat
      case .backwardData: operation.inputFormat
      case .backwardFilter: operation.filterFormat
      }
    if operation.epilogue.accumulate {
      return try Tensor.zeros(shape, elementType: operation.elementType, format: format)
    }
    return try poison(shape, operation.elementType, format)
  }

  private func poison(_ shape: [Int], _ elementType: ElementType, _ format: MemoryFormat) throws -> Tensor {
    if elementType == .float64 { return try Tensor.full(shape, Double.nan, format: format) }
    return try Tensor.full(shape, Float.nan, format: format)
  }

  private func withWorkspace<R>(_ byteCount: Int, _ body: (UnsafeMutableRawBufferPointer) throws -> R) throws
    -> R
  {
    let buffer = try PooledBuffer(byteCount: byteCount)
    return try withExtendedLifetime(buffer) {
      let workspace = UnsafeMutableRawBufferPointer(start: buffer.baseAddress, count: byteCount)
      workspace.initializeMemory(as: UInt8.self, repeating: 0xA5)
      return try body(workspace)
    }
  }

  /// The tensors that the pass reads, in the operation's formats.
  func withOperands<R>(
    _ operation: ConvOperation, _ data: ProblemData, _ body: (ConvOperands) throws -> R
  ) throws -> R {
    let x = try data.input.converted(to: operation.inputFormat)
    let w = try data.filter.converted(to: operation.filterFormat)
    let dy = try data.outputGradient.converted(to: operation.outputFormat)
    return try x.withUnsafeRawPointer { x in
      try w.withUnsafeRawPointer { w in
        try dy.withUnsafeRawPointer { dy in
          var operands = ConvOperands()
          if operation.pass != .backwardData { operands.input = UnsafeMutableRawPointer(mutating: x) }
          if operation.pass != .backwardFilter { operands.filter = UnsafeMutableRawPointer(mutating: w) }
          if operation.pass != .forward { operands.output = UnsafeMutableRawPointer(mutating: dy) }
          return try body(operands)
        }
      }
    }
  }

  /// The sampled values of a result tensor in logical order.
  static func values(of tensor: Tensor, at grid: SampleGrid) -> [Double] {
    func read<T: ConvScalar>(_: T.Type) -> [Double] {
      tensor.withUnsafePointer(as: T.self) { values in
        grid.rows.flatMap { row in grid.columns.map { Double(values[grid.index(row, $0)]) } }
      }
    }
    return tensor.elementType == .float64 ? read(Double.self) : read(Float.self)
  }

  /// Describes the first value that is not finite.
  static func strayValue(in tensor: Tensor) -> String? {
    func scan<T: ConvScalar>(_: T.Type) -> String? {
      let count = tensor.count
      return tensor.withUnsafePointer(as: T.self) { values in
        for i in 0..<count where !values[i].isFinite {
          return "element \(i) of \(count) (logical order) is \(values[i])"
        }
        return nil
      }
    }
    return tensor.elementType == .float64 ? scan(Double.self) : scan(Float.self)
  }
}
