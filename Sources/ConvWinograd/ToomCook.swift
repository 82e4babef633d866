public import ConvCore

/// The Toom–Cook construction of minimal filtering F(m, r): transform matrices from interpolation points, in exact
/// rational arithmetic.
///
/// m outputs of a correlation with r taps from a = m + r − 1 inputs take a multiplications:
/// y = Aᵀ[(G g) ⊙ (Bᵀ d)]. With finite points p₀ … p_{a−2} and infinity, N_j = Π_{i≠j}(p_j − p_i) and
/// M(x) = Π(x − p_i):
/// - Aᵀ[i][j] = p_jⁱ, and for infinity 1 in the last row;
/// - G[j][i] = p_jⁱ / N_j, and for infinity 1 in the last column;
/// - Bᵀ[j] = the coefficients of Π_{i≠j}(x − p_i), and for infinity those of M.
///
/// With dyadic points Aᵀ and Bᵀ are exact in binary floating point; only G rounds.
///
/// S. Winograd, *Arithmetic Complexity of Computations* (SIAM 1980); A. Lavin, S. Gray, *Fast Algorithms for
/// Convolutional Neural Networks* (arXiv 1509.09308, 2016); B. Barabasz et al., *Error Analysis and Improving the
/// Accuracy of Winograd Convolution for Deep Neural Networks* (arXiv 1803.10986, section 3).
public struct ToomCook: Hashable, Sendable {
  /// Outputs per tile.
  public let m: Int
  /// Filter taps.
  public let r: Int
  /// The finite interpolation points; infinity is always the last point. Empty for r = 1, which needs none.
  public let points: [Rational]
  /// Aᵀ, m rows of a.
  public let at: [[Rational]]
  /// G, a rows of r.
  public let g: [[Rational]]
  /// Bᵀ, a rows of a.
  public let bt: [[Rational]]

  /// Tile length a = m + r − 1.
  public var tile: Int { m + r - 1 }

  /// F(m, r) from m + r − 2 distinct finite points (ignored for r = 1: one tap needs no transform, Aᵀ = Bᵀ = I).
  ///
  /// - Throws: `RationalError.divisionByZero` where points coincide, `.overflow` where coefficients do not fit.
  public init(m: Int, r: Int, points: [Rational]) throws {
    precondition(m >= 1 && r >= 1, "F(\(m), \(r)) needs at least one output and one tap")
    self.m = m
    self.r = r
    if r == 1 {
      self.points = []
      at = (0..<m).map { i in (0..<m).map { $0 == i ? .one : .zero } }
      g = (0..<m).map { _ in [.one] }
      bt = at
      return
    }
    precondition(points.count == m + r - 2, "F(\(m), \(r)) needs \(m + r - 2) finite points")
    self.points = points
    let tile = m + r - 1
    var at = [[Rational]](repeating: [], count: m)
    var g: [[Rational]] = []
    var bt: [[Rational]] = []
    for (j, p) in points.enumerated() {
      let others = points.indices.filter { $0 != j }.map { points[$0] }
      let n = try others.reduce(Rational.one) { try $0 * (p - $1) }
      // Both rows may change sign together: the first coefficient that is not zero becomes positive.
      var row = try ToomCook.product(ofRoots: others)
      var sign = Rational.one
      if let first = row.first(where: { $0 != .zero }), first.numerator < 0 { sign = Rational(-1) }
      row = try row.map { try $0 * sign }
      bt.append(row + [Rational](repeating: .zero, count: tile - row.count))
      let powers = try ToomCook.powers(of: p, count: max(m, r))
      g.append(try powers.prefix(r).map { try $0 / n * sign })
      for i in 0..<m { at[i].append(powers[i]) }
    }
    bt.append(try ToomCook.product(ofRoots: points))
    g.append((0..<r).map { $0 == r - 1 ? .one : .zero })
    for i in 0..<m { at[i].append(i == m - 1 ? .one : .zero) }
    self.at = at
    self.g = g
    self.bt = bt
  }

  /// F(m, r) with the points 0, ±magnitudes[0], ±magnitudes[1], …, infinity, as many as it takes; where an odd number is
  /// needed the last magnitude is used with its positive sign only.
  public init(m: Int, r: Int, magnitudes: [Rational]) throws {
    try self.init(m: m, r: r, points: ToomCook.points(count: m + r - 2, magnitudes: magnitudes))
  }

  /// Magnitudes that F(m, r) takes beside 0 and infinity.
  public static func magnitudeCount(m: Int, r: Int) -> Int { r == 1 ? 0 : max(0, m + r - 2) / 2 }

  /// 0, a, −a, b, −b, … cut to `count`.
  static func points(count: Int, magnitudes: [Rational]) -> [Rational] {
    var points = [Rational.zero]
    for magnitude in magnitudes {
      points.append(magnitude)
      points.append(-magnitude)
    }
    precondition(points.count >= count, "\(count) points need more magnitudes than \(magnitudes)")
    return Array(points.prefix(count))
  }

  /// Magnitudes that keep the error small, per tile length: found by search for 6 points (0, ±5/8, ±3/2, ∞ err 2 to 4
  /// times less than 0, ±1, ±2, ∞), the classic ones elsewhere.
  static func defaultMagnitudes(tile: Int) -> [Rational] {
    let known: [Int: [(Int128, Int128)]] = [
      3: [(1, 1)], 4: [(1, 1)], 5: [(1, 1), (1, 2)], 6: [(5, 8), (3, 2)], 7: [(1, 1), (2, 1), (1, 2)],
      8: [(1, 1), (2, 1), (1, 2)],
    ]
    return (known[tile] ?? []).compactMap { try? Rational($0.0, over: $0.1) }
  }

  /// F(m, r) in floating point, as error models and kernels take it.
  public var transform: WinogradTransform {
    WinogradTransform(
      m: m, r: r, at: at.flatMap { $0.map(\.doubleValue) }, g: g.flatMap { $0.map(\.doubleValue) },
      bt: bt.flatMap { $0.map(\.doubleValue) })
  }

  /// Coefficients of Π (x − root), lowest power first.
  private static func product(ofRoots roots: [Rational]) throws -> [Rational] {
    var polynomial = [Rational.one]
    for root in roots {
      var next = [Rational.zero] + polynomial
      for i in polynomial.indices { next[i] = try next[i] - polynomial[i] * root }
      polynomial = next
    }
    return polynomial
  }

  private static func powers(of p: Rational, count: Int) throws -> [Rational] {
    var powers = [Rational.one]
    while powers.count < count { powers.append(try powers[powers.count - 1] * p) }
    return powers
  }
}
