import ConvCore
import ConvTestSupport
import Testing

@testable import ConvWinograd

@Suite struct WinogradTests {
  private static let formats: [(MemoryFormat, MemoryFormat)] = [
    (.nchw, .nchw), (.nhwc, .nhwc), (.nhwc, .nchw), (.nchw, .nhwc),
  ]

  private func randomProblem(_ random: inout PhiloxGenerator) throws -> ConvProblem? {
    func pick(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &random) }
    let (r, s) = (pick(1...5), pick(1...5))
    let channels = [1, 2, 3, 5, 7, 13, 16, 17, 31, 33, 67]
    return try? ConvProblem(
      spatialRank: 2, n: pick(1...3), c: channels[pick(0...10)], k: channels[pick(0...10)],
      input: Extent(h: pick(1...19), w: pick(1...19)), filter: Extent(h: r, w: s),
      padding: Padding(top: pick(0...r + 2), bottom: pick(0...r), left: pick(0...s), right: pick(0...s + 3)))
  }

  private func check<T: ConvScalar>(
    _: T.Type, seed: UInt64, count: Int, tolerance: (WinogradVariant) -> Double
  ) throws {
    var random = PhiloxGenerator(seed: seed)
    var done = 0
    while done < count {
      guard let problem = try randomProblem(&random) else { continue }
      done += 1
      let trial = RawTrial<T>(problem, seed: seed &+ UInt64(done))
      let (image, filterFormat) = Self.formats[Int.random(in: 0...3, using: &random)]
      let other = Self.formats[Int.random(in: 0...3, using: &random)].0
      let tile: String? = [nil, nil, "tile=2x2", "tile=1x3", "tile=4x2"][
        Int.random(in: 0...4, using: &random)]
      for pass in ConvPass.allCases {
        let operation = ConvOperation(
          pass, problem, elementType: T.elementType, inputFormat: image, outputFormat: other,
          filterFormat: filterFormat)
        let options = PlanOptions(threads: 2, variant: tile)
        let variant = try WinogradVariant.choose(operation, options)
        let error = relativeError(try trial.run(operation, options), trial.expected(pass))
        #expect(
          error < tolerance(variant),
          "\(operation) \(variant.text) seed \(seed) case \(done): error \(error) of \(tolerance(variant))")
      }
    }
  }

  @Test("random problems, all passes, formats and tiles, float64")
  func randomFloat64() throws {
    try check(Double.self, seed: 11, count: 60) { _ in 1e-12 }
  }

  @Test("random problems, all passes, formats and tiles, float32")
  func randomFloat32() throws {
    try check(Float.self, seed: 12, count: 60) { $0.vertical.tile + $0.horizontal.tile > 12 ? 3e-4 : 6e-5 }
  }

  @Test("other tiles and points, float64: no constant is wrong")
  func variants() throws {
    let problem3 = try ConvProblem.conv2d(n: 2, c: 5, h: 14, w: 13, k: 6, r: 3, s: 3, padding: 1)
    let problem5 = try ConvProblem.conv2d(n: 1, c: 5, h: 14, w: 13, k: 6, r: 5, s: 5, padding: 2)
    let cases = [
      (problem3, "tile=2x2"), (problem3, "tile=4x4"), (problem3, "tile=6x6"), (problem3, "tile=3x5"),
      (problem3, "tile=1x1"), (problem3, "tile=4x4,points=1:2"),
      (problem3, "winograd[tile=4x2,points=2/3:3/2x1]"),
      (problem5, "tile=2x2"), (problem5, "tile=4x4"), (problem5, "tile=3x1"),
    ]
    for (problem, text) in cases {
      let trial = RawTrial<Double>(problem, seed: 21)
      for pass in ConvPass.allCases {
        let operation = ConvOperation(pass, problem, elementType: .float64)
        let error = relativeError(
          try trial.run(operation, PlanOptions(threads: 2, variant: text)), trial.expected(pass))
        #expect(error < 1e-12, "\(operation) \(text) seed 21: error \(error)")
      }
    }
  }

  @Test("F(2×2, 3×3) is exact on small integers, in all passes")
  func integerLane() throws {
    for text in ["n2c19h9w11k35r3s3p1", "n1c64h7w7k16r3s3p2,1,0,3", "n3c4h16w5k70r3s3"] {
      let problem = try ConvProblem(parsing: "conv2d:" + text)
      let trial = RawTrial<Float>(problem, seed: 31, integers: true)
      for pass in ConvPass.allCases {
        for format in MemoryFormat.allCases {
          let operation = ConvOperation(pass, problem, inputFormat: format, outputFormat: format)
          let found = try trial.run(operation, PlanOptions(threads: 2, variant: "tile=2x2"))
          #expect(found.map(Double.init) == trial.expected(pass), "\(operation) seed 31")
        }
      }
    }
  }

  @Test("float32 error of the default tile stays where the points promise it", arguments: [64, 256, 512])
  func errorFigures(channels: Int) throws {
    let problem = try ConvProblem.conv2d(n: 1, c: channels, h: 10, w: 10, k: 6, r: 3, s: 3, padding: 1)
    let trial = RawTrial<Float>(problem, seed: 41)
    let expected = trial.expected(.forward)
    let largest = expected.map(abs).max() ?? 0
    let rms = (expected.reduce(0) { $0 + $1 * $1 } / Double(expected.count)).squareRoot()
    for (text, limit) in [("tile=2x2", 1.5e-6), ("tile=4x4", 4e-6), ("tile=6x6", 3e-5)] {
      let operation = ConvOperation(.forward, problem)
      let options = PlanOptions(threads: 2, variant: text)
      let error = relativeError(try trial.run(operation, options), expected)
      let ofLargest = error * rms / largest
      #expect(ofLargest < limit, "C = \(channels) \(text) seed 41: \(ofLargest) of max |y|, at most \(limit)")
      // The estimate by which maxError chooses tiles is of the right size.
      let estimate = try WinogradVariant.choose(operation, options)
        .errorEstimate(.forward, depth: channels, .float32)
      #expect(
        error < 2 * estimate && error > estimate / 20,
        "C = \(channels) \(text) seed 41: error \(error), estimated \(estimate)")
    }
  }

  @Test("results are bit-equal on 1, 2 and 3 threads, prepared and fresh")
  func threadCounts() throws {
    // Private blocks (many tiles), a shared block, 5×5, fused filter transforms (few tiles, many channels).
    for text in [
      "n2c16h61w45k24r3s3p1", "n1c130h9w9k150r3s3p1", "n4c33h20w31k65r5s5p2", "n1c400h6w9k260r3s3p1",
    ] {
      let problem = try ConvProblem(parsing: "conv2d:" + text)
      let trial = RawTrial<Float>(problem, seed: 51)
      for pass in ConvPass.allCases {
        for format in MemoryFormat.allCases {
          let operation = ConvOperation(pass, problem, inputFormat: format, outputFormat: format)
          let one = try trial.run(operation, PlanOptions(threads: 1), pool: .pool(threads: 1))
          for threads in [2, 3] {
            let more = try trial.run(operation, PlanOptions(threads: threads), pool: .pool(threads: threads))
            #expect(more == one, "\(operation) seed 51: \(threads) threads differ from one")
          }
          if pass != .backwardFilter {
            let prepared = try trial.run(operation, PlanOptions(threads: 2, filterState: .prepared))
            #expect(prepared == one, "\(operation) seed 51: prepared differs from fresh")
            let plan = try WinogradBackend().plan(for: operation, PlanOptions(threads: 2))
            let both = try trial.run(plan, prepared: true)
            #expect(both == one, "\(operation) seed 51: a prepared filter in a plan for fresh ones differs")
          }
        }
      }
    }
  }

  @Test("small workspace limits are kept, or declined with both numbers")
  func workspaceLimits() throws {
    let problem = try ConvProblem(parsing: "conv2d:n2c40h30w30k50r3s3p1")
    let trial = RawTrial<Float>(problem, seed: 61)
    for pass in ConvPass.allCases {
      let expected = trial.expected(pass)
      let operation = ConvOperation(pass, problem)
      for limit in [1 << 20, 300 << 10, 60 << 10] {
        let options = PlanOptions(threads: 2, workspaceLimit: limit)
        let support = WinogradBackend().nativeSupport(for: operation, options)
        if let reason = support.reason {
          #expect(reason.contains("\(limit)"), "\(reason)")
          #expect(limit < 100 << 10, "\(operation) declined at \(limit): \(reason)")
          continue
        }
        let plan = try WinogradBackend().plan(for: operation, options)
        let filters = pass == .backwardFilter ? 0 : plan.preparedBytes
        #expect(plan.workspaceBytes - filters <= limit, "\(operation) limit \(limit): \(plan.workspaceBytes)")
        let error = relativeError(try trial.run(plan), expected)
        #expect(error < 6e-5, "\(operation) limit \(limit) seed 61: error \(error)")
      }
      #expect(!WinogradBackend().nativeSupport(for: operation, PlanOptions(workspaceLimit: 1000)).isSupported)
    }
  }

  @Test("bias, ReLU and accumulation at the end of the output transform")
  func epilogues() throws {
    // In little memory 18 tiles are a block, and 12 a row: a block's pixels are no contiguous run.
    for (text, limit) in [("n2c5h9w10k37r3s3p1", 1 << 30), ("n1c5h61w45k37r3s3p1", 400 << 10)] {
      let options = PlanOptions(threads: 2, workspaceLimit: limit)
      let problem = try ConvProblem(parsing: "conv2d:" + text)
      let trial = RawTrial<Double>(problem, seed: 71)
      let philox = Philox(seed: 71, stream: 9)
      let bias = (0..<37).map { philox.normal(at: UInt64($0)) }
      func start(_ pass: ConvPass) -> [Double] {
        (0..<problem.resultShape(pass).reduce(1, *)).map { philox.normal(at: UInt64(100 + $0)) }
      }
      let plain = trial.expected(.forward)
      let area = problem.output.count
      for format in MemoryFormat.allCases {
        for (hasBias, hasRelu, adds) in [
          (true, false, false), (true, true, false), (false, true, true), (true, true, true),
        ] {
          let operation = ConvOperation(
            .forward, problem, elementType: .float64, inputFormat: format, outputFormat: format,
            epilogue: Epilogue(bias: hasBias, relu: hasRelu, accumulate: adds))
          let start = adds ? start(.forward) : nil
          let expected = plain.indices.map { i in
            let value = plain[i] + (hasBias ? bias[i / area % 37] : 0) + (start?[i] ?? 0)
            return hasRelu ? max(0, value) : value
          }
          let found = try trial.run(
            operation, options, bias: hasBias ? bias : nil, accumulator: start)
          let error = relativeError(found, expected)
          #expect(error < 1e-12, "\(operation) seed 71: error \(error)")
        }
        let gradient = ConvOperation(
          .backwardData, problem, elementType: .float64, inputFormat: format, outputFormat: format,
          epilogue: Epilogue(accumulate: true))
        let dx0 = start(.backwardData)
        let expected = zip(trial.expected(.backwardData), dx0).map { $0 + $1 }
        let found = try trial.run(gradient, options, accumulator: dx0)
        #expect(relativeError(found, expected) < 1e-12, "\(gradient) seed 71")
      }
    }
  }

  @Test("a NaN or an infinity never turns finite where it must reach")
  func nonFinite() throws {
    let problem = try ConvProblem(parsing: "conv2d:n1c3h9w9k4r3s3p1")
    var trial = RawTrial<Float>(problem, seed: 81)
    trial.x[4 * 9 + 4] = .infinity
    for format in MemoryFormat.allCases {
      let y = try trial.run(ConvOperation(.forward, problem, inputFormat: format, outputFormat: format))
      for k in 0..<4 {
        for p in 3...5 {
          for q in 3...5 { #expect(!y[(k * 9 + p) * 9 + q].isFinite, "k \(k) p \(p) q \(q)") }
        }
      }
    }
  }
}
