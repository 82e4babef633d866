/// β = 1 for engines that overwrite: the result goes to scratch and is added to what is there.
struct AccumulateLowering: Lowering, SameFilterPlan {
  let operation: ConvOperation
  let innerOperation: ConvOperation
  var inner: [any ConvPlan] = []

  var innerOperations: [ConvOperation] { [innerOperation] }
  var label: String { "accumulate" }
  var scratchBytes: Int { ScratchAllocator.aligned(operation.resultBytes) }

  init?(_ operation: ConvOperation) {
    // The other parts of an epilogue are lowered first.
    guard operation.epilogue == Epilogue(accumulate: true) else { return nil }
    self.operation = operation
    var innerOperation = operation
    innerOperation.epilogue = .none
    self.innerOperation = innerOperation
  }

  func execute(
    _ operands: ConvOperands, workspace: UnsafeMutableRawBufferPointer, pool: WorkerPool,
    phases: PhaseRecorder?
  ) throws {
    var scratch = try ScratchAllocator(workspace, needed: workspaceBytes)
    let temporary = scratch.take(operation.resultBytes)
    guard let result = operands.result(of: operation.pass) else {
      throw ConvError.operand("no result was given for \(operation)")
    }
    try inner[0].execute(
      try operands.unwrappingPrepared(for: self).replacingResult(of: operation.pass, by: temporary),
      workspace: scratch.rest, pool: pool, phases: phases)
    phases.measure("accumulate") {
      let count = operation.resultBytes / elementBytes
      switch operation.elementType {
      case .float64: add(Double.self, temporary, to: result, count, pool)
      default: add(Float.self, temporary, to: result, count, pool)
      }
    }
  }

  private func add<T: ConvScalar>(
    _: T.Type, _ source: UnsafeMutableRawPointer, to destination: UnsafeMutableRawPointer, _ count: Int,
    _ pool: WorkerPool
  ) {
    let from = source.assumingMemoryBound(to: T.self)
    let to = destination.assumingMemoryBound(to: T.self)
    let chunk = 16384
    pool.parallelFor((count + chunk - 1) / chunk) { task in
      for i in task * chunk..<min(count, (task + 1) * chunk) { to[i] += from[i] }
    }
  }
}
