import ConvCore

/// What the machine's multipliers can do at best: our own matrix kernel on operands that stay in the caches.
public enum PeakProbe {
  /// How the figure was got, for reports.
  public static let label = "own matrix kernel, 240×256×256 per thread, cache-resident, best of the probe"

  /// GFLOP/s of all threads of `pool` together in float32: the best of about 0.2 s.
  ///
  /// - Throws: `ConvError.allocationFailed`.
  public static func measure(pool: WorkerPool) throws -> Double {
    let (m, n, k) = (240, 256, 256)
    let threads = pool.threads
    let bytes = (m * k + k * n + m * n) * 4
    let buffers = try (0..<threads).map { _ in try PooledBuffer(byteCount: bytes) }
    for buffer in buffers { buffer.baseAddress.initializeMemory(as: UInt8.self, repeating: 0, count: bytes) }
    let multiplier = KernelMatrixMultiplier()
    let repetitions = 4
    func run() -> Double {
      let start = ContinuousClock.now
      pool.parallelFor(threads) { thread in
        let a = buffers[thread].baseAddress.assumingMemoryBound(to: Float.self)
        let b = a + m * k
        let c = b + k * n
        for _ in 0..<repetitions {
          multiplier.multiply(
            m: m, n: n, k: k, a: a, lda: k, transposeA: false, b: b, ldb: n, transposeB: false, c: c,
            ldc: n, accumulate: false)
        }
      }
      return (ContinuousClock.now - start).seconds
    }
    let flops = 2.0 * Double(m * n * k * repetitions * threads)
    var best = 0.0
    let end = ContinuousClock.now + .milliseconds(200)
    while ContinuousClock.now < end { best = max(best, flops / run() * 1e-9) }
    return best
  }
}

extension Duration {
  /// The duration in seconds.
  public var seconds: Double {
    Double(components.seconds) + Double(components.attoseconds) * 1e-18
  }
}
