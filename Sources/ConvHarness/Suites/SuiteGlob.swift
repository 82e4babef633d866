import ConvCore
import Foundation

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

extension BenchmarkSuite {
  /// The suites that a command line means: a name or a file as in `named`, or a pattern with `*`, `?`, `[…]` of names of suites or,
  /// where none of them matches, of files. A file that reads other files is one suite per file; of one without problems
  /// a suite says why.
  ///
  /// - Throws: `HarnessError.unknownName` or `FileError.missingInput` where nothing is meant; what `ProblemFile.read` throws.
  public static func selected(by text: String) throws -> [BenchmarkSuite] {
    if let suite = builtIn.first(where: { $0.name == text }) { return [suite] }
    let isPattern = text.contains { "*?[".contains($0) } && !FileManager.default.fileExists(atPath: text)
    if !isPattern { return try file(text) }
    let suites = builtIn.filter { fnmatch(text, $0.name, 0) == 0 }
    if !suites.isEmpty { return suites }
    let files = try self.files(matching: text)
    guard !files.isEmpty else {
      if text.contains("/") {
        throw FileError.missingInput(path: text, reason: "no file matches this pattern")
      }
      throw HarnessError.unknownName(
        kind: "suite", name: text, known: NearNames.sorted(builtIn.map(\.name), by: text))
    }
    return try files.flatMap(ProblemFile.read)
  }

  /// Paths of files, not folders, that match a pattern, sorted.
  ///
  /// - Throws: `FileError.missingInput` for one whose name is not UTF-8 text: in text it would be another one.
  private static func files(matching pattern: String) throws -> [String] {
    var found = glob_t()
    defer { globfree(&found) }
    guard glob(pattern, 0, nil, &found) == 0, let paths = found.gl_pathv else { return [] }
    return try (0..<Int(found.gl_pathc)).compactMap { paths[$0] }.map { path in
      if let text = String(validatingCString: path) { return text }
      let bytes = UnsafeBufferPointer(start: path, count: strlen(path)).map(UInt8.init(bitPattern:))
      throw FileError.missingInput(
        path: pattern, reason: "it matches a name that is not UTF-8 text: \(QuotedText.bytes(bytes))")
    }.filter { path in
      var isFolder: ObjCBool = false
      return FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) && !isFolder.boolValue
    }
  }
}
