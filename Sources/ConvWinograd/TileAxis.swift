import ConvCore
import Synchronization

/// F(m, r) along one axis, with its matrices in the kernels' form.
///
/// Made once per process for each F(m, r) and its points: the exact arithmetic of the Toom–Cook construction takes fifty times as long as
/// the rest of a plan.
final class TileAxis: Sendable {
  let construction: ToomCook
  /// The matrices as numbers, for error models.
  let transform: WinogradTransform
  /// Bᵀ, G and Aᵀ.
  let input, filter, output: CompiledMatrix

  var m: Int { transform.m }
  var r: Int { transform.r }
  var tile: Int { transform.tile }
  var points: [Rational] { construction.points }

  /// Whether kernels were made for tiles with these axes; others go through loops over the coefficients.
  static func hasKernels(_ vertical: TileAxis, _ horizontal: TileAxis) -> Bool {
    vertical.m == horizontal.m && vertical.r == horizontal.r && [4, 6, 8].contains(vertical.tile)
  }

  private init(_ construction: ToomCook) {
    self.construction = construction
    let transform = construction.transform
    self.transform = transform
    input = CompiledMatrix(transform.bt, rows: transform.tile, columns: transform.tile)
    filter = CompiledMatrix(transform.g, rows: transform.tile, columns: transform.r)
    output = CompiledMatrix(transform.at, rows: transform.m, columns: transform.tile)
  }

  private struct Key: Hashable {
    var m, r: Int
    /// The finite points in their order.
    var points: [Rational]
  }

  /// Axes are few; only somebody who tries points by the hundred meets the limit, and then pays for each plan.
  private static let mostKept = 512
  private static let kept = Mutex<[Key: TileAxis]>([:])

  /// F(m, r) with the points 0, ±magnitudes…, ∞.
  ///
  /// - Throws: as `ToomCook.init(m:r:points:)`.
  static func cached(m: Int, r: Int, magnitudes: [Rational]) throws -> TileAxis {
    let points = r == 1 ? [] : ToomCook.points(count: m + r - 2, magnitudes: magnitudes)
    return try cached(Key(m: m, r: r, points: points))
  }

  /// F(r, m) with the same points: both have m + r − 1 of them.
  ///
  /// - Throws: as `ToomCook.init(m:r:points:)`.
  func exchanged() throws -> TileAxis { try TileAxis.cached(Key(m: r, r: m, points: points)) }

  private static func cached(_ key: Key) throws -> TileAxis {
    if let axis = kept.withLock({ $0[key] }) { return axis }
    let axis = TileAxis(try ToomCook(m: key.m, r: key.r, points: key.points))
    return kept.withLock { kept in
      if let earlier = kept[key] { return earlier }
      if kept.count < mostKept { kept[key] = axis }
      return axis
    }
  }
}
