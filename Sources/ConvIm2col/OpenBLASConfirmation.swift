#if OpenBLAS
  internal import COpenBLAS
  import ConvCore

  /// Whether OpenBLAS's core in use multiplies as it should: small products beside our own matrix kernel. Nothing else may
  /// multiply by OpenBLAS meanwhile (`OpenBLASGate.whileClosed`).
  ///
  /// Operands are small integers: every partial sum is exact in float32 and float64, so that values must be equal in any order
  /// of summation. A core must take at most twice the time of our own kernel on the same instructions: on a CPU with AVX-512 the
  /// cores of 0.3.21 take 0.7 to 0.9 of it, each on its own level, and SSE code takes 2.6 times that of AVX2, 4.8 times that of
  /// AVX-512. The least of several times counts, in turn, and the first
  /// turn that satisfies ends the measurement: a disturbed machine costs turns, not the verdict.
  struct OpenBLASConfirmation {
    /// No multiples of any block or vector, so that all edges are met; 40 MFLOP, 0.2 to 1 ms.
    static let (m, n, k) = (197, 259, 389)
    /// The most turns that are taken before a core counts as slow.
    static let turns = 20
    /// The most that a core may take, in times of our own kernel.
    static let allowedRatio = 2.0

    /// What is wrong with the core in use; nil where nothing is.
    ///
    /// - Parameter level: of the core.
    static func refusal(level: VectorLevel) -> String? {
      guard isRight() else { return refusal(isRight: false, seconds: 0, ownSeconds: 1) }
      let (seconds, ownSeconds) = times(level: level)
      return refusal(isRight: true, seconds: seconds, ownSeconds: ownSeconds)
    }

    /// The verdict on what was found: the same words on equal machines.
    static func refusal(isRight: Bool, seconds: Double, ownSeconds: Double) -> String? {
      guard isRight else { return "its product differs from our own kernel's" }
      return seconds <= allowedRatio * ownSeconds
        ? nil : "it takes more than \(Int(allowedRatio)) times the time of our own kernel"
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
    private static func times(level: VectorLevel) -> (core: Double, own: Double) {
      let set: InstructionSet = level == .avx512 ? .avx512 : level == .avx2 ? .avx2 : .baseline
      let own = (try? KernelMatrixMultiplier(instructionSet: set)) ?? KernelMatrixMultiplier()
      let operands = Operands<Float>(m, n, k)
      var least = (core: Double.infinity, own: Double.infinity)
      func seconds(_ body: () -> Void) -> Double {
        let duration = ContinuousClock().measure(body)
        return Double(duration.components.attoseconds) * 1e-18 + Double(duration.components.seconds)
      }
      for _ in 0..<turns {
        least.own = min(least.own, seconds { operands.multiply(by: own, .noTranspose, .noTranspose) })
        least.core = min(least.core, seconds { operands.multiplyByOpenBLAS(.noTranspose, .noTranspose) })
        if refusal(isRight: true, seconds: least.core, ownSeconds: least.own) == nil { break }
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
