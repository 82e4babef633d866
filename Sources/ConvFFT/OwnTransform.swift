internal import CConvKernels

/// Constants of our own transform of one tile, on one instruction set: the kernels across channels, spelled for Swift.
///
/// A *lane block* is as many channels as a vector holds. Tiles and strips are [row][column][lane]; spectra are spectral
/// matrices (vb_fourier.h), of which a line is one tile's or filter's bin in one lane block: `line` floats.
final class OwnTransform: @unchecked Sendable {
  // @unchecked: written in init only.
  private let fourier: UnsafeMutablePointer<vb_fourier>
  let kernels: OpaquePointer
  let tile: TileSize
  /// Channels of a lane block.
  let lanes: Int
  /// Bins that are stored of a tile.
  let bins: Int
  /// Floats of working memory.
  let work: Int

  /// Floats of a line: real and imaginary parts.
  var line: Int { 2 * lanes }

  /// Lengths that the kernels have.
  static let lengths = [8, 16, 32, 64]

  /// nil for tiles that the kernels do not have.
  init?(_ tile: TileSize, kernels: OpaquePointer) {
    guard OwnTransform.lengths.contains(tile.height), OwnTransform.lengths.contains(tile.width) else {
      return nil
    }
    self.tile = tile
    self.kernels = kernels
    fourier = .allocate(capacity: 1)
    fourier.initialize(to: vb_fourier())
    let status = vb_fourier_init(fourier, tile.height, tile.width)
    precondition(status == 0, "the kernels have no transform of \(tile)")
    lanes = vb_fourier_lanes(kernels)
    bins = vb_fourier_bins(fourier)
    work = vb_fourier_work(kernels, fourier)
  }

  deinit { fourier.deallocate() }

  /// The kernels of the process's instruction set.
  static var currentKernels: OpaquePointer { vb_kernels_current() }

  /// Twice the spectrum of a strip's first rows × columns samples, zeros around them.
  func forward(
    _ strip: UnsafePointer<Float>, rowStride: Int, rows: Int, columns: Int, work: UnsafeMutablePointer<Float>,
    into spectrum: UnsafeMutablePointer<Float>, binStride: Int
  ) {
    vb_fourier_forward_f32(kernels, fourier, rows, columns, strip, rowStride, work, spectrum, binStride)
  }

  /// The first rows × columns samples of a product of two spectra as `forward` makes them.
  func inverse(
    _ spectrum: UnsafePointer<Float>, binStride: Int, rows: Int, columns: Int,
    work: UnsafeMutablePointer<Float>, into strip: UnsafeMutablePointer<Float>, rowStride: Int
  ) {
    // Both factors were twice their spectra; a power of two, so that scaling rounds nothing.
    let scale = 1 / Float(4 * tile.height * tile.width)
    vb_fourier_inverse_f32(
      kernels, fourier, rows, columns, scale, spectrum, binStride, work, strip, rowStride)
  }

  /// A spectral matrix; strides in floats.
  struct Matrix {
    var base: UnsafeMutablePointer<Float>
    var binStride: Int
    var blockStride: Int
  }

  /// C [rows × blocks] (+)= A · conj(B) in `count` bins from `first` on; A is stored [depth × rows] where `transposed`.
  func multiply(
    bins first: Int, count: Int, rows: Int, blocks: Int, depth: Int, _ a: Matrix, transposed: Bool,
    _ b: Matrix, into c: Matrix, accumulate: Bool
  ) {
    func from(_ matrix: Matrix) -> vb_spectral {
      vb_spectral(
        base: matrix.base + first * matrix.binStride, bin: matrix.binStride, block: matrix.blockStride)
    }
    vb_spectral_product_f32(
      kernels, count, rows, blocks, depth, from(a), transposed ? 1 : 0, from(b), from(c), accumulate ? 1 : 0)
  }
}
