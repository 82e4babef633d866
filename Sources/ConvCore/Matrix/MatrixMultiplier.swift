/// Multiplies dense row-major matrices: C[m×n] = or += op(A)[m×k] · op(B)[k×n].
///
/// Implementations are single-threaded and re-entrant: engines call them from their own workers.
public protocol MatrixMultiplier: Sendable {
  /// Short name, as it stands in results: `kernel`, `openblas`.
  var name: String { get }

  /// Name, version and the core or instruction set in use.
  var description: String { get }

  /// C = or += op(A) · op(B), on the calling thread.
  ///
  /// - Parameters:
  ///   - m: Rows of C and of op(A).
  ///   - n: Columns of C and of op(B).
  ///   - k: Columns of op(A), rows of op(B). 0 is an empty sum.
  ///   - a: A, stored [m][lda], or [k][lda] when `transposeA`.
  ///   - lda: Elements from one stored row of A to the next.
  ///   - transposeA: op(A) = Aᵀ.
  ///   - b: B, stored [k][ldb], or [n][ldb] when `transposeB`.
  ///   - ldb: Elements from one stored row of B to the next.
  ///   - transposeB: op(B) = Bᵀ.
  ///   - c: C, stored [m][ldc]; it overlaps neither A nor B. Elements from n on of a row are left alone.
  ///   - ldc: Elements from one row of C to the next.
  ///   - accumulate: Add to C instead of overwriting it; when false, C is never read.
  func multiply<T: ConvScalar>(
    m: Int, n: Int, k: Int, a: UnsafePointer<T>, lda: Int, transposeA: Bool, b: UnsafePointer<T>, ldb: Int,
    transposeB: Bool, c: UnsafeMutablePointer<T>, ldc: Int, accumulate: Bool)

  /// As `multiply`, on the threads of `pool`: C is split into blocks whose limits depend on m, n, k only.
  ///
  /// - Throws: `MemoryError` when there is no memory to pack B into.
  func multiplyParallel<T: ConvScalar>(
    m: Int, n: Int, k: Int, a: UnsafePointer<T>, lda: Int, transposeA: Bool, b: UnsafePointer<T>, ldb: Int,
    transposeB: Bool, c: UnsafeMutablePointer<T>, ldc: Int, accumulate: Bool, pool: WorkerPool) throws
}

extension MatrixMultiplier {
  /// Each block of C by its own `multiply`.
  public func multiplyParallel<T: ConvScalar>(
    m: Int, n: Int, k: Int, a: UnsafePointer<T>, lda: Int, transposeA: Bool, b: UnsafePointer<T>, ldb: Int,
    transposeB: Bool, c: UnsafeMutablePointer<T>, ldc: Int, accumulate: Bool, pool: WorkerPool
  ) throws {
    let blocks = MatrixBlocks(m: m, n: n, k: k)
    pool.parallelFor(blocks.count) { index in
      let (rows, columns) = blocks[index]
      multiply(
        m: rows.count, n: columns.count, k: k,
        a: a + (transposeA ? rows.lowerBound : rows.lowerBound * lda), lda: lda, transposeA: transposeA,
        b: b + (transposeB ? columns.lowerBound * ldb : columns.lowerBound), ldb: ldb, transposeB: transposeB,
        c: c + rows.lowerBound * ldc + columns.lowerBound, ldc: ldc, accumulate: accumulate)
    }
  }
}

/// How a matrix product is cut into pieces for threads: a function of the sizes only, so that results are too.
public struct MatrixBlocks: Sendable, Hashable {
  /// Rows of a block.
  public let rowBlock: Int
  /// Columns of a block; a multiple of every kernel's panel width, or all columns.
  public let columnBlock: Int
  /// Rows of C.
  public let m: Int
  /// Columns of C.
  public let n: Int

  /// Blocks for an m×n product of depth k: about eight or more where that leaves each 0.5 MFLOP or more.
  public init(m: Int, n: Int, k: Int) {
    self.m = m
    self.n = n
    let wanted = min(8.0, 2 * Double(m) * Double(n) * Double(k) / 0.5e6)
    var rows = 192
    var columns = 512
    func count() -> Double {
      (Double(m) / Double(rows)).rounded(.up) * (Double(n) / Double(columns)).rounded(.up)
    }
    // The larger side is cut first; blocks stay multiples of the micro-tiles (6 or 4 rows, up to 64 columns).
    while count() < wanted, rows > 24 || columns > 64 {
      let cutColumns = columns > 64 && (min(columns, n) >= min(rows, m) || rows <= 24)
      if cutColumns { columns /= 2 } else { rows /= 2 }
    }
    rowBlock = wanted < 2 ? max(m, 1) : rows
    columnBlock = wanted < 2 ? max(n, 1) : columns
  }

  private var across: Int { (n + columnBlock - 1) / columnBlock }

  /// Number of blocks.
  public var count: Int { (m + rowBlock - 1) / rowBlock * across }

  /// Rows and columns of block `index`; blocks that share columns follow each other.
  public subscript(index: Int) -> (rows: Range<Int>, columns: Range<Int>) {
    let down = (m + rowBlock - 1) / rowBlock
    let row = index % down * rowBlock
    let column = index / down * columnBlock
    return (row..<min(row + rowBlock, m), column..<min(column + columnBlock, n))
  }
}
