#if FFTW
  import ConvCore

  /// A convolution by products in the frequency domain, tile by tile (overlap-save).
  struct SpectralPlan: ConvPlan {
    let operation: ConvOperation
    let layout: SpectralLayout
    let variant: String
    let work: ConvWork
    /// Fast transforms of the source, operator and result blocks; nil where a dense one is cheaper.
    let fastSource: RealTransform?
    let fastOperator: RealTransform?
    let fastResult: RealTransform?
    /// Transforms of filters and of data tiles by a matrix.
    let denseFilter: DenseTransform?
    let denseData: DenseTransform?
    let multiplier = KernelMatrixMultiplier()

    /// - Throws: `MemoryError`, `ConvError.unsupported` where FFTW has no plan.
    init(_ layout: SpectralLayout, variant: String, work: ConvWork) throws {
      self.layout = layout
      self.work = work
      self.variant = variant
      operation = layout.operation
      let (type, backwardFilter) = (operation.elementType, layout.pass == .backwardFilter)
      func fast(_ columns: Int, dense: Bool) throws -> RealTransform? {
        if dense { return nil }
        return try RealTransform.cached(
          height: layout.height, width: layout.width,
          count: SpectralPlan.batch(columns, largest: layout.batch), elementType: type)
      }
      let sum = layout.sumBlock * layout.groupBlock
      let produce = layout.produceBlock * layout.groupBlock
      let (filter, data) = (layout.usesDenseFilter, layout.usesDenseData)
      fastSource = try fast(sum, dense: data)
      fastOperator = try fast(produce, dense: backwardFilter ? data : filter)
      fastResult = try fast(produce, dense: backwardFilter ? filter : data)
      denseFilter =
        filter
        ? try DenseTransform(
          height: layout.height, width: layout.width, rows: layout.vertical.span,
          columns: layout.horizontal.span, elementType: type) : nil
      denseData =
        data
        ? try DenseTransform(
          height: layout.height, width: layout.width, rows: layout.height, columns: layout.width,
          elementType: type) : nil
    }

    /// Planes per transform so that blocks of at most `largest` are equally full.
    static func batch(_ columns: Int, largest: Int) -> Int {
      let blocks = (columns + largest - 1) / largest
      return (columns + blocks - 1) / blocks
    }

    var executedBy: String { "fft" }

    var workspaceBytes: Int {
      (layout.sourceElements + layout.operatorElements + layout.resultElements + layout.scratchElements)
        * operation.elementType.byteCount
    }

    /// Blocks of the operator, one after the other.
    var operatorBlocks: Int { layout.groupBlocks * layout.produceBlocks * layout.sumBlocks }

    var preparedBytes: Int {
      if operation.pass == .backwardFilter { return 0 }
      return operatorBlocks * layout.operatorElements * operation.elementType.byteCount
    }

    var executedFLOPs: Double {
      let problem = operation.problem
      let samples = Double(layout.height * layout.width)
      let perTransform = samples > 1 ? 2.5 * samples * samples.logarithm2 : 0
      let (c, k) = (Double(layout.input.count), Double(layout.output.count))
      let (tiles, groups) = (Double(layout.tiles), Double(problem.groups))
      let taps = Double(layout.vertical.span * layout.horizontal.span)
      let perFilter = denseFilter == nil ? perTransform : 4 * taps * Double(layout.bins)
      let perTile = denseData == nil ? perTransform : 4 * samples * Double(layout.bins)
      return groups
        * (tiles * (c + k) * perTile + c * k * perFilter + 8 * tiles * c * k * Double(layout.bins))
    }

    var errorModel: ErrorModel {
      let (vertical, horizontal) = (layout.vertical, layout.horizontal)
      func advance(_ axis: PhaseAxis, _ length: Int) -> Int {
        (length - axis.span + 1) * (operation.pass == .backwardData ? axis.step : axis.residues)
      }
      let depth =
        operation.pass == .backwardFilter ? layout.tiles : layout.sum
      return .fft(
        height: vertical.reach(length: layout.height), width: horizontal.reach(length: layout.width),
        stepH: advance(vertical, layout.height), stepW: advance(horizontal, layout.width), depth: depth)
    }

    /// The block sizes that a prepared filter's layout depends on.
    var fingerprint: [Int] {
      [layout.groupBlock, layout.sumBlock, layout.produceBlock, layout.operatorElements]
    }

    func prepare(filter: UnsafeRawPointer, pool: WorkerPool) throws -> PreparedFilter {
      if operation.pass == .backwardFilter {
        throw ConvError.operand("backward-filter reads no filter: there is nothing to prepare")
      }
      let spectra = try PooledBuffer(byteCount: preparedBytes)
      let header = try PooledBuffer(byteCount: fingerprint.count * MemoryLayout<Int>.stride)
      for (index, value) in fingerprint.enumerated() {
        header.baseAddress.storeBytes(of: value, toByteOffset: index * MemoryLayout<Int>.stride, as: Int.self)
      }
      let scratch = try PooledBuffer(byteCount: layout.scratchElements * operation.elementType.byteCount)
      withExtendedLifetime(scratch) {
        prepareSpectra(self, filter: filter, spectra: spectra.baseAddress, scratch: scratch.baseAddress, pool)
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
      executeSpectral(
        self, bound, prepared: operands.preparedFilter != nil, workspace: base, pool, phases)
    }

    /// Plans of one operation may differ in their blocks (other workspace limits); their prepared filters
    /// do too.
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
    /// log₂ by the exponent and a series-free estimate of the significand: good to 0.09, for FLOP counts.
    fileprivate var logarithm2: Double { Double(exponent) + (significand - 1) }
  }
#endif
