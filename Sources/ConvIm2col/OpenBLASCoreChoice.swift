import ConvCore

/// Which core OpenBLAS runs, and why: a function of recorded facts.
///
/// OpenBLAS's own choice is right wherever it knows the CPU. Where it does not it takes its oldest core without a word, and whoever
/// compares with it compares with a cripple. So its own choice stands unless its level lies below the CPU's; then the cores of higher
/// levels are tried, the best first, and the first that is confirmed is taken. `OPENBLAS_CORETYPE` has a say there: its core
/// is tried first among those of its level. Equal levels: OpenBLAS's own choice wins against the variable, which knows less about
/// the CPU; the variable wins against our table. A name that the table lacks says nothing about the level: such a choice is confirmed
/// like any other core, on the CPU's best level, and counts as the lowest where it is refused.
public struct OpenBLASCoreChoice: Sendable, Hashable {
  /// The core, as OpenBLAS spells it.
  public let core: String
  /// How it was chosen, in a few words that are the same on equal machines: `its own choice`.
  public let origin: String
  /// The same as a sentence.
  public let reason: String
  /// OpenBLAS's own choice, where this core takes its place.
  public let replaced: String?
  /// Where the core lies below the CPU's instructions, or was refused and stays for want of a better one: what readers of its times
  /// must know.
  public let warning: String?

  /// What is known when the choice is made.
  struct Facts: Sendable {
    /// Of the CPU.
    var features: CPUFeatures
    /// OpenBLAS's own choice, made without `OPENBLAS_CORETYPE`.
    var automatic: String
    /// `OPENBLAS_CORETYPE`, where it is set and not empty.
    var environment: String?
    /// Whether the library was built for a single core.
    var isFixed = false
  }

  /// What became of trying a core.
  enum Trial: Sendable, Equatable {
    /// The library does not have it.
    case missing
    /// Its product was not what it should be: how, in a few words that are the same on equal machines.
    case refused(String)
    /// It is in use now, and its product was right and fast enough.
    case confirmed
  }

  /// The choice by the rule above.
  ///
  /// - Parameters:
  ///   - ownRefusal: What is wrong with OpenBLAS's own choice, which is in use; called at most once, before any trial, and only
  ///     where its name is not known.
  ///   - trial: Takes a core that the CPU runs into use and confirms it; called only where OpenBLAS's own choice lies below the CPU
  ///     or was refused.
  static func automatic(
    _ facts: Facts, ownRefusal: () -> String?, trial: (String) -> Trial
  ) -> OpenBLASCoreChoice {
    func choice(
      _ core: String, _ origin: String, _ reasons: [String], replaced: String? = nil, refusal: String? = nil
    ) -> OpenBLASCoreChoice {
      var reasons = reasons
      if let name = facts.environment, name.lowercased() != core.lowercased() {
        reasons.append("OPENBLAS_CORETYPE=\(name) is not followed")
      }
      return OpenBLASCoreChoice(
        core: core, origin: origin, reason: reasons.joined(separator: "; "), replaced: replaced,
        refusal: refusal, features: facts.features)
    }
    let best = facts.features.level
    let own = facts.automatic
    let ownReason =
      facts.isFixed ? "the only core of this library" : "OpenBLAS's own choice for this CPU"
    let ownOrigin = facts.isFixed ? "its only core" : "its own choice"
    var reasons: [String]
    let level: VectorLevel
    let refusal: String?
    if let known = OpenBLASCores.named(own) {
      guard known.level < best else { return choice(own, ownOrigin, [ownReason]) }
      (level, refusal) = (known.level, nil)
      reasons = ["\(ownReason), \(own), is for \(level), and the CPU has \(best)"]
    } else {
      let unknown = "\(ownReason), \(own), is not known here"
      guard let how = ownRefusal() else {
        return choice(own, ownOrigin, ["\(unknown), and confirmed against our own kernel"])
      }
      (level, refusal) = (.base, how)
      reasons = ["\(unknown), and was refused: \(how)"]
    }
    if facts.isFixed { return choice(own, ownOrigin, reasons, refusal: refusal) }
    for core in candidates(facts, above: level) {
      switch trial(core.name) {
      case .missing: continue
      case .refused(let how): reasons.append("\(core.name) was refused: \(how)")
      case .confirmed:
        let isNamed = facts.environment?.lowercased() == core.name.lowercased()
        reasons.append(
          "\(core.name)\(isNamed ? ", which OPENBLAS_CORETYPE names," : "") takes its place, "
            + "confirmed against our own kernel")
        return choice(
          core.name, "\(isNamed ? "OPENBLAS_CORETYPE, " : "")in place of its own choice \(own)",
          reasons, replaced: own)
      }
    }
    reasons.append("no better core of this library runs here")
    return choice(own, "its own choice, no better one found", reasons, refusal: refusal)
  }

  /// A core in use that no rule chose and nothing confirmed.
  enum Origin: String {
    /// An argument.
    case name = "by name"
    /// The variable.
    case environment = "OPENBLAS_CORETYPE"
    /// OpenBLAS, when it was loaded.
    case library = "its own choice"
  }

  /// The choice that `origin` made.
  static func made(_ core: String, by origin: Origin, features: CPUFeatures) -> OpenBLASCoreChoice {
    let reason =
      switch origin {
      case .name: "asked for by name"
      case .environment: "OPENBLAS_CORETYPE names it"
      case .library: "OpenBLAS's own choice for this CPU"
      }
    return OpenBLASCoreChoice(core: core, origin: origin.rawValue, reason: reason, features: features)
  }

  /// Cores worth trying: the higher levels first; inside one the environment's, then in the table's order.
  private static func candidates(_ facts: Facts, above level: VectorLevel) -> [OpenBLASCores.Core] {
    let fit = OpenBLASCores.all.filter {
      $0.level > level && facts.features.isSuperset(of: $0.needs)
    }
    let named = facts.environment.flatMap(OpenBLASCores.named)
    return VectorLevel.allCases.reversed().flatMap { level in
      let here = fit.filter { $0.level == level }
      return here.filter { $0 == named } + here.filter { $0 != named && $0.isCandidate }
    }
  }

  /// - Parameter refusal: Why a core that is in use all the same was refused.
  private init(
    core: String, origin: String, reason: String, replaced: String? = nil, refusal: String? = nil,
    features: CPUFeatures
  ) {
    self.core = core
    self.origin = origin
    self.reason = reason
    self.replaced = replaced
    warning = OpenBLASCores.warning(core, on: features, refusal: refusal)
  }
}
