import ConvTestSupport
import Foundation
import Testing

@testable import ConvCore

/// Who writes where, and what those leave who are killed.
@Suite struct OutputClaimTests {
  private func names(_ folder: String) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
  }

  /// The refusal of a path; a record of a failure where there is none.
  private func refusal(_ what: String, _ body: () throws -> Void) -> (path: String, reason: String)? {
    do {
      try body()
    } catch FileError.cannotCreate(let path, let reason) {
      return (path, reason)
    } catch {
      Issue.record("\(what): \(error)")
    }
    return nil
  }

  @Test func aFolderIsClaimedOnce() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/a/b"
      let claim = try AtomicFolder.claim(path)
      #expect(try names(folder) == ["a"] && names(path) == [])
      let second = refusal(path) { _ = try AtomicFolder.claim(path) }
      #expect(second?.path == path && second?.reason.contains("another process is writing it") == true)
      // Who has claimed it writes, and others write elsewhere.
      try AtomicFolder.write(to: path) { try $0.write("x", "1") }
      try AtomicFolder.claim(folder + "/a").end()
      try AtomicFolder.claim(folder + "/a/c").end()
      claim.end()
      #expect(try names(path) == ["x"] && names(folder + "/a") == ["b"])
      try AtomicFolder.claim(path).end()
      // Folders that were made for nothing go, with their parents.
      try AtomicFolder.claim(folder + "/d/e").end()
      #expect(try names(folder) == ["a"])
    }
  }

  @Test func aFileIsClaimedOnce() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/plan.json"
      let claim = try AtomicFile.claim(path)
      let second = refusal(path) { _ = try AtomicFile.claim(path) }
      #expect(second?.path == path && second?.reason.contains("another process is writing it") == true)
      try AtomicFile.claim(folder + "/other.json").end()
      try AtomicFile.write("{}", to: path)
      #expect(throws: FileError.self) { try AtomicFile.claim(path) }
      claim.end()
      #expect(try names(folder) == ["plan.json"])
      // By another path it is the same file.
      try FileManager.default.createSymbolicLink(atPath: folder + "/link", withDestinationPath: path)
      let again = try AtomicFile.claim(folder + "/link")
      #expect(throws: FileError.self) { try AtomicFile.claim(path) }
      again.end()
      let long = String(repeating: "n", count: 250)
      let claims = try ["a", "b"].map { try AtomicFile.claim(folder + "/" + long + $0) }
      for claim in claims { claim.end() }
      #expect(try names(folder) == ["link", "plan.json"])
      // Everybody writes to devices.
      let devices = try [AtomicFile.claim("/dev/null"), AtomicFile.claim("/dev/null")]
      for device in devices { device.end() }
    }
  }

  @Test func newFoldersAreNumbered() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/Reports/today"
      let first = try AtomicFolder.claim(newAt: path)
      #expect(first.path == path)
      try AtomicFile.write("x", to: path + "/report.md")
      first.end()
      let claims = try (0..<2).map { _ in try AtomicFolder.claim(newAt: path) }
      #expect(claims.map(\.path) == [path + "-2", path + "-3"])
      for claim in claims { claim.end() }
      #expect(try names(folder + "/Reports") == ["today"])
      try AtomicFile.write("x", to: path + "-2")
      #expect(try AtomicFolder.claim(newAt: path).path == path + "-3")
      #expect(refusal(path) { _ = try AtomicFolder.claim(newAt: path + "-2/a") } != nil)
    }
  }

  /// What stands in the way is found before anything is written.
  @Test func obstaclesAreFound() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/out"
      try FileManager.default.createDirectory(
        atPath: path + "/report.html", withIntermediateDirectories: true)
      try AtomicFile.write("x", to: path + "/failures")
      let isFolder = refusal("a folder") { _ = try AtomicFolder.claim(path, files: ["a", "report.html"]) }
      #expect(isFolder?.path == path + "/report.html" && isFolder?.reason == "a folder of that name exists")
      let isFile = refusal("a file") { _ = try AtomicFolder.claim(path, files: ["a"], folders: ["failures"]) }
      #expect(isFile?.path == path + "/failures" && isFile?.reason.contains("a folder is needed") == true)
      try AtomicFolder.claim(path, files: ["a", "failures"], folders: ["report.html"]).end()
      // Where it was not asked for, the folder is as it was.
      let late = refusal("late") {
        try AtomicFolder.write(to: path) {
          try $0.write("a", "1")
          try $0.write("report.html", "2")
        }
      }
      #expect(late?.path == path + "/report.html")
      #expect(try names(path) == ["failures", "report.html"])
      try FileManager.default.createSymbolicLink(
        atPath: folder + "/nowhere", withDestinationPath: folder + "/none")
      for path in ["", folder + "/nowhere", folder + "/zero\0byte", folder + "/out/failures"] {
        #expect(refusal(path) { _ = try AtomicFolder.claim(path) } != nil, "\(path)")
        #expect(refusal(path) { try AtomicFolder.write(to: path) { try $0.write("a", "b") } } != nil)
      }
      #expect(refusal("zero") { try AtomicFile.write("x", to: folder + "/zero\0byte") } != nil)
      #expect(throws: FileError.self) { try InputFile(path: folder + "/out/failures\0x") }
      #expect(try names(folder) == ["nowhere", "out"])
    }
  }

  @Test(.enabled(if: geteuid() != 0, "root may write everything"))
  func whatMayNotBeWrittenIsNotReplaced() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/results.csv"
      try AtomicFile.write("old", to: path)
      #expect(chmod(path, 0o444) == 0)
      #expect(refusal(path) { try AtomicFile.write("new", to: path) } != nil)
      #expect(refusal(path) { _ = try AtomicFile.claim(path) } != nil)
      #expect(refusal(path) { _ = try AtomicFolder.claim(folder, files: ["results.csv"]) } != nil)
      #expect(
        refusal(path) { try AtomicFolder.write(to: folder) { try $0.write("results.csv", "new") } } != nil)
      #expect(try InputFile.text(of: path) == "old")
      #expect(try names(folder) == ["results.csv"])
    }
  }

  /// A link to a folder is that folder.
  @Test func aLinkToAFolderIsWritten() throws {
    try withTemporaryFolder { folder in
      try FileManager.default.createDirectory(atPath: folder + "/real", withIntermediateDirectories: true)
      try FileManager.default.createSymbolicLink(
        atPath: folder + "/link", withDestinationPath: folder + "/real")
      let claim = try AtomicFolder.claim(folder + "/link")
      try AtomicFolder.write(to: folder + "/link/") { try $0.write("x", "1") }
      claim.end()
      #expect(try names(folder) == ["link", "real"] && names(folder + "/real") == ["x"])
      #expect(try FileManager.default.destinationOfSymbolicLink(atPath: folder + "/link") == folder + "/real")
    }
  }

  /// What nobody holds was left by a process that was killed: it goes. What somebody holds, and what is nobody's, stays.
  @Test func leftoversAreRemoved() throws {
    try withTemporaryFolder { folder in
      let left = [".a.txt.17-zz.vbench.tmp", ".plan.json.lock.vbench.tmp", ".a.17-zz.whole.vbench.tmp"]
      let foreign = [
        ".a.txt.tmp", ".17-zz.vbench.tmp", "a.17-zz.vbench.tmp", ".a.17-zz.tmp", ".a.x-zz.vbench.tmp",
        ".a.17.vbench.tmp", ".a.17-z_z.vbench.tmp",
      ]
      func write(_ names: [String]) throws {
        for name in names { try Data("half".utf8).write(to: URL(fileURLWithPath: folder + "/" + name)) }
      }
      try write(left + foreign)
      let inner = folder + "/.out.99-a.vbench.tmp"
      try FileManager.default.createDirectory(atPath: inner, withIntermediateDirectories: true)
      try write([".out.99-a.vbench.tmp/report.md", ".held.99-b.vbench.tmp"])
      let held = open(folder + "/.held.99-b.vbench.tmp", O_RDONLY)
      #expect(flock(held, LOCK_EX | LOCK_NB) == 0)
      try AtomicFile.write("whole", to: folder + "/new")
      #expect(try names(folder) == (foreign + [".held.99-b.vbench.tmp", "new"]).sorted())
      close(held)
      let writes: [() throws -> Void] = [
        { try AtomicFile.checkCreatable(folder + "/new") }, { try AtomicFolder.claim(folder).end() },
        { try AtomicFolder.write(to: folder) { try $0.write("new", "whole") } },
      ]
      for (number, write) in writes.enumerated() {
        try Data("half".utf8).write(to: URL(fileURLWithPath: folder + "/" + left[0]))
        try write()
        #expect(try names(folder) == (foreign + ["new"]).sorted(), "\(number)")
      }
      // While somebody writes, others remove nothing of it.
      try AtomicFile.write(to: folder + "/slow") { writer in
        try writer.write("one ")
        try AtomicFile.write("quick", to: folder + "/quick")
        try writer.write("two")
      }
      try AtomicFolder.write(to: folder) { writer in
        try writer.write("first", "1")
        try AtomicFolder.write(to: folder) { try $0.write("second", "2") }
        try writer.write("third", "3")
      }
      #expect(try InputFile.text(of: folder + "/slow") == "one two")
      #expect(try names(folder) == (foreign + ["first", "new", "quick", "second", "slow", "third"]).sorted())
    }
  }

  /// Files that were complete, and only had to be moved, are moved.
  @Test func whatWasWholeIsMoved() throws {
    try withTemporaryFolder { folder in
      let inner = folder + "/.report.99-a.whole.vbench.tmp"
      try FileManager.default.createDirectory(atPath: inner, withIntermediateDirectories: true)
      for name in ["b", "c"] {
        try Data("new".utf8).write(to: URL(fileURLWithPath: inner + "/" + name))
      }
      for (name, text) in [("a", "new"), ("b", "old")] {
        try Data(text.utf8).write(to: URL(fileURLWithPath: folder + "/" + name))
      }
      try AtomicFolder.claim(folder).end()
      #expect(try names(folder) == ["a", "b", "c"])
      for name in ["a", "b", "c"] { #expect(try InputFile.text(of: folder + "/" + name) == "new") }
    }
  }

  /// Names are bytes: a link leads where it leads.
  @Test func linksLeadToAnyBytes() throws {
    try withTemporaryFolder { folder in
      let bytes = Array((folder + "/d").utf8) + [0xFF]
      #expect(mkdir(bytes.map { CChar(bitPattern: $0) } + [0], 0o777) == 0)
      let file = (bytes + Array("/x".utf8) + [0xFE]).map { CChar(bitPattern: $0) } + [0]
      #expect(symlink(file, folder + "/link") == 0)
      // A link to nothing would be replaced.
      let descriptor = open(file, O_WRONLY | O_CREAT, 0o666)
      #expect(descriptor >= 0)
      close(descriptor)
      for text in ["one", "two"] {
        let claim = try AtomicFile.claim(folder + "/link")
        try AtomicFile.write(text, to: folder + "/link")
        claim.end()
        #expect(try InputFile.text(of: folder + "/link") == text)
      }
      var status = stat()
      #expect(lstat(folder + "/link", &status) == 0 && status.st_mode & S_IFMT == S_IFLNK)
      #expect(stat(file, &status) == 0 && status.st_size == 3)
      let error = refusal("no folder") { _ = try AtomicFile.claim(folder + "/d\u{FFFD}/x") }
      #expect(error?.reason.contains("No such file") == true)
    }
  }

  @Test func treesOfFilesAreListed() throws {
    try withTemporaryFolder { folder in
      try FileManager.default.createDirectory(atPath: folder + "/b/c.st", withIntermediateDirectories: true)
      for name in ["b/z.st", "a.st", "b/c.st/y.st", "b/other"] {
        try AtomicFile.write("x", to: folder + "/" + name)
      }
      #expect(try FileTree.files(below: folder, suffix: ".st") == ["a.st", "b/c.st/y.st", "b/z.st"])
      func make(_ name: [UInt8]) {
        let path = (Array((folder + "/b/").utf8) + name).map { CChar(bitPattern: $0) } + [0]
        close(open(path, O_WRONLY | O_CREAT, 0o666))
      }
      // Of no matter here.
      make([0xFF])
      #expect(try FileTree.files(below: folder, suffix: ".st").count == 3)
      make([0x78, 0xFF] + Array(".st".utf8))
      do {
        _ = try FileTree.files(below: folder, suffix: ".st")
        Issue.record("it was listed")
      } catch FileError.missingInput(let path, let reason) {
        #expect(path == folder + "/b" && reason.hasSuffix(#"'x\xFF.st'"#), "\(reason)")
      }
      #expect(throws: FileError.self) { try FileTree.files(below: folder + "/none", suffix: "") }
    }
  }
}
