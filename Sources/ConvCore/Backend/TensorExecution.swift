// Plans on tensors: checks shapes, types and formats, allocates the result and the workspace, executes.

extension ConvPlan {
  /// Executes a forward plan: y = epilogue(x ∗ w).
  ///
  /// - Parameters:
  ///   - input: x in the operation's input format.
  ///   - filter: w in the operation's filter format. Read even if `prepared` is given, to see that it has not changed.
  ///   - bias: [K], where the epilogue says so.
  ///   - accumulator: y₀, where the epilogue says `accumulate`.
  ///   - prepared: the result of `prepare(filter:)` on the same filter tensor.
  /// - Returns: y, and the pooling's argmax (uint8) where the epilogue pools.
  /// - Throws: `ConvError` on operands that do not fit, `.stalePreparedFilter` where the weights changed since.
  public func forward(
    input: Tensor, filter: Tensor, bias: Tensor? = nil, accumulator: Tensor? = nil,
    prepared: PreparedFilter? = nil, pool: WorkerPool = .shared, phases: PhaseRecorder? = nil
  ) throws -> (output: Tensor, argmax: Tensor?) {
    try requirePass(.forward)
    try check("input", input, operation.problem.inputShape, operation.inputFormat)
    try check("filter", filter, operation.problem.filterShape, operation.filterFormat)
    try checkPresence("bias", bias, wanted: operation.epilogue.bias, [operation.problem.k])
    var output = try startingResult(accumulator, operation.outputShape, operation.outputFormat)
    var argmax: Tensor?
    if operation.epilogue.maxPool2x2 {
      argmax = try Tensor(
        uninitialized: operation.outputShape, elementType: .uint8, format: operation.outputFormat)
    }
    try checkFresh(prepared, filter)
    try withReadOnly(input, filter, bias) { x, w, b in
      try output.withUnsafeMutableRawPointer { y in
        let winners = argmax?.withUnsafeMutablePointer(as: UInt8.self) { $0 }
        try run(
          ConvOperands(
            input: x, filter: w, output: y, bias: b.map { UnsafeRawPointer($0) }, argmax: winners,
            preparedFilter: prepared), pool, phases)
      }
    }
    return (output, argmax)
  }

  /// Executes a backwardData plan: dx from dy and w.
  public func backwardData(
    outputGradient: Tensor, filter: Tensor, accumulator: Tensor? = nil, prepared: PreparedFilter? = nil,
    pool: WorkerPool = .shared, phases: PhaseRecorder? = nil
  ) throws -> Tensor {
    try requirePass(.backwardData)
    try check("output gradient", outputGradient, operation.problem.outputShape, operation.outputFormat)
    try check("filter", filter, operation.problem.filterShape, operation.filterFormat)
    var result = try startingResult(accumulator, operation.problem.inputShape, operation.inputFormat)
    try checkFresh(prepared, filter)
    try withReadOnly(outputGradient, filter, nil) { dy, w, _ in
      try result.withUnsafeMutableRawPointer { dx in
        try run(ConvOperands(input: dx, filter: w, output: dy, preparedFilter: prepared), pool, phases)
      }
    }
    return result
  }

  /// Executes a backwardFilter plan: dw, and db where the epilogue says so, from x and dy.
  public func backwardFilter(
    input: Tensor, outputGradient: Tensor, accumulator: Tensor? = nil, pool: WorkerPool = .shared,
    phases: PhaseRecorder? = nil
  ) throws -> (filterGradient: Tensor, biasGradient: Tensor?) {
    try requirePass(.backwardFilter)
    try check("input", input, operation.problem.inputShape, operation.inputFormat)
    try check("output gradient", outputGradient, operation.problem.outputShape, operation.outputFormat)
    var result = try startingResult(accumulator, operation.problem.filterShape, operation.filterFormat)
    var biasGradient: Tensor?
    if operation.epilogue.biasGradient {
      biasGradient = try Tensor.zeros([operation.problem.k], elementType: operation.elementType)
    }
    try withReadOnly(input, outputGradient, nil) { x, dy, _ in
      try result.withUnsafeMutableRawPointer { dw in
        let db = biasGradient?.withUnsafeMutableRawPointer { $0 }
        try run(ConvOperands(input: x, filter: dw, output: dy, biasGradient: db), pool, phases)
      }
    }
    return (result, biasGradient)
  }

  /// Transforms a filter tensor once; the result remembers the tensor's revision.
  public func prepare(filter: Tensor, pool: WorkerPool = .shared) throws -> PreparedFilter {
    try check("filter", filter, operation.problem.filterShape, operation.filterFormat)
    var prepared = try filter.withUnsafeRawPointer { try prepare(filter: $0, pool: pool) }
    prepared.sourceRevision = filter.revision
    return prepared
  }

  // MARK: Checks

  private func run(_ operands: ConvOperands, _ pool: WorkerPool, _ phases: PhaseRecorder?) throws {
    let workspace = try PooledBuffer(byteCount: workspaceBytes)
    try withExtendedLifetime(workspace) {
      try execute(
        operands,
        workspace: UnsafeMutableRawBufferPointer(start: workspace.baseAddress, count: workspaceBytes),
        pool: pool, phases: phases)
    }
  }

  private func requirePass(_ pass: ConvPass) throws {
    if operation.pass != pass {
      throw ConvError.operand("a \(operation.pass.rawValue) plan was asked for \(pass.rawValue)")
    }
  }

  private func check(_ what: String, _ tensor: Tensor, _ shape: [Int], _ format: MemoryFormat) throws {
    guard tensor.shape == shape else {
      throw ConvError.shapeMismatch(what: what, expected: shape, found: tensor.shape)
    }
    guard tensor.elementType == operation.elementType else {
      throw ConvError.elementTypeMismatch(
        what: what, expected: operation.elementType, found: tensor.elementType)
    }
    guard tensor.format == format || tensor.rank <= 2 else {
      throw ConvError.formatMismatch(what: what, expected: format, found: tensor.format)
    }
  }

  private func checkPresence(_ what: String, _ tensor: Tensor?, wanted: Bool, _ shape: [Int]) throws {
    guard let tensor else {
      if wanted { throw ConvError.operand("the plan's epilogue needs a \(what), none was given") }
      return
    }
    guard wanted else { throw ConvError.operand("a \(what) was given, the plan's epilogue has none") }
    try check(what, tensor, shape, .nchw)
  }

  private func startingResult(
    _ accumulator: Tensor?, _ shape: [Int], _ format: MemoryFormat
  ) throws -> Tensor {
    guard operation.epilogue.accumulate else {
      if accumulator != nil {
        throw ConvError.operand("an accumulator was given, the plan's epilogue does not accumulate")
      }
      return try Tensor(uninitialized: shape, elementType: operation.elementType, format: format)
    }
    guard let accumulator else {
      throw ConvError.operand("the plan's epilogue accumulates, no accumulator was given")
    }
    try check("accumulator", accumulator, shape, format)
    return accumulator
  }

  private func checkFresh(_ prepared: PreparedFilter?, _ filter: Tensor) throws {
    guard let prepared else { return }
    guard prepared.signature == signature else {
      throw ConvError.stalePreparedFilter(
        reason: "it was prepared by '\(prepared.signature)', the plan is '\(signature)'")
    }
    guard prepared.sourceRevision == filter.revision else {
      throw ConvError.stalePreparedFilter(reason: "the weights have changed since it was prepared")
    }
  }

  private func withReadOnly<R>(
    _ first: Tensor, _ second: Tensor, _ third: Tensor?,
    _ body: (UnsafeMutableRawPointer, UnsafeMutableRawPointer, UnsafeMutableRawPointer?) throws -> R
  ) rethrows -> R {
    // Operands are typed as mutable because the pass decides which of them is written.
    try first.withUnsafeRawPointer { a in
      try second.withUnsafeRawPointer { b in
        guard let third else { return try body(.init(mutating: a), .init(mutating: b), nil) }
        return try third.withUnsafeRawPointer { c in
          try body(.init(mutating: a), .init(mutating: b), .init(mutating: c))
        }
      }
    }
  }
}
