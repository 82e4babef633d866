internal import CConvKernels
import ConvCore

// The C kernels, spelled once for both element types. All of them are single-threaded and re-entrant.

/// A coefficient matrix in the kernels' sparse form.
final class CompiledMatrix: @unchecked Sendable {
  // @unchecked: written in init only.
  let pointer: UnsafeMutablePointer<vb_transform>
  let rows: Int
  let columns: Int
  /// Coefficients that are not zero: multiplications per column.
  let nonZeros: Int

  init(_ coefficients: [Double], rows: Int, columns: Int) {
    precondition(coefficients.count == rows * columns, "\(rows)×\(columns) matrix of \(coefficients.count)")
    pointer = .allocate(capacity: 1)
    pointer.initialize(to: vb_transform())
    let status = vb_transform_init(pointer, rows, columns, coefficients)
    precondition(status == 0, "a \(rows)×\(columns) transform is larger than the kernels take")
    self.rows = rows
    self.columns = columns
    nonZeros = coefficients.count { $0 != 0 }
  }

  deinit { pointer.deallocate() }
}

/// A pair of matrices: out = vertical · tile · horizontalᵀ.
struct TilePair: Sendable {
  let vertical: CompiledMatrix
  let horizontal: CompiledMatrix

  /// FLOPs for one tile and channel, the vertical transform first.
  var flops: Double {
    2 * Double(vertical.nonZeros * horizontal.columns + horizontal.nonZeros * vertical.rows)
  }
}

/// Element types with kernels.
protocol WinogradScalar: ConvScalar {
  /// Columns of one panel of a packed right-hand matrix.
  static var panel: Int { get }

  /// C[m×n] (+)= A[m×k] · B with B in panels of `panel` columns; A is [k×m] where `transposed`.
  static func multiply(
    _ m: Int, _ n: Int, _ k: Int, _ a: UnsafePointer<Self>, _ lda: Int, transposed: Bool,
    _ panels: UnsafePointer<Self>, _ c: UnsafeMutablePointer<Self>, _ ldc: Int, accumulate: Bool
  ) throws

  /// target[j·ldt + i] = source[i·lds + j] for i < rows, j < columns.
  static func transpose(
    _ rows: Int, _ columns: Int, _ source: UnsafePointer<Self>, _ lds: Int,
    _ target: UnsafeMutablePointer<Self>, _ ldt: Int)

  /// One tile through a pair of matrices.
  static func transform(
    _ pair: TilePair, _ layout: inout vb_transform_layout, _ input: UnsafePointer<Self>,
    _ output: UnsafeMutablePointer<Self>, bias: UnsafePointer<Self>?)
}

extension Float: WinogradScalar {
  static var panel: Int { vb_gemm_panel_f32(nil) }

  static func multiply(
    _ m: Int, _ n: Int, _ k: Int, _ a: UnsafePointer<Float>, _ lda: Int, transposed: Bool,
    _ panels: UnsafePointer<Float>, _ c: UnsafeMutablePointer<Float>, _ ldc: Int, accumulate: Bool
  ) throws {
    let status = vb_gemm_packed_f32(
      nil, m, n, k, a, lda, transposed ? 1 : 0, panels, c, ldc, accumulate ? 1 : 0)
    if status != 0 { throw MemoryError.outOfMemory(byteCount: scratchBytes) }
  }

  static func transpose(
    _ rows: Int, _ columns: Int, _ source: UnsafePointer<Float>, _ lds: Int,
    _ target: UnsafeMutablePointer<Float>, _ ldt: Int
  ) {
    vb_transpose_f32(nil, rows, columns, source, lds, target, ldt)
  }

  static func transform(
    _ pair: TilePair, _ layout: inout vb_transform_layout, _ input: UnsafePointer<Float>,
    _ output: UnsafeMutablePointer<Float>, bias: UnsafePointer<Float>?
  ) {
    vb_transform_2d_f32(
      nil, pair.vertical.pointer, pair.horizontal.pointer, &layout, input, output, bias)
  }
}

extension Double: WinogradScalar {
  static var panel: Int { vb_gemm_panel_f64(nil) }

  static func multiply(
    _ m: Int, _ n: Int, _ k: Int, _ a: UnsafePointer<Double>, _ lda: Int, transposed: Bool,
    _ panels: UnsafePointer<Double>, _ c: UnsafeMutablePointer<Double>, _ ldc: Int, accumulate: Bool
  ) throws {
    let status = vb_gemm_packed_f64(
      nil, m, n, k, a, lda, transposed ? 1 : 0, panels, c, ldc, accumulate ? 1 : 0)
    if status != 0 { throw MemoryError.outOfMemory(byteCount: scratchBytes) }
  }

  static func transpose(
    _ rows: Int, _ columns: Int, _ source: UnsafePointer<Double>, _ lds: Int,
    _ target: UnsafeMutablePointer<Double>, _ ldt: Int
  ) {
    vb_transpose_f64(nil, rows, columns, source, lds, target, ldt)
  }

  static func transform(
    _ pair: TilePair, _ layout: inout vb_transform_layout, _ input: UnsafePointer<Double>,
    _ output: UnsafeMutablePointer<Double>, bias: UnsafePointer<Double>?
  ) {
    vb_transform_2d_f64(
      nil, pair.vertical.pointer, pair.horizontal.pointer, &layout, input, output, bias)
  }
}

/// What the matrix kernel keeps per thread, about.
private let scratchBytes = 1 << 19
