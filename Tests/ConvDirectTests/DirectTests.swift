import ConvCore
import ConvDirect
import ConvTestSupport
import Testing

/// Results on small integers, where every order of summation gives the same bits.
@Suite struct DirectTests {
  private func check<T: ConvScalar>(_: T.Type, _ text: String, seed: UInt64) throws {
    let problem = try ConvProblem(parsing: "conv2d:" + text)
    let example = RawTrial<T>(problem, seed: seed, integers: true)
    for pass in ConvPass.allCases {
      let expected = example.expected(pass)
      for format in MemoryFormat.allCases {
        let operation = operation(pass, problem, format, T.elementType)
        // Depthwise filters with several outputs per channel are NCHW's.
        let isOwn = problem.groups == 1 || problem.kPerGroup == 1 || problem.cPerGroup > 1 || format == .nchw
        let plan =
          isOwn
          ? try nativePlan(operation) : try DirectBackend().plan(for: operation, PlanOptions(threads: 2))
        let wrong = difference(try example.run(plan), expected)
        #expect(wrong == nil, "\(operation), seed \(seed): \(wrong ?? "")")
      }
    }
  }

  static let depthwise = [
    "n2c33h15w14k33r3s3p1g33", "n1c40h13w16k40r3s3p1u2x2g40", "n3c24h7w7k24r3s3p1g24",
    "n1c20h9w40k20r5s3p2,2,1,1u2x1g20", "n1c7h11w70k7r3s3p1u2x2g7", "n2c9h12w9k9r3s3p2l2x2g9",
    "n1c5h8w9k5r2s4u3x3p1g5", "n2c6h10w11k12r3s3p1u2x2g6", "n1c19h6w5k19r7s7p3g19",
    "n1c4h10w12k4r3s3p2u2x3l3x2g4",
    "n1c8h5w6k8r1s1u2x2g8",
  ]
  static let strided = [
    "n2c20h17w13k24r3s3p1u2x2", "n1c35h23w22k19r7s7p3u2x2", "n2c17h14w15k33r1s1u2x2",
    "n1c18h16w16k18r3s3u3x2p0,1,2,0",
    "n1c33h19w9k16r2s5u4x3p1", "n1c24h12w11k20r3s3p2l2x2u2x2", "n1c17h13w12k21r3s3l3x2u2x3p3",
    "n1c40h30w1k24r3s1u2x1p1,1,0,0",
  ]
  static let fewChannels = [
    "n2c3h40w38k64r7s7p3u2x2", "n2c3h19w21k40r3s3p1", "n1c3h47w47k24r11s11u4x4p2", "n2c1h13w14k10r5s5p2",
    "n2c16h12w13k3r3s3p1", "n2c12h11w10k1r3s3p1u2x2", "n1c20h9w9k5r1s1",
  ]
  static let pointwise = [
    "n2c17h9w11k70r1s1", "n1c130h7w7k33r1s1", "n1c20h5w6k18r1s1p1,0,0,2", "n1c9h1w1k5r1s1",
    // Backward filter: several parts of a window, with strips and without; several blocks of channels.
    "n2c291h6w5k50r1s1", "n1c200h5w7k10r1s1", "n1c100h10w9k270r1s1u2x2",
  ]
  static let grouped = [
    "n2c24h9w10k16r3s3p1g4", "n1c8h12w11k48r3s3p1u2x2g8", "n2c6h9w9k15r3s3p1l2x2g3", "n1c36h8w7k36r1s1g2",
  ]

  @Test("depthwise", arguments: depthwise)
  func depthwiseProblems(_ text: String) throws {
    try check(Float.self, text, seed: 1)
    try check(Double.self, text, seed: 2)
  }

  @Test("strides", arguments: strided)
  func stridedProblems(_ text: String) throws {
    try check(Float.self, text, seed: 3)
    try check(Double.self, text, seed: 4)
  }

  @Test("few input or output channels", arguments: fewChannels)
  func fewChannelProblems(_ text: String) throws {
    try check(Float.self, text, seed: 5)
    try check(Double.self, text, seed: 6)
  }

  @Test("1×1 and groups", arguments: pointwise + grouped)
  func pointwiseAndGrouped(_ text: String) throws {
    try check(Float.self, text, seed: 7)
    try check(Double.self, text, seed: 8)
  }

  @Test("input, output and filter in different formats")
  func mixedFormats() throws {
    for text in ["n2c5h9w8k18r3s3p1u2x2", "n1c3h10w12k40r5s5p2", "n1c20h6w7k3r1s1"] {
      let problem = try ConvProblem(parsing: "conv2d:" + text)
      let example = RawTrial<Float>(problem, seed: 9, integers: true)
      for pass in ConvPass.allCases {
        let expected = example.expected(pass)
        for code in 0..<8 {
          let formats = (0..<3).map { MemoryFormat.allCases[code >> $0 & 1] }
          let operation = ConvOperation(
            pass, problem, inputFormat: formats[0], outputFormat: formats[1], filterFormat: formats[2])
          let wrong = difference(try example.run(nativePlan(operation)), expected)
          #expect(wrong == nil, "\(operation), seed 9: \(wrong ?? "")")
        }
      }
    }
  }

  /// Beside the last windows of a row lie pixels that belong to other taps.
  @Test("a pixel that is no number reaches the sums of its own taps", arguments: MemoryFormat.allCases)
  func strayPixel(_ format: MemoryFormat) throws {
    let problem = try ConvProblem(parsing: "conv2d:n1c3h5w9k3r1s3g3")
    for stray in [Float.infinity, .nan] {
      var example = RawTrial<Float>(problem, seed: 11, integers: true)
      // The last of row 1 of channel 0: windows end there with their last tap.
      example.x[17] = stray
      example.dy = example.dy.map { $0 + 8 }
      let found = try example.run(nativePlan(operation(.backwardFilter, problem, format)))
      #expect(found.indices.filter { !found[$0].isFinite } == [2], "\(format) \(stray): \(found)")
    }
  }

  @Test("bias, ReLU and accumulation")
  func epilogues() throws {
    for text in [
      "n2c18h9w8k75r3s3p1", "n2c3h8w9k3r3s3p1", "n1c11h9w10k11r3s3p1g11", "n1c6h8w8k12r3s3p1u2x2g6",
    ] {
      let problem = try ConvProblem(parsing: "conv2d:" + text)
      let example = RawTrial<Float>(problem, seed: 10, integers: true)
      let bias = (0..<problem.k).map { Float($0 % 11) - 5 }
      for format in MemoryFormat.allCases {
        for relu in [false, true] {
          let operation = operation(
            .forward, problem, format, epilogue: Epilogue(bias: true, relu: relu))
          let expected = example.expected(.forward).enumerated().map { i, value in
            let sum = value + Double(bias[i / problem.output.count % problem.k])
            return relu ? max(0, sum) : sum
          }
          let plan = try DirectBackend().plan(for: operation)
          if problem.kPerGroup != 2 { #expect(plan.executedBy == "direct", "\(operation)") }
          let wrong = difference(try example.run(plan, bias: bias), expected)
          #expect(wrong == nil, "\(operation), seed 10: \(wrong ?? "")")
        }
        for pass in ConvPass.allCases {
          let operation = operation(pass, problem, format, epilogue: Epilogue(accumulate: true))
          let start = (0..<problem.resultShape(pass).reduce(1, *)).map { Float($0 % 5) - 2 }
          let expected = zip(example.expected(pass), start).map { $0 + Double($1) }
          let wrong = difference(
            try example.run(DirectBackend().plan(for: operation), accumulator: start), expected)
          #expect(wrong == nil, "\(operation), seed 10: \(wrong ?? "")")
        }
      }
    }
  }
}
