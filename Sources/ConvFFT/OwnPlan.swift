import ConvCore

/// A dense float32 convolution by our own transforms across channels.
struct OwnPlan: ConvPlan {
  let layout: OwnLayout
  let transform: OwnTransform
  let operation: ConvOperation
  let work: ConvWork

  init(_ layout: OwnLayout, _ transform: OwnTransform, fresh: Bool) {
    self.layout = layout
    self.transform = transform
    work = OwnCost.work(layout, fresh: fresh)
    operation = layout.operation
  }

  var variant: String { "fft[tile=\(transform.tile),transform=own]" }
  var executedBy: String { "fft" }

  var workspaceBytes: Int {
    (layout.scratchFloats + layout.sourceFloats + layout.operatorFloats + layout.resultFloats)
      * MemoryLayout<Float>.stride
  }

  /// Blocks of the operator, one after the other.
  private var operatorBlocks: Int { layout.groups * layout.produceBlocks * layout.sumBlocks }

  var preparedBytes: Int {
    if operation.pass == .backwardFilter { return 0 }
    return operatorBlocks * layout.operatorFloats * MemoryLayout<Float>.stride
  }

  var executedFLOPs: Double {
    let samples = Double(transform.tile.height * transform.tile.width)
    let perTransform = 2.5 * samples * Double(transform.tile.height * transform.tile.width).binaryExponent
    let (c, k) = (Double(operation.problem.cPerGroup), Double(operation.problem.kPerGroup))
    let tiles = Double(layout.tiles)
    return Double(layout.groups)
      * ((tiles * (c + k) + c * k) * perTransform + 8 * tiles * c * k * Double(layout.bins))
  }

  var errorModel: ErrorModel {
    // Sums are one chain each, in order.
    .fft(
      height: transform.tile.height, width: transform.tile.width, stepH: layout.vertical.step,
      stepW: layout.horizontal.step,
      depth: operation.pass == .backwardFilter ? layout.tiles : layout.sum)
  }

  /// What a prepared filter's layout depends on.
  var fingerprint: [Int] {
    [layout.lanes, layout.sumBlock, layout.produceBlock, layout.operatorStride]
  }

  func prepare(filter: UnsafeRawPointer, pool: WorkerPool) throws -> PreparedFilter {
    if operation.pass == .backwardFilter {
      throw ConvError.operand("backward-filter reads no filter: there is nothing to prepare")
    }
    let float = MemoryLayout<Float>.stride
    let spectra = try PooledBuffer(byteCount: preparedBytes)
    let header = try PooledBuffer(byteCount: fingerprint.count * MemoryLayout<Int>.stride)
    for (index, value) in fingerprint.enumerated() {
      header.baseAddress.storeBytes(of: value, toByteOffset: index * MemoryLayout<Int>.stride, as: Int.self)
    }
    let scratch = try PooledBuffer(byteCount: layout.scratchFloats * float)
    withExtendedLifetime(scratch) {
      OwnExecution(
        layout, transform, pool, filter: UnsafeMutableRawPointer(mutating: filter),
        spectra: spectra.baseAddress, scratch: scratch.baseAddress
      ).prepare()
    }
    return PreparedFilter(signature: signature, buffers: [spectra, header])
  }

  func execute(
    _ operands: ConvOperands, workspace: UnsafeMutableRawBufferPointer, pool: WorkerPool,
    phases: PhaseRecorder?
  ) throws {
    let bound = try operands.bound(for: operation, signature: signature)
    guard workspace.count >= workspaceBytes, let base = workspace.baseAddress else {
      throw ConvError.workspaceTooSmall(needed: workspaceBytes, found: workspace.count)
    }
    if let prepared = operands.preparedFilter { try check(prepared) }
    OwnExecution(
      layout, transform, pool, bound, prepared: operands.preparedFilter != nil, workspace: base
    ).run(phases)
  }

  /// Plans of one operation may differ in their blocks (other workspace limits, other instruction sets); their prepared
  /// filters do too.
  private func check(_ prepared: PreparedFilter) throws {
    let wanted = fingerprint
    guard prepared.buffers.count == 2 else {
      throw ConvError.stalePreparedFilter(reason: "it has \(prepared.buffers.count) buffers, 2 are needed")
    }
    let header = prepared.buffers[1].baseAddress
    let found = wanted.indices.map {
      header.load(fromByteOffset: $0 * MemoryLayout<Int>.stride, as: Int.self)
    }
    guard found == wanted else {
      throw ConvError.stalePreparedFilter(
        reason: "it was prepared in blocks \(found), the plan uses \(wanted): the plans' options differ")
    }
  }
}

extension Double {
  /// log₂ of a power of two.
  fileprivate var binaryExponent: Double { Double(exponent) }
}
