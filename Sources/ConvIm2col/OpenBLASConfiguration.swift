#if OpenBLAS
  internal import COpenBLAS
  internal import COpenBLASControl
  import ConvCore
  import Foundation
  import Synchronization

  /// Which of its kernels ("cores") OpenBLAS is to run.
  public enum OpenBLASCore: Sendable, Hashable {
    /// OpenBLAS's own choice for this CPU, whatever OPENBLAS_CORETYPE says.
    case auto
    /// What OPENBLAS_CORETYPE says; OpenBLAS's own choice where it is not set.
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
  public struct OpenBLASConfiguration: Sendable, Hashable {
    /// As in `0.3.21`.
    public let version: String
    /// The library's own line on how it was built.
    public let buildDescription: String
    /// The core in use, as in `Haswell`.
    public let core: String
    /// BLAS threads per call: 1, the workers are ours.
    public let threads: Int
    /// OPENBLAS_CORETYPE, where it is set and not empty.
    public let environmentCore: String?
    /// Whether OPENBLAS_CORETYPE names another core than the one in use.
    public let overridesEnvironment: Bool

    /// What is in use now.
    public static var current: OpenBLASConfiguration {
      OpenBLASGate.shared.prepare()
      let build = String(cString: openblas_get_config())
      let core = String(cString: openblas_get_corename())
      let words = build.split(separator: " ")
      let variable = ProcessInfo.processInfo.environment["OPENBLAS_CORETYPE"]
      let environmentCore = variable.flatMap { $0.isEmpty ? nil : $0 }
      return OpenBLASConfiguration(
        version: words.count > 1 ? String(words[1]) : build, buildDescription: build, core: core,
        threads: Int(openblas_get_num_threads()), environmentCore: environmentCore,
        overridesEnvironment: environmentCore.map { $0.lowercased() != core.lowercased() } ?? false)
    }

    /// Chooses the core for all further products of this process; waits for those that are running.
    ///
    /// - Returns: what is in use then.
    /// - Throws: `ConvError.unknownName` for a core that this OpenBLAS does not have or this CPU cannot run, `.unsupported` where
    ///   the library was built for a single core and another one is asked for.
    @discardableResult
    public static func apply(_ choice: OpenBLASCore) throws -> OpenBLASConfiguration {
      let before = current
      let wanted: String?
      switch choice {
      case .auto: wanted = nil
      case .env:
        guard let name = before.environmentCore else { return try apply(.auto) }
        wanted = name
      case .named(let name): wanted = name
      }
      if let wanted {
        if wanted.lowercased() == before.core.lowercased() { return before }
        guard vb_openblas_cpu_runs(wanted) != 0 else {
          throw ConvError.unsupported(
            backend: "OpenBLAS \(before.version)", operation: "core \(wanted)",
            reason: "this CPU lacks its instructions; \(before.core) is in use")
        }
      }
      let result = OpenBLASGate.shared.whileClosed { vb_openblas_set_core(wanted) }
      switch Int(result) {
      case Int(VB_OPENBLAS_OK.rawValue): return current
      case Int(VB_OPENBLAS_FIXED.rawValue):
        // Its own choice is the only one that such a library has.
        if wanted == nil { return before }
        throw ConvError.unsupported(
          backend: "OpenBLAS \(before.version)", operation: "core \(wanted ?? "")",
          reason: "this library was built for \(before.core) only")
      default:
        throw ConvError.unknownName(
          kind: "OpenBLAS core", name: wanted ?? "auto", known: [before.core] + usualCores(not: before.core))
      }
    }

    /// Names that OpenBLAS's dynamic builds usually have for this architecture.
    private static func usualCores(not core: String) -> [String] {
      #if arch(x86_64)
        let names = ["Prescott", "Nehalem", "Sandybridge", "Haswell", "Zen", "SkylakeX", "Cooperlake"]
      #else
        let names = ["ARMV8", "CORTEXA57", "NEOVERSEN1", "NEOVERSEV1"]
      #endif
      return names.filter { $0 != core && vb_openblas_cpu_runs($0) != 0 }
    }
  }

  /// Lets products pass, and holds them up while OpenBLAS changes its core: its kernel table is replaced then.
  final class OpenBLASGate: Sendable {
    static let shared = OpenBLASGate()
    /// Products that are running; far below zero while the gate is closed.
    private let running = Atomic<Int>(0)
    private static let closed = Int.min / 2
    private let changing = Mutex<Void>(())

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

    /// Runs `body` with no product running.
    func whileClosed<R>(_ body: () -> R) -> R {
      changing.withLock { _ in
        while !running.compareExchange(expected: 0, desired: Self.closed, ordering: .acquiring).exchanged {
          sched_yield()
        }
        defer { running.wrappingSubtract(Self.closed, ordering: .releasing) }
        let result = body()
        openblas_set_num_threads(1)
        return result
      }
    }
  }
#endif
