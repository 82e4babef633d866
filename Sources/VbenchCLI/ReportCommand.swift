import ArgumentParser
import ConvHarness
import Foundation

/// `vbench report`: remakes the report of a stored run.
struct ReportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "report",
    abstract: "Remakes report.md and its like from the tables of a stored run.",
    discussion: """
      Read are results.csv, samples.csv, training.csv and run.json; whatever is made from them is written anew.
      A report whose tables are as they were is the same to the byte. Of a run that was killed the journal is read: the
      report is that of the items that are whole, says so, and --resume goes on with the run all the same.

      EXAMPLE
        vbench report Reports/2026-11-24-amd-epyc-avx2
      """)

  @Argument(help: ArgumentHelp("Folder of a run.", valueName: "dir"), completion: .directory)
  var folder: String

  func run() throws {
    for name in try RunReport.remake(in: folder) { StandardOutput.write("\(folder)/\(name)") }
  }
}
