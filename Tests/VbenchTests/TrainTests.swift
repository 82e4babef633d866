import ConvCore
import ConvTestSupport
import Foundation
import Testing

/// `vbench train` on a small data set.
@Suite(.serialized) struct TrainTests {
  private static let settings = ["--batch-size", "16", "--threads", "2", "--seed", "3"]

  private func train(_ folder: String, _ more: String...) throws -> CommandLineRunner.Outcome {
    try CommandLineRunner.run(["train", "seed-cnn", "--dataset", folder + "/data"] + Self.settings + more)
  }

  private func withDataset(_ body: (String) throws -> Void) throws {
    try withTemporaryFolder { folder in
      try CommandLineRunner.writeDataset(folder + "/data", train: 72, test: 40)
      try body(folder)
    }
  }

  @Test func learnsAndReports() throws {
    try withDataset { folder in
      let outcome = try train(folder, "--epochs", "6", "--lr", "0.002")
      #expect(outcome.status == 0, "\(outcome)")
      for words in [
        "seed-cnn on im2col, 2 threads: 72 images, batch 16", "epoch 6/6: loss", "Ankle boot", "macro F1",
      ] {
        #expect(outcome.output.contains(words), "'\(words)' is missing: \(outcome)")
      }
      // 30 steps on squares in ten places: far above chance, which is 10 %.
      let accuracy = outcome.output.split(separator: "\n").last { $0.hasPrefix("accuracy ") }
        .flatMap { Double($0.split(separator: " ")[1]) }
      #expect(try #require(accuracy) > 50, "\(outcome)")
      // No terminal: plain lines, no escape sequences.
      #expect(!(outcome.output + outcome.error).contains("\u{1B}"), "\(outcome)")
    }
  }

  /// Layers that an engine declines run on the fallback's variant, or are an error in that variant's words.
  @Test func fallbacksHaveVariants() throws {
    try withDataset { folder in
      // Of tiles that it does not have the engine declines every layer.
      func train(_ fallback: String) throws -> CommandLineRunner.Outcome {
        try self.train(folder, "--limit", "16", "--backend", "winograd[tile=99x99]", "--fallback", fallback)
      }
      let outcome = try train("im2col[gemm=kernel]")
      #expect(
        outcome.status == 0 && outcome.output.contains("epilogue (fallback), backward-filter: im2col"),
        "\(outcome)")
      let refused = try train("im2col[gemm=nonesuch]")
      #expect(refused.status != 0 && refused.error.contains("nonesuch"), "\(refused)")
    }
  }

  /// Interrupted after an epoch and gone on: the same file, byte by byte, as without interruption.
  @Test(arguments: ["adam", "sgd"]) func resumesBitByBit(_ optimizer: String) throws {
    try withDataset { folder in
      let (one, two, whole) = (folder + "/one", folder + "/two", folder + "/whole")
      #expect(try train(folder, "--optimizer", optimizer, "--checkpoint", one).status == 0)
      let resumed = try train(folder, "--epochs", "2", "--resume", one, "--checkpoint", two)
      #expect(resumed.status == 0, "\(resumed)")
      #expect(try train(folder, "--optimizer", optimizer, "--epochs", "2", "--checkpoint", whole).status == 0)
      let (a, b) = (try InputFile.bytes(of: two), try InputFile.bytes(of: whole))
      #expect(a == b, "\(optimizer): the resumed checkpoint differs from that of an uninterrupted run")
      #expect(try InputFile.bytes(of: one) != a)
      let file = try SafetensorsFile(path: two)
      #expect(file.metadata["epoch"] == "2" && file.metadata["batch"] == "0" && file.metadata["seed"] == "3")
      #expect(try file.tensor("conv1.weight").shape == [32, 3, 3, 3])
    }
  }

  /// Ctrl-C in the middle of an epoch: exit code 130, a whole checkpoint, and it goes on bit by bit.
  @Test func interruption() throws {
    try withDataset { folder in
      let (cut, resumed, whole) = (folder + "/cut", folder + "/resumed", folder + "/whole")
      let arguments = [
        "train", "seed-cnn", "--dataset", folder + "/data", "--epochs", "100000", "--checkpoint", cut,
      ]
      let process = CommandLineRunner.process(arguments + Self.settings)
      let messages = Pipe()
      process.standardOutput = FileHandle.nullDevice
      process.standardError = messages
      try process.run()
      // The first checkpoint says that training is under way.
      while process.isRunning && !FileManager.default.fileExists(atPath: cut) { usleep(20_000) }
      process.interrupt()
      let text = String(decoding: messages.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
      process.waitUntilExit()
      #expect(process.terminationStatus == 130, "\(text)")
      #expect(text.contains("interrupted") && text.contains("--resume \(cut)"), "\(text)")
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder).sorted() == ["cut", "data"])
      let metadata = try SafetensorsFile(path: cut).metadata
      let epochs = "\((Int(metadata["epoch"] ?? "") ?? 0) + 1)"
      #expect(try train(folder, "--epochs", epochs, "--resume", cut, "--checkpoint", resumed).status == 0)
      #expect(try train(folder, "--epochs", epochs, "--checkpoint", whole).status == 0)
      let same = try InputFile.bytes(of: resumed) == InputFile.bytes(of: whole)
      #expect(same, "cut after epoch \(metadata["epoch"] ?? ""), batch \(metadata["batch"] ?? "")")
    }
  }

  @Test func badInput() throws {
    try withDataset { folder in
      func expect(_ status: Int32, _ arguments: [String], _ words: String..., line: Int = #line) throws {
        let outcome = try CommandLineRunner.run(["train", "seed-cnn"] + arguments)
        #expect(outcome.status == status, "line \(line): \(outcome)")
        for word in words {
          #expect(outcome.error.contains(word), "line \(line): '\(word)' is missing: \(outcome)")
        }
      }
      let data = ["--dataset", folder + "/data"]
      try expect(
        66, ["--dataset", folder + "/none"], folder + "/none/train-images-idx3-ubyte.gz", "No such file")
      try expect(66, data + ["--resume", folder + "/none"], folder + "/none")
      try AtomicFile.write("no checkpoint", to: folder + "/text")
      try expect(65, data + ["--resume", folder + "/text"], folder + "/text", "malformed")
      try expect(73, data + ["--checkpoint", folder + "/text/a"], folder + "/text/a", "cannot be created")
      try expect(73, data + ["--checkpoint", folder], folder)
      try Safetensors.write(
        [("a", Tensor(scalar: Float(1)))], metadata: ["format": "x"], to: folder + "/other")
      try expect(65, data + ["--resume", folder + "/other"], "format is 'x'")
      for size in [0, 3, 100] {
        let path = folder + "/data/train-labels-idx1-ubyte"
        let bytes = try InputFile.bytes(of: path)
        try AtomicFile.write(Array(bytes.prefix(size)) + [], to: path)
        if size < bytes.count { try expect(65, data, path) }
        try AtomicFile.write(bytes, to: path)
      }
      try AtomicFile.write([0x1F, 0x8B, 8, 0, 1], to: folder + "/data/t10k-images-idx3-ubyte.gz")
      try expect(65, data, "t10k-images-idx3-ubyte.gz", "too early")
    }
  }

  @Test func otherSettingsThanTheCheckpoint() throws {
    try withDataset { folder in
      let path = folder + "/one"
      #expect(try train(folder, "--limit", "20", "--checkpoint", path).status == 0)
      for (arguments, words) in [
        (["--limit", "10"], "training images"), (["--limit", "20", "--epochs", "1"], "nothing to do"),
        (["--limit", "20", "--epochs", "2", "--batch-size", "8"], "--batch-size"),
        (["--limit", "20", "--epochs", "2", "--seed", "4"], "--seed"),
        (["--limit", "20", "--epochs", "2", "--optimizer", "sgd"], "--optimizer"),
      ] {
        let outcome = try CommandLineRunner.run(
          ["train", "seed-cnn", "--dataset", folder + "/data", "--resume", path] + arguments)
        #expect(outcome.status == 64 && outcome.error.contains(words), "\(outcome)")
      }
    }
  }

  /// A disk that fills up while the checkpoint is written: an error, nothing left behind, the old file whole.
  @Test func fullDisk() throws {
    try withDataset { folder in
      let device = try train(folder, "--limit", "16", "--checkpoint", "/dev/full")
      #expect(device.status == 74 && device.error.contains("No space left on device"), "\(device)")
      try FileManager.default.createDirectory(atPath: folder + "/out", withIntermediateDirectories: true)
      try AtomicFile.write("old", to: folder + "/out/checkpoint")
      let limited = try CommandLineRunner.run(
        [
          "train", "seed-cnn", "--dataset", folder + "/data", "--limit", "16", "--checkpoint",
          folder + "/out/checkpoint",
        ],
        fileBlocks: 2000)
      #expect(limited.status == 74 && limited.error.contains("File too large"), "\(limited)")
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder + "/out") == ["checkpoint"])
      #expect(try InputFile.text(of: folder + "/out/checkpoint") == "old")
    }
  }

  @Test func divergence() throws {
    try withDataset { folder in
      let outcome = try train(
        folder, "--epochs", "9", "--optimizer", "sgd", "--lr", "1e30", "--checkpoint", folder + "/c")
      #expect(outcome.status == 1 && outcome.error.contains("diverged"), "\(outcome)")
    }
  }
}
