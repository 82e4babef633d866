#if OpenBLAS
  internal import COpenBLAS
  public import ConvCore

  /// OpenBLAS's sgemm and dgemm on the calling thread: its own threads are switched off, the workers are ours.
  ///
  /// Results do not depend on our thread count, since the blocks that are multiplied do not; OpenBLAS itself states no more than
  /// that equal calls on one core give equal results.
  public struct OpenBLASMatrixMultiplier: MatrixMultiplier {
    /// There is one OpenBLAS per process; see `OpenBLASConfiguration`.
    public init() { OpenBLASGate.shared.prepare() }

    /// `openblas`.
    public var name: String { "openblas" }

    /// `OpenBLAS 0.3.21 (Cooperlake)`.
    public var description: String {
      let current = OpenBLASConfiguration.current
      return "OpenBLAS \(current.version) (\(current.core))"
    }

    /// C = or += op(A) · op(B) by cblas_sgemm or cblas_dgemm; sizes up to 2³¹ − 1.
    public func multiply<T: ConvScalar>(
      m: Int, n: Int, k: Int, a: UnsafePointer<T>, lda: Int, transposeA: Bool, b: UnsafePointer<T>, ldb: Int,
      transposeB: Bool, c: UnsafeMutablePointer<T>, ldc: Int, accumulate: Bool
    ) {
      let sizes = [m, n, k, lda, ldb, ldc]
      precondition(
        sizes.allSatisfy { $0 >= 0 && $0 <= Int(Int32.max) },
        "OpenBLAS counts in 32 bits: m, n, k, lda, ldb, ldc are \(sizes)")
      if m == 0 || n == 0 { return }
      OpenBLASGate.shared.enter()
      defer { OpenBLASGate.shared.leave() }
      OpenBLASMatrixMultiplier.multiplyUngated(
        m: m, n: n, k: k, a: a, lda: lda, transposeA: transposeA, b: b, ldb: ldb, transposeB: transposeB,
        c: c, ldc: ldc, accumulate: accumulate)
    }

    /// The same for whoever holds the gate closed: sizes are from 1 and fit into 32 bits.
    static func multiplyUngated<T: ConvScalar>(
      m: Int, n: Int, k: Int, a: UnsafePointer<T>, lda: Int, transposeA: Bool, b: UnsafePointer<T>, ldb: Int,
      transposeB: Bool, c: UnsafeMutablePointer<T>, ldc: Int, accumulate: Bool
    ) {
      let opA = transposeA ? CblasTrans : CblasNoTrans
      let opB = transposeB ? CblasTrans : CblasNoTrans
      // BLAS wants row strides of at least 1 and, in empty sums, does not touch A and B.
      let (strideA, strideB) = (Int32(max(lda, 1)), Int32(max(ldb, 1)))
      if T.self == Float.self {
        cblas_sgemm(
          CblasRowMajor, opA, opB, Int32(m), Int32(n), Int32(k), 1, recast(a, Float.self), strideA,
          recast(b, Float.self), strideB, accumulate ? 1 : 0, recast(c, Float.self), Int32(ldc))
      } else {
        precondition(T.self == Double.self, "OpenBLAS multiplies Float and Double, not \(T.self)")
        cblas_dgemm(
          CblasRowMajor, opA, opB, Int32(m), Int32(n), Int32(k), 1, recast(a, Double.self), strideA,
          recast(b, Double.self), strideB, accumulate ? 1 : 0, recast(c, Double.self), Int32(ldc))
      }
    }

    private static func recast<T, U>(_ pointer: UnsafePointer<T>, _: U.Type) -> UnsafePointer<U> {
      UnsafeRawPointer(pointer).assumingMemoryBound(to: U.self)
    }

    private static func recast<T, U>(_ pointer: UnsafeMutablePointer<T>, _: U.Type) -> UnsafeMutablePointer<U>
    {
      UnsafeMutableRawPointer(pointer).assumingMemoryBound(to: U.self)
    }
  }
#endif
