import ConvCore

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
public struct LinkedLibrary: Hashable, Sendable {
  /// As in `OpenBLAS`.
  public let name: String
  /// Version, and what else decides about its speed.
  public let version: String
}

extension BackendRegistry {
  /// The libraries that the engines of this build call, with their versions.
  public static var libraries: [LinkedLibrary] {
    var libraries: [LinkedLibrary] = []
    #if OpenBLAS
      let blas = OpenBLASConfiguration.current
      var text = "\(blas.version), core \(blas.core), \(blas.threads) thread per worker"
      if let name = blas.environmentCore {
        text += blas.overridesEnvironment ? " (overrides OPENBLAS_CORETYPE=\(name))" : " (OPENBLAS_CORETYPE)"
      }
      libraries.append(LinkedLibrary(name: "OpenBLAS", version: text))
    #endif
    #if FFTW
      libraries.append(LinkedLibrary(name: "FFTW", version: FFTBackend.libraryVersion))
    #endif
    #if OneDNN
      libraries.append(LinkedLibrary(name: "oneDNN", version: OneDNNBackend.libraryVersion))
    #endif
    return libraries
  }

  /// Chooses OpenBLAS's core for this process: `auto`, `env` or a name; nothing where OpenBLAS is not linked.
  ///
  /// - Returns: a note for people where the choice overrides OPENBLAS_CORETYPE.
  /// - Throws: `ConvError` for a core that cannot be had.
  public static func applyOpenBLASCore(_ choice: String) throws -> String? {
    #if OpenBLAS
      let blas = try OpenBLASConfiguration.apply(OpenBLASCore(parsing: choice))
      guard blas.overridesEnvironment, let name = blas.environmentCore else { return nil }
      return "OpenBLAS runs its core \(blas.core), not OPENBLAS_CORETYPE=\(name); "
        + "--openblas-core env follows the variable"
    #else
      guard choice != "auto", choice != "env" else { return nil }
      throw ConvError.unsupported(
        backend: "OpenBLAS", operation: "core \(choice)", reason: "this build does not use OpenBLAS")
    #endif
  }
}
