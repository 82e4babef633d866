import ConvCore
import Foundation

/// What a run has measured so far, appended item by item, so that nothing is lost whatever ends it.
///
/// `journal.jsonl` in the folder of the report: a line that says which run this is, then one line per visit to an item, with all of
/// the item's samples so far. A
/// line that was cut off by the end of the process is left out when it is read. It is removed when the run is whole.
public final class RunJournal {
  /// Name of the file.
  public static let name = "journal.jsonl"
  static let format = "vbench-journal-2"

  /// What a run is: settings and machine, by which a continued run is compared with its beginning.
  public struct Identity: Sendable {
    /// Names and values, in the order in which differences are looked for.
    public var facts: [(name: String, value: String)]
    /// The items in their order, as text.
    public var items: [String]

    /// The identity of a run.
    public init(facts: [(name: String, value: String)], items: [String]) {
      self.facts = facts
      self.items = items
    }
  }

  /// Path of the file.
  public let path: String
  private let file: FileHandle

  private init(path: String, file: FileHandle) {
    self.path = path
    self.file = file
  }

  /// Whether a folder holds the beginning of a run.
  public static func exists(in folder: String) -> Bool {
    FileManager.default.fileExists(atPath: "\(folder)/\(name)")
  }

  /// Begins a journal in `folder`, which is made where it is missing.
  ///
  /// - Throws: `FileError`.
  public convenience init(creating folder: String, identity: Identity) throws {
    let path = "\(folder)/\(RunJournal.name)"
    do {
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    } catch {
      throw FileError.cannotCreate(path: folder, reason: "\(error.localizedDescription)")
    }
    let facts = identity.facts.map { "\(JSONValue.quoted($0.name)): \(JSONValue.quoted($0.value))" }
    let items = identity.items.map(JSONValue.quoted)
    try AtomicFile.write(
      "{\"format\": \"\(RunJournal.format)\", \"facts\": {\(facts.joined(separator: ", "))}, "
        + "\"items\": [\(items.joined(separator: ", "))]}\n", to: path)
    try self.init(appending: path, keeping: nil)
  }

  private convenience init(appending path: String, keeping bytes: Int?) throws {
    guard let file = FileHandle(forUpdatingAtPath: path) else {
      throw FileError.cannotCreate(path: path, reason: "it cannot be opened for writing")
    }
    do {
      if let bytes { try file.truncate(atOffset: UInt64(bytes)) }
      try file.seekToEnd()
    } catch {
      throw FileError.inputOutput(path: path, reason: "\(error.localizedDescription)")
    }
    self.init(path: path, file: file)
  }

  /// Goes on with the journal of an unfinished run.
  ///
  /// - Returns: The journal, and by item the number of visits that are whole and the rows after the last one.
  /// - Throws: `FileError.missingInput` where there is none, `HarnessError.malformedLine` where it is damaged before its last
  ///   line, `HarnessError.usage` with both values where it is of another run.
  public static func resume(
    in folder: String, identity: Identity
  ) throws -> (journal: RunJournal, done: [Int: (visits: Int, rows: [ResultRow])]) {
    let path = "\(folder)/\(name)"
    guard exists(in: folder) else {
      throw FileError.missingInput(path: path, reason: "there is no unfinished run to go on with")
    }
    let bytes = try InputFile.bytes(of: path)
    let source = CSVTable.Source(file: path, bytes: bytes)
    // What follows the last newline was cut off.
    let whole = (bytes.lastIndex(of: UInt8(ascii: "\n")) ?? -1) + 1
    var lines: [(offset: Int, value: JSONValue)] = []
    var offset = 0
    for line in bytes[..<whole].split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
      .dropLast()
    {
      do {
        lines.append((offset, try JSONValue(parsing: Array(line))))
      } catch let error as JSONValue.SyntaxError {
        throw source.error(at: offset + error.offset, error.reason)
      }
      offset += line.count + 1
    }
    guard let first = lines.first?.value, first["format"]?.string == format else {
      throw source.error(at: 0, "the first line of a journal of format \(format) is needed")
    }
    try compare(first, identity, folder)
    var done: [Int: (visits: Int, rows: [ResultRow])] = [:]
    for (offset, line) in lines.dropFirst() {
      guard let index = line["item"]?.integer, identity.items.indices.contains(index),
        let visit = line["visit"]?.integer, let table = line["results"]?.string,
        let samples = line["samples"]?.string
      else { throw source.error(at: offset, "an item of this run with visit, results and samples is needed") }
      let place = "\(path), item \(index)"
      var rows = try ResultRow.rows(reading: CSVTable(parsing: table, file: place))
      try SampleTable.read(CSVTable(parsing: samples, file: place), into: &rows)
      done[index] = (visit + 1, rows)
    }
    return (try RunJournal(appending: path, keeping: whole), done)
  }

  private static func compare(_ first: JSONValue, _ identity: Identity, _ folder: String) throws {
    func differ(_ what: String, _ old: String, _ new: String) -> HarnessError {
      .usage("the run in \(folder) cannot be continued: \(what) was \(old), now it is \(new)")
    }
    let facts = first["facts"]?.object ?? [:]
    for (name, value) in identity.facts {
      let old = facts[name]?.string ?? "nothing"
      if old != value { throw differ(name, "'\(old)'", "'\(value)'") }
    }
    let items = first["items"]?.array?.compactMap(\.string) ?? []
    for (index, (old, new)) in zip(items, identity.items).enumerated() where old != new {
      throw differ("item \(index + 1)", "'\(old)'", "'\(new)'")
    }
    if items.count != identity.items.count {
      throw differ("the number of items", "\(items.count)", "\(identity.items.count)")
    }
  }

  /// Adds the rows of an item after a visit.
  ///
  /// - Throws: `FileError.inputOutput`.
  public func append(item: Int, visit: Int = 0, rows: [ResultRow]) throws {
    let line =
      "{\"item\": \(item), \"visit\": \(visit), \"results\": \(JSONValue.quoted(ResultRow.csv(rows))), "
      + "\"samples\": \(JSONValue.quoted(SampleTable.csv(rows)))}\n"
    do {
      try file.write(contentsOf: Data(line.utf8))
    } catch {
      throw FileError.inputOutput(path: path, reason: "\(error.localizedDescription)")
    }
  }

  /// Closes the journal, and removes it where the run is whole.
  public func finish(isWhole: Bool) {
    try? file.close()
    if isWhole { try? FileManager.default.removeItem(atPath: path) }
  }
}
