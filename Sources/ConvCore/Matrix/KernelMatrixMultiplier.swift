internal import CConvKernels

/// Our own matrix kernel; it needs no system library.
///
/// The sum over k of one element is taken in blocks that depend on k only (at most 384 terms each, one accumulator
/// per block, with fused multiply-adds where the CPU has them). Results therefore do not depend on how a caller
/// splits rows or columns, nor on threads: bit-equal.
public struct KernelMatrixMultiplier: MatrixMultiplier {
  /// The instruction set that it runs on.
  public let instructionSet: InstructionSet

  private struct Table: @unchecked Sendable { let kernels: OpaquePointer }
  private let table: Table

  /// The largest block of the sum over k: the depth of one chain of additions.
  public static let accumulationBlock = 384

  /// The most roundings that one product meets on its way into a sum over `k` terms, cut into `calls` accumulating calls
  /// of at most `perCall` terms: the additions inside its block, then one per block.
  ///
  /// This, not k, is the summation depth of blocked sums (P. Blanchard, N. J. Higham, T. Mary: *A class of fast and
  /// accurate summation algorithms*, SIAM J. Sci. Comput. 42, 2020, section 2).
  public static func summationDepth(_ k: Int, perCall: Int? = nil) -> Int {
    let length = min(k, perCall ?? k)
    let blocksPerCall = (length + accumulationBlock - 1) / accumulationBlock
    let calls = (k + length - 1) / length
    return depthBlock(length) + calls * blocksPerCall - 1
  }

  /// Length of the equal blocks that a product of depth k is summed in, one accumulator each.
  ///
  /// A caller that multiplies block by block, in order and accumulating, gets the bits of one call.
  public static func depthBlock(_ k: Int) -> Int {
    let blocks = max(1, (k + accumulationBlock - 1) / accumulationBlock)
    return (k + blocks - 1) / blocks
  }

  /// On this process's instruction set.
  public init() {
    let current = InstructionSet.current
    guard let kernels = current.kernels else {
      preconditionFailure("\(current) is current but not available")
    }
    instructionSet = current
    table = Table(kernels: kernels)
  }

  /// On the instruction set asked for.
  ///
  /// - Throws: `InstructionSet.SelectionError.missing` when this CPU lacks it.
  public init(instructionSet: InstructionSet) throws {
    guard let kernels = instructionSet.kernels else {
      throw InstructionSet.SelectionError.missing(instructionSet, available: InstructionSet.available)
    }
    self.instructionSet = instructionSet
    table = Table(kernels: kernels)
  }

  /// `kernel`.
  public var name: String { "kernel" }

  /// `kernel (avx512)`.
  public var description: String { "kernel (\(instructionSet))" }

  /// C = or += op(A) · op(B); see `MatrixMultiplier`.
  public func multiply<T: ConvScalar>(
    m: Int, n: Int, k: Int, a: UnsafePointer<T>, lda: Int, transposeA: Bool, b: UnsafePointer<T>, ldb: Int,
    transposeB: Bool, c: UnsafeMutablePointer<T>, ldc: Int, accumulate: Bool
  ) {
    precondition(m >= 0 && n >= 0 && k >= 0, "multiply: negative size in m \(m), n \(n), k \(k)")
    let status: Int32
    if T.self == Float.self {
      status = vb_gemm_f32(
        table.kernels, m, n, k, recast(a), lda, transposeA ? 1 : 0, recast(b), ldb, transposeB ? 1 : 0,
        recast(c), ldc, accumulate ? 1 : 0)
    } else {
      requireDouble(T.self)
      status = vb_gemm_f64(
        table.kernels, m, n, k, recast(a), lda, transposeA ? 1 : 0, recast(b), ldb, transposeB ? 1 : 0,
        recast(c), ldc, accumulate ? 1 : 0)
    }
    requireScratch(status)
  }

  /// As `multiply` on the threads of `pool`, with B packed once.
  ///
  /// - Throws: `MemoryError` when there is no memory to pack B into.
  public func multiplyParallel<T: ConvScalar>(
    m: Int, n: Int, k: Int, a: UnsafePointer<T>, lda: Int, transposeA: Bool, b: UnsafePointer<T>, ldb: Int,
    transposeB: Bool, c: UnsafeMutablePointer<T>, ldc: Int, accumulate: Bool, pool: WorkerPool
  ) throws {
    let blocks = MatrixBlocks(m: m, n: n, k: k)
    if blocks.count <= 1 || m <= blocks.rowBlock {
      // Every column of B is used by one block only: it is packed there, while it is in the cache.
      pool.parallelFor(blocks.count) { index in
        let (_, columns) = blocks[index]
        multiply(
          m: m, n: columns.count, k: k, a: a, lda: lda, transposeA: transposeA,
          b: b + (transposeB ? columns.lowerBound * ldb : columns.lowerBound), ldb: ldb,
          transposeB: transposeB,
          c: c + columns.lowerBound, ldc: ldc, accumulate: accumulate)
      }
      return
    }
    let packed = try PackedMatrix(
      rows: k, columns: n, b, stride: ldb, transposed: transposeB, multiplier: self, pool: pool)
    pool.parallelFor(blocks.count) { index in
      let (rows, columns) = blocks[index]
      multiplyPacked(
        m: rows.count, n: columns.count, k: k,
        a: a + (transposeA ? rows.lowerBound : rows.lowerBound * lda), lda: lda, transposeA: transposeA,
        packed: packed.panels + columns.lowerBound * k,
        c: c + rows.lowerBound * ldc + columns.lowerBound, ldc: ldc, accumulate: accumulate)
    }
  }
}

/// Products with B packed beforehand, for engines that reuse it (transformed filters, layers' weights).
extension KernelMatrixMultiplier {
  /// Columns of one panel of packed B.
  public func panelWidth<T: ConvScalar>(_ type: T.Type) -> Int {
    if T.self == Float.self { return vb_gemm_panel_f32(table.kernels) }
    requireDouble(T.self)
    return vb_gemm_panel_f64(table.kernels)
  }

  /// Elements that B [k×n] takes up when packed: n rounded up to whole panels, times k.
  ///
  /// - Throws: `MemoryError.invalidSize` when that overflows.
  public func packedCount<T: ConvScalar>(k: Int, n: Int, _ type: T.Type) throws -> Int {
    precondition(k >= 0 && n >= 0, "packedCount: negative size in k \(k), n \(n)")
    let count =
      T.self == Float.self
      ? vb_pack_b_count_f32(table.kernels, k, n) : vb_pack_b_count_f64(table.kernels, k, n)
    guard count >= 0, count <= Int.max / MemoryLayout<T>.stride else {
      throw MemoryError.invalidSize(byteCount: Int.max)
    }
    return count
  }

  /// Packs op(B) [k×n] into `packed`, `packedCount` elements: panel j is [k][panelWidth] at offset j·k·panelWidth.
  ///
  /// The last panel is padded with zeros. Columns of whole panels may be packed by separate calls.
  public func pack<T: ConvScalar>(
    k: Int, n: Int, b: UnsafePointer<T>, ldb: Int, transposeB: Bool, into packed: UnsafeMutablePointer<T>
  ) {
    precondition(k >= 0 && n >= 0, "pack: negative size in k \(k), n \(n)")
    if T.self == Float.self {
      vb_pack_b_f32(table.kernels, k, n, recast(b), ldb, transposeB ? 1 : 0, recast(packed))
    } else {
      requireDouble(T.self)
      vb_pack_b_f64(table.kernels, k, n, recast(b), ldb, transposeB ? 1 : 0, recast(packed))
    }
  }

  /// C = or += op(A) · B on the calling thread, with B [k×n] from `pack`.
  ///
  /// To compute some columns only, pass the panels from there on (`packed + k * column`, column a multiple of the
  /// panel width) and their number as `n`.
  public func multiplyPacked<T: ConvScalar>(
    m: Int, n: Int, k: Int, a: UnsafePointer<T>, lda: Int, transposeA: Bool, packed: UnsafePointer<T>,
    c: UnsafeMutablePointer<T>, ldc: Int, accumulate: Bool
  ) {
    precondition(m >= 0 && n >= 0 && k >= 0, "multiplyPacked: negative size in m \(m), n \(n), k \(k)")
    let status: Int32
    if T.self == Float.self {
      status = vb_gemm_packed_f32(
        table.kernels, m, n, k, recast(a), lda, transposeA ? 1 : 0, recast(packed), recast(c), ldc,
        accumulate ? 1 : 0)
    } else {
      requireDouble(T.self)
      status = vb_gemm_packed_f64(
        table.kernels, m, n, k, recast(a), lda, transposeA ? 1 : 0, recast(packed), recast(c), ldc,
        accumulate ? 1 : 0)
    }
    requireScratch(status)
  }

  /// target[j · ldt + i] = source[i · lds + j] for i < rows, j < columns.
  public func transpose<T: ConvScalar>(
    rows: Int, columns: Int, source: UnsafePointer<T>, lds: Int, target: UnsafeMutablePointer<T>, ldt: Int
  ) {
    precondition(rows >= 0 && columns >= 0, "transpose: negative size \(rows) × \(columns)")
    if T.self == Float.self {
      vb_transpose_f32(table.kernels, rows, columns, recast(source), lds, recast(target), ldt)
    } else {
      requireDouble(T.self)
      vb_transpose_f64(table.kernels, rows, columns, recast(source), lds, recast(target), ldt)
    }
  }

  private func requireScratch(_ status: Int32) {
    guard status == 0 else {
      fatalError("out of memory: a matrix product's scratch space (up to 2 MB) is missing")
    }
  }
}

/// A right-hand matrix B [rows×columns] in the kernel's panels, to be multiplied with many times.
public final class PackedMatrix<T: ConvScalar>: @unchecked Sendable {
  /// Rows of B: the depth k of a product.
  public let rows: Int
  /// Columns of B.
  public let columns: Int
  /// Whose panels they are.
  public let multiplier: KernelMatrixMultiplier
  private let buffer: PooledBuffer

  /// The panels; panel j is [rows][panelWidth] at offset j · rows · panelWidth.
  public var panels: UnsafePointer<T> { UnsafePointer(buffer.baseAddress.assumingMemoryBound(to: T.self)) }

  /// Bytes that the panels take up.
  public var byteCount: Int { buffer.byteCount }

  /// Packs op(B): `matrix` is stored [rows][stride], or [columns][stride] when `transposed`.
  ///
  /// - Throws: `MemoryError` when there is no memory for the panels.
  public init(
    rows: Int, columns: Int, _ matrix: UnsafePointer<T>, stride: Int, transposed: Bool = false,
    multiplier: KernelMatrixMultiplier = KernelMatrixMultiplier(), pool: WorkerPool? = nil
  ) throws {
    self.rows = rows
    self.columns = columns
    self.multiplier = multiplier
    buffer = try PooledBuffer(
      count: multiplier.packedCount(k: rows, n: columns, T.self), of: T.self)
    let panels = buffer.baseAddress.bindMemory(
      to: T.self, capacity: buffer.byteCount / MemoryLayout<T>.stride)
    let width = multiplier.panelWidth(T.self)
    func pack(_ panel: Int) {
      let column = panel * width
      multiplier.pack(
        k: rows, n: min(width, columns - column), b: matrix + (transposed ? column * stride : column),
        ldb: stride, transposeB: transposed, into: panels + column * rows)
    }
    let count = (columns + width - 1) / width
    if let pool { pool.parallelFor(count, pack) } else { for panel in 0..<count { pack(panel) } }
  }

  /// C [m×columns] = or += op(A) · B, on the calling thread.
  public func multiply(
    m: Int, a: UnsafePointer<T>, lda: Int, transposeA: Bool = false, c: UnsafeMutablePointer<T>, ldc: Int,
    accumulate: Bool = false
  ) {
    multiplier.multiplyPacked(
      m: m, n: columns, k: rows, a: a, lda: lda, transposeA: transposeA, packed: panels, c: c, ldc: ldc,
      accumulate: accumulate)
  }
}

/// The same memory seen as another scalar type; only called when T is that type.
@inline(__always)
func recast<T, U>(_ pointer: UnsafePointer<T>) -> UnsafePointer<U> {
  UnsafeRawPointer(pointer).assumingMemoryBound(to: U.self)
}

/// The same memory seen as another scalar type; only called when T is that type.
@inline(__always)
func recast<T, U>(_ pointer: UnsafeMutablePointer<T>) -> UnsafeMutablePointer<U> {
  UnsafeMutableRawPointer(pointer).assumingMemoryBound(to: U.self)
}

/// The kernels know `Float` and `Double`, the only scalars that conform in this package.
@inline(__always)
func requireDouble<T>(_ type: T.Type) {
  precondition(T.self == Double.self, "the kernels compute in Float and Double, not in \(T.self)")
}
