import ConvCore

/// Sums of a result's channels with random signs, which cost one width-th of the whole result's float64 sums and depend on every
/// result: how results are verified whole that are too large for the oracle (R. Freivalds: *Fast probabilistic algorithms*, MFCS
/// 1979, where A·B = C is tested by A·(B·r) = C·r for a random vector r).
///
/// Convolution is linear in its filter, its gradients are linear in w and dy. With signs r of the channels of one group:
///
/// | pass           | identity |
/// |----------------|----------|
/// | forward        | Σₖ rₖ·y[n, k, p] = conv(x, Σₖ rₖ·w[k])[n, p] |
/// | backwardData   | Σ_c r_c·dx[n, c, h] = the adjoint of conv with Σ_c r_c·w[k, c], of dy |
/// | backwardFilter | Σₖ rₖ·dw[k, c, t] = the correlation of x with Σₖ rₖ·dy[n, k] |
///
/// The right sides are problems with one channel per sum (`inner`), computed in float64; the left sides are taken from what the
/// engine wrote. The channels of a group are added up in blocks of `width`, as few as the float64 sums can be afforded for; at
/// width 1 every single result is compared. Sums over ReLU or pooling are no such identities: such operations are sampled only.
///
/// ## The bound
///
/// Let eₖ be the errors of the block's results, with variance proxies u²·Vₖ (`ErrorBounds`). The left side is off by Σ rₖeₖ. Signs and
/// roundings are independent of each other, and of mean zero, so that the sum has the proxy u²·Σ Vₖ, whatever roundings the channels
/// share (a transformed tile of x is rounded once for all of them): |Σ rₖeₖ| ≤ λ·u·√(Σ Vₖ), with λ for as many sums as are compared.
///
/// Of plain sums Σ Vₖ needs no sum over channels: it is made of Σₖ yₖ², which the engine's own results say (to first order what is wrong with
/// them does not matter), and of Σₖ Qₖ = Σ x²·(Σₖ wₖ²), a problem with one channel per sum. Transforms have a multiple of that; how much
/// more, the sample of single results says: where a sum is beyond the median multiple found there, its own Σ Vₖ is evaluated
/// (`ProjectionCheck`). The float64 sums of both sides add theirs.
///
/// ## What is seen
///
/// Let B be the bound of a sum, and let an error count as one if it exceeds 2B.
///
/// - **One wrong channel** of a block: seen with certainty, for a sign does not change a magnitude, and the others' errors add up to B
///   at most.
/// - **Several wrong channels**: changing the sign of the largest error changes the sum by twice its size, so that of each two sign
///   vectors which differ there at most one goes unseen: a miss has a probability of at most ½ at one place. Each line of results has
///   a sign vector of its own out of `classes`, so that an error at the places of c classes whose vectors are independent (the first, and
///   those after the first 1 + log₂ width) is missed with at most 2⁻ᶜ.
/// - **Two wrong channels**, swapped ones for instance (e₁ = −e₂): seen with certainty where the error is at the places of the first
///   1 + log₂ width classes: these are one random vector, multiplied by the bits of the channel's number, in which any two channels
///   differ; so that there is a class in which both signs are equal and one in which they are not.
public struct Projection: Sendable {
  /// The pass whose result is added up.
  public let pass: ConvPass
  /// The problem.
  public let problem: ConvProblem
  /// Channels of one group (k; for backwardData c) that one sum has at most.
  public let width: Int
  /// Sums per group.
  let blocks: Int
  /// Sign vectors; a line of results has `repeats` of them, in turn.
  public let classes: Int
  let repeats: Int
  /// The problem whose results the sums are: its k (for backwardData its c) are the sums.
  let inner: ConvProblem
  /// classes × channels, each 1 or −1.
  let signs: [Double]

  /// Results in one sum at most: a wrong one has to show beside the roundings of the others.
  static let widest = 4096
  /// FLOPs of the float64 sums of one item, as a direct algorithm counts them: some hundredths of a second.
  static let affordableFLOPs = 1e8
  /// Sums whose float64 values are kept for all engines.
  static let storedSums = 1 << 22

  /// Chooses width and signs.
  ///
  /// - Parameter width: channels per sum; by cost if left out.
  /// - Throws: `ConvError` where the inner problem is none (does not happen for valid problems).
  public init(_ problem: ConvProblem, _ pass: ConvPass, width: Int? = nil, seed: UInt64) throws {
    self.pass = pass
    self.problem = problem
    let perGroup = pass == .backwardData ? problem.cPerGroup : problem.kPerGroup
    let places = problem.resultShape(pass).reduce(1, *) / (perGroup * problem.groups)
    self.width = min(width ?? Projection.affordableWidth(problem, pass, perGroup, places: places), perGroup)
    blocks = (perGroup + self.width - 1) / self.width
    classes = Projection.classes(width: self.width)
    inner = try ConvProblem(
      spatialRank: problem.spatialRank, n: problem.n,
      c: pass == .backwardData ? problem.groups * blocks : problem.c,
      k: pass == .backwardData ? problem.k : problem.groups * blocks, groups: problem.groups,
      input: problem.input, filter: problem.filter, stride: problem.stride, padding: problem.padding,
      dilation: problem.dilation)
    let extent = SampleGrid.extent(problem, pass)
    let lines = (pass == .backwardFilter ? problem.cPerGroup : problem.n) * extent.d * extent.h
    repeats = (classes + lines - 1) / lines
    signs = Projection.signs(
      channels: perGroup * problem.groups, perGroup: perGroup, width: self.width, classes: classes, seed: seed
    )
  }

  /// The least power of two for which the sums are affordable and can be kept.
  private static func affordableWidth(
    _ problem: ConvProblem, _ pass: ConvPass, _ perGroup: Int, places: Int
  ) -> Int {
    var width = 1
    let results = places * perGroup * problem.groups
    while width < perGroup
      && (problem.directFLOPs / Double(width) > affordableFLOPs || results / width > storedSums)
    { width *= 2 }
    width = min(width, perGroup, widest)
    // Each class adds up the whole operand: with so few places all results are cheaper.
    return places < 4 * classes(width: width) ? 1 : width
  }

  /// One for each bit of a channel's number and one more; at least 9, and odd, so that every line of tiles of any even height meets
  /// every class.
  static func classes(width: Int) -> Int {
    if width == 1 { return 1 }
    let bits = Int.bitWidth - (width - 1).leadingZeroBitCount
    return max(9, bits + 1) | 1
  }

  private static func signs(
    channels: Int, perGroup: Int, width: Int, classes: Int, seed: UInt64
  ) -> [Double] {
    if width == 1 { return Array(repeating: 1, count: channels) }
    var random = PhiloxGenerator(seed: seed, stream: 0xF4E1)
    let bits = Int.bitWidth - (width - 1).leadingZeroBitCount
    var signs: [Double] = []
    for j in 0..<classes {
      for channel in 0..<channels {
        let isDrawn = j == 0 || j > bits
        let number = channel % perGroup % width
        let isNegative = isDrawn ? Bool.random(using: &random) : number >> (j - 1) & 1 == 1
        signs.append((isNegative ? -1 : 1) * (isDrawn ? 1 : signs[channel]))
      }
    }
    return signs
  }

  // MARK: Geometry

  /// All channels that are added up.
  var channels: Int { pass == .backwardData ? problem.c : problem.k }
  private var perGroup: Int { channels / problem.groups }
  /// Sums of all groups.
  var sums: Int { problem.groups * blocks }
  var extent: Extent { SampleGrid.extent(problem, pass) }
  /// Images; for backwardFilter the channels of a group.
  var outer: Int { pass == .backwardFilter ? problem.cPerGroup : problem.n }
  /// Rows of results of all outer indices; each has `extent.w` places.
  var lines: Int { outer * extent.d * extent.h }
  /// Whether every result is a sum of its own.
  public var isWhole: Bool { width == 1 }

  /// The channels of a sum.
  func members(_ sum: Int) -> Range<Int> {
    let first = sum / blocks * perGroup + sum % blocks * width
    return first..<min(first + width, (sum / blocks + 1) * perGroup)
  }

  /// The sign vector of a line.
  func signVector(_ line: Int, _ turn: Int) -> Int { (line * repeats + turn) % classes }

  /// A line's outer index, and the place of its first result.
  func place(_ line: Int) -> (outer: Int, at: Extent) {
    let row = line % (extent.d * extent.h)
    return (line / (extent.d * extent.h), Extent(d: row / extent.h, h: row % extent.h, w: 0))
  }

  /// Index of the first result of a line in a channel, in the result tensor in logical order.
  func index(_ line: Int, _ channel: Int) -> Int {
    let rows = extent.d * extent.h
    let (outer, row) = (line / rows, line % rows)
    let plane = pass == .backwardFilter ? channel * self.outer + outer : outer * channels + channel
    return (plane * rows + row) * extent.w
  }

  /// The inner problem's result that a sum is.
  func sample(_ line: Int, _ sum: Int, _ w: Int) -> (row: SampleGrid.Row, column: Int) {
    var (outer, at) = place(line)
    at.w = w
    return pass == .backwardFilter
      ? (SampleGrid.Row(first: sum, at: at), outer) : (SampleGrid.Row(first: outer, at: at), sum)
  }
}
