import ConvCore
import Testing

@Suite struct ConvProblemTests {
  /// Output sizes computed by torch.nn.functional.conv* (2.15) for the same arguments.
  @Test(arguments: [
    ("conv2d:n1c3h224w224k64r7s7u2p3", [1, 64, 112, 112]),
    ("conv2d:n2c4h9w8k6r3s2u2x3p1,0,2,1l2x1g2", [2, 6, 3, 4]),
    ("conv1d:n2c3w17k4s5u3p2l2", [2, 4, 5]),
    ("conv3d:n1c2d5h6w7k3t3r3s3p1u2", [1, 3, 3, 3, 4]),
    ("conv2d:n1c1h1w1k1r1s1p4", [1, 1, 9, 9]),
  ])
  func outputShape(_ text: String, _ shape: [Int]) throws {
    #expect(try ConvProblem(parsing: text).outputShape == shape)
  }

  @Test(arguments: [
    "conv2d:n1c64h56w56k64r3s3p1",
    "conv2d:n8c3h227w227k96r11s11u4",
    "conv2d:n2c4h9w8k6r3s2u2x3p1,0,2,1l2x1g2",
    "conv1d:n2c3w17k4s5u3p2,1l2",
    "conv3d:n1c2d5h6w7k3t3r3s3u1x2x2p0,1,2,0,1,1",
  ])
  func canonicalTextsSurviveTheRoundTrip(_ text: String) throws {
    #expect(try ConvProblem(parsing: text).description == text)
  }

  @Test func theTextIsCanonical() throws {
    let problem = try ConvProblem(parsing: "conv2d:c64k64h56w56r3s3p1,1,1,1u1x1l1g1")
    #expect(problem.description == "conv2d:n1c64h56w56k64r3s3p1")
    #expect(try ConvProblem(parsing: "conv2d:c1k1h9w9r3s3p1x2").padding == Padding(h: 1, w: 2))
  }

  @Test(arguments: [
    ("conv4d:n1", 0, "begins with"),
    ("conv2d:n1c64h56w56k64r3s3p", 26, "number is needed"),
    ("conv2d:n1c64h56w56k64r3s3x1", 25, "unexpected 'x'"),
    ("conv2d:n1c64h56w56k64r3s3p1,2", 25, "has 2 numbers"),
    ("conv2d:n1c64n2h56w56k64r3s3", 12, "given twice"),
    ("conv2d:n1c64h56w56k64r3", 23, "'s' is missing"),
    ("conv2d:n1c99999999999999999999h5w5k1r3s3", 10, "too large"),
    ("conv2d:n1c1h5w5k1r3s3u1,1", 21, "one number per axis"),
    ("conv1d:n1c1h5w5k1s3", 11, "unexpected 'h'"),
    ("", 0, "begins with"),
    ("conv2d:n1c1h5w5k1r3s3π", 21, "unexpected 'π'"),
  ])
  func malformedTextsNameThePlace(_ text: String, _ offset: Int, _ fragment: String) {
    let error = #expect(throws: ConvError.self) { try ConvProblem(parsing: text) }
    guard case .malformedProblem(_, let found, let reason)? = error else {
      Issue.record("\(text): \(String(describing: error))")
      return
    }
    #expect(found == offset, "\(text): \(reason)")
    #expect(reason.contains(fragment), "\(text): \(reason)")
  }

  @Test(arguments: [
    ("conv2d:n1c1h4w4k1r5s5", "padded input has 4"),
    ("conv2d:n0c1h4w4k1r1s1", "batch n is 0"),
    ("conv2d:n1c3h4w4k4r1s1g2", "3 input channels do not divide into 2 groups"),
    ("conv2d:n1c4h4w4k3r1s1g2", "3 output channels do not divide into 2 groups"),
    ("conv2d:n1c1h4w4k1r1s1u0", "stride is 0"),
    ("conv2d:n1000000c1000000h4w4k1r1s1", "at most"),
    ("conv2d:n1c1h9223372036854775807w4k1r1s1", "at most"),
    ("conv2d:n1c1h4w4k1r9223372036854775807s1l9223372036854775807", "at most"),
  ])
  func impossibleProblemsSayWhy(_ text: String, _ fragment: String) {
    let error = #expect(throws: ConvError.self) { try ConvProblem(parsing: text) }
    #expect("\(error!)".contains(fragment), "\(text): \(error!)")
  }

  /// One beyond each limit of the rule; `ExtremeProblems.corners` stand at them.
  @Test(arguments: [
    ("conv2d:c1h1w1k1r1s1u3037000500", "height: stride is 3037000500, at most 1048576 is possible"),
    ("conv2d:c1h1w1k1r1s1u1x1048577", "width: stride is 1048577, at most 1048576"),
    ("conv2d:c1h1w1k1r1s1l1048577", "height: dilation is 1048577, at most 1048576"),
    ("conv2d:c1h1w1k1r1s1u9223372036854775807", "at most 1048576"),
    ("conv2d:c1h1w1k1r1s1p9223372036854775807", "padding before is 9223372036854775807, at most 2147483647"),
    ("conv1d:c1w1k1s1p0,1099511627776", "padding after is 1099511627776, at most 2147483647"),
    ("conv1d:c1w1k1s1p1073741824", "padded input (1 + 1073741824 + 1073741824) is 2147483649, at most"),
    ("conv1d:c1w2147483648k1s1", "width: input is 2147483648, at most 2147483647"),
    ("conv1d:c1w1k1s2147483648", "width: filter is 2147483648, at most 2147483647"),
    ("conv1d:n2147483648c1w1k1s1", "batch n is 2147483648, at most 2147483647"),
    ("conv1d:c2147483648w1k1s1", "input channels c is 2147483648, at most"),
    ("conv1d:c1w1k2147483648s1", "output channels k is 2147483648, at most"),
    ("conv1d:c1w1k1s1g1099511627776", "groups is 1099511627776, at most"),
    (
      "conv2d:n1048576c1048577h1w1k1r1s1",
      "elements of the input: 1048576×1048577×1×1×1, at most 1099511627776"
    ),
    ("conv2d:c1048577h1w1k1048576r1s1", "elements of the filter: 1048576×1048577×1×1×1, at most"),
    ("conv2d:c1h1w1k1r1s1p524288", "elements of the output: 1×1×1×1048577×1048577, at most"),
    (
      "conv2d:n1024c1023h1024w1024k1024r1s2",
      "products of a pass: 1024×1024×1023×1×1×2×1×1024×1023, at most 1125899906842624"
    ),
    (
      "conv2d:c1h1w1k1r1s1p16777216u1048576",
      "padded planes together: 1×1×1×1×33554433×33554433, at most 1125899906842624"
    ),
    ("conv3d:c1d1h1w1k1t1r1s1p52100u1048576", "padded planes together: 1×1×1×104201×104201×104201, at most"),
  ])
  func theRuleRefusesTheRest(_ text: String, _ fragment: String) throws {
    let error = #expect(throws: ConvError.self) { try ConvProblem(parsing: text) }
    guard case .invalidProblem(let reason)? = error else {
      Issue.record("\(text): \(String(describing: error))")
      return
    }
    #expect(reason.contains(fragment), "\(text): \(reason)")
  }

  /// What real problems need is far from the limits.
  @Test(arguments: [
    "conv2d:n4096c25088h1w1k4096r1s1", "conv2d:n64c4096h1024w1024k1024r1s1", "conv1d:n1c1w16777216k1s1048576",
    "conv2d:n1024c512h56w56k512r3s3p1", "conv3d:n64c512d64h64w64k512t3r3s3p1",
    "conv2d:n8c3h14336w14336k768r14s14u14",
  ])
  func whatIsRunIsNotRefused(_ text: String) throws {
    #expect(try ConvProblem(parsing: text).output.count > 0)
  }

  @Test func randomTextsNeverCrash() {
    let letters = Array("conv123d:ncdhwktrspulg0123456789,x.-")
    for seed in 0..<20_000 as Range<UInt64> {
      var generator = PhiloxGenerator(seed: seed)
      var text = Array("conv\(Int.random(in: 1...3, using: &generator))d:n1c2h5w5k2r3s3")
      for _ in 0..<Int.random(in: 0...6, using: &generator) {
        text.insert(
          letters.randomElement(using: &generator)!, at: Int.random(in: 0...text.count, using: &generator))
      }
      if let problem = try? ConvProblem(parsing: String(text)) {
        #expect(
          (try? ConvProblem(parsing: problem.description)) == problem, "seed \(seed): \(String(text))")
      }
    }
  }

  @Test func flopsAndDepths() throws {
    let problem = try ConvProblem(parsing: "conv2d:n2c4h6w6k8r3s3p1g2")
    #expect(problem.directFLOPs == 2 * 2 * 8 * 36 * 2 * 9)
    #expect(problem.summationDepth(.forward) == 2 * 9)
    #expect(problem.summationDepth(.backwardData) == 4 * 9)
    #expect(problem.summationDepth(.backwardFilter) == 2 * 36)
  }
}
