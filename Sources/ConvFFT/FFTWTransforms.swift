#if FFTW
  import ConvCore

  /// Plans over FFTW: any tile, both element types; stride and dilation are rewritten as dense sub-images (`PhaseAxis`).
  /// Each plane is a real transform of its own.
  struct FFTWTransforms: TransformProvider {
    var name: String { "fftw" }

    func offer(_ operation: ConvOperation, _ options: PlanOptions, tile asked: TileSize?) -> TransformOffer {
      let problem = operation.problem
      guard operation.isCanonicalFormat else { return .declined("fft over FFTW reads NCHW and KCRS") }
      guard let vertical = axis(problem, 1), let horizontal = axis(problem, 2) else {
        return .declined("the least common multiple of stride and dilation overflows")
      }
      let limit = options.workspaceLimit
      if let asked, asked.height < vertical.span || asked.width < horizontal.span {
        return .declined(
          "a \(asked) tile is smaller than the filter's span of \(vertical.span)x\(horizontal.span)")
      }
      let isPointwise = vertical.span == 1 && horizontal.span == 1
      if isPointwise, asked == nil || asked == TileSize(height: 1, width: 1) {
        guard let plan = PointwisePlan(operation, limit: limit) else {
          return .declined(
            tooSmall(limit, "one column of \(problem.cPerGroup * problem.filter.count) elements"))
        }
        // Nothing is transformed: no other provider does less.
        return .plan(nanoseconds: 0, work: { plan.work }) { plan }
      }
      for axis in [vertical, horizontal] where max(axis.phases, axis.usedResidues) > Self.mostParts {
        return .declined(
          "stride \(axis.stride) and dilation \(axis.dilation) make \(axis.phases) phases of \(axis.usedResidues) "
            + "residues, at most \(Self.mostParts) of each are listed")
      }
      func hasFewWindows(_ axis: PhaseAxis, _ length: Int) -> Bool {
        axis.tileCount(length: length, pass: operation.pass) <= Self.mostWindows / axis.phases
      }
      let fresh = options.filterState == .fresh
      let cost = TileCost(
        operation: operation, vertical: vertical, horizontal: horizontal, freshFilter: fresh)
      var tile = asked
      if asked == nil {
        // Blocks of 32 channels if possible, single ones if need be.
        for channels in [32, 1] where tile == nil {
          tile = cost.best { height, width in
            height <= RealTransform.mostElements / width && hasFewWindows(vertical, height)
              && hasFewWindows(horizontal, width)
              && SpectralLayout.leastBytes(
                height: height, width: width, channels: channels, slots: 1, operation.elementType) <= limit
          }
        }
      }
      if let asked, !hasFewWindows(vertical, asked.height) || !hasFewWindows(horizontal, asked.width) {
        return .declined("\(asked) tiles cut the image into more than \(Self.mostWindows) windows per axis")
      }
      guard let tile else {
        return .declined(tooSmall(limit, "a tile of the filter's span, \(vertical.span)x\(horizontal.span),"))
      }
      let fitting = layout(options) { slots -> SpectralLayout? in
        var layout = SpectralLayout(
          operation, vertical, horizontal, height: tile.height, width: tile.width, slots: slots)
        return layout.chooseBlocks(limit: limit, prepared: !fresh) ? layout : nil
      }
      guard let fitting else { return .declined(tooSmall(limit, "a tile of \(tile)")) }
      let nanoseconds = cost.estimate(tile.height, tile.width)
      let work = { cost.work(tile.height, tile.width) }
      return .plan(nanoseconds: nanoseconds, work: work) {
        try SpectralPlan(fitting, variant: "fft[tile=\(tile),transform=fftw]", work: work())
      }
    }

    /// Phases and residues of an axis, and windows of its tiles in all phases, up to which plans list them.
    private static let mostParts = 1 << 12
    private static let mostWindows = 1 << 18

    private func tooSmall(_ limit: Int, _ what: String) -> String {
      "\(what) does not fit in the workspace limit of \(limit) bytes; raise the limit"
    }

    private func axis(_ problem: ConvProblem, _ axis: Int) -> PhaseAxis? {
      PhaseAxis(
        input: problem.input[axis], output: problem.output[axis], taps: problem.filter[axis],
        stride: problem.stride[axis], dilation: problem.dilation[axis],
        padding: problem.padding.before[axis])
    }
  }
#endif
