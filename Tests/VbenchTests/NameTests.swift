import ConvCore
import ConvHarness
import ConvTestSupport
import Foundation
import Testing

@testable import VbenchCLI

/// Names at a place where something else is wanted: the message holds the words to write instead.
@Suite struct NameTests {
  /// Arguments, the exit code, and the words.
  private static let misplaced: [(arguments: [String], words: String)] = [
    (
      ["run", "resnet18", "--list"],
      "'resnet18' is not a problem or a suite but a network: write --network resnet18"
    ),
    (["tune", "lenet", "-o", "never.json"], "write --network lenet"),
    (["explain", "vgg11"], "write --network vgg11"),
    (["compare", "vgg11", "-o", "never"], "write --network vgg11"),
    (["agreement", "vgg11", "-o", "never"], "write --network vgg11"),
    (["run", "winograd[tile=4x4]"], "but an engine: write --backends 'winograd[tile=4x4]'"),
    (["run", "lavin-gray"], "but a publication: write vbench paper lavin-gray"),
    (["run", "--suite", "resnet18"], "'resnet18' is not a suite but a network: write --network resnet18"),
    (["run", "--suite", "direct"], "write --backends direct"),
    (["run", "--suite", "model.onnx"], "write --onnx model.onnx"),
    (["run", "--network", "resnet50"], "'resnet50' is not a network but a suite: write --suite resnet50"),
    (["compare", "--network", "lenet,vgg16"], "write --suite vgg16"),
    (["tune", "--network", "model.onnx", "-o", "never.json"], "write --onnx model.onnx"),
    (["run", "--onnx", "resnet50"], "'resnet50' is not an ONNX model but a suite: write --suite resnet50"),
    (["run", "--onnx", "lenet"], "write --network lenet"),
    (
      ["run", "--backends", "im2col,resnet50"],
      "'resnet50' is not an engine but a suite: write --suite resnet50"
    ),
    (
      ["run", "--backends", "seed-cnn"],
      "a suite: write --suite seed-cnn, or a network: write --network seed-cnn"
    ),
    (["run", "--list", "--baseline", "vgg16"], "write --suite vgg16"),
    (["run", "--list", "--fallback", "lenet"], "write --network lenet"),
    (["explain", "conv2d:c3h9w9k4r3s3", "--backends", "vgg16"], "write --suite vgg16"),
    (["train", "winograd"], "'winograd' is not a network but an engine: write --backend winograd"),
    (["train", "resnet50"], "write vbench run --suite resnet50"),
    (["train", "lenet", "--backend", "vgg16"], "write vbench run --suite vgg16"),
    (["list", "resnet50"], "write vbench run --suite resnet50 --list"),
    (["list", "winograd"], "write vbench list backends"),
    (["list", "lenet"], "write vbench explain --network lenet --list"),
    (["paper", "resnet50"], "write vbench run --suite resnet50"),
    (["check", "--laws", "vgg16"], "write vbench run --suite vgg16"),
  ]

  @Test(arguments: misplaced.map { $0.arguments.joined(separator: " ") })
  func whatToWriteInstead(_ command: String) throws {
    let (arguments, words) = try #require(
      Self.misplaced.first { $0.arguments.joined(separator: " ") == command })
    let outcome = try CommandLineRunner.run(arguments)
    #expect(outcome.status == 64 && outcome.output.isEmpty && outcome.error.contains(words), "\(outcome)")
  }

  /// The advice is a command that works: everything that `list` and `paper` are told to write.
  @Test(arguments: [
    "run --suite resnet50 --list", "list backends", "explain --network lenet --list", "paper nnpack --list",
    "tune --network lenet --list",
  ])
  func theAdviceWorks(_ command: String) throws {
    let outcome = try CommandLineRunner.run(command.split(separator: " ").map(String.init))
    #expect(outcome.status == 0 && !outcome.output.isEmpty, "\(outcome)")
  }

  /// Misspelt names, and paths where nothing is.
  @Test func namesOfNothing() throws {
    for (word, status, words) in [
      ("resnet51", Int32(64), "unknown problem, suite or file 'resnet51'; did you mean 'resnet50'?"),
      ("convnet-benchmark", 64, "did you mean 'convnet-benchmarks'?"),
      ("layers.txt", 66, "layers.txt: cannot be read: is no problem, and no such file is there"),
      ("sub/layers", 66, "no such file"), ("none.onnx", 66, "none.onnx"),
      // What begins as a problem does is one with a fault in it.
      ("conv2d:c3h9w9", 64, "'k' is missing"), ("conv2d", 64, "malformed problem"),
      ("mb1ic3ih9oc", 64, "malformed problem"), ("vgg?", 64, "unknown suite 'vgg?'"),
    ] {
      let outcome = try CommandLineRunner.run(["run", "--list", word])
      #expect(outcome.status == status && outcome.error.contains(words), "\(outcome)")
    }
  }

  /// Every command takes the same words: problems, suites, files, patterns and models, and networks by an option.
  @Test(arguments: ["run", "tune", "explain", "compare", "agreement"])
  func commandsTakeTheSame(_ command: String) throws {
    try withTemporaryFolder { folder in
      try AtomicFile.write("conv2d:n1c3h8w8k4r3s3p1 own\n", to: folder + "/layers.txt")
      let outcome = try CommandLineRunner.run([
        command, "--list", "conv2d:n1c5h7w7k4r3s3p1", "mb1ic6ih7oc4kh1", "vgg16", folder + "/lay*.txt",
        referencesRoot + "/models/residual.onnx", "--network", "lenet", "--passes", "forward", "--format",
        "nchw",
        "--filter-state", "prepared", "--threads", "1", "--seed", "3", "--backends", "im2col,winograd",
      ])
      #expect(outcome.status == 0, "\(outcome)")
      for words in [
        "command line        ", "conv2d:n1c5h7w7k4r3s3p1", "conv2d:n1c6h7w7k4r1s1", "5_1", "own",
        "conditions: threads 1; ", "format nchw; filter state prepared", "engines: im2col, winograd",
      ] { #expect(outcome.output.contains(words), "'\(words)' is missing: \(outcome)") }
      // Full training steps here, the convolutions in them there.
      let trains = ["run", "compare"].contains(command)
      #expect(outcome.output.contains("training steps of lenet: batch 64") == trains, "\(outcome)")
      #expect(outcome.output.contains("\nlenet  ") == !trains, "\(outcome)")
    }
  }

  /// A name of two things is the suite, and that is said.
  @Test func namesOfTwoThings() throws {
    let outcome = try CommandLineRunner.run(["run", "alexnet", "--list", "--match", "conv5"])
    #expect(outcome.status == 0 && outcome.output.contains("conv2d:n128c256h13w13k256r3s3p1"), "\(outcome)")
    #expect(outcome.error.contains("the network of that name is --network alexnet"), "\(outcome)")
    let stated = try CommandLineRunner.run(["run", "--suite", "alexnet", "--list"])
    #expect(!stated.error.contains("--network"), "\(stated)")
  }

  @Test func modelsThatAreNone() throws {
    try withTemporaryFolder { folder in
      try AtomicFile.write("conv2d:n1c3h8w8k4r3s3p1 own\n", to: folder + "/layers.txt")
      try AtomicFile.write("neither\n", to: folder + "/text.txt")
      let lines = try CommandLineRunner.run(["run", "--list", "--onnx", folder + "/layers.txt"])
      #expect(lines.status == 65 && lines.error.contains("it is no ONNX model"), "\(lines)")
      #expect(lines.error.contains("it holds problem lines: write --suite \(folder)/layers.txt"), "\(lines)")
      let other = try CommandLineRunner.run(["run", "--list", "--onnx", folder + "/text.txt"])
      #expect(other.status == 65 && !other.error.contains("--suite"), "\(other)")
    }
  }

  /// Engines that are wanted stay engines, whatever else has their name.
  @Test func whatIsWantedIsNotMisplaced() {
    #expect(MisplacedNameError("winograd", wanted: "an engine", .engine) == nil)
    #expect(MisplacedNameError("alexnet", wanted: "a network", .network) == nil)
    #expect(MisplacedNameError("alexnet", wanted: "a suite", .suite) == nil)
    #expect(MisplacedNameError("nothing", wanted: "a suite", .suite) == nil)
    #expect(MisplacedNameError("alexnet", wanted: "a list", nil, in: .list)?.kinds == [.suite, .network])
  }
}
