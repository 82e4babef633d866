#if OpenBLAS
  internal import COpenBLAS
  internal import COpenBLASControl
  import ConvCore
  import Foundation
  import Synchronization

  /// Which of its kernels ("cores") OpenBLAS is to run.
  public enum OpenBLASCore: Sendable, Hashable {
    /// OpenBLAS's own choice unless it lies below this CPU or is refused: see `OpenBLASCoreChoice`.
    case auto
    /// What OPENBLAS_CORETYPE says; as `auto` where it is not set.
    case env
    /// One core by its name, as in `Haswell`.
    case named(String)

    /// Reads `auto`, `env` or a core's name.
    public init(parsing text: String) {
      switch text {
      case "auto": self = .auto
      case "env": self = .env
      default: self = .named(text)
      }
    }
  }

  /// The state of this process's OpenBLAS, for reports, and the choice of its core.
  ///
  /// A process that never calls `apply` runs the core that OpenBLAS took when it was loaded: a library that changed another
  /// library's process-wide state at its first product would surprise whoever set it.
  public struct OpenBLASConfiguration: Sendable, Hashable {
    /// As in `0.3.21`.
    public let version: String
    /// The library's own line on how it was built.
    public let buildDescription: String
    /// The core in use, and why.
    public let choice: OpenBLASCoreChoice
    /// BLAS threads per call: 1, the workers are ours.
    public let threads: Int
    /// OPENBLAS_CORETYPE, where it is set and not empty.
    public let environmentCore: String?

    /// The core in use, as in `Haswell`.
    public var core: String { choice.core }
    /// The level of its matrix kernels; nil for a core that is not known here.
    public var level: VectorLevel? { OpenBLASCores.named(core)?.level }
    /// Whether OPENBLAS_CORETYPE names another core than the one in use.
    public var overridesEnvironment: Bool {
      environmentCore.map { $0.lowercased() != core.lowercased() } ?? false
    }

    /// What is in use now.
    public static var current: OpenBLASConfiguration {
      OpenBLASGate.shared.whileUnchanged { OpenBLASConfiguration($0) }
    }

    /// The core must not change meanwhile.
    private init(_ applied: OpenBLASCoreChoice?) {
      let build = String(cString: openblas_get_config())
      let words = build.split(separator: " ")
      let core = String(cString: openblas_get_corename())
      version = words.count > 1 ? String(words[1]) : build
      buildDescription = build
      threads = Int(openblas_get_num_threads())
      environmentCore = Self.variable
      let isEnvironment = environmentCore?.lowercased() == core.lowercased()
      choice =
        applied
        ?? .made(core, by: isEnvironment ? .environment : .library, features: .current)
    }

    private static var variable: String? {
      let variable = ProcessInfo.processInfo.environment["OPENBLAS_CORETYPE"]
      return variable.flatMap { $0.isEmpty ? nil : $0 }
    }

    /// Chooses the core for all further products of this process; waits for those that are running, and holds up others.
    ///
    /// Takes about 0.1 ms; some 10 ms where OpenBLAS's own choice lies below the CPU or is of a name that is not known here. The
    /// environment is changed for a moment: call it before other threads read it.
    /// - Returns: what is in use then.
    /// - Throws: `ConvError.unknownName` for a core that this OpenBLAS does not have, `.unsupported` for one that this CPU cannot
    ///   run, and where the library was built for a single core and another one is asked for.
    @discardableResult
    public static func apply(_ choice: OpenBLASCore) throws -> OpenBLASConfiguration {
      try OpenBLASGate.shared.whileClosed { applied in
        switch choice {
        case .auto:
          applied = automatic { OpenBLASCoreControl.change(to: nil) }
        case .env:
          if let name = variable {
            applied = try named(name, by: .environment, before: OpenBLASConfiguration(applied))
          } else {
            applied = automatic { OpenBLASCoreControl.change(to: nil) }
          }
        case .named(let name):
          applied = try named(name, by: .name, before: OpenBLASConfiguration(applied))
        }
        return OpenBLASConfiguration(applied)
      }
    }

    /// Carries `OpenBLASCoreChoice.automatic` out. The gate must be closed.
    ///
    /// - Parameters:
    ///   - confirm: What is wrong with the core in use, beside our own kernel for its level; nil where that is not known.
    ///   - coreName: The name of the core in use (tests take the table's knowledge away).
    ///   - takeOwn: Takes OpenBLAS's own choice into use (tests say what that is).
    static func automatic(
      confirm: (VectorLevel?) -> String? = OpenBLASConfirmation.refusal(level:),
      coreName: () -> String = { OpenBLASCoreControl.core },
      takeOwn: () -> OpenBLASCoreControl.Outcome
    ) -> OpenBLASCoreChoice {
      let isFixed = takeOwn() == .fixed
      let facts = OpenBLASCoreChoice.Facts(
        features: .current, automatic: coreName(), environment: variable, isFixed: isFixed)
      let choice = OpenBLASCoreChoice.automatic(facts, ownRefusal: { confirm(nil) }) { name in
        guard OpenBLASCoreControl.change(to: name) == .done else { return .missing }
        return confirm(OpenBLASCores.named(name)?.level ?? .base).map { .refused($0) } ?? .confirmed
      }
      if coreName() != choice.core { _ = takeOwn() }
      return choice
    }

    private static func named(
      _ name: String, by origin: OpenBLASCoreChoice.Origin, before: OpenBLASConfiguration
    ) throws -> OpenBLASCoreChoice {
      guard OpenBLASCores.runs(name, on: .current) else {
        throw ConvError.unsupported(
          backend: "OpenBLAS \(before.version)", operation: "core \(name)",
          reason: "this CPU lacks its instructions; \(before.core) is in use")
      }
      if name.lowercased() != before.core.lowercased() {
        switch OpenBLASCoreControl.change(to: name) {
        case .done: break
        case .fixed:
          throw ConvError.unsupported(
            backend: "OpenBLAS \(before.version)", operation: "core \(name)",
            reason: "this library was built for \(before.core) only")
        case .refused:
          throw ConvError.unknownName(
            kind: "OpenBLAS core", name: name, known: [before.core] + usualCores(not: before.core))
        }
      }
      return .made(OpenBLASCoreControl.core, by: origin, features: .current)
    }

    /// Names that OpenBLAS's dynamic builds usually have for this architecture.
    private static func usualCores(not core: String) -> [String] {
      #if arch(x86_64)
        let cores = OpenBLASCores.all.filter { CPUFeatures.current.isSuperset(of: $0.needs) }
        let names = cores.filter { $0.isCandidate || $0.name == "Nehalem" || $0.name == "Prescott" }.map(
          \.name)
      #else
        let names = ["ARMV8", "CORTEXA57", "NEOVERSEN1", "NEOVERSEV1"]
      #endif
      return names.filter { $0 != core }
    }
  }

  /// The core in use, for whoever holds the gate closed.
  enum OpenBLASCoreControl {
    /// What became of a change.
    enum Outcome {
      /// The core is in use.
      case done
      /// The library was built for a single core.
      case fixed
      /// The library does not have the core; the one before is in use.
      case refused
    }

    /// Its name, as OpenBLAS spells it.
    static var core: String { String(cString: openblas_get_corename()) }

    /// Takes a core into use; nil is OpenBLAS's own choice, whatever OPENBLAS_CORETYPE says. The CPU must be able to run it.
    static func change(to core: String?) -> Outcome {
      let result = vb_openblas_set_core(core)
      openblas_set_num_threads(1)
      switch Int(result) {
      case Int(VB_OPENBLAS_OK.rawValue): return .done
      case Int(VB_OPENBLAS_FIXED.rawValue): return .fixed
      default: return .refused
      }
    }
  }

  /// Lets products pass, and holds them up while OpenBLAS changes its core: its kernel table is replaced then.
  final class OpenBLASGate: Sendable {
    static let shared = OpenBLASGate()
    /// Products that are running; far below zero while the gate is closed.
    private let running = Atomic<Int>(0)
    private static let closed = Int.min / 2
    /// The last choice that was applied; nil where OpenBLAS runs as it was loaded.
    private let applied = Mutex<OpenBLASCoreChoice?>(nil)

    private init() { openblas_set_num_threads(1) }

    /// Does nothing but make sure that OpenBLAS was told to use one thread.
    func prepare() {}

    func enter() {
      while running.wrappingAdd(1, ordering: .acquiring).newValue <= 0 {
        running.wrappingSubtract(1, ordering: .relaxed)
        while running.load(ordering: .relaxed) < 0 { sched_yield() }
      }
    }

    func leave() { running.wrappingSubtract(1, ordering: .releasing) }

    /// Runs `body` while the core cannot change.
    func whileUnchanged<R>(_ body: (OpenBLASCoreChoice?) -> R) -> R { applied.withLock { body($0) } }

    /// Runs `body` with no product running; it may change the core, and says which choice is in force then.
    func whileClosed<R>(_ body: (inout OpenBLASCoreChoice?) throws -> R) rethrows -> R {
      try applied.withLock { applied in
        while !running.compareExchange(expected: 0, desired: Self.closed, ordering: .acquiring).exchanged {
          sched_yield()
        }
        defer { running.wrappingSubtract(Self.closed, ordering: .releasing) }
        return try body(&applied)
      }
    }
  }
#endif
