/// Dilation l as interleaved dense sub-images: outputs p ≡ p₀ (mod l/g), g = gcd(stride, l), read only inputs of one
/// residue class mod l, and within it the filter is dense with stride u/g. The sub-images become a larger batch.
struct DilationLowering: Lowering, SameFilterPlan {
  let operation: ConvOperation
  let innerOperation: ConvOperation
  private let vertical: DilatedAxis
  private let horizontal: DilatedAxis
  var inner: [any ConvPlan] = []

  var innerOperations: [ConvOperation] { [innerOperation] }
  var label: String { "dilation" }

  init?(_ operation: ConvOperation) {
    let pr = operation.problem
    guard pr.spatialRank == 2, pr.dilation.h > 1 || pr.dilation.w > 1, operation.isCanonicalFormat,
      operation.epilogue.isEmpty
    else { return nil }
    vertical = DilatedAxis(pr, axis: 1)
    horizontal = DilatedAxis(pr, axis: 2)
    guard
      let dense = try? ConvProblem(
        spatialRank: 2, n: pr.n * vertical.classes * horizontal.classes, c: pr.c, k: pr.k,
        groups: pr.groups, input: Extent(h: vertical.inputs, w: horizontal.inputs),
        filter: pr.filter, stride: Extent(h: vertical.stride, w: horizontal.stride))
    else { return nil }
    self.operation = operation
    var innerOperation = operation
    innerOperation.problem = dense
    self.innerOperation = innerOperation
  }

  var scratchBytes: Int {
    ScratchAllocator.aligned(innerOperation.inputBytes) + ScratchAllocator.aligned(innerOperation.outputBytes)
  }
  func execute(
    _ operands: ConvOperands, workspace: UnsafeMutableRawBufferPointer, pool: WorkerPool,
    phases: PhaseRecorder?
  ) throws {
    var scratch = try ScratchAllocator(workspace, needed: workspaceBytes)
    var dense = try operands.unwrappingPrepared(for: self)
    guard let input = operands.input, let output = operands.output else {
      throw ConvError.operand("an operand is missing for \(operation)")
    }
    let x = scratch.take(innerOperation.inputBytes)
    let y = scratch.take(innerOperation.outputBytes)
    dense.input = x
    dense.output = y
    let pr = operation.problem
    let pass = operation.pass
    phases.measure("split residues") {
      if pass != .backwardData {
        forEachSubImage { at, inputs, _ in
          inputs.gather(
            input, to: x + at * (innerOperation.inputBytes / subImages), planes: pr.n * pr.c,
            elementBytes: elementBytes, pool: pool)
        }
      }
      if pass != .forward {
        forEachSubImage { at, _, outputs in
          outputs.gather(
            output, to: y + at * (innerOperation.outputBytes / subImages), planes: pr.n * pr.k,
            elementBytes: elementBytes, pool: pool)
        }
      }
    }
    try inner[0].execute(dense, workspace: scratch.rest, pool: pool, phases: phases)
    phases.measure("join residues") {
      switch pass {
      case .forward:
        forEachSubImage { at, _, outputs in
          outputs.scatter(
            y + at * (innerOperation.outputBytes / subImages), to: output, planes: pr.n * pr.k,
            elementBytes: elementBytes, pool: pool)
        }
      case .backwardData:
        input.initializeMemory(as: UInt8.self, repeating: 0, count: operation.inputBytes)
        forEachSubImage { at, inputs, _ in
          inputs.scatter(
            x + at * (innerOperation.inputBytes / subImages), to: input, planes: pr.n * pr.c,
            elementBytes: elementBytes, pool: pool)
        }
      case .backwardFilter:
        break
      }
    }
  }

  private var subImages: Int { vertical.classes * horizontal.classes }

  private func forEachSubImage(_ body: (_ at: Int, _ inputs: SubImage, _ outputs: SubImage) -> Void) {
    let pr = operation.problem
    for i in 0..<vertical.classes {
      for j in 0..<horizontal.classes {
        body(
          i * horizontal.classes + j,
          SubImage(
            height: pr.input.h, width: pr.input.w, rows: vertical.inputSlice(i),
            columns: horizontal.inputSlice(j)),
          SubImage(
            height: pr.output.h, width: pr.output.w, rows: vertical.outputSlice(i),
            columns: horizontal.outputSlice(j)))
      }
    }
  }
}

/// How one axis of a dilated problem falls into dense ones.
private struct DilatedAxis: Sendable {
  /// Number of dense problems.
  let classes: Int
  /// Outputs, inputs and stride of each.
  let outputs: Int
  let inputs: Int
  let stride: Int
  private let outputStep: Int
  private let dilation: Int
  private let outerStride: Int
  private let padding: Int

  init(_ problem: ConvProblem, axis: Int) {
    dilation = problem.dilation[axis]
    outerStride = problem.stride[axis]
    padding = problem.padding.before[axis]
    let divisor = greatestCommonDivisor(outerStride, dilation)
    outputStep = dilation / divisor
    stride = outerStride / divisor
    classes = min(outputStep, problem.output[axis])
    outputs = (problem.output[axis] + outputStep - 1) / outputStep
    inputs = (outputs - 1) * stride + problem.filter[axis]
  }

  /// Output p₀ + j·(l/g) reads inputs l·(j·u/g + tap + ⌊p₀u/l⌋) + (p₀u mod l) − padding = p₀u − padding + l·(j·u/g + tap).
  func inputSlice(_ class0: Int) -> AxisSlice {
    AxisSlice(start: class0 * outerStride - padding, step: dilation, count: inputs)
  }

  func outputSlice(_ class0: Int) -> AxisSlice {
    AxisSlice(start: class0, step: outputStep, count: outputs)
  }
}
