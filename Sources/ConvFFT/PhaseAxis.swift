import ConvCore

/// The elements of a tile along one axis that lie inside a tensor: element e of `lo..<hi` is tensor index
/// `start + (e - lo) · stride`.
struct Window: Sendable {
  var lo: Int
  var hi: Int
  var start: Int
  var stride: Int

  /// The elements e of `elements` with 0 ≤ first + e·stride < length.
  init(first: Int, stride: Int, length: Int, elements: Range<Int>) {
    let low = max(elements.lowerBound, ceilDivide(-first, stride))
    let high = min(elements.upperBound, floorDivide(length - 1 - first, stride) + 1)
    lo = min(low, elements.upperBound)
    hi = max(high, lo)
    start = first + lo * stride
    self.stride = stride
  }
}

/// ⌈a / b⌉ for positive b.
func ceilDivide(_ a: Int, _ b: Int) -> Int { -floorDivide(-a, b) }

/// ⌊a / b⌋ for positive b.
func floorDivide(_ a: Int, _ b: Int) -> Int {
  let quotient = a / b
  return a % b < 0 ? quotient - 1 : quotient
}

/// Where a tile begins along one axis.
struct AxisTile: Sendable {
  /// Outputs p ≡ `residue` modulo `PhaseAxis.residues` belong to the tile.
  var residue: Int
  /// Sub-image coordinate of the tile's element 0; may be negative.
  var origin: Int
}

/// One axis of a convolution, rewritten as dense stride-1 convolutions (polyphase decomposition).
///
/// With stride u and dilation l let U = lcm(u, l) and m = U / u. Outputs p = m·j + σ read inputs p·u + r·l
/// − pad = U·(j + a) + (u·σ − pad + l·i) where r = a·(U/l) + i. So each residue σ < m is an output
/// sub-image, each i < U/l (a *phase*) an input sub-image sampled every U elements and a dense filter of
/// `span` taps a; phases are summed, like channels. The filters do not depend on σ. For u = l = 1 there is
/// one residue and one phase.
struct PhaseAxis: Sendable {
  /// Elements of the input, outputs and filter taps.
  let input, output, taps: Int
  /// Zeros before the input.
  let padding: Int
  /// u and l.
  let stride, dilation: Int
  /// U: inputs between neighbours of a sub-image.
  let step: Int
  /// m: outputs between neighbours of a sub-image.
  let residues: Int
  /// U / l: filter taps between neighbours of one phase.
  let tapStep: Int
  /// Phases that have a tap.
  let phases: Int
  /// Taps of the longest phase.
  let span: Int

  /// The decomposition, or nil where lcm(u, l) overflows.
  init?(input: Int, output: Int, taps: Int, stride: Int, dilation: Int, padding: Int) {
    self.input = input
    self.output = output
    self.taps = taps
    self.padding = padding
    // One tap has no spacing. One output has no stride: with a stride that separates all taps, the
    // products need no transform along this axis.
    let l = taps == 1 ? 1 : dilation
    let u = output == 1 ? taps * l : stride
    let (step, overflow) = (u / greatestCommonDivisor(u, l)).multipliedReportingOverflow(by: l)
    if overflow { return nil }
    self.stride = u
    self.dilation = l
    self.step = step
    residues = step / u
    tapStep = step / l
    phases = min(tapStep, taps)
    span = (taps - 1) / tapStep + 1
  }

  /// Residues that have an output.
  var usedResidues: Int { min(residues, output) }

  /// Outputs of the sub-image `residue`.
  func outputs(_ residue: Int) -> Int { (output - residue + residues - 1) / residues }

  /// Input index of element 0 of the input sub-image (`residue`, `phase`).
  private func offset(_ residue: Int, _ phase: Int) -> Int { stride * residue - padding + dilation * phase }

  /// Tiles of `length` elements that cover the results of `pass`: overlap-save, `length − span + 1` results
  /// each.
  ///
  /// Backward data reads `span − 1` outputs before its first result. Where no output reads any input (a stride that jumps over a
  /// single column) one tile without a result stands for the axis.
  func tiles(length: Int, pass: ConvPass) -> [AxisTile] {
    let advance = length - span + 1
    var tiles: [AxisTile] = []
    for residue in 0..<usedResidues {
      let outputs = outputs(residue)
      if pass == .backwardData {
        let first = max(0, ceilDivide(-offset(residue, phases - 1), step))
        let last = min(outputs + span - 2, floorDivide(input - 1 - offset(residue, 0), step))
        for j in Swift.stride(from: first, through: last, by: advance) {
          tiles.append(AxisTile(residue: residue, origin: j - (span - 1)))
        }
      } else {
        for j in Swift.stride(from: 0, to: outputs, by: advance) {
          tiles.append(AxisTile(residue: residue, origin: j))
        }
      }
    }
    if tiles.isEmpty { tiles.append(AxisTile(residue: 0, origin: output)) }
    return tiles
  }

  /// How many tiles `tiles(length:pass:)` yields.
  func tileCount(length: Int, pass: ConvPass) -> Int {
    let advance = length - span + 1
    var count = 0
    for residue in 0..<usedResidues {
      let outputs = outputs(residue)
      if pass == .backwardData {
        let first = max(0, ceilDivide(-offset(residue, phases - 1), step))
        let last = min(outputs + span - 2, floorDivide(input - 1 - offset(residue, 0), step))
        if last >= first { count += (last - first) / advance + 1 }
      } else {
        count += (outputs + advance - 1) / advance
      }
    }
    return max(1, count)
  }

  /// Where the elements of a tile lie in the input.
  func inputWindow(_ tile: AxisTile, phase: Int, elements: Range<Int>) -> Window {
    Window(
      first: step * tile.origin + offset(tile.residue, phase), stride: step, length: input,
      elements: elements)
  }

  /// Where the elements of a tile lie in the output.
  func outputWindow(_ tile: AxisTile, elements: Range<Int>) -> Window {
    Window(
      first: residues * tile.origin + tile.residue, stride: residues, length: output, elements: elements)
  }

  /// Where the taps of a phase lie in the filter.
  func filterWindow(phase: Int) -> Window {
    Window(first: phase, stride: tapStep, length: taps, elements: 0..<span)
  }

  /// Input elements, in original coordinates, that the tiles of all residues and phases of one position
  /// cover.
  func reach(length: Int) -> Int {
    (length - 1) * step + (usedResidues - 1) * stride + (phases - 1) * dilation + 1
  }
}

/// Of positive numbers.
func greatestCommonDivisor(_ a: Int, _ b: Int) -> Int {
  var (a, b) = (a, b)
  while b != 0 { (a, b) = (b, a % b) }
  return a
}
