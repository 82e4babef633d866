/// Other memory formats: operands are converted to the engine's, the result is converted back.
struct FormatLowering: Lowering, LoweredPlan {
  let operation: ConvOperation
  let innerOperation: ConvOperation
  var inner: [any ConvPlan] = []

  var innerOperations: [ConvOperation] { [innerOperation] }
  var label: String { "\(innerOperation.inputFormat.rawValue) conversion" }

  /// Converts input and output to `format`, and the filter to KCRS.
  init?(_ operation: ConvOperation, to format: MemoryFormat) {
    var innerOperation = operation
    innerOperation.inputFormat = format
    innerOperation.outputFormat = format
    innerOperation.filterFormat = .nchw
    guard innerOperation != operation else { return nil }
    self.operation = operation
    self.innerOperation = innerOperation
  }

  private var convertsInput: Bool { operation.inputFormat != innerOperation.inputFormat }
  private var convertsFilter: Bool { operation.filterFormat != innerOperation.filterFormat }
  private var convertsOutput: Bool { operation.outputFormat != innerOperation.outputFormat }

  var scratchBytes: Int {
    (convertsInput ? ScratchAllocator.aligned(operation.inputBytes) : 0)
      + (convertsFilter ? ScratchAllocator.aligned(operation.filterBytes) : 0)
      + (convertsOutput ? ScratchAllocator.aligned(operation.outputBytes) : 0)
      + (convertsOutput && operation.epilogue.maxPool2x2
        ? ScratchAllocator.aligned(operation.outputBytes) : 0)
  }

  var copying: ConvWork {
    let problem = operation.problem
    let footprint = operation.operandBytes + Double(scratchBytes)
    var work = ConvWork([.calls: 8])
    func add(_ shape: [Int], from format: MemoryFormat) {
      let bytes = shape.reduce(Double(elementBytes)) { $0 * Double($1) }
      let (outer, channels) = (shape[0], shape[1])
      let plane = shape.dropFirst(2).reduce(1, *)
      if channels == 1 || plane == 1 { return work.add(.moved, 2 * bytes, of: footprint) }
      work.add(.reordered, 2 * bytes, of: footprint)
      work[.calls] += Double(outer * MemoryFormat.conversionTasks(rows: format == .nchw ? channels : plane))
    }
    if convertsInput { add(problem.inputShape, from: operation.inputFormat) }
    if convertsFilter { add(problem.filterShape, from: operation.filterFormat) }
    if convertsOutput { add(operation.outputShape, from: operation.outputFormat) }
    return work
  }

  var preparedBytes: Int { inner[0].preparedBytes }

  func prepare(filter: UnsafeRawPointer, pool: WorkerPool) throws -> PreparedFilter {
    try requireFilterToRead()
    let buffer = try PooledBuffer(byteCount: operation.filterBytes)
    MemoryFormat.convert(
      filter, from: operation.filterFormat, to: buffer.baseAddress, as: .nchw,
      shape: operation.problem.filterShape, elementType: operation.elementType, pool: pool)
    return PreparedFilter(
      signature: signature, buffers: [],
      inner: [try inner[0].prepare(filter: buffer.baseAddress, pool: pool)])
  }

  func execute(
    _ operands: ConvOperands, workspace: UnsafeMutableRawBufferPointer, pool: WorkerPool,
    phases: PhaseRecorder?
  ) throws {
    var scratch = try ScratchAllocator(workspace, needed: workspaceBytes)
    var converted = try operands.unwrappingPrepared(for: self)
    let problem = operation.problem

    // Reads `pointer` in the inner format: converted now, or (for a result) converted back afterwards.
    func stage(
      _ pointer: UnsafeMutableRawPointer?, _ shape: [Int], _ outer: MemoryFormat,
      _ inner: MemoryFormat, read: Bool
    ) -> UnsafeMutableRawPointer? {
      guard let pointer, outer != inner else { return pointer }
      let copy = scratch.take(shape.reduce(operation.elementType.byteCount, *))
      if read {
        phases.measure("convert format") {
          MemoryFormat.convert(
            pointer, from: outer, to: copy, as: inner, shape: shape,
            elementType: operation.elementType, pool: pool)
        }
      }
      return copy
    }
    func unstage(
      _ copy: UnsafeMutableRawPointer?, _ pointer: UnsafeMutableRawPointer?, _ shape: [Int],
      _ outer: MemoryFormat, _ inner: MemoryFormat
    ) {
      guard let pointer, let copy, outer != inner else { return }
      phases.measure("convert format") {
        MemoryFormat.convert(
          copy, from: inner, to: pointer, as: outer, shape: shape,
          elementType: operation.elementType, pool: pool)
      }
    }

    let pass = operation.pass
    let accumulates = operation.epilogue.accumulate
    converted.input = stage(
      operands.input, problem.inputShape, operation.inputFormat, innerOperation.inputFormat,
      read: pass != .backwardData || accumulates)
    converted.filter = stage(
      operands.filter, problem.filterShape, operation.filterFormat, innerOperation.filterFormat,
      read: pass != .backwardFilter || accumulates)
    converted.output = stage(
      operands.output, operation.outputShape, operation.outputFormat, innerOperation.outputFormat,
      read: pass != .forward || accumulates)
    let convertsArgmax = operation.epilogue.maxPool2x2 && convertsOutput && operands.argmax != nil
    if convertsArgmax {
      converted.argmax = scratch.take(operation.outputBytes).assumingMemoryBound(to: UInt8.self)
    }
    try inner[0].execute(converted, workspace: scratch.rest, pool: pool, phases: phases)
    switch pass {
    case .forward:
      unstage(
        converted.output, operands.output, operation.outputShape, operation.outputFormat,
        innerOperation.outputFormat)
      if convertsArgmax, let from = converted.argmax, let to = operands.argmax {
        MemoryFormat.convert(
          from, from: innerOperation.outputFormat, to: to, as: operation.outputFormat,
          shape: operation.outputShape, elementType: .uint8, pool: pool)
      }
    case .backwardData:
      unstage(
        converted.input, operands.input, problem.inputShape, operation.inputFormat,
        innerOperation.inputFormat)
    case .backwardFilter:
      unstage(
        converted.filter, operands.filter, problem.filterShape, operation.filterFormat,
        innerOperation.filterFormat)
    }
  }
}
