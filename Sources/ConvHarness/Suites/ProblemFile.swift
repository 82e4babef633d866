import ConvCore

/// Text files of problems: one per line in canonical text, or whatever benchdnn's batch files hold.
///
/// `#` at the beginning of a word begins a comment, blank lines are skipped. After a canonical text a name may follow, with `*3` at
/// its end as the multiplicity. In benchdnn's language several problems and options may share a line, everything after `n` is the name,
/// and `--batch=FILE` reads another file; see `BatchFileReader`.
public enum ProblemFile {
  /// Largest file that is read: 16 MiB.
  static let largestByteCount = 16 << 20

  /// Reads a file and those that it names: one suite per file with problems of its own, in the order of their first problem. Where
  /// there is none, one without problems whose `absence` says why.
  ///
  /// - Throws: `FileError` (not there, too large, not UTF-8), `HarnessError.malformedLine` with line and column.
  public static func read(path: String) throws -> [BenchmarkSuite] {
    var reader = BatchFileReader()
    try reader.read(path: path)
    return reader.finish(path: path)
  }

  /// The suites of a text; `file` names it, and `--batch` in it is relative to its folder.
  static func suites(from text: String, file: String) throws -> [BenchmarkSuite] {
    var reader = BatchFileReader()
    try reader.read(Array(text.utf8)[...], file: file)
    return reader.finish(path: file)
  }

  /// One problem in either language.
  ///
  /// - Throws: `ConvError.malformedProblem` with the offset, `.invalidProblem`.
  public static func parse(_ text: String) throws -> BenchmarkProblem {
    if text.hasPrefix("--") {
      throw ConvError.malformedProblem(
        text: text, offset: 0,
        reason: "option lines are not part of a problem; give options on vbench's own command line")
    }
    guard text.hasPrefix("conv") else {
      var reader = BenchdnnReader(Array(text.utf8)[...])
      return try reader.problem()
    }
    let bytes = text.utf8
    let end = bytes.firstIndex { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") } ?? bytes.endIndex
    let problem: ConvProblem
    do {
      problem = try ConvProblem(parsing: String(text[..<end]))
    } catch ConvError.malformedProblem(_, let offset, let reason) {
      throw ConvError.malformedProblem(text: text, offset: offset, reason: reason)
    }
    let (name, multiplicity) = try splitMultiplicity(text[end...])
    return BenchmarkProblem(problem, name: name, multiplicity: multiplicity)
  }

  /// `res4b*5` is the name `res4b`, five times. Surrounding blanks and quotes are dropped.
  ///
  /// - Throws: `ConvError.invalidProblem` for more times than can be counted.
  static func splitMultiplicity(_ label: some StringProtocol) throws -> (name: String, multiplicity: Int) {
    let blanks = [UInt8(ascii: " "), UInt8(ascii: "\t")]
    let quote = UInt8(ascii: "\"")
    var text = Substring(label).utf8
    while let first = text.first, blanks.contains(first) { text.removeFirst() }
    while let last = text.last, blanks.contains(last) { text.removeLast() }
    if text.count >= 2, text.first == quote, text.last == quote { text = text.dropFirst().dropLast() }
    guard let star = text.lastIndex(of: UInt8(ascii: "*")),
      let count = Int(Substring(text[text.index(after: star)...])), count > 0
    else { return (String(Substring(text)), 1) }
    guard count <= BenchmarkProblem.largestMultiplicity else {
      throw ConvError.invalidProblem(
        "it occurs \(count) times, at most \(BenchmarkProblem.largestMultiplicity) are possible")
    }
    return (String(Substring(text[..<star])), count)
  }
}
