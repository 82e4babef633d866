/// A one-dimensional minimal-filtering transform F(m, r): y = Aᵀ[(G g) ⊙ (Bᵀ d)] with m + r − 1 multiplications.
public struct WinogradTransform: Hashable, Sendable {
  /// Outputs per tile.
  public var m: Int
  /// Filter taps.
  public var r: Int
  /// Aᵀ, m × (m + r − 1), row-major.
  public var at: [Double]
  /// G, (m + r − 1) × r, row-major.
  public var g: [Double]
  /// Bᵀ, (m + r − 1) × (m + r − 1), row-major.
  public var bt: [Double]

  /// Tile length m + r − 1.
  public var tile: Int { m + r - 1 }

  /// From its three matrices.
  public init(m: Int, r: Int, at: [Double], g: [Double], bt: [Double]) {
    self.m = m
    self.r = r
    self.at = at
    self.g = g
    self.bt = bt
  }
}

/// In which order the terms of a sum are added up.
public enum SumShape: Hashable, Sendable {
  /// One after the other, from zero.
  case chain
  /// Blocks of `length` terms from zero each, then the blocks' sums one after the other.
  case blocks(length: Int)
  /// By halves: pairs, pairs of pairs and so on.
  case pairs
  /// In blocks of which nothing is known but that no term takes part in more than `depth` additions.
  case unknown(depth: Int)
}

/// What a plan's rounding errors depend on, as data: the harness derives its tolerances from it, an engine states none.
///
/// Models speak of the operation as it was asked (original problem and pass, also where the core lowered it).
public indirect enum ErrorModel: Hashable, Sendable {
  /// Each result is the sum of its products, of a known shape, rounded in `accumulator`, then rounded to the element type.
  case summation(SumShape, accumulator: ElementType)
  /// Tiles of `vertical` × `horizontal` transforms on stride-1 problems, per residue of the dilation; products are summed
  /// in the transformed domain (over channels, times depth taps; for backwardFilter tiles and images), each in no more than `depth`
  /// additions.
  ///
  /// forward: tiles of y, input tiles of x. backwardData: tiles of dx, input tiles of dy, flipped filter.
  /// Where a lowering splits an image (dilation, polyphase), the sub-images carry the padding themselves: there tiles of dx
  /// begin at the padded coordinate, i.e. dx[h] is element (h + pad) div l of the sub-image of residue (h + pad) mod l.
  /// backwardFilter: dw is the m × m output, tiles of dy with r × r elements are the filter, tiles of x the input.
  case winograd(vertical: WinogradTransform, horizontal: WinogradTransform, depth: Int)
  /// Discrete Fourier transforms of `height` × `width` tiles that are `stepH` × `stepW` outputs apart (overlap-save), in
  /// the original coordinates; products are summed in the frequency domain, each in no more than `depth` additions.
  case fft(height: Int, width: Int, stepH: Int, stepW: Int, depth: Int)
  /// A strided 2-D problem (strides uʰ, uʷ, dilation 1) as stride-1 problems, one per phase (a, b) of the stride, in
  /// row-major order with a < min(uʰ, R) and b < min(uʷ, S). Phase (a, b) has the taps r = uʰ·i + a, s = uʷ·j + b and
  /// reads the unpadded image x'[i, j] = xpad[uʰ·i + a, uʷ·j + b] of (P + taps − 1) × (Q + taps − 1) elements;
  /// forward adds the phases' results, backwardData and backwardFilter interleave them.
  case polyphase([ErrorModel])
}

extension ErrorModel {
  /// Plain sums of which an engine knows only that no product takes part in more than `depth` additions.
  public static func summation(depth: Int, accumulator: ElementType) -> ErrorModel {
    .summation(.unknown(depth: depth), accumulator: accumulator)
  }
}
