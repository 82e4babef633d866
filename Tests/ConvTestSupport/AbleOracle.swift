import ConvCore
import ConvNaive

/// The oracle in every format, adding to what is there where the epilogue says so: what engines with some abilities of their own are
/// faked from.
public struct AbleOracle: ConvolutionBackend {
  public var name: String { "able" }
  public var nativeFormats: [MemoryFormat] { MemoryFormat.allCases }
  public var nativePasses: Set<ConvPass> { Set(ConvPass.allCases) }

  /// The only configuration there is.
  public init() {}

  public func nativeSupport(for operation: ConvOperation, _ options: PlanOptions) -> Support {
    let epilogue = operation.epilogue
    return epilogue.isEmpty || epilogue == Epilogue(accumulate: true)
      ? NaiveBackend().nativeSupport(for: operation.plain, options)
      : .unsupported("accumulation is the only epilogue")
  }

  public func forwardPlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan {
    ConvertingPlan(operation: operation, naive: try NaiveBackend().plan(for: operation.plain, options))
  }

  public func backwardDataPlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan {
    try forwardPlan(operation, options)
  }

  public func backwardFilterPlan(
    _ operation: ConvOperation, _ options: PlanOptions
  ) throws -> any ConvPlan {
    try forwardPlan(operation, options)
  }
}

extension ConvOperation {
  /// In the logical order, without epilogue.
  fileprivate var plain: ConvOperation { ConvOperation(pass, problem, elementType: elementType) }
}

/// The naive plan, behind conversions of its own and with accumulation.
private struct ConvertingPlan: ConvPlan {
  let operation: ConvOperation
  let naive: any ConvPlan
  var workspaceBytes: Int { 0 }
  var executedFLOPs: Double { naive.executedFLOPs }
  var variant: String { "able" }
  var executedBy: String { "able" }
  var errorModel: ErrorModel { naive.errorModel }

  func prepare(filter: UnsafeRawPointer, pool: WorkerPool) throws -> PreparedFilter {
    try PreparedFilter.copy(of: filter, for: self)
  }

  func execute(
    _ operands: ConvOperands, workspace: UnsafeMutableRawBufferPointer, pool: WorkerPool,
    phases: PhaseRecorder?
  ) throws {
    let bound = try operands.bound(for: operation, signature: signature)
    let problem = operation.problem
    let x = try load(bound.input, problem.inputShape, operation.inputFormat)
    let w = try load(bound.filter, problem.filterShape, operation.filterFormat)
    let y = try load(bound.output, problem.outputShape, operation.outputFormat)
    switch operation.pass {
    case .forward:
      let result = try naive.forward(input: x, filter: w, pool: pool).output
      try store(result, onto: y, operation.outputFormat, in: bound.output)
    case .backwardData:
      let result = try naive.backwardData(outputGradient: y, filter: w, pool: pool)
      try store(result, onto: x, operation.inputFormat, in: bound.input)
    case .backwardFilter:
      let result = try naive.backwardFilter(input: x, outputGradient: y, pool: pool).filterGradient
      try store(result, onto: w, operation.filterFormat, in: bound.filter)
    }
  }

  /// A copy in the logical order.
  private func load(
    _ pointer: UnsafeMutableRawPointer, _ shape: [Int], _ format: MemoryFormat
  ) throws -> Tensor {
    var tensor = try Tensor(uninitialized: shape, elementType: operation.elementType, format: format)
    let byteCount = tensor.byteCount
    tensor.withUnsafeMutableRawPointer { $0.copyMemory(from: pointer, byteCount: byteCount) }
    return try tensor.converted(to: .nchw)
  }

  private func store(
    _ result: Tensor, onto old: Tensor, _ format: MemoryFormat, in target: UnsafeMutableRawPointer
  ) throws {
    let sum = operation.epilogue.accumulate ? try added(result, old) : result
    try sum.converted(to: format).withUnsafeRawPointer {
      target.copyMemory(from: $0, byteCount: sum.byteCount)
    }
  }

  private func added(_ a: Tensor, _ b: Tensor) throws -> Tensor {
    if operation.elementType == .float64 {
      return try Tensor(zip(a.values(as: Double.self), b.values()).map { $0 + $1 }, shape: a.shape)
    }
    return try Tensor(zip(a.values(as: Float.self), b.values()).map { $0 + $1 }, shape: a.shape)
  }
}
