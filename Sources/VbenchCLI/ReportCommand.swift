import ArgumentParser
import ConvCore
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

      EXAMPLES
        vbench report out
        vbench report out --picture out.svg                 time and error of one layer per suite
        vbench report out --picture out.svg --layers 'seed-cnn conv3,vgg16 1_2'
      """)

  @Argument(help: ArgumentHelp("Folder of a run.", valueName: "dir"), completion: .directory)
  var folder: String

  @Option(
    help: ArgumentHelp(
      "Writes time against error of some layers as an SVG file that stands alone, and nothing else; without it the reports are remade.",
      valueName: "file"), completion: .file(extensions: ["svg"]))
  var picture: String?

  @Option(
    help: ArgumentHelp(
      "The picture's layers, as reports name them; a suite's name may stand before (default: the first of each suite, at most 4).",
      valueName: "list"))
  var layers: String?

  func validate() throws {
    if layers != nil && picture == nil { throw ValidationError("--layers is for --picture FILE") }
  }

  func run() throws {
    if let picture {
      let names = try layers.map(NameList.split) ?? []
      if layers != nil && names.isEmpty { throw UsageError("--layers is empty") }
      let drawing = try ReportPicture(RunReport(reading: folder), layers: names)
      try AtomicFile.write(drawing.text, to: picture)
      StandardOutput.line(picture)
      return
    }
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: folder, isDirectory: &isFolder), isFolder.boolValue else {
      throw FileError.missingInput(path: folder, reason: "there is no such folder")
    }
    let claim = try AtomicFolder.claim(folder, files: RunReport.files)
    defer { claim.end() }
    for name in try RunReport.remake(in: folder) { StandardOutput.line("\(folder)/\(name)") }
  }
}
