import ConvCore
import ConvTestSupport
import Foundation
import Testing

@testable import ConvHarness

/// Files in the grammar of benchdnn's batch files, patterns of names and files, and `--match`.
@Suite struct ProblemSelectionTests {
  private func read(_ text: String) throws -> [BenchmarkSuite] {
    try ProblemFile.suites(from: text, file: "shapes")
  }

  private func problems(_ text: String) throws -> [BenchmarkProblem] { try read(text).flatMap(\.problems) }

  /// The shape of a nested file is that of its folder; options hold on, also behind it, until they are reset.
  @Test func nestedFilesAndOptions() throws {
    try withTemporaryFolder { folder in
      try AtomicFile.write(
        "--mb=3\n--batch=sub/inner  # the rest is a comment\nic1ih4oc1kh1\n", to: folder + "/outer")
      try makeFolder(folder + "/sub")
      try AtomicFile.write(
        "ic2ih4oc2kh3n\"a*2\" mb9ic2ih4oc2kh1n\"b#1\"\n--batch=deep\n", to: folder + "/sub/inner")
      try AtomicFile.write("--dir=BWD_D,bwd_w mb5ic4ih4oc4kh1ndeep\n", to: folder + "/sub/deep")
      let suites = try ProblemFile.read(path: folder + "/outer")
      #expect(suites.map(\.name) == [folder + "/sub/inner", folder + "/sub/deep", folder + "/outer"])
      let all = suites.flatMap(\.problems)
      #expect(
        all.map(\.problem.description) == [
          "conv2d:n3c2h4w4k2r3s3", "conv2d:n3c2h4w4k2r1s1", "conv2d:n3c4h4w4k4r1s1", "conv2d:n3c1h4w4k1r1s1",
        ])
      #expect(all.map(\.name) == ["a", "b#1", "deep", ""] && all.map(\.multiplicity) == [2, 1, 1, 1])
      #expect(
        all.map(\.passes) == [nil, nil, [.backwardData, .backwardFilter], [.backwardData, .backwardFilter]])
      #expect(suites.flatMap(\.notes).isEmpty)
      // One suite by name has all of them.
      #expect(try BenchmarkSuite.named(folder + "/outer").problems == all)
    }
  }

  @Test func optionsAreHonoured() throws {
    let found = try problems(
      """
      --reset --cfg=f32 --mb=0,7 --dir=FWD_D --stag=axb ic1ih4oc1kh1nx
      --mb= --dir= --stag=any --dtag=nchw,any mb4ic1ih4oc1kh1ny
      --stag=abx,axb --dtag=abx,axb ic1ih4oc1kh1nz
      --reset --match='.*kh3[^0-9].*' ic1ih4oc1kh3nu ic1ih4oc1kh1nv ic1ih50oc1kh31
      --match= ic1ih4oc1kh1nw
      """)
    #expect(found.map(\.name) == ["x", "x", "y", "z", "u", "w"])
    #expect(found.map(\.problem.n) == [2, 7, 4, 2, 2, 2])
    #expect(found.map(\.passes) == [[.forward], [.forward], nil, nil, nil, nil])
    #expect(found.map(\.formats) == [[.nhwc], [.nhwc], [.nchw, nil], [.nchw, .nhwc], [nil], [nil]])
    // A word may go on in the next line.
    for text in [
      "--dir=FWD_D, \\\n   BWD_D ic1ih4oc1kh1", "--dir=FWD_D,\\\nBWD_D\nic1ih4oc1kh1",
      "--dir=FWD_D,\\ BWD_D ic1ih4oc1kh1",
    ] {
      #expect(try problems(text)[0].passes == [.forward, .backwardData], "\(text)")
    }
  }

  /// What cannot be had leaves its problems out, and says so with their number; what means nothing here is named once.
  @Test func whatCannotBeHadIsSaid() throws {
    let suites = try read(
      """
      --cfg=u8s8u8 ic1ih4oc1kh1na ic1ih4oc1kh1nb
      --cfg=f32,bf16bf16bf16 ic1ih4oc1kh1nc
      --attr-post-ops=relu ic1ih4oc1kh1nd
      --attr-post-ops=,relu --skip-impl=ref --skip-impl=gemm --alg=wino -v5 ic1ih4oc1kh1ne
      --reset --stag=aBx16b ic1ih4oc1kh1nf
      --stag=abx --dtag=axb ic1ih4oc1kh1ng
      --reset --wtag=goihw --dir=FWD_B ic1ih4oc1kh1nh
      """)
    #expect(suites.flatMap(\.problems).map(\.name) == ["c", "e", "h"])
    let notes = suites.flatMap(\.notes)
    for words in [
      "2 problems are left out: --cfg=u8s8u8", "1 problems are left out: --attr-post-ops=relu",
      "1 problems are left out: --stag=aBx16b", "1 problems are left out: --dtag=axb",
      "line 2: --cfg=f32,bf16bf16bf16", "line 4: --skip-impl", "line 4: --alg", "line 4: --v5",
      "without the bias",
    ] {
      #expect(notes.count { $0.contains(words) } == 1, "\(words): \(notes)")
    }
    // Nothing is left: an error that says why.
    #expect {
      try read("--cfg=f16 ic1ih4oc1kh1")
    } throws: {
      "\($0)".contains("holds no problem that can be run") && "\($0)".contains("--cfg=f16")
    }
  }

  @Test(arguments: [
    ("--mb=x ic1ih4oc1kh1", 1, 1, "--mb holds 'x'"), ("\n  --dir=UP", 2, 3, "known: FWD_B"),
    ("--frob=1", 1, 1, "unknown option"), ("--mtch=a", 1, 1, "--match"),
    ("--match='a(b'", 1, 1, "at character 4"),
    ("--batch=", 1, 1, "needs a file"), ("ic1ih4oc1kh1 --dir=FWD_D, \\", 1, 14, "the file ends"),
    ("ic1ih4oc1kh1 ic1ih4oc1", 1, 14, "'kh' is missing"),
  ])
  func malformedFilesNameTheirPlace(text: String, line: Int, column: Int, reason: String) {
    #expect {
      try read(text)
    } throws: { error in
      guard case HarnessError.malformedLine("shapes", line, column, _, let found) = error else {
        Issue.record("\(text): \(error)")
        return false
      }
      return found.contains(reason)
    }
  }

  @Test func filesThatIncludeThemselvesEnd() throws {
    try withTemporaryFolder { folder in
      try AtomicFile.write("ic1ih4oc1kh1\n--batch=b\n", to: folder + "/a")
      try AtomicFile.write("\n--batch=./a\n", to: folder + "/b")
      #expect {
        try ProblemFile.read(path: folder + "/a")
      } throws: {
        guard case HarnessError.malformedLine(let file, 2, 1, _, let reason) = $0 else { return false }
        return file == folder + "/b" && reason.contains("includes itself")
      }
      try AtomicFile.write("\n\n--batch=none", to: folder + "/b")
      #expect {
        try ProblemFile.read(path: folder + "/a")
      } throws: {
        guard case FileError.missingInput(let path, let reason) = $0 else { return false }
        return path == folder + "/none" && reason.contains("named in \(folder)/b, line 3")
      }
      // Forty files, each of which reads the next one twice.
      for i in 0..<40 {
        try AtomicFile.write("--batch=f\(i + 1)\n--batch=f\(i + 1)\n", to: folder + "/f\(i)")
      }
      try AtomicFile.write("ic1ih4oc1kh1\n", to: folder + "/f40")
      #expect {
        try ProblemFile.read(path: folder + "/f0")
      } throws: { "\($0)".contains("more than 10000 files") }
    }
  }

  @Test func patternsOfSuitesAndFiles() throws {
    #expect(
      try BenchmarkSuite.selected(by: "*net*").map(\.name) == [
        "alexnet", "resnet50", "mobilenet-v2", "convnet-benchmarks",
      ])
    #expect(try BenchmarkSuite.selected(by: "vgg1[0-9]").map(\.name) == ["vgg16"])
    try withTemporaryFolder { folder in
      for name in ["two", "one", "three.txt"] {
        try AtomicFile.write("ic1ih4oc1kh1n\(name)\n", to: folder + "/" + name)
      }
      try makeFolder(folder + "/on-folder")
      #expect(
        try BenchmarkSuite.selected(by: folder + "/[ot]*").map(\.name) == [
          folder + "/one", folder + "/three.txt", folder + "/two",
        ])
      // A file whose name looks like a pattern is that file.
      try AtomicFile.write("ic1ih4oc1kh1nstar\n", to: folder + "/*")
      #expect(try BenchmarkSuite.selected(by: folder + "/*").map(\.name) == [folder + "/*"])
      #expect(throws: FileError.self) { try BenchmarkSuite.selected(by: folder + "/x*") }
      #expect(throws: HarnessError.self) { try BenchmarkSuite.selected(by: "vgg?") }
    }
  }

  @Test func expressionsPickProblems() throws {
    let all = try problems("mb1ic64ih8oc64kh3ph1n\"res2*3\"\nmb1ic3ih8oc64kh1nconv1\nconv1d:c2w9k2s3 line")
    func names(_ expression: String) throws -> [String] {
      let pattern = try ProblemPattern(expression)
      return all.filter(pattern.matches).map(\.name)
    }
    #expect(
      try names("^res") == ["res2"] && names("r3s3") == ["res2"]
        && names("conv1$|conv1d") == ["conv1", "line"])
    #expect(try names("nothing") == [])
    for (expression, place) in [("res(", "character 5"), ("a)b", "character 2"), ("*", "character 1")] {
      #expect {
        try ProblemPattern(expression)
      } throws: {
        guard case HarnessError.usage(let text) = $0 else { return false }
        return text.contains(place) && text.contains("--match") && text.hasSuffix("^")
      }
    }
  }

  private func makeFolder(_ path: String) throws {
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }
}
