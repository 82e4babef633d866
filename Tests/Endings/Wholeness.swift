import ConvCore
import ConvHarness
import Foundation

/// What a folder holds after a process has ended in it.
struct Wholeness {
  /// Files of vbench's that are not whole, each with what is wrong.
  private(set) var faults: [String] = []
  /// Temporary files and folders, which a killed process leaves.
  private(set) var temporaries: [String] = []
  /// How many files were looked into.
  private(set) var files = 0

  /// Looks into every file of a folder but those of the names in `inputs`.
  init(of folder: String, inputs: Set<String>) {
    guard let all = FileManager.default.enumerator(atPath: folder) else { return }
    for case let name as String in all where !inputs.contains(name) {
      if name.split(separator: "/").contains(where: { $0.hasPrefix(".") && $0.hasSuffix(".tmp") }) {
        temporaries.append(name)
        continue
      }
      let path = "\(folder)/\(name)"
      var isFolder: ObjCBool = false
      guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), !isFolder.boolValue else {
        continue
      }
      files += 1
      do {
        if let fault = try Self.fault(of: path) { faults.append("\(name): \(fault)") }
      } catch {
        faults.append("\(name): \(error)")
      }
    }
  }

  /// What is wrong with a file; nil where it is whole.
  private static func fault(of path: String) throws -> String? {
    let name = path.split(separator: "/").last.map(String.init) ?? ""
    // Locks are empty, and hold nothing.
    if name.hasSuffix(".lock") { return nil }
    let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
    if bytes.isEmpty { return "it is empty" }
    func text() -> String { String(decoding: bytes, as: UTF8.self) }
    switch name.split(separator: ".").last {
    case "json": _ = try JSONValue(parsing: bytes)
    case "csv":
      _ = try CSVTable(parsing: text(), file: name)
      if bytes.last != UInt8(ascii: "\n") { return "its last line has no end" }
    case "md": if bytes.last != UInt8(ascii: "\n") { return "its last line has no end" }
    case "html":
      if !text().hasSuffix("</html>\n") { return "it does not end as a page does: \(text().suffix(20))" }
    case "safetensors": _ = try SafetensorsFile(path: path)
    case "jsonl":
      // The line that a kill cut off is left out when it is read.
      for line in text().split(separator: "\n", omittingEmptySubsequences: true).dropLast() {
        _ = try JSONValue(parsing: String(line))
      }
    default: return "no file that is known"
    }
    return nil
  }
}
