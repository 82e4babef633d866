/// Bias, ReLU, 2×2 max pooling and the bias gradient as passes of their own, for engines that lack them.
struct EpilogueLowering: Lowering, SameFilterPlan {
  let operation: ConvOperation
  let innerOperation: ConvOperation
  var inner: [any ConvPlan] = []

  var innerOperations: [ConvOperation] { [innerOperation] }
  var label: String { "epilogue" }
  var scratchBytes: Int { unpooledBytes + sumBytes }

  /// y before the pooling.
  private var unpooledBytes: Int {
    operation.epilogue.maxPool2x2 ? ScratchAllocator.aligned(innerOperation.outputBytes) : 0
  }

  /// The images' shares of the bias gradient.
  private var sumBytes: Int {
    let (shares, overflow) = operation.problem.n.multipliedReportingOverflow(by: operation.problem.k)
    guard operation.epilogue.biasGradient, !overflow else { return 0 }
    return ScratchAllocator.aligned(shares * MemoryLayout<Float>.stride)
  }

  /// - Parameter kept: parts that the engine does itself; `accumulate` always stays with it.
  init?(_ operation: ConvOperation, keeping kept: Epilogue = .none) {
    var innerOperation = operation
    innerOperation.epilogue = Epilogue(
      bias: operation.epilogue.bias && kept.bias, relu: operation.epilogue.relu && kept.relu,
      accumulate: operation.epilogue.accumulate)
    guard innerOperation != operation else { return nil }
    self.operation = operation
    self.innerOperation = innerOperation
  }

  func execute(
    _ operands: ConvOperands, workspace: UnsafeMutableRawBufferPointer, pool: WorkerPool,
    phases: PhaseRecorder?
  ) throws {
    var scratch = try ScratchAllocator(workspace, needed: workspaceBytes)
    var innerOperands = try operands.unwrappingPrepared(for: self)
    let epilogue = operation.epilogue
    if epilogue.bias && operands.bias == nil {
      throw ConvError.operand("no bias was given for \(operation)")
    }
    if epilogue.biasGradient && operands.biasGradient == nil {
      throw ConvError.operand("no place for the bias gradient was given for \(operation)")
    }
    if !innerOperation.epilogue.bias { innerOperands.bias = nil }
    innerOperands.argmax = nil
    innerOperands.biasGradient = nil
    if epilogue.maxPool2x2 { innerOperands.output = scratch.take(innerOperation.outputBytes) }
    let sums = epilogue.biasGradient ? scratch.take(sumBytes) : nil
    try inner[0].execute(innerOperands, workspace: scratch.rest, pool: pool, phases: phases)
    guard let output = innerOperands.output else {
      throw ConvError.operand("no output was given for \(operation)")
    }
    phases.measure("epilogue") {
      switch operation.elementType {
      case .float64: finish(Double.self, operands, output, sums, pool)
      default: finish(Float.self, operands, output, sums, pool)
      }
    }
  }

  private func finish<T: ConvScalar>(
    _: T.Type, _ operands: ConvOperands, _ output: UnsafeMutableRawPointer, _ sums: UnsafeMutableRawPointer?,
    _ pool: WorkerPool
  ) {
    let passes = EpiloguePasses(operation)
    let y = output.assumingMemoryBound(to: T.self)
    let epilogue = operation.epilogue
    if operation.pass == .forward {
      let bias =
        epilogue.bias && !innerOperation.epilogue.bias ? operands.bias?.assumingMemoryBound(to: T.self) : nil
      let relu = epilogue.relu && !innerOperation.epilogue.relu
      let pooled = epilogue.maxPool2x2 ? operands.output?.assumingMemoryBound(to: T.self) : nil
      passes.finish(y, bias: bias, relu: relu, pooled: pooled, argmax: operands.argmax, pool)
    }
    if epilogue.biasGradient, let gradient = operands.biasGradient, let sums {
      passes.sumChannels(
        y, to: gradient.assumingMemoryBound(to: T.self), accumulate: epilogue.accumulate,
        shares: sums.assumingMemoryBound(to: Float.self), pool)
    }
  }
}
