internal import CConvKernels

/// Vectorised single-threaded float32 passes of batch normalisation.
///
/// Each is over a block of rows × channels: pixels of NHWC, or (with one channel) one plane of NCHW; pointers to values per
/// channel point to the first of the block's channels. Callers split the arrays themselves; the sums' order depends on the
/// sizes of one call only.
public struct ChannelNormalization: Sendable, Hashable {
  /// Extents of the block.
  public let rows: Int, channels: Int

  /// A block.
  public init(rows: Int, channels: Int) {
    self.rows = rows
    self.channels = channels
  }

  /// mean[c] and squares[c] = Σ (x[r][c] − mean[c])² over the block's rows.
  ///
  /// Float32 sums of short blocks in two passes each, joined in float64 (Chan, Golub & LeVeque 1979).
  public func moments(
    _ x: UnsafePointer<Float>, mean: UnsafeMutablePointer<Double>, squares: UnsafeMutablePointer<Double>
  ) {
    vb_moments_f32(nil, rows, channels, x, mean, squares)
  }

  /// y = (x − mean)·factor + shift (+ other), at least 0 with `relu`; NaN stays NaN.
  public func forward(
    _ x: UnsafePointer<Float>, mean: UnsafePointer<Float>, factor: UnsafePointer<Float>,
    shift: UnsafePointer<Float>, adding other: UnsafePointer<Float>?, relu: Bool,
    into y: UnsafeMutablePointer<Float>
  ) {
    vb_normalize_f32(nil, rows, channels, x, mean, factor, shift, other, relu ? 1 : 0, y)
  }

  /// sum[c] = Σ g and product[c] = Σ g·(x − mean[c]), with g = dy, or 0 where the output y (where given) is not above 0.
  ///
  /// g is also written to `masked` where both that and y are given.
  public func sums(
    outputGradient dy: UnsafePointer<Float>, output y: UnsafePointer<Float>?, _ x: UnsafePointer<Float>,
    mean: UnsafePointer<Float>, sum: UnsafeMutablePointer<Double>, product: UnsafeMutablePointer<Double>,
    masked: UnsafeMutablePointer<Float>?
  ) {
    vb_normalize_sums_f32(nil, rows, channels, dy, y, x, mean, sum, product, masked)
  }

  /// dx = factor·(g − offset − (x − mean)·slope), with g as in `sums`.
  public func backward(
    outputGradient dy: UnsafePointer<Float>, output y: UnsafePointer<Float>?, _ x: UnsafePointer<Float>,
    mean: UnsafePointer<Float>, factor: UnsafePointer<Float>, offset: UnsafePointer<Float>,
    slope: UnsafePointer<Float>, into dx: UnsafeMutablePointer<Float>
  ) {
    vb_normalize_backward_f32(nil, rows, channels, dy, y, x, mean, factor, offset, slope, dx)
  }
}
