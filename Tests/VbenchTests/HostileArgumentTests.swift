import ConvCore
import Foundation
import Testing

@testable import VbenchCLI

@Suite struct HostileArgumentTests {
  /// Each file names the next one twice and holds nothing else: 2⁴⁰ readings without a single word.
  @Test func filesThatNameOthersTwice() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("vbench-\(UUID().uuidString)")
      .path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    for level in 0..<40 { try AtomicFile.write("@b\(level + 1) @b\(level + 1)\n", to: "\(folder)/b\(level)") }
    try AtomicFile.write("# nothing\n", to: "\(folder)/b40")
    #expect {
      try ArgumentFile.expanded(["@\(folder)/b0"])
    } throws: { "\($0)".contains("more than 10000 files are read") }
    #expect(try ArgumentFile.expanded(["@\(folder)/b30"]).isEmpty, "1024 readings are none too many")
  }
}
