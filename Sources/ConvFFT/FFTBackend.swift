public import ConvCore

/// Convolution by fast Fourier transforms of overlapping tiles.
///
/// Tiles overlap by the filter's span (overlap-save); per frequency bin the products over channels are matrix products.
/// All passes, groups, 1-D and 2-D, any filter size, both element types. No transform ever mixes two images.
///
/// Two providers transform: our own kernels, vectorised across channels (`OwnTransforms`: float32, dense 2-D, NCHW and
/// NHWC), and FFTW (`FFTWTransforms`: everything else, NCHW). The cheaper one by their cost models is taken; the variant
/// `tile=HxW,transform=own` or `transform=fftw` sets tile, provider or both. Sources: Mathieu, Henaff & LeCun, *Fast
/// Training of Convolutional Networks through FFTs*, 2013; overlap-save: Oppenheim & Schafer, *Discrete-Time Signal
/// Processing*, section 8.7.
public struct FFTBackend: ConvolutionBackend {
  private let providers: [any TransformProvider]

  /// Provider and tiles by the cost models.
  public init() {
    #if FFTW
      providers = [OwnTransforms(), FFTWTransforms()]
    #else
      providers = [OwnTransforms()]
    #endif
  }

  /// Of these providers, the first of equals preferred.
  init(_ providers: [any TransformProvider]) { self.providers = providers }

  /// `fft`.
  public var name: String { "fft" }
  /// All three.
  public var nativePasses: Set<ConvPass> { Set(ConvPass.allCases) }
  /// Channel-last memory is a block of lanes as it is.
  public var nativeFormats: [MemoryFormat] { [.nhwc, .nchw] }

  #if FFTW
    /// FFTW's version, as in `fftw-3.3.10-sse2-avx-avx2`.
    public static var libraryVersion: String { RealTransform.libraryVersion }

    /// The vectors that FFTW's code goes up to, by the names that its version ends in: what was built into it.
    public static func builtLevel(version: String) -> VectorLevel {
      let parts = version.split(separator: "-").map(String.init)
      if parts.contains("avx512") { return .avx512 }
      if parts.contains("avx2") { return .avx2 }
      return parts.contains("avx") ? .avx : .base
    }
  #endif

  /// 1-D and 2-D without epilogue, where a tile fits in the workspace limit.
  public func nativeSupport(for operation: ConvOperation, _ options: PlanOptions) -> Support {
    switch choose(operation, options) {
    case .declined(let reason): .unsupported(reason)
    case .plan: .supported
    }
  }

  /// y = x ∗ w: products with conj(W).
  ///
  /// - Throws: `ConvError.unsupported` with the reason, `MemoryError`.
  public func forwardPlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan {
    try makePlan(operation, options)
  }

  /// dx from dy and w: products with W.
  ///
  /// - Throws: `ConvError.unsupported` with the reason, `MemoryError`.
  public func backwardDataPlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan {
    try makePlan(operation, options)
  }

  /// dw from x and dy: products X · conj(dY), summed over tiles and images in a fixed order.
  ///
  /// - Throws: `ConvError.unsupported` with the reason, `MemoryError`.
  public func backwardFilterPlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan {
    try makePlan(operation, options)
  }

  private func makePlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan {
    switch choose(operation, options) {
    case .declined(let reason):
      throw ConvError.unsupported(backend: name, operation: "\(operation)", reason: reason)
    case .plan(_, _, let make):
      return try make()
    }
  }

  /// From tiles and blocks alone.
  ///
  /// - Throws: `ConvError.unsupported` with the reason.
  public func nativeWork(for operation: ConvOperation, _ options: PlanOptions) throws -> ConvWork {
    switch choose(operation, options) {
    case .declined(let reason):
      throw ConvError.unsupported(backend: name, operation: "\(operation)", reason: reason)
    case .plan(_, let work, _):
      return work()
    }
  }

  /// Support and plan come from here, so that they cannot disagree.
  private func choose(_ operation: ConvOperation, _ options: PlanOptions) -> TransformOffer {
    if let contradiction = operation.contradiction { return .declined(contradiction) }
    guard operation.problem.spatialRank <= 2 else { return .declined("fft transforms 1-D and 2-D images") }
    guard operation.epilogue.isEmpty else { return .declined("fft has no epilogue of its own") }
    var tile: TileSize?
    var asked = providers
    if let text = options.variant {
      guard let variant = FFTVariant(text, transforms: providers.map(\.name)) else {
        let names = providers.map { "transform=\($0.name)" }.joined(separator: ", ")
        return .declined(
          "'\(text)' is no variant of fft; tile=HxW is, as in tile=32x32, and \(names), "
            + "as in tile=32x32,transform=\(providers[0].name)")
      }
      tile = variant.tile
      if let name = variant.transform { asked = asked.filter { $0.name == name } }
    }
    var best = TransformOffer.declined("fft has no transforms")
    var least = Double.infinity
    for provider in asked {
      let offer = provider.offer(operation, options, tile: tile)
      switch offer {
      case .plan(let nanoseconds, _, _):
        // A tile that was asked for is done by the first provider that has it.
        if tile != nil { return offer }
        if nanoseconds < least { (best, least) = (offer, nanoseconds) }
      case .declined:
        // The last provider is the most general one: its reason is the engine's.
        if least == .infinity { best = offer }
      }
    }
    return best
  }
}

extension ConvolutionBackend where Self == FFTBackend {
  /// Fast Fourier transforms.
  public static var fft: FFTBackend { FFTBackend() }
}
