import ConvCore
import Foundation

/// Text files with one problem per line: canonical text or benchdnn's descriptor language.
///
/// `#` begins a comment, blank lines are skipped. After a canonical text a name may follow, with `*3` in it as the
/// multiplicity; in benchdnn's language everything after `n` is the name.
public enum ProblemFile {
  /// Largest file that is read: 16 MiB.
  static let largestByteCount = 16 << 20

  /// Reads a file.
  ///
  /// - Throws: `FileError` (not there, too large, not UTF-8, no problem in it), `HarnessError.malformedLine` with
  ///   line and column.
  public static func read(path: String) throws -> BenchmarkSuite {
    let text = try InputFile.text(of: path, limit: largestByteCount)
    return try suite(from: text, file: path)
  }

  /// The problems of a text.
  static func suite(from text: String, file: String) throws -> BenchmarkSuite {
    var problems: [BenchmarkProblem] = []
    var number = 0
    for line in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline) {
      number += 1
      if let problem = try self.problem(line: String(line), number: number, file: file) {
        problems.append(problem)
      }
    }
    guard !problems.isEmpty else {
      throw FileError.malformed(path: file, reason: "holds no problem in its \(number) lines")
    }
    return BenchmarkSuite(name: file, summary: "\(problems.count) problems of \(file)", problems: problems)
  }

  /// The problem of one line, nil for a blank line or a comment.
  static func problem(line: String, number: Int, file: String) throws -> BenchmarkProblem? {
    let characters = Array(line)
    let start = characters.firstIndex { $0 != " " && $0 != "\t" } ?? characters.count
    guard start < characters.count, characters[start] != "#" else { return nil }
    var end = characters.firstIndex(of: "#") ?? characters.count
    while end > start, characters[end - 1] == " " || characters[end - 1] == "\t" { end -= 1 }
    let body = String(characters[start..<end])
    do {
      return try parse(body)
    } catch ConvError.malformedProblem(_, let offset, let reason) {
      throw HarnessError.malformedLine(
        file: file, line: number, column: start + offset + 1, text: line, reason: reason)
    } catch ConvError.invalidProblem(let reason) {
      throw HarnessError.malformedLine(
        file: file, line: number, column: start + 1, text: line, reason: reason)
    }
  }

  /// One problem in either language.
  ///
  /// - Throws: `ConvError.malformedProblem` with the offset, `.invalidProblem`.
  public static func parse(_ text: String) throws -> BenchmarkProblem {
    if text.hasPrefix("--") {
      throw ConvError.malformedProblem(
        text: text, offset: 0,
        reason: "option lines are not part of a problem file; give options on vbench's own command line")
    }
    guard text.hasPrefix("conv") else {
      var reader = BenchdnnReader(text)
      return try reader.problem()
    }
    let parts = text.split(maxSplits: 1, whereSeparator: { $0 == " " || $0 == "\t" })
    let problem: ConvProblem
    do {
      problem = try ConvProblem(parsing: String(parts[0]))
    } catch ConvError.malformedProblem(_, let offset, let reason) {
      throw ConvError.malformedProblem(text: text, offset: offset, reason: reason)
    }
    let label = parts.count > 1 ? parts[1].trimmingCharacters(in: .whitespaces) : ""
    let (name, multiplicity) = splitMultiplicity(label)
    return BenchmarkProblem(problem, name: name, multiplicity: multiplicity)
  }

  /// `res4b*5` is the name `res4b`, five times. Surrounding quotes are dropped.
  static func splitMultiplicity(_ label: String) -> (name: String, multiplicity: Int) {
    var text = Substring(label)
    if text.count >= 2, text.first == "\"", text.last == "\"" { text = text.dropFirst().dropLast() }
    guard let star = text.lastIndex(of: "*"), let count = Int(text[text.index(after: star)...]), count > 0
    else { return (String(text), 1) }
    return (String(text[..<star]), count)
  }
}
