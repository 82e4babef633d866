/// The shape of a convolution (cross-correlation, as in every deep-learning library), validated once.
///
/// For each group: y[n,k,z,p,q] = Σ_{c,t,r,s} x[n, c, z·uᵈ + t·lᵈ − padᵈ, p·uʰ + r·lʰ − padʰ, q·uʷ + s·lʷ − padʷ] ·
/// w[k,c,t,r,s], where x is zero outside the image. 1-D problems use the width axis only, 2-D ones height and width.
/// This type is the only place where an output size is computed.
///
/// What a problem may be is one rule, `ConvProblem.Limits`: beyond it nothing is made, so that no size that is derived from a
/// problem (column matrices, tiles, spectra, workspaces, work) can overflow.
public struct ConvProblem: Hashable, Sendable {
  /// Number of spatial dimensions: 1, 2 or 3.
  public let spatialRank: Int
  /// Batch size.
  public let n: Int
  /// Input channels of all groups together.
  public let c: Int
  /// Output channels of all groups together.
  public let k: Int
  /// Channel groups.
  public let groups: Int
  /// Input extents D, H, W.
  public let input: Extent
  /// Filter extents T, R, S.
  public let filter: Extent
  /// Step between outputs, in input elements.
  public let stride: Extent
  /// Step between filter taps, in input elements; 1 is dense.
  public let dilation: Extent
  /// Zeros around the input.
  public let padding: Padding
  /// Output extents Z, P, Q.
  public let output: Extent

  /// Validates and computes the output extents: ⌊(in + before + after − l·(taps − 1) − 1) / u⌋ + 1 per axis.
  ///
  /// - Throws: `ConvError.invalidProblem` with the numbers that do not fit.
  public init(
    spatialRank: Int, n: Int, c: Int, k: Int, groups: Int = 1, input: Extent, filter: Extent,
    stride: Extent = Extent(w: 1), padding: Padding = Padding(), dilation: Extent = Extent(w: 1)
  ) throws {
    guard (1...3).contains(spatialRank) else {
      throw ConvError.invalidProblem("\(spatialRank) spatial dimensions, 1 to 3 are possible")
    }
    for (name, value) in [
      ("batch n", n), ("input channels c", c), ("output channels k", k), ("groups", groups),
    ] {
      try Limits.check(name, value, 1...Limits.size)
    }
    guard c % groups == 0 else {
      throw ConvError.invalidProblem("\(c) input channels do not divide into \(groups) groups")
    }
    guard k % groups == 0 else {
      throw ConvError.invalidProblem("\(k) output channels do not divide into \(groups) groups")
    }
    var output = Extent(w: 1)
    for axis in 0..<3 {
      output[axis] = try ConvProblem.outputExtent(
        axis: axis, used: axis >= 3 - spatialRank, input: input[axis], filter: filter[axis],
        stride: stride[axis], dilation: dilation[axis], before: padding.before[axis],
        after: padding.after[axis])
    }
    self.spatialRank = spatialRank
    self.n = n
    self.c = c
    self.k = k
    self.groups = groups
    self.input = input
    self.filter = filter
    self.stride = stride
    self.padding = padding
    self.dilation = dilation
    self.output = output
    try checkProducts()
  }

  /// A 2-D problem with the same padding on opposite sides.
  public static func conv2d(
    n: Int = 1, c: Int, h: Int, w: Int, k: Int, r: Int, s: Int, stride: Int = 1, padding: Int = 0,
    dilation: Int = 1, groups: Int = 1
  ) throws -> ConvProblem {
    try ConvProblem(
      spatialRank: 2, n: n, c: c, k: k, groups: groups, input: Extent(h: h, w: w),
      filter: Extent(h: r, w: s), stride: Extent(h: stride, w: stride),
      padding: Padding(h: padding, w: padding), dilation: Extent(h: dilation, w: dilation))
  }

  private static let axisNames = ["depth", "height", "width"]

  private static func outputExtent(
    axis: Int, used: Bool, input: Int, filter: Int, stride: Int, dilation: Int, before: Int, after: Int
  ) throws -> Int {
    let name = axisNames[axis]
    if !used {
      guard input == 1, filter == 1, stride == 1, dilation == 1, before == 0, after == 0 else {
        throw ConvError.invalidProblem("the problem has no \(name), but a size other than 1 was given for it")
      }
      return 1
    }
    for (what, value, range) in [
      ("input", input, 1...Limits.size), ("filter", filter, 1...Limits.size),
      ("stride", stride, 1...Limits.step), ("dilation", dilation, 1...Limits.step),
      ("padding before", before, 0...Limits.size), ("padding after", after, 0...Limits.size),
    ] {
      try Limits.check("\(name): \(what)", value, range)
    }
    // None of these overflows: sizes are below 2³¹, steps at most 2²⁰.
    let padded = input + before + after
    let reach = (filter - 1) * dilation
    try Limits.check("\(name): padded input (\(input) + \(before) + \(after))", padded, 1...Limits.size)
    guard reach < padded else {
      throw ConvError.invalidProblem(
        "\(name): the filter (\(filter) taps, dilation \(dilation)) covers \(reach + 1), "
          + "the padded input has \(padded) (\(input) + \(before) + \(after)): the output would be empty")
    }
    return (padded - reach - 1) / stride + 1
  }

  // MARK: Derived sizes

  /// Input channels of one group.
  public var cPerGroup: Int { c / groups }
  /// Output channels of one group.
  public var kPerGroup: Int { k / groups }
  /// Logical shape of the input: [N, C, (D,) (H,) W].
  public var inputShape: [Int] { [n, c] + spatial(input) }
  /// Logical shape of the filter: [K, C/g, (T,) (R,) S].
  public var filterShape: [Int] { [k, cPerGroup] + spatial(filter) }
  /// Logical shape of the output: [N, K, (Z,) (P,) Q].
  public var outputShape: [Int] { [n, k] + spatial(output) }

  /// FLOPs of the direct algorithm: 2·N·K·Z·P·Q·(C/g)·T·R·S, padding included.
  public var directFLOPs: Double {
    2 * Double(n) * Double(k) * Double(output.count) * Double(cPerGroup) * Double(filter.count)
  }

  /// Terms that are summed for one result of `pass`.
  public func summationDepth(_ pass: ConvPass) -> Int {
    switch pass {
    case .forward: cPerGroup * filter.count
    case .backwardData: kPerGroup * filter.count
    case .backwardFilter: n * output.count
    }
  }

  /// Logical shape of the result of `pass`.
  public func resultShape(_ pass: ConvPass) -> [Int] {
    switch pass {
    case .forward: outputShape
    case .backwardData: inputShape
    case .backwardFilter: filterShape
    }
  }

  private func spatial(_ extent: Extent) -> [Int] {
    switch spatialRank {
    case 1: [extent.w]
    case 2: [extent.h, extent.w]
    default: [extent.d, extent.h, extent.w]
    }
  }

  /// The same problem with another batch size.
  public func withBatch(_ n: Int) throws -> ConvProblem {
    try ConvProblem(
      spatialRank: spatialRank, n: n, c: c, k: k, groups: groups, input: input, filter: filter,
      stride: stride, padding: padding, dilation: dilation)
  }
}
