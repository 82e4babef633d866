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
      valueName: "core"))
  var core = "auto"

  /// Applies the choice; to be called before the first product. Says so where it overrides the environment or OpenBLAS's own
  /// choice, and which libraries run below this CPU.
  ///
  /// - Throws: `ConvError.unknownName` or `.unsupported` for a core that cannot be had.
  func apply() throws {
    if let note = try BackendRegistry.applyOpenBLASCore(core) { Terminal.warn("note: \(note)") }
    for warning in BackendRegistry.libraryWarnings { Terminal.warn("warning: \(warning)") }
  }
}
