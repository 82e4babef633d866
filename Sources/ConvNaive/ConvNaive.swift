public import ConvCore

/// The oracle as an engine: the formula as loops, Double accumulators, one rounding at the end. Never optimised.
///
/// Every problem, pass, stride, dilation, group, rank and both element types, in the logical order; formats and epilogues are the
/// core's business.
public struct NaiveBackend: ConvolutionBackend {
  /// The only configuration there is.
  public init() {}

  public var name: String { "naive" }
  public var nativePasses: Set<ConvPass> { Set(ConvPass.allCases) }

  public func nativeSupport(for operation: ConvOperation, _ options: PlanOptions) -> Support {
    if let variant = options.variant {
      return .unsupported("naive has no variants, '\(variant)' was asked for")
    }
    guard operation.isCanonicalFormat else { return .unsupported("naive reads NCHW and KCRS") }
    guard operation.epilogue.isEmpty else { return .unsupported("naive has no epilogue of its own") }
    return .supported
  }

  public func forwardPlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan {
    NaivePlan(operation: operation)
  }

  public func backwardDataPlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan {
    NaivePlan(operation: operation)
  }

  public func backwardFilterPlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan {
    NaivePlan(operation: operation)
  }
}

extension ConvolutionBackend where Self == NaiveBackend {
  /// The oracle as an engine.
  public static var naive: NaiveBackend { NaiveBackend() }
}

/// One result after the other, each by `ConvOracle`.
struct NaivePlan: ConvPlan {
  let operation: ConvOperation

  var workspaceBytes: Int { 0 }
  var work: ConvWork { ConvWork([.modelled: operation.problem.directFLOPs]) }
  var executedFLOPs: Double { operation.problem.directFLOPs }
  var variant: String { "naive" }
  var executedBy: String { "naive" }
  var errorModel: ErrorModel {
    .summation(.chain, accumulator: .float64)
  }

  func prepare(filter: UnsafeRawPointer, pool: WorkerPool) throws -> PreparedFilter {
    try PreparedFilter.copy(of: filter, for: self)
  }

  func execute(
    _ operands: ConvOperands, workspace: UnsafeMutableRawBufferPointer, pool: WorkerPool,
    phases: PhaseRecorder?
  ) throws {
    switch operation.elementType {
    case .float64: try run(Double.self, operands, pool, phases)
    default: try run(Float.self, operands, pool, phases)
    }
  }

  private func run<T: ConvScalar>(
    _: T.Type, _ operands: ConvOperands, _ pool: WorkerPool, _ phases: PhaseRecorder?
  ) throws {
    let bound = try operands.bound(for: operation, signature: signature)
    let x = bound.input.assumingMemoryBound(to: T.self)
    let w = bound.filter.assumingMemoryBound(to: T.self)
    let y = bound.output.assumingMemoryBound(to: T.self)
    let problem = operation.problem
    let oracle = ConvOracle<T>(problem)
    phases.measure("loops") {
      switch operation.pass {
      case .forward:
        pool.parallelFor(problem.n * problem.k) { task in
          forEachPosition(problem.output) { index, at in
            let value = oracle.forward(x, w, n: task / problem.k, k: task % problem.k, at: at)
            y[task * problem.output.count + index] = T(value.sum)
          }
        }
      case .backwardData:
        pool.parallelFor(problem.n * problem.c) { task in
          forEachPosition(problem.input) { index, at in
            let value = oracle.backwardData(y, w, n: task / problem.c, c: task % problem.c, at: at)
            x[task * problem.input.count + index] = T(value.sum)
          }
        }
      case .backwardFilter:
        pool.parallelFor(problem.k * problem.cPerGroup) { task in
          let (k, c) = (task / problem.cPerGroup, task % problem.cPerGroup)
          forEachPosition(problem.filter) { index, tap in
            w[task * problem.filter.count + index] = T(oracle.backwardFilter(x, y, k: k, c: c, tap: tap).sum)
          }
        }
      }
    }
  }

  private func forEachPosition(_ extent: Extent, _ body: (Int, Extent) -> Void) {
    var index = 0
    for d in 0..<extent.d {
      for h in 0..<extent.h {
        for w in 0..<extent.w {
          body(index, Extent(d: d, h: h, w: w))
          index += 1
        }
      }
    }
  }
}
