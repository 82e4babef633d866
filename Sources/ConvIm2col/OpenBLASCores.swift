import ConvCore

/// What is known about OpenBLAS's cores for x86-64: what each needs, and how they compare.
enum OpenBLASCores {
  /// One core.
  struct Core: Sendable, Hashable {
    /// As `OPENBLAS_CORETYPE` names it; case does not matter there.
    let name: String
    /// Of its matrix kernels.
    let level: VectorLevel
    /// What the CPU must have; without it the process dies of an illegal instruction.
    let needs: CPUFeatures
    /// Whether it may take the place of a core of a lower level. The others are for particular CPUs, which OpenBLAS knows.
    let isCandidate: Bool

    init(_ name: String, _ level: VectorLevel, _ needs: CPUFeatures, isCandidate: Bool = false) {
      (self.name, self.level, self.needs, self.isCandidate) = (name, level, needs, isCandidate)
    }
  }

  /// The best first. Inside one level: those compiled for more instructions first, else the more common first.
  ///
  /// 3DNow! and FMA4 as found in the code of 0.3.21: AMD's cores from Bulldozer to Excavator multiply by FMA4, which no CPU
  /// since Zen has. FP16 and AMX, since SapphireRapids (0.3.22 and later) is compiled with both.
  static let all: [Core] = [
    Core("SapphireRapids", .avx512, [.avx512, .bf16, .fp16, .amx], isCandidate: true),
    Core("Cooperlake", .avx512, [.avx512, .bf16], isCandidate: true),
    Core("SkylakeX", .avx512, .avx512, isCandidate: true),
    Core("Haswell", .avx2, .avx2, isCandidate: true),
    Core("Zen", .avx2, .avx2, isCandidate: true),
    Core("Excavator", .avx2, [.avx2, .fma4]),
    Core("Sandybridge", .avx, .avx, isCandidate: true),
    Core("Bulldozer", .avx, [.avx, .fma4]),
    Core("Piledriver", .avx, [.avx, .fma4]),
    Core("Steamroller", .avx, [.avx, .fma4]),
    Core("Nehalem", .base, []), Core("Dunnington", .base, []), Core("Penryn", .base, []),
    Core("Core2", .base, []), Core("Prescott", .base, []), Core("Banias", .base, []), Core("Atom", .base, []),
    Core("Nano", .base, []), Core("Barcelona", .base, []), Core("Bobcat", .base, []),
    Core("Opteron", .base, .threeDNow), Core("Opteron_SSE3", .base, .threeDNow),
    Core("Athlon", .base, .threeDNow), Core("Katmai", .base, []), Core("Coppermine", .base, []),
    Core("Northwood", .base, []),
  ]

  /// The core of this name, in any case; nil for those of other architectures and for those that came later.
  static func named(_ name: String) -> Core? {
    all.first { $0.name.lowercased() == name.lowercased() }
  }

  /// Whether a CPU with `features` can run the core. What is not known is left to OpenBLAS.
  static func runs(_ name: String, on features: CPUFeatures) -> Bool {
    named(name).map { features.isSuperset(of: $0.needs) } ?? true
  }

  /// What a reader of times must know where OpenBLAS runs the core on a CPU with `features`.
  ///
  /// - Parameter refusal: What is wrong with it, where it was tried and refused.
  static func warning(_ name: String, on features: CPUFeatures, refusal: String? = nil) -> String? {
    if let refusal {
      return "OpenBLAS runs its core \(name), which could not be confirmed: \(refusal); "
        + "im2col[gemm=openblas] may be no fair baseline"
    }
    // On other architectures the levels are not compared: no feature is known there, and no name.
    guard let level = named(name)?.level else { return nil }
    return level.warning(
      library: "OpenBLAS", code: "its core \(name) (\(level))", engine: "im2col[gemm=openblas]",
      cpu: features.level)
  }
}
