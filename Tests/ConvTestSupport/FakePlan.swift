import ConvCore
import ConvHarness

/// A plan that does what another does, with hooks before, around and behind it. Formats, prepared filters and workspaces are the inner
/// plan's.
public struct FakePlan: ConvPlan {
  /// Changes elements in place: all of one operand, in its physical order.
  public typealias Change = @Sendable (UnsafeMutableBufferPointer<Float>) -> Void
  /// The same, told by which pool.
  public typealias Spoil = @Sendable (UnsafeMutableBufferPointer<Float>, WorkerPool) -> Void
  /// Executes what it is given, with these operands or others.
  public typealias Around = @Sendable (ConvOperands, WorkerPool, (ConvOperands) throws -> Void) throws -> Void

  /// What computes.
  public let inner: any ConvPlan
  public var variant: String
  public var executedBy: String
  public var work: ConvWork
  /// Asked whenever the harness asks for the error model.
  public var model: @Sendable () -> ErrorModel
  private var alterations: [(operand: TestData.Operand, change: Change)] = []
  private var around: [Around] = []

  public var operation: ConvOperation { inner.operation }
  public var workspaceBytes: Int { inner.workspaceBytes }
  public var preparedBytes: Int { inner.preparedBytes }
  public var executedFLOPs: Double { inner.executedFLOPs }
  public var errorModel: ErrorModel { model() }

  /// The same plan under another name.
  public init(_ inner: any ConvPlan, executedBy: String) {
    self.inner = inner
    self.executedBy = executedBy
    variant = inner.variant
    work = inner.work
    model = { inner.errorModel }
  }

  // MARK: Hooks

  /// `hook` executes the plan as it is so far.
  public mutating func surround(_ hook: @escaping Around) { around.append(hook) }

  /// Before each execution: to count, to throw, to wait.
  public mutating func precede(_ hook: @escaping @Sendable () throws -> Void) {
    surround { operands, _, execute in
      try hook()
      try execute(operands)
    }
  }

  /// After each execution the result is changed.
  public mutating func spoil(_ change: @escaping Spoil) {
    let operation = operation
    surround { operands, pool, execute in
      try execute(operands)
      change(try operands.floats(operation.pass.result, of: operation), pool)
    }
  }

  /// The plan reads `operand` as `change` leaves a copy of it, also where it prepares its filter.
  public mutating func read(_ operand: TestData.Operand, changed change: @escaping Change) {
    alterations.append((operand, change))
  }

  // MARK: Execution

  public func prepare(filter: UnsafeRawPointer, pool: WorkerPool) throws -> PreparedFilter {
    var operands = ConvOperands(filter: UnsafeMutableRawPointer(mutating: filter))
    var prepared: PreparedFilter?
    try altering(&operands, alterations.filter { $0.operand == .filter }[...]) {
      prepared = try inner.prepare(filter: $0.filter.map { UnsafeRawPointer($0) } ?? filter, pool: pool)
    }
    guard let prepared else { throw ConvError.operand("nothing was prepared for \(operation)") }
    return prepared
  }

  public func execute(
    _ operands: ConvOperands, workspace: UnsafeMutableRawBufferPointer, pool: WorkerPool,
    phases: PhaseRecorder?
  ) throws {
    try run(operands, around[...], pool) { operands in
      var operands = operands
      let read = alterations.filter { $0.operand != .filter || operands.preparedFilter == nil }
      try altering(&operands, read[...]) {
        try inner.execute($0, workspace: workspace, pool: pool, phases: phases)
      }
    }
  }

  /// The hooks from the last one inwards.
  private func run(
    _ operands: ConvOperands, _ hooks: ArraySlice<Around>, _ pool: WorkerPool,
    _ innermost: (ConvOperands) throws -> Void
  ) throws {
    guard let last = hooks.last else { return try innermost(operands) }
    try last(operands, pool) { try run($0, hooks.dropLast(), pool, innermost) }
  }

  /// Calls `body` with changed copies in the places of what is read.
  private func altering(
    _ operands: inout ConvOperands, _ rest: ArraySlice<(operand: TestData.Operand, change: Change)>,
    _ body: (ConvOperands) throws -> Void
  ) throws {
    guard let (operand, change) = rest.first else { return try body(operands) }
    var copy = Array(try operands.floats(operand, of: operation))
    try copy.withUnsafeMutableBufferPointer {
      change($0)
      operands[operand] = UnsafeMutableRawPointer($0.baseAddress)
      try altering(&operands, rest.dropFirst(), body)
    }
  }
}

extension ConvPass {
  /// The operand that the pass writes.
  public var result: TestData.Operand {
    switch self {
    case .forward: .output
    case .backwardData: .input
    case .backwardFilter: .filter
    }
  }
}

extension ConvOperands {
  /// x, w or y by name.
  fileprivate subscript(_ operand: TestData.Operand) -> UnsafeMutableRawPointer? {
    get {
      switch operand {
      case .input: input
      case .filter: filter
      case .output: output
      case .bias: nil
      }
    }
    set {
      switch operand {
      case .input: input = newValue
      case .filter: filter = newValue
      case .output: output = newValue
      case .bias: break
      }
    }
  }

  /// The elements of an operand.
  ///
  /// - Throws: `ConvError.operand` where it is missing, or not in float32: hooks change nothing else.
  fileprivate func floats(
    _ operand: TestData.Operand, of operation: ConvOperation
  ) throws -> UnsafeMutableBufferPointer<Float> {
    guard operation.elementType == .float32, let values = self[operand] else {
      throw ConvError.operand("a fake changes operands in float32 only, not \(operand) of \(operation)")
    }
    let shape =
      switch operand {
      case .input: operation.problem.inputShape
      case .filter: operation.problem.filterShape
      case .output, .bias: operation.problem.outputShape
      }
    return UnsafeMutableBufferPointer(
      start: values.assumingMemoryBound(to: Float.self), count: shape.reduce(1, *))
  }
}
