import Foundation

/// A fault that some test has to notice: the lines that it changes, as they stand in the source.
struct Mutant: Sendable {
  /// Lines that are replaced together.
  struct Hunk: Sendable {
    /// The end of the file's path: its base name, or more where that is not enough.
    var file: String
    /// The instruction set that alone is wrong, for kernels that are compiled once per set; nil for all.
    var instructionSet: String?
    /// Text of an earlier line, where the quoted lines occur more than once: the first occurrence after it counts.
    var anchor: String?
    /// The line, from 0, where it is known.
    var line: Int?
    /// The quoted lines and what stands in their place. Their indentation does not count.
    var old: [String] = []
    var new: [String] = []
  }

  /// The file's name without `.mutant`; the part before the first `-` is its group.
  var name: String
  /// What is wrong, in a sentence.
  var title: String
  /// A regular expression as `swift test --filter` takes it: the tests that have to fail.
  var filter: String
  var hunks: [Hunk]

  init(name: String, title: String, filter: String, hunks: [Hunk]) {
    (self.name, self.title, self.filter, self.hunks) = (name, title, filter, hunks)
  }

  /// Reads `NAME.mutant`:
  ///
  /// ```
  /// What is wrong, in a sentence.
  /// Tests: FILTER
  ///
  /// File.swift                 or `kernel.inc.h (avx2)`: wrong as compiled for that instruction set only
  /// @ text of an earlier line  (optional)
  /// - the line as it is
  /// + the line as it should not be
  /// ```
  init(contentsOf url: URL) throws {
    let lines = try String(contentsOf: url, encoding: .utf8).components(separatedBy: "\n")
    name = url.deletingPathExtension().lastPathComponent
    guard let title = lines.first, !title.isEmpty, lines.count > 2, lines[1].hasPrefix("Tests: ") else {
      throw MutantError.malformed(name, "it begins with a sentence and a line `Tests: FILTER`")
    }
    self.title = title
    filter = lines[1].dropFirst("Tests:".count).trimmingCharacters(in: .whitespaces)
    hunks = try Self.hunks(in: lines.dropFirst(2), of: name)
  }

  private static func hunks(in lines: ArraySlice<String>, of name: String) throws -> [Hunk] {
    var hunks: [Hunk] = []
    var target: Hunk?
    var current: Hunk?
    func close() throws {
      guard let hunk = current else { return }
      current = nil
      // An anchor without lines yet, or the name of a file alone.
      guard !hunk.old.isEmpty else { throw MutantError.malformed(name, "\(hunk.file): no line is quoted") }
      hunks.append(hunk)
    }
    for line in lines {
      let text = line.dropFirst(min(2, line.count))
      switch line.first {
      case nil:
        try close()
      case "@":
        try close()
        current = target
        current?.anchor = text.trimmingCharacters(in: .whitespaces)
      case "-":
        if current?.new.isEmpty == false { try close() }
        if current == nil { current = target }
        current?.old.append(String(text))
      case "+":
        current?.new.append(String(text))
      default:
        try close()
        let parts = line.split(separator: " ", maxSplits: 1)
        target = Hunk(
          file: String(parts[0]),
          instructionSet: parts.count > 1 ? parts[1].trimmingCharacters(in: ["(", ")"]) : nil)
      }
    }
    try close()
    guard !hunks.isEmpty else { throw MutantError.malformed(name, "it changes no line") }
    return hunks
  }
}

extension Mutant {
  /// As a file holds it.
  var text: String {
    let changes = hunks.map { hunk in
      ([hunk.file] + hunk.old.map { "- " + $0.drop { $0 == " " } } + hunk.new.map { "+ " + $0 })
        .joined(separator: "\n")
    }
    return ([title, "Tests: " + filter].joined(separator: "\n") + "\n\n") + changes.joined(separator: "\n\n")
      + "\n"
  }
}

/// What keeps a mutant from being judged.
enum MutantError: Error, CustomStringConvertible {
  case malformed(String, String)
  case noFile(String, [String])
  case noLines(file: String, String)
  case ambiguous(file: String, String, count: Int)

  var description: String {
    switch self {
    case .malformed(let name, let what): "\(name).mutant: \(what)"
    case .noFile(let name, let found):
      found.isEmpty ? "no source file is called \(name)" : "\(name) may be \(found.joined(separator: " or "))"
    case .noLines(let file, let line): "\(file) has no line '\(line)' there"
    case .ambiguous(let file, let line, let count):
      "\(file) has '\(line)' \(count) times: an earlier line, quoted after '@', would tell which"
    }
  }
}
