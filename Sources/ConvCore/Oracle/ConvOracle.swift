/// The formula itself: single results of a convolution in float64 by plain sums, with Σ|a·b| beside them.
///
/// Everything else is measured against this type (and against references from outside the package). It reads operands in the
/// logical order (NCHW, KCRS) and is never optimised; it is inlinable only so that its loops compile to concrete types.
public struct ConvOracle<Scalar: ConvScalar>: Sendable {
  /// A result and the sum of the magnitudes of its products.
  public struct Value: Sendable {
    /// Σ a·b.
    public var sum: Double
    /// Σ |a·b|.
    public var magnitude: Double

    @usableFromInline
    init(sum: Double, magnitude: Double) {
      self.sum = sum
      self.magnitude = magnitude
    }
  }

  /// The problem whose results are computed.
  public let problem: ConvProblem

  /// An oracle for `problem`.
  @inlinable
  public init(_ problem: ConvProblem) { self.problem = problem }

  /// y[n, k, z, p, q] = Σ x·w.
  @inlinable
  public func forward(
    _ x: UnsafePointer<Scalar>, _ w: UnsafePointer<Scalar>, n: Int, k: Int, at out: Extent
  ) -> Value {
    let pr = problem
    var value = Value(sum: 0, magnitude: 0)
    let firstChannel = k / pr.kPerGroup * pr.cPerGroup
    for t in 0..<pr.filter.d {
      let d = out.d * pr.stride.d + t * pr.dilation.d - pr.padding.front
      if d < 0 || d >= pr.input.d { continue }
      for r in 0..<pr.filter.h {
        let h = out.h * pr.stride.h + r * pr.dilation.h - pr.padding.top
        if h < 0 || h >= pr.input.h { continue }
        for s in 0..<pr.filter.w {
          let iw = out.w * pr.stride.w + s * pr.dilation.w - pr.padding.left
          if iw < 0 || iw >= pr.input.w { continue }
          for c in 0..<pr.cPerGroup {
            let product =
              Double(x[inputIndex(n, firstChannel + c, d, h, iw)]) * Double(w[filterIndex(k, c, t, r, s)])
            value.sum += product
            value.magnitude += abs(product)
          }
        }
      }
    }
    return value
  }

  /// dx[n, c, d, h, w] = Σ dy·w over the outputs and taps that read this input.
  @inlinable
  public func backwardData(
    _ dy: UnsafePointer<Scalar>, _ w: UnsafePointer<Scalar>, n: Int, c: Int, at position: Extent
  ) -> Value {
    let pr = problem
    var value = Value(sum: 0, magnitude: 0)
    let group = c / pr.cPerGroup
    for t in 0..<pr.filter.d {
      guard let z = outputPosition(0, position.d, t) else { continue }
      for r in 0..<pr.filter.h {
        guard let p = outputPosition(1, position.h, r) else { continue }
        for s in 0..<pr.filter.w {
          guard let q = outputPosition(2, position.w, s) else { continue }
          for i in 0..<pr.kPerGroup {
            let k = group * pr.kPerGroup + i
            let product =
              Double(dy[outputIndex(n, k, z, p, q)]) * Double(w[filterIndex(k, c % pr.cPerGroup, t, r, s)])
            value.sum += product
            value.magnitude += abs(product)
          }
        }
      }
    }
    return value
  }

  /// dw[k, c, t, r, s] = Σ x·dy over images and output positions; `c` counts within the group.
  @inlinable
  public func backwardFilter(
    _ x: UnsafePointer<Scalar>, _ dy: UnsafePointer<Scalar>, k: Int, c: Int, tap: Extent
  ) -> Value {
    let pr = problem
    var value = Value(sum: 0, magnitude: 0)
    let channel = k / pr.kPerGroup * pr.cPerGroup + c
    for z in 0..<pr.output.d {
      let d = z * pr.stride.d + tap.d * pr.dilation.d - pr.padding.front
      if d < 0 || d >= pr.input.d { continue }
      for p in 0..<pr.output.h {
        let h = p * pr.stride.h + tap.h * pr.dilation.h - pr.padding.top
        if h < 0 || h >= pr.input.h { continue }
        for q in 0..<pr.output.w {
          let iw = q * pr.stride.w + tap.w * pr.dilation.w - pr.padding.left
          if iw < 0 || iw >= pr.input.w { continue }
          for n in 0..<pr.n {
            let product =
              Double(x[inputIndex(n, channel, d, h, iw)]) * Double(dy[outputIndex(n, k, z, p, q)])
            value.sum += product
            value.magnitude += abs(product)
          }
        }
      }
    }
    return value
  }

  /// The output position that reads input `position` through tap `tap` on `axis`, or nil.
  @inlinable
  func outputPosition(_ axis: Int, _ position: Int, _ tap: Int) -> Int? {
    let shifted = position + problem.padding.before[axis] - tap * problem.dilation[axis]
    guard shifted >= 0, shifted % problem.stride[axis] == 0 else { return nil }
    let out = shifted / problem.stride[axis]
    return out < problem.output[axis] ? out : nil
  }

  @inlinable
  func inputIndex(_ n: Int, _ c: Int, _ d: Int, _ h: Int, _ w: Int) -> Int {
    (((n * problem.c + c) * problem.input.d + d) * problem.input.h + h) * problem.input.w + w
  }

  @inlinable
  func filterIndex(_ k: Int, _ c: Int, _ t: Int, _ r: Int, _ s: Int) -> Int {
    (((k * problem.cPerGroup + c) * problem.filter.d + t) * problem.filter.h + r) * problem.filter.w + s
  }

  @inlinable
  func outputIndex(_ n: Int, _ k: Int, _ z: Int, _ p: Int, _ q: Int) -> Int {
    (((n * problem.k + k) * problem.output.d + z) * problem.output.h + p) * problem.output.w + q
  }
}
