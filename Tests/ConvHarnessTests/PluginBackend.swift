import ConvCore
import ConvNaive

/// An engine from outside, as a user would plug it in: the oracle's arithmetic, spoilt on purpose.
struct PluginBackend: ConvolutionBackend {
  /// Changes a result after the fact: the operation, its `count` elements, the pool that executes.
  typealias Spoil = @Sendable (ConvOperation, UnsafeMutableBufferPointer<Float>, WorkerPool) -> Void

  let spoil: Spoil
  var threading = BackendThreading.workerPool
  /// Whether the middle filter tap (for filter gradients the middle row of dy) is read as zero.
  var losesTap = false
  /// Is told `rest` and `wake`.
  var onThreads: @Sendable (String) -> Void = { _ in }

  func restThreads() { onThreads("rest") }
  func wakeThreads(_ count: Int) { onThreads("wake \(count)") }

  var name: String { "plugin" }
  var nativePasses: Set<ConvPass> { Set(ConvPass.allCases) }

  func nativeSupport(for operation: ConvOperation, _ options: PlanOptions) -> Support {
    guard operation.elementType == .float32, operation.isCanonicalFormat, operation.epilogue.isEmpty else {
      return .unsupported("plain float32 convolutions only")
    }
    return NaiveBackend().nativeSupport(for: operation, options)
  }
  func forwardPlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan {
    try plan(operation, options)
  }
  func backwardDataPlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan {
    try plan(operation, options)
  }
  func backwardFilterPlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan {
    try plan(operation, options)
  }
  private func plan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan {
    Plan(
      inner: try NaiveBackend().nativePlan(for: operation, options), spoil: spoil, losesTap: losesTap)
  }

  private struct Plan: ConvPlan {
    let inner: any ConvPlan
    let spoil: Spoil
    let losesTap: Bool
    var operation: ConvOperation { inner.operation }
    var workspaceBytes: Int { inner.workspaceBytes }
    var executedFLOPs: Double { inner.executedFLOPs }
    var variant: String { "plugin" }
    var executedBy: String { "plugin" }
    var errorModel: ErrorModel { inner.errorModel }

    func prepare(filter: UnsafeRawPointer, pool: WorkerPool) throws -> PreparedFilter {
      try inner.prepare(filter: filter, pool: pool)
    }

    func execute(
      _ operands: ConvOperands, workspace: UnsafeMutableRawBufferPointer, pool: WorkerPool,
      phases: PhaseRecorder?
    ) throws {
      let problem = operation.problem
      var changed = operands
      let isGradient = operation.pass == .backwardFilter
      let (shape, extent) =
        isGradient ? (problem.outputShape, problem.output) : (problem.filterShape, problem.filter)
      var copy = [Float](repeating: 0, count: losesTap ? shape.reduce(1, *) : 0)
      if losesTap, let source = isGradient ? operands.output : operands.filter {
        for i in copy.indices {
          let (row, column) = (i / extent.w % extent.h, i % extent.w)
          let isLost = row == extent.h / 2 && (isGradient || column == extent.w / 2)
          copy[i] = isLost ? 0 : source.assumingMemoryBound(to: Float.self)[i]
        }
      }
      try copy.withUnsafeMutableBytes { bytes in
        if losesTap {
          if isGradient { changed.output = bytes.baseAddress } else { changed.filter = bytes.baseAddress }
        }
        try inner.execute(changed, workspace: workspace, pool: pool, phases: phases)
      }
      let result =
        switch operation.pass {
        case .forward: operands.output
        case .backwardData: operands.input
        case .backwardFilter: operands.filter
        }
      let count = problem.resultShape(operation.pass).reduce(1, *)
      spoil(
        operation,
        UnsafeMutableBufferPointer(start: result?.assumingMemoryBound(to: Float.self), count: count), pool)
    }
  }
}

extension PluginBackend {
  /// Nothing is spoilt.
  static let right = PluginBackend { _, _, _ in }

  /// Results are scaled where a condition holds.
  static func scaled(_ factor: @escaping @Sendable (ConvOperation) -> Float) -> PluginBackend {
    PluginBackend { operation, result, _ in
      let factor = factor(operation)
      for i in result.indices { result[i] *= factor }
    }
  }
}
