import ConvCore
import Foundation

/// Files for readers that take a path, in memory where the system has such a folder.
enum Scratch {
  /// A folder of this process; it is left behind where the fuzzer ends the process, for `run` to remove.
  static let folder: String = {
    let parent = ProcessInfo.processInfo.environment["VBENCH_FUZZ_SCRATCH"] ?? NSTemporaryDirectory()
    let path = "\(parent)/\(ProcessInfo.processInfo.processIdentifier)"
    do {
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    } catch {
      fatalError("no scratch folder: \(error)")
    }
    return path
  }()

  /// The path of a file with these bytes.
  static func file(_ name: String, _ bytes: [UInt8]) -> String {
    let path = "\(folder)/\(name)"
    guard FileManager.default.createFile(atPath: path, contents: Data(bytes)) else {
      fatalError("\(path) cannot be written")
    }
    return path
  }

  /// What a writer wrote into a file.
  static func written(_ name: String, _ write: (String) throws -> Void) -> String {
    let path = "\(folder)/\(name)"
    do { try write(path) } catch { fatalError("what was read cannot be written: \(error)") }
    return path
  }
}

/// What has been written has to be readable.
func again<Value>(_ what: String, _ read: () throws -> Value) -> Value {
  do { return try read() } catch { fatalError("\(what), written, cannot be read again: \(error)") }
}

/// The parts of an input between lines of a single `%`, which the formats in question hardly use.
func parts(_ bytes: [UInt8]) -> [String] {
  var parts: [[UInt8]] = [[]]
  var start = 0
  while start < bytes.count {
    // With its end, where it has one.
    let end = bytes[start...].firstIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? bytes.count
    if bytes[start..<end].elementsEqual("%\n".utf8) {
      parts.append([])
    } else {
      parts[parts.count - 1] += bytes[start..<end]
    }
    start = end
  }
  return parts.map { String(decoding: $0, as: UTF8.self) }
}
