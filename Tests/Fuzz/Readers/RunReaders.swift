import ConvCore
import Foundation

@testable import ConvHarness

extension FuzzedReader {
  /// Tables; those of results and, behind a line `%`, of their samples.
  static let csv = FuzzedReader(name: "csv") { bytes in
    let texts = parts(bytes)
    let table = try CSVTable(parsing: texts[0], file: "results.csv")
    let written = CSV.text(header: table.header, rows: table.rows.map { $0.map(\.text) })
    let copy = again("a table") { try CSVTable(parsing: written, file: "results.csv") }
    demand(copy.header == table.header, "another header")
    demand(copy.rows.map { $0.map(\.text) } == table.rows.map { $0.map(\.text) }, "other fields")
    var rows = try ResultRow.rows(reading: table)
    if texts.count > 1 { try SampleTable.read(CSVTable(parsing: texts[1], file: "samples.csv"), into: &rows) }
    check(rows)
  }

  /// The files of a run, one behind the other with lines `%` between them, and the reports that are made of them.
  static let report = FuzzedReader(name: "report") { bytes in
    let texts = parts(bytes)
    func text(_ index: Int) -> String? { texts.indices.contains(index) ? texts[index] : nil }
    let report = try RunReport(
      RunFiles(
        folder: "run", results: text(1) ?? "", samples: text(2), training: text(3) ?? TrainingRow.csv([]),
        run: texts[0], layers: text(4), trajectory: text(5)))
    demand(!report.markdown.isEmpty && !report.html.isEmpty, "an empty report")
    let files = RunFiles(
      folder: "run", results: ResultRow.csv(report.rows), samples: SampleTable.csv(report.rows),
      training: TrainingRow.csv(report.training), run: report.json, layers: LayerTable.csv(report.training),
      trajectory: TrajectoryTable.csv(report.training))
    _ = again("a run") { try RunReport(files) }
  }

  /// Journals: what is in one is written into another, which has to hold the same.
  static let journal = FuzzedReader(name: "journal") { bytes in
    let folder = Scratch.folder
    _ = Scratch.file(RunJournal.name, bytes)
    let content = try RunJournal.Content(reading: folder)
    for rows in content.items.values { check(rows.rows) }
    if content.head != nil, !content.items.isEmpty { _ = try RunReport(unfinishedIn: folder).markdown }
    let items = content.first["items"]?.array?.map { $0.string ?? "" } ?? []
    let copy = again("a journal") {
      let journal = try RunJournal(
        creating: folder + "/copy", identity: RunJournal.Identity(facts: [], items: items))
      for (item, whole) in content.items {
        try journal.append(item: item, visit: whole.visits - 1, rows: whole.rows)
      }
      journal.finish(isWhole: false)
      return try RunJournal.Content(reading: folder + "/copy")
    }
    demand(copy.items.mapValues(\.visits) == content.items.mapValues(\.visits), "other visits")
    for (item, whole) in content.items {
      demand(ResultRow.csv(copy.items[item]!.rows) == ResultRow.csv(whole.rows), "other rows")
      demand(SampleTable.csv(copy.items[item]!.rows) == SampleTable.csv(whole.rows), "other samples")
    }
  }

  /// Rows that have been read write the same lines again and again.
  private static func check(_ rows: [ResultRow]) {
    let (results, samples) = (ResultRow.csv(rows), SampleTable.csv(rows))
    let copy = again("rows") {
      var copy = try ResultRow.rows(reading: CSVTable(parsing: results, file: "results.csv"))
      try SampleTable.read(CSVTable(parsing: samples, file: "samples.csv"), into: &copy)
      return copy
    }
    demand(ResultRow.csv(copy) == results, "other rows")
    demand(SampleTable.csv(copy) == samples, "other samples")
  }
}
