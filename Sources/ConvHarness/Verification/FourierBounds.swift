import ConvCore
import Foundation

/// The variance proxies of Fourier-domain results, in units of u²: energies of tiles and filters instead of values, for a transform
/// spreads what it rounds over a tile.
///
/// Let L be the elements of a tile, X and W the transforms of a tile x and a filter w of one channel, M = Σ X·W, y the tile's inverse
/// transform. By Parseval's identity Σ|X|² = L‖x‖², whatever the level of the transform.
///
/// - **One butterfly** a ± ωb rounds products (|b|²), their sums (|ωb|²), the additions (|a ± ωb|²), and ω itself is rounded (|b|²).
///   |a|² and |b|² are half of what comes out, so that a level adds `perLevel` = 5/2 times the energy that passes it: the transform of x
///   has errors of (5/2)·log₂L·L‖x‖² in all (J. C. Schatzman: *Accuracy of the discrete Fourier transform and the fast Fourier
///   transform*, SIAM J. Sci. Comput. 17, 1996, finds the same growth with a constant of 0.6²); packing real tiles takes two levels more.
/// - **Errors that are white** meet the other operand's mean energy: X's errors times W make (5/2)·log₂L·‖x‖²‖w‖²/L of a result's
///   square, W's the same, the products' own (two roundings of each part) 2·‖x‖²‖w‖²/L. What is not white is the mean of the data,
///   whose errors stay at frequency zero: (Σx)²(Σw)²/L² is added to ‖x‖²‖w‖²/L. The sum over channels of both is E.
/// - **The sum over channels** is one of `SumRoundings` in each frequency: Σ|M|²/L² = ȳ², the mean square of the tile's results,
///   stands in the place of y², E in that of Q; Σs² of a result's terms counts with one of all taps, as sums over channels have.
/// - **The inverse transform** adds (5/2)·log₂L·ȳ², the result's rounding y².
///
/// ȳ² is at least E, and at least what is known: the largest y² of a tile's samples, and the mean of their image's in that channel.
///
/// A result p lies in tile p / step; the tile's window begins at (p / step)·step·u − padding in x and has the transform's size,
/// or the size that its results read where that is larger.
struct FourierBounds {
  let height, width, stepH, stepW, depth: Int
  let data: ProblemData

  /// Square roundings of a level, relative to the energy that passes it.
  static let perLevel = 2.5

  /// Levels of a transform of a tile, and two that pack real tiles.
  private var levels: Double { max(1, log2(Double(height * width))) + 2 }
  private var elements: Double { Double(height * width) }

  /// Of the products' sums, in each frequency.
  var sums: SumRoundings { SumRoundings(.unknown(depth: depth), terms: depth) }

  /// Roundings that reach one result: three transforms of every summed tile.
  var roundings: Double { 10 * elements * levels * Double(2 * depth + 1) }

  /// The proxies of all samples, rows × columns.
  func squares(_ expectation: Expectation, pool: WorkerPool) -> [Double] {
    switch data.elementType {
    case .float64: evaluate(expectation, pool, as: Double.self)
    default: evaluate(expectation, pool, as: Float.self)
    }
  }

  private func evaluate<T: ConvScalar>(
    _ expectation: Expectation, _ pool: WorkerPool, as: T.Type
  ) -> [Double] {
    let (grid, values) = (expectation.grid, expectation.values)
    let (first, second) = data.operands(of: grid.pass)
    let energies = first.withUnsafePointer(as: T.self) { a in
      second.withUnsafePointer(as: T.self) { b in
        grid.pass == .backwardFilter
          ? backwardFilter(grid, x: a, dy: b, pool) : convolution(grid, a, w: b, pool)
      }
    }
    let means = tileMeans(grid, values)
    let least =
      ErrorBounds.leastRounding(data.elementType) * (2 * Double(depth) + FourierBounds.perLevel * levels)
    let sums = sums
    let transform = FourierBounds.perLevel * levels
    // A chain over channels has one of the taps' partial sums each.
    let share = min(1, Double(depth) / Double(max(1, data.problem.summationDepth(grid.pass))))
    return energies.indices.map { i in
      let energy = energies[i]
      let mean = max(energy, means[i])
      return 2 * transform * energy + energy
        + sums.squares(total: mean.squareRoot(), terms: energy, path: share * expectation.paths[i])
        + transform * mean + values[i] * values[i] + least
    }
  }

  /// For each sample the largest y² of its tile's samples, or the mean of its image's in the same channel where that is more.
  private func tileMeans(_ grid: SampleGrid, _ values: [Double]) -> [Double] {
    let columns = grid.columns.count
    var tiles: [TileKey: [Double]] = [:]
    var images: [Int: (sum: [Double], count: Double)] = [:]
    func key(_ row: SampleGrid.Row) -> TileKey {
      grid.pass == .backwardFilter
        ? TileKey(n: row.first, d: row.at.d, h: 0, w: 0)
        : TileKey(n: row.first, d: row.at.d, h: row.at.h / stepH, w: row.at.w / stepW)
    }
    for (i, row) in grid.rows.enumerated() {
      let squares = (0..<columns).map { values[i * columns + $0] * values[i * columns + $0] }
      let key = key(row)
      tiles[key] = zip(tiles[key] ?? squares, squares).map { max($0, $1) }
      let known = images[row.first] ?? ([Double](repeating: 0, count: columns), 0)
      images[row.first] = (zip(known.sum, squares).map { $0 + $1 }, known.count + 1)
    }
    var result: [Double] = []
    result.reserveCapacity(values.count)
    for row in grid.rows {
      let (largest, image) = (tiles[key(row)]!, images[row.first]!)
      for j in 0..<columns { result.append(max(largest[j], image.sum[j] / image.count)) }
    }
    return result
  }

  /// ‖·‖² and Σ of the elements of a tile, and what two operands' make of a result's square.
  private struct Energy {
    var square = 0.0, sum = 0.0

    @inline(__always)
    mutating func add(_ value: Double) {
      square += value * value
      sum += value
    }

    @inline(__always)
    func product(_ other: Energy, elements: Double) -> Double {
      let mean = sum * other.sum / elements
      return square * other.square / elements + mean * mean
    }
  }

  // MARK: forward and backwardData

  private struct TileKey: Hashable {
    let n, d, h, w: Int
  }

  private func convolution<T: ConvScalar>(
    _ grid: SampleGrid, _ source: UnsafePointer<T>, w: UnsafePointer<T>, _ pool: WorkerPool
  ) -> [Double] {
    let pr = grid.problem
    let isForward = grid.pass == .forward
    let depth = isForward ? pr.cPerGroup : pr.kPerGroup
    let groupSize = isForward ? pr.kPerGroup : pr.cPerGroup
    let columns = grid.columns
    let plane = pr.filter.h * pr.filter.w
    // Per depth tap, column and summed channel.
    var filters = [Energy](repeating: Energy(), count: pr.filter.d * columns.count * depth)
    for t in 0..<pr.filter.d {
      for (j, column) in columns.enumerated() {
        for i in 0..<depth {
          let (k, c) =
            isForward ? (column, i) : (column / pr.cPerGroup * pr.kPerGroup + i, column % pr.cPerGroup)
          let taps = w + ((k * pr.cPerGroup + c) * pr.filter.d + t) * plane
          filters[(t * columns.count + j) * depth + i] = energy(taps, plane)
        }
      }
    }
    var members: [TileKey: [Int]] = [:]
    for (index, row) in grid.rows.enumerated() {
      let key = TileKey(n: row.first, d: row.at.d, h: row.at.h / stepH, w: row.at.w / stepW)
      members[key, default: []].append(index)
    }
    let tiles = members.map { ($0.key, $0.value) }
    let groups = Set(columns.map { $0 / groupSize }).sorted()
    var result = [Double](repeating: 0, count: grid.count)
    result.withUnsafeMutableBufferPointer { result in
      pool.parallelFor(tiles.count) { task in
        let (tile, rows) = tiles[task]
        var sums = [Double](repeating: 0, count: columns.count)
        for t in 0..<pr.filter.d {
          guard let d = sourceDepth(tile.d, tap: t, isForward) else { continue }
          let (h, w) = (
            window(1, tile.h, stepH, height, isForward), window(2, tile.w, stepW, width, isForward)
          )
          for group in groups {
            for i in 0..<depth {
              let input = windowEnergy(source, isForward, tile.n, group * depth + i, d, h, w)
              for (j, column) in columns.enumerated() where column / groupSize == group {
                sums[j] += input.product(filters[(t * columns.count + j) * depth + i], elements: elements)
              }
            }
          }
        }
        for row in rows {
          for j in columns.indices { result[row * columns.count + j] = sums[j] }
        }
      }
    }
    return result
  }

  private func sourceDepth(_ d: Int, tap: Int, _ isForward: Bool) -> Int? {
    let pr = data.problem
    if isForward {
      let x = d * pr.stride.d + tap * pr.dilation.d - pr.padding.front
      return x >= 0 && x < pr.input.d ? x : nil
    }
    let shifted = d + pr.padding.front - tap * pr.dilation.d
    guard shifted >= 0, shifted % pr.stride.d == 0, shifted / pr.stride.d < pr.output.d else { return nil }
    return shifted / pr.stride.d
  }

  /// Elements of the source that tile `index` of an axis reads.
  private func window(_ axis: Int, _ index: Int, _ step: Int, _ length: Int, _ isForward: Bool) -> Range<Int>
  {
    let pr = data.problem
    let reach = (pr.filter[axis] - 1) * pr.dilation[axis]
    let (pad, u) = (pr.padding.before[axis], pr.stride[axis])
    if isForward {
      let first = index * step * u - pad
      let count = max(length, (step - 1) * u + reach + 1)
      return clamped(first, first + count, pr.input[axis])
    }
    let first = index * step + pad - reach
    let end = first + max(length, step + reach)
    return clamped(floorDivide(first, u), floorDivide(end - 1, u) + 1, pr.output[axis])
  }

  private func clamped(_ first: Int, _ end: Int, _ extent: Int) -> Range<Int> {
    let low = min(max(first, 0), extent)
    return low..<max(low, min(end, extent))
  }

  private func floorDivide(_ a: Int, _ b: Int) -> Int { a >= 0 ? a / b : -((-a + b - 1) / b) }

  private func windowEnergy<T: ConvScalar>(
    _ source: UnsafePointer<T>, _ isInput: Bool, _ n: Int, _ channel: Int, _ d: Int, _ h: Range<Int>,
    _ w: Range<Int>
  ) -> Energy {
    let pr = data.problem
    let extent = isInput ? pr.input : pr.output
    let plane = source + ((n * (isInput ? pr.c : pr.k) + channel) * extent.d + d) * extent.h * extent.w
    var energy = Energy()
    for i in h {
      for j in w { energy.add(Double(plane[i * extent.w + j])) }
    }
    return energy
  }

  private func energy<T: ConvScalar>(_ values: UnsafePointer<T>, _ count: Int) -> Energy {
    var energy = Energy()
    for i in 0..<count { energy.add(Double(values[i])) }
    return energy
  }

  // MARK: backwardFilter

  private func backwardFilter<T: ConvScalar>(
    _ grid: SampleGrid, x: UnsafePointer<T>, dy: UnsafePointer<T>, _ pool: WorkerPool
  ) -> [Double] {
    let pr = grid.problem
    let columns = grid.columns
    let pairs = grid.rows.map { ($0.first, $0.at.d) }
    var order: [(k: Int, t: Int)] = []
    for pair in pairs where !order.contains(where: { $0 == pair }) { order.append(pair) }
    let tilesH = (pr.output.h + stepH - 1) / stepH
    let tilesW = (pr.output.w + stepW - 1) / stepW
    var sums = [Double](repeating: 0, count: order.count * columns.count)
    sums.withUnsafeMutableBufferPointer { sums in
      pool.parallelFor(order.count * columns.count) { task in
        let place = order[task / columns.count]
        let channel = place.k / pr.kPerGroup * pr.cPerGroup + columns[task % columns.count]
        var sum = 0.0
        for n in 0..<pr.n {
          for z in 0..<pr.output.d {
            guard let d = sourceDepth(z, tap: place.t, true) else { continue }
            for i in 0..<tilesH {
              for j in 0..<tilesW {
                let gradient = windowEnergy(
                  dy, false, n, place.k, z, clamped(i * stepH, (i + 1) * stepH, pr.output.h),
                  clamped(j * stepW, (j + 1) * stepW, pr.output.w))
                let input = windowEnergy(
                  x, true, n, channel, d, window(1, i, stepH, height, true), window(2, j, stepW, width, true))
                sum += gradient.product(input, elements: elements)
              }
            }
          }
        }
        sums[task] = sum
      }
    }
    var result = [Double](repeating: 0, count: grid.count)
    for (index, pair) in pairs.enumerated() {
      let place = order.firstIndex { $0 == pair }!
      for j in columns.indices { result[index * columns.count + j] = sums[place * columns.count + j] }
    }
    return result
  }
}
