import CConvKernels
import ConvCore
import ConvTestSupport
import Testing

/// Products of spectral matrices on every instruction set: all heights over two tiles, one to three blocks of
/// channels, sums that end within a block and that are longer than one piece, gaps between blocks and bins,
/// NaN and infinities.
@Suite struct SpectralKernelTests {
  struct Storage: Sendable, CustomStringConvertible {
    let transposed: Bool, accumulate: Bool
    var description: String { "A\(transposed ? "ᵀ" : "")\(accumulate ? " added" : "")" }
  }
  private static let storages = [(false, false), (true, false), (false, true), (true, true)].map {
    Storage(transposed: $0.0, accumulate: $0.1)
  }

  /// Rows × channels of complex numbers, with what stands between blocks and bins.
  private struct Matrix {
    let rows: Int, channels: Int, lanes: Int, bins: Int
    var values: [Float]

    var block: Int { rows * 2 * lanes + 5 }
    var bin: Int { (channels + lanes - 1) / lanes * block + 7 }
    func at(_ f: Int, _ row: Int, _ channel: Int) -> Int {
      f * bin + channel / lanes * block + row * 2 * lanes + channel % lanes
    }

    init(rows: Int, channels: Int, lanes: Int, bins: Int, seed: UInt64, gaps: Float, stray: Float? = nil) {
      (self.rows, self.channels, self.lanes, self.bins) = (rows, channels, lanes, bins)
      values = []
      values = [Float](repeating: gaps, count: bins * bin)
      let numbers: [Float] = KernelValues.integers(2 * bins * rows * channels, seed: seed)
      for i in 0..<bins * rows * channels {
        let place = at(i / (rows * channels), i / channels % rows, i % channels)
        (values[place], values[place + lanes]) = (numbers[2 * i], numbers[2 * i + 1])
      }
      if let stray { values[at(bins - 1, rows - 1, channels - 1)] = stray }
    }
  }

  @Test(arguments: KernelCase.all(storages)) func products(_ example: KernelCase<Storage>) {
    let (storage, lanes, bins) = (example.row, example.lanes(Float.self), 2)
    // A tile of which the channels of a transposed A lie in two blocks, too.
    for m in Array(1...13) + (lanes > 12 ? [lanes + 2] : []) {
      for blocks in 1...3 {
        for k in m == 1 || m == 7 ? [1, lanes, lanes + 3, 130] : [1, lanes + 3] {
          let n = blocks * lanes
          let (rows, channels) = storage.transposed ? (k, m) : (m, k)
          let a = Matrix(
            rows: rows, channels: channels, lanes: lanes, bins: bins, seed: 1, gaps: .nan,
            stray: m % 2 == 0 ? .nan : nil)
          let b = Matrix(
            rows: k, channels: n, lanes: lanes, bins: bins, seed: 2, gaps: .nan,
            stray: m % 3 == 0 ? .infinity : nil)
          let start = Matrix(rows: m, channels: n, lanes: lanes, bins: bins, seed: 3, gaps: 55)
          var expected = start
          for f in 0..<bins {
            for i in 0..<m {
              for j in 0..<n {
                let at = start.at(f, i, j)
                var (re, im) =
                  storage.accumulate ? (start.values[at], start.values[at + lanes]) : (Float(0), Float(0))
                for p in 0..<k {
                  let (x, y) = (storage.transposed ? a.at(f, p, i) : a.at(f, i, p), b.at(f, p, j))
                  re += a.values[x] * b.values[y] + a.values[x + lanes] * b.values[y + lanes]
                  im += a.values[x + lanes] * b.values[y] - a.values[x] * b.values[y + lanes]
                }
                (expected.values[at], expected.values[at + lanes]) = (re, im)
              }
            }
          }
          let memory = KernelMemory()
          let c = memory.result(start.values)
          vb_spectral_product_f32(
            example.kernels, bins, m, blocks, k,
            vb_spectral(base: memory.input(a.values), bin: a.bin, block: a.block), storage.transposed ? 1 : 0,
            vb_spectral(base: memory.input(b.values), bin: b.bin, block: b.block),
            vb_spectral(base: c, bin: start.bin, block: start.block), storage.accumulate ? 1 : 0)
          let wrong = memory.difference(c, from: expected.values)
          #expect(wrong == nil, "\(example) \(m)×\(n)×\(k): \(wrong ?? "")")
        }
      }
    }
  }
}
