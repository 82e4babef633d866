import ConvCore

/// One axis of a correlation: where targets lie, and which source positions and taps each of them reads.
///
/// Forward has one phase per axis. Backward data has one per residue of the stride: the elements of dx at `target` ≡ const
/// (mod u) are a dense correlation over dy with the taps of one residue class. A phase whose `block` is above 1 computes that many
/// neighbouring targets at once, over the union of the positions that they read (taps outside of a target's own window
/// have weight zero, and `owners` keeps NaN and infinities from them); that fills vectors where a problem has few target channels.
struct AxisPhase: Sendable, Hashable {
  /// Target of step 0; negative where a block begins before the image.
  var targetFirst: Int
  /// Targets from one step to the next.
  var targetStep: Int
  /// Steps.
  var count: Int
  /// Neighbouring targets of one step.
  var block: Int
  /// Source position of step 0 and of the first offset; may lie in the padding.
  var sourceFirst: Int
  /// Source positions from one step to the next.
  var sourceStep: Int
  /// Positions from one offset to the next.
  var dilation: Int
  /// Offsets of one step.
  var offsets: Int
  /// Filter tap of target e of a block at offset o, at [e · offsets + o]; −1 where there is none.
  var taps: [Int]

  /// The targets of a block that read offset `offset`, neighbours of each other.
  func owners(_ offset: Int) -> Range<Int> {
    let own = (0..<block).filter { taps[$0 * offsets + offset] >= 0 }
    guard let first = own.first, let last = own.last else { return 0..<0 }
    return first..<last + 1
  }

  /// Source positions that steps `range` read; empty without offsets.
  func reach(_ range: Range<Int>) -> Range<Int> {
    guard offsets > 0, !range.isEmpty else { return 0..<0 }
    let first = sourceFirst + range.lowerBound * sourceStep
    return first..<sourceFirst + (range.upperBound - 1) * sourceStep + (offsets - 1) * dilation + 1
  }

  /// Offsets at which step `step` reads inside of a source of `extent` positions.
  func valid(_ step: Int, extent: Int) -> Range<Int> {
    let start = sourceFirst + step * sourceStep
    let first = start >= 0 ? 0 : (-start + dilation - 1) / dilation
    let end = extent - start <= 0 ? 0 : (extent - start - 1) / dilation + 1
    let low = min(first, offsets)
    return low..<max(low, min(end, offsets))
  }

  /// Steps that read inside of the source only.
  func interior(extent: Int) -> Range<Int> {
    guard offsets > 0 else { return 0..<count }
    let low = sourceFirst >= 0 ? 0 : (-sourceFirst + sourceStep - 1) / sourceStep
    let last = extent - 1 - sourceFirst - (offsets - 1) * dilation
    let high = last < 0 ? 0 : last / sourceStep + 1
    let first = min(low, count)
    return first..<max(first, min(high, count))
  }
}

/// The numbers of one axis of a problem.
struct AxisShape: Sendable, Hashable {
  var input: Int
  var output: Int
  var taps: Int
  var stride: Int
  var dilation: Int
  var padding: Int

  /// The axes of a 2-D problem; a plain 1×1 filter sees one long row, so that tiles do not end with the image's rows.
  static func pair(_ problem: ConvProblem) -> (height: AxisShape, width: AxisShape) {
    var (height, width) = (AxisShape(problem, 1), AxisShape(problem, 2))
    if problem.isPointwise {
      width.input = problem.input.count
      width.output = problem.output.count
      height.input = 1
      height.output = 1
    }
    return (height, width)
  }

  /// Axis 1 is height, 2 is width.
  init(_ problem: ConvProblem, _ axis: Int) {
    input = problem.input[axis]
    output = problem.output[axis]
    taps = problem.filter[axis]
    stride = problem.stride[axis]
    dilation = problem.dilation[axis]
    padding = problem.padding.before[axis]
  }

  /// The axis of `pass` in phases, with blocks of `block` targets: 1, or in backward data a multiple of the stride.
  ///
  /// - Precondition: dilation 1 where `block` is above 1.
  func phases(_ pass: ConvPass, block: Int = 1) -> [AxisPhase] {
    if pass == .backwardData { return block == 1 ? residues : [mergedResidues(block)] }
    let offsets = block == 1 ? taps : (block - 1) * stride + taps
    var table = [Int](repeating: -1, count: block * offsets)
    for e in 0..<block { for tap in 0..<taps { table[e * offsets + e * stride + tap] = tap } }
    return [
      AxisPhase(
        targetFirst: 0, targetStep: block, count: (output + block - 1) / block, block: block,
        sourceFirst: -padding, sourceStep: block * stride, dilation: dilation, offsets: offsets, taps: table)
    ]
  }

  /// dx by residues of (h + padding) mod stride; residues without a tap have no offsets and are zero.
  private var residues: [AxisPhase] {
    (0..<min(stride, input)).map { first in
      let shifted = first + padding
      let own = (0..<taps).filter { (shifted - $0 * dilation) % stride == 0 }
      // Taps of one class are stride / gcd apart; the larger the tap, the earlier the element of dy.
      let divisor = greatestCommonDivisor(stride, dilation)
      let lastTap = own.last ?? 0
      return AxisPhase(
        targetFirst: first, targetStep: stride, count: (input - first + stride - 1) / stride, block: 1,
        sourceFirst: own.isEmpty ? 0 : (shifted - lastTap * dilation) / stride, sourceStep: 1,
        dilation: max(1, dilation / divisor), offsets: own.count, taps: own.reversed())
    }
  }

  /// dx in blocks that begin at multiples of `block` of the padded coordinate.
  private func mergedResidues(_ block: Int) -> AxisPhase {
    let (lowest, highest) = (-((taps - 1) / stride), (block - 1) / stride)
    let offsets = highest - lowest + 1
    var table = [Int](repeating: -1, count: block * offsets)
    for e in 0..<block {
      for o in 0..<offsets {
        let tap = e - (o + lowest) * stride
        if (0..<taps).contains(tap) { table[e * offsets + o] = tap }
      }
    }
    let first = padding / block
    return AxisPhase(
      targetFirst: first * block - padding, targetStep: block,
      count: (input - 1 + padding) / block - first + 1,
      block: block, sourceFirst: first * (block / stride) + lowest, sourceStep: block / stride, dilation: 1,
      offsets: offsets, taps: table)
  }
}

extension ConvProblem {
  /// 1×1, stride 1, no padding: every output is a product with the pixel below it.
  var isPointwise: Bool { filter.count == 1 && stride.count == 1 && padding == Padding() && input == output }
}

private func greatestCommonDivisor(_ a: Int, _ b: Int) -> Int { b == 0 ? a : greatestCommonDivisor(b, a % b) }

/// ⌈a / b⌉ for a ≥ 0 and b > 0.
func divideUp(_ a: Int, _ b: Int) -> Int { (a + b - 1) / b }

/// a·b, or the largest number where that overflows.
func saturatingProduct(_ a: Int, _ b: Int) -> Int {
  let (product, overflow) = a.multipliedReportingOverflow(by: b)
  return overflow ? .max : product
}
