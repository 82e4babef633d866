import ConvCore

/// The magnitudes that a Winograd result is made of: |Aᵀ|(Σ |G||w||Gᵀ| ⊙ |Bᵀ||x||B|)|A| at the result's own tile.
///
/// Each of the four stages is a sum of products with known coefficients, so a relative error of δ in any of them
/// changes the result by at most δ times this number (Barabasz, Anderson, Soodhalter, Gregg: *Error analysis and improving
/// the accuracy of Winograd convolution for deep neural networks*, arXiv 1803.10986, Theorem 3). The chain has as many
/// roundings as `transformRoundings` plus the summation depth in the transformed domain.
///
/// Which tile a result belongs to stands with the passes: `convolution` and `backwardFilter`.
struct WinogradBounds {
  let vertical: Matrices
  let horizontal: Matrices
  let data: ProblemData

  /// Absolute values of one axis' matrices.
  struct Matrices {
    let m, r, tile: Int
    let at, g, bt: [Double]

    init(_ transform: WinogradTransform) {
      m = transform.m
      r = transform.r
      tile = transform.tile
      at = transform.at.map(abs)
      g = transform.g.map(abs)
      bt = transform.bt.map(abs)
    }
  }

  /// Nil where the matrices' sizes contradict m and r.
  init?(vertical: WinogradTransform, horizontal: WinogradTransform, data: ProblemData) {
    for transform in [vertical, horizontal] {
      let t = transform.tile
      guard transform.at.count == transform.m * t, transform.g.count == t * transform.r,
        transform.bt.count == t * t
      else { return nil }
    }
    self.vertical = Matrices(vertical)
    self.horizontal = Matrices(horizontal)
    self.data = data
  }

  /// Roundings of the transforms along one chain: each axis of the input transform sums `tile` terms, of the filter transform
  /// r, of the output transform `tile`; and six coefficients are rounded themselves.
  static func transformRoundings(_ vertical: WinogradTransform, _ horizontal: WinogradTransform) -> Int {
    2 * vertical.tile + vertical.r + 2 * horizontal.tile + horizontal.r + 6
  }

  /// The magnitudes of all samples, rows × columns; nil where the filter or a stride does not fit the transforms.
  func amplified(_ grid: SampleGrid, pool: WorkerPool) -> [Double]? {
    let problem = grid.problem
    guard problem.stride.h == 1, problem.stride.w == 1 else { return nil }
    if grid.pass != .backwardFilter {
      guard vertical.r >= problem.filter.h, horizontal.r >= problem.filter.w else { return nil }
    }
    switch data.elementType {
    case .float64: return evaluate(grid, pool, as: Double.self)
    default: return evaluate(grid, pool, as: Float.self)
    }
  }

  private func evaluate<T: ConvScalar>(_ grid: SampleGrid, _ pool: WorkerPool, as: T.Type) -> [Double] {
    let (first, second) = data.operands(of: grid.pass)
    return first.withUnsafePointer(as: T.self) { a in
      second.withUnsafePointer(as: T.self) { b in
        grid.pass == .backwardFilter
          ? backwardFilter(grid, x: a, dy: b, pool) : convolution(grid, a, w: b, pool)
      }
    }
  }

  // MARK: Small products

  /// out[a × d] = L[a × b] · X[b × c] · R[d × c]ᵀ, all row-major.
  @inline(__always)
  func sandwich(
    _ l: [Double], _ a: Int, _ b: Int, _ x: [Double], _ r: [Double], _ d: Int, _ c: Int,
    _ scratch: inout [Double], _ out: UnsafeMutablePointer<Double>
  ) {
    l.withUnsafeBufferPointer { l in
      x.withUnsafeBufferPointer { x in
        r.withUnsafeBufferPointer { r in
          scratch.withUnsafeMutableBufferPointer { scratch in
            for i in 0..<a {
              for j in 0..<c {
                var sum = 0.0
                for e in 0..<b { sum += l[i * b + e] * x[e * c + j] }
                scratch[i * c + j] = sum
              }
            }
            for i in 0..<a {
              for j in 0..<d {
                var sum = 0.0
                for e in 0..<c { sum += scratch[i * c + e] * r[j * c + e] }
                out[i * d + j] = sum
              }
            }
          }
        }
      }
    }
  }
}
