import ConvCore
import ConvTestSupport
import Testing

@testable import ConvHarness

@Suite struct SuiteTests {
  @Test func builtInSuitesHaveTheirLayers() throws {
    let counts = Dictionary(uniqueKeysWithValues: BenchmarkSuite.builtIn.map { ($0.name, $0.problems.count) })
    #expect(
      counts == [
        "seed-cnn": 3, "alexnet": 5, "vgg16": 9, "resnet50": 20, "convnet-benchmarks": 5, "large-kernel": 5,
        "mobilenet-v2": 11,
      ])
    // Published totals: VGG-16's convolutions are 15.3 G multiply-adds, ResNet-50's (stride in the 1×1) 3.8 G, per image.
    let vgg = try BenchmarkSuite.named("vgg16")
    #expect(abs(vgg.giga - 30.69) < 0.05, "\(vgg.giga)")
    let resNet = try BenchmarkSuite.named("resnet50")
    #expect(abs(resNet.giga / 50 - 7.7) < 0.15, "\(resNet.giga / 50)")
  }

  @Test func everySuiteHasTwoRepresentativesThatExist() {
    for suite in BenchmarkSuite.builtIn {
      // (The default job leaves one suite out.)
      let isLeftOut = suite.name == "mobilenet-v2"
      #expect(isLeftOut ? suite.representatives.isEmpty : suite.representatives.count >= 2, "\(suite.name)")
      for representative in suite.representatives {
        #expect(suite.problems.contains { $0.name == representative.name }, "\(suite.name) \(representative)")
      }
    }
  }

  @Test func largeKernelsKeepTheImageSize() throws {
    for problem in try BenchmarkSuite.named("large-kernel").problems {
      #expect(problem.problem.output == problem.problem.input, "\(problem.problem)")
    }
  }

  @Test func unknownSuiteNamesTheNearest() {
    #expect {
      try BenchmarkSuite.named("vgg-16")
    } throws: { error in
      guard case HarnessError.unknownName("suite", "vgg-16", let known) = error else { return false }
      return known.first == "vgg16" && known.count == BenchmarkSuite.builtIn.count
    }
  }

  @Test(arguments: [
    ("mb1ic3ih224oc64oh224kh3ph1n\"vgg:1_1\"", "conv2d:n1c3h224w224k64r3s3p1", "vgg:1_1", 1),
    ("ic64ih56oc64oh56kh3ph1n\"res2*3\"", "conv2d:n2c64h56w56k64r3s3p1", "res2", 3),
    ("g2mb4ic8iw20oc6kw3pw1", "conv1d:n4c8w20k6s3p1g2", "", 1),
    // The far padding follows from the output and is smaller than the near one.
    ("ic3ih224oc64oh112kh7sh2ph3nres", "conv2d:n2c3h224w224k64r7s7u2p3,2,3,2", "res", 1),
    ("ic3ih224oc64oh55kh11sh4ph2nalex", "conv2d:n2c3h224w224k64r11s11u4p2,1,2,1", "alex", 1),
    // No padding given: it is deduced.
    ("ic4ih10oc4oh10kh5nsame", "conv2d:n2c4h10w10k4r5s5p2", "same", 1),
    // Dilation 1 leaves one gap.
    ("ic4ih10oc4oh10kh3ph2dh1ndilated", "conv2d:n2c4h10w10k4r3s3p2l2", "dilated", 1),
    ("mb1_ic2_id4ih5iw6_oc3_kd1kh2kw3", "conv3d:n1c2d4h5w6k3t1r2s3", "", 1),
    // What is written but says the default makes no axis: this is square, and that is not 3-D.
    ("mb1ic2ih6oc2kh3sw1pw0", "conv2d:n1c2h6w6k2r3s3", "", 1),
    ("mb1ic2ih6iw5oc2kh3kw2sd1pd0dd0", "conv2d:n1c2h6w5k2r3s2", "", 1),
    ("mb1ic2id6oc2kd3pd1ncubic*2", "conv3d:n1c2d6h6w6k2t3r3s3p1", "cubic", 2),
    // An output of 0 is one that is not given.
    ("mb1ic2ih6oc2oh0kh3ph1", "conv2d:n1c2h6w6k2r3s3p1", "", 1),
    ("mb1ic2ih6oc2kh3n\"*6\"", "conv2d:n1c2h6w6k2r3s3", "", 6),
    // A negative far padding that changes nothing is clipped.
    ("mb1ic1ih8oc1oh3kh3sh2ph0nclip", "conv2d:n1c1h8w8k1r3s3u2", "clip", 1),
    ("conv2d:n1c2h5w5k3r3s3 \"my layer*2\"", "conv2d:n1c2h5w5k3r3s3", "my layer", 2),
  ])
  func linesAreRead(line: String, canonical: String, name: String, multiplicity: Int) throws {
    let problem = try ProblemFile.parse(line)
    #expect(problem.problem.description == canonical)
    #expect(problem.name == name)
    #expect(problem.multiplicity == multiplicity)
  }

  @Test(arguments: [
    ("ic3ih5", 1, "'oc' is missing"), ("ic3ih5oc4", 1, "'kh' is missing"),
    ("ic3ih5oc4khx", 12, "a number is needed"), ("ic3ic4", 4, "given twice"),
    ("ic3ih5oc4oh2kh3ph1", 10, "does not follow"), ("zz3", 1, "unexpected"),
    ("  ic3ih5oc4kh9", 3, "the output would be empty"), ("ic3id5ih5oc4kd1kh1", 1, "both height and width"),
    ("ic3ih5oc4kh3n\"größe\" ic3ih5oc4kh9", 22, "the output would be empty"),
    ("conv2d:n1c2h5", 14, "'k' is missing"), ("ic3ih5oc4kh99999999999999999999", 12, "too large"),
    ("ic3ih5oc4kh3g2", 1, "do not divide"), ("ic3ih5iw4oc4kh3", 1, "'kw' is missing"),
    ("ic3ih5oc4kh3sh0", 1, "stride"),
  ])
  func malformedLinesNameTheirPlace(line: String, column: Int, reason: String) {
    #expect {
      try ProblemFile.suites(from: "# a comment\n\n" + line + "\n", file: "shapes.txt")
    } throws: { error in
      guard case HarnessError.malformedLine("shapes.txt", 3, let found, _, let text) = error else {
        Issue.record("\(line): \(error)")
        return false
      }
      if found != column || !text.contains(reason) { Issue.record("\(line): column \(found): \(text)") }
      return true
    }
  }

  @Test func randomBytesNeverCrash() {
    let seed: UInt64 = 20_240_607
    var random = PhiloxGenerator(seed: seed)
    let alphabet = Array("mbgicohkwsdpn0123456789_\"*:,x convl-#\\=\n")
    let words = [
      "ic3", "ih9", "oc4", "kh3", "conv2d:", "--mb=", "--dir=FWD_D", "--stag=axb,any", "--match=", "--reset ",
    ]
    for _ in 0..<20_000 {
      var text = ""
      for _ in 0..<Int.random(in: 0..<16, using: &random) {
        if random.nextWord() % 2 == 0 {
          text += words.randomElement(using: &random)!
        } else {
          text.append(alphabet.randomElement(using: &random)!)
        }
      }
      for problem in (try? ProblemFile.suites(from: text, file: "f"))?.flatMap(\.problems) ?? [] {
        #expect(problem.problem.output.count > 0, "seed \(seed): \(text)")
      }
    }
  }

  @Test func filesWithoutProblemsAreErrors() throws {
    try withTemporaryFolder { folder in
      let empty = folder + "/empty.txt"
      try AtomicFile.write("# nothing\n\n", to: empty)
      #expect(throws: FileError.self) { try BenchmarkSuite.named(empty) }
      #expect(throws: FileError.self) { try BenchmarkSuite.named(folder) }
      #expect(throws: FileError.self) { try BenchmarkSuite.named(folder + "/missing") }
      let good = folder + "/good.txt"
      try AtomicFile.write("mb1ic1ih4oc1kh3 # comment\r\nconv1d:c1w5k1s2\n", to: good)
      #expect(
        try BenchmarkSuite.named(good).problems.map(\.problem.description) == [
          "conv2d:n1c1h4w4k1r3s3", "conv1d:n1c1w5k1s2",
        ])
    }
  }
}

extension BenchmarkSuite {
  /// GFLOP of all layers with their multiplicity.
  fileprivate var giga: Double {
    problems.reduce(0) { $0 + $1.problem.directFLOPs * Double($1.multiplicity) } * 1e-9
  }
}
