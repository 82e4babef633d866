internal import CConvKernels
import ConvCore

// The C kernels, spelled once for both element types. All of them are single-threaded and re-entrant.

/// One instruction set's kernels, fixed when a plan is made: packed filters and blockings follow its vectors.
struct Kernels: @unchecked Sendable {
  // @unchecked: the table is constant.
  let table: OpaquePointer

  /// The current ones.
  static var current: Kernels { Kernels(table: vb_kernels_current()) }

  /// Elements of one vector.
  func lanes<T: ConvScalar>(_: T.Type) -> Int { vb_kernels_vector_bytes(table) / MemoryLayout<T>.stride }
}

/// Element types with kernels.
protocol DirectScalar: ConvScalar {
  /// Columns of one panel of packed weights.
  static func panel(_ kernels: Kernels) -> Int

  /// B [k × n], or its transpose where `transposed` ([n × k]), into panels.
  static func pack(
    _ kernels: Kernels, _ k: Int, _ n: Int, _ b: UnsafePointer<Self>, _ ldb: Int, transposed: Bool,
    _ panels: UnsafeMutablePointer<Self>)

  /// target[j·ldt + i] = source[i·lds + j] for i < rows, j < columns.
  static func transpose(
    _ kernels: Kernels, _ rows: Int, _ columns: Int, _ source: UnsafePointer<Self>, _ lds: Int,
    _ target: UnsafeMutablePointer<Self>, _ ldt: Int)

  /// `lines` runs of `length` elements, `stride` apart, one behind the other.
  static func gather(
    _ kernels: Kernels, _ lines: Int, _ length: Int, _ from: UnsafePointer<Self>, stride: Int,
    _ to: UnsafeMutablePointer<Self>)

  /// One strip of an implicit product.
  static func implicit(
    _ kernels: Kernels, _ shape: inout vb_implicit, _ a: UnsafePointer<Self>, _ panel: UnsafePointer<Self>,
    _ bias: UnsafePointer<Self>?, _ c: UnsafeMutablePointer<Self>)

  /// One row of depthwise windows, channels last.
  static func depthwise(
    _ kernels: Kernels, _ shape: inout vb_depthwise, _ x: UnsafePointer<Self>, _ w: UnsafePointer<Self>,
    _ bias: UnsafePointer<Self>?, _ y: UnsafeMutablePointer<Self>)

  /// Sums of depthwise windows against dy, channels last.
  static func depthwiseGradient(
    _ kernels: Kernels, _ shape: inout vb_depthwise, _ x: UnsafePointer<Self>, _ dy: UnsafePointer<Self>,
    _ sums: UnsafeMutablePointer<Self>)

  /// Windows of one plane.
  static func plane(
    _ kernels: Kernels, _ shape: inout vb_plane, _ x: UnsafePointer<Self>, _ w: UnsafePointer<Self>,
    _ start: Self, _ y: UnsafeMutablePointer<Self>)

  /// Sums of a plane's windows against dy.
  static func planeGradient(
    _ kernels: Kernels, _ shape: inout vb_plane, _ x: UnsafePointer<Self>, _ dy: UnsafePointer<Self>,
    _ sums: UnsafeMutablePointer<Self>)
}

extension Float: DirectScalar {
  static func panel(_ kernels: Kernels) -> Int { vb_gemm_panel_f32(kernels.table) }

  static func pack(
    _ kernels: Kernels, _ k: Int, _ n: Int, _ b: UnsafePointer<Float>, _ ldb: Int, transposed: Bool,
    _ panels: UnsafeMutablePointer<Float>
  ) {
    vb_pack_b_f32(kernels.table, k, n, b, ldb, transposed ? 1 : 0, panels)
  }

  static func transpose(
    _ kernels: Kernels, _ rows: Int, _ columns: Int, _ source: UnsafePointer<Float>, _ lds: Int,
    _ target: UnsafeMutablePointer<Float>, _ ldt: Int
  ) {
    vb_transpose_f32(kernels.table, rows, columns, source, lds, target, ldt)
  }

  static func gather(
    _ kernels: Kernels, _ lines: Int, _ length: Int, _ from: UnsafePointer<Float>, stride: Int,
    _ to: UnsafeMutablePointer<Float>
  ) {
    vb_gather_lines_f32(kernels.table, lines, 0, length, 0, from, stride, 1, to)
  }

  static func implicit(
    _ kernels: Kernels, _ shape: inout vb_implicit, _ a: UnsafePointer<Float>, _ panel: UnsafePointer<Float>,
    _ bias: UnsafePointer<Float>?, _ c: UnsafeMutablePointer<Float>
  ) {
    vb_implicit_f32(kernels.table, &shape, a, panel, bias, c)
  }

  static func depthwise(
    _ kernels: Kernels, _ shape: inout vb_depthwise, _ x: UnsafePointer<Float>, _ w: UnsafePointer<Float>,
    _ bias: UnsafePointer<Float>?, _ y: UnsafeMutablePointer<Float>
  ) {
    vb_depthwise_f32(kernels.table, &shape, x, w, bias, y)
  }

  static func depthwiseGradient(
    _ kernels: Kernels, _ shape: inout vb_depthwise, _ x: UnsafePointer<Float>, _ dy: UnsafePointer<Float>,
    _ sums: UnsafeMutablePointer<Float>
  ) {
    vb_depthwise_gradient_f32(kernels.table, &shape, x, dy, sums)
  }

  static func plane(
    _ kernels: Kernels, _ shape: inout vb_plane, _ x: UnsafePointer<Float>, _ w: UnsafePointer<Float>,
    _ start: Float, _ y: UnsafeMutablePointer<Float>
  ) {
    vb_plane_f32(kernels.table, &shape, x, w, start, y)
  }

  static func planeGradient(
    _ kernels: Kernels, _ shape: inout vb_plane, _ x: UnsafePointer<Float>, _ dy: UnsafePointer<Float>,
    _ sums: UnsafeMutablePointer<Float>
  ) {
    vb_plane_gradient_f32(kernels.table, &shape, x, dy, sums)
  }
}

extension Double: DirectScalar {
  static func panel(_ kernels: Kernels) -> Int { vb_gemm_panel_f64(kernels.table) }

  static func pack(
    _ kernels: Kernels, _ k: Int, _ n: Int, _ b: UnsafePointer<Double>, _ ldb: Int, transposed: Bool,
    _ panels: UnsafeMutablePointer<Double>
  ) {
    vb_pack_b_f64(kernels.table, k, n, b, ldb, transposed ? 1 : 0, panels)
  }

  static func transpose(
    _ kernels: Kernels, _ rows: Int, _ columns: Int, _ source: UnsafePointer<Double>, _ lds: Int,
    _ target: UnsafeMutablePointer<Double>, _ ldt: Int
  ) {
    vb_transpose_f64(kernels.table, rows, columns, source, lds, target, ldt)
  }

  static func gather(
    _ kernels: Kernels, _ lines: Int, _ length: Int, _ from: UnsafePointer<Double>, stride: Int,
    _ to: UnsafeMutablePointer<Double>
  ) {
    vb_gather_lines_f64(kernels.table, lines, 0, length, 0, from, stride, 1, to)
  }

  static func implicit(
    _ kernels: Kernels, _ shape: inout vb_implicit, _ a: UnsafePointer<Double>,
    _ panel: UnsafePointer<Double>,
    _ bias: UnsafePointer<Double>?, _ c: UnsafeMutablePointer<Double>
  ) {
    vb_implicit_f64(kernels.table, &shape, a, panel, bias, c)
  }

  static func depthwise(
    _ kernels: Kernels, _ shape: inout vb_depthwise, _ x: UnsafePointer<Double>, _ w: UnsafePointer<Double>,
    _ bias: UnsafePointer<Double>?, _ y: UnsafeMutablePointer<Double>
  ) {
    vb_depthwise_f64(kernels.table, &shape, x, w, bias, y)
  }

  static func depthwiseGradient(
    _ kernels: Kernels, _ shape: inout vb_depthwise, _ x: UnsafePointer<Double>, _ dy: UnsafePointer<Double>,
    _ sums: UnsafeMutablePointer<Double>
  ) {
    vb_depthwise_gradient_f64(kernels.table, &shape, x, dy, sums)
  }

  static func plane(
    _ kernels: Kernels, _ shape: inout vb_plane, _ x: UnsafePointer<Double>, _ w: UnsafePointer<Double>,
    _ start: Double, _ y: UnsafeMutablePointer<Double>
  ) {
    vb_plane_f64(kernels.table, &shape, x, w, start, y)
  }

  static func planeGradient(
    _ kernels: Kernels, _ shape: inout vb_plane, _ x: UnsafePointer<Double>, _ dy: UnsafePointer<Double>,
    _ sums: UnsafeMutablePointer<Double>
  ) {
    vb_plane_gradient_f64(kernels.table, &shape, x, dy, sums)
  }
}
