import ConvCore
import ConvTestSupport
import Foundation
import Testing

/// The picture that README.md shows.
@Suite struct PictureCommandTests {
  private static let run = checkout.appending(path: "Reports/zen5-avx512-run").path
  private static let picture = checkout.appending(path: "Documentation/time-and-error.svg").path
  private static let layers =
    "seed-cnn conv3,resnet50 res3a_branch2b,alexnet conv2,large-kernel 9x9"

  /// It is what the command makes of the stored run; `VBENCH_UPDATE_SNAPSHOTS=1` writes it anew.
  @Test func thePictureIsThatOfTheStoredRun() throws {
    try withTemporaryFolder { folder in
      let isUpdate = ProcessInfo.processInfo.environment["VBENCH_UPDATE_SNAPSHOTS"] != nil
      let path = isUpdate ? Self.picture : folder + "/picture.svg"
      let outcome = try CommandLineRunner.run(
        ["report", Self.run, "--picture", path, "--layers", Self.layers])
      #expect(outcome.status == 0 && outcome.output == path + "\n", "\(outcome)")
      let drawn = try InputFile.text(of: path)
      #expect(try drawn == InputFile.text(of: Self.picture), "\(Self.picture) is of an older run or style")
      #expect(drawn.utf8.count <= 200_000)
    }
  }

  @Test func faults() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/picture.svg"
      // A copy: what is wrong here could write to the folder of the run.
      let run = folder + "/run"
      try FileManager.default.copyItem(atPath: Self.run, toPath: run)
      for (arguments, status, words) in [
        (["--picture", path, "--layers", "nonesuch"], 64, "unknown layer 'nonesuch'"),
        (["--picture", path, "--layers", ","], 64, "--layers is empty"),
        (["--layers", "conv1"], 64, "--layers is for --picture"),
        (["--picture", folder + "/none/picture.svg"], 73, "none"),
      ] {
        let outcome = try CommandLineRunner.run(["report", run] + arguments)
        #expect(outcome.status == Int32(status) && outcome.error.contains(words), "\(outcome)")
        #expect(!FileManager.default.fileExists(atPath: path))
      }
    }
  }
}
