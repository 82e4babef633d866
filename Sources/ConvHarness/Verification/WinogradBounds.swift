import ConvCore

/// The magnitudes that a Winograd result is made of: |Aᵀ|(Σ |G||w||Gᵀ| ⊙ |Bᵀ||x||B|)|A| at the result's own tile.
///
/// Each of the four stages is a sum of products with known coefficients, so a relative error of δ in any of them
/// changes the result by at most δ times this number (Barabasz, Anderson, Soodhalter, Gregg: *Error analysis and improving
/// the accuracy of Winograd convolution for deep neural networks*, arXiv 1803.10986, Theorem 3). The chain has as many
/// roundings as `transformRoundings` plus the summation depth in the transformed domain.
///
/// Tiles, in each residue class of the dilation l: result p belongs to class ρ = p mod l, place p′ = p / l, tile p′ / m,
/// element p′ mod m; element j of the tile's input window is at (tile·m + j)·l + ρ − padding. backwardData is a
/// forward problem on dy with the flipped filter and padding (R − 1)·l − padding. For backwardFilter tiles of dw with m × m taps (one,
/// where the whole filter fits) are the outputs, tiles of dy with r × r elements the filters, and the sum goes over all tiles of dy
/// and images.
/// Where a dilation splits dx into sub-images, these begin at the padded coordinate h + padding.
struct WinogradBounds {
  private let vertical: Matrices
  private let horizontal: Matrices
  private let data: ProblemData

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

  // MARK: forward and backwardData

  /// A tile: image, result depth, residues and tile numbers of both axes.
  private struct TileKey: Hashable {
    let n, d, residueH, residueW, h, w: Int
  }

  private func convolution<T: ConvScalar>(
    _ grid: SampleGrid, _ source: UnsafePointer<T>, w: UnsafePointer<T>, _ pool: WorkerPool
  ) -> [Double] {
    let pr = grid.problem
    let isForward = grid.pass == .forward
    let depth = isForward ? pr.cPerGroup : pr.kPerGroup
    let area = vertical.tile * horizontal.tile
    let columns = grid.columns
    let groupSize = isForward ? pr.kPerGroup : pr.cPerGroup
    // |G||w||Gᵀ| per depth tap, column and summed channel.
    var filters = [Double](repeating: 0, count: pr.filter.d * columns.count * depth * area)
    filters.withUnsafeMutableBufferPointer { filters in
      pool.parallelFor(pr.filter.d * columns.count) { task in
        let t = task / columns.count
        let column = columns[task % columns.count]
        var taps = [Double](repeating: 0, count: vertical.r * horizontal.r)
        var scratch = [Double](repeating: 0, count: vertical.tile * horizontal.r)
        for i in 0..<depth {
          let (k, c) =
            isForward ? (column, i) : (column / pr.cPerGroup * pr.kPerGroup + i, column % pr.cPerGroup)
          gatherTaps(w, k, c, t, flipped: !isForward, into: &taps)
          sandwich(
            vertical.g, vertical.tile, vertical.r, taps, horizontal.g, horizontal.tile, horizontal.r,
            &scratch, filters.baseAddress! + (task * depth + i) * area)
        }
      }
    }
    // Samples by tile.
    var members: [TileKey: [Int]] = [:]
    for (index, row) in grid.rows.enumerated() {
      members[key(row, isForward), default: []].append(index)
    }
    let tiles = members.map { ($0.key, $0.value) }
    var result = [Double](repeating: 0, count: grid.count)
    result.withUnsafeMutableBufferPointer { result in
      filters.withUnsafeBufferPointer { filters in
        pool.parallelFor(tiles.count) { task in
          let (tile, rows) = tiles[task]
          var products = [Double](repeating: 0, count: columns.count * area)
          var inputs = [Double](repeating: 0, count: depth * area)
          var window = [Double](repeating: 0, count: area)
          var scratch = [Double](repeating: 0, count: area)
          for group in Set(columns.map { $0 / groupSize }).sorted() {
            for t in 0..<pr.filter.d {
              var isEmpty = true
              inputs.withUnsafeMutableBufferPointer { inputs in
                for i in 0..<depth {
                  let filled = gatherWindow(
                    source, isForward: isForward, channel: group * depth + i, tile, t, into: &window)
                  isEmpty = isEmpty && !filled
                  sandwich(
                    vertical.bt, vertical.tile, vertical.tile, window, horizontal.bt, horizontal.tile,
                    horizontal.tile, &scratch, inputs.baseAddress! + i * area)
                }
              }
              if isEmpty { continue }
              for (j, column) in columns.enumerated() where column / groupSize == group {
                let filter = filters.baseAddress! + (t * columns.count + j) * depth * area
                products.withUnsafeMutableBufferPointer { products in
                  inputs.withUnsafeBufferPointer { inputs in
                    let sum = products.baseAddress! + j * area
                    for i in 0..<depth {
                      for e in 0..<area { sum[e] += inputs[i * area + e] * filter[i * area + e] }
                    }
                  }
                }
              }
            }
          }
          var outputs = [Double](repeating: 0, count: vertical.m * horizontal.m)
          for j in columns.indices {
            let product = Array(products[j * area..<(j + 1) * area])
            outputs.withUnsafeMutableBufferPointer {
              sandwich(
                vertical.at, vertical.m, vertical.tile, product, horizontal.at, horizontal.m, horizontal.tile,
                &scratch, $0.baseAddress!)
            }
            for row in rows {
              let at = grid.rows[row].at
              let h = place(at, 1, isForward) / pr.dilation.h % vertical.m
              let w = place(at, 2, isForward) / pr.dilation.w % horizontal.m
              result[row * columns.count + j] = outputs[h * horizontal.m + w]
            }
          }
        }
      }
    }
    return result
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

  /// The taps of one depth, as |w|, in the order in which they meet the window.
  private func gatherTaps<T: ConvScalar>(
    _ w: UnsafePointer<T>, _ k: Int, _ c: Int, _ t: Int, flipped: Bool, into taps: inout [Double]
  ) {
    let pr = data.problem
    let plane = w + ((k * pr.cPerGroup + c) * pr.filter.d + t) * pr.filter.h * pr.filter.w
    for i in 0..<vertical.r {
      for j in 0..<horizontal.r {
        var value = 0.0
        if i < pr.filter.h && j < pr.filter.w {
          let r = flipped ? pr.filter.h - 1 - i : i
          let s = flipped ? pr.filter.w - 1 - j : j
          value = abs(Double(plane[r * pr.filter.w + s]))
        }
        taps[i * horizontal.r + j] = value
      }
    }
  }

  /// The window of the source image that a tile reads for one depth tap, as absolute values, zero outside the image.
  private func gatherWindow<T: ConvScalar>(
    _ source: UnsafePointer<T>, isForward: Bool, channel: Int, _ tile: TileKey, _ t: Int,
    into window: inout [Double]
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
          value = abs(Double(plane[h * extent.w + w]))
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

  // MARK: backwardFilter

  /// A tile of dw: channel k (in `window(_:)` the group), depth tap, tile numbers.
  private struct FilterTile: Hashable {
    let k, t, h, w: Int

    /// What the window of x depends on.
    func window(_ problem: ConvProblem) -> FilterTile {
      FilterTile(k: k / problem.kPerGroup, t: t, h: h, w: w)
    }
  }

  private func backwardFilter<T: ConvScalar>(
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

  // MARK: Small products

  /// out[a × d] = L[a × b] · X[b × c] · R[d × c]ᵀ, all row-major.
  @inline(__always)
  private func sandwich(
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
