import ConvCore
import ConvTestSupport
import Foundation
import Testing

/// `--onnx`: the layers of a model, merged, through the commands.
@Suite struct ModelTests {
  private static let models = "\(referencesRoot)/models"

  @Test func layersOfAModelAreListed() throws {
    let path = Self.models + "/residual.onnx"
    let outcome = try CommandLineRunner.run([
      "run", "--onnx", path, "--batch", "4", "--match", "^layer1", "--passes", "forward", "--list",
    ])
    let lines = outcome.output.split(separator: "\n")
    #expect(outcome.status == 0 && lines.count == 3, "\(outcome)")
    // 2 · 4 · 16 · 16 · 16² · 9 floating-point operations in each of the four nodes.
    #expect(
      lines[1].split(separator: " ") == [
        path[...], "layer1.0.conv1", "conv2d:n4c16h16w16k16r3s3p1", "forward", "4", "0.004719",
        "layer1.0.conv1",
        "layer1.0.conv2", "layer1.1.conv1", "layer1.1.conv2",
      ])
    #expect(lines[2].hasPrefix("1 problems, 4 layers with their multiplicity, 0.01887 GFLOP"))
    // A batch that the model states is replaced like that of any other problem.
    let fixed = try CommandLineRunner.run([
      "run", "--onnx", Self.models + "/automatic.onnx", "--batch", "6", "--list",
    ])
    #expect(fixed.output.contains("conv2d:n6c4h33w30k8"), "\(fixed)")
  }

  /// The forward pass of a transposed convolution is the backward-data pass of its problem.
  @Test func transposedLayersChangePasses() throws {
    let arguments = [
      "run", "--onnx", Self.models + "/decoder.onnx", "--match", "^up2$", "--list", "--passes",
    ]
    for (asked, found) in [
      ("forward", "backward-data"), ("backward-data", "forward"), ("backward-filter", "backward-filter"),
    ] {
      let outcome = try CommandLineRunner.run(arguments + [asked])
      let lines = outcome.output.split(separator: "\n")
      #expect(lines.count == 3 && lines[1].split(separator: " ")[3] == found[...], "\(outcome)")
      #expect(outcome.output.contains("conv2d:n1c6h36w40k6r4s4u2p1g3"), "\(outcome)")
    }
  }

  @Test func aModelRuns() throws {
    try withTemporaryFolder { folder in
      let outcome = try CommandLineRunner.run([
        "run", "--onnx", Self.models + "/blocked.onnx", "--backends", "naive,im2col", "--baseline", "naive",
        "--passes", "forward", "--quick", "--output", folder + "/report",
      ])
      #expect(outcome.status == 0, "\(outcome)")
      #expect(
        outcome.error.contains("1 convolutions are left out") && outcome.error.contains("'frob'"),
        "\(outcome)")
      let rows = try InputFile.text(of: folder + "/report/results.csv").split(separator: "\n")
      #expect(
        rows.count == 5 && rows[1].contains(",good,forward,naive,") && rows[3].contains(",told,forward,"))
    }
  }

  @Test func modelsThatAreNone() throws {
    try withTemporaryFolder { folder in
      try AtomicFile.write("no model", to: folder + "/text.onnx")
      for (path, status, words) in [
        (folder + "/text.onnx", Int32(65), "it is no ONNX model"), (folder + "/none.onnx", 66, "none.onnx"),
      ] {
        let outcome = try CommandLineRunner.run(["run", "--onnx", path, "--list"])
        #expect(
          outcome.status == status && outcome.error.contains(words) && outcome.output.isEmpty, "\(outcome)")
      }
    }
  }

  /// Sizes that a model leaves open are stated as trtexec's users state them.
  @Test func openSizesAreStated() throws {
    let path = Self.models + "/exports/unet-script-image.onnx"
    func run(_ arguments: [String]) throws -> CommandLineRunner.Outcome {
      try CommandLineRunner.run(["run", "--list", "--passes", "forward"] + arguments)
    }
    for text in ["image:1x3x20x28", "1x3x20x28"] {
      let stated = try run(["--onnx", path, "--shapes", text])
      #expect(stated.status == 0 && stated.output.contains("conv2d:n1c3h20w28k8r3s3p1"), "\(stated)")
    }
    for (arguments, status, words) in [
      (["--onnx", path], 65, "--shapes image:1x3x"),
      (["--onnx", path, "--shapes", "picture:1x3x20x28"], 64, "known: image"),
      (["--onnx", path, "--shapes", "image:1x3x20"], 64, "has 3 axes"),
      (["--shapes", "image:1x3x20x28"], 64, "no model"),
      (["--onnx", path, "--shapes", "image"], 64, "is no shape"),
      (["--onnx", path, "--shapes", "1x3x20x28", "--batch", "2"], 64, "the batch is to be 2"),
    ] as [([String], Int32, String)] {
      let outcome = try run(arguments)
      #expect(outcome.status == status && outcome.error.contains(words), "\(arguments) \(outcome)")
    }
  }
}
