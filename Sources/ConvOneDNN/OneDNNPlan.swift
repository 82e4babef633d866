#if OneDNN
  internal import CDNNL
  import ConvCore

  /// A convolution by oneDNN, some images at a time: the images reordered to oneDNN's layouts, the convolution, its result
  /// reordered back.
  struct OneDNNPlan: ConvPlan {
    let operation: ConvOperation
    let variant: String
    let errorModel: ErrorModel
    let executedFLOPs: Double
    let chunk: OneDNNChunk
    private let convolution: OneDNNPrimitive
    private let reorderInput, reorderFilter, reorderOutput: OneDNNPrimitive?
    /// Filter gradients of several pieces are added up: the first piece's is written by `reorderFilter`, the others' by this one.
    private let addFilter: OneDNNPrimitive?
    private let workspace: Workspace

    /// Where things are in the workspace, in bytes.
    private struct Workspace {
      var input = 0
      var filter = 0
      var output = 0
      var biasGradient = 0
      var scratchpad = 0
      var count = 0
    }

    var executedBy: String { "onednn" }
    var workspaceBytes: Int { workspace.count }
    var preparedBytes: Int { operation.pass == .backwardFilter ? 0 : bytes(of: chunk.own.filter) }

    private var pieces: Int { operation.problem.n / chunk.images }
    private var ownFilter: Bool { reorderFilter != nil }

    /// - Throws: `OneDNNError` where the library cannot make what it described.
    init(_ operation: ConvOperation, _ chunk: OneDNNChunk) throws {
      self.operation = operation
      self.chunk = chunk
      let (user, own, pass) = (chunk.user, chunk.own, operation.pass)
      let pieces = operation.problem.n / chunk.images
      var made: [OneDNNPrimitive] = []
      func reorder(
        _ source: dnnl_memory_desc_t, _ target: dnnl_memory_desc_t, isNeeded: Bool, adds: Bool = false
      ) throws -> OneDNNPrimitive? {
        guard isNeeded else { return nil }
        let primitive = try OneDNNPrimitive(from: source, to: target, adds: adds)
        made.append(primitive)
        return primitive
      }
      (convolution, reorderInput, reorderFilter, reorderOutput, addFilter) = try OneDNNLibrary.planning(
        threads: chunk.threads
      ) {
        let addsUp = pass == .backwardFilter && pieces > 1
        let convolution = try OneDNNPrimitive(chunk)
        let input =
          pass == .backwardData
          ? try reorder(own.input, user.input, isNeeded: chunk.reordersInput)
          : try reorder(user.input, own.input, isNeeded: chunk.reordersInput)
        let filter =
          pass == .backwardFilter
          ? try reorder(own.filter, user.filter, isNeeded: chunk.reordersFilter || addsUp)
          : try reorder(user.filter, own.filter, isNeeded: chunk.reordersFilter)
        let output =
          pass == .forward
          ? try reorder(own.output, user.output, isNeeded: chunk.reordersOutput)
          : try reorder(user.output, own.output, isNeeded: chunk.reordersOutput)
        return (
          convolution, input, filter, output,
          try reorder(own.filter, user.filter, isNeeded: addsUp, adds: true)
        )
      }
      var space = Workspace()
      func place(_ byteCount: Int) -> Int {
        defer { space.count += aligned(byteCount) }
        return space.count
      }
      if reorderInput != nil { space.input = place(bytes(of: own.input)) }
      if reorderFilter != nil { space.filter = place(bytes(of: own.filter)) }
      if reorderOutput != nil { space.output = place(bytes(of: own.output)) }
      if pieces > 1 && operation.epilogue.biasGradient {
        space.biasGradient = place(operation.problem.k * MemoryLayout<Float>.stride)
      }
      space.scratchpad = place(made.map(\.scratchpadBytes).reduce(chunk.scratchpadBytes, max))
      workspace = space
      let algorithm = chunk.isWinograd ? "winograd" : "direct"
      variant = "onednn[algorithm=\(algorithm),kernel=\(chunk.implementation)]"
      (errorModel, executedFLOPs) = OneDNNPlan.model(operation, chunk)
    }

    /// How the kernel computes. Direct sums: in any order and with any number of partial sums, one addition per piece; the bias
    /// may be the first term. Winograd: the tiles' products summed over channels, or tiles of all images.
    private static func model(_ operation: ConvOperation, _ chunk: OneDNNChunk) -> (ErrorModel, Double) {
      let problem = operation.problem
      guard chunk.isWinograd else {
        let more = operation.pass == .backwardFilter ? problem.n / chunk.images : 0
        let depth = problem.summationDepth(operation.pass) + more + (operation.epilogue.bias ? 1 : 0)
        return (.summation(.unknown(depth: depth), accumulator: .float32), problem.directFLOPs)
      }
      let m = chunk.implementation.contains("2x3") ? 2 : 4
      let result = operation.pass == .backwardData ? problem.input : problem.output
      let tiles = problem.n * ((result.h + m - 1) / m) * ((result.w + m - 1) / m)
      let transform =
        operation.pass == .backwardFilter
        ? OneDNNWinograd.transform(m: 3, r: m) : OneDNNWinograd.transform(m: m, r: 3)
      let depth =
        switch operation.pass {
        case .forward: problem.c
        case .backwardData: problem.k
        case .backwardFilter: tiles
        }
      let products = 2 * Double(tiles) * Double((m + 2) * (m + 2)) * Double(problem.c) * Double(problem.k)
      return (.winograd(vertical: transform, horizontal: transform, depth: depth), products)
    }

    func prepare(filter: UnsafeRawPointer, pool: WorkerPool) throws -> PreparedFilter {
      if operation.pass == .backwardFilter {
        throw ConvError.operand("backward-filter reads no filter: there is nothing to prepare")
      }
      let weights = try PooledBuffer(byteCount: preparedBytes)
      // Plans of one operation may want other layouts (threads, limits): the layout goes with the filter.
      let layout = try PooledBuffer(byteCount: MemoryLayout<dnnl_memory_desc_t>.size)
      layout.baseAddress.storeBytes(of: chunk.own.filter, as: dnnl_memory_desc_t.self)
      let source = UnsafeMutableRawPointer(mutating: filter)
      guard let reorderFilter else {
        weights.baseAddress.copyMemory(from: filter, byteCount: preparedBytes)
        return PreparedFilter(signature: signature, buffers: [weights, layout])
      }
      let scratchpad = try PooledBuffer(byteCount: max(64, reorderFilter.scratchpadBytes))
      try OneDNNLibrary.executing(threads: chunk.threads) {
        let call = try OneDNNCall()
        try call.reorder(
          reorderFilter, (chunk.user.filter, source), (chunk.own.filter, weights.baseAddress),
          scratchpad.baseAddress)
      }
      return withExtendedLifetime(scratchpad) {
        PreparedFilter(signature: signature, buffers: [weights, layout])
      }
    }

    private func check(_ prepared: PreparedFilter) throws {
      let fits =
        prepared.buffers.count == 2
        && areEqual(prepared.buffers[1].baseAddress.load(as: dnnl_memory_desc_t.self), chunk.own.filter)
      guard fits else {
        throw ConvError.stalePreparedFilter(
          reason: "it was prepared in another of oneDNN's layouts: the plans' options differ")
      }
    }

    func execute(
      _ operands: ConvOperands, workspace: UnsafeMutableRawBufferPointer, pool: WorkerPool,
      phases: PhaseRecorder?
    ) throws {
      guard workspace.count >= workspaceBytes else {
        throw ConvError.workspaceTooSmall(needed: workspaceBytes, found: workspace.count)
      }
      let bound = try operands.bound(for: operation, signature: signature)
      if let prepared = operands.preparedFilter { try check(prepared) }
      let epilogue = operation.epilogue
      if epilogue.bias && operands.bias == nil {
        throw ConvError.operand("no bias was given for \(operation)")
      }
      if epilogue.biasGradient && operands.biasGradient == nil {
        throw ConvError.operand("no bias gradient was given for \(operation)")
      }
      // A plan without workspace has no use for its address.
      let base = workspace.baseAddress ?? bound.input
      try OneDNNLibrary.executing(threads: chunk.threads) {
        let call = try OneDNNCall()
        var filter = bound.filter
        if operation.pass != .backwardFilter, operands.preparedFilter == nil, let reorderFilter {
          filter = base + self.workspace.filter
          try phases.measure("reorder filter") {
            try call.reorder(
              reorderFilter, (chunk.user.filter, bound.filter), (chunk.own.filter, filter),
              base + self.workspace.scratchpad)
          }
        }
        for piece in 0..<pieces {
          try run(piece, call, bound, filter: filter, operands, base, phases)
        }
      }
      if epilogue.relu { phases.measure("relu") { relu(bound.output, pool) } }
    }

    /// oneDNN's own ReLU turns NaN into 0 (it is a maximum whose second operand wins); ours keeps it.
    private func relu(_ output: UnsafeMutableRawPointer, _ pool: WorkerPool) {
      let y = output.assumingMemoryBound(to: Float.self)
      let (count, block) = (operation.outputShape.reduce(1, *), 1 << 14)
      pool.parallelFor((count + block - 1) / block) { task in
        let first = task * block
        Elementwise.relu(count: min(block, count - first), y + first, into: y + first)
      }
    }

    /// One piece of the batch.
    private func run(
      _ piece: Int, _ call: OneDNNCall, _ bound: BoundOperands, filter: UnsafeMutableRawPointer,
      _ operands: ConvOperands, _ base: UnsafeMutableRawPointer, _ phases: PhaseRecorder?
    ) throws {
      let (user, own) = (chunk.user, chunk.own)
      let userInput = bound.input + piece * bytes(of: user.input)
      let userOutput = bound.output + piece * bytes(of: user.output)
      let input = reorderInput == nil ? userInput : base + workspace.input
      let output = reorderOutput == nil ? userOutput : base + workspace.output
      let scratchpad = base + workspace.scratchpad
      if operation.pass != .backwardData, let reorderInput {
        try phases.measure("reorder input") {
          try call.reorder(reorderInput, (user.input, userInput), (own.input, input), scratchpad)
        }
      }
      if operation.pass != .forward, let reorderOutput {
        try phases.measure("reorder output gradient") {
          try call.reorder(reorderOutput, (user.output, userOutput), (own.output, output), scratchpad)
        }
      }
      let gradient = operation.pass == .backwardFilter
      let ownFilter = gradient && reorderFilter != nil ? base + workspace.filter : filter
      var bias = operands.bias.map { UnsafeMutableRawPointer(mutating: $0) }
      if operation.epilogue.biasGradient {
        bias = piece == 0 ? operands.biasGradient : base + workspace.biasGradient
      }
      let hasBias = operation.epilogue.bias || operation.epilogue.biasGradient
      try phases.measure("convolution") {
        try call.convolve(
          convolution, operation.pass, own, (input, ownFilter, output), bias: hasBias ? bias : nil,
          channels: operation.problem.k, scratchpad, scratchpadBytes: chunk.scratchpadBytes)
      }
      if operation.pass == .forward, let reorderOutput {
        try phases.measure("reorder output") {
          try call.reorder(reorderOutput, (own.output, output), (user.output, userOutput), scratchpad)
        }
      }
      if operation.pass == .backwardData, let reorderInput {
        try phases.measure("reorder input gradient") {
          try call.reorder(reorderInput, (own.input, input), (user.input, userInput), scratchpad)
        }
      }
      if gradient, let reorder = piece == 0 ? reorderFilter : addFilter {
        try phases.measure("reorder filter gradient") {
          try call.reorder(reorder, (own.filter, ownFilter), (user.filter, bound.filter), scratchpad)
        }
      }
      if operation.epilogue.biasGradient, piece > 0, let sum = operands.biasGradient, let bias {
        let sum = sum.assumingMemoryBound(to: Float.self)
        let added = bias.assumingMemoryBound(to: Float.self)
        for k in 0..<operation.problem.k { sum[k] += added[k] }
      }
    }
  }
#endif
