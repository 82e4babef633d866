import ConvCore
import Foundation

/// The norms that a Fourier-domain result is made of: Σ ‖x tile‖₂·‖w‖₂ over the summed channels, at the result's own tile.
///
/// A discrete Fourier transform of length L in floating point is backward stable in the 2-norm, with a relative error of
/// at most log₂ L · η, η ≈ 7u (Higham: *Accuracy and Stability of Numerical Algorithms*, 2nd ed., Theorem 24.2), and is
/// unitary up to scale; by Cauchy–Schwarz an element of the product's inverse transform is off by at most the sum of the three
/// transforms' relative errors times ‖x tile‖₂·‖w‖₂. With independent errors the constants average out (Schatzman 1996:
/// 0.6·√(log₂ L) in the mean), so that one λ·u per level covers the three transforms; the products are sums over `depth` terms.
///
/// A result p lies in tile p / step; the tile's window begins at (p / step)·step·u − padding in x and has the transform's size,
/// or the size that its results read where that is larger.
struct FourierBounds {
  let height, width, stepH, stepW: Int
  let data: ProblemData

  /// Roundings per level in the worst case: three transforms with η ≈ 7u each.
  static let worstPerLevel = 21.0

  /// log₂ of the number of elements of a tile.
  static func levels(height: Int, width: Int) -> Double { max(1, log2(Double(height * width))) }

  /// The norm products of all samples, rows × columns.
  func normProducts(_ grid: SampleGrid, pool: WorkerPool) -> [Double] {
    switch data.elementType {
    case .float64: evaluate(grid, pool, as: Double.self)
    default: evaluate(grid, pool, as: Float.self)
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
    // ‖w‖₂ per depth tap, column and summed channel.
    var filters = [Double](repeating: 0, count: pr.filter.d * columns.count * depth)
    for t in 0..<pr.filter.d {
      for (j, column) in columns.enumerated() {
        for i in 0..<depth {
          let (k, c) =
            isForward ? (column, i) : (column / pr.cPerGroup * pr.kPerGroup + i, column % pr.cPerGroup)
          let taps = w + ((k * pr.cPerGroup + c) * pr.filter.d + t) * plane
          filters[(t * columns.count + j) * depth + i] = norm(taps, plane)
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
              let norm = windowNorm(source, isForward, tile.n, group * depth + i, d, h, w)
              for (j, column) in columns.enumerated() where column / groupSize == group {
                sums[j] += norm * filters[(t * columns.count + j) * depth + i]
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

  private func windowNorm<T: ConvScalar>(
    _ source: UnsafePointer<T>, _ isInput: Bool, _ n: Int, _ channel: Int, _ d: Int, _ h: Range<Int>,
    _ w: Range<Int>
  ) -> Double {
    let pr = data.problem
    let extent = isInput ? pr.input : pr.output
    let plane = source + ((n * (isInput ? pr.c : pr.k) + channel) * extent.d + d) * extent.h * extent.w
    var sum = 0.0
    for i in h {
      for j in w {
        let value = Double(plane[i * extent.w + j])
        sum += value * value
      }
    }
    return sum.squareRoot()
  }

  private func norm<T: ConvScalar>(_ values: UnsafePointer<T>, _ count: Int) -> Double {
    var sum = 0.0
    for i in 0..<count {
      let value = Double(values[i])
      sum += value * value
    }
    return sum.squareRoot()
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
                let gradient = windowNorm(
                  dy, false, n, place.k, z, clamped(i * stepH, (i + 1) * stepH, pr.output.h),
                  clamped(j * stepW, (j + 1) * stepW, pr.output.w))
                let input = windowNorm(
                  x, true, n, channel, d, window(1, i, stepH, height, true), window(2, j, stepW, width, true))
                sum += gradient * input
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
