import ConvAutograd
public import ConvCore
public import ConvNN

/// The convolutions of a network's training step, found by a step that computes none of them.
public struct NetworkConvolutions {
  /// One convolution of one layer, in one pass.
  public struct Entry: Hashable, Sendable {
    /// As the network calls the layer: `layer1.0.conv1`.
    public let layer: String
    public let operation: ConvOperation
    /// Whether the fallback runs it.
    public let isFallback: Bool
  }

  /// In the order of the network.
  public let entries: [Entry]

  /// Those of a step on an engine, without whose support the fallback takes over.
  ///
  /// - Parameters:
  ///   - format: of the images; nil: what the engine takes without conversion.
  ///   - givesLowerings: whether the fallback has also the layers that the engine can run by lowerings only.
  /// - Throws: `ConvError.unsupported` where a layer has neither; what making the model throws.
  public init(
    of network: ImageNetwork, batch: Int, format: MemoryFormat? = nil, on engine: Competitor,
    fallback: Competitor? = nil, givesLowerings: Bool = false, threads: Int
  ) throws {
    func silent(_ competitor: Competitor, givesLowerings: Bool) -> SilentEngine {
      SilentEngine(
        engine: competitor.backend, variant: competitor.variant, batch: batch, threads: threads,
        givesLowerings: givesLowerings)
    }
    let recorder = ExecutionRecorder()
    let model = try network.make()
    var images = try Tensor.zeros(network.inputShape(batch: SilentEngine.batch))
    if let format { images = try images.converted(to: format) }
    let labels = try Tensor((0..<SilentEngine.batch).map { Int64($0) }, shape: [SilentEngine.batch])
    try withBackend(
      silent(engine, givesLowerings: givesLowerings && fallback != nil),
      fallback: fallback.map { silent($0, givesLowerings: false) }, recorder: recorder
    ) {
      try CrossEntropyLoss()(model(Variable(images)), labels).backward()
    }
    var names: [ObjectIdentifier: String] = [:]
    for (name, module) in model.namedModules() { names[ObjectIdentifier(module)] = name }
    entries = try recorder.entries.map { entry in
      var operation = entry.operation
      operation.problem = try operation.problem.withBatch(batch)
      return Entry(
        layer: entry.layer.flatMap { names[$0] } ?? "", operation: operation, isFallback: entry.isFallback)
    }
  }

  /// Their problems, equal ones merged, each with the passes that occur.
  public var problems: [BenchmarkProblem] {
    var problems: [BenchmarkProblem] = []
    for entry in entries {
      let pass = entry.operation.pass
      if let index = problems.firstIndex(where: { $0.problem == entry.operation.problem }) {
        var passes = problems[index].passes ?? []
        if !passes.contains(pass) { passes.append(pass) }
        problems[index].passes = ConvPass.allCases.filter(passes.contains)
        if problems[index].nodes.last != entry.layer {
          problems[index].nodes.append(entry.layer)
          problems[index].multiplicity += 1
        }
      } else {
        var problem = BenchmarkProblem(entry.operation.problem, name: entry.layer)
        problem.nodes = [entry.layer]
        problem.passes = [pass]
        problems.append(problem)
      }
    }
    return problems
  }
}

/// Says what an engine supports at another batch, and leaves zeros.
private struct SilentEngine: ConvolutionBackend {
  /// Images of the step: batch normalisation needs two values.
  static let batch = 2

  let engine: any ConvolutionBackend
  let variant: String?
  let batch: Int
  let threads: Int
  let givesLowerings: Bool

  var name: String { engine.name }
  var nativeFormats: [MemoryFormat] { engine.nativeFormats }
  var nativePasses: Set<ConvPass> { Set(ConvPass.allCases) }

  func nativeSupport(for operation: ConvOperation, _ options: PlanOptions) -> Support {
    var operation = operation
    do {
      operation.problem = try operation.problem.withBatch(batch)
    } catch {
      return .unsupported("\(error)")
    }
    var options = options
    (options.variant, options.threads) = (variant, threads)
    if givesLowerings && !engine.computesNatively(operation.problem, options) {
      return .unsupported("\(engine.name) has it by lowerings only")
    }
    return engine.support(for: operation, options)
  }

  func forwardPlan(_ operation: ConvOperation, _ options: PlanOptions) -> any ConvPlan {
    SilentPlan(operation: operation, executedBy: name)
  }

  func backwardDataPlan(_ operation: ConvOperation, _ options: PlanOptions) -> any ConvPlan {
    SilentPlan(operation: operation, executedBy: name)
  }

  func backwardFilterPlan(_ operation: ConvOperation, _ options: PlanOptions) -> any ConvPlan {
    SilentPlan(operation: operation, executedBy: name)
  }
}

/// Zeros.
private struct SilentPlan: ConvPlan {
  let operation: ConvOperation
  let executedBy: String
  var variant: String { "silent" }
  var workspaceBytes: Int { 0 }
  var executedFLOPs: Double { 0 }
  var errorModel: ErrorModel { .summation(.chain, accumulator: operation.elementType) }

  func prepare(filter: UnsafeRawPointer, pool: WorkerPool) throws -> PreparedFilter {
    PreparedFilter(signature: signature, buffers: [])
  }

  func execute(
    _ operands: ConvOperands, workspace: UnsafeMutableRawBufferPointer, pool: WorkerPool,
    phases: PhaseRecorder?
  ) {
    func clear(_ pointer: UnsafeMutableRawPointer?, _ shape: [Int], _ byteCount: Int) {
      let count = shape.reduce(byteCount, *)
      pointer?.initializeMemory(as: UInt8.self, repeating: 0, count: count)
    }
    let (problem, bytes) = (operation.problem, operation.elementType.byteCount)
    switch operation.pass {
    case .forward:
      clear(operands.output, operation.outputShape, bytes)
      clear(operands.argmax.map { UnsafeMutableRawPointer($0) }, operation.outputShape, 1)
    case .backwardData: clear(operands.input, problem.inputShape, bytes)
    case .backwardFilter:
      clear(operands.filter, problem.filterShape, bytes)
      clear(operands.biasGradient, [problem.k], bytes)
    }
  }
}

extension ConvolutionBackend {
  /// Whether the engine has a forward pass of its own for a problem, in whatever formats: their conversion is no lowering of the
  /// convolution itself.
  func computesNatively(_ problem: ConvProblem, _ options: PlanOptions) -> Bool {
    nativeFormats.contains { format in
      [MemoryFormat.nchw, .nhwc].contains { filterFormat in
        let plain = ConvOperation(
          .forward, problem, inputFormat: format, outputFormat: format, filterFormat: filterFormat)
        return nativeSupport(for: plain, options).isSupported
      }
    }
  }
}
