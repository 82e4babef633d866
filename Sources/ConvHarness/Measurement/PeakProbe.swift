import ConvCore

/// What the machine's multipliers can do at best: independent chains of multiply-adds that stay in registers,
/// on the instruction set that kernels run on (`InstructionSet.current`), which `VBENCH_ISA` may have
/// lowered.
///
/// A probe takes some milliseconds, so that it can be taken in turn with what is compared with it: machines
/// drift.
public struct PeakProbe: Sendable {
  /// How the figure was got, for reports.
  public static let label = "chains of multiply-adds in registers, all threads together"

  private let pool: WorkerPool
  private let kernels = LimitKernels()

  /// A probe of all threads of `pool` together.
  public init(pool: WorkerPool) { self.pool = pool }

  /// GFLOP/s of all threads together in float32, a multiply-add counted as 2, over `seconds` after a
  /// millisecond in which threads wake and the processor settles its clock; NaN when the pool is at work or a
  /// thread did not get to run within two seconds.
  ///
  /// What a hypervisor takes of that time is missing in the figure, see `PoolRates`. The pool's threads poll
  /// for some milliseconds afterwards, as after every job.
  public func gflops(seconds: Double = 2e-3) -> Double {
    // Some 15 µs.
    let iterations = 10_000
    let phase = PoolRates.Phase(
      warmUpSeconds: 1e-3, seconds: seconds,
      unitsPerBlock: Double(kernels.flopsPerIteration * iterations) * 1e-9
    ) { thread, _ in _ = kernels.chains(iterations: iterations, seed: Float(thread)) }
    return PoolRates.measure([phase], pool: pool)[0]
  }
}

/// What our own matrix kernel makes of the multipliers, on operands that stay in the caches.
public struct MatrixKernelProbe {
  /// How the figure was got, for reports.
  public static let label = "240×256×256 per thread, cache-resident"

  private static let sizes = (m: 240, n: 256, k: 256)
  private let pool: WorkerPool
  private let buffers: [PooledBuffer]
  private let multiplier = KernelMatrixMultiplier()

  /// A probe of all threads of `pool` together.
  ///
  /// - Throws: `MemoryError`, also where all threads together would take more than a probe's share.
  public init(pool: WorkerPool) throws {
    let (m, n, k) = MatrixKernelProbe.sizes
    self.pool = pool
    try MemoryAllowance.current.requireShare(
      pool.threads, of: (m * k + k * n + m * n) * MemoryLayout<Float>.stride)
    buffers = try (0..<pool.threads).map { _ in
      try PooledBuffer(count: m * k + k * n + m * n, of: Float.self)
    }
    for buffer in buffers { buffer.elements(of: Float.self).initialize(repeating: 0) }
  }

  /// GFLOP/s of all threads together in float32 over `seconds`; NaN as of `PeakProbe`.
  public func gflops(seconds: Double = 2e-3) -> Double {
    let (m, n, k) = MatrixKernelProbe.sizes
    let phase = PoolRates.Phase(
      warmUpSeconds: 1e-3, seconds: seconds, unitsPerBlock: 2 * Double(m * n * k) * 1e-9
    ) { thread, _ in
      let a = buffers[thread].baseAddress.assumingMemoryBound(to: Float.self)
      let b = a + m * k
      multiplier.multiply(
        m: m, n: n, k: k, a: a, lda: k, transposeA: false, b: b, ldb: n, transposeB: false, c: b + k * n,
        ldc: n, accumulate: false)
    }
    return PoolRates.measure([phase], pool: pool)[0]
  }
}
