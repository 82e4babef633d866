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
  }

  /// A file without problems is a suite that says why.
  @Test(arguments: [
    ("", "is empty"), ("# nothing\n\n", "only comments"), ("--mb=7 --reset\n", "only options"),
    ("--cfg=f16 ic1ih4oc1kh1", "no problem that can be run; 1 problems are left out: --cfg=f16"),
    ("--cfg=f16 ic1ih4oc1kh1 --cfg=s8 ic1ih4oc1kh1", "1 more reasons"),
    (
      "--match=ic2 ic1ih4oc1kh1 mb1ic3ih4oc1kh1",
      "--match keeps out all 2 that are left; the first is 'ic1ih4oc1oh4kh1ph0'"
    ),
  ])
  func whyAFileHasNoProblem(text: String, reason: String) throws {
    let suites = try read(text)
    #expect(suites.count == 1 && suites[0].problems.isEmpty && suites[0].name == "shapes")
    #expect(suites[0].absence?.contains(reason) == true, "\(suites)")
    #expect(try read(text + "\n--reset ic9ih4oc1kh1").map(\.absence) == [nil])
  }

  /// What `--match` finds, it finds anywhere in the line by which benchdnn names the problem.
  @Test(
    arguments: [
      ("--match=ic3ih8", "mb1ic3ih8oc4kh3ph1 mb1ic5ih8oc4kh3ph1", ["n1c3h8w8k4r3s3p1"]),
      // The line holds the output, and the order of its parts is benchdnn's.
      ("--match=oc4oh8kh3ph1", "oc4kh3_ph1ic3ih8mb1", ["n1c3h8w8k4r3s3p1"]),
      ("--match=oc4kh3", "mb1ic3ih8oc4kh3ph1", []),
      ("--match=^ic3", "ic3ih8oc4kh3ph1 mb2ic3ih8oc4kh3ph1 mb1ic3ih8oc4kh3ph1", ["n2", "n2"]),
      ("--match=mb2", "mb2ic3ih8oc4kh3ph1", []),
      ("--match=kh3ph1$", "ic3ih8oc4kh3ph1 ic3ih8oc4kh3ph1nx", ["n2"]),
      ("--match=n.x.$", "ic3ih8oc4kh3ph1n\"x\" ic3ih8oc4kh3ph1nx", ["n2"]),
      ("--match=iw7", "ic3ih7iw7oc4kh3kw3 ic3iw7oc4kw3 ic3ih8iw7oc4kh3kw3", ["conv1d:n2c3w7", "n2c3h8w7"]),
      ("--match=sh2ph0dh1", "ic3ih9oc4kh3sh2dh1", ["n2c3h9w9k4r3s3u2l2"]),
      ("--match=^g1ic", "g1ic4ih8oc4kh1 ic4ih8oc4kh1", ["n2"]), ("--match=^g2", "g2ic4ih8oc4kh1", ["n2"]),
      ("--match=id5oc", "ic1id5oc1kd3", ["conv3d:n2c1d5h5w5"]),
      ("--match=id5ih6iw6oc", "ic1id5ih6iw6oc1kd3kh3kw3", ["conv3d:n2c1d5h6w6"]),
      // Options are a part of the line unless they say what benchdnn does anyway.
      ("--mb=5 --match=mb5ic3", "ic3ih8oc4kh3ph1", ["n5"]),
      ("--dir=BWD_D --match=^--dir=BWD_D.ic", "ic3ih8oc4kh3ph1", ["n2"]),
      ("--dir=FWD_B --match=dir", "ic3ih8oc4kh3ph1", []),
      ("--dir=fwd_d --match=FWD_D", "ic3ih8oc4kh3ph1", ["n2"]),
      ("--stag=axb --match=stag=axb", "ic3ih8oc4kh3ph1", ["n2"]),
      ("--wtag=oihw --match=wtag", "ic3ih8oc4kh3ph1", ["n2"]),
      // Canonical texts have a line too.
      ("--match=ic3ih8oc4oh8kh3ph1nres", "\nconv2d:n2c3h8w8k4r3s3p1 res4", ["n2"]),
      ("--match=res5", "\nconv2d:n2c3h8w8k4r3s3p1 res4", []),
    ] as [(String, String, [String])])
  func matchSearchesBenchdnnsLine(option: String, text: String, found: [String]) throws {
    let texts = try problems("\(option) \(text)").map(\.problem.description)
    #expect(texts.count == found.count, "\(option) \(text): \(texts)")
    for (text, part) in zip(texts, found) { #expect(text.contains(part), "\(option): \(texts)") }
  }

  /// There is a line per direction, pair of layouts and batch size, and `--match` decides about each.
  @Test func matchPicksDirectionsAndLayouts() throws {
    let backward = try problems("--dir=FWD_D,BWD_D,BWD_W --match=BWD ic3ih8oc4kh3ph1")
    #expect(backward.map(\.passes) == [[.backwardData, .backwardFilter]])
    let mixed = try problems(
      "--dir=FWD_D,BWD_D --stag=axb,abx --match='FWD_D|stag=axb' ic3ih8oc4kh3ph1")
    #expect(mixed.map(\.passes) == [[.forward], [.backwardData]])
    #expect(mixed.map(\.formats) == [[.nhwc, .nchw], [.nhwc]])
    #expect(try problems("--mb=1,2,3 --match=^mb ic3ih8oc4kh3ph1").map(\.problem.n) == [1, 3])
  }

  /// Options behind the last problem are about nothing; those before a problem in another file are not.
  @Test func optionsBehindTheLastProblem() throws {
    let suites = try read("ic3ih8oc4kh3ph1 --mb=7")
    #expect(suites.flatMap(\.problems).map(\.problem.n) == [2])
    let notes = try [suites, read("ic3ih8oc4kh3ph1\n\n--mb=7\n--dir=FWD_D --reset")].map { suites in
      suites.flatMap(\.notes).joined(separator: "\n")
    }
    #expect(notes[0].hasPrefix("shapes, line 1: --mb=7 stands behind the last problem and changes nothing"))
    #expect(notes[1].hasPrefix("shapes, line 3: --mb=7 and 1 more options stand behind the last problem"))
    #expect(!notes[0].contains("\n") && !notes[1].contains("\n"), "\(notes)")
    #expect(try read("--mb=7 ic3ih8oc4kh3ph1 --reset").flatMap(\.notes).isEmpty)
    try withTemporaryFolder { folder in
      try AtomicFile.write("ic1ih4oc1kh1\n--mb=3\n", to: folder + "/inner")
      try AtomicFile.write("--batch=inner\nic2ih4oc1kh1\n", to: folder + "/outer")
      let nested = try ProblemFile.read(path: folder + "/outer")
      #expect(nested.flatMap(\.problems).map(\.problem.n) == [2, 3] && nested.flatMap(\.notes).isEmpty)
    }
  }

  /// Thousands of files, each of which reads the next one, are refused before the stack ends.
  @Test func filesInFilesHaveALimit() throws {
    try withTemporaryFolder { folder in
      for i in 0..<200 { try AtomicFile.write("--batch=f\(i + 1)\n", to: folder + "/f\(i)") }
      try AtomicFile.write("ic1ih4oc1kh1\n", to: folder + "/f200")
      #expect {
        try ProblemFile.read(path: folder + "/f0")
      } throws: { "\($0)".contains("more than 64 deep") }
      #expect(try ProblemFile.read(path: folder + "/f140").flatMap(\.problems).count == 1)
    }
  }

  /// Long files that are read again and again, without a word in them.
  @Test func bytesOfFilesHaveALimit() throws {
    try withTemporaryFolder { folder in
      try AtomicFile.write("#" + String(repeating: "x", count: 16_000_000), to: folder + "/long")
      try AtomicFile.write(String(repeating: "--batch=long ", count: 5), to: folder + "/a")
      #expect {
        try ProblemFile.read(path: folder + "/a")
      } throws: { "\($0)".contains("more than 67108864 bytes") }
    }
  }

  /// An expression of many steps and many problems: refused when it has taken about two seconds.
  @Test func expressionsThatTakeTooLong() throws {
    let expression = "(i?c?h?o?k?){150}z"
    let text = "--match=\(expression) " + String(repeating: "mb1ic3ih8oc4oh8kh3ph1 ", count: 30_000)
    #expect {
      try read(text)
    } throws: { "\($0)".contains("more than 50000000 comparisons") }
    // One name of a megabyte is enough.
    let long = "--match=\(expression) ic3ih8oc4kh3n" + String(repeating: "chokchok", count: 125_000)
    #expect {
      try read(long)
    } throws: { "\($0)".contains("more than 50000000 comparisons") }
    var pattern = try ProblemPattern(expression)
    let problem = try ProblemFile.parse("mb1ic3ih8oc4oh8kh3ph1")
    #expect {
      for _ in 0..<30_000 where try pattern.matches(problem) { Issue.record("it does not match") }
    } throws: { "\($0)".contains("more than 50000000 comparisons") }
  }

  /// Thousands of reasons are counted, not listed.
  @Test func reasonsHaveALimit() throws {
    let text = (0..<3000).map { "--attr-post-ops=relu:\($0) ic1ih4oc1kh1 -v\($0)" }.joined(separator: "\n")
    let notes = try read(text + "\n--reset ic1ih4oc1kh1").flatMap(\.notes)
    #expect(notes.count == 22 && notes.contains("2980 problems are left out for 2980 other reasons"))
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
      var pattern = try ProblemPattern(expression)
      return try all.filter { try pattern.matches($0) }.map(\.name)
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
