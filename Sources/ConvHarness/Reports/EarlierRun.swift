import ConvCore
import Foundation

/// A stored run of the same problems on the same machine, with which a new one can be compared.
public struct EarlierRun: Sendable {
  /// Its folder; with its date where the new run takes its place.
  public let name: String
  public let report: RunReport

  /// A named run.
  public init(name: String, report: RunReport) {
    (self.name, self.report) = (name, report)
  }

  /// What `search` has found.
  public struct Search: Sendable {
    /// The run; nil where there is none.
    public fileprivate(set) var run: EarlierRun?
    /// Folders that were passed over because they could not be read, and why.
    public fileprivate(set) var notes: [String] = []
  }

  /// Facts in which two runs have to agree. All else that matters is in the rows' keys, or is what may have changed.
  static let facts = ["CPU", "caches", "instruction set"]

  /// Looks for the newest whole run with which a new one can be compared: what `folder`, which the new one is going to be written
  /// to, has held until now, and the folders beside it.
  ///
  /// It is of the same machine and instruction set, timed if the new one is, and has at least half of the new one's rows (the same
  /// problem, pass, backend, threads, format, …); if none has so many, the newest that has any. What cannot be read is passed over.
  public static func search(replacing folder: String, for report: RunReport) -> Search {
    var search = Search()
    var heads: [(place: Place, head: RunReport)] = []
    for place in Place.all(replacing: folder) {
      do {
        let head = try RunReport(headOf: place.path)
        if isComparable(head, report) { heads.append((place, head)) }
      } catch {
        search.notes.append(note(place.path, error))
      }
    }
    let own = RowKeys(report)
    var second: Place?
    // Equal dates in the order of names, so that the answer does not depend on the file system.
    heads.sort { ($0.head.date, $0.place.path) > ($1.head.date, $1.place.path) }
    for (place, _) in heads {
      do {
        let common = try RowKeys(in: place.path).count(in: own)
        if 2 * common >= own.total, common > 0 {
          search.run = try EarlierRun(at: place)
          return search
        }
        if common > 0 && second == nil { second = place }
      } catch {
        search.notes.append(note(place.path, error))
      }
    }
    if let second {
      do { search.run = try EarlierRun(at: second) } catch { search.notes.append(note(second.path, error)) }
    }
    return search
  }

  private init(at place: Place) throws {
    let report = try RunReport(reading: place.path)
    self.init(name: place.isOwn ? "\(place.path) of \(report.date)" : place.path, report: report)
  }

  private static func note(_ path: String, _ error: any Error) -> String {
    "note: \(QuotedText.visible(path)) was not compared: \(QuotedText.tamed("\(error)"))"
  }

  private static func isComparable(_ earlier: RunReport, _ report: RunReport) -> Bool {
    guard !earlier.isPartial, earlier.hasTimes == report.hasTimes else { return false }
    return facts.allSatisfy { fact in
      let values = [earlier, report].map { $0.environment.first { $0.key == fact }?.value }
      return values[0] == values[1]
    }
  }

  /// A folder that holds a run.
  private struct Place {
    let path: String
    /// Whether the new run is going to be written there.
    let isOwn: Bool

    /// The folder of a new run and those beside it.
    static func all(replacing folder: String) -> [Place] {
      let name = NSString(string: folder).lastPathComponent
      let parent = NSString(string: folder).deletingLastPathComponent
      var places = [Place(path: folder, isOwn: true)]
      if ![".", "..", "/", ""].contains(name) {
        let beside =
          (try? FileManager.default.contentsOfDirectory(atPath: parent.isEmpty ? "." : parent)) ?? []
        // Hidden ones are not finished.
        places += beside.filter { $0 != name && !$0.hasPrefix(".") }.map {
          Place(path: NSString(string: parent).appendingPathComponent($0), isOwn: false)
        }
      }
      return places.filter { FileManager.default.fileExists(atPath: "\($0.path)/\(RunFiles.run)") }
    }
  }
}

/// What the rows of a run are of, and how often.
private struct RowKeys {
  private var counts: [[String]: Int] = [:]

  init(_ report: RunReport) {
    for row in report.rows { counts[row.itemKey + [row.backend], default: 0] += 1 }
    for row in report.training { counts[row.key, default: 0] += 1 }
  }

  /// From the tables alone, which are read sooner than samples.
  init(in folder: String) throws {
    func table(_ name: String) throws -> CSVTable {
      let path = "\(folder)/\(name)"
      return try CSVTable(parsing: InputFile.text(of: path, limit: 1 << 28), file: path)
    }
    for row in try ResultRow.rows(reading: table(RunFiles.results)) {
      counts[row.itemKey + [row.backend], default: 0] += 1
    }
    let training = try table(RunFiles.training)
    let columns = try ["network", "backend", "threads", "batch"].map(training.column)
    for row in training.rows { counts[columns.map { row[$0].text }, default: 0] += 1 }
  }

  var total: Int { counts.values.reduce(0, +) }

  /// How many of the rows `other` has too.
  func count(in other: RowKeys) -> Int {
    counts.reduce(0) { $0 + min($1.value, other.counts[$1.key] ?? 0) }
  }
}

extension TrainingRow {
  /// What a row is of.
  var key: [String] { [network, backend, "\(threads)", "\(batch)"] }
}
