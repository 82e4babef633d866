import ArgumentParser
import ConvCore
import ConvHarness

/// The option that writes results for continuous-integration services.
struct JUnitOption: ParsableArguments {
  @Option(
    help: ArgumentHelp("Writes the verdicts as JUnit XML too; no file if left out.", valueName: "file"),
    completion: .file(extensions: ["xml"]))
  var junit: String?

  /// Fails before anything is measured if the file could not be written afterwards.
  ///
  /// - Throws: `FileError`.
  func check() throws {
    if let junit { try AtomicFile.checkCreatable(junit) }
  }

  /// Writes the file if one was asked for.
  ///
  /// - Throws: `FileError`.
  func write(_ report: @autoclosure () -> JUnitReport) throws {
    if let junit { try AtomicFile.write(report().text, to: junit) }
  }
}
