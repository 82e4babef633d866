import ConvTestSupport
import Foundation
import Testing

@testable import ConvCore

/// Writing all of something, or saying why not.
@Suite struct WholeWriteTests {
  /// A pipe holds 64 KiB, and one that does not wait refuses what does not fit.
  @Test(arguments: [false, true])
  func pipesTakeAll(_ waits: Bool) throws {
    let pipe = Pipe()
    let writer = pipe.fileHandleForWriting.fileDescriptor
    if !waits { #expect(fcntl(writer, F_SETFL, O_NONBLOCK) == 0) }
    let bytes = (0..<1_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }
    let thread = Thread {
      let code = bytes.withUnsafeBytes { WholeWrite.write($0, to: writer) }
      #expect(code == nil)
      try? pipe.fileHandleForWriting.close()
    }
    thread.start()
    #expect(try pipe.fileHandleForReading.readToEnd().map(Array.init) == bytes)
  }

  @Test func failuresHaveTheirCodes() {
    let full = open("/dev/full", O_WRONLY)
    #expect(WholeWrite.write("text", to: full) == ENOSPC && WholeWrite.write("", to: full) == nil)
    close(full)
    let readOnly = open("/dev/null", O_RDONLY)
    #expect(WholeWrite.write("text", to: readOnly) == EBADF)
    close(readOnly)
    #expect(WholeWrite.write("text", to: -1) == EBADF)
  }

  @Test func linesStayLines() {
    #expect(QuotedText.visible(lines: "a\nb") == "a\nb")
    #expect(QuotedText.visible(lines: "a\u{1B}[2J\nb\t\r\n\u{202E}") == "a\\u{1b}[2J\nb\\t\\u{d}\n\\u{202e}")
    #expect(QuotedText.visible("a\n\u{200F}\u{61C}") == "a\\n\\u{200f}\\u{61c}")
  }
}
