import ConvCore
import ConvHarness
import Foundation

/// The checkout's References folder.
let referencesRoot = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
  .deletingLastPathComponent().appendingPathComponent("References").path

/// A folder of its own for one test, removed afterwards.
func withTemporaryFolder<R>(_ body: (String) throws -> R) throws -> R {
  let folder = FileManager.default.temporaryDirectory.appendingPathComponent("vbench-\(UUID().uuidString)")
  try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(at: folder) }
  return try body(folder.path)
}

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

/// An engine for tests: correct float32 arithmetic, except for one fault. Forward only.
struct FaultyBackend: ConvolutionBackend {
  var fault: Fault
  var name: String { "faulty" }

  func nativeSupport(for operation: ConvOperation, _ options: PlanOptions) -> Support {
    guard operation.pass == .forward, operation.isCanonicalFormat, operation.epilogue.isEmpty else {
      return .unsupported("the test engine computes plain forward passes only")
    }
    return .supported
  }

  func forwardPlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan {
    FaultyPlan(operation: operation, fault: fault)
  }
}

struct FaultyPlan: ConvPlan {
  let operation: ConvOperation
  let fault: Fault

  var workspaceBytes: Int { 128 }
  var executedFLOPs: Double { operation.problem.directFLOPs }
  var variant: String { "faulty[\(fault.rawValue)]" }
  var executedBy: String { "faulty" }
  var errorModel: ErrorModel {
    .summation(.chain, accumulator: operation.elementType)
  }

  func prepare(filter: UnsafeRawPointer, pool: WorkerPool) throws -> PreparedFilter {
    try PreparedFilter.copy(of: filter, for: self)
  }

  func execute(
    _ operands: ConvOperands, workspace: UnsafeMutableRawBufferPointer, pool: WorkerPool,
    phases: PhaseRecorder?
  ) throws {
    if operation.elementType == .float64 {
      try run(Double.self, operands)
    } else {
      try run(Float.self, operands)
    }
  }

  /// 11 bits are left.
  private func rounded<T: ConvScalar>(_ value: T) -> T {
    let scaled = Double(value) * (0x1p42 + 1)
    return T(scaled - (scaled - Double(value)))
  }

  private func run<T: ConvScalar>(_: T.Type, _ operands: ConvOperands) throws {
    let bound = try operands.bound(for: operation, signature: signature)
    let x = bound.input.assumingMemoryBound(to: T.self)
    let w = bound.filter.assumingMemoryBound(to: T.self)
    let y = bound.output.assumingMemoryBound(to: T.self)
    let pr = operation.problem
    var index = 0
    for n in 0..<pr.n {
      for k in 0..<pr.k {
        for z in 0..<pr.output.d {
          for p in 0..<pr.output.h {
            for q in 0..<pr.output.w {
              var sum: T = 0
              for c in 0..<pr.cPerGroup {
                if fault == .lostTail && q == pr.output.w - 1 && c == pr.cPerGroup - 1 { continue }
                for t in 0..<pr.filter.d {
                  for r in 0..<pr.filter.h {
                    for s in 0..<pr.filter.w {
                      if fault == .missingTap && r == pr.filter.h / 2 && s == pr.filter.w / 2 { continue }
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
                      sum += fault == .tensorFloat ? rounded(x[xi]) * rounded(w[wi]) : x[xi] * w[wi]
                    }
                  }
                }
              }
              switch fault {
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
