import ConvCore

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Foundation
#endif

/// The discrete Fourier transform of a few samples, and its inverse at a few points, as dense matrices.
///
/// A filter of 3×3 taps in a tile of 16×16 has 9 non-zero samples: a product with a (bins × 9) matrix is
/// far cheaper than a fast transform of 256 samples, and runs at the matrix kernel's speed over all filters
/// at once. Entries are computed in float64 and rounded once.
struct DenseTransform: Sendable {
  /// Samples: the first `rows` × `columns` of the tile.
  let samples: Int
  /// Bins of the half spectrum: height × (width/2 + 1).
  let bins: Int
  private let elementType: ElementType
  private let buffer: PooledBuffer

  /// Matrices for the first rows × columns samples of a height × width tile.
  ///
  /// - Throws: `MemoryError`.
  init(height: Int, width: Int, rows: Int, columns: Int, elementType: ElementType) throws {
    samples = rows * columns
    bins = height * (width / 2 + 1)
    self.elementType = elementType
    buffer = try PooledBuffer(byteCount: 5 * samples * bins * elementType.byteCount)
    switch elementType {
    case .float64: fill(Double.self, height, width, rows, columns)
    default: fill(Float.self, height, width, rows, columns)
    }
  }

  /// Bytes of the matrices.
  static func byteCount(samples: Int, bins: Int, elementType: ElementType) -> Int {
    5 * samples * bins * elementType.byteCount
  }

  private func matrix<T: ConvScalar>(_ index: Int, _: T.Type) -> UnsafeMutablePointer<T> {
    buffer.baseAddress.assumingMemoryBound(to: T.self) + index * samples * bins
  }

  /// Re X[f] = Σ cos(ω) x[i]: bins × samples.
  func real<T: ConvScalar>(_ type: T.Type) -> UnsafePointer<T> { UnsafePointer(matrix(0, type)) }
  /// Im X[f] = −Σ sin(ω) x[i].
  func imaginary<T: ConvScalar>(_ type: T.Type) -> UnsafePointer<T> { UnsafePointer(matrix(1, type)) }
  /// −Im X[f].
  func negatedImaginary<T: ConvScalar>(_ type: T.Type) -> UnsafePointer<T> { UnsafePointer(matrix(2, type)) }
  /// The share of Re X[f] in x[i]: bins × samples, 1/(height·width) included, bins of the omitted half
  /// counted.
  func inverseReal<T: ConvScalar>(_ type: T.Type) -> UnsafePointer<T> { UnsafePointer(matrix(3, type)) }
  /// The share of Im X[f] in x[i].
  func inverseImaginary<T: ConvScalar>(_ type: T.Type) -> UnsafePointer<T> { UnsafePointer(matrix(4, type)) }

  private func fill<T: ConvScalar>(_: T.Type, _ height: Int, _ width: Int, _ rows: Int, _ columns: Int) {
    let half = width / 2 + 1
    let scale = 1 / Double(height * width)
    for v in 0..<height {
      for u in 0..<half {
        let mirrored = u > 0 && 2 * u < width
        let weight = mirrored ? 2 * scale : scale
        for i in 0..<rows {
          for j in 0..<columns {
            // The turn is reduced exactly, in integers.
            let turn = Double((v * i) % height) / Double(height) + Double((u * j) % width) / Double(width)
            let angle = 2 * Double.pi * (turn - turn.rounded())
            let at = (v * half + u) * samples + i * columns + j
            matrix(0, T.self)[at] = T(cos(angle))
            matrix(1, T.self)[at] = T(-sin(angle))
            matrix(2, T.self)[at] = T(sin(angle))
            matrix(3, T.self)[at] = T(weight * cos(angle))
            matrix(4, T.self)[at] = T(-weight * sin(angle))
          }
        }
      }
    }
  }
}
