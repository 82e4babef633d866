public import ConvCore

/// Convolution as matrix products: inputs are gathered into column blocks and multiplied by the filter.
///
/// Every problem: three passes, any stride, dilation, padding and groups, 1-D to 3-D, float32 and float64, all tensors in
/// NCHW or all in NHWC; bias, ReLU and accumulation are applied to a block of the result while it is in cache. Column buffers
/// are blocked, one per worker, and stay under the workspace limit. Variants: `gemm=kernel`, `gemm=openblas`.
///
/// References: Chellapilla, Puri, Simard, "High Performance Convolutional Neural Networks for Document Processing" (2006).
public struct Im2colBackend: ConvolutionBackend {
  /// The matrix multiplier used where no variant names another.
  public let multiplier: any MatrixMultiplier

  /// With OpenBLAS where the package was built with it, else with our own matrix kernel.
  public init() {
    #if OpenBLAS
      multiplier = OpenBLASMatrixMultiplier()
    #else
      multiplier = KernelMatrixMultiplier()
    #endif
  }

  /// With any matrix multiplier.
  public init(multiplier: any MatrixMultiplier) { self.multiplier = multiplier }

  /// `im2col`.
  public var name: String { "im2col" }
  /// All three.
  public var nativePasses: Set<ConvPass> { Set(ConvPass.allCases) }

  /// NCHW and NHWC.
  public var nativeFormats: [MemoryFormat] { [.nchw, .nhwc] }

  /// Declines mixed formats, pooling, the bias gradient, unknown variants and workspace limits below 64 bytes.
  public func nativeSupport(for operation: ConvOperation, _ options: PlanOptions) -> Support {
    switch plan(operation, options) {
    case .success: .supported
    case .failure(let refusal): .unsupported(refusal.reason)
    }
  }

  /// y = relu(w · columns(x) + bias + y₀).
  public func forwardPlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan {
    try requiredPlan(operation, options)
  }

  /// dx = scattered wᵀ · dy.
  public func backwardDataPlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan {
    try requiredPlan(operation, options)
  }

  /// dw = dy · columns(x)ᵀ.
  public func backwardFilterPlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan {
    try requiredPlan(operation, options)
  }

  // MARK: Planning

  private struct Refusal: Error { var reason: String }

  private func requiredPlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan {
    switch plan(operation, options) {
    case .success(let plan): return plan
    case .failure(let refusal):
      throw ConvError.unsupported(backend: name, operation: "\(operation)", reason: refusal.reason)
    }
  }

  private func plan(_ operation: ConvOperation, _ options: PlanOptions) -> Result<Im2colPlan, Refusal> {
    guard Set([operation.inputFormat, operation.outputFormat, operation.filterFormat]).count == 1 else {
      return .failure(Refusal(reason: "im2col reads all tensors in nchw or all in nhwc, not a mixture"))
    }
    if operation.epilogue.maxPool2x2 { return .failure(Refusal(reason: "im2col does not pool")) }
    if operation.epilogue.biasGradient {
      return .failure(Refusal(reason: "im2col does not compute the bias gradient beside the filter's"))
    }
    return multiplier(for: options.variant).flatMap { multiplier in
      if let reason = tooLarge(operation.problem, for: multiplier) {
        return .failure(Refusal(reason: reason))
      }
      guard let blocking = Im2colBlocking(operation, options) else {
        return .failure(
          Refusal(
            reason:
              "a column block of one element takes \(operation.elementType.byteCount) bytes, rounded up to "
              + "64, and the workspace limit is \(options.workspaceLimit)"))
      }
      return .success(Im2colPlan(operation: operation, multiplier: multiplier, blocking: blocking))
    }
  }

  private func multiplier(for variant: String?) -> Result<any MatrixMultiplier, Refusal> {
    guard let variant, variant != "gemm=\(multiplier.name)" else { return .success(multiplier) }
    switch variant {
    case "gemm=kernel": return .success(KernelMatrixMultiplier())
    #if OpenBLAS
      case "gemm=openblas": return .success(OpenBLASMatrixMultiplier())
    #else
      case "gemm=openblas":
        return .failure(
          Refusal(reason: "gemm=openblas needs the package trait OpenBLAS, which is off in this build"))
    #endif
    default:
      return .failure(
        Refusal(reason: "im2col has no variant '\(variant)'; it has gemm=kernel and gemm=openblas"))
    }
  }

  /// BLAS libraries count in 32 bits: a matrix side or row stride beyond that cannot be told to them.
  private func tooLarge(_ problem: ConvProblem, for multiplier: any MatrixMultiplier) -> String? {
    guard multiplier.name == "openblas" else { return nil }
    let sides = [
      ("output positions", problem.output.count), ("output channels", problem.k),
      ("input channels", problem.c),
      ("filter elements per output channel", problem.cPerGroup * problem.filter.count),
    ]
    for (what, count) in sides where count > Int(Int32.max) {
      return "\(count) \(what) are more than OpenBLAS can count (\(Int32.max)); gemm=kernel can"
    }
    return nil
  }
}

extension ConvolutionBackend where Self == Im2colBackend {
  /// Convolution as matrix products.
  public static var im2col: Im2colBackend { Im2colBackend() }
}
