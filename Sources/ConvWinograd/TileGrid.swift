/// Where the tiles of a stride-1 problem lie: the tiled image in steps of `step`, the windows that they read of the
/// source image `step` apart too, overlapping by r − 1.
///
/// Tile (i, j) covers rows [i·stepH, i·stepH + stepH) of the tiled image and rows [i·stepH − originH, … + windowH) of
/// the source; what lies outside the source is zero. A negative origin crops.
struct TileGrid: Sendable {
  let images: Int
  let sourceH, sourceW: Int
  let targetH, targetW: Int
  let stepH, stepW: Int
  let windowH, windowW: Int
  let originH, originW: Int

  var rows: Int { (targetH + stepH - 1) / stepH }
  var columns: Int { (targetW + stepW - 1) / stepW }
  var tiles: Int { images * rows * columns }

  /// Rows of tiles, and blocks of them, that plans list at most.
  private static let mostListed = 1 << 22

  /// - Throws: `WinogradVariant.Refusal` where a plan would list too many rows of tiles, or blocks of `size` tiles.
  func requireListable(blocksOf size: Int) throws {
    let listed = max(images * rows, (tiles + size - 1) / size)
    guard listed <= TileGrid.mostListed else {
      throw WinogradVariant.Refusal(
        "winograd lists its rows and blocks of tiles, and of \(listed) at most \(TileGrid.mostListed)")
    }
  }

  /// The same tiles as a partition of the tiled image itself: no overlap, no origin.
  var target: TileGrid {
    TileGrid(
      images: images, sourceH: targetH, sourceW: targetW, targetH: targetH, targetW: targetW, stepH: stepH,
      stepW: stepW, windowH: stepH, windowW: stepW, originH: 0, originW: 0)
  }

  /// Rows of tiles of one image, one tile row or several whole ones.
  struct Band: Sendable {
    var image: Int
    var rows: Range<Int>
    var columns: Range<Int>
    /// Number of the first tile, counted from the first tile of the range that was cut.
    var first: Int
  }

  /// Cuts tiles `range` (image, row, column order) into bands of at most `maxRows` × `maxColumns` tiles.
  func bands(of range: Range<Int>, maxRows: Int, maxColumns: Int) -> [Band] {
    var bands: [Band] = []
    var tile = range.lowerBound
    let (rows, columns) = (rows, columns)
    while tile < range.upperBound {
      let (line, column) = (tile / columns, tile % columns)
      let (image, row) = (line / rows, line % rows)
      let left = range.upperBound - tile
      var height = 1
      var width = min(columns - column, maxColumns, left)
      if column == 0 && maxColumns >= columns && left >= columns {
        height = min(rows - row, maxRows, left / columns)
        width = columns
      }
      bands.append(
        Band(
          image: image, rows: row..<row + height, columns: column..<column + width,
          first: tile - range.lowerBound))
      tile += height * width
    }
    return bands
  }

  /// Source rows that tiles `rows` read, clipped to the image (may be empty).
  func sourceRows(_ rows: Range<Int>) -> Range<Int> {
    TileGrid.clip(
      rows.lowerBound * stepH - originH, (rows.upperBound - 1) * stepH - originH + windowH, sourceH)
  }

  /// Source columns that tiles `columns` read, clipped to the image (may be empty).
  func sourceColumns(_ columns: Range<Int>) -> Range<Int> {
    TileGrid.clip(
      columns.lowerBound * stepW - originW, (columns.upperBound - 1) * stepW - originW + windowW, sourceW)
  }

  private static func clip(_ low: Int, _ high: Int, _ extent: Int) -> Range<Int> {
    let start = min(max(low, 0), extent)
    return start..<max(start, min(high, extent))
  }
}
