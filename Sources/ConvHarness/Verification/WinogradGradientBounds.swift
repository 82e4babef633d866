import ConvCore

/// Results that are filter gradients.
///
/// Tiles of dw with m × m taps are the outputs, tiles of dy with r × r elements the filters, and the sum goes over all tiles of dy and
/// images. An engine's own plan takes one tile for the whole filter; where the core derives the gradient from an engine's forward
/// pass, dy is the filter and dw the image that is cut into tiles.
extension WinogradBounds {
  /// A tile of dw: channel k (in `window(_:)` the group), depth tap, tile numbers.
  private struct FilterTile: Hashable {
    let k, t, h, w: Int

    /// What the window of x depends on.
    func window(_ problem: ConvProblem) -> FilterTile {
      FilterTile(k: k / problem.kPerGroup, t: t, h: h, w: w)
    }
  }

  /// Values and variance proxies of backwardFilter.
  func backwardFilter<T: ConvScalar>(
    _ grid: SampleGrid, x: UnsafePointer<T>, dy: UnsafePointer<T>, _ pool: WorkerPool
  ) -> Result {
    let pr = grid.problem
    let columns = grid.columns
    // Distinct (k, depth tap, tile of dw), and the windows of x that they need.
    var order: [FilterTile] = []
    var placeOfRow: [Int] = []
    var known: [FilterTile: Int] = [:]
    for row in grid.rows {
      let place = FilterTile(
        k: row.first, t: row.at.d, h: row.at.h / vertical.m, w: row.at.w / horizontal.m)
      if known[place] == nil {
        known[place] = order.count
        order.append(place)
      }
      placeOfRow.append(known[place]!)
    }
    let windows = Array(Set(order.map { $0.window(pr) }))
    let windowOfPlace = order.map { windows.firstIndex(of: $0.window(pr))! }
    // The tiles of dy depend on k alone.
    let channels = Array(Set(order.map(\.k))).sorted()
    let channelOfPlace = order.map { channels.firstIndex(of: $0.k)! }
    let tilesH = WinogradBounds.countTiles(pr.output.h, pr.dilation.h, vertical.r)
    let tilesW = WinogradBounds.countTiles(pr.output.w, pr.dilation.w, horizontal.r)
    let tiles = pr.n * pr.output.d * tilesH * tilesW
    let slots = min(16, tiles)
    let perSlot = order.count * columns.count
    var sums = [ProductSums](repeating: ProductSums(area: area), count: slots * perSlot)
    sums.withUnsafeMutableBufferPointer { sums in
      pool.parallelFor(slots) { slot in
        var inputs = TransformedTiles(count: windows.count * columns.count, area: area)
        var gradients = TransformedTiles(count: channels.count, area: area)
        for index in slot * tiles / slots..<(slot + 1) * tiles / slots {
          let (tileW, tileH) = (index % tilesW, index / tilesW % tilesH)
          let z = index / (tilesW * tilesH) % pr.output.d
          let n = index / (tilesW * tilesH * pr.output.d)
          let hasInput = inputs.fill(inputTransform) { item, window in
            gatherInput(
              x, n, columns[item % columns.count], windows[item / columns.count], z, tileH, tileW,
              into: window)
          }
          guard hasInput else { continue }
          _ = gradients.fill(filterTransform) { item, taps in
            gatherGradient(dy, n, channels[item], z, tileH, tileW, into: taps)
          }
          for o in order.indices {
            for j in columns.indices {
              sums[slot * perSlot + o * columns.count + j].add(
                gradients, channelOfPlace[o], inputs, windowOfPlace[o] * columns.count + j)
            }
          }
        }
      }
    }
    var result = Result(values: [Double](repeating: 0, count: grid.count), squares: [])
    result.squares = result.values
    for o in order.indices {
      let rows = grid.rows.indices.filter { placeOfRow[$0] == o }
      for j in columns.indices {
        var total = ProductSums(area: area)
        for slot in 0..<slots { total.add(sums[slot * perSlot + o * columns.count + j]) }
        let outputs = inverse(total)
        for index in rows {
          let at = grid.rows[index].at
          let element = at.h % vertical.m * horizontal.m + at.w % horizontal.m
          result.values[index * columns.count + j] = outputs.values[element][0]
          result.squares[index * columns.count + j] = outputs.squares[element][0]
        }
      }
    }
    return result
  }

  /// First output and step of tile `index` of an axis: residue classes one after the other.
  private func tileStart(_ axis: Int, _ index: Int, _ size: Int) -> (place: Int, residue: Int) {
    let pr = data.problem
    let perResidue = (pr.output[axis] + pr.dilation[axis] - 1) / pr.dilation[axis]
    let tilesPerResidue = (perResidue + size - 1) / size
    return (index % tilesPerResidue * size, index / tilesPerResidue)
  }

  private func gatherInput<T: ConvScalar>(
    _ x: UnsafePointer<T>, _ n: Int, _ column: Int, _ place: FilterTile, _ z: Int, _ tileH: Int, _ tileW: Int,
    into window: TileLane
  ) -> Bool {
    let pr = data.problem
    let channel = place.k * pr.cPerGroup + column
    let d = z * pr.stride.d + place.t * pr.dilation.d - pr.padding.front
    let plane = x + ((n * pr.c + channel) * pr.input.d + d) * pr.input.h * pr.input.w
    var filled = false
    var startH = tileStart(1, tileH, vertical.r)
    var startW = tileStart(2, tileW, horizontal.r)
    startH.place += place.h * vertical.m
    startW.place += place.w * horizontal.m
    for i in 0..<vertical.tile {
      let h = ((startH.place + i) * pr.dilation.h + startH.residue) - pr.padding.top
      for j in 0..<horizontal.tile {
        let w = ((startW.place + j) * pr.dilation.w + startW.residue) - pr.padding.left
        let inside =
          d >= 0 && d < pr.input.d && h >= 0 && h < pr.input.h && w >= 0 && w < pr.input.w
        window[i * horizontal.tile + j] = inside ? Double(plane[h * pr.input.w + w]) : 0
        filled = filled || inside
      }
    }
    return filled
  }

  private func gatherGradient<T: ConvScalar>(
    _ dy: UnsafePointer<T>, _ n: Int, _ k: Int, _ z: Int, _ tileH: Int, _ tileW: Int,
    into taps: TileLane
  ) -> Bool {
    let pr = data.problem
    let plane = dy + ((n * pr.k + k) * pr.output.d + z) * pr.output.h * pr.output.w
    let startH = tileStart(1, tileH, vertical.r)
    let startW = tileStart(2, tileW, horizontal.r)
    for i in 0..<vertical.r {
      let p = (startH.place + i) * pr.dilation.h + startH.residue
      for j in 0..<horizontal.r {
        let q = (startW.place + j) * pr.dilation.w + startW.residue
        let inside = p < pr.output.h && q < pr.output.w
        taps[i * horizontal.r + j] = inside ? Double(plane[p * pr.output.w + q]) : 0
      }
    }
    return true
  }
}
