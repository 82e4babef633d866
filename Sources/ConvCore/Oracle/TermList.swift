/// Where the terms of one result lie in the two operands: a product of outer indices (channels, images) and inner ones (taps, output
/// positions), those in the padding left out.
///
/// | pass           | fixed operand | other operand | outer | inner                  |
/// |----------------|---------------|---------------|-------|------------------------|
/// | forward        | x             | w             | c     | t, r, s                |
/// | backwardData   | dy            | w             | k     | t, r, s                |
/// | backwardFilter | dy            | x             | n     | z, p, q                |
///
/// The fixed operand's terms are the same for all results of one place in one group; the other's differ from channel to channel.
struct TermList {
  /// Offsets of the inner terms.
  var fixedInner: [Int] = []
  var otherInner: [Int] = []
  /// The filter tap, or the output position, that each inner term belongs to.
  var places: [Extent] = []
  /// Number of outer indices, and how far apart they are.
  let outer: Int
  let fixedStep: Int
  let otherStep: Int

  private let problem: ConvProblem
  private let pass: ConvPass
  private let first: Int

  /// The terms of the results at `first`, `at`: the first logical index of the result tensor and the spatial position.
  init(_ problem: ConvProblem, _ pass: ConvPass, first: Int, at: Extent) {
    (self.problem, self.pass, self.first) = (problem, pass, first)
    let pr = problem
    switch pass {
    case .forward: (outer, fixedStep, otherStep) = (pr.cPerGroup, pr.input.count, pr.filter.count)
    case .backwardData:
      (outer, fixedStep, otherStep) = (pr.kPerGroup, pr.output.count, pr.cPerGroup * pr.filter.count)
    case .backwardFilter:
      (outer, fixedStep, otherStep) = (pr.n, pr.k * pr.output.count, pr.c * pr.input.count)
    }
    let run = pass == .backwardFilter ? pr.output : pr.filter
    let pairs = (0..<3).map { axis in
      (0..<run[axis]).compactMap { index in TermList.pair(pr, pass, axis, at[axis], index) }
    }
    fixedInner.reserveCapacity(pairs.reduce(1) { $0 * $1.count })
    let (fixed, other) = pass == .forward ? (pr.input, pr.filter) : (pr.output, otherExtent)
    for d in pairs[0] {
      for h in pairs[1] {
        for w in pairs[2] {
          fixedInner.append((d.fixed * fixed.h + h.fixed) * fixed.w + w.fixed)
          otherInner.append((d.other * other.h + h.other) * other.w + w.other)
          places.append(Extent(d: d.index, h: h.index, w: w.index))
        }
      }
    }
  }

  private var otherExtent: Extent { pass == .backwardFilter ? problem.input : problem.filter }

  /// The positions on one axis of both operands for tap (for backwardFilter: output position) `index`; nil in the padding.
  private static func pair(
    _ pr: ConvProblem, _ pass: ConvPass, _ axis: Int, _ at: Int, _ index: Int
  ) -> (fixed: Int, other: Int, index: Int)? {
    let (u, l, pad) = (pr.stride[axis], pr.dilation[axis], pr.padding.before[axis])
    switch pass {
    case .forward:
      let x = at * u + index * l - pad
      return x >= 0 && x < pr.input[axis] ? (x, index, index) : nil
    case .backwardData:
      let shifted = at + pad - index * l
      guard shifted >= 0, shifted % u == 0, shifted / u < pr.output[axis] else { return nil }
      return (shifted / u, index, index)
    case .backwardFilter:
      let x = index * u + at * l - pad
      return x >= 0 && x < pr.input[axis] ? (index, x, index) : nil
    }
  }

  /// Offsets of the first term of the result in channel `column` (the result's second logical index).
  func start(_ column: Int) -> (fixed: Int, other: Int) {
    let pr = problem
    switch pass {
    case .forward:
      let channel = column / pr.kPerGroup * pr.cPerGroup
      return ((first * pr.c + channel) * pr.input.count, column * pr.cPerGroup * pr.filter.count)
    case .backwardData:
      let k = column / pr.cPerGroup * pr.kPerGroup
      return (
        (first * pr.k + k) * pr.output.count,
        (k * pr.cPerGroup + column % pr.cPerGroup) * pr.filter.count
      )
    case .backwardFilter:
      let channel = first / pr.kPerGroup * pr.cPerGroup + column
      return (first * pr.output.count, channel * pr.input.count)
    }
  }

  /// Terms of one result.
  var count: Int { outer * fixedInner.count }
}
