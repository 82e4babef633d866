import CConvKernels
import ConvCore
import ConvTestSupport
import Foundation
import Testing

/// Transforms across channels on every instruction set against plain sums: every length on either axis, tiles
/// that are filled in part, every lane; and the strips that feed them.
@Suite struct FourierKernelTests {
  struct Tile: Sendable, CustomStringConvertible {
    let height: Int, width: Int
    var description: String { "\(height)×\(width)" }
    var bins: Int { height * width / 2 + 2 }

    /// What is not zero of a tile: whole, odd numbers of rows, a few, one pixel.
    var filled: [(rows: Int, columns: Int)] {
      [(height, width), (height - 1, width - 3), (3, width), (5, 2), (1, 1)]
    }
  }
  private static let tiles = [(8, 8), (16, 8), (8, 16), (32, 8), (8, 32), (64, 8), (8, 64)].map {
    Tile(height: $0.0, width: $0.1)
  }

  /// Lanes hold multiples of three tiles, so that three plain transforms judge them all.
  private struct Lanes {
    let tile: Tile, rows: Int, columns: Int
    let patterns: [[Float]]

    init(_ tile: Tile, rows: Int, columns: Int) {
      (self.tile, self.rows, self.columns) = (tile, rows, columns)
      patterns = (0..<3).map { KernelValues.integers(rows * columns, seed: UInt64($0)) }
    }

    func value(_ lane: Int, _ pixel: Int) -> Float { Float(lane + 1) * patterns[lane % 3][pixel] }

    /// Rows of lanes, NaN behind each.
    func strip(lanes: Int, gap: Int) -> [Float] {
      (0..<rows).flatMap { i in
        (0..<columns * lanes).map { value($0 % lanes, i * columns + $0 / lanes) }
          + [Float](repeating: .nan, count: gap)
      }
    }

    /// Twice the spectrum of one pattern, bin by bin in the kernels' order.
    func spectrum(_ pattern: Int, _ fourier: vb_fourier) -> [(re: Double, im: Double)] {
      let (height, width) = (tile.height, tile.width)
      func roots(_ n: Int) -> [(Double, Double)] {
        (0..<n).map { (cos(2 * .pi * Double($0) / Double(n)), -sin(2 * .pi * Double($0) / Double(n))) }
      }
      let (wide, high) = (roots(width), roots(height))
      // Columns of the tile's rows, for u up to half the width; then rows.
      let lines = (0...width / 2).map { u in
        (0..<rows).map { i in
          (0..<columns).reduce((0.0, 0.0)) { sum, j in
            let (x, w) = (Double(patterns[pattern][i * columns + j]), wide[u * j % width])
            return (sum.0 + x * w.0, sum.1 + x * w.1)
          }
        }
      }
      func bin(_ u: Int, _ v: Int) -> (re: Double, im: Double) {
        (0..<rows).reduce((0.0, 0.0)) { sum, i in
          let (x, w) = (lines[u][i], high[v * i % height])
          return (sum.0 + 2 * (x.0 * w.0 - x.1 * w.1), sum.1 + 2 * (x.0 * w.1 + x.1 * w.0))
        }
      }
      var result = (0...height / 2).map { bin(0, $0) } + (0...height / 2).map { bin(width / 2, $0) }
      let position = withUnsafeBytes(of: fourier.vertical.position) { Array($0) }
      for u in 1..<width / 2 {
        var column = [(re: Double, im: Double)](repeating: (0, 0), count: height)
        for v in 0..<height { column[Int(position[v])] = bin(u, v) }
        result += column
      }
      return result
    }
  }

  /// Three passes of at most five roundings per axis, twiddles' own among them, and one where real lines
  /// part: each at most u times the sum of what goes in, in both components.
  private static let roundings = 2.0.squareRoot() * 31 * 0x1p-24

  @Test(arguments: KernelCase.all(tiles)) func forward(_ example: KernelCase<Tile>) {
    let (tile, lanes) = (example.row, example.lanes(Float.self))
    var fourier = vb_fourier()
    #expect(vb_fourier_init(&fourier, tile.height, tile.width) == 0)
    #expect(vb_fourier_bins(&fourier) == tile.bins && vb_fourier_lanes(example.kernels) == lanes)
    for (rows, columns) in tile.filled {
      let data = Lanes(tile, rows: rows, columns: columns)
      let (gap, bin) = (5, 2 * lanes + 3)
      let memory = KernelMemory()
      let work = memory.result([Float](repeating: .nan, count: vb_fourier_work(example.kernels, &fourier)))
      let out = memory.result([Float](repeating: 99, count: tile.bins * bin))
      vb_fourier_forward_f32(
        example.kernels, &fourier, rows, columns, memory.input(data.strip(lanes: lanes, gap: gap)),
        columns * lanes + gap, work, out, bin)
      let found = memory.values(out)
      #expect(memory.damage == nil, "\(example) \(rows)×\(columns): \(memory.damage ?? "")")
      let spectra = (0..<3).map { data.spectrum($0, fourier) }
      for lane in 0..<lanes {
        let size = data.patterns[lane % 3].reduce(0) { $0 + abs(Double($1)) } * Double(lane + 1)
        for f in 0..<tile.bins {
          let (exact, scale) = (spectra[lane % 3][f], Double(lane + 1))
          let error = max(
            abs(Double(found[f * bin + lane]) - scale * exact.re),
            abs(Double(found[f * bin + lanes + lane]) - scale * exact.im))
          if !(error <= 2 * Self.roundings * size) {
            Issue.record("\(example) \(rows)×\(columns), lane \(lane), bin \(f): off by \(error)")
            return
          }
        }
      }
      let gaps = found.indices.filter { $0 % bin >= 2 * lanes && found[$0] != 99 }
      #expect(gaps.isEmpty, "\(example) \(rows)×\(columns): wrote between bins")
    }
  }

  @Test(arguments: KernelCase.all(tiles)) func inverse(_ example: KernelCase<Tile>) {
    let (tile, lanes) = (example.row, example.lanes(Float.self))
    var fourier = vb_fourier()
    #expect(vb_fourier_init(&fourier, tile.height, tile.width) == 0)
    let data = Lanes(tile, rows: tile.height, columns: tile.width)
    let spectra = (0..<3).map { data.spectrum($0, fourier) }
    let (gap, bin) = (5, 2 * lanes + 3)
    var bins = [Float](repeating: .nan, count: tile.bins * bin)
    for f in 0..<tile.bins {
      for lane in 0..<lanes {
        bins[f * bin + lane] = Float(Double(lane + 1) * spectra[lane % 3][f].re)
        bins[f * bin + lanes + lane] = Float(Double(lane + 1) * spectra[lane % 3][f].im)
      }
    }
    let scale = 1 / Float(2 * tile.height * tile.width)
    for (rows, columns) in tile.filled {
      let memory = KernelMemory()
      let work = memory.result([Float](repeating: .nan, count: vb_fourier_work(example.kernels, &fourier)))
      let row = columns * lanes + gap
      let out = memory.result([Float](repeating: 99, count: rows * row))
      vb_fourier_inverse_f32(
        example.kernels, &fourier, rows, columns, scale, memory.input(bins), bin, work, out, row)
      let found = memory.values(out)
      #expect(memory.damage == nil, "\(example) \(rows)×\(columns): \(memory.damage ?? "")")
      for i in found.indices {
        let (y, x, lane) = (i / row, i % row / lanes, i % row % lanes)
        if i % row >= columns * lanes {
          #expect(found[i] == 99, "\(example) \(rows)×\(columns): wrote behind row \(y)")
          continue
        }
        // The whole spectrum's sum is at most that of what is stored of it, doubled as it is; one more
        // rounding each, stored.
        let size = spectra[lane % 3].reduce(0) { $0 + abs($1.re) + abs($1.im) } * Double(lane + 1)
        let error = abs(Double(found[i] - data.value(lane, y * tile.width + x)))
        if !(error <= (Self.roundings + 0x1p-23) * size / Double(tile.height * tile.width)) {
          Issue.record("\(example) \(rows)×\(columns), lane \(lane), at \(y) \(x): off by \(error)")
          return
        }
      }
    }
  }

  /// What is no number stays in its lane, and reaches all of its bins.
  @Test(arguments: KernelCase.all([Float.nan, .infinity])) func lanesDoNotMeet(_ example: KernelCase<Float>) {
    let (tile, lanes) = (Tile(height: 8, width: 16), example.lanes(Float.self))
    var fourier = vb_fourier()
    #expect(vb_fourier_init(&fourier, tile.height, tile.width) == 0)
    let plain = Lanes(tile, rows: 7, columns: 13).strip(lanes: lanes, gap: 0)
    func spectrum(_ strip: [Float]) -> [Float] {
      let memory = KernelMemory()
      let work = memory.result([Float](repeating: 0, count: vb_fourier_work(example.kernels, &fourier)))
      let out = memory.result([Float](repeating: 99, count: tile.bins * 2 * lanes))
      vb_fourier_forward_f32(
        example.kernels, &fourier, 7, 13, memory.input(strip), 13 * lanes, work, out, 2 * lanes)
      return memory.values(out)
    }
    let expected = spectrum(plain)
    for lane in 0..<lanes {
      var strip = plain
      strip[(3 * 13 + 6) * lanes + lane] = example.row
      let found = spectrum(strip)
      for f in 0..<tile.bins {
        let isFinite = found[2 * f * lanes + lane].isFinite && found[(2 * f + 1) * lanes + lane].isFinite
        #expect(!isFinite, "\(example) lane \(lane), bin \(f)")
      }
      let others = found.indices.filter { $0 % lanes != lane && found[$0] != expected[$0] }
      #expect(others.isEmpty, "\(example) lane \(lane) reached others")
    }
  }

  /// Strips of pixels in and out, every number of lanes in use.
  @Test(arguments: KernelCase.all([0, 1, 2, 7])) func strips(_ example: KernelCase<Int>) {
    let (pixels, vector) = (example.row, example.lanes(Float.self))
    for lanes in 1...vector {
      let pixel = lanes + 3
      let image: [Float] = KernelValues.integers(pixels * pixel, seed: 1, special: 5)
      let strip: [Float] = KernelValues.integers(pixels * vector, seed: 2, special: 5)
      let before: [Float] = KernelValues.integers(pixels * pixel, seed: 3)
      let memory = KernelMemory()
      let loaded = memory.result([Float](repeating: 99, count: pixels * vector))
      let (stored, reversed) = (memory.result(before), memory.result(strip))
      vb_lanes_load_f32(example.kernels, pixels, lanes, memory.input(image), pixel, loaded)
      vb_lanes_store_f32(example.kernels, pixels, lanes, memory.input(strip), stored, pixel)
      vb_lanes_reverse_f32(example.kernels, pixels, reversed)
      let load = strip.indices.map { i in
        i % vector < lanes ? image[i / vector * pixel + i % vector] : 0
      }
      let store = before.indices.map { i in
        i % pixel < lanes ? strip[i / pixel * vector + i % pixel] : before[i]
      }
      let reverse = strip.indices.map { strip[(pixels - 1 - $0 / vector) * vector + $0 % vector] }
      for wrong in [
        memory.difference(loaded, from: load), memory.difference(stored, from: store),
        memory.difference(reversed, from: reverse),
      ] {
        #expect(wrong == nil, "\(example) pixels, \(lanes) lanes: \(wrong ?? "")")
      }
    }
  }
}
