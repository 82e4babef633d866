import ConvCore
import Foundation

extension RunJournal {
  /// What a journal holds.
  struct Content {
    let source: CSVTable.Source
    /// Bytes up to the last line that is whole: what follows was cut off.
    let whole: Int
    /// The line that says which run this is.
    let first: JSONValue
    /// The text of `run.json` without rows, by the last process that wrote here; nil where none came so far.
    let head: String?
    /// By item the number of visits that are whole, and the rows after the last one.
    let items: [Int: (visits: Int, rows: [ResultRow])]
    /// Visits that an item can have had.
    private static let mostVisits = 1 << 32

    /// How many items the run has.
    var count: Int { first["items"]?.array?.count ?? 0 }

    /// Reads the journal in a folder.
    ///
    /// - Throws: `FileError.missingInput` where there is none, `HarnessError.malformedLine` where it is damaged before its last
    ///   line.
    init(reading folder: String) throws {
      let path = "\(folder)/\(RunJournal.name)"
      guard RunJournal.exists(in: folder) else {
        throw FileError.missingInput(path: path, reason: "there is no unfinished run to go on with")
      }
      let bytes = try InputFile.bytes(of: path)
      source = CSVTable.Source(file: path, bytes: bytes)
      whole = (bytes.lastIndex(of: UInt8(ascii: "\n")) ?? -1) + 1
      var lines: [(offset: Int, value: JSONValue)] = []
      let start = try ByteOrderMark.length(in: bytes, path: path)
      var offset = start
      for line in bytes[start..<max(start, whole)].split(
        separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false
      )
      .dropLast() {
        do {
          lines.append((offset, try JSONValue(parsing: Array(line))))
        } catch let error as JSONValue.SyntaxError {
          throw source.error(at: offset + error.offset, error.reason)
        }
        offset += line.count + 1
      }
      guard let first = lines.first?.value, first["format"]?.string == RunJournal.format else {
        throw source.error(at: 0, "the first line of a journal of format \(RunJournal.format) is needed")
      }
      self.first = first
      let count = first["items"]?.array?.count ?? 0
      var head: String?
      var items: [Int: (visits: Int, rows: [ResultRow])] = [:]
      for (offset, line) in lines.dropFirst() {
        if let run = line["run"]?.string {
          head = run
          continue
        }
        guard let index = line["item"]?.integer, (0..<count).contains(index),
          let visit = line["visit"]?.integer, (0..<Self.mostVisits).contains(visit),
          let table = line["results"]?.string,
          let samples = line["samples"]?.string
        else {
          throw source.error(at: offset, "an item of this run with visit, results and samples is needed")
        }
        let place = "\(path), item \(index)"
        var rows = try ResultRow.rows(reading: CSVTable(parsing: table, file: place))
        try SampleTable.read(CSVTable(parsing: samples, file: place), into: &rows)
        items[index] = (visit + 1, rows)
      }
      self.head = head
      self.items = items
    }
  }
}

extension RunReport {
  /// The fact of an unfinished run that says how far it came.
  static let progressKey = "measured"

  /// The report of a run that never wrote one, from its journal: the items that are whole.
  ///
  /// - Throws: What reading the journal throws; `FileError.malformed` where it ends before anything could be measured.
  public init(unfinishedIn folder: String) throws {
    let journal = try RunJournal.Content(reading: folder)
    guard let head = journal.head, !journal.items.isEmpty else {
      throw FileError.malformed(
        path: journal.source.file,
        reason: "the run ended before it had measured anything: there is nothing to report")
    }
    let rows = journal.items.sorted { $0.key < $1.key }.flatMap(\.value.rows)
    self = try RunReport(
      RunFiles(
        folder: folder, results: ResultRow.csv([]), samples: SampleTable.csv([]),
        training: TrainingRow.csv([]),
        run: head))
    self.rows = rows
    isPartial = true
    environment.append((RunReport.progressKey, "\(journal.items.count) of \(journal.count) items"))
  }

  /// Whether a folder holds a journal that is newer than its report, or has no report.
  static func isUnfinished(in folder: String) throws -> Bool {
    guard RunJournal.exists(in: folder) else { return false }
    guard FileManager.default.fileExists(atPath: "\(folder)/\(RunFiles.run)") else { return true }
    // Ctrl-C leaves the report of the same beginning beside the journal.
    guard let head = try RunJournal.Content(reading: folder).head,
      let begun = try? JSONValue(parsing: Array(head.utf8))["date"]?.string
    else { return false }
    return try RunReport(reading: folder).date != begun
  }

  /// What a report of a run without an end says at its top; nil for whole runs.
  var partialSentence: String? {
    guard isPartial else { return nil }
    guard let progress = environment.first(where: { $0.key == RunReport.progressKey })?.value else {
      return "Interrupted: what follows is what had been measured by then."
    }
    return
      "Unfinished: \(progress) had been measured when the run ended without a report; --resume goes on with it."
  }
}
