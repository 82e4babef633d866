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

  /// Magnitudes of backwardFilter.
  func backwardFilter<T: ConvScalar>(
    _ grid: SampleGrid, x: UnsafePointer<T>, dy: UnsafePointer<T>, _ pool: WorkerPool
  ) -> [Double] {
    let pr = grid.problem
    let area = vertical.tile * horizontal.tile
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
    let tilesH = countTiles(pr.output.h, pr.dilation.h, vertical.r)
    let tilesW = countTiles(pr.output.w, pr.dilation.w, horizontal.r)
    let tiles = pr.n * pr.output.d * tilesH * tilesW
    let slots = min(16, tiles)
    let sumsPerSlot = order.count * columns.count * area
    var sums = [Double](repeating: 0, count: slots * sumsPerSlot)
    sums.withUnsafeMutableBufferPointer { sums in
      pool.parallelFor(slots) { slot in
        var window = [Double](repeating: 0, count: area)
        var scratch = [Double](repeating: 0, count: area)
        var taps = [Double](repeating: 0, count: vertical.r * horizontal.r)
        var inputs = [Double](repeating: 0, count: area * columns.count * windows.count)
        var filter = [Double](repeating: 0, count: area)
        for index in slot * tiles / slots..<(slot + 1) * tiles / slots {
          let tileW = index % tilesW
          let tileH = index / tilesW % tilesH
          let z = index / (tilesW * tilesH) % pr.output.d
          let n = index / (tilesW * tilesH * pr.output.d)
          for (number, place) in windows.enumerated() {
            for (j, column) in columns.enumerated() {
              gatherInput(x, n, column, place, z, tileH, tileW, into: &window)
              inputs.withUnsafeMutableBufferPointer {
                sandwich(
                  vertical.bt, vertical.tile, vertical.tile, window, horizontal.bt, horizontal.tile,
                  horizontal.tile, &scratch, $0.baseAddress! + (number * columns.count + j) * area)
              }
            }
          }
          for (o, place) in order.enumerated() {
            gatherGradient(dy, n, place.k, z, tileH, tileW, into: &taps)
            filter.withUnsafeMutableBufferPointer {
              sandwich(
                vertical.g, vertical.tile, vertical.r, taps, horizontal.g, horizontal.tile, horizontal.r,
                &scratch, $0.baseAddress!)
            }
            inputs.withUnsafeBufferPointer { inputs in
              filter.withUnsafeBufferPointer { filter in
                for j in columns.indices {
                  let from = inputs.baseAddress! + (windowOfPlace[o] * columns.count + j) * area
                  let to = sums.baseAddress! + slot * sumsPerSlot + (o * columns.count + j) * area
                  for e in 0..<area { to[e] += from[e] * filter[e] }
                }
              }
            }
          }
        }
      }
    }
    var result = [Double](repeating: 0, count: grid.count)
    var outputs = [Double](repeating: 0, count: vertical.m * horizontal.m)
    var scratch = [Double](repeating: 0, count: area)
    var total = [Double](repeating: 0, count: area)
    for o in order.indices {
      for j in columns.indices {
        for e in 0..<area {
          total[e] = (0..<slots).reduce(0) {
            $0 + sums[$1 * sumsPerSlot + (o * columns.count + j) * area + e]
          }
        }
        outputs.withUnsafeMutableBufferPointer {
          sandwich(
            vertical.at, vertical.m, vertical.tile, total, horizontal.at, horizontal.m, horizontal.tile,
            &scratch,
            $0.baseAddress!)
        }
        for (index, row) in grid.rows.enumerated() where placeOfRow[index] == o {
          result[index * columns.count + j] =
            outputs[row.at.h % vertical.m * horizontal.m + row.at.w % horizontal.m]
        }
      }
    }
    return result
  }

  /// Tiles of `size` outputs in all residue classes of one axis.
  private func countTiles(_ output: Int, _ dilation: Int, _ size: Int) -> Int {
    let perResidue = (output + dilation - 1) / dilation
    return (perResidue + size - 1) / size * dilation
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
    into window: inout [Double]
  ) {
    let pr = data.problem
    let channel = place.k * pr.cPerGroup + column
    let d = z * pr.stride.d + place.t * pr.dilation.d - pr.padding.front
    let plane = x + ((n * pr.c + channel) * pr.input.d + d) * pr.input.h * pr.input.w
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
        window[i * horizontal.tile + j] = inside ? abs(Double(plane[h * pr.input.w + w])) : 0
      }
    }
  }

  private func gatherGradient<T: ConvScalar>(
    _ dy: UnsafePointer<T>, _ n: Int, _ k: Int, _ z: Int, _ tileH: Int, _ tileW: Int,
    into taps: inout [Double]
  ) {
    let pr = data.problem
    let plane = dy + ((n * pr.k + k) * pr.output.d + z) * pr.output.h * pr.output.w
    let startH = tileStart(1, tileH, vertical.r)
    let startW = tileStart(2, tileW, horizontal.r)
    for i in 0..<vertical.r {
      let p = (startH.place + i) * pr.dilation.h + startH.residue
      for j in 0..<horizontal.r {
        let q = (startW.place + j) * pr.dilation.w + startW.residue
        let inside = p < pr.output.h && q < pr.output.w
        taps[i * horizontal.r + j] = inside ? abs(Double(plane[p * pr.output.w + q])) : 0
      }
    }
  }
}
