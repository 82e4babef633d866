internal import CConvKernels
import ConvCore

/// Filters and their gradients between the network's format and planes.
///
/// A transformed filter is one matrix [in][out] per plane, packed in panels of `T.panel` output channels:
/// panel j is [in][panel], contiguous. "in" and "out" are those of the convolution that is computed: for backwardData
/// the channels change places and the taps are flipped.
struct FilterLayout: Sendable {
  /// K and C of the stored filter.
  let k, c: Int
  let r, s: Int
  let format: MemoryFormat
  /// Whether the filter is read for backwardData.
  let transposed: Bool

  var inputs: Int { transposed ? k : c }
  var outputs: Int { transposed ? c : k }

  /// Elements of one plane with panels of `panel` columns, off powers of two so that planes spread over cache sets.
  func planeStride(panel: Int) -> Int { (outputs + panel - 1) / panel * panel * inputs + 16 }

  /// Input channels of one piece of work.
  private var chunk: Int { 16 }
  /// Filters ahead that are fetched while one is gathered.
  private var prefetchDistance: Int { 8 }

  /// Transforms a filter into packed planes.
  func transform<T: WinogradScalar>(
    _ filter: UnsafePointer<T>, _ pair: TilePair, into planes: UnsafeMutablePointer<T>, pool: WorkerPool
  ) {
    let panel = T.panel
    let stride = planeStride(panel: panel)
    let panels = (outputs + panel - 1) / panel
    let chunks = (inputs + chunk - 1) / chunk
    pool.parallelFor(panels * chunks) { task in
      let ins = task % chunks * chunk..<min(inputs, (task % chunks + 1) * chunk)
      transformChunk(
        filter, pair, panel: task / chunks, ins,
        into: planes + (task / chunks * inputs + ins.lowerBound) * panel, planeStride: stride)
    }
  }

  /// Transforms some inputs of one panel of a filter: planes of [in][panel], `planeStride` apart.
  func transform<T: WinogradScalar>(
    _ filter: UnsafePointer<T>, _ pair: TilePair, panel index: Int, _ ins: Range<Int>,
    into planes: UnsafeMutablePointer<T>, planeStride: Int
  ) {
    for first in stride(from: ins.lowerBound, to: ins.upperBound, by: chunk) {
      transformChunk(
        filter, pair, panel: index, first..<min(ins.upperBound, first + chunk),
        into: planes + (first - ins.lowerBound) * T.panel, planeStride: planeStride)
    }
  }

  private func transformChunk<T: WinogradScalar>(
    _ filter: UnsafePointer<T>, _ pair: TilePair, panel index: Int, _ ins: Range<Int>,
    into planes: UnsafeMutablePointer<T>, planeStride: Int
  ) {
    let panel = T.panel
    let firstOut = index * panel
    let outs = min(panel, outputs - firstOut)
    withStrip(of: T.self, ins.count * r * s * panel) { scratch in
      gather(filter, ins, firstOut, outs, into: scratch, panel)
      var layout = vb_transform_layout()
      layout.n = outs
      // Flipped taps are read from the last to the first.
      layout.in_row = (transposed ? -1 : 1) * s * panel
      layout.in_column = (transposed ? -1 : 1) * panel
      layout.row1 = UInt32(r)
      layout.column1 = UInt32(s)
      layout.out_rows = UInt32(pair.vertical.rows)
      layout.out_columns = UInt32(pair.horizontal.rows)
      layout.out_column = planeStride
      layout.out_row = pair.horizontal.rows * planeStride
      for i in 0..<ins.count {
        let taps = scratch + (i * r * s + (transposed ? r * s - 1 : 0)) * panel
        T.transform(pair, &layout, taps, planes + i * panel, bias: nil)
      }
    }
  }

  /// Brings taps of some inputs to [in][r][s][panel of outputs].
  private func gather<T: WinogradScalar>(
    _ filter: UnsafePointer<T>, _ ins: Range<Int>, _ firstOut: Int, _ outs: Int,
    into scratch: UnsafeMutablePointer<T>, _ panel: Int
  ) {
    let taps = r * s
    switch (format, transposed) {
    case (.nchw, false):
      // w[k][c][rs]: (c, rs) of one k are contiguous.
      T.transpose(
        outs, ins.count * taps, filter + (firstOut * c + ins.lowerBound) * taps, c * taps, scratch, panel)
    case (.nchw, true):
      for (i, k) in ins.enumerated() {
        // Each k lies on other pages, where no hardware prefetcher follows.
        if k + prefetchDistance < self.k {
          vb_prefetch(
            filter + ((k + prefetchDistance) * c + firstOut) * taps, outs * taps * MemoryLayout<T>.stride)
        }
        T.transpose(
          outs, taps, filter + (k * c + firstOut) * taps, taps, scratch + i * taps * panel, panel)
      }
    case (.nhwc, false):
      // w[k][rs][c]: one transposition per tap.
      for tap in 0..<taps {
        T.transpose(
          outs, ins.count, filter + (firstOut * taps + tap) * c + ins.lowerBound, taps * c,
          scratch + tap * panel, taps * panel)
      }
    case (.nhwc, true):
      for (i, k) in ins.enumerated() {
        for tap in 0..<taps {
          (scratch + (i * taps + tap) * panel).update(
            from: filter + (k * taps + tap) * c + firstOut, count: outs)
        }
      }
    }
  }

  /// Transforms accumulated products [plane][in][K] of `ins` inputs back and writes them as dw.
  func writeGradient<T: WinogradScalar>(
    _ planes: UnsafePointer<T>, planeStride: Int, ins: Range<Int>, _ pair: TilePair,
    to gradient: UnsafeMutablePointer<T>, pool: WorkerPool
  ) {
    let panel = T.panel
    let panels = (k + panel - 1) / panel
    let chunks = (ins.count + chunk - 1) / chunk
    let taps = r * s
    pool.parallelFor(panels * chunks) { task in
      let firstK = task / chunks * panel
      let width = min(panel, k - firstK)
      let local = task % chunks * chunk..<min(ins.count, (task % chunks + 1) * chunk)
      let firstC = ins.lowerBound + local.lowerBound
      withStrip(of: T.self, local.count * taps * panel) { scratch in
        var layout = vb_transform_layout()
        layout.n = width
        layout.in_row = pair.horizontal.columns * planeStride
        layout.in_column = planeStride
        layout.row1 = UInt32(pair.vertical.columns)
        layout.column1 = UInt32(pair.horizontal.columns)
        layout.out_rows = UInt32(r)
        layout.out_columns = UInt32(s)
        layout.out_row = s * panel
        layout.out_column = panel
        for (i, row) in local.enumerated() {
          T.transform(pair, &layout, planes + row * k + firstK, scratch + i * taps * panel, bias: nil)
        }
        if format == .nchw {
          T.transpose(
            local.count * taps, width, scratch, panel, gradient + (firstK * c + firstC) * taps, c * taps)
        } else {
          for tap in 0..<taps {
            T.transpose(
              local.count, width, scratch + tap * panel, taps * panel,
              gradient + (firstK * taps + tap) * c + firstC, taps * c)
          }
        }
      }
    }
  }
}
