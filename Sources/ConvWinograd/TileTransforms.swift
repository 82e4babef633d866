internal import CConvKernels
import ConvCore

// Images to planes and back. A plane holds one position of all transformed tiles: planes of one block lie
// `planeStride` apart. NCHW images pass through a strip in which the channels are contiguous.

/// Strip elements that stay in the L2 cache beside the planes.
private let stripCapacity = 24 << 10

/// Calls `body` with uninitialised memory of the calling thread, which is kept for the next call. Not to be nested.
@inline(__always)
func withStrip<T: WinogradScalar>(of: T.Type, _ count: Int, _ body: (UnsafeMutablePointer<T>) -> Void) {
  guard let memory = vb_scratch(2, count * MemoryLayout<T>.stride) else {
    fatalError("out of memory: a strip of \(count) elements is missing")
  }
  body(memory.assumingMemoryBound(to: T.self))
}

/// Element order of an image and how its channels are cut into pieces of work.
struct ImageLayout: Sendable {
  let grid: TileGrid
  let channels: Int
  let format: MemoryFormat
  /// Channels of one piece of work.
  let chunk: Int

  var chunks: Int { (channels + chunk - 1) / chunk }

  func channelRange(_ index: Int) -> Range<Int> {
    index * chunk..<min(channels, (index + 1) * chunk)
  }

  /// The bands of a block of tiles, cut so that a strip holds what a band reads.
  func bands(of range: Range<Int>) -> [TileGrid.Band] {
    let width = (grid.columns - 1) * grid.stepW + grid.windowW
    let pixels = max(1, stripCapacity / chunk)
    let maxRows = max(1, (pixels / width - (grid.windowH - grid.stepH)) / grid.stepH)
    if format == .nhwc { return grid.bands(of: range, maxRows: maxRows, maxColumns: grid.columns) }
    let maxColumns = max(1, (pixels / grid.windowH - (grid.windowW - grid.stepW)) / grid.stepW)
    return grid.bands(of: range, maxRows: maxRows, maxColumns: maxColumns)
  }
}

/// Tiles that are transformed and multiplied together, as bands of both images: listed once in a plan, so that its executions
/// allocate nothing.
struct TileBlock: Sendable {
  let count: Int
  let source, target: [TileGrid.Band]

  /// Tiles 0..<`tiles` in blocks of `size`.
  static func all(of tiles: Int, by size: Int, source: ImageLayout, target: ImageLayout) -> [TileBlock] {
    stride(from: 0, to: tiles, by: size).map { first in
      let range = first..<min(tiles, first + size)
      return TileBlock(
        count: range.count, source: source.bands(of: range), target: target.bands(of: range))
    }
  }
}

/// Where transformed tiles are written.
struct PlaneTarget<T: WinogradScalar> {
  let base: UnsafeMutablePointer<T>
  let planeStride: Int
  /// Distance between tiles.
  let tileStride: Int
  /// Distance between chunks of channels; channels of one chunk are contiguous.
  let chunkStride: Int
}

/// Reads the windows of one band and some channels and writes them transformed, one element to each plane.
///
/// - Parameter chunk: where the channels go, in chunks of the target.
func transformInput<T: WinogradScalar>(
  _ image: ImageLayout, _ band: TileGrid.Band, chunk: Int, channels: Range<Int>, _ pair: TilePair,
  _ source: UnsafePointer<T>, _ target: PlaneTarget<T>
) {
  let grid = image.grid
  let rows = grid.sourceRows(band.rows)
  let columns = grid.sourceColumns(band.columns)
  let area = grid.sourceH * grid.sourceW
  let output = target.base + chunk * target.chunkStride + band.first * target.tileStride
  if image.format == .nhwc {
    let pixel = band.image * area + rows.lowerBound * grid.sourceW + columns.lowerBound
    transformWindows(
      grid, band, channels.count, pair, source + pixel * image.channels + channels.lowerBound,
      rowStride: grid.sourceW * image.channels, columnStride: image.channels, rows, columns, target, output)
    return
  }
  let first =
    source + (band.image * image.channels + channels.lowerBound) * area + rows.lowerBound * grid.sourceW
    + columns.lowerBound
  let (runs, run) =
    columns.count == grid.sourceW ? (1, rows.count * columns.count) : (rows.count, columns.count)
  withStrip(of: T.self, rows.count * columns.count * channels.count) { strip in
    for i in 0..<runs {
      T.transpose(
        channels.count, run, first + i * grid.sourceW, area, strip + i * run * channels.count, channels.count)
    }
    transformWindows(
      grid, band, channels.count, pair, strip, rowStride: columns.count * channels.count,
      columnStride: channels.count, rows, columns, target, output)
  }
}

/// `origin` is element (rows.lowerBound, columns.lowerBound) of the source.
private func transformWindows<T: WinogradScalar>(
  _ grid: TileGrid, _ band: TileGrid.Band, _ channels: Int, _ pair: TilePair, _ origin: UnsafePointer<T>,
  rowStride: Int, columnStride: Int, _ rows: Range<Int>, _ columns: Range<Int>, _ target: PlaneTarget<T>,
  _ output: UnsafeMutablePointer<T>
) {
  var layout = vb_transform_layout()
  layout.n = channels
  layout.in_row = rowStride
  layout.in_column = columnStride
  layout.out_row = pair.horizontal.rows * target.planeStride
  layout.out_column = target.planeStride
  layout.out_rows = UInt32(pair.vertical.rows)
  layout.out_columns = UInt32(pair.horizontal.rows)
  var output = output
  for row in band.rows {
    let top = row * grid.stepH - grid.originH
    let covered = grid.sourceRows(row..<row + 1)
    for column in band.columns {
      let left = column * grid.stepW - grid.originW
      let across = grid.sourceColumns(column..<column + 1)
      if covered.isEmpty || across.isEmpty {
        // Only padding: no element of the window exists.
        (layout.row0, layout.row1, layout.column0, layout.column1) = (0, 0, 0, 0)
        layout.prefetch_columns = 0
        T.transform(pair, &layout, origin, output, bias: nil)
      } else {
        layout.row0 = UInt32(covered.lowerBound - top)
        layout.row1 = UInt32(covered.upperBound - top)
        layout.column0 = UInt32(across.lowerBound - left)
        layout.column1 = UInt32(across.upperBound - left)
        layout.prefetch_columns = column + 1 < band.columns.upperBound ? UInt32(grid.stepW) : 0
        let input =
          origin + (covered.lowerBound - rows.lowerBound) * rowStride
          + (across.lowerBound - columns.lowerBound) * columnStride
        T.transform(pair, &layout, input, output, bias: nil)
      }
      output += target.tileStride
    }
  }
}

/// What follows the inverse transform.
struct OutputEpilogue<T: WinogradScalar> {
  var bias: UnsafePointer<T>?
  var relu: Bool
  var accumulate: Bool
  /// Where the winners of 2×2 pooling go, where the result is pooled: float32, all channels in one piece, tiles with an even
  /// number of rows and columns.
  var argmax: UnsafeMutablePointer<UInt8>?
}

/// Transforms the products of one band and chunk of channels back and writes them to the tiled image.
///
/// `planes` holds [plane][tile][channels] with `planeStride` between planes, `tileStride` between tiles. `image.grid` is the
/// tiled image's own grid.
func transformOutput<T: WinogradScalar>(
  _ image: ImageLayout, _ band: TileGrid.Band, chunk: Int, _ pair: TilePair, _ planes: UnsafePointer<T>,
  planeStride: Int, tileStride: Int, _ result: UnsafeMutablePointer<T>, _ epilogue: OutputEpilogue<T>
) {
  let grid = image.grid
  let channels = image.channelRange(chunk)
  let rows = grid.sourceRows(band.rows)
  let columns = grid.sourceColumns(band.columns)
  let area = grid.sourceH * grid.sourceW
  let input = planes + band.first * tileStride + channels.lowerBound
  let bias = epilogue.bias.map { $0 + channels.lowerBound }
  if let argmax = epilogue.argmax {
    // Rows of tiles stay in a strip until they are pooled: the whole image is never written.
    var band = band
    var input = input
    let height = band.rows
    for row in height {
      band.rows = row..<row + 1
      let rows = grid.sourceRows(band.rows)
      withStrip(of: T.self, rows.count * columns.count * channels.count) { strip in
        writeTiles(
          grid, band, channels.count, pair, input, planeStride: planeStride, tileStride: tileStride, strip,
          rowStride: columns.count * channels.count, columnStride: channels.count, rows, columns, bias,
          epilogue)
        for pooled in 0..<rows.count / 2 {
          let line = band.image * (grid.sourceH / 2) + rows.lowerBound / 2 + pooled
          let first = (line * (grid.sourceW / 2) + columns.lowerBound / 2) * image.channels
          Elementwise.maximumOfPairs(
            height: 2, width: columns.count, channels: channels.count,
            floats(strip + 2 * pooled * columns.count * channels.count), into: floats(result + first),
            winner: argmax + first)
        }
      }
      input += band.columns.count * tileStride
    }
    return
  }
  if image.format == .nhwc {
    let pixel = band.image * area + rows.lowerBound * grid.sourceW + columns.lowerBound
    writeTiles(
      grid, band, channels.count, pair, input, planeStride: planeStride, tileStride: tileStride,
      result + pixel * image.channels + channels.lowerBound, rowStride: grid.sourceW * image.channels,
      columnStride: image.channels, rows, columns, bias, epilogue)
    return
  }
  let first =
    result + (band.image * image.channels + channels.lowerBound) * area + rows.lowerBound * grid.sourceW
    + columns.lowerBound
  // Runs of pixels that are contiguous in one channel: whole rows together, else row by row.
  let (runs, run) =
    columns.count == grid.sourceW ? (1, rows.count * columns.count) : (rows.count, columns.count)
  withStrip(of: T.self, rows.count * columns.count * channels.count) { strip in
    if epilogue.accumulate {
      for i in 0..<runs {
        T.transpose(
          channels.count, run, first + i * grid.sourceW, area, strip + i * run * channels.count,
          channels.count)
      }
    }
    writeTiles(
      grid, band, channels.count, pair, input, planeStride: planeStride, tileStride: tileStride, strip,
      rowStride: columns.count * channels.count, columnStride: channels.count, rows, columns, bias, epilogue)
    for i in 0..<runs {
      T.transpose(
        run, channels.count, strip + i * run * channels.count, channels.count, first + i * grid.sourceW, area)
    }
  }
}

private func floats<T: WinogradScalar>(_ pointer: UnsafeMutablePointer<T>) -> UnsafeMutablePointer<Float> {
  UnsafeMutableRawPointer(pointer).assumingMemoryBound(to: Float.self)
}

/// `origin` is element (rows.lowerBound, columns.lowerBound) of the result.
private func writeTiles<T: WinogradScalar>(
  _ grid: TileGrid, _ band: TileGrid.Band, _ channels: Int, _ pair: TilePair, _ planes: UnsafePointer<T>,
  planeStride: Int, tileStride: Int, _ origin: UnsafeMutablePointer<T>, rowStride: Int, columnStride: Int,
  _ rows: Range<Int>, _ columns: Range<Int>, _ bias: UnsafePointer<T>?, _ epilogue: OutputEpilogue<T>
) {
  var layout = vb_transform_layout()
  layout.n = channels
  layout.in_row = pair.horizontal.columns * planeStride
  layout.in_column = planeStride
  layout.row1 = UInt32(pair.vertical.columns)
  layout.column1 = UInt32(pair.horizontal.columns)
  layout.out_row = rowStride
  layout.out_column = columnStride
  layout.accumulate = epilogue.accumulate ? 1 : 0
  layout.relu = epilogue.relu ? 1 : 0
  var input = planes
  for row in band.rows {
    let height = grid.sourceRows(row..<row + 1)
    layout.out_rows = UInt32(height.count)
    for column in band.columns {
      let width = grid.sourceColumns(column..<column + 1)
      layout.out_columns = UInt32(width.count)
      T.transform(
        pair, &layout, input,
        origin + (height.lowerBound - rows.lowerBound) * rowStride
          + (width.lowerBound - columns.lowerBound) * columnStride, bias: bias)
      input += tileStride
    }
  }
}
