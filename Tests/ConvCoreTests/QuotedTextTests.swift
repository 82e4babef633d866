import Testing

@testable import ConvCore

@Suite struct QuotedTextTests {
  @Test func shortTextsStayAsTheyAre() {
    for text in [
      "", "a", "größe 3×3", String(repeating: "x", count: 200), String(repeating: "é", count: 200),
    ] {
      #expect(QuotedText.shortened(text) == text && QuotedText.quoted(text) == "'\(text)'")
      #expect("<\(quoting: text)>" == "<'\(text)'>")
    }
  }

  @Test func ofLongTextsBeginningEndAndLengthAreShown() {
    let text = "begin" + String(repeating: "x", count: 1_000_000) + "end"
    for shown in [
      QuotedText.shortened(text), QuotedText.quoted(text), QuotedText.tamed("a '\(text)' b \(text)"),
    ] {
      #expect(shown.count <= 460 && shown.contains("begin") && shown.contains("end"))
      #expect(shown.contains("(1000008 characters)"), "\(shown)")
    }
    let quoted = QuotedText.quoted(text).split(separator: "'")[0]
    #expect(quoted.count == 191)
  }

  /// What a terminal would obey is written out.
  @Test func controlCharactersAreWrittenOut() {
    #expect(QuotedText.quoted("a\u{1B}[2J\n\t\u{202E}b") == "'a\\u{1b}[2J\\n\\t\\u{202e}b'")
    #expect(QuotedText.tamed("one\ntwo \u{7}") == "one\ntwo \\u{7}")
    #expect(QuotedText.marked("a\u{1B}b", at: 2) == "\n  a·b\n    ^")
  }

  @Test func messagesKeepWhatIsTheirs() {
    let known = (0..<100).map { "name\($0)" }.joined(separator: ", ")
    let message = "unknown name 'a b'; known: \(known)\n  second line"
    #expect(QuotedText.tamed(message) == message)
    let words = (0..<100).map { "word\($0)" }.joined(separator: " ")
    let tamed = QuotedText.tamed("unknown name '\(words)'; known: a")
    #expect(
      tamed.hasPrefix("unknown name 'word0 word1 ") && tamed.hasSuffix("word99 (689 characters)'; known: a")
        && tamed.count < 260)
  }

  @Test(arguments: [0, 100, 5_000, 9_999, 10_000]) func marksStandBelowTheirCharacter(_ offset: Int) {
    let text = (0..<10_000).map { ["0", "1", "2", "3", "4", "5", "6"][$0 % 7] }.joined()
    let lines = QuotedText.marked(text, at: offset).split(separator: "\n")
    #expect(lines[0].count <= 202)
    let column = lines[1].count - 1
    #expect(lines[1].last == "^")
    if offset == 10_000 {
      #expect(column == lines[0].count)
    } else {
      #expect(Array(lines[0])[column] == Character("\(offset % 7)"), "\(lines)")
    }
    #expect(QuotedText.marked("abc", at: min(offset, 3)).hasPrefix("\n  abc\n  "))
  }

  /// Errors that are values keep the whole text; what people read does not.
  @Test func errorsAreShort() {
    let long = String(repeating: "a", count: 100_000)
    let errors: [any Error] = [
      ConvError.malformedProblem(text: long, offset: 70_000, reason: "'\(long)'"),
      ConvError.invalidProblem("a '\(long)'"), ConvError.unknownName(kind: "x", name: long, known: ["a"]),
      FileError.malformed(path: long, reason: "key '\(long)' \(long)"),
      FileError.missingInput(path: "p", reason: long),
    ]
    for error in errors { #expect("\(error)".count < 900) }
  }
}
