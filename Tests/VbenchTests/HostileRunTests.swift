import ConvCore
import ConvTestSupport
import Foundation
import Testing

@testable import VbenchCLI

/// Checkpoints and journals from anywhere: exit code 65 with what is wrong, before anything is computed with them.
@Suite(.serialized) struct HostileRunTests {
  private static let arguments = ["--batch-size", "16", "--limit", "40", "--threads", "1"]

  /// A folder with a data set and a checkpoint of one epoch of 40 images in batches of 16.
  private func withCheckpoint(_ body: (_ folder: String, _ file: SafetensorsFile) throws -> Void) throws {
    try withTemporaryFolder { folder in
      try CommandLineRunner.writeDataset(folder + "/data", train: 40, test: 8)
      let outcome = try CommandLineRunner.run(
        ["train", "seed-cnn", "--dataset", folder + "/data", "--checkpoint", folder + "/c"] + Self.arguments)
      #expect(outcome.status == 0, "\(outcome)")
      try body(folder, SafetensorsFile(path: folder + "/c"))
    }
  }

  /// What reading says of a checkpoint with these strings and tensors; nil where it is taken.
  private func refusal(_ tensors: [String: Tensor], _ metadata: [String: String], _ folder: String) throws
    -> String?
  {
    try Safetensors.write(tensors, metadata: metadata, to: folder + "/changed")
    do {
      _ = try TrainCheckpoint(path: folder + "/changed")
      return nil
    } catch FileError.malformed(_, let reason) {
      return reason
    }
  }

  @Test func checkpointsOfNoRun() throws {
    try withCheckpoint { folder, file in
      let whole = try refusal(file.tensors, file.metadata, folder)
      #expect(whole == nil)
      let never = ["", "text", "nan", "inf", "-1", "1e400", "-9223372036854775808", "-1e308"]
      let tables: [(key: String, refused: [String], taken: [String])] = [
        ("epoch", never + ["1e308", "9223372036854775807", "2147483648"], ["0", "7"]),
        // Of 40 images there are three batches, and the last one completes an epoch.
        ("batch", never + ["1e308", "9223372036854775807", "3"], ["0", "1", "2"]),
        ("batch_size", never + ["1e308", "9223372036854775807", "0", "2147483648"], ["40", "2147483647"]),
        ("images", never + ["1e308", "9223372036854775807", "0"], ["1", "60000"]),
        ("learning_rate", never + ["0"], ["0.5", "1e308"]),
        ("momentum", never + ["1", "1e308"], ["0", "0.9"]),
        ("loss_sum", ["", "text", "nan", "inf", "1e308", "-1"], ["0", "0.0"]),
        ("seed", ["", "text", "-1", "1e308", "18446744073709551616"], ["18446744073709551615"]),
        ("optimizer", ["", "text"], ["sgd"]), ("format", ["", "vbench-checkpoint-2"], []),
      ]
      for (key, refused, taken) in tables {
        for (value, isRefused) in refused.map({ ($0, true) }) + taken.map({ ($0, false) }) {
          var metadata = file.metadata
          metadata[key] = value
          #expect((try refusal(file.tensors, metadata, folder) != nil) == isRefused, "\(key) = '\(value)'")
        }
        var metadata = file.metadata
        metadata[key] = nil
        #expect(try refusal(file.tensors, metadata, folder) == "its metadata lack '\(key)'")
      }
      var metadata = file.metadata
      metadata["batch"] = "3"
      #expect(try refusal(file.tensors, metadata, folder) == "batch 3 of 3 in an epoch is impossible")
    }
  }

  @Test func checkpointsWhoseTensorsDoNotFit() throws {
    try withCheckpoint { folder, file in
      let zeros = try Tensor.zeros([2, 2])
      let changes: [(key: String, tensor: Tensor?, words: String)] = [
        (
          "conv1.weight", zeros,
          "'conv1.weight' of the state dictionary has shape [2, 2], expected [32, 3, 3, 3]"
        ),
        ("conv1.weight", nil, "missing conv1.weight"), ("strange", zeros, "unexpected strange"),
        ("conv1.weight", try Tensor.zeros([32, 3, 3, 3], elementType: .int64), ""),
        ("optimizer.state.0.exp_avg", zeros, "'state.0.exp_avg' has shape [2, 2]"),
        ("optimizer.state.0.exp_avg", nil, "parameter 0 has"),
        ("optimizer.state.99.step", try Tensor(scalar: Int64(1)), "'state.99.step' does not fit"),
        ("optimizer.state.0.step", try Tensor(scalar: Int64.max), "9223372036854775807 steps"),
        ("optimizer.state.0.step", try Tensor(scalar: Int64(-1)), "-1 steps"),
        ("optimizer.state.0.step", try Tensor(scalar: Float(1)), "expected an int64 scalar"),
        ("optimizer.learning_rate", nil, "no learning_rate"),
        ("optimizer.learning_rate", try Tensor(scalar: Double.nan), "learning_rate is nan"),
      ]
      for (key, tensor, words) in changes {
        var tensors = file.tensors
        tensors[key] = tensor
        try Safetensors.write(tensors, metadata: file.metadata, to: folder + "/changed")
        let outcome = try CommandLineRunner.run(
          [
            "train", "seed-cnn", "--dataset", folder + "/data", "--resume", folder + "/changed", "--epochs",
            "2",
          ]
            + Self.arguments)
        let isIntegers = tensor?.elementType == .int64 && key == "conv1.weight"
        // Integers are taken where they are weights all the same.
        #expect(outcome.status == (isIntegers ? 0 : 65), "\(key): \(outcome)")
        if !isIntegers { #expect(outcome.error.contains("\(folder)/changed: malformed: "), "\(outcome)") }
        #expect(isIntegers || outcome.error.contains(words), "\(key): \(outcome)")
      }
    }
  }

  @Test func journalsOfOtherRuns() throws {
    try withTemporaryFolder { folder in
      let run = try KilledRun(in: folder)
      let (arguments, journal) = (run.arguments, run.journal)
      let text = try InputFile.text(of: journal)
      let first = String(try #require(KilledRun.items(in: journal).first))
      for (old, new, words) in [
        ("\"visit\": 0", "\"visit\": 1", "item 1 has had 2 visits, this run has 1"),
        ("\"visit\": 0", "\"visit\": 4294967295", "item 1 has had 4294967296 visits, this run has 1"),
        ("\"visit\": 0", "\"visit\": 9223372036854775807", "visit, results and samples"),
        (
          "\"item\": 0", "\"item\": 39",
          "item 40 has a row of naive on conv2d:n2c16h20w20k9r3s3p1, this run has"
        ),
        ("\"item\": 0", "\"item\": 40", "visit, results and samples"),
        (
          ",naive,", ",direct,",
          "item 1 has a row of direct on conv2d:n2c16h20w20k9r3s3p1, this run has naive"
        ),
        (",forward,", ",backward-data,", "item 1 has a row of naive"),
        ("\"results\": \"", "\"results\": \"x", "there is no column 'suite'"),
      ] {
        let changed = text.replacingOccurrences(
          of: first, with: first.replacingOccurrences(of: old, with: new))
        #expect(changed != text)
        try AtomicFile.write(changed, to: journal)
        let outcome = try CommandLineRunner.run(arguments + ["--resume", folder + "/out"])
        #expect(outcome.status == 65 && outcome.error.contains(words), "\(new): \(outcome)")
      }
    }
  }
}
