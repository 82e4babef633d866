import ConvCore
import Foundation

/// Reads problem files in the grammar of benchdnn's batch files.
///
/// A file is a row of words between blanks and line ends; `#` at the beginning of a word comments the rest of its line out, and a word
/// that ends in `\`, or has one behind it, goes on with the next one. A word is an option (`--mb=2`), which holds for all problems after it, in other files
/// too, until `--reset`; `--batch=FILE`, which reads a file (relative to the folder of the one that names it) at that place; or a
/// problem. A line that begins with a canonical text holds that problem and its name. What options ask for that cannot be had is said
/// in the suites' notes, together with the number of problems that were left out for it.
struct BatchFileReader {
  /// Words, bytes and files that are read at most, so that files which name each other again and again end.
  static let wordLimit = 1_000_000
  static let byteLimit = 4 * ProblemFile.largestByteCount
  static let fileLimit = 10_000
  /// How deep files may name each other.
  static let deepestNesting = 64
  /// Problems that are read at most: each of them may be asked for at many batch sizes.
  static let problemLimit = 100_000
  /// Reasons that notes name.
  private static let reasonLimit = 20

  private var suites: [BenchmarkSuite] = []
  private var suiteIndex: [String: Int] = [:]
  private var settings = BenchdnnSettings()
  /// Problems that were left out, by what was asked for, and options without a meaning here, in order of appearance.
  private var leftOut: [(reason: String, count: Int)] = []
  private var leftOutIndex: [String: Int] = [:]
  private var passedOver: [(option: String, note: String)] = []
  private var open: [(path: String, identity: String)] = []
  private var words = 0
  private var bytes = 0
  private var files = 0
  private var problems = 0
  private var work = PatternWork()
  /// Problems that `--match` kept out, and the first of them.
  private var unmatched = 0
  private var firstUnmatched = ""
  /// Options behind which no problem came so far, and where the first one stands.
  private var idle: [String] = []
  private var idlePlace = ""

  init() {}

  /// A place in a file; lines count from 1, columns are byte offsets in the line.
  private struct Place {
    let file: String
    let line: Int
    let column: Int
    let text: ArraySlice<UInt8>

    func error(_ reason: String, offset: Int = 0) -> HarnessError {
      let lead = String(decoding: text.prefix(column), as: UTF8.self).count
      return .malformedLine(
        file: file, line: line, column: lead + offset + 1, text: String(decoding: text, as: UTF8.self),
        reason: reason)
    }
  }

  /// Reads a file.
  mutating func read(path: String) throws { try read(path: path, from: nil) }

  /// The suites of all that has been read; where there is no problem in it, one by the name of `path` that says why.
  mutating func finish(path: String) -> [BenchmarkSuite] {
    var notes = leftOut.prefix(Self.reasonLimit).map { "\($0.count) problems are left out: \($0.reason)" }
    let others = leftOut.dropFirst(Self.reasonLimit)
    if !others.isEmpty {
      notes.append(
        "\(others.reduce(0) { $0 + $1.count }) problems are left out for \(others.count) other reasons")
    }
    // Where nothing is left, the reason says so.
    if suites.isEmpty { notes = [] }
    notes += passedOver.map(\.note)
    guard !suites.isEmpty else {
      var suite = BenchmarkSuite(name: path, summary: "no problem", problems: [])
      suite.notes = notes
      suite.absence = absence
      return [suite]
    }
    if let first = idle.first {
      let what =
        idle.count == 1
        ? "stands behind the last problem and changes"
        : "and \(idle.count - 1) more options stand behind the last problem and change"
      notes.append("\(idlePlace): \(first) \(what) nothing: options are about the problems after them")
    }
    for i in suites.indices {
      suites[i].summary = "\(suites[i].problems.count) problems of \(suites[i].name)"
    }
    suites[0].notes = notes
    return suites
  }

  /// Why there is no problem.
  private var absence: String {
    var reasons: [String] = []
    if let first = leftOut.first {
      reasons.append("\(first.count) problems are left out: \(first.reason)")
    }
    if leftOut.count > 1 { reasons.append("\(leftOut.count - 1) more reasons") }
    if unmatched > 0 {
      reasons.append("--match keeps out all \(unmatched) that are left; the first is \(firstUnmatched)")
    }
    guard reasons.isEmpty else {
      return "it holds no problem that can be run; " + reasons.joined(separator: "; ")
    }
    if words > 0 { return "it holds no problem, only options" }
    return bytes > 0 ? "it holds no problem, only comments and blanks" : "it holds no problem: it is empty"
  }

  private mutating func read(path: String, from place: Place?) throws {
    let identity = URL(fileURLWithPath: path).resolvingSymlinksInPath().path
    if open.contains(where: { $0.identity == identity }) {
      let chain = open.map(\.path) + [path]
      throw place?.error(
        "\(quoting: path) includes itself: \(QuotedText.shortened(chain.joined(separator: " → ")))")
        ?? FileError.malformed(path: path, reason: "includes itself")
    }
    files += 1
    if let place, files > Self.fileLimit { throw place.error("more than \(Self.fileLimit) files are read") }
    if let place, open.count >= Self.deepestNesting {
      throw place.error("files name each other more than \(Self.deepestNesting) deep")
    }
    let text: ArraySlice<UInt8>
    do {
      text = try InputFile.utf8(of: path, limit: ProblemFile.largestByteCount)
    } catch FileError.missingInput(let path, let reason) where place != nil {
      throw FileError.missingInput(
        path: path, reason: "\(reason); named in \(place!.file), line \(place!.line)")
    }
    if let place, bytes + text.count > Self.byteLimit {
      throw place.error("more than \(Self.byteLimit) bytes in this file and those that it names")
    }
    open.append((path, identity))
    try read(text, file: path)
    open.removeLast()
  }

  /// Reads the words of one file, which is UTF-8.
  mutating func read(_ bytes: ArraySlice<UInt8>, file: String) throws {
    self.bytes += bytes.count
    var number = 0
    var start = bytes.startIndex
    // The last word is taken when the next one shows that it does not go on.
    var held: (bytes: [UInt8], place: Place)?
    var goesOn = false
    while start < bytes.endIndex {
      number += 1
      let end =
        bytes[start...].firstIndex { $0 == UInt8(ascii: "\n") || $0 == UInt8(ascii: "\r") } ?? bytes.endIndex
      let line = bytes[start..<end]
      start = end + 1
      if end + 1 < bytes.endIndex, bytes[end] == UInt8(ascii: "\r"), bytes[end + 1] == UInt8(ascii: "\n") {
        start += 1
      }
      var position = line.startIndex
      while let word = Self.nextWord(line, &position) {
        words += 1
        let place = Place(file: file, line: number, column: word.startIndex - line.startIndex, text: line)
        guard words <= Self.wordLimit else {
          throw place.error("more than \(Self.wordLimit) words in this file and those that it names")
        }
        if goesOn {
          held?.bytes += word
        } else if word.count > 1 || word.first != UInt8(ascii: "\\") {
          if let last = held { try take(last.bytes[...], last.place) }
          held = nil
          if Self.isCanonical(word) {
            let rest = Self.label(line, from: word.startIndex)
            position = line.endIndex
            try add(place) {
              let text = String(decoding: rest, as: UTF8.self)
              let label =
                text.utf8.firstIndex { Self.isBlank($0) }.map { text[text.utf8.index(after: $0)...] } ?? ""
              let problem = try ProblemFile.parse(text)
              return (problem, BenchdnnLine(problem.problem, label: String(label), statesGroups: false))
            }
            continue
          }
          held = (Array(word), place)
        }
        let isJoined = goesOn || word.count > 1
        goesOn = word.last == UInt8(ascii: "\\")
        if goesOn && isJoined { held?.bytes.removeLast() }
      }
    }
    guard let last = held else { return }
    if goesOn { throw last.place.error("the file ends where this word should go on") }
    try take(last.bytes[...], last.place)
  }

  /// An option or a problem.
  private mutating func take(_ word: ArraySlice<UInt8>, _ place: Place) throws {
    guard word.first == UInt8(ascii: "-") else {
      try add(place) {
        var reader = BenchdnnReader(word)
        let problem = try reader.problem()
        return (
          problem, BenchdnnLine(problem.problem, label: reader.label, statesGroups: reader.statesGroups)
        )
      }
      return
    }
    let option = String(decoding: word, as: UTF8.self)
    let action = try settings.take(option, fail: { place.error($0) })
    if case .batch = action {
    } else if !["--reset", "--conv"].contains(option) {
      if idle.isEmpty { idlePlace = "\(place.file), line \(place.line)" }
      idle.append(QuotedText.shortened(option))
    }
    switch action {
    case .nothing: break
    case .note(let option, let text):
      if !passedOver.contains(where: { $0.option == option }) {
        passedOver.append((option, "\(place.file), line \(place.line): \(text)"))
      }
    case .batch(let file):
      let folder = (place.file as NSString).deletingLastPathComponent
      try read(path: file.hasPrefix("/") || folder.isEmpty ? file : "\(folder)/\(file)", from: place)
    }
  }

  private mutating func add(
    _ place: Place, _ read: () throws -> (problem: BenchmarkProblem, line: BenchdnnLine)
  ) throws {
    do {
      let (problem, line) = try read()
      idle.removeAll()
      if let reason = settings.declined.first, settings.isMeant(problem, line, work: &work.count) {
        let index = leftOutIndex[reason] ?? leftOut.count
        if index == leftOut.count {
          leftOutIndex[reason] = index
          leftOut.append((reason, 0))
        }
        leftOut[index].count += 1
        return
      }
      problems += settings.batches.count
      guard problems <= Self.problemLimit else {
        throw place.error("more than \(Self.problemLimit) problems in this file and those that it names")
      }
      let found =
        settings.declined.isEmpty ? try settings.applied(to: problem, line: line, work: &work.count) : []
      if let reason = work.excess {
        throw place.error("--match=\(QuotedText.shortened(settings.patternText)) \(reason)")
      }
      guard !found.isEmpty else {
        if unmatched == 0 { firstUnmatched = "\(quoting: settings.firstLine(of: problem, line))" }
        unmatched += 1
        return
      }
      if let index = suiteIndex[place.file] {
        suites[index].problems += found
      } else {
        suiteIndex[place.file] = suites.count
        suites.append(BenchmarkSuite(name: place.file, summary: "", problems: found))
      }
    } catch ConvError.malformedProblem(_, let offset, let reason) {
      throw place.error(reason, offset: offset)
    } catch ConvError.invalidProblem(let reason) {
      throw place.error(reason)
    }
  }

  private static func isBlank(_ byte: UInt8) -> Bool { byte == UInt8(ascii: " ") || (9...12).contains(byte) }

  /// The next word of a line; blanks between double quotes belong to it.
  private static func nextWord(_ line: ArraySlice<UInt8>, _ position: inout Int) -> ArraySlice<UInt8>? {
    while position < line.endIndex, isBlank(line[position]) { position += 1 }
    guard position < line.endIndex, line[position] != UInt8(ascii: "#") else { return nil }
    let start = position
    while position < line.endIndex, !isBlank(line[position]) {
      if line[position] == UInt8(ascii: "\""),
        let close = line[(position + 1)...].firstIndex(of: UInt8(ascii: "\""))
      {
        position = close
      }
      position += 1
    }
    return line[start..<position]
  }

  private static func isCanonical(_ word: ArraySlice<UInt8>) -> Bool {
    word.starts(with: "conv".utf8)
  }

  /// The line from `start` to a comment or its end.
  private static func label(_ line: ArraySlice<UInt8>, from start: Int) -> ArraySlice<UInt8> {
    var end = start
    while end < line.endIndex {
      if line[end] == UInt8(ascii: "#"), end > start, isBlank(line[end - 1]) { break }
      end += 1
    }
    while end > start, isBlank(line[end - 1]) { end -= 1 }
    return line[start..<end]
  }
}
