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
    let journal = try Content(reading: folder)
    try compare(journal.first, identity, folder)
    return (try RunJournal(appending: journal.source.file, keeping: journal.whole), journal.items)
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
    try append(
      "{\"item\": \(item), \"visit\": \(visit), \"results\": \(JSONValue.quoted(ResultRow.csv(rows))), "
        + "\"samples\": \(JSONValue.quoted(SampleTable.csv(rows)))}\n")
  }

  /// Adds what a report says besides its rows, so that one can be made of a run that has no end.
  ///
  /// - Throws: `FileError.inputOutput`.
  public func append(head report: RunReport) throws {
    var head = report
    head.isPartial = true
    (head.rows, head.training) = ([], [])
    try append("{\"run\": \(JSONValue.quoted(head.json))}\n")
  }

  private func append(_ line: String) throws {
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
