import ConvCore
import ConvTestSupport
import Testing

@testable import ConvWinograd

/// Channels that fill no vector take the same matrices by way of a copy: right results, and nothing beside them.
@Suite struct TransformTailTests {
  /// What is cut off a tile or added to its result.
  struct Variant: Sendable {
    let name: String
    /// Rows and columns of the tile that are missing, at its beginning and end.
    var missing = (top: 0, bottom: 0, left: 0, right: 0)
    /// Rows and columns of the result that nobody wants.
    var unwanted = (rows: 0, columns: 0)
    var bias = false
    var relu = false
    var accumulate = false
  }

  private static let variants = [
    Variant(name: "whole"), Variant(name: "cut", missing: (1, 0, 0, 1)),
    Variant(name: "narrow", missing: (0, 1, 1, 0), unwanted: (1, 0)), Variant(name: "bias", bias: true),
    Variant(name: "bias, relu", bias: true, relu: true), Variant(name: "added", accumulate: true),
    Variant(name: "cut result", unwanted: (1, 1), bias: true, relu: true),
    Variant(name: "cut result, added", unwanted: (0, 1), bias: true, accumulate: true),
    Variant(
      name: "all of it", missing: (1, 0, 1, 0), unwanted: (1, 1), bias: true, relu: true, accumulate: true),
  ]

  /// Outputs and taps of one axis.
  struct Axis: Sendable, CustomStringConvertible {
    let m: Int, r: Int
    var description: String { "F(\(m), \(r))" }

    /// Its three matrices.
    func transforms(_ instructionSet: InstructionSet) throws -> [SmallTransform] {
      let t = try ToomCook(m: m, r: r, magnitudes: ToomCook.defaultMagnitudes(tile: m + r - 1)).transform
      return [(t.bt, t.tile, t.tile), (t.g, t.tile, t.r), (t.at, t.m, t.tile)].map {
        SmallTransform(rows: $0.1, columns: $0.2, $0.0, instructionSet: instructionSet)
      }
    }
  }
  private static let axes = [(4, 3), (2, 3), (3, 4), (6, 3), (2, 5)].map { Axis(m: $0.0, r: $0.1) }

  @Test(arguments: KernelCase.all(axes)) func fewChannelsAreLikeMany(_ example: KernelCase<Axis>) throws {
    for transform in try example.row.transforms(example.set) {
      for variant in TransformTailTests.variants {
        check(transform, variant, Float.self, 0x1p-24)
        check(transform, variant, Double.self, 0x1p-53)
      }
    }
  }

  /// What is no number reaches the results of its channel that depend on it, through bias and ReLU, and no other channel.
  @Test(arguments: KernelCase.all(axes)) func nanStaysInItsChannel(_ example: KernelCase<Axis>) throws {
    for transform in try example.row.transforms(example.set) {
      for finishes in [false, true] {
        checkNaN(transform, finishes, Float.self)
        checkNaN(transform, finishes, Double.self)
      }
    }
  }

  private func checkNaN<T: ConvScalar>(_ transform: SmallTransform, _ finishes: Bool, _: T.Type) {
    let lanes = transform.instructionSet.vectorBytes / MemoryLayout<T>.stride
    let (rows, columns) = (transform.rows, transform.columns)
    for channels in [1, lanes, 2 * lanes + 1] {
      let tile: [T] = KernelValues.integers(columns * columns * channels, seed: 78)
      let bias: [T] = KernelValues.integers(channels, seed: 79)
      var layout = TransformLayout(
        channels: channels, inputRowStride: columns * channels, inputColumnStride: channels,
        outputRowStride: rows * channels, outputColumnStride: channels)
      layout.relu = finishes
      func result(_ tile: [T]) -> [T] {
        let memory = KernelMemory()
        let output = memory.result([T](repeating: 99, count: rows * rows * channels))
        transform.apply(
          right: transform, layout, input: memory.input(tile), output: output,
          bias: finishes ? memory.input(bias) : nil)
        return memory.values(output)
      }
      let plain = result(tile)
      for row in 0..<columns {
        let (column, channel) = (columns - 1 - row, (row * 5 + channels - 1) % channels)
        var spoilt = tile
        spoilt[(row * columns + column) * channels + channel] = .nan
        let found = result(spoilt)
        for at in found.indices {
          let (i, j) = (at / channels / rows, at / channels % rows)
          let m = transform.coefficients
          let depends = m[i * columns + row] != 0 && m[j * columns + column] != 0
          let isRight =
            at % channels != channel ? found[at] == plain[at] : found[at].isNaN || !depends
          if !isRight {
            Issue.record(
              """
              \(transform.instructionSet) \(rows)×\(columns) \(T.self), \(channels) channels, NaN at \(row) \(column) \
              in channel \(channel): \(found[at]) at \(i) \(j) in channel \(at % channels)
              """)
            return
          }
        }
      }
    }
  }

  /// All numbers of channels from one to two vectors and one.
  private func check<T: ConvScalar>(
    _ transform: SmallTransform, _ variant: Variant, _: T.Type, _ unit: Double
  ) {
    let lanes = transform.instructionSet.vectorBytes / MemoryLayout<T>.stride
    let (rows, columns, most) = (transform.rows, transform.columns, 2 * lanes + 1)
    let (high, wide) = (
      variant.missing.top..<columns - variant.missing.bottom,
      variant.missing.left..<columns - variant.missing.right
    )
    let wanted = (rows: rows - variant.unwanted.rows, columns: rows - variant.unwanted.columns)
    let philox = Philox(seed: 77)
    func value(_ index: Int) -> T { T(philox.normal(at: UInt64(index))) }
    let tile = (0..<columns * columns * most).map(value)
    let bias = (0..<most).map { value(100_000 + $0) }
    let before = (0..<rows * rows * most).map { value(200_000 + $0) }
    let (expected, sizes) = reference(transform, tile, high, wide, most)
    // Guard values stand behind the channels of every result.
    let guardValue = T(-12345)
    for channels in 1...most {
      let pixel = channels + 3
      var layout = TransformLayout(
        channels: channels, inputRowStride: columns * pixel, inputColumnStride: pixel,
        outputRowStride: rows * pixel, outputColumnStride: pixel)
      (layout.rows, layout.columns) = (high, wide)
      (layout.outputRows, layout.outputColumns) = (wanted.rows, wanted.columns)
      (layout.accumulate, layout.relu) = (variant.accumulate, variant.relu)
      // What is read beyond the channels or outside the tile shows.
      var input = [T](repeating: .nan, count: columns * columns * pixel)
      for row in high {
        for column in wide {
          for c in 0..<channels {
            input[(row * columns + column) * pixel + c] = tile[(row * columns + column) * most + c]
          }
        }
      }
      var output = [T](repeating: guardValue, count: rows * rows * pixel + lanes)
      for i in 0..<wanted.rows {
        for j in 0..<wanted.columns {
          for c in 0..<channels {
            output[(i * rows + j) * pixel + c] =
              variant.accumulate ? before[(i * rows + j) * most + c] : .nan
          }
        }
      }
      let first = (high.lowerBound * columns + wide.lowerBound) * pixel
      let shift = variant.bias ? Array(bias[..<channels]) : nil
      input.withUnsafeBufferPointer {
        transform.apply(
          right: transform, layout, input: $0.baseAddress! + first, output: &output, bias: shift)
      }
      if output.suffix(lanes).contains(where: { $0 != guardValue }) {
        Issue.record(
          "\(transform.instructionSet) \(variant.name), \(channels) channels: wrote behind the end")
      }
      for i in 0..<rows {
        for j in 0..<rows {
          for c in 0..<pixel {
            let found = output[(i * rows + j) * pixel + c]
            let text: () -> Comment = {
              """
              \(transform.instructionSet) \(rows)×\(columns) \(T.self) \(variant.name), \(channels) channels, \
              at \(i) \(j) \(c) seed 77: \(found)
              """
            }
            if c >= channels || i >= wanted.rows || j >= wanted.columns {
              if found != guardValue { Issue.record(text()) }
              continue
            }
            let at = (i * rows + j) * most + c
            let (old, shift) = (
              variant.accumulate ? Double(before[at]) : 0, variant.bias ? Double(bias[c]) : 0
            )
            var sum = expected[at] + old + shift
            if variant.relu { sum = max(0, sum) }
            // At most a dozen roundings per axis and two at the end.
            let bound = 26 * unit * (sizes[at] + abs(old) + abs(shift))
            if !(abs(Double(found) - sum) <= bound) { Issue.record(text()) }
          }
        }
      }
    }
  }

  /// M · tile · Mᵀ of what exists, and the same with absolute values.
  private func reference<T: ConvScalar>(
    _ transform: SmallTransform, _ tile: [T], _ high: Range<Int>, _ wide: Range<Int>, _ channels: Int
  ) -> (sums: [Double], sizes: [Double]) {
    let (rows, columns, m) = (transform.rows, transform.columns, transform.coefficients)
    var sums = [Double](repeating: 0, count: rows * rows * channels)
    var sizes = sums
    for i in 0..<rows {
      for column in wide {
        for c in 0..<channels {
          var (sum, size) = (0.0, 0.0)
          for row in high {
            let product = m[i * columns + row] * Double(tile[(row * columns + column) * channels + c])
            sum += product
            size += abs(product)
          }
          for j in 0..<rows {
            sums[(i * rows + j) * channels + c] += m[j * columns + column] * sum
            sizes[(i * rows + j) * channels + c] += abs(m[j * columns + column]) * size
          }
        }
      }
    }
    return (sums, sizes)
  }
}
