public import ConvCore

/// Convolution by the formula's own sums, without column copies: windows are read where they lie, in vectors.
///
/// 2-D, any filter, stride, dilation, padding and groups, three passes, float32 and float64, NHWC (native) and NCHW; bias and ReLU
/// are applied while results are in registers. Made for what transforms are no help with: depthwise filters, strides (backward
/// data in gather form, one dense correlation per residue of the stride), first layers and 1×1. Results are bit-equal for every
/// number of threads. 1-D, 3-D, mixed formats of depthwise problems, pooling and bias gradients come from the core's lowerings.
///
/// References: E. Georganas et al., *Anatomy of High-Performance Deep Learning Convolutions on SIMD Architectures* (2018);
/// J. Zhang, F. Franchetti, T. M. Low, *High Performance Zero-Memory Overhead Direct Convolutions* (2018).
public struct DirectBackend: ConvolutionBackend {
  /// The only configuration there is.
  public init() {}

  /// `direct`.
  public var name: String { "direct" }
  /// All three.
  public var nativePasses: Set<ConvPass> { Set(ConvPass.allCases) }
  /// Both; NHWC needs no transposition.
  public var nativeFormats: [MemoryFormat] { [.nhwc, .nchw] }

  /// 2-D operations without pooling or bias gradient whose scratch memory stays under the workspace limit.
  public func nativeSupport(for operation: ConvOperation, _ options: PlanOptions) -> Support {
    do {
      _ = try makePlan(operation, options)
      return .supported
    } catch {
      return .unsupported(error.reason)
    }
  }

  /// y = relu(x ∗ w + bias), or y + x ∗ w.
  ///
  /// - Throws: `ConvError.unsupported` with the reason.
  public func forwardPlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan {
    try nativePlan(operation, options)
  }

  /// dx, each element gathered from the elements of dy that it reached.
  ///
  /// - Throws: `ConvError.unsupported` with the reason.
  public func backwardDataPlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan {
    try nativePlan(operation, options)
  }

  /// dw in a fixed number of partial sums.
  ///
  /// - Throws: `ConvError.unsupported` with the reason.
  public func backwardFilterPlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan {
    try nativePlan(operation, options)
  }

  private func nativePlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan {
    do {
      return try makePlan(operation, options)
    } catch {
      throw ConvError.unsupported(backend: name, operation: "\(operation)", reason: error.reason)
    }
  }

  private func makePlan(_ operation: ConvOperation, _ options: PlanOptions) throws(Refusal) -> any ConvPlan {
    if let reason = DirectBackend.refusal(operation, options) { throw Refusal(reason: reason) }
    do {
      switch operation.elementType {
      case .float64: return try plan(Double.self, operation, options)
      default: return try plan(Float.self, operation, options)
      }
    } catch let refusal as Refusal {
      throw refusal
    } catch {
      throw Refusal(reason: "\(error)")
    }
  }

  private func plan<T: DirectScalar>(
    _: T.Type, _ operation: ConvOperation, _ options: PlanOptions
  ) throws -> any ConvPlan {
    if operation.problem.isDepthwise {
      if operation.inputFormat != operation.outputFormat {
        throw Refusal(reason: "direct reads and writes depthwise images in one format, not in two")
      }
      return operation.pass == .backwardFilter
        ? try DepthwiseFilterPlan<T>(operation, options) : try DepthwisePlan<T>(operation, options)
    }
    return operation.pass == .backwardFilter
      ? try DenseFilterPlan<T>(operation, options) : try DensePlan<T>(operation, options)
  }

  /// Taps and stride per axis up to which the tables of a plan stay small.
  private static let mostTaps = 16384
  private static let mostStride = 1024

  /// Why no plan of the engine's own fits, or nil.
  private static func refusal(_ operation: ConvOperation, _ options: PlanOptions) -> String? {
    if let contradiction = operation.contradiction { return contradiction }
    let rank = operation.problem.spatialRank
    guard rank == 2 else { return "direct's own plans are 2-D, not \(rank)-D" }
    let (filter, stride) = (operation.problem.filter, operation.problem.stride)
    guard max(filter.h, filter.w) <= mostTaps, max(stride.h, stride.w) <= mostStride else {
      return "direct lists the taps of every residue: at most \(mostTaps) taps and stride \(mostStride) "
        + "per axis, not \(filter.h)×\(filter.w) with stride \(stride.h)×\(stride.w)"
    }
    if let variant = options.variant { return "direct has no variants, '\(variant)' was asked for" }
    let epilogue = operation.epilogue
    if epilogue.maxPool2x2 { return "direct does not pool in its own plans" }
    if epilogue.biasGradient { return "direct does not compute the bias gradient beside the filter's" }
    if epilogue.accumulate && (epilogue.bias || epilogue.relu) {
      return "direct accumulates without bias and ReLU in the same pass"
    }
    return nil
  }
}

extension ConvProblem {
  /// Channels with filters of their own, few enough per channel that vectors over them would stay empty.
  var isDepthwise: Bool { groups > 1 && cPerGroup == 1 && kPerGroup <= 4 }
}

extension ConvolutionBackend where Self == DirectBackend {
  /// Convolution by its own sums.
  public static var direct: DirectBackend { DirectBackend() }
}
