import ConvCore
import ConvHarness
import ConvTestSupport

/// How a faulty engine is wrong.
enum Fault: String, CaseIterable, Sendable {
  /// Nothing is wrong.
  case none
  /// All zeros.
  case zeros
  /// The middle filter tap is read as zero.
  case missingTap
  /// The last output column is computed without its last channel.
  case lostTail
  /// One element that is never looked at stays unwritten.
  case unwrittenElement
  /// Correct values with a relative error of 2⁻¹².
  case coarse
  /// The operands are rounded to 11 bits.
  case tensorFloat
}

extension FakeBackend {
  /// An engine for tests: correct arithmetic in the operands' type, except for one fault. Forward only.
  static func faulty(_ fault: Fault) -> FakeBackend {
    FakeBackend("faulty", passes: [.forward]) {
      $0.pass == .forward ? nil : "the test engine computes forward passes only"
    } changing: { plan in
      let (operation, signature) = (plan.operation, plan.inner.signature)
      plan.variant = "faulty[\(fault.rawValue)]"
      plan.model = { .summation(.chain, accumulator: operation.elementType) }
      plan.surround { operands, _, _ in
        let bound = try operands.bound(for: operation, signature: signature)
        if operation.elementType == .float64 {
          fault.run(Double.self, operation.problem, bound)
        } else {
          fault.run(Float.self, operation.problem, bound)
        }
      }
    }
  }
}

extension Fault {
  /// 11 bits are left.
  private func rounded<T: ConvScalar>(_ value: T) -> T {
    let scaled = Double(value) * (0x1p42 + 1)
    return T(scaled - (scaled - Double(value)))
  }

  fileprivate func run<T: ConvScalar>(_: T.Type, _ pr: ConvProblem, _ bound: BoundOperands) {
    let x = bound.input.assumingMemoryBound(to: T.self)
    let w = bound.filter.assumingMemoryBound(to: T.self)
    let y = bound.output.assumingMemoryBound(to: T.self)
    var index = 0
    for n in 0..<pr.n {
      for k in 0..<pr.k {
        for z in 0..<pr.output.d {
          for p in 0..<pr.output.h {
            for q in 0..<pr.output.w {
              var sum: T = 0
              for c in 0..<pr.cPerGroup {
                if self == .lostTail && q == pr.output.w - 1 && c == pr.cPerGroup - 1 { continue }
                for t in 0..<pr.filter.d {
                  for r in 0..<pr.filter.h {
                    for s in 0..<pr.filter.w {
                      if self == .missingTap && r == pr.filter.h / 2 && s == pr.filter.w / 2 { continue }
                      let d = z * pr.stride.d + t * pr.dilation.d - pr.padding.front
                      let h = p * pr.stride.h + r * pr.dilation.h - pr.padding.top
                      let i = q * pr.stride.w + s * pr.dilation.w - pr.padding.left
                      guard d >= 0, d < pr.input.d, h >= 0, h < pr.input.h, i >= 0, i < pr.input.w
                      else { continue }
                      let channel = k / pr.kPerGroup * pr.cPerGroup + c
                      let xi =
                        (((n * pr.c + channel) * pr.input.d + d) * pr.input.h + h) * pr.input.w + i
                      let wi =
                        (((k * pr.cPerGroup + c) * pr.filter.d + t) * pr.filter.h + r) * pr.filter.w + s
                      sum += self == .tensorFloat ? rounded(x[xi]) * rounded(w[wi]) : x[xi] * w[wi]
                    }
                  }
                }
              }
              switch self {
              case .zeros: y[index] = 0
              case .coarse: y[index] = sum * (1 + T(0x1p-12))
              case .unwrittenElement where index == 12345: break
              default: y[index] = sum
              }
              index += 1
            }
          }
        }
      }
    }
  }
}

extension ErrorModel {
  /// Bounds of 3×3 taps that are `factor` times too wide: F(2×2, 3×3), for filter gradients F(3×3, 2×2), with larger outputs.
  static func vague(_ pass: ConvPass, _ factor: Double) -> ErrorModel {
    var transform = pass == .backwardFilter ? VerificationTests.f32 : VerificationTests.f23
    transform.at = transform.at.map { $0 * factor }
    return .winograd(vertical: transform, horizontal: transform, depth: 1 << 20)
  }
}
