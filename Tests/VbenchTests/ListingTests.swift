import ConvBackends
import ConvCore
import ConvHarness
import ConvTestSupport
import Testing

@testable import VbenchCLI

/// What `--list` says besides the problems.
@Suite struct ListingTests {
  private func lines(_ arguments: [String]) throws -> [String] {
    let outcome = try CommandLineRunner.run(arguments + ["--list"])
    #expect(outcome.status == 0, "\(outcome)")
    return outcome.output.split(separator: "\n").map(String.init)
  }

  @Test func sweepsAndNetworks() throws {
    let lines = try lines([
      "run", "vgg16", "--match", "5_1", "--threads", "1,2", "--cache", "warm,cold", "--workspace",
      "1MiB,64MiB", "--format", "nhwc,nchw", "--filter-state", "fresh,prepared", "--backends",
      "im2col,winograd[tile=4x4]", "--network", "lenet,seed-cnn", "--batch", "8",
    ])
    #expect(lines.contains("engines: im2col, winograd[tile=4x4]"))
    #expect(
      lines.contains(
        "conditions: threads 1, 2; cache warm, cold; workspace 1 MiB, 64 MiB; format nchw, nhwc; "
          + "filter state fresh, prepared"), "\(lines)")
    #expect(lines.contains("training steps of lenet: batch 8, threads 2"), "\(lines)")
    #expect(lines.contains("training steps of seed-cnn: batch 8, threads 2"), "\(lines)")
    // Two passes with both states of the filter and one without, in two formats, under eight conditions.
    #expect(lines.last?.hasSuffix("; 80 measurements") == true, "\(lines)")
  }

  @Test func networksWithoutLayers() throws {
    let lines = try lines(["run", "--network", "lenet", "--backends", "im2col", "--threads", "2"])
    #expect(lines == ["engines: im2col", "training steps of lenet: batch 64, threads 2"])
    #expect(try self.lines(["run"]).contains { $0.hasPrefix("training steps of seed-cnn: batch 64") })
    #expect(try !self.lines(["run", "vgg16"]).contains { $0.hasPrefix("training") })
  }

  @Test func otherCommands() throws {
    let compare = try lines([
      "compare", "vgg16", "--network", "lenet", "--threads", "1,2", "--format", "nhwc,nchw", "--batch", "4",
    ])
    for format in ["nhwc", "nchw"] {
      #expect(
        compare.contains("training steps of lenet: batch 4, threads 1, 2, format \(format)"), "\(compare)")
    }
    // Nine problems, three passes, two formats, two numbers of threads.
    #expect(compare.last?.hasSuffix("; 108 measurements") == true, "\(compare)")
    let tune = try lines(["tune", "vgg16", "--threads", "1,2", "--cache", "cold"])
    #expect(tune.contains { $0.hasPrefix("conditions: threads 1, 2; cache cold; workspace 64 MiB") })
    let agreement = try lines(["agreement", "vgg16", "--items", "5"])
    #expect(agreement.last?.hasSuffix("; 5 measurements") == true, "\(agreement)")
  }

  /// Beginning and end tell the most; problems are whole, since they are copied.
  @Test func longNames() throws {
    #expect(MiddleCut.text("abcdefghij", most: 10) == "abcdefghij")
    #expect(MiddleCut.text("abcdefghijk", most: 10) == "abcde…hijk")
    #expect(MiddleCut.text("abcdefghijk", most: 3) == "a…k")
    #expect(MiddleCut.text("äöüßéèêëàâ", most: 5) == "äö…àâ")
    var problem = BenchmarkProblem(
      try ConvProblem(parsing: "conv2d:n1c3h8w8k4r3s3p1"),
      name: "/features/" + String(repeating: "block/", count: 40) + "Conv_17")
    problem.nodes = (0..<100).map { "/features/conv\($0)/Conv" }
    let items = [
      RunItem(
        suite: "/home/user/" + String(repeating: "models/", count: 30) + "net.onnx", problem: problem,
        pass: .forward)
    ]
    let row = try #require(ProblemListing(items).text.split(separator: "\n").dropFirst().first)
    #expect(row.count < 220, "\(row)")
    for words in [
      "/home/user/models/", "models/net.onnx", "/features/block/", "block/Conv_17", "/features/conv0/Conv",
      "conv99/Conv",
    ] {
      #expect(row.contains(words), "'\(words)' is missing: \(row)")
    }
    #expect(row.contains("conv2d:n1c3h8w8k4r3s3p1"))
  }
}
