import ConvCore

/// The transforms that oneDNN 2.6 uses, as its weight reorder (`wino_reorder.hpp`) and its tile transforms
/// (`jit_avx512_core_f32_wino_conv_4x3_kernel.cpp`) have them: F(4, 3) and, for filter gradients, F(3, 4) at the points 0, ±5/8,
/// ±3/2, ∞; F(2, 3) at 0, ±1, ∞.
enum OneDNNWinograd {
  /// The transform of one axis with m outputs and r taps, m + r − 2 finite points.
  ///
  /// Rows for a point p: Aᵀ has pʲ, G has pʲ / Πₖ(p − pₖ), Bᵀ the coefficients of Πₖ(x − pₖ) over the other points; the last
  /// row is the point at infinity.
  static func transform(m: Int, r: Int) -> WinogradTransform {
    let points: [Double] = m + r - 1 == 6 ? [0, 0.625, -0.625, 1.5, -1.5] : [0, 1, -1]
    let tile = points.count + 1
    var at = [Double](repeating: 0, count: m * tile)
    var g = [Double](repeating: 0, count: tile * r)
    var bt = [Double](repeating: 0, count: tile * tile)
    for (i, point) in points.enumerated() {
      let others = points.enumerated().filter { $0.offset != i }.map(\.element)
      let scale = others.reduce(1) { $0 * (point - $1) }
      for j in 0..<m { at[j * tile + i] = power(point, j) }
      for j in 0..<r { g[i * r + j] = power(point, j) / scale }
      for (j, coefficient) in polynomial(roots: others).enumerated() { bt[i * tile + j] = coefficient }
    }
    at[m * tile - 1] = 1
    g[tile * r - 1] = 1
    for (j, coefficient) in polynomial(roots: points).enumerated() {
      bt[(tile - 1) * tile + j] = coefficient
    }
    return WinogradTransform(m: m, r: r, at: at, g: g, bt: bt)
  }

  private static func power(_ base: Double, _ exponent: Int) -> Double {
    (0..<exponent).reduce(1) { value, _ in value * base }
  }

  /// Coefficients of Π(x − root), constant term first.
  private static func polynomial(roots: [Double]) -> [Double] {
    roots.reduce([1]) { product, root in
      var next = [0] + product
      for i in product.indices { next[i] -= root * product[i] }
      return next
    }
  }
}
