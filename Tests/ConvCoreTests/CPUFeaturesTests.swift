import ConvCore
import Testing

/// What libraries are compared with.
@Suite struct CPUFeaturesTests {
  /// The CPU's best is what our own kernels may use, whatever they were told to use.
  @Test func cpuIsWhatOurKernelsFind() {
    let available = InstructionSet.available
    #expect((VectorLevel.cpu == .avx512) == available.contains(.avx512))
    #expect((VectorLevel.cpu >= .avx2) == available.contains(.avx2))
    #if !arch(x86_64)
      #expect(CPUFeatures.current.isEmpty)
    #endif
  }

  @Test func levels() {
    #expect(CPUFeatures([]).level == .base && CPUFeatures([.threeDNow, .fma4]).level == .base)
    #expect(CPUFeatures.avx.level == .avx && CPUFeatures([.avx, .avx2]).level == .avx2)
    #expect(CPUFeatures([.avx, .avx2, .avx512]).level == .avx512)
    #expect(VectorLevel.allCases == VectorLevel.allCases.sorted() && VectorLevel.avx < .avx2)
  }

  @Test func warnings() {
    for level in VectorLevel.allCases {
      for cpu in VectorLevel.allCases {
        let warning = level.warning(library: "BLAS", code: "old code", engine: "gemm", cpu: cpu)
        #expect((warning == nil) == (level >= cpu))
        if let warning {
          #expect(
            warning.hasPrefix("BLAS runs old code on a CPU that has \(cpu): gemm may be slower"), "\(warning)"
          )
        }
      }
    }
  }
}
