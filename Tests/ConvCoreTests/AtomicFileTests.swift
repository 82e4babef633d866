import ConvTestSupport
import Foundation
import Testing

@testable import ConvCore

@Suite struct AtomicFileTests {
  private struct Interrupted: Error {}

  private func names(_ folder: String) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
  }

  @Test func writesAndReplaces() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/a.txt"
      try AtomicFile.write("one", to: path)
      #expect(try InputFile.text(of: path) == "one")
      try AtomicFile.write(to: path) { writer in
        for part in 0..<40_000 { try writer.write("line \(part)\n") }
        try writer.write([UInt8](repeating: 65, count: 1 << 20))
      }
      let text = try InputFile.text(of: path)
      #expect(
        text.hasPrefix("line 0\nline 1\n")
          && text.hasSuffix("line 39999\n" + String(repeating: "A", count: 1 << 20)))
      #expect(try names(folder) == ["a.txt"])
    }
  }

  @Test func anErrorLeavesTheOldFileAndNothingElse() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/a.txt"
      try AtomicFile.write("old", to: path)
      #expect(throws: Interrupted.self) {
        try AtomicFile.write(to: path) {
          try $0.write("half of the new")
          throw Interrupted()
        }
      }
      #expect(try InputFile.text(of: path) == "old")
      #expect(try names(folder) == ["a.txt"])
    }
  }

  @Test func aSymbolicLinkIsFollowed() throws {
    try withTemporaryFolder { folder in
      try AtomicFile.write("old", to: folder + "/real")
      try FileManager.default.createSymbolicLink(
        atPath: folder + "/link", withDestinationPath: folder + "/real")
      try AtomicFile.write("new", to: folder + "/link")
      #expect(try InputFile.text(of: folder + "/real") == "new")
      #expect(try FileManager.default.destinationOfSymbolicLink(atPath: folder + "/link") == folder + "/real")
    }
  }

  @Test func impossibleDestinations() throws {
    try withTemporaryFolder { folder in
      try AtomicFile.write("x", to: folder + "/file")
      for path in [folder, folder + "/missing/a", folder + "/file/a", folder + "/", ""] {
        do {
          try AtomicFile.write("x", to: path)
          Issue.record("'\(path)' was written")
        } catch let error as FileError {
          guard case .cannotCreate(let found, _) = error else {
            Issue.record("'\(path)': \(error)")
            continue
          }
          #expect(found == path)
        }
        #expect(throws: FileError.self, "'\(path)'") { try AtomicFile.checkCreatable(path) }
      }
      try AtomicFile.checkCreatable(folder + "/new")
      #expect(try names(folder) == ["file"])
    }
  }

  #if os(Linux)
    /// A device that is always full; it must survive, so it is written in place.
    @Test func aFullDiskIsAnError() throws {
      do {
        try AtomicFile.write("x", to: "/dev/full")
        Issue.record("no error")
      } catch let error as FileError {
        guard case .inputOutput("/dev/full", let reason) = error else {
          Issue.record("\(error)")
          return
        }
        #expect(reason.contains("No space left on device"), "\(reason)")
      }
      #expect(throws: FileError.self) {
        try Safetensors.write([("a", Tensor.zeros([1 << 20]))], to: "/dev/full")
      }
      try AtomicFile.write("x", to: "/dev/null")
      #expect(FileManager.default.fileExists(atPath: "/dev/full"))
      #expect(try names("/dev").allSatisfy { !$0.hasSuffix(".tmp") })
    }
  #endif

  @Test func folderAppearsWholeOrNotAtAll() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/deep/er/report/"
      #expect(throws: Interrupted.self) {
        try AtomicFolder.write(to: path) {
          try $0.write("results.csv", "a,b")
          throw Interrupted()
        }
      }
      #expect(try names(folder) == [])
      try AtomicFolder.checkCreatable(path)
      #expect(try names(folder) == [])
      try AtomicFolder.write(to: path) {
        try $0.write("results.csv", "a,b")
        try $0.write("report.md", "# Report")
      }
      #expect(try names(folder + "/deep/er") == ["report"])
      #expect(try names(path) == ["report.md", "results.csv"])
      // Once more into the folder that exists: other files stay.
      try AtomicFile.write("mine", to: path + "notes.txt")
      try AtomicFolder.write(to: path) { try $0.write("report.md", "# Second") }
      #expect(try names(path) == ["notes.txt", "report.md", "results.csv"])
      #expect(try InputFile.text(of: path + "report.md") == "# Second")
      #expect(try names(folder + "/deep/er") == ["report"])
    }
  }

  @Test func folderUnderAFileIsAnError() throws {
    try withTemporaryFolder { folder in
      try AtomicFile.write("x", to: folder + "/file")
      for path in [folder + "/file", folder + "/file/report", folder + "/file/a/b"] {
        #expect(throws: FileError.self, "'\(path)'") {
          try AtomicFolder.write(to: path) { try $0.write("a", "b") }
        }
        #expect(throws: FileError.self, "'\(path)'") { try AtomicFolder.checkCreatable(path) }
      }
      #expect(try names(folder) == ["file"])
    }
  }

  @Test func inputErrors() throws {
    try withTemporaryFolder { folder in
      for path in [folder + "/missing", folder, "/dev/null"] {
        do {
          _ = try InputFile.bytes(of: path)
          Issue.record("'\(path)' was read")
        } catch let error as FileError {
          guard case .missingInput = error else {
            Issue.record("'\(path)': \(error)")
            continue
          }
        }
      }
      try AtomicFile.write([0xFF, 0xFE], to: folder + "/bytes")
      #expect(throws: FileError.self) { try InputFile.text(of: folder + "/bytes") }
      #expect(throws: FileError.self) { try InputFile.bytes(of: folder + "/bytes", limit: 1) }
    }
  }
}
