internal import CConvKernels
import ConvCore

/// Moves pixels of one lane block between a tensor, in either format, and dense strips [row][column][lane].
struct LaneStrips {
  let kernels: OpaquePointer
  let lanes: Int

  /// One image of one group: which channels there are, and how they lie.
  struct Image {
    var base: UnsafeMutablePointer<Float>
    var format: MemoryFormat
    var height, width: Int
    /// Channels from `base` on that may be read, and channels of a pixel in memory.
    var channels, pixelChannels: Int
  }

  /// strip = rows × columns pixels from (row, column) on, zeros outside the image and in channels that do not exist.
  func gather(
    _ image: Image, block: Int, row: Int, column: Int, rows: Int, columns: Int,
    into strip: UnsafeMutablePointer<Float>
  ) {
    let first = block * lanes
    let present = min(lanes, image.channels - first)
    let low = min(max(-column, 0), columns)
    let high = max(low, min(columns, image.width - column))
    for i in 0..<rows {
      let line = strip + i * columns * lanes
      let y = row + i
      guard y >= 0, y < image.height, low < high else {
        line.update(repeating: 0, count: columns * lanes)
        continue
      }
      line.update(repeating: 0, count: low * lanes)
      (line + high * lanes).update(repeating: 0, count: (columns - high) * lanes)
      let (to, count, x) = (line + low * lanes, high - low, column + low)
      switch image.format {
      case .nhwc:
        let from = image.base + (y * image.width + x) * image.pixelChannels + first
        vb_lanes_load_f32(kernels, count, present, from, image.pixelChannels, to)
      case .nchw:
        if present < lanes { to.update(repeating: 0, count: count * lanes) }
        let plane = image.height * image.width
        vb_transpose_f32(
          kernels, present, count, image.base + first * plane + y * image.width + x, plane, to, lanes)
      }
    }
  }

  /// The pixels of a strip that lie in the image, its origin at (row, column), to the image.
  func scatter(
    _ strip: UnsafePointer<Float>, rowStride: Int, block: Int, row: Int, column: Int, rows: Int, columns: Int,
    to image: Image
  ) {
    let first = block * lanes
    let present = min(lanes, image.channels - first)
    let count = min(columns, image.width - column)
    for i in 0..<min(rows, image.height - row) {
      let from = strip + i * rowStride
      let pixel = (row + i) * image.width + column
      switch image.format {
      case .nhwc:
        vb_lanes_store_f32(
          kernels, count, present, from, image.base + pixel * image.pixelChannels + first, image.pixelChannels
        )
      case .nchw:
        let plane = image.height * image.width
        vb_transpose_f32(
          kernels, count, present, from, lanes, image.base + first * plane + pixel, plane)
      }
    }
  }

  /// The filters of one group: taps `tapStride` apart, output channels `kStride`, input channels `cStride`.
  struct Filters {
    var base: UnsafeMutablePointer<Float>
    var taps: Int
    var kStride, cStride, tapStride: Int
    /// Lanes are input channels (backwardData) instead of output channels.
    var lanesAreInputs: Bool
    /// Channels along the lanes.
    var channels: Int

    var laneStride: Int { lanesAreInputs ? cStride : kStride }
    var rowStride: Int { lanesAreInputs ? kStride : cStride }
  }

  /// strip = the taps of one lane block and one channel of the other side, in reverse where `reversed`.
  func gather(
    _ filters: Filters, block: Int, row: Int, reversed: Bool, into strip: UnsafeMutablePointer<Float>
  ) {
    let present = min(lanes, filters.channels - block * lanes)
    let from = filters.base + block * lanes * filters.laneStride + row * filters.rowStride
    if filters.laneStride == 1 {
      vb_lanes_load_f32(kernels, filters.taps, present, from, filters.tapStride, strip)
    } else {
      if present < lanes { strip.update(repeating: 0, count: filters.taps * lanes) }
      if filters.tapStride == 1 {
        vb_transpose_f32(kernels, present, filters.taps, from, filters.laneStride, strip, lanes)
      } else {
        for tap in 0..<filters.taps {
          for lane in 0..<present {
            strip[tap * lanes + lane] = from[tap * filters.tapStride + lane * filters.laneStride]
          }
        }
      }
    }
    if reversed { vb_lanes_reverse_f32(kernels, filters.taps, strip) }
  }

  /// The taps of one lane block and one channel of the other side, back to the filters.
  func scatter(_ strip: UnsafePointer<Float>, block: Int, row: Int, to filters: Filters) {
    let present = min(lanes, filters.channels - block * lanes)
    let to = filters.base + block * lanes * filters.laneStride + row * filters.rowStride
    if filters.tapStride == 1 {
      vb_transpose_f32(kernels, filters.taps, present, strip, lanes, to, filters.laneStride)
      return
    }
    for tap in 0..<filters.taps {
      for lane in 0..<present {
        to[tap * filters.tapStride + lane * filters.laneStride] = strip[tap * lanes + lane]
      }
    }
  }
}
