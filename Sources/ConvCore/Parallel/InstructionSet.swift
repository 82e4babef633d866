internal import CConvKernels
import Foundation

/// The instruction sets that the kernels are compiled for.
public enum InstructionSet: String, Sendable, Hashable, CaseIterable, CustomStringConvertible {
  /// 512-bit vectors: AVX-512 F, VL, BW, DQ.
  case avx512
  /// 256-bit vectors: AVX2 and FMA.
  case avx2
  /// 128-bit vectors of the architecture's base: SSE2, NEON.
  case baseline

  /// The name as it stands in results: `avx512`, `avx2`, `baseline`.
  public var description: String { rawValue }

  /// What is wrong with an instruction set that was asked for.
  public enum SelectionError: Error, Hashable, CustomStringConvertible {
    /// No instruction set has this name.
    case unknown(String)
    /// This CPU lacks it.
    case missing(InstructionSet, available: [InstructionSet])

    /// What was asked for and what there is.
    public var description: String {
      switch self {
      case .unknown(let name):
        let names = InstructionSet.allCases.map(\.rawValue).joined(separator: ", ")
        return "VBENCH_ISA=\(QuotedText.shortened(name)): no such instruction set; there are \(names)"
      case .missing(let wanted, let available):
        let names = available.map(\.rawValue).joined(separator: ", ")
        return "instruction set \(wanted) is not available on this CPU; it has \(names)"
      }
    }
  }

  /// Bytes of one vector.
  public var vectorBytes: Int {
    switch self {
    case .avx512: 64
    case .avx2: 32
    case .baseline: 16
    }
  }

  /// Whether this CPU has it.
  public var isAvailable: Bool { kernels != nil }

  /// The instruction sets of this CPU, the fastest first.
  public static var available: [InstructionSet] { allCases.filter(\.isAvailable) }

  /// The one that kernels run on: `VBENCH_ISA`'s, else the best of this CPU.
  public static var current: InstructionSet {
    _ = environmentReport
    return InstructionSet(rawValue: String(cString: vb_isa_name())) ?? .baseline
  }

  /// What is wrong with `VBENCH_ISA`; nil when it is not set or was followed.
  ///
  /// When it is not nil the best instruction set of this CPU is used, and standard error says so.
  public static var environmentError: SelectionError? {
    guard vb_isa_environment_status() != VB_ISA_OK else { return nil }
    let name = ProcessInfo.processInfo.environment["VBENCH_ISA"] ?? ""
    guard let wanted = InstructionSet(rawValue: name) else { return .unknown(name) }
    return .missing(wanted, available: available)
  }

  private static let environmentReport: Void = {
    if let error = environmentError {
      StandardError.write("vbench: \(error); using \(String(cString: vb_isa_name()))\n")
    }
  }()

  /// The kernel table; nil when the CPU lacks it.
  var kernels: OpaquePointer? { vb_kernels_named(rawValue) }
}
