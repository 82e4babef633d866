import ConvCore

/// One axis' transform matrix, with what the rounding errors of its sums depend on.
///
/// A row computes Σⱼ cⱼ·xⱼ, one term after the other. Where the operands have variance proxies vⱼ (in units of u²), the sum has
///
///     Σ cⱼ²·vⱼ  +  Σ s²  +  Σ rⱼ·(cⱼ·xⱼ)²
///
/// with s the partial sums, and rⱼ = 1 for the rounding of a product, 0 where cⱼ is a power of two, and 1 more where cⱼ is no number of
/// the element type and has been rounded itself.
struct TransformMatrix {
  struct Entry {
    let column: Int
    let value, square, roundings: Double
  }

  let rows: [[Entry]]
  let columns: Int

  /// - Parameter values: row-major.
  init(_ values: [Double], rows: Int, columns: Int, _ elementType: ElementType) {
    self.columns = columns
    self.rows = (0..<rows).map { i in
      (0..<columns).compactMap { j in
        let value = values[i * columns + j]
        if value == 0 { return nil }
        let isPower = abs(value).significand == 1
        // The matrices are given in float64: what is no multiple of 2⁻²⁴ has been rounded there.
        let isExact =
          elementType == .float64
          ? (value * 0x1p24).rounded() == value * 0x1p24 : Double(Float(value)) == value
        return Entry(
          column: j, value: value, square: value * value, roundings: isPower ? 0 : isExact ? 1 : 2)
      }
    }
  }

  /// Products and additions of the longest row.
  var longest: Int { 2 * (rows.map(\.count).max() ?? 0) }
}

/// A pair of matrices L, R that makes L·X·Rᵀ of a tile X, for values and for the variance proxies of their errors.
struct TileTransform {
  typealias Lanes = SIMD4<Double>

  /// Values and variance proxies of several tiles side by side.
  struct Tile {
    var values, squares: [Lanes]

    init(count: Int) {
      values = [Lanes](repeating: Lanes(), count: count)
      squares = values
    }
  }

  let left, right: TransformMatrix
  /// The square of the smallest rounding, of a subnormal result, in units of u².
  let least: Double

  init(_ left: TransformMatrix, _ right: TransformMatrix, least: Double) {
    (self.left, self.right, self.least) = (left, right, least)
  }

  /// Elements of a transformed tile.
  var count: Int { left.rows.count * right.rows.count }
  /// Elements of a tile before.
  var sourceCount: Int { left.columns * right.columns }
  /// Elements between the two matrices.
  var middleCount: Int { left.rows.count * right.columns }
  /// Roundings that reach one element.
  var roundings: Int { left.longest * (1 + right.longest) + right.longest }

  /// L·X·Rᵀ.
  ///
  /// - Parameter middle: memory for what is between the two.
  func apply(_ source: Tile, _ middle: inout Tile, to target: inout Tile) {
    let width = right.columns
    for i in left.rows.indices {
      for j in 0..<width {
        TileTransform.sum(
          left.rows[i], source, start: j, step: width, least, &middle.values[i * width + j],
          &middle.squares[i * width + j])
      }
    }
    let count = right.rows.count
    for i in left.rows.indices {
      for j in 0..<count {
        TileTransform.sum(
          right.rows[j], middle, start: i * width, step: 1, least, &target.values[i * count + j],
          &target.squares[i * count + j])
      }
    }
  }

  @inline(__always)
  private static func sum(
    _ row: [TransformMatrix.Entry], _ source: Tile, start: Int, step: Int, _ least: Double,
    _ value: inout Lanes, _ square: inout Lanes
  ) {
    var (sum, squares) = (Lanes(), Lanes())
    var isFirst = true
    for entry in row {
      let index = start + entry.column * step
      let product = entry.value * source.values[index]
      sum += product
      squares += entry.square * source.squares[index]
      if entry.roundings > 0 { squares += entry.roundings * (product * product) + least }
      if !isFirst { squares += sum * sum }
      isFirst = false
    }
    value = sum
    square = squares
  }
}
