import ConvCore

/// Results that are images.
///
/// Tiles, in each residue class of the dilation l: result p belongs to class ρ = p mod l, place p′ = p / l, tile p′ / m,
/// element p′ mod m; element j of the tile's input window is at (tile·m + j)·l + ρ − padding. backwardData is a
/// forward problem on dy with the flipped filter and padding (R − 1)·l − padding.
/// Where a dilation splits dx into sub-images, these begin at the padded coordinate h + padding.
extension WinogradBounds {
  /// A tile: image, result depth, residues and tile numbers of both axes.
  private struct TileKey: Hashable {
    let n, d, residueH, residueW, h, w: Int
  }

  /// Values and variance proxies of forward and backwardData.
  func convolution<T: ConvScalar>(
    _ grid: SampleGrid, _ source: UnsafePointer<T>, w: UnsafePointer<T>, _ pool: WorkerPool
  ) -> Result {
    let pr = grid.problem
    let isForward = grid.pass == .forward
    let depth = isForward ? pr.cPerGroup : pr.kPerGroup
    let columns = grid.columns
    let groupSize = isForward ? pr.kPerGroup : pr.cPerGroup
    let filters = transformedFilters(w, columns, depth, isForward, pool)
    // Samples by tile.
    var members: [TileKey: [Int]] = [:]
    for (index, row) in grid.rows.enumerated() {
      members[key(row, isForward), default: []].append(index)
    }
    let tiles = members.map { ($0.key, $0.value) }
    let groups = Set(columns.map { $0 / groupSize }).sorted()
    var result = Result(values: [Double](repeating: 0, count: grid.count), squares: [])
    result.squares = result.values
    result.values.withUnsafeMutableBufferPointer { values in
      result.squares.withUnsafeMutableBufferPointer { squares in
        pool.parallelFor(tiles.count) { task in
          let (tile, rows) = tiles[task]
          var products = [ProductSums](repeating: ProductSums(area: area), count: columns.count)
          var inputs = TransformedTiles(count: depth, area: area)
          for group in groups {
            for t in 0..<pr.filter.d {
              guard
                inputs.fill(
                  inputTransform,
                  { index, window in
                    gatherWindow(
                      source, isForward: isForward, channel: group * depth + index, tile, t, into: window)
                  })
              else { continue }
              for (j, column) in columns.enumerated() where column / groupSize == group {
                let first = (t * columns.count + j) * depth
                for i in 0..<depth { products[j].add(filters, first + i, inputs, i) }
              }
            }
          }
          for j in columns.indices {
            let outputs = inverse(products[j])
            for row in rows {
              let at = grid.rows[row].at
              let h = place(at, 1, isForward) / pr.dilation.h % vertical.m
              let w = place(at, 2, isForward) / pr.dilation.w % horizontal.m
              values[row * columns.count + j] = outputs.values[h * horizontal.m + w][0]
              squares[row * columns.count + j] = outputs.squares[h * horizontal.m + w][0]
            }
          }
        }
      }
    }
    return result
  }

  /// G w Gᵀ per depth tap, column and summed channel.
  private func transformedFilters<T: ConvScalar>(
    _ w: UnsafePointer<T>, _ columns: [Int], _ depth: Int, _ isForward: Bool, _ pool: WorkerPool
  ) -> TransformedTiles {
    let pr = data.problem
    var filters = TransformedTiles(count: pr.filter.d * columns.count * depth, area: area)
    filters.fillAll(filterTransform, pool) { index, taps in
      let (i, j, t) = (index % depth, index / depth % columns.count, index / depth / columns.count)
      let column = columns[j]
      let (k, c) =
        isForward ? (column, i) : (column / pr.cPerGroup * pr.kPerGroup + i, column % pr.cPerGroup)
      return gatherTaps(w, k, c, t, flipped: !isForward, into: taps)
    }
    return filters
  }

  /// The coordinate that tiles are counted in: the result's own, or the padded one where a dilation splits dx.
  private func place(_ at: Extent, _ axis: Int, _ isForward: Bool) -> Int {
    isForward || !splitsAxes ? at[axis] : at[axis] + data.problem.padding.before[axis]
  }

  /// Whether the core's dilation lowering cuts both axes into sub-images.
  private var splitsAxes: Bool { data.problem.dilation.h > 1 || data.problem.dilation.w > 1 }

  private func key(_ row: SampleGrid.Row, _ isForward: Bool) -> TileKey {
    let dilation = data.problem.dilation
    let (h, w) = (place(row.at, 1, isForward), place(row.at, 2, isForward))
    return TileKey(
      n: row.first, d: row.at.d, residueH: h % dilation.h, residueW: w % dilation.w,
      h: h / dilation.h / vertical.m, w: w / dilation.w / horizontal.m)
  }

  /// The taps of one depth, in the order in which they meet the window.
  private func gatherTaps<T: ConvScalar>(
    _ w: UnsafePointer<T>, _ k: Int, _ c: Int, _ t: Int, flipped: Bool, into taps: TileLane
  ) -> Bool {
    let pr = data.problem
    let plane = w + ((k * pr.cPerGroup + c) * pr.filter.d + t) * pr.filter.h * pr.filter.w
    for i in 0..<vertical.r {
      for j in 0..<horizontal.r {
        var value = 0.0
        if i < pr.filter.h && j < pr.filter.w {
          let r = flipped ? pr.filter.h - 1 - i : i
          let s = flipped ? pr.filter.w - 1 - j : j
          value = Double(plane[r * pr.filter.w + s])
        }
        taps[i * horizontal.r + j] = value
      }
    }
    return true
  }

  /// The window of the source image that a tile reads for one depth tap, zero outside the image; false where it is all outside.
  private func gatherWindow<T: ConvScalar>(
    _ source: UnsafePointer<T>, isForward: Bool, channel: Int, _ tile: TileKey, _ t: Int,
    into window: TileLane
  ) -> Bool {
    let pr = data.problem
    let extent = isForward ? pr.input : pr.output
    let channels = isForward ? pr.c : pr.k
    let d: Int
    if isForward {
      d = tile.d * pr.stride.d + t * pr.dilation.d - pr.padding.front
      guard d >= 0, d < extent.d else { return false }
    } else {
      let shifted = tile.d + pr.padding.front - t * pr.dilation.d
      guard shifted >= 0, shifted % pr.stride.d == 0, shifted / pr.stride.d < extent.d else { return false }
      d = shifted / pr.stride.d
    }
    let plane = source + ((tile.n * channels + channel) * extent.d + d) * extent.h * extent.w
    var filled = false
    for i in 0..<vertical.tile {
      let h = position(1, (tile.h * vertical.m + i), tile.residueH, isForward)
      for j in 0..<horizontal.tile {
        let w = position(2, (tile.w * horizontal.m + j), tile.residueW, isForward)
        var value = 0.0
        if h >= 0 && h < extent.h && w >= 0 && w < extent.w {
          value = Double(plane[h * extent.w + w])
          filled = true
        }
        window[i * horizontal.tile + j] = value
      }
    }
    return filled
  }

  /// Source position of window element `index` (in units of the dilation); outside the image where there is padding.
  private func position(_ axis: Int, _ index: Int, _ residue: Int, _ isForward: Bool) -> Int {
    let pr = data.problem
    let (l, pad) = (pr.dilation[axis], pr.padding.before[axis])
    if isForward { return index * l + residue - pad }
    // Padding of the mirrored problem is (R − 1)·l − pad; the padded coordinate has pad in it already.
    return index * l + residue - (pr.filter[axis] - 1) * l + (splitsAxes ? 0 : pad)
  }
}
