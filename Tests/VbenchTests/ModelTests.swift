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
    #expect(outcome.status == 0 && lines.count == 5, "\(outcome)")
    // 2 · 4 · 16 · 16 · 16² · 9 floating-point operations in each of the four nodes.
    let words = lines[1].split(separator: " ")
    #expect(words[0].hasSuffix("els/residual.onnx"), "\(outcome)")
    #expect(
      words.dropFirst() == [
        "layer1.0.conv1", "conv2d:n4c16h16w16k16r3s3p1", "forward", "4", "0.004719",
        "layer1.0.conv1",
        "layer1.0.conv2", "layer1.1.conv1", "layer1.1.conv2",
      ])
    #expect(lines[4].hasPrefix("1 problems, 4 layers with their multiplicity, 0.01887 GFLOP"))
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
      #expect(lines.count == 5 && lines[1].split(separator: " ")[3] == found[...], "\(outcome)")
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

  // MARK: Models made here

  /// A model that holds nothing to measure says so, and does not end what stands beside it.
  @Test func aModelMayHoldNoConvolution() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/product.onnx"
      try Self.write([Self.node("MatMul", ["x", "w"])], sizes: ["", ""], to: path)
      let alone = try CommandLineRunner.run(["run", "--onnx", path, "--list"])
      #expect(alone.status == 65 && alone.output.isEmpty, "\(alone)")
      #expect(alone.error.contains("it holds no convolution; its 1 nodes are 1 MatMul"), "\(alone)")
      #expect(!alone.error.contains("malformed"), "\(alone)")
      let beside = try CommandLineRunner.run([
        "run", "--onnx", path, "--onnx", Self.models + "/residual.onnx", "--list", "--match", "^layer1",
      ])
      #expect(beside.status == 0 && beside.output.contains("conv2d:n1c16h16w16k16r3s3p1"), "\(beside)")
      #expect(beside.error.contains("it holds no convolution"), "\(beside)")
    }
  }

  /// Of branches that the data choose both are listed, with a note; a convolution of another domain is named.
  @Test func whatIsNotAsInTheModelIsNoted() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/branches.onnx"
      let branches = ["then_branch", "else_branch"].map { name in
        let graph =
          Wire.message(1, Self.node("Conv", ["x", "w"], to: name)) + Wire.message(12, Wire.text(1, name))
        return Wire.message(5, Wire.text(1, name) + Wire.message(6, graph))
      }
      try Self.write(
        [Self.node("If", ["flag"]) + branches.joined(), Self.node("Conv", ["x", "w"], domain: "mine")],
        sizes: ["", ""], to: path)
      let listed = try CommandLineRunner.run(["run", "--onnx", path, "--shapes", "1x3x5x6", "--list"])
      #expect(listed.status == 0, "\(listed)")
      #expect(listed.output.contains("conv2d:n1c3h5w6k2r3s3"), "\(listed)")
      for words in ["2 convolutions lie in branches of which only one runs", "1 mine.Conv left out"] {
        #expect(listed.error.contains(words), "\(listed)")
      }
    }
  }

  /// Open sizes that are called `?` are not the same, and none of them is the batch.
  @Test func openSizesWithoutANameAreNotTheSame() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/open.onnx"
      try Self.write([Self.node("Conv", ["x", "w"])], sizes: ["?", "?"], to: path)
      let stated = try CommandLineRunner.run(["run", "--onnx", path, "--shapes", "x:1x3x20x64", "--list"])
      #expect(stated.status == 0 && stated.output.contains("conv2d:n1c3h20w64k2r3s3"), "\(stated)")
      let batch = try CommandLineRunner.run(["run", "--onnx", path, "--batch", "4", "--list"])
      #expect(batch.status == 65 && batch.output.isEmpty, "\(batch)")
      #expect(batch.error.contains("--shapes x:1x3x?x?"), "\(batch)")
    }
  }

  /// A node whose output is called `to`.
  private static func node(_ op: String, _ inputs: [String], to output: String = "y", domain: String = "")
    -> [UInt8]
  {
    inputs.flatMap { Wire.text(1, $0) } + Wire.text(2, output) + Wire.text(4, op) + Wire.text(7, domain)
  }

  /// A model of these nodes with an input x [1, 3, …] whose other sizes are open, and weights w [2, 3, 3, 3].
  private static func write(_ nodes: [[UInt8]], sizes: [String], to path: String) throws {
    let weight = [2, 3, 3, 3].flatMap { Wire.number(1, $0) } + Wire.number(2, 1) + Wire.text(8, "w")
    let axes = [1, 3].map { Wire.number(1, $0) } + sizes.map { Wire.text(2, $0) }
    let shape = axes.flatMap { Wire.message(1, $0) }
    let input =
      Wire.text(1, "x") + Wire.message(2, Wire.message(1, Wire.number(1, 1) + Wire.message(2, shape)))
    let graph =
      nodes.flatMap { Wire.message(1, $0) } + Wire.message(5, weight) + Wire.message(11, input)
      + Wire.message(12, Wire.text(1, "y"))
    try AtomicFile.write(Wire.message(7, graph), to: path)
  }
}

/// Fields of protocol buffers as bytes.
private enum Wire {
  static func number(_ field: Int, _ value: Int) -> [UInt8] { varint(field << 3) + varint(value) }
  static func text(_ field: Int, _ text: String) -> [UInt8] { message(field, Array(text.utf8)) }
  static func message(_ field: Int, _ bytes: [UInt8]) -> [UInt8] {
    varint(field << 3 | 2) + varint(bytes.count) + bytes
  }

  private static func varint(_ value: Int) -> [UInt8] {
    value < 128 ? [UInt8(value)] : [UInt8(value & 127) | 128] + varint(value >> 7)
  }
}
