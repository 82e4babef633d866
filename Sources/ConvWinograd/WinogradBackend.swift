public import ConvCore

/// Convolution by minimal filtering: tiles of m × m outputs with (m + r − 1)² multiplications per channel pair instead
/// of m²·r².
///
/// Stride 1, dense, one group, filters of 1 to 5 taps per axis; all three passes, float32 and float64, NCHW and NHWC.
/// 3×3 filters take F(4×4, 3×3) with the points 0, ±5/8, ±3/2, ∞, or F(2×2, 3×3) where tiles are few and the filter
/// transform would cost more than the products; 5×5 filters F(2×2, 5×5). `PlanOptions.variant` chooses
/// another output tile (`tile=2x2`, `tile=6x6`) or other points (`tile=4x4,points=1:2`); `PlanOptions.maxError` makes the
/// engine take a smaller, more accurate tile. Groups, dilation, strides, 1-D and 3-D come from the core's lowerings.
///
/// A. Lavin, S. Gray, *Fast Algorithms for Convolutional Neural Networks* (arXiv 1509.09308, 2016).
public struct WinogradBackend: ConvolutionBackend {
  /// The only configuration there is.
  public init() {}

  /// `winograd`.
  public var name: String { "winograd" }
  /// All three.
  public var nativePasses: Set<ConvPass> { Set(ConvPass.allCases) }
  /// Both; NHWC needs no transposition.
  public var nativeFormats: [MemoryFormat] { [.nhwc, .nchw] }

  /// Stride 1, dense, one group, 2-D, 1 to 5 taps per axis; the variant and the workspace limit must be possible.
  public func nativeSupport(for operation: ConvOperation, _ options: PlanOptions) -> Support {
    do {
      _ = try nativeWork(for: operation, options)
      return .supported
    } catch ConvError.unsupported(_, _, let reason) {
      return .unsupported(reason)
    } catch {
      return .unsupported("\(error)")
    }
  }

  /// From the tiles and blocks alone.
  ///
  /// - Throws: `ConvError.unsupported` with the reason.
  public func nativeWork(for operation: ConvOperation, _ options: PlanOptions) throws -> ConvWork {
    try declining(operation) {
      let variant = try WinogradVariant.choose(operation, options)
      let panel = operation.elementType == .float64 ? Double.panel : Float.panel
      if operation.pass == .backwardFilter {
        return try WinogradFilterSizes(
          operation, options, vertical: variant.vertical.exchanged(),
          horizontal: variant.horizontal.exchanged(),
          panel: panel
        ).work
      }
      return try WinogradDataSizes(operation, options, variant, panel: panel).work
    }
  }

  /// Tiles of y.
  ///
  /// - Throws: `ConvError.unsupported` with the reason.
  public func forwardPlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan {
    try nativePlan(operation, options)
  }

  /// Tiles of dx: the forward convolution of dy with the flipped, transposed filter.
  ///
  /// - Throws: `ConvError.unsupported` with the reason.
  public func backwardDataPlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan {
    try nativePlan(operation, options)
  }

  /// Tiles of dy against windows of x, summed in the transformed domain.
  ///
  /// - Throws: `ConvError.unsupported` with the reason.
  public func backwardFilterPlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan {
    try nativePlan(operation, options)
  }

  private func nativePlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan {
    try declining(operation) { try makePlan(operation, options) }
  }

  /// `body`'s result; why no plan of the engine's own fits is thrown as an error of the core's.
  private func declining<Result>(_ operation: ConvOperation, _ body: () throws -> Result) throws -> Result {
    var reason = WinogradBackend.refusal(operation)
    if reason == nil {
      do {
        return try body()
      } catch let refusal as WinogradVariant.Refusal {
        reason = refusal.reason
      }
    }
    throw ConvError.unsupported(backend: name, operation: "\(operation)", reason: reason ?? "")
  }

  private func makePlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan {
    let variant = try WinogradVariant.choose(operation, options)
    switch (operation.pass, operation.elementType) {
    case (.backwardFilter, .float64): return try WinogradFilterPlan<Double>(operation, options, variant)
    case (.backwardFilter, _): return try WinogradFilterPlan<Float>(operation, options, variant)
    case (_, .float64): return try WinogradDataPlan<Double>(operation, options, variant)
    default: return try WinogradDataPlan<Float>(operation, options, variant)
    }
  }

  /// Why no plan of the engine's own fits, or nil.
  private static func refusal(_ operation: ConvOperation) -> String? {
    if let contradiction = operation.contradiction { return contradiction }
    let problem = operation.problem
    let (stride, dilation, filter) = (problem.stride, problem.dilation, problem.filter)
    guard problem.spatialRank == 2 else {
      return "winograd's own plans are 2-D, not \(problem.spatialRank)-D"
    }
    guard problem.groups == 1 else { return "winograd's own plans have one group, not \(problem.groups)" }
    guard stride.h == 1, stride.w == 1 else {
      return "winograd's tiles need stride 1, not \(stride.h)×\(stride.w)"
    }
    guard dilation.h == 1, dilation.w == 1 else {
      return "winograd's tiles need dense filters, not dilation \(dilation.h)×\(dilation.w)"
    }
    guard WinogradVariant.taps.contains(filter.h), WinogradVariant.taps.contains(filter.w) else {
      return "winograd takes filters of 1 to 5 taps per axis, not \(filter.h)×\(filter.w)"
    }
    let epilogue = operation.epilogue
    if epilogue.maxPool2x2 && (operation.elementType != .float32 || operation.outputFormat != .nhwc) {
      return "winograd's own plans pool float32 in nhwc"
    }
    if epilogue.biasGradient { return "winograd does not compute bias gradients" }
    if epilogue.accumulate && operation.pass == .backwardFilter {
      return "winograd accumulates into images only"
    }
    return nil
  }
}

extension ConvolutionBackend where Self == WinogradBackend {
  /// Convolution by minimal filtering.
  public static var winograd: WinogradBackend { WinogradBackend() }
}
