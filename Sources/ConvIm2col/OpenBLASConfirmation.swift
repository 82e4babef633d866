#if OpenBLAS
  internal import COpenBLAS
  import ConvCore

  /// Whether OpenBLAS's core in use multiplies as it should: small products beside our own matrix kernel. Nothing else may
  /// multiply by OpenBLAS meanwhile (`OpenBLASGate.whileClosed`).
  ///
  /// Operands are small integers: every partial sum is exact in float32 and float64, so that values must be equal in any order
  /// of summation. A core must take at most twice the time of our own kernel on the same instructions: on a CPU with AVX-512 the
  /// cores of 0.3.21 take 0.7 to 0.9 of it, each on its own level, and SSE code takes 2.6 times that of AVX2, 4.8 times that of
  /// AVX-512. The least of several times counts, in turn, and the first turn that satisfies ends the measurement: a disturbed machine
  /// costs turns, not the verdict. A core that is slow by far costs fewer turns, for it is refused when a program starts.
  struct OpenBLASConfirmation {
    /// No multiples of any block or vector, so that all edges are met; 40 MFLOP, 0.2 to 1 ms.
    static let (m, n, k) = (197, 259, 389)
    /// The most turns that are taken before a core counts as slow.
    static let turns = 20
    /// Turns that are taken even where they are long; no further one begins after `longestSeconds`.
    static let leastTurns = 4
    /// The time after which no further turn begins.
    static let longestSeconds = 0.01
    /// The most that a core may take, in times of our own kernel on the core's level.
    static let allowedRatio = 2.0
    /// The same where the core's level is not known: on a Zen 5, cores for AVX-512 take 1.05 to 1.07 times the time of our own kernel,
    /// those for AVX2 1.9 and for AVX 2.15.
    static let allowedRatioUnknown = 1.4

    /// What is wrong with the core in use; nil where nothing is.
    ///
    /// - Parameter level: of the core; nil where it is not known: the CPU's counts then, within a narrower limit.
    static func refusal(level: VectorLevel?) -> String? {
      guard isRight() else { return refusal(isRight: false, seconds: 0, ownSeconds: 1) }
      let allowedRatio = level == nil ? allowedRatioUnknown : allowedRatio
      let (seconds, ownSeconds) = times(level: level ?? .cpu, allowedRatio: allowedRatio)
      return refusal(isRight: true, seconds: seconds, ownSeconds: ownSeconds, allowedRatio: allowedRatio)
    }

    /// The verdict on what was found: the same words on equal machines.
    static func refusal(
      isRight: Bool, seconds: Double, ownSeconds: Double, allowedRatio: Double = allowedRatio
    ) -> String? {
      guard isRight else { return "its product differs from our own kernel's" }
      return seconds <= allowedRatio * ownSeconds
        ? nil : "it takes more than \(allowedRatio) times the time of our own kernel"
    }

    /// Whether all kinds of products are equal to our own kernel's, to the bit.
    static func isRight() -> Bool {
      guard Operands<Float>(m, n, k).isRight(.noTranspose, .noTranspose) else { return false }
      return Transpose.allCases.allSatisfy { a in
        Transpose.allCases.allSatisfy { b in
          Operands<Float>(61, 67, 131).isRight(a, b) && Operands<Double>(61, 67, 131).isRight(a, b)
        }
      }
    }

    /// The least times of one float32 product by OpenBLAS and by our own kernel for `level`, in turn.
    private static func times(level: VectorLevel, allowedRatio: Double) -> (core: Double, own: Double) {
      let set: InstructionSet = level == .avx512 ? .avx512 : level == .avx2 ? .avx2 : .baseline
      let own = (try? KernelMatrixMultiplier(instructionSet: set)) ?? KernelMatrixMultiplier()
      let operands = Operands<Float>(m, n, k)
      var least = (core: Double.infinity, own: Double.infinity)
      func seconds(_ body: () -> Void) -> Double {
        let duration = ContinuousClock().measure(body)
        return Double(duration.components.attoseconds) * 1e-18 + Double(duration.components.seconds)
      }
      var spent = 0.0
      for turn in 0..<turns {
        if turn >= leastTurns && spent > longestSeconds { break }
        let ownSeconds = seconds { operands.multiply(by: own, .noTranspose, .noTranspose) }
        let coreSeconds = seconds { operands.multiplyByOpenBLAS(.noTranspose, .noTranspose) }
        least = (min(least.core, coreSeconds), min(least.own, ownSeconds))
        spent += ownSeconds + coreSeconds
        if least.core <= allowedRatio * least.own { break }
      }
      return least
    }
  }

  /// How an operand is stored.
  private enum Transpose: CaseIterable {
    case noTranspose, transpose
  }

  /// The operands of one product, and two places for the result.
  private final class Operands<T: ConvScalar> {
    private let m: Int, n: Int, k: Int
    private let a: [T], b: [T]
    private var c: [T], own: [T]

    init(_ m: Int, _ n: Int, _ k: Int) {
      (self.m, self.n, self.k) = (m, n, k)
      // Integers from -4 to 4, by a step that repeats in no row or column.
      func integers(_ count: Int, _ step: Int) -> [T] {
        (0..<count).map { T(Double($0 * step % 31 % 9 - 4)) }
      }
      a = integers(m * k, 17)
      b = integers(k * n, 23)
      c = [T](repeating: .nan, count: m * n)
      own = c
    }

    func isRight(_ transposeA: Transpose, _ transposeB: Transpose) -> Bool {
      for i in c.indices { c[i] = .nan }
      multiply(by: KernelMatrixMultiplier(), transposeA, transposeB)
      multiplyByOpenBLAS(transposeA, transposeB)
      return c == own
    }

    func multiply(by multiplier: KernelMatrixMultiplier, _ transposeA: Transpose, _ transposeB: Transpose) {
      let (isA, isB) = (transposeA == .transpose, transposeB == .transpose)
      multiplier.multiply(
        m: m, n: n, k: k, a: a, lda: isA ? m : k, transposeA: isA, b: b, ldb: isB ? k : n, transposeB: isB,
        c: &own, ldc: n, accumulate: false)
    }

    func multiplyByOpenBLAS(_ transposeA: Transpose, _ transposeB: Transpose) {
      let (isA, isB) = (transposeA == .transpose, transposeB == .transpose)
      OpenBLASMatrixMultiplier.multiplyUngated(
        m: m, n: n, k: k, a: a, lda: isA ? m : k, transposeA: isA, b: b, ldb: isB ? k : n, transposeB: isB,
        c: &c, ldc: n, accumulate: false)
    }
  }
#endif
