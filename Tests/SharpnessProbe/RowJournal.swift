import CoarseEngines
import Foundation

/// The rows that were found so far, in a file that belongs to one build of the program: verdicts of another one say nothing about
/// this one's bounds.
final class RowJournal {
  /// Rows that earlier runs found.
  let rows: [SharpnessRow.Key: SharpnessRow]
  private let file: FileHandle

  init(path: String, fresh: Bool) throws {
    let url = URL(fileURLWithPath: path)
    let stamp = "# \(try RowJournal.programStamp())\n"
    var text = fresh ? "" : (try? String(contentsOf: url, encoding: .utf8)) ?? ""
    if !text.hasPrefix(stamp) { text = stamp + SharpnessRow.header + "\n" }
    // A line that was being written when the program was ended is none.
    text = String(text[...(text.lastIndex(of: "\n") ?? text.startIndex)])
    let found = try SharpnessRow.rows(parsing: String(text.dropFirst(stamp.count)), file: path)
    rows = Dictionary(found.map { ($0.key, $0) }, uniquingKeysWith: { $1 })
    try FileManager.default.createDirectory(
      at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
    try Data(text.utf8).write(to: url)
    file = try FileHandle(forWritingTo: url)
    try file.seekToEnd()
  }

  func append(_ row: SharpnessRow) throws { try file.write(contentsOf: Data((row.line + "\n").utf8)) }

  private static func programStamp() throws -> String {
    let path = Bundle.main.executablePath ?? CommandLine.arguments[0]
    let attributes = try FileManager.default.attributesOfItem(atPath: path)
    let changed = (attributes[.modificationDate] as? Date)?.timeIntervalSince1970 ?? 0
    return "\(attributes[.size] ?? 0) \(changed)"
  }
}
