public import ConvCore

/// An engine that computes worse than it says: the plans of an honest engine, with its error model, its name and its
/// variants, and one defect.
public struct CoarseEngine: ConvolutionBackend {
  /// What is wrong.
  public let defect: Defect
  /// Whose plans they are.
  public let honest: any ConvolutionBackend
  /// Where one result is wrong is drawn from it.
  public let seed: UInt64

  /// An honest engine's plans with a defect.
  public init(_ defect: Defect, of honest: any ConvolutionBackend, seed: UInt64 = 1) {
    self.defect = defect
    self.honest = honest
    self.seed = seed
  }

  public var name: String { honest.name }
  public var nativeFormats: [MemoryFormat] { honest.nativeFormats }
  public var nativePasses: Set<ConvPass> { Set(ConvPass.allCases) }
  public var threading: BackendThreading { honest.threading }

  /// All that the honest engine can do, lowerings included, so that one execution has the defect once.
  public func nativeSupport(for operation: ConvOperation, _ options: PlanOptions) -> Support {
    guard operation.elementType == .float32 else { return .unsupported("coarse engines compute in float32") }
    if let absence = defect.absence(in: operation) { return .unsupported(absence) }
    if defect == .halfBfloat16, !operation.epilogue.isEmpty {
      return .unsupported("the loops in bfloat16 have no epilogue")
    }
    return honest.support(for: operation, options)
  }

  public func forwardPlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan {
    CoarsePlan(honest: try honest.plan(for: operation, options), defect: defect, seed: seed)
  }

  public func backwardDataPlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan {
    try forwardPlan(operation, options)
  }

  public func backwardFilterPlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan {
    try forwardPlan(operation, options)
  }
}

/// The honest plan with other operands, or with other results.
struct CoarsePlan: ConvPlan {
  let honest: any ConvPlan
  let defect: Defect
  let seed: UInt64

  var operation: ConvOperation { honest.operation }
  var workspaceBytes: Int { honest.workspaceBytes }
  var preparedBytes: Int { honest.preparedBytes }
  var executedFLOPs: Double { honest.executedFLOPs }
  var work: ConvWork { honest.work }
  var variant: String { honest.variant }
  var executedBy: String { honest.executedBy }
  var errorModel: ErrorModel { honest.errorModel }

  func prepare(filter: UnsafeRawPointer, pool: WorkerPool) throws -> PreparedFilter {
    if defect == .halfBfloat16 { return try PreparedFilter.copy(of: filter, for: self) }
    guard let altered = try altered(filter, .filter, pool) else {
      return try honest.prepare(filter: filter, pool: pool)
    }
    return try withExtendedLifetime(altered) {
      try honest.prepare(filter: UnsafeRawPointer(altered.baseAddress), pool: pool)
    }
  }

  func execute(
    _ operands: ConvOperands, workspace: UnsafeMutableRawBufferPointer, pool: WorkerPool,
    phases: PhaseRecorder?
  ) throws {
    if defect == .halfBfloat16 {
      return try HalfBfloat16Sum(operation, pool).execute(
        operands.bound(for: operation, signature: signature))
    }
    var coarse = operands
    var copies: [PooledBuffer] = []
    func replace(_ operand: inout UnsafeMutableRawPointer?, _ kind: Kind) throws {
      guard let values = operand, let copy = try altered(values, kind, pool) else { return }
      copies.append(copy)
      operand = copy.baseAddress
    }
    switch operation.pass {
    case .forward:
      try replace(&coarse.input, .input)
      try replace(&coarse.filter, .filter)
    case .backwardData:
      try replace(&coarse.output, .output)
      try replace(&coarse.filter, .filter)
    case .backwardFilter:
      try replace(&coarse.input, .input)
      try replace(&coarse.output, .output)
    }
    try withExtendedLifetime(copies) {
      try honest.execute(coarse, workspace: workspace, pool: pool, phases: phases)
    }
    let result =
      switch operation.pass {
      case .forward: operands.output
      case .backwardData: operands.input
      case .backwardFilter: operands.filter
      }
    let shape =
      operation.pass == .forward ? operation.outputShape : operation.problem.resultShape(operation.pass)
    let count = shape.reduce(1, *)
    if let result { spoil(result.assumingMemoryBound(to: Float.self), count) }
  }

  private enum Kind { case input, filter, output }

  /// A copy of an operand with the defect; nil where it is read as it is.
  private func altered(
    _ values: UnsafeRawPointer, _ kind: Kind, _ pool: WorkerPool
  ) throws -> PooledBuffer? {
    let slices: [Slice]
    switch defect {
    case .roundedOperands: slices = []
    case .lostTap(let place): slices = [Slice.lostTap(place, operation)]
    case .lostChannel: slices = Slice.lostChannel(operation)
    default: return nil
    }
    if let slice = slices.first, kind != (slice.isOfFilter ? .filter : .output) { return nil }
    let problem = operation.problem
    let (shape, format) =
      switch kind {
      case .input: (problem.inputShape, operation.inputFormat)
      case .filter: (problem.filterShape, operation.filterFormat)
      case .output: (problem.outputShape, operation.outputFormat)
      }
    let count = shape.reduce(1, *)
    let copy = try PooledBuffer(count: count, of: Float.self)
    copy.baseAddress.copyMemory(from: values, byteCount: count * MemoryLayout<Float>.stride)
    let elements = copy.baseAddress.assumingMemoryBound(to: Float.self)
    if case .roundedOperands(let bits) = defect {
      let chunk = 1 << 16
      pool.parallelFor((count + chunk - 1) / chunk) { task in
        for i in task * chunk..<min(count, (task + 1) * chunk) {
          elements[i] = Significand.rounded(elements[i], bits: bits)
        }
      }
    }
    for slice in slices { slice.clear(elements, shape: shape, format: format) }
    return copy
  }

  /// Makes results wrong, in the order of memory.
  private func spoil(_ results: UnsafeMutablePointer<Float>, _ count: Int) {
    switch defect {
    case .wrongResult:
      var squares = 0.0
      for i in 0..<count { squares += Double(results[i]) * Double(results[i]) }
      results[drawn(count)] += Float((squares / Double(count)).squareRoot())
    case .inexactResult:
      results[drawn(count)] *= 1.01
    case .rightAtFirst(let right):
      for i in min(right, count)..<count { results[i] *= 1.01 }
    default: break
    }
  }

  private func drawn(_ count: Int) -> Int {
    Int(Philox(seed: seed, stream: 0xBAD).uniform(at: UInt64(count)) * Double(count))
  }
}
