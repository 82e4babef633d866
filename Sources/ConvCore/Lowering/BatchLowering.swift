/// A batch in pieces, where the copies that another lowering makes of the whole batch would exceed the workspace limit.
///
/// Images are outermost in every format, so that pieces are just places in the tensors. backwardFilter adds the pieces up.
struct BatchLowering: Lowering, LoweredPlan {
  let operation: ConvOperation
  let innerOperations: [ConvOperation]
  /// Images per piece.
  let images: Int
  var inner: [any ConvPlan] = []

  var label: String { "batches of \(images)" }
  var scratchBytes: Int { 0 }

  /// Pieces at most: they are listed, and smaller ones would not be worth their calls.
  private static let mostPieces = 1 << 16

  /// - Parameter scratchBytes: what the other lowering would need for the whole batch.
  init?(_ operation: ConvOperation, scratchBytes: Int, limit: Int) {
    let batch = operation.problem.n
    let images = Int(Double(batch) * Double(limit) / Double(scratchBytes) * 0.98)
    guard batch > 1, images >= 1, images < batch, batch / images < BatchLowering.mostPieces else {
      return nil
    }
    self.operation = operation
    self.images = images
    // Distinct kinds of pieces: the first, later full ones (which may accumulate), and the rest.
    var pieces: [ConvOperation] = []
    for (index, size) in BatchLowering.sizes(batch, images).enumerated() {
      guard let problem = try? operation.problem.withBatch(size) else { return nil }
      var piece = operation
      piece.problem = problem
      if operation.pass == .backwardFilter && index > 0 { piece.epilogue.accumulate = true }
      pieces.append(piece)
    }
    innerOperations = pieces.reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
  }

  private static func sizes(_ batch: Int, _ images: Int) -> [Int] {
    stride(from: 0, to: batch, by: images).map { min(images, batch - $0) }
  }

  private func piece(_ index: Int, _ size: Int) -> Int {
    innerOperations.firstIndex {
      $0.problem.n == size
        && (operation.pass != .backwardFilter || index == 0 || $0.epilogue.accumulate)
    }!
  }

  var executedFLOPs: Double {
    BatchLowering.sizes(operation.problem.n, images).enumerated().reduce(0) {
      $0 + inner[piece($1.offset, $1.element)].executedFLOPs
    }
  }

  func work(_ inner: [ConvWork]) -> ConvWork {
    BatchLowering.sizes(operation.problem.n, images).enumerated().reduce(ConvWork()) {
      $0 + inner[piece($1.offset, $1.element)]
    }
  }

  var errorModel: ErrorModel {
    let pieces =
      operation.pass == .backwardFilter ? BatchLowering.sizes(operation.problem.n, images).count : 1
    return inner[0].errorModel.summed(pieces).rescaled(to: operation)
  }

  var preparedBytes: Int { inner.reduce(0) { $0 + $1.preparedBytes } }

  func prepare(filter: UnsafeRawPointer, pool: WorkerPool) throws -> PreparedFilter {
    try requireFilterToRead()
    return PreparedFilter(
      signature: signature, buffers: [],
      inner: try inner.map { try $0.prepare(filter: filter, pool: pool) })
  }

  func execute(
    _ operands: ConvOperands, workspace: UnsafeMutableRawBufferPointer, pool: WorkerPool,
    phases: PhaseRecorder?
  ) throws {
    let prepared = try operands.preparedFilter?.innerFilters(of: self)
    let batch = operation.problem.n
    var first = 0
    for (index, size) in BatchLowering.sizes(batch, images).enumerated() {
      let kind = piece(index, size)
      var part = operands
      part.input = operands.input.map { $0 + operation.inputBytes / batch * first }
      part.output = operands.output.map { $0 + operation.outputBytes / batch * first }
      part.argmax = operands.argmax.map {
        $0 + operation.outputBytes / operation.elementType.byteCount / batch * first
      }
      part.preparedFilter = prepared?[kind]
      try inner[kind].execute(part, workspace: workspace, pool: pool, phases: phases)
      first += size
    }
  }
}
