import ArgumentParser
import ConvBackends
import ConvCore
import Foundation

/// `--openblas-core`: which of its kernels OpenBLAS is to run.
struct OpenBLASOption: ParsableArguments {
  @Option(
    name: .customLong("openblas-core"),
    help: ArgumentHelp(
      """
      The core that OpenBLAS runs: auto (its own choice; the best that the CPU runs where that is below the CPU), \
      env (OPENBLAS_CORETYPE) or a name.
      """,
      valueName: "core"), completion: .list(["auto", "env"]))
  var core = "auto"

  /// Applies the choice; to be called before the first product. Says so where it overrides the environment or OpenBLAS's own
  /// choice, and which libraries run below this CPU.
  ///
  /// - Parameter isQuiet: says nothing, where nothing is going to be computed.
  /// - Throws: `ConvError.unknownName` or `.unsupported` for a core that cannot be had.
  func apply(isQuiet: Bool = false) throws {
    let note = try BackendRegistry.applyOpenBLASCore(core)
    if isQuiet { return }
    if let note { Terminal.warn("note: \(note)") }
    for warning in BackendRegistry.libraryWarnings { Terminal.warn("warning: \(warning)") }
  }
}
