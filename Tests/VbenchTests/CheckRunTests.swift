import ConvCore
import ConvTestSupport
import Foundation
import Testing

/// `vbench check` and `vbench run` on small things.
@Suite struct CheckRunTests {
  private static let references = referencesRoot

  /// Copies a stored case, its output multiplied by `factor`.
  private func writeCase(_ path: String, factor: Double) throws {
    let folder = Self.references + "/cases/conv2d"
    let name = try #require(try FileManager.default.contentsOfDirectory(atPath: folder).sorted().first)
    let file = try SafetensorsFile(path: folder + "/" + name)
    var tensors = file.tensors
    let output = try file.tensor("output")
    tensors["output"] = try Tensor(
      output.values(as: Double.self).map { $0 * factor }, shape: output.shape)
    try Safetensors.write(
      tensors.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }, metadata: file.metadata, to: path)
  }

  @Test func aWrongReferenceFailsTheCheck() throws {
    try withTemporaryFolder { folder in
      func check(_ factor: Double) throws -> CommandLineRunner.Outcome {
        try writeCase(folder + "/case.safetensors", factor: factor)
        return try CommandLineRunner.run([
          "check", "--references", folder, "--backends", "naive,im2col", "--passes", "forward", "--junit",
          folder + "/check.xml",
        ])
      }
      let good = try check(1)
      #expect(good.status == 0 && good.output.contains("1 convolutions, 4 checks, 0 failures"), "\(good)")
      #expect(good.output.contains("least bits  correlated"), "\(good)")
      let wrong = try check(1.001)
      #expect(wrong.status == 1, "\(wrong)")
      for words in [
        "failed: naive forward", "failed: im2col forward", "4 failures", "vbench check", "× bound",
        "bits right",
        // The reference is wrong, not the engines: there is nothing to shrink.
        "naive forward conv2d", "passes on data generated anew (uniform, seed 1): not shrunk",
      ] {
        #expect(wrong.output.contains(words), "'\(words)' is missing: \(wrong)")
      }
      let xml = try InputFile.text(of: folder + "/check.xml")
      #expect(xml.contains("<testsuites name=\"vbench check\" tests=\"4\" failures=\"4\""), "\(xml)")
    }
  }

  @Test func runWritesItsReport() throws {
    try withTemporaryFolder { folder in
      let outcome = try CommandLineRunner.run([
        "run", "conv2d:n1c3h9w9k4r3s3p1", "--backends", "naive,im2col", "--baseline", "naive", "--passes",
        "forward,backward-filter", "--threads", "2", "--quick", "--output", folder + "/report",
        "--junit", folder + "/run.xml",
      ])
      #expect(
        outcome.status == 0 && outcome.output.contains("report: \(folder)/report/report.md"), "\(outcome)")
      #expect(!(outcome.output + outcome.error).contains("\u{1B}"), "\(outcome)")
      let files = try FileManager.default.contentsOfDirectory(atPath: folder + "/report").sorted()
      #expect(
        files == [
          "layers.csv", "report.html", "report.md", "results.csv", "run.json", "samples.csv", "training.csv",
          "trajectory.csv",
        ])
      let rows = try InputFile.text(of: folder + "/report/results.csv").split(separator: "\n")
        .map { $0.split(separator: ",", omittingEmptySubsequences: false) }
      #expect(rows.count == 5 && rows[0].suffix(2) == ["effective_bits", "correlated"])
      #expect(outcome.output.contains("  bits  "), "\(outcome)")
      for (row, key) in zip(
        rows.dropFirst(),
        [
          ["forward", "naive"], ["forward", "im2col"], ["backward-filter", "naive"],
          ["backward-filter", "im2col"],
        ]
      ) {
        #expect(row[3...4].map(String.init) == key && row[5] == "2" && row[8] == "passed", "\(row)")
        // float32: 24 bits, a few of them lost.
        #expect((15..<30).contains(Double(row[row.count - 2]) ?? .nan), "\(row)")
      }
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder).sorted() == ["report", "run.xml"])
      let xml = try InputFile.text(of: folder + "/run.xml")
      #expect(xml.contains("<testsuites name=\"vbench run\" tests=\"4\" failures=\"0\""), "\(xml)")
      #expect(try InputFile.text(of: folder + "/report/report.html").contains("im2col"))
      #expect(try InputFile.text(of: folder + "/report/report.md").contains("(report.html)"))
    }
  }

  @Test func lawsAndTheMatrixArePrinted() throws {
    let laws = try CommandLineRunner.run([
      "check", "--laws", "--count", "1", "--seed", "3", "--backends", "im2col,winograd",
    ])
    #expect(laws.status == 0, "\(laws)")
    for words in [
      "laws on 1 random problems per engine, seeds 3 to 3", "winograd  shift", "im2col    integers",
      "52 checks of laws, 0 failures",
    ] { #expect(laws.output.contains(words), "'\(words)' is missing: \(laws)") }
    let one = try CommandLineRunner.run([
      "check", "conv2d:c4h9w9k4r3s3p1", "--law", "shift,adjoint", "--passes", "forward", "--backends",
      "im2col",
      "--verbose",
    ])
    // The adjoint identity needs all passes.
    #expect(
      one.status == 0 && one.output.contains("held: im2col forward shift on conv2d:n1c4h9w9k4r3s3p1, seed 1"))
    #expect(one.output.contains("1 checks of laws, 0 failures"), "\(one)")
    let exact = try CommandLineRunner.run([
      "check", "conv2d:c4h9w9k4r3s3p1", "--law", "stride", "--passes", "forward", "--backends",
      "im2col,onednn", "--verbose", "--element-type", "float64",
    ])
    // Not a stub of float32: what cannot compute in float64 is skipped.
    #if OneDNN
      #expect(exact.output.contains("held: im2col forward stride on conv2d:n1c4h9w9k4r3s3u"), "\(exact)")
      #expect(exact.output.contains("float64, seed 1: oneDNN convolves in float32"), "\(exact)")
    #endif
    let matrix = try CommandLineRunner.run([
      "check", "conv2d:n2c4h9w9k4r3s3p1", "--invariance", "--backends", "naive", "--passes", "forward",
    ])
    #expect(matrix.status == 0 && matrix.output.contains("threads 1 vs 2"), "\(matrix)")
    #expect(matrix.output.contains("invariance over 1 problems") && matrix.output.contains("bit-equal"))
  }

  @Test func dataAreChosen() throws {
    try withTemporaryFolder { folder in
      let outcome = try CommandLineRunner.run([
        "run", "conv2d:n1c3h9w9k4r3s3p1", "--backends", "naive,im2col", "--passes", "forward", "--quick",
        "--data", "offset", "--seed", "5", "--output", folder + "/report",
      ])
      #expect(outcome.status == 0 && outcome.output.contains("× bound"), "\(outcome)")
      let rows = try InputFile.text(of: folder + "/report/results.csv").split(separator: "\n")
      #expect(rows[0].contains(",data") && rows[1].contains("--seed 5 --data offset"), "\(rows)")
      #expect(try InputFile.text(of: folder + "/report/report.md").contains("## Verification"))
    }
  }

  /// Training steps of a named network: rows, layers, steps beside the stored ones.
  @Test func runTrainsNetworks() throws {
    try withTemporaryFolder { folder in
      let outcome = try CommandLineRunner.run([
        "run", "--network", "lenet,lenet", "--batch", "2", "--backends", "naive,im2col,im2col[gemm=kernel]",
        "--baseline", "naive", "--threads", "2", "--quick", "--references", Self.references, "--output",
        folder + "/report",
      ])
      #expect(outcome.status == 0 && outcome.output.contains("lenet"), "\(outcome)")
      func lines(_ name: String) throws -> [Substring] {
        try InputFile.text(of: "\(folder)/report/\(name)").split(separator: "\n").dropFirst().map { $0 }
      }
      let training = try lines("training.csv")
      #expect(training.count == 3 && training.allSatisfy { $0.hasPrefix("lenet,") }, "\(training)")
      let layers = try lines("layers.csv")
      #expect(layers.contains { $0.hasPrefix("lenet,im2col,2,2,1,conv1,") }, "\(layers)")
      let steps = try lines("trajectory.csv")
      // Two steps of slow engines, three of others.
      #expect((6...9).contains(steps.count) && steps.allSatisfy { $0.contains(",passed,") }, "\(steps)")
      let report = try InputFile.text(of: folder + "/report/report.md")
      for words in ["## Training trajectories", "### Layers of a step of lenet", "### Memory of a step"] {
        #expect(report.contains(words), "'\(words)' is missing")
      }
    }
  }

  @Test func usageErrors() throws {
    try withTemporaryFolder { folder in
      try AtomicFile.write("x", to: folder + "/file")
      for (status, arguments, words) in [
        (64, ["run", "--backends", "winogard"], "known: winograd"),
        (64, ["check", "--backends", "naive,winogard"], "winogard"),
        (64, ["run", "--backends", ","], "no backend"),
        (64, ["run", "--passes", "sideways"], "sideways"), (64, ["run", "--batch", "0"], "--batch"),
        (64, ["run", "--format", "nhcw"], "nhcw"), (64, ["run", "--network", "seed-cmn"], "seed-cmn"),
        (64, ["run", "--precision", "0%"], "--precision"), (64, ["run", "--precision", "fine"], "fine"),
        (64, ["run", "--budget", "0"], "--budget"), (64, ["run", "--cache", "hot"], "cold"),
        (64, ["run", "--workspace", "64MB,much"], "'64MB'"), (64, ["run", "--threads", "1,two"], "'two'"),
        (64, ["run", "--threads", "0"], "--threads"), (64, ["run", "--workspace", ","], "--workspace"),
        (64, ["run", "--resume", folder, "--output", folder + "/other"], "--resume"),
        (66, ["run", "--resume", folder + "/none"], "no unfinished run"),
        (66, ["report", folder + "/none"], folder + "/none"),
        (66, ["diff", folder + "/none", folder + "/other"], folder + "/none/results.csv"),
        (64, ["diff", folder + "/none", folder + "/other", "--threshold", "-5%"], "--threshold"),
        (64, ["run", "conv2d:c3h9w9"], "conv2d:c3h9w9"), (64, ["run", "--baseline", "none"], "none"),
        (64, ["check", "--threads", "0"], "threads"), (64, ["run", "--data", "ofset"], "offset"),
        (64, ["check", "--law", "shfit"], "shift"),
        (64, ["check", "--laws", "--element-type", "float16"], "float64"),
        (64, ["check", "--laws", "--count", "0"], "--count"),
        (64, ["check", "conv2d:c3h9w9k4r3s3"], "--laws"), (64, ["check", "--shrink=-1"], "--shrink"),
        (64, ["check", "--laws", "--references", folder], "--references"),
        (64, ["check", "--laws", "conv2d:n64c256h56w56k256r3s3p1"], "float64 sums"),
        (66, ["check", "--references", folder + "/none"], folder + "/none"),
        (66, ["run", "--suite", folder + "/none.txt"], folder + "/none.txt"),
        (73, ["run", "conv2d:c3h9w9k4r3s3", "--output", folder + "/file"], folder + "/file"),
        (73, ["check", "--junit", folder + "/file/check.xml"], folder + "/file/check.xml"),
      ] {
        // The folder of a run that cannot begin is not left behind; the checkout need not be writable.
        let isFree = arguments[0] == "run" && !arguments.contains { ["--output", "--resume"].contains($0) }
        let outcome = try CommandLineRunner.run(
          arguments + (isFree ? ["--output", folder + "/report"] : []))
        #expect(outcome.status == status && outcome.error.contains(words), "\(outcome)")
        #expect(outcome.output.isEmpty, "\(outcome)")
      }
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["file"])
    }
  }

  /// A table for programs has as many cells in every row as in its header.
  @Test(arguments: ["backends", "suites", "networks", "references"])
  func tablesForPrograms(_ subject: String) throws {
    let outcome = try CommandLineRunner.run(["list", subject, "--format", "csv"])
    #expect(outcome.status == 0, "\(outcome)")
    let counts = outcome.output.split(separator: "\n").map { line in
      // Commas outside of quotes.
      line.split(separator: "\"", omittingEmptySubsequences: false).enumerated()
        .filter { $0.offset % 2 == 0 }.reduce(1) { $0 + $1.element.count { $0 == "," } }
    }
    #expect(counts.count > 1 && Set(counts).count == 1, "\(counts)\n\(outcome)")
  }
}
