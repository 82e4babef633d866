import ConvCore
import Foundation

#if FFTW
  import ConvFFT
#endif
#if OpenBLAS
  import ConvIm2col
#endif
#if OneDNN
  import ConvOneDNN
#endif

/// A library that an engine of this build calls.
public struct LinkedLibrary: Hashable, Sendable, CustomStringConvertible {
  /// As in `OpenBLAS`.
  public let name: String
  /// Version, and what else decides about its speed; the same on equal machines.
  public let version: String
  /// What it runs here, as in `core Cooperlake`, `AVX-512 BF16`.
  public let runsOn: String
  /// Why it runs that, a sentence.
  public let reason: String
  /// What readers of its times must know where that lies below the CPU's instructions; `VBENCH_ISA` is about our own kernels and
  /// changes nothing here.
  public let warning: String?

  /// Name and version.
  public var description: String { "\(name) \(version)" }
}

extension BackendRegistry {
  /// The libraries that the engines of this build call, with their versions.
  public static var libraries: [LinkedLibrary] {
    var libraries: [LinkedLibrary] = []
    #if OpenBLAS
      let blas = OpenBLASConfiguration.current
      libraries.append(
        LinkedLibrary(
          name: "OpenBLAS",
          version:
            "\(blas.version), core \(blas.core) (\(blas.choice.origin)), \(blas.threads) thread per worker",
          runsOn: "core \(blas.core)", reason: blas.choice.reason, warning: blas.choice.warning))
    #endif
    #if FFTW
      libraries.append(fftw(version: FFTBackend.libraryVersion, cpu: .cpu))
    #endif
    #if OneDNN
      let environment = ProcessInfo.processInfo.environment
      let limit = ["ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"].first { environment[$0] != nil }
      libraries.append(
        LinkedLibrary(
          name: "oneDNN", version: OneDNNBackend.libraryVersion, runsOn: OneDNNBackend.libraryInstructions,
          reason: limit.map { "its own choice for this CPU, limited by \($0)" }
            ?? "its own choice for this CPU",
          warning: OneDNNBackend.libraryLevel.warning(
            library: "oneDNN", code: "\(OneDNNBackend.libraryInstructions) code", engine: "onednn", cpu: .cpu)
        ))
    #endif
    return libraries
  }

  /// The core that OpenBLAS runs; nil where it is not linked.
  public static var openBLASCore: String? {
    #if OpenBLAS
      OpenBLASConfiguration.current.core
    #else
      nil
    #endif
  }

  /// The warnings of `libraries`.
  public static var libraryWarnings: [String] { libraries.compactMap(\.warning) }

  #if FFTW
    /// FFTW by what its version says, on a CPU of this level.
    static func fftw(version: String, cpu: VectorLevel) -> LinkedLibrary {
      // A build for more than the CPU has runs what the CPU has.
      let level = min(FFTBackend.builtLevel(version: version), cpu)
      return LinkedLibrary(
        name: "FFTW", version: version, runsOn: level.description,
        reason: level < cpu ? "it was built for no more" : "the best that this CPU has",
        warning: level.warning(
          library: "FFTW", code: "\(level) code", engine: "fft[transform=fftw]", cpu: cpu))
    }
  #endif

  /// Chooses OpenBLAS's core for this process: `auto`, `env` or a name; nothing where OpenBLAS is not linked.
  ///
  /// - Returns: a note for people where the choice overrides OPENBLAS_CORETYPE or OpenBLAS's own choice.
  /// - Throws: `ConvError` for a core that cannot be had.
  public static func applyOpenBLASCore(_ choice: String) throws -> String? {
    #if OpenBLAS
      let blas = try OpenBLASConfiguration.apply(OpenBLASCore(parsing: choice))
      guard blas.overridesEnvironment || blas.choice.replaced != nil else { return nil }
      return "OpenBLAS runs its core \(blas.core): \(blas.choice.reason)"
        + (blas.overridesEnvironment ? "; --openblas-core env follows the variable" : "")
    #else
      guard choice != "auto", choice != "env" else { return nil }
      throw ConvError.unsupported(
        backend: "OpenBLAS", operation: "core \(choice)", reason: "this build does not use OpenBLAS")
    #endif
  }
}
