import ConvCore
import ConvTestSupport
import Foundation
import Testing

@testable import VbenchCLI

/// Which problems `run` and `compare` take: suites, patterns, `--match`, `--list`, argument files.
@Suite struct SelectionTests {
  private func list(_ arguments: [String], status: Int32 = 0) throws -> (lines: [Substring], all: String) {
    let outcome = try CommandLineRunner.run(arguments + ["--list"])
    #expect(outcome.status == status, "\(outcome)")
    return (outcome.output.split(separator: "\n"), outcome.output + outcome.error)
  }

  @Test func listsWhatWouldRun() throws {
    let (lines, all) = try list([
      "run", "--suite", "vgg16", "--match", "^[45]_2$|5_1", "--passes", "forward", "--batch", "2",
    ])
    #expect(lines.count == 6, "\(all)")
    #expect(lines[0].split(separator: " ") == ["suite", "name", "problem", "passes", "times", "GFLOP"])
    // 2 · 2 · 512 · 512 · 28² · 9 floating-point operations.
    #expect(
      lines[1].split(separator: " ") == [
        "vgg16", "4_2", "conv2d:n2c512h28w28k512r3s3p1", "forward", "2", "7.399",
      ])
    #expect(
      lines[2].split(separator: " ") == [
        "vgg16", "5_1", "conv2d:n2c512h14w14k512r3s3p1", "forward", "3", "1.85",
      ])
    #expect(
      lines[5]
        == "2 problems, 5 layers with their multiplicity, 20.35 GFLOP in one pass of all; 2 measurements")
    // The default job has layers of most suites; compare lists without a peer or a folder.
    #expect(try list(["run"]).all.contains("resnet50"))
    #expect(try list(["compare", "--suite", "seed-cnn", "--match", "^conv2$"]).lines.count == 5)
    #expect(!FileManager.default.fileExists(atPath: "Reports/comparison-of-nothing"))
  }

  @Test func filesOfBenchdnnAreListedAsTheyAre() throws {
    try withTemporaryFolder { folder in
      try AtomicFile.write(
        "--dir=BWD_D\n--stag=axb\n--batch=shapes_b\n--cfg=s8s8s32\n--batch=shapes_b\n",
        to: folder + "/shapes_a")
      try AtomicFile.write(
        "mb1ic8ih6oc8oh6kh3ph1n\"one*4\"\nmb1ic8ih6oc8kh1n\"two\"\n", to: folder + "/shapes_b")
      let (lines, all) = try list(["run", "--suite", folder + "/shapes_a", "--format", "nchw"])
      #expect(lines.count == 6, "\(all)")
      // The suite's name is a path, shortened in the middle.
      let cells = lines[1].split(separator: " ")
      #expect(cells[0].hasPrefix("/") && cells[0].contains("…") && cells[0].hasSuffix("/shapes_b"), "\(all)")
      #expect(
        cells.dropFirst() == ["one", "conv2d:n1c8h6w6k8r3s3p1", "backward-data", "4", "4.147e-05"], "\(all)")
      #expect(all.contains("2 problems are left out: --cfg=s8s8s32"))
      // A pattern of files; the two suites are told apart.
      let both = try list(["run", "--suite", folder + "/shapes_*", "--match", "two"])
      #expect(both.lines.count == 6, "\(both.all)")
      let none = try list(["run", "--suite", folder + "/shapes_a", "--passes", "forward"], status: 64)
      #expect(none.all.contains("nothing to run"))
    }
  }

  @Test func selectionsThatMeanNothing() throws {
    for (arguments, words) in [
      (["run", "--suite", "vgg16", "--match", "res"], ["matches none of 9 problems"]),
      (["run", "--suite", "vgg16", "--match", "a(b"], ["--match", "')' expected", "at character 4"]),
      (["run", "conv2d:c3h9w9k4r3s3", "--match", "conv1d"], ["matches none of 1 problems"]),
      (["compare", "--suite", "vgg*", "--match", "[", "--output", "never"], ["--match"]),
      (["run", "--suite", "vgg?"], ["unknown suite 'vgg?'"]),
    ] {
      let outcome = try CommandLineRunner.run(arguments)
      #expect(outcome.status == 64 && outcome.output.isEmpty, "\(outcome)")
      for word in words { #expect(outcome.error.contains(word), "'\(word)' is missing: \(outcome)") }
    }
  }

  @Test func argumentFiles() throws {
    try withTemporaryFolder { folder in
      try FileManager.default.createDirectory(atPath: folder + "/sub", withIntermediateDirectories: true)
      try AtomicFile.write(
        "# a nightly job\nrun --suite   vgg16 # five of nine\n@sub/passes.args\n--match '^[45]_2$'\n",
        to: folder + "/job.args")
      try AtomicFile.write("@batch.args --passes\nforward\n", to: folder + "/sub/passes.args")
      try AtomicFile.write("--batch \"2\"", to: folder + "/sub/batch.args")
      let (lines, all) = try list(["@\(folder)/job.args"])
      #expect(lines.count == 5 && lines[1].contains("conv2d:n2c512h28w28k512r3s3p1"), "\(all)")

      try AtomicFile.write("run\n@sub/none.args\n", to: folder + "/missing.args")
      try AtomicFile.write("run\n@sub/loop.args\n", to: folder + "/loop.args")
      try AtomicFile.write("\n@../loop.args\n", to: folder + "/sub/loop.args")
      try AtomicFile.write("run\n--match 'a\n", to: folder + "/open.args")
      for (name, status, words) in [
        ("missing.args", Int32(66), ["sub/none.args", "missing.args, line 2"]),
        ("none.args", 66, ["none.args", "on the command line"]),
        ("loop.args", 65, ["includes itself", "sub/loop.args, line 2"]),
        ("open.args", 65, ["line 2", "is not closed"]),
      ] {
        let outcome = try CommandLineRunner.run(["@\(folder)/\(name)"])
        #expect(outcome.status == status, "\(outcome)")
        for word in words { #expect(outcome.error.contains(word), "'\(word)' is missing: \(outcome)") }
      }
      // The report's command holds the words, not the file.
      try AtomicFile.write(
        "run conv2d:n1c3h9w9k4r3s3p1 --backends naive --baseline naive --passes forward --quick",
        to: folder + "/run.args")
      let outcome = try CommandLineRunner.run(["@\(folder)/run.args", "--output", folder + "/report"])
      #expect(outcome.status == 0, "\(outcome)")
      let report = try InputFile.text(of: folder + "/report/report.md")
      #expect(report.contains("run conv2d:n1c3h9w9k4r3s3p1 --backends naive") && !report.contains("@"))
    }
  }

  @Test func wordsAreThoseOfAShell() throws {
    func words(_ text: String) throws -> [String] { try ArgumentFile.words(text, path: "f").map(\.text) }
    #expect(try words("a  b\tc\r\nd") == ["a", "b", "c", "d"])
    #expect(try words("'a b' \"c \\\" d\" e\\ f '' g'h'\"i\"") == ["a b", "c \" d", "e f", "", "ghi"])
    #expect(try words("a#b #c d\n e '#f'") == ["a#b", "e", "#f"])
    #expect(try words("'a\\b' a\\\nb") == ["a\\b", "ab"])
    #expect(
      try ArgumentFile.words("@a\n'@b' @@c @", path: "f") == [
        .init(text: "@a", line: 1, isFile: true), .init(text: "@b", line: 2), .init(text: "@c", line: 2),
        .init(text: "@", line: 2),
      ])
    #expect(throws: FileError.self) { try words("a \\") }
    #expect(try ArgumentFile.expanded(["@@x", "@", "--", "@y"]) == ["@x", "@", "--", "@y"])
  }
}
