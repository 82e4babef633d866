import ConvCore
import ConvTestSupport
import Foundation
import Testing

@testable import VbenchCLI

/// Where commands look for the stored references.
@Suite struct ReferenceFolderTests {
  /// A copy of the executable, away from the checkout, knows where it was built.
  @Test func aCopiedExecutable() throws {
    try withTemporaryFolder { folder in
      let copy = folder + "/vbench"
      try FileManager.default.copyItem(atPath: CommandLineRunner.executable, toPath: copy)
      let process = CommandLineRunner.process(
        ["list", "references"], environment: ["VBENCH_REFERENCES": ""], executable: copy)
      process.currentDirectoryURL = URL(fileURLWithPath: folder)
      let outcome = try CommandLineRunner.finish(process, "copied vbench list references")
      #expect(outcome.status == 0 && outcome.output.contains("conv2d"), "\(outcome)")
      // Beside it, as an installation has them, they come first.
      let installed = folder + "/share/vbench/References"
      try FileManager.default.createDirectory(atPath: folder + "/bin", withIntermediateDirectories: true)
      try FileManager.default.createDirectory(atPath: installed, withIntermediateDirectories: true)
      try AtomicFile.write("", to: installed + "/MANIFEST.sha256")
      try FileManager.default.moveItem(atPath: copy, toPath: folder + "/bin/vbench")
      let installation = CommandLineRunner.process(
        ["list", "references"], environment: ["VBENCH_REFERENCES": ""], executable: folder + "/bin/vbench")
      installation.currentDirectoryURL = URL(fileURLWithPath: folder)
      let empty = try CommandLineRunner.finish(installation, "installed vbench list references")
      #expect(empty.status == 0 && !empty.output.contains("conv2d"), "\(empty)")
    }
  }

  /// A shell that finds the executable by PATH gives it a bare name.
  @Test func anExecutableOfThePath() throws {
    try withTemporaryFolder { folder in
      let path = URL(fileURLWithPath: CommandLineRunner.executable).deletingLastPathComponent().path
      let process = CommandLineRunner.process(
        ["-c", "cd \"$0\" && exec -a vbench \"$1/vbench\" info", folder, path],
        environment: ["VBENCH_REFERENCES": ""], executable: "/bin/bash")
      let outcome = try CommandLineRunner.finish(process, "vbench info")
      #expect(outcome.status == 0 && outcome.output.contains("\nreferences       /"), "\(outcome)")
    }
  }

  @Test func theEnvironmentNamesThem() throws {
    let checkout = try ReferenceFolder.locate(environment: [:])
    try withTemporaryFolder { folder in
      for command in [["check"], ["list", "references"]] {
        let none = try CommandLineRunner.run(command, environment: ["VBENCH_REFERENCES": folder])
        #expect(none.status == 66 && none.error.contains("VBENCH_REFERENCES names it"), "\(none)")
      }
      let found = try CommandLineRunner.run(
        ["list", "references"], environment: ["VBENCH_REFERENCES": checkout])
      #expect(found.status == 0 && found.output.contains("conv2d"), "\(found)")
    }
  }

  /// Every place is named, with both ways to name another.
  @Test func whereNoneIs() {
    #expect {
      try ReferenceFolder.locate(environment: [:], places: ["/one/References", "/two/References"])
    } throws: {
      let text = "\($0)"
      return ["\n  /one/References", "\n  /two/References", "--references DIR", "VBENCH_REFERENCES"]
        .allSatisfy(text.contains) && ExitStatus(of: $0) == .missingInput
    }
    let places = ReferenceFolder.places
    #expect(places.first == "References" && Set(places).count == places.count && places.count > 3)
    #expect(places.contains { $0.hasSuffix("/share/vbench/References") })
  }

  /// Training says so too, instead of leaving the comparison out without a reason.
  @Test func aFolderThatIsNamedHasToBeThere() throws {
    for command in [["list", "references"], ["check"]] {
      let outcome = try CommandLineRunner.run(command + ["--references", "/none/there"])
      #expect(outcome.status == 66 && outcome.error.contains("/none/there"), "\(outcome)")
    }
  }
}
