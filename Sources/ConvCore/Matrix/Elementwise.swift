internal import CConvKernels

/// Vectorised single-threaded float32 passes that a training step needs between its convolutions.
///
/// Callers split the arrays themselves; the sums' order depends on the sizes of one call only.
public enum Elementwise {
  /// y[i] += a · x[i] for i < count.
  public static func axpy(
    count: Int, _ a: Float, _ x: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>
  ) {
    vb_axpy_f32(nil, count, a, x, y)
  }

  /// y[i] = max(x[i], 0) for i < count; NaN stays NaN. y may be x.
  public static func relu(count: Int, _ x: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>) {
    vb_relu_f32(nil, count, x, y)
  }

  /// dx[i] = y[i] > 0 ? dy[i] : 0, with y the output of the forward pass. dx may be dy.
  public static func reluBackward(
    count: Int, output y: UnsafePointer<Float>, outputGradient dy: UnsafePointer<Float>,
    into dx: UnsafeMutablePointer<Float>
  ) {
    vb_relu_backward_f32(nil, count, y, dy, dx)
  }

  /// y[c][i] += bias[c] for c < channels, i < area: one image in NCHW.
  public static func addBiasNCHW(
    channels: Int, area: Int, bias: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>
  ) {
    vb_bias_nchw_f32(nil, channels, area, bias, y)
  }

  /// y[i][c] += bias[c] for i < pixels, c < channels: NHWC.
  public static func addBiasNHWC(
    pixels: Int, channels: Int, bias: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>
  ) {
    vb_bias_nhwc_f32(nil, pixels, channels, bias, y)
  }

  /// sum[c] += Σᵢ y[c][i]: one image's share of the bias gradient, NCHW. 64 interleaved partial sums.
  public static func addSumsNCHW(
    channels: Int, area: Int, _ y: UnsafePointer<Float>, into sum: UnsafeMutablePointer<Float>
  ) {
    vb_sum_nchw_f32(nil, channels, area, y, sum)
  }

  /// sum[c] += Σᵢ y[i][c]: the bias gradient, NHWC. Partial sums over 256 pixels.
  public static func addSumsNHWC(
    pixels: Int, channels: Int, _ y: UnsafePointer<Float>, into sum: UnsafeMutablePointer<Float>
  ) {
    vb_sum_nhwc_f32(nil, pixels, channels, y, sum)
  }
}
