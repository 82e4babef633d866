#if FFTW
  public import ConvCore

  /// Convolution by fast Fourier transforms (FFTW) of overlapping tiles.
  ///
  /// Stride and dilation are rewritten as dense sub-images (`PhaseAxis`); tiles overlap by the filter's
  /// span (overlap-save); per frequency bin the products over channels are real matrix products. All
  /// passes, groups, 1-D and 2-D, any filter size, both element types, NCHW. Each plane is a real transform
  /// of its own, so that images never mix.
  ///
  /// The tile size follows from a cost model; the variant `tile=HxW` sets it. Sources: Mathieu, Henaff &
  /// LeCun, *Fast Training of Convolutional Networks through FFTs*, 2013; overlap-save: Oppenheim &
  /// Schafer, *Discrete-Time Signal Processing*, section 8.7.
  public struct FFTBackend: ConvolutionBackend {
    /// Tiles by the cost model.
    public init() {}

    /// `fft`.
    public var name: String { "fft" }
    /// All three.
    public var nativePasses: Set<ConvPass> { Set(ConvPass.allCases) }

    /// FFTW's version, as in `fftw-3.3.10-sse2-avx-avx2`.
    public static var libraryVersion: String { RealTransform.libraryVersion }

    /// 1-D and 2-D in NCHW without epilogue, where a tile fits in the workspace limit.
    public func nativeSupport(for operation: ConvOperation, _ options: PlanOptions) -> Support {
      switch choose(operation, options) {
      case .declined(let reason): .unsupported(reason)
      case .pointwise, .spectral: .supported
      }
    }

    /// y = x ∗ w: products with conj(W).
    ///
    /// - Throws: `ConvError.unsupported` with the reason, `.allocationFailed`.
    public func forwardPlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan {
      try makePlan(operation, options)
    }

    /// dx from dy and w: products with W.
    ///
    /// - Throws: `ConvError.unsupported` with the reason, `.allocationFailed`.
    public func backwardDataPlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan {
      try makePlan(operation, options)
    }

    /// dw from x and dy: products X · conj(dY), summed over tiles and images in a fixed order.
    ///
    /// - Throws: `ConvError.unsupported` with the reason, `.allocationFailed`.
    public func backwardFilterPlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan
    {
      try makePlan(operation, options)
    }

    // MARK: Choice

    private enum Choice {
      case declined(String)
      case pointwise(PointwisePlan)
      case spectral(SpectralLayout)
    }

    private func makePlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan {
      switch choose(operation, options) {
      case .declined(let reason):
        throw ConvError.unsupported(backend: name, operation: "\(operation)", reason: reason)
      case .pointwise(let plan):
        return plan
      case .spectral(let layout):
        return try SpectralPlan(layout, variant: "fft[tile=\(layout.height)x\(layout.width)]")
      }
    }

    /// Support and plan come from here, so that they cannot disagree.
    private func choose(_ operation: ConvOperation, _ options: PlanOptions) -> Choice {
      let problem = operation.problem
      if let contradiction = operation.contradiction { return .declined(contradiction) }
      guard problem.spatialRank <= 2 else { return .declined("fft transforms 1-D and 2-D images") }
      guard operation.isCanonicalFormat else { return .declined("fft reads NCHW and KCRS") }
      guard operation.epilogue.isEmpty else { return .declined("fft has no epilogue of its own") }
      let (vertical, horizontal) = (axis(problem, 1), axis(problem, 2))
      guard let vertical, let horizontal else {
        return .declined("the least common multiple of stride and dilation overflows")
      }
      let limit = options.workspaceLimit
      var tile: (height: Int, width: Int)?
      if let variant = options.variant {
        guard let asked = FFTBackend.parseTile(variant) else {
          return .declined("'\(variant)' is no variant of fft; tile=HxW is, as in tile=32x32")
        }
        guard asked.height >= vertical.span, asked.width >= horizontal.span else {
          return .declined(
            "a \(asked.height)x\(asked.width) tile is smaller than the filter's span of "
              + "\(vertical.span)x\(horizontal.span)")
        }
        tile = asked
      }
      if vertical.span == 1, horizontal.span == 1, tile.map({ $0 == (1, 1) }) ?? true {
        guard let plan = PointwisePlan(operation, limit: limit) else {
          return .declined(
            tooSmall(limit, "one column of \(problem.cPerGroup * problem.filter.count) elements"))
        }
        return .pointwise(plan)
      }
      let fresh = options.filterState == .fresh
      if tile == nil {
        let cost = TileCost(
          operation: operation, vertical: vertical, horizontal: horizontal, freshFilter: fresh)
        // Blocks of 32 channels if possible, single ones if need be.
        for channels in [32, 1] where tile == nil {
          tile = cost.best { height, width in
            SpectralLayout.leastBytes(
              height: height, width: width, channels: channels, slots: options.threads,
              operation.elementType) <= limit
          }
        }
      }
      guard let tile else {
        return .declined(tooSmall(limit, "a tile of the filter's span, \(vertical.span)x\(horizontal.span),"))
      }
      var layout = SpectralLayout(
        operation, vertical, horizontal, height: tile.height, width: tile.width, slots: options.threads)
      guard layout.chooseBlocks(limit: limit, prepared: !fresh) else {
        return .declined(tooSmall(limit, "a tile of \(tile.height)x\(tile.width)"))
      }
      return .spectral(layout)
    }

    private func tooSmall(_ limit: Int, _ what: String) -> String {
      "\(what) does not fit in the workspace limit of \(limit) bytes; raise the limit"
    }

    private func axis(_ problem: ConvProblem, _ axis: Int) -> PhaseAxis? {
      PhaseAxis(
        input: problem.input[axis], output: problem.output[axis], taps: problem.filter[axis],
        stride: problem.stride[axis], dilation: problem.dilation[axis],
        padding: problem.padding.before[axis])
    }

    /// Largest tile length that can be asked for.
    static let largestTile = 1 << 14

    /// Height and width from `tile=HxW` or `fft[tile=HxW]`.
    static func parseTile(_ variant: String) -> (height: Int, width: Int)? {
      var text = Substring(variant)
      if text.hasPrefix("fft["), text.hasSuffix("]") { text = text.dropFirst(4).dropLast() }
      guard text.hasPrefix("tile=") else { return nil }
      let sides = text.dropFirst(5).split(separator: "x", omittingEmptySubsequences: false)
      guard sides.count == 2, let height = Int(sides[0]), let width = Int(sides[1]),
        (1...largestTile).contains(height), (1...largestTile).contains(width)
      else { return nil }
      return (height, width)
    }
  }

  extension ConvolutionBackend where Self == FFTBackend {
    /// Fast Fourier transforms by FFTW.
    public static var fft: FFTBackend { FFTBackend() }
  }
#endif
