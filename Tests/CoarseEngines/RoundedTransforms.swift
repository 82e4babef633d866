public import ConvCore

/// A transform-domain convolution by loops of its own, whose coefficients have few bits: Winograd's matrices or the roots of unity, as
/// the honest engine's plan has them. It declares that plan's error model.
///
/// Dense two-dimensional problems of stride 1; the core's lowerings bring others there.
public struct RoundedTransforms: ConvolutionBackend {
  /// Whose tiles and matrices they are: an engine whose error model is `.winograd` or `.fft`.
  public let honest: any ConvolutionBackend
  /// Significant bits of a coefficient.
  public let bits: Int

  /// The loops with an honest engine's tiles.
  public init(of honest: any ConvolutionBackend, bits: Int = 16) {
    self.honest = honest
    self.bits = bits
  }

  public var name: String { honest.name }
  public var nativeFormats: [MemoryFormat] { MemoryFormat.allCases }
  public var nativePasses: Set<ConvPass> { Set(ConvPass.allCases) }

  public func nativeSupport(for operation: ConvOperation, _ options: PlanOptions) -> Support {
    let problem = operation.problem
    guard operation.elementType == .float32, operation.epilogue.isEmpty, problem.spatialRank == 2,
      problem.groups == 1, problem.stride == Extent(w: 1), problem.dilation == Extent(w: 1)
    else { return .unsupported("loops for dense float32 problems of stride 1 only") }
    if let reason = honest.support(for: operation, options).reason { return .unsupported(reason) }
    guard let plan = try? honest.plan(for: operation, options),
      RoundedTransformPlan.tiles(plan.errorModel, operation, bits: bits) != nil
    else { return .unsupported("\(honest.name) has no tiles for it") }
    return .supported
  }

  public func forwardPlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan {
    let plan = try honest.plan(for: operation, options)
    guard let tiles = RoundedTransformPlan.tiles(plan.errorModel, operation, bits: bits) else {
      throw ConvError.unsupported(backend: name, operation: "\(operation)", reason: "no tiles")
    }
    return RoundedTransformPlan(honest: plan, tiles: tiles)
  }

  public func backwardDataPlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan {
    try forwardPlan(operation, options)
  }

  public func backwardFilterPlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan {
    try forwardPlan(operation, options)
  }
}
