internal import CConvKernels

/// Work that shows what one core can do at best, on one instruction set: multiply-adds that stay in registers
/// and plain passes over arrays. Whoever times it counts it.
public struct LimitKernels: Sendable {
  /// Each step of a chain is x · (1 − summand) + summand, which goes to 1: values stay finite and normal for
  /// ever.
  public static let chainSummand: Float = 0x1p-10

  /// The instruction set that it runs on.
  public let instructionSet: InstructionSet

  private struct Table: @unchecked Sendable { let kernels: OpaquePointer }
  private let table: Table

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

  /// FLOPs of one iteration of `chains`: two for each value, whether multiplication and addition are fused
  /// (AVX-512, AVX2, NEON) or not (SSE2).
  public var flopsPerIteration: Int { vb_fma_chains_flops(table.kernels) }

  /// One step of every chain per iteration, in registers. Value k starts at seed + k, for k <
  /// `flopsPerIteration` / 2.
  ///
  /// - Returns: the sum of all values at the end.
  public func chains(iterations: Int, seed: Float) -> Float {
    precondition(iterations >= 0, "chains: \(iterations) iterations")
    return vb_fma_chains_f32(table.kernels, iterations, seed)
  }

  /// Reads `count` words, `passes` times.
  ///
  /// - Returns: the sum of all that was read, modulo 2³².
  public func read(passes: Int, count: Int, _ x: UnsafePointer<UInt32>) -> UInt32 {
    precondition(passes >= 0 && count >= 0, "read: \(passes) passes over \(count) words")
    return vb_read_u32(table.kernels, passes, count, x)
  }

  /// y[i] = value for i < count, `passes` times, through the caches.
  public func write(passes: Int, count: Int, _ value: UInt32, into y: UnsafeMutablePointer<UInt32>) {
    precondition(passes >= 0 && count >= 0, "write: \(passes) passes over \(count) words")
    vb_write_u32(table.kernels, passes, count, value, y)
  }

  /// a[i] = b[i] + scale · c[i] for i < count, `passes` times. The arrays do not overlap.
  ///
  /// References: McCalpin, *Memory bandwidth and machine balance*, 1995: STREAM's triad.
  public func triad(
    passes: Int, count: Int, scale: Float, _ b: UnsafePointer<Float>, _ c: UnsafePointer<Float>,
    into a: UnsafeMutablePointer<Float>
  ) {
    precondition(passes >= 0 && count >= 0, "triad: \(passes) passes over \(count) elements")
    vb_triad_f32(table.kernels, passes, count, scale, b, c, a)
  }
}
