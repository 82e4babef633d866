import ConvBackends
import ConvCore
import ConvHarness
import ConvTestSupport
import Testing

/// What holds for every engine on random problems, without any reference.
@Suite struct LawTests {
  static let names = BackendRegistry.names

  /// Checks a law on random problems within what the engine must support.
  ///
  /// - Returns: how many problems the engine declined.
  @discardableResult
  private func check(
    _ law: Law, _ name: String, _ pass: ConvPass, seeds: Range<UInt64>, largestFLOPs: Double = 4e6,
    types: [ElementType]? = nil
  ) throws -> Int {
    let named = try BackendRegistry.named(name)
    let competitor = Competitor(named.backend, variant: named.variant)
    let entry = MinimumSupport.table.first { $0.backend == named.backend.name }
    let problems = RandomProblems(
      taps: entry?.taps, strides: entry?.strides ?? true, largestFLOPs: largestFLOPs)
    var declined = 0
    for seed in seeds {
      for type in types ?? elementTypes(of: competitor.backend) {
        let outcome = LawRun().outcome(
          law, competitor, pass, problems.problem(seed: seed), taps: problems.taps, elementType: type,
          seed: seed)
        if case .skipped = outcome.result { declined += 1 }
        #expect(!outcome.isFailure, "\(outcome): \(outcome.result)")
      }
    }
    return declined
  }

  @Test(arguments: names, ConvPass.allCases)
  func integersAreExact(_ name: String, _ pass: ConvPass) throws {
    #expect(try check(.integers, name, pass, seeds: 0..<UInt64(24 * breadth)) == 0)
  }

  /// Linearity, shift, groups, dilation and stride: both sides by the same engine, within the sum of their bounds.
  @Test(
    arguments: names, [Law.linearity, .shift, .groups, .dilation, .stride])
  func lawsHold(_ name: String, _ law: Law) throws {
    let limited = MinimumSupport.table.first { $0.backend == name }?.strides == false
    for pass in ConvPass.allCases {
      let count = UInt64(4 * breadth)
      let declined = try check(
        law, name, pass, seeds: 600..<600 + count, largestFLOPs: 3e5, types: [.float32])
      // Strides, and filters that become too large, are beyond an engine with a limited filter.
      if !limited { #expect(declined == 0, "\(name) \(law) \(pass)") }
      if law != .stride { #expect(declined < Int(count), "\(name) \(law) \(pass)") }
    }
  }

  /// F(2×2, 3×3) has dyadic matrices: bit-equal to the oracle, not only near it.
  @Test(arguments: [ConvPass.forward, .backwardData, .backwardFilter])
  func dyadicWinogradIsExact(_ pass: ConvPass) throws {
    let backend = try BackendRegistry.named("winograd").backend
    let options = PlanOptions(variant: "tile=2x2")
    for seed in 0..<UInt64(12 * breadth) {
      let problem = RandomProblems(taps: [3], strides: false).problem(seed: seed)
      let operation = ConvOperation(pass, problem)
      let plan = try backend.plan(for: operation, options)
      #expect(IntegerLane.demand(of: plan.errorModel) == .exact, "\(plan.variant)")
      let result = IntegerLane.check(backend, operation, options, seed: seed)
      #expect(result.verdict == .passed, "\(operation), seed \(seed): \(result.reason)")
    }
  }

  @Test(arguments: names)
  func passesAreAdjoint(_ name: String) throws {
    #expect(
      try check(.adjoint, name, .forward, seeds: 100..<UInt64(100 + 16 * breadth), types: [.float32]) == 0)
  }

  /// The same on impulses at tile borders and tails, where a single lost element is seen.
  @Test(arguments: names)
  func noElementIsLost(_ name: String) throws {
    let backend = try BackendRegistry.named(name).backend
    for seed in 500..<UInt64(500 + 12 * breadth) {
      let problem = randomProblem(for: backend, seed: seed)
      for type in elementTypes(of: backend) {
        let probes = try ImpulseProbe.all(backend, problem, elementType: type)
        for probe in probes { #expect(probe.holds, "\(name) \(problem) \(type), seed \(seed): \(probe)") }
        let terms = probes.reduce(0) { $0 + $1.expected }
        #expect(terms >= 1, "\(name) \(problem), seed \(seed): no impulse reaches another")
      }
    }
  }

  /// Real-valued data against the oracle, within the derived bounds; formats and epilogues vary too.
  @Test(arguments: names, ConvPass.allCases)
  func staysWithinItsBounds(_ name: String, _ pass: ConvPass) throws {
    let backend = try BackendRegistry.named(name).backend
    var judged = 0
    for seed in 200..<UInt64(200 + 16 * breadth) {
      let problem = randomProblem(for: backend, seed: seed)
      var generator = PhiloxGenerator(seed: seed)
      let operation = ConvOperation(
        pass, problem, inputFormat: MemoryFormat.allCases.randomElement(using: &generator)!,
        outputFormat: MemoryFormat.allCases.randomElement(using: &generator)!,
        filterFormat: MemoryFormat.allCases.randomElement(using: &generator)!,
        epilogue: Epilogue(accumulate: Bool.random(using: &generator)))
      let data = try ProblemData(problem: problem, distribution: .normal, seed: seed)
      let expectation = Expectation(
        grid: .stratified(problem, pass, seed: seed), data: data, pool: .shared)
      let result = Verifier().verify(backend, operation, PlanOptions(), data: data, expectation: expectation)
      if expectation.magnitudes.contains(where: { $0 > 0 }) {
        judged += 1
        #expect(result.verdict == .passed, "\(name) \(operation), seed \(seed): \(result.reason)")
      } else {
        // Every output reads padding only: nothing is left to be wrong by.
        #expect(result.errorMax == 0, "\(name) \(operation), seed \(seed): \(result.errorMax)")
      }
      #expect(result.errorRatio <= 1, "\(name) \(operation), seed \(seed): ratio \(result.errorRatio)")
    }
    #expect(judged >= 12 * breadth, "\(name): \(judged) problems have a term")
  }

  /// The same for every distribution of data: bounds follow the data.
  @Test(arguments: names, DataDistribution.allCases)
  func staysWithinItsBounds(_ name: String, on distribution: DataDistribution) throws {
    let backend = try BackendRegistry.named(name).backend
    for text in ["conv2d:n2c16h15w17k12r3s3p1", "conv2d:n1c6h19w18k8r5s5p2"] {
      let problem = try ConvProblem(parsing: text)
      let data = try ProblemData(problem: problem, distribution: distribution, seed: 8)
      for pass in ConvPass.allCases {
        let expectation = Expectation(grid: .stratified(problem, pass, seed: 8), data: data)
        let result = Verifier().verify(
          backend, ConvOperation(pass, problem), PlanOptions(), data: data, expectation: expectation)
        // Small integers have no more than 11 bits; correlated data have wide bounds.
        #expect(
          result.verdict == .passed
            || result.verdict == .mistrusted && (distribution == .smallIntegers || result.isCorrelated),
          "\(name) \(pass) \(text) \(distribution): \(result.reason)")
        #expect(result.norms?.relativeToTerms.isFinite == true && result.norms?.relativeL2 ?? 1 < 1e-4)
      }
    }
  }

  /// Sums over all results, in every width, find nothing in an engine that is right.
  @Test(arguments: names, ConvPass.allCases)
  func sumsOverChannelsAgree(_ name: String, _ pass: ConvPass) throws {
    let backend = try BackendRegistry.named(name).backend
    var largest = 0.0
    for seed in 400..<UInt64(400 + 10 * breadth) {
      let problem = randomProblem(for: backend, seed: seed)
      let data = try ProblemData(problem: problem, distribution: .normal, seed: seed)
      var expectation = Expectation(grid: .stratified(problem, pass, seed: seed), data: data)
      guard expectation.magnitudes.contains(where: { $0 > 0 }) else { continue }
      for width in [1, 2, 5, 64] {
        expectation.projected = try ProjectedSums(
          Projection(problem, pass, width: width, seed: seed), data: data)
        let result = Verifier().verify(
          backend, ConvOperation(pass, problem), PlanOptions(), data: data, expectation: expectation)
        #expect(
          result.projectionRatio <= 1,
          "\(name) \(pass) \(problem), width \(width), seed \(seed): \(result.reason)")
        largest = max(largest, result.projectionRatio)
      }
    }
    #expect(largest > 1e-4 && largest <= 1, "\(name) \(pass): \(largest)")
  }

  /// The same where the width is chosen by cost.
  @Test(arguments: names, ConvPass.allCases)
  func largeProblemsAreVerifiedWhole(_ name: String, _ pass: ConvPass) throws {
    let backend = try BackendRegistry.named(name).backend
    for (text, distribution) in [
      ("conv2d:n2c48h28w28k64r3s3p1", DataDistribution.uniform), ("conv2d:n2c32h28w28k64r3s3p1", .sparse),
      ("conv2d:n2c16h31w30k48r5s5p2", .offset),
    ] {
      let problem = try ConvProblem(parsing: text)
      let data = try ProblemData(problem: problem, distribution: distribution, seed: 5)
      var expectation = try Expectation(of: pass, data: data, seed: 5)
      expectation.projected = try ProjectedSums(Projection(problem, pass, width: 64, seed: 5), data: data)
      let result = Verifier().verify(
        backend, ConvOperation(pass, problem), PlanOptions(), data: data, expectation: expectation)
      if result.verdict == .unsupported {
        #expect(
          !MinimumSupport.requires(name, ConvOperation(pass, problem)), "\(name) \(text): \(result.reason)")
        continue
      }
      #expect(result.verdict == .passed && result.projectionRatio <= 1, "\(name) \(text): \(result.reason)")
      #expect(
        result.coverage?.channel == 0, "\(name) \(pass) \(text) \(distribution): \(result.coverage as Any)")
    }
  }

  /// An engine that brings a forward pass and nothing else: what the core derives is judged by the bounds of that pass, for filter
  /// gradients with dw cut into tiles.
  @Test(arguments: ConvPass.allCases, ["tile=2x2", "tile=4x4"])
  func derivedPassesHaveBounds(_ pass: ConvPass, _ variant: String) throws {
    let winograd = try BackendRegistry.named("winograd").backend
    let backend = FakeBackend("winograd", winograd, formats: winograd.nativeFormats, passes: [.forward])
    for text in ["conv2d:n3c4h5w5k6r3s3", "conv2d:n9c3h9w9k4r5s5p0", "conv2d:n4c2h5w5k3r5s5p2"] {
      let problem = try ConvProblem(parsing: text)
      if variant == "tile=4x4" && problem.filter.h == 5 { continue }
      let data = try ProblemData(problem: problem, distribution: .normal, seed: 6)
      let operation = ConvOperation(pass, problem)
      let expectation = Expectation(grid: .all(problem, pass), data: data)
      let result = Verifier().verify(
        backend, operation, PlanOptions(variant: variant), data: data, expectation: expectation)
      #expect(result.verdict == .passed, "\(operation) \(variant): \(result.reason)")
    }
  }

  /// Threads only claim chunks: results have the same bits for every number of threads.
  /// (Engines with threads of their own do not promise it, and are labelled.)
  @Test(arguments: BackendRegistry.all.filter { $0.threading == .workerPool }.map(\.name), ConvPass.allCases)
  func threadsDoNotChangeBits(_ name: String, _ pass: ConvPass) throws {
    let backend = try BackendRegistry.named(name).backend
    let problems = (300..<UInt64(300 + 12 * breadth)).map { randomProblem(for: backend, seed: $0) }
    for threads in [2, 3] {
      let row = try InvarianceCheck(seed: 300, workspaceLimit: 1 << 22).row(
        Competitor(backend), pass, problems, threads: (1, threads), of: [.runs, .threads])
      #expect(
        row.promises && row.broken.isEmpty, "\(name) \(pass.rawValue), \(threads) threads: \(row.cells)")
      #expect(row.cells[.threads]?.cell == .bitEqual && row.cells[.runs]?.cell == .bitEqual)
    }
  }

  /// Variants are functions of the operation, on one processor and on hundreds: what many threads' buffers need beyond the limit
  /// changes neither tiles nor support.
  @Test(arguments: BackendRegistry.all.filter { $0.threading == .workerPool }.map(\.name), ConvPass.allCases)
  func threadsDoNotChoose(_ name: String, _ pass: ConvPass) throws {
    let backend = try BackendRegistry.named(name).backend
    var problems = (700..<UInt64(700 + 12 * breadth)).map { randomProblem(for: backend, seed: $0) }
    problems += try ["conv2d:n8c64h56w56k64r3s3p1", "conv2d:n2c32h60w60k32r31s31p15"].map(
      ConvProblem.init(parsing:))
    for problem in problems {
      for type in elementTypes(of: backend) {
        let operation = ConvOperation(pass, problem, elementType: type)
        if let reason = backend.support(for: operation, PlanOptions(threads: 1)).reason {
          #expect(!MinimumSupport.requires(name, operation), "\(operation): \(reason)")
          continue
        }
        let variants = try [1, 2, 3, 64, 1024].map {
          try backend.plan(for: operation, PlanOptions(threads: $0)).variant
        }
        #expect(Set(variants).count == 1, "\(name) \(operation): \(variants)")
      }
    }
  }

  /// Prepared filters give the bits of fresh ones.
  @Test(arguments: names, [ConvPass.forward, .backwardData])
  func preparedFiltersChangeNothing(_ name: String, _ pass: ConvPass) throws {
    let backend = try BackendRegistry.named(name).backend
    for seed in 400..<UInt64(400 + 8 * breadth) {
      let problem = randomProblem(for: backend, seed: seed)
      let data = try ProblemData(problem: problem, distribution: .normal, seed: seed)
      let operation = ConvOperation(pass, problem)
      // One plan both ways: a plan made for prepared filters may take other tiles.
      let plan = try backend.plan(for: operation)
      let fresh = try Verifier().execute(plan, data)
      let prepared = try Verifier().execute(plan, data, filterState: .prepared)
      #expect(bits(fresh) == bits(prepared), "\(name) \(operation), seed \(seed)")
    }
  }

  /// An image beside one 10⁴ times larger keeps its digits: no transform mixes two images (design of the FFT engines). The bounds
  /// are those of the small image alone.
  @Test(arguments: names)
  func imagesDoNotDisturbEachOther(_ name: String) throws {
    let backend = try BackendRegistry.named(name).backend
    let loudness: Float = 16384
    let pair = try ConvProblem(parsing: "conv2d:n2c8h20w20k8r3s3p1")
    let data = try ProblemData(problem: pair.withBatch(1), distribution: .normal, seed: 2)
    let values = data.input.values(as: Float.self)
    let both = try Tensor(values + values.map { $0 * loudness }, shape: pair.inputShape)
    let plan = try backend.plan(for: ConvOperation(.forward, pair))
    let output = try plan.forward(input: both, filter: data.filter).output.values(as: Float.self)
    let expectation = Expectation(grid: .all(data.problem, .forward), data: data)
    let bounds = try #require(ErrorBounds(model: plan.errorModel, expectation: expectation, data: data))
    let first = output.prefix(expectation.values.count).map(Double.init)
    // All results, in the order of the grid: places by channels.
    let results = expectation.grid.rows.flatMap { row in
      expectation.grid.columns.map { first[expectation.grid.index(row, $0)] }
    }
    let result = Verification(results: results, expectation: expectation, bounds: bounds)
    #expect(result.verdict == .passed, "\(name): \(result.reason)")
    // One rounding of the loud image in the place of one of the quiet one would be seen.
    #expect(Double(loudness) * 0x1p-24 * expectation.rms > bounds.rms, "\(name): \(bounds.rms)")
  }

  /// Engines with the variants that transform tiles of other sizes, or by other means.
  static let variants =
    names + ["winograd[tile=2x2]", "winograd[tile=6x6]", "winograd[tile=3x4]", "im2col[gemm=kernel]"]
    + ["fft[transform=own]", "fft[tile=16x16]"]

  /// NaN and infinities reach the results that have them in their sum, and others in their tile at most.
  @Test(arguments: variants, ConvPass.allCases)
  func nonFiniteElementsStayInTheirTiles(_ name: String, _ pass: ConvPass) throws {
    let count = UInt64(6 * breadth)
    let declined = try check(
      .nonFinite, name, pass, seeds: 800..<800 + count, largestFLOPs: 4e5, types: [.float32])
    if Self.names.contains(name) { #expect(declined == 0, "\(name) \(pass)") }
    #expect(declined < count, "\(name) \(pass)")
  }

  /// Data as large as the derived limits overflow nowhere.
  @Test(arguments: variants, ConvPass.allCases)
  func hugeValuesStayFinite(_ name: String, _ pass: ConvPass) throws {
    let count = UInt64(6 * breadth)
    let declined = try check(.huge, name, pass, seeds: 900..<900 + count, largestFLOPs: 4e5)
    if Self.names.contains(name) { #expect(declined == 0, "\(name) \(pass)") }
    #expect(declined < 2 * count, "\(name) \(pass)")
  }

  /// The limit of a transform is where it overflows: data with the signs of one row of Bᵀ, just below it and just above. (Below 1,
  /// points enlarge a sum that two rows share beyond both rows.)
  @Test(arguments: [("tile=2x2", 1.0), ("tile=4x4", 1 / (0.625 * 0.625)), ("tile=6x6", 4)])
  func transformsOverflowBeyondTheirLimit(_ variant: String, _ slack: Double) throws {
    let backend = try BackendRegistry.named("winograd").backend
    let problem = try ConvProblem(parsing: "conv2d:n1c1h8w8k1r3s3")
    let operation = ConvOperation(.forward, problem)
    let plan = try backend.plan(for: operation, PlanOptions(variant: variant))
    guard case .winograd(let transform, _, _) = plan.errorModel else {
      Issue.record("\(plan.errorModel)")
      return
    }
    let range = FiniteRange(plan.errorModel, .forward, problem, .float32)
    let tile = transform.tile
    func sum(_ row: Int) -> Double { transform.bt[row * tile..<(row + 1) * tile].reduce(0) { $0 + abs($1) } }
    let row = try #require((0..<tile).max { sum($0) < sum($1) })
    let signs = transform.bt[row * tile..<(row + 1) * tile].map { $0 < 0 ? -1.0 : 1.0 }
    func isFinite(_ scale: Double) throws -> Bool {
      let values = (0..<64).map { i in
        let (h, w) = (i / 8, i % 8)
        return h < tile && w < tile ? Float(scale * range.first * signs[h] * signs[w]) : 0
      }
      let output = try plan.forward(
        input: Tensor(values, shape: problem.inputShape),
        filter: .full(problem.filterShape, Float(0x1p-30))
      ).output
      return output.values(as: Float.self).allSatisfy(\.isFinite)
    }
    #expect(try isFinite(0.999))
    #expect(try !isFinite(1.001 * slack))
  }
}
