import ConvTestSupport
import Testing

@testable import ConvCore

/// Files of text as editors leave them.
@Suite struct TextFileTests {
  private static let mark: [UInt8] = [0xEF, 0xBB, 0xBF]

  private func fault(_ bytes: [UInt8], _ read: (String) throws -> Void) throws -> String {
    try withTemporaryFolder { folder in
      try AtomicFile.write(bytes, to: folder + "/text")
      do {
        try read(folder + "/text")
        return "nothing"
      } catch { return "\(error)" }
    }
  }

  @Test func aMarkIsNoText() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/text"
      for (bytes, text) in [
        ([], ""), (Self.mark, ""), (Self.mark + Array("aé".utf8), "aé"),
        (Array("a\u{FEFF}b".utf8), "a\u{FEFF}b"),
        (Self.mark + Self.mark, "\u{FEFF}"),
      ] as [([UInt8], String)] {
        try AtomicFile.write(bytes, to: path)
        let read = try InputFile.text(of: path)
        let bytes = try InputFile.utf8(of: path, limit: 100)
        #expect(Array(read.unicodeScalars) == Array(text.unicodeScalars) && Array(bytes) == Array(text.utf8))
      }
    }
  }

  @Test(
    arguments: [
      ([0xFF, 0xFE, 0x61, 0], "UTF-16"), ([0xFE, 0xFF, 0, 0x61], "UTF-16"), ([0xFF, 0xFE, 0, 0], "UTF-32"),
      ([0, 0, 0xFE, 0xFF], "UTF-32"), ([0xFF, 0x61], "not UTF-8"), ([0xEF, 0xBB], "not UTF-8"),
    ] as [([UInt8], String)])
  func otherEncodingsAreNamed(_ bytes: [UInt8], _ name: String) throws {
    #expect(try fault(bytes) { _ = try InputFile.text(of: $0) }.contains(name))
    #expect(try fault(bytes) { _ = try JSONFile.read($0, limit: 100) { $0 } }.contains(name))
  }

  /// Places are those of the file, with its mark.
  @Test func jsonBehindAMark() throws {
    try withTemporaryFolder { folder in
      try AtomicFile.write(Self.mark + Array("\r\n {\"a\": 1}\r\n".utf8), to: folder + "/json")
      #expect(try JSONFile.read(folder + "/json", limit: 100) { $0["a"]?.integer } == 1)
    }
    #expect(
      try fault(Self.mark + Array("[1, x]".utf8)) { _ = try JSONFile.read($0, limit: 100) { $0 } }
        .contains("byte 8: a value expected"))
    // Inside of a text the mark is a character that JSON does not have.
    #expect(throws: JSONValue.SyntaxError.self) { try JSONValue(parsing: "\u{FEFF}1") }
  }
}
