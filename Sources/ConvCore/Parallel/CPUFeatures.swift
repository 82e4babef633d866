internal import CConvKernels

/// How wide a library's vector instructions go, as far as float32 and float64 are concerned: one scale for OpenBLAS's cores,
/// FFTW's builds and oneDNN's code.
public enum VectorLevel: Int, Sendable, Hashable, Comparable, CaseIterable, CustomStringConvertible {
  /// 128 bits: what the architecture always has (SSE2 to SSE4.2 on x86-64).
  case base
  /// 256 bits, no fused multiply-add.
  case avx
  /// 256 bits, fused multiply-add.
  case avx2
  /// 512 bits.
  case avx512

  /// As in `AVX-512`.
  public var description: String {
    switch self {
    case .base:
      #if arch(x86_64)
        "SSE"
      #else
        "base instructions"
      #endif
    case .avx: "AVX"
    case .avx2: "AVX2"
    case .avx512: "AVX-512"
    }
  }

  /// Whether the left one has the narrower vectors, or the same ones and fewer instructions.
  public static func < (a: VectorLevel, b: VectorLevel) -> Bool { a.rawValue < b.rawValue }

  /// The best of this CPU, whatever `VBENCH_ISA` says.
  public static var cpu: VectorLevel { CPUFeatures.current.level }

  /// What a reader of times must know about a library that uses this level on a CPU that has more; nil where it is no less.
  ///
  /// - Parameters:
  ///   - library: Its name, as in `OpenBLAS`.
  ///   - code: What it runs, as in `its core Prescott (SSE)`.
  ///   - engine: Who calls it, as in `im2col`.
  ///   - cpu: The best level of the CPU.
  public func warning(library: String, code: String, engine: String, cpu: VectorLevel) -> String? {
    guard self < cpu else { return nil }
    return "\(library) runs \(code) on a CPU that has \(cpu): \(engine) may be slower than it could be"
  }
}

/// Instructions of x86-64 beyond its base, as far as libraries choose their code by them. Empty on other architectures.
public struct CPUFeatures: OptionSet, Sendable, Hashable {
  /// The bits of `vb_cpu_features`.
  public let rawValue: UInt32

  /// From the bits of `vb_cpu_features`.
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// 256-bit vectors.
  public static let avx = CPUFeatures(VB_CPU_AVX)
  /// AVX2 and FMA3.
  public static let avx2 = CPUFeatures(VB_CPU_AVX2_FMA)
  /// AVX-512 F, VL, BW and DQ.
  public static let avx512 = CPUFeatures(VB_CPU_AVX512)
  /// AVX-512 BF16.
  public static let bf16 = CPUFeatures(VB_CPU_AVX512_BF16)
  /// AVX-512 FP16.
  public static let fp16 = CPUFeatures(VB_CPU_AVX512_FP16)
  /// AMX on bfloat16 tiles.
  public static let amx = CPUFeatures(VB_CPU_AMX_BF16)
  /// AMD's FMA with four operands.
  public static let fma4 = CPUFeatures(VB_CPU_FMA4)
  /// AMD's 3DNow!, gone since 2011.
  public static let threeDNow = CPUFeatures(VB_CPU_3DNOW)

  private init(_ bit: Int) { rawValue = UInt32(bit) }

  /// Those of this CPU.
  public static let current = CPUFeatures(rawValue: vb_cpu_features())

  /// The best level that they allow.
  public var level: VectorLevel {
    if contains(.avx512) { return .avx512 }
    if contains(.avx2) { return .avx2 }
    return contains(.avx) ? .avx : .base
  }
}
