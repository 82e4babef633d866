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

  /// dx[i] = y[i] ≤ 0 ? 0 : dy[i], with y the output of the forward pass. dx may be dy.
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

  /// Max pooling of 2×2 windows with stride 2 over one image [height][width][channels].
  ///
  /// `winner` gets each winner's place in its window, 2·row + column; ties take the first, NaN wins. An odd last row or column
  /// takes no part.
  public static func maximumOfPairs(
    height: Int, width: Int, channels: Int, _ x: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>,
    winner: UnsafeMutablePointer<UInt8>
  ) {
    vb_max_pairs_f32(nil, height, width, channels, x, y, winner)
  }

  /// The gradient of `maximumOfPairs`: dy at the winners, 0 in the rest of dx [height][width][channels].
  ///
  /// With `output`, the pooled values after a ReLU: dy counts as 0 where they are 0 or less. `sum`, [channels], grows by what
  /// reaches dx: one image's share of a bias gradient.
  public static func spreadToPairs(
    height: Int, width: Int, channels: Int, _ dy: UnsafePointer<Float>,
    output y: UnsafePointer<Float>? = nil,
    winner: UnsafePointer<UInt8>, into dx: UnsafeMutablePointer<Float>, sum: UnsafeMutablePointer<Float>
  ) {
    vb_spread_pairs_f32(nil, height, width, channels, dy, y, winner, dx, sum)
  }

  /// Factors of one Adam step, see `adam`.
  public struct AdamFactors: Sendable, Hashable {
    /// Of the parameter before the step (decoupled weight decay) and of the parameter in the gradient (coupled).
    public var keep, decay: Float
    /// 1 − β₁, β₂, 1 − β₂.
    public var new1, keep2, new2: Float
    /// Learning rate / (1 − β₁ᵗ), √(1 − β₂ᵗ), ε.
    public var rate, root, eps: Float

    /// All of them.
    public init(
      keep: Float, decay: Float, new1: Float, keep2: Float, new2: Float, rate: Float, root: Float, eps: Float
    ) {
      (self.keep, self.decay, self.new1, self.keep2) = (keep, decay, new1, keep2)
      (self.new2, self.rate, self.root, self.eps) = (new2, rate, root, eps)
    }
  }

  /// One Adam step in one pass: s = keep·p, g' = g + decay·s, m += new1·(g' − m), v = keep2·v + new2·g'²,
  /// p = s − rate·m / (√v / root + ε), for i < count.
  public static func adam(
    count: Int, _ factors: AdamFactors, parameters p: UnsafeMutablePointer<Float>,
    gradients g: UnsafePointer<Float>, first m: UnsafeMutablePointer<Float>,
    second v: UnsafeMutablePointer<Float>
  ) {
    var f = vb_adam(
      keep: factors.keep, decay: factors.decay, new1: factors.new1, keep2: factors.keep2, new2: factors.new2,
      rate: factors.rate, root: factors.root, eps: factors.eps)
    vb_adam_f32(nil, count, &f, p, g, m, v)
  }

  /// Factors of one step of stochastic gradient descent, see `sgd`.
  public struct SGDFactors: Sendable, Hashable {
    /// Learning rate; of the parameter in the gradient; of the velocity before; of the gradient in the velocity.
    public var rate, decay, keep, take: Float
    /// Looks ahead along the velocity.
    public var nesterov: Bool

    /// All of them.
    public init(rate: Float, decay: Float, keep: Float, take: Float, nesterov: Bool) {
      (self.rate, self.decay, self.keep, self.take) = (rate, decay, keep, take)
      self.nesterov = nesterov
    }
  }

  /// One step of gradient descent in one pass: g' = g + decay·p, v = keep·v + take·g', p −= rate·v (with Nesterov
  /// rate·(g' + keep·v), without a velocity rate·g'), for i < count.
  public static func sgd(
    count: Int, _ factors: SGDFactors, parameters p: UnsafeMutablePointer<Float>,
    gradients g: UnsafePointer<Float>, velocity v: UnsafeMutablePointer<Float>?
  ) {
    var f = vb_sgd(rate: factors.rate, decay: factors.decay, keep: factors.keep, take: factors.take)
    vb_sgd_f32(nil, count, &f, factors.nesterov ? 1 : 0, p, g, v)
  }
}
