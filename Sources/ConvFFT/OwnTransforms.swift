import ConvCore

/// Plans over our own transforms: float32, 2-D, stride and dilation 1, tiles of 8 to 64 a side, NCHW and NHWC.
struct OwnTransforms: TransformProvider {
  /// The instruction set that plans are made for; nil: the process's.
  private let kernels: Kernels?

  private struct Kernels: @unchecked Sendable { let table: OpaquePointer }

  /// On the process's instruction set.
  init() { kernels = nil }

  /// On one instruction set's kernels.
  init(kernels: OpaquePointer) { self.kernels = Kernels(table: kernels) }

  var name: String { "own" }

  func offer(_ operation: ConvOperation, _ options: PlanOptions, tile asked: TileSize?) -> TransformOffer {
    let problem = operation.problem
    guard operation.elementType == .float32 else { return .declined("transform=own computes in float32") }
    guard problem.spatialRank == 2 else { return .declined("transform=own transforms 2-D images") }
    guard problem.stride.h == 1, problem.stride.w == 1, problem.dilation.h == 1, problem.dilation.w == 1
    else { return .declined("transform=own takes stride 1 and dilation 1") }
    if problem.filter.h == 1, problem.filter.w == 1, asked == nil {
      return .declined("1x1 filters need no transform; tile=8x8 asks for one")
    }
    // The other provider does not read these formats: the core converts for it, which pays where lanes would be empty.
    if problem.groups > 1, problem.cPerGroup * problem.kPerGroup < 16, !operation.isCanonicalFormat {
      return .declined("transform=own takes groups of few channels in NCHW only")
    }
    let lengths = OwnTransform.lengths
    if let asked {
      guard lengths.contains(asked.height), lengths.contains(asked.width) else {
        return .declined("transform=own has tiles of 8, 16, 32 and 64 a side, not \(asked)")
      }
    }
    let table = kernels?.table ?? OwnTransform.currentKernels
    var best: (nanoseconds: Double, layout: OwnLayout, transform: OwnTransform)?
    var fits = false
    for height in lengths where asked.map({ $0.height == height }) ?? true {
      for width in lengths where asked.map({ $0.width == width }) ?? true {
        guard let vertical = CorrelationAxis(operation, axis: 1, length: height),
          let horizontal = CorrelationAxis(operation, axis: 2, length: width)
        else { continue }
        fits = true
        let cost = OwnCost.estimate(operation, vertical, horizontal, fresh: options.filterState == .fresh)
        if let best, cost >= best.nanoseconds { continue }
        guard
          let transform = OwnTransform(TileSize(height: height, width: width), kernels: table)
        else { continue }
        let fitting = layout(options) { slots -> OwnLayout? in
          var layout = OwnLayout(operation, vertical, horizontal, transform, slots: slots)
          return layout.chooseBlocks(limit: options.workspaceLimit) ? layout : nil
        }
        if let fitting { best = (cost, fitting, transform) }
      }
    }
    guard let best else {
      let filter = "\(problem.filter.h)x\(problem.filter.w)"
      if !fits {
        return .declined("a \(filter) filter does not fit in \(asked?.description ?? "64x64") tiles")
      }
      return .declined(
        "tiles for \(filter) filters do not fit in the workspace limit of \(options.workspaceLimit) bytes; "
          + "raise the limit")
    }
    let fresh = options.filterState == .fresh
    return .plan(nanoseconds: best.nanoseconds, work: { OwnCost.work(best.layout, fresh: fresh) }) {
      OwnPlan(best.layout, best.transform, fresh: fresh)
    }
  }
}
