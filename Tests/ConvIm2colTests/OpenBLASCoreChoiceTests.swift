import ConvCore
import Testing

@testable import ConvIm2col

/// Which core OpenBLAS is given on machines that are not at hand: the decision by recorded facts.
@Suite struct OpenBLASCoreChoiceTests {
  /// The cores of Debian 12's OpenBLAS 0.3.21.
  static let debian = [
    "Prescott", "Atom", "Core2", "Penryn", "Dunnington", "Nehalem", "Opteron", "Opteron_SSE3", "Barcelona",
    "Nano",
    "Sandybridge", "Bobcat", "Bulldozer", "Piledriver", "Haswell", "Steamroller", "Excavator", "Zen",
    "SkylakeX",
    "Cooperlake",
  ]
  /// AMD EPYC, family 25.
  static let zen3: CPUFeatures = [.avx, .avx2]
  /// AMD EPYC, family 26, model 2.
  static let zen5: CPUFeatures = [.avx, .avx2, .avx512, .bf16]
  /// Intel Xeon, family 6, model 85 (Skylake).
  static let skylake: CPUFeatures = [.avx, .avx2, .avx512]
  /// Intel Xeon, family 6, model 207 (Emerald Rapids).
  static let emeraldRapids: CPUFeatures = [.avx, .avx2, .avx512, .bf16, .fp16, .amx]

  /// The choice, and the cores that were tried for it in this order; OpenBLAS's own choice by its name too, where it was to be
  /// confirmed.
  private func choose(
    _ features: CPUFeatures, automatic: String, environment: String? = nil, library: [String] = debian,
    isFixed: Bool = false, refusing refusals: [String: String] = [:]
  ) -> (choice: OpenBLASCoreChoice, tried: [String]) {
    var tried: [String] = []
    let facts = OpenBLASCoreChoice.Facts(
      features: features, automatic: automatic, environment: environment, isFixed: isFixed)
    let choice = OpenBLASCoreChoice.automatic(
      facts,
      ownRefusal: {
        tried.append(automatic)
        return refusals[automatic]
      }
    ) { name in
      tried.append(name)
      if !library.contains(name) { return .missing }
      return refusals[name].map { .refused($0) } ?? .confirmed
    }
    return (choice, tried)
  }

  /// OpenBLAS knows the CPU: nothing is tried, whatever the variable names.
  @Test(
    arguments: [
      (zen3, "Zen"), (zen3, "Haswell"), (zen5, "Cooperlake"), (zen5, "SkylakeX"), (skylake, "SkylakeX"),
      (emeraldRapids, "SapphireRapids"), ([], "Prescott"), ([.avx], "Sandybridge"),
    ] as [(CPUFeatures, String)])
  func itsOwnChoiceStands(_ features: CPUFeatures, _ automatic: String) {
    for environment in [
      nil, "Haswell", "Prescott", "SkylakeX", "Cooperlake", "Nonesuch", automatic.uppercased(),
    ] {
      let (choice, tried) = choose(features, automatic: automatic, environment: environment)
      #expect(choice.core == automatic && choice.origin == "its own choice", "\(choice)")
      #expect(tried.isEmpty && choice.warning == nil && choice.replaced == nil, "\(choice)")
      let isOverridden = environment.map { $0.lowercased() != automatic.lowercased() } ?? false
      #expect(choice.reason.contains("is not followed") == isOverridden, "\(choice)")
      #expect(!isOverridden || choice.reason.contains("OPENBLAS_CORETYPE=\(environment!) "), "\(choice)")
    }
  }

  /// Emerald Rapids, which 0.3.21 does not know.
  @Test func unknownCPUGetsTheBestCore() {
    let (choice, tried) = choose(Self.emeraldRapids, automatic: "Prescott")
    #expect(choice.core == "Cooperlake" && choice.replaced == "Prescott" && choice.warning == nil)
    #expect(tried == ["SapphireRapids", "Cooperlake"])
    #expect(choice.origin == "in place of its own choice Prescott")
    #expect(
      choice.reason
        == "OpenBLAS's own choice for this CPU, Prescott, is for SSE, and the CPU has AVX-512; "
        + "Cooperlake takes its place, confirmed against our own kernel")
    // A library that knows the newer core, and CPUs that lack a part.
    let newer = Self.debian + ["SapphireRapids"]
    #expect(choose(Self.emeraldRapids, automatic: "Prescott", library: newer).choice.core == "SapphireRapids")
    #expect(choose(Self.zen5, automatic: "Prescott", library: newer).choice.core == "Cooperlake")
    #expect(choose(Self.skylake, automatic: "Prescott", library: newer).choice.core == "SkylakeX")
    #expect(choose(Self.skylake, automatic: "Haswell", library: newer).choice.core == "SkylakeX")
    #expect(choose(Self.zen3, automatic: "Prescott", library: newer).choice.core == "Haswell")
    #expect(choose([.avx], automatic: "Prescott", library: newer).choice.core == "Sandybridge")
  }

  /// A worse variable is overridden; a better one than OpenBLAS's own choice is kept unless there is a better one still.
  @Test func environment() {
    let worse = choose(Self.emeraldRapids, automatic: "Prescott", environment: "Haswell")
    #expect(worse.choice.core == "Cooperlake" && worse.tried == ["SapphireRapids", "Cooperlake"])
    #expect(worse.choice.reason.hasSuffix("; OPENBLAS_CORETYPE=Haswell is not followed"))
    let better = choose(Self.emeraldRapids, automatic: "Prescott", environment: "skylakex")
    #expect(
      better.choice.core == "SkylakeX" && better.tried == ["SkylakeX"], "it is tried first of its level")
    #expect(better.choice.origin == "OPENBLAS_CORETYPE, in place of its own choice Prescott")
    #expect(better.choice.replaced == "Prescott" && !better.choice.reason.contains("not followed"))
    // The better of what the library has.
    let older = ["Prescott", "Haswell", "Zen"]
    let kept = choose(Self.emeraldRapids, automatic: "Prescott", environment: "Zen", library: older)
    #expect(kept.choice.core == "Zen" && kept.choice.origin.hasPrefix("OPENBLAS_CORETYPE, "))
    // No better than OpenBLAS's own choice, not to be run by this CPU, or not known.
    for name in ["Nehalem", "SapphireRapids", "Excavator", "Nonesuch"] {
      let (choice, tried) = choose(Self.zen5, automatic: "Prescott", environment: name)
      #expect(choice.core == "Cooperlake" && tried == ["Cooperlake"], "\(name): \(choice)")
      #expect(choice.reason.contains("OPENBLAS_CORETYPE=\(name) is not followed"))
    }
  }

  /// A refused core is not taken; the next one is, and the reason says so.
  @Test func refusals() {
    let first = choose(Self.zen5, automatic: "Prescott", refusing: ["Cooperlake": "its product is odd"])
    #expect(first.choice.core == "SkylakeX" && first.tried == ["Cooperlake", "SkylakeX"])
    #expect(
      first.choice.reason.contains("Cooperlake was refused: its product is odd; SkylakeX takes its place"))
    let level = choose(
      Self.zen5, automatic: "Prescott", environment: "SkylakeX",
      refusing: ["Cooperlake": "a", "SkylakeX": "b"])
    #expect(level.choice.core == "Haswell" && level.tried == ["SkylakeX", "Cooperlake", "Haswell"])
    #expect(
      level.choice.warning
        == "OpenBLAS runs its core Haswell (AVX2) on a CPU that has AVX-512: "
        + "im2col[gemm=openblas] may be slower than it could be")
    #expect(level.choice.reason.hasSuffix("; OPENBLAS_CORETYPE=SkylakeX is not followed"))
    let all = Dictionary(uniqueKeysWithValues: Self.debian.map { ($0, "it is slow") })
    let none = choose(Self.zen5, automatic: "Prescott", refusing: all)
    #expect(none.tried == ["Cooperlake", "SkylakeX", "Haswell", "Zen", "Sandybridge"])
    #expect(none.choice.core == "Prescott" && none.choice.replaced == nil)
    #expect(none.choice.origin == "its own choice, no better one found")
    #expect(none.choice.warning?.contains("its core Prescott (SSE) on a CPU that has AVX-512") == true)
    #expect(none.choice.reason.contains("Sandybridge was refused: it is slow; no better core"))
  }

  @Test func librariesWithFewCores() {
    // No AVX-512 cores.
    let older = Self.debian.filter { $0 != "SkylakeX" && $0 != "Cooperlake" }
    let haswell = choose(Self.emeraldRapids, automatic: "Haswell", library: older)
    #expect(
      haswell.tried == ["SapphireRapids", "Cooperlake", "SkylakeX"] && haswell.choice.core == "Haswell")
    #expect(haswell.choice.warning?.contains("Haswell (AVX2)") == true && haswell.choice.replaced == nil)
    #expect(choose(Self.emeraldRapids, automatic: "Prescott", library: older).choice.core == "Haswell")
    // Built for one core, which such libraries spell in capitals.
    let fixed = choose(Self.zen5, automatic: "HASWELL", environment: "SkylakeX", isFixed: true)
    #expect(fixed.tried.isEmpty && fixed.choice.core == "HASWELL" && fixed.choice.origin == "its only core")
    #expect(fixed.choice.warning?.contains("HASWELL (AVX2) on a CPU that has AVX-512") == true)
    #expect(fixed.choice.reason.contains("OPENBLAS_CORETYPE=SkylakeX is not followed"))
    let fitting = choose(Self.zen3, automatic: "ZEN", isFixed: true)
    #expect(fitting.choice.core == "ZEN" && fitting.choice.warning == nil)
  }

  /// Names that the table lacks, of other architectures and of cores to come, stand where they are confirmed.
  @Test func unknownCores() {
    for (features, name) in [([], "NEOVERSEN1"), (Self.emeraldRapids, "GraniteRapids")]
      as [(CPUFeatures, String)]
    {
      let (choice, tried) = choose(features, automatic: name, environment: "ARMV8")
      #expect(choice.core == name && choice.warning == nil && choice.replaced == nil, "\(choice)")
      #expect(tried == [name] && choice.origin == "its own choice", "\(tried)")
      #expect(
        choice.reason
          == "OpenBLAS's own choice for this CPU, \(name), is not known here, and confirmed against our own kernel; "
          + "OPENBLAS_CORETYPE=ARMV8 is not followed")
    }
  }

  /// A name that says nothing, of a core that is slow: the cores of all levels are tried.
  @Test func refusedUnknownCores() {
    let slow = ["Unknown": "it is slow", "Cooperlake": "it is odd"]
    let (choice, tried) = choose(Self.zen5, automatic: "Unknown", refusing: slow)
    #expect(tried == ["Unknown", "Cooperlake", "SkylakeX"])
    #expect(choice.core == "SkylakeX" && choice.replaced == "Unknown" && choice.warning == nil)
    #expect(choice.origin == "in place of its own choice Unknown")
    #expect(
      choice.reason
        == "OpenBLAS's own choice for this CPU, Unknown, is not known here, and was refused: it is slow; "
        + "Cooperlake was refused: it is odd; SkylakeX takes its place, confirmed against our own kernel")
    #expect(choose([.avx], automatic: "Unknown", refusing: slow).choice.core == "Sandybridge")
    let named = choose(Self.zen5, automatic: "Unknown", environment: "Haswell", refusing: slow)
    #expect(named.choice.core == "SkylakeX" && named.choice.reason.hasSuffix("Haswell is not followed"))

    // Nothing else is confirmed, or there is nothing else.
    let all = Dictionary(uniqueKeysWithValues: (Self.debian + ["Unknown"]).map { ($0, "it is slow") })
    for (features, library, tries) in [
      (Self.zen5, Self.debian, ["Unknown", "Cooperlake", "SkylakeX", "Haswell", "Zen", "Sandybridge"]),
      (Self.skylake, [], ["Unknown", "SkylakeX", "Haswell", "Zen", "Sandybridge"]),
      ([], Self.debian, ["Unknown"]),
    ] as [(CPUFeatures, [String], [String])] {
      let none = choose(features, automatic: "Unknown", library: library, refusing: all)
      #expect(none.tried == tries && none.choice.core == "Unknown" && none.choice.replaced == nil, "\(none)")
      #expect(none.choice.origin == "its own choice, no better one found")
      #expect(none.choice.reason.hasSuffix("; no better core of this library runs here"))
      #expect(
        none.choice.warning
          == "OpenBLAS runs its core Unknown, which could not be confirmed: it is slow; "
          + "im2col[gemm=openblas] may be no fair baseline")
    }
  }

  /// A library with one core, of a name that the table lacks: nothing can take its place.
  @Test func unknownOnlyCore() {
    let right = choose(Self.zen5, automatic: "Generic", isFixed: true)
    #expect(right.tried == ["Generic"] && right.choice.core == "Generic" && right.choice.warning == nil)
    #expect(
      right.choice.origin == "its only core" && right.choice.reason.contains("confirmed against our own"))
    let wrong = choose(
      Self.zen5, automatic: "Generic", environment: "Zen", isFixed: true, refusing: ["Generic": "it is odd"])
    #expect(wrong.tried == ["Generic"] && wrong.choice.core == "Generic" && wrong.choice.replaced == nil)
    #expect(
      wrong.choice.reason
        == "the only core of this library, Generic, is not known here, and was refused: it is odd; "
        + "OPENBLAS_CORETYPE=Zen is not followed")
    #expect(wrong.choice.origin == "its only core")
    #expect(
      wrong.choice.warning?.contains("its core Generic, which could not be confirmed: it is odd;") == true)
  }

  /// Whoever asks for a core by name gets it, and the warning.
  @Test func namedCores() {
    let named = OpenBLASCoreChoice.made("Haswell", by: .name, features: Self.zen5)
    #expect(
      named.core == "Haswell" && named.origin == "by name" && named.warning?.contains("AVX-512") == true)
    #expect(OpenBLASCoreChoice.made("Haswell", by: .environment, features: Self.zen3).warning == nil)
    #expect(
      OpenBLASCoreChoice.made("Zen", by: .environment, features: Self.zen3).origin == "OPENBLAS_CORETYPE")
  }

  /// What each class of machine must never be made to run.
  @Test func needs() {
    func runs(_ name: String, _ features: CPUFeatures) -> Bool { OpenBLASCores.runs(name, on: features) }
    for name in ["Opteron", "Bulldozer", "Piledriver", "Steamroller", "excavator"] {
      for features in [Self.zen3, Self.zen5, Self.emeraldRapids] { #expect(!runs(name, features), "\(name)") }
    }
    #expect(
      runs("Excavator", [.avx, .avx2, .fma4]) && runs("Bulldozer", [.avx, .fma4]) && !runs("Zen", [.avx]))
    #expect(
      !runs("SkylakeX", Self.zen3) && runs("skylakex", Self.skylake) && !runs("Cooperlake", Self.skylake))
    #expect(runs("Cooperlake", Self.zen5) && !runs("SapphireRapids", Self.zen5))
    #expect(runs("SapphireRapids", Self.emeraldRapids))
    #expect(runs("Nonesuch", []), "what is not known is left to OpenBLAS")
    // A core of a level needs at least what makes the level, and the table goes from the best down.
    for core in OpenBLASCores.all {
      #expect(core.needs.level >= core.level || core.level == .base, "\(core.name)")
    }
    #expect(OpenBLASCores.all.map(\.level) == OpenBLASCores.all.map(\.level).sorted(by: >))
    #expect(Set(OpenBLASCores.all.map { $0.name.lowercased() }).count == OpenBLASCores.all.count)
  }
}
