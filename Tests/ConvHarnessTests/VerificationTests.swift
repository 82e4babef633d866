import ConvCore
import ConvNaive
import Testing

@testable import ConvHarness

@Suite struct VerificationTests {
  static let problems = [
    "conv2d:n2c16h20w20k24r3s3p1", "conv2d:n1c64h14w14k32r5s5p2", "conv2d:n2c3h40w40k16r7s7u2p3",
    "conv1d:n3c8w300k32s5p2", "conv3d:n1c6d6h10w10k20t3r3s3p1",
  ]

  private func verify(
    _ fault: Fault, _ text: String, _ elementType: ElementType, _ distribution: DataDistribution = .uniform
  ) throws -> Verification {
    let problem = try ConvProblem(parsing: text)
    let data = try ProblemData(
      problem: problem, elementType: elementType, distribution: distribution, seed: 7)
    let grid = SampleGrid.stratified(problem, .forward, seed: 7)
    return Verifier().verify(
      FaultyBackend(fault: fault), ConvOperation(.forward, problem, elementType: elementType),
      PlanOptions(), data: data, expectation: Expectation(grid: grid, data: data))
  }

  @Test(arguments: problems, [ElementType.float32, .float64])
  func aCorrectResultPasses(text: String, elementType: ElementType) throws {
    for distribution in DataDistribution.allCases {
      let result = try verify(.none, text, elementType, distribution)
      #expect(result.verdict == .passed, "\(text) \(elementType) \(distribution): \(result.reason)")
      #expect(result.errorRatio < 1 && result.errorMax <= result.errorBoundWorst * 1e3, "\(text) \(result)")
      #expect(result.samples > 0)
    }
  }

  @Test(arguments: problems, [Fault.zeros, .missingTap, .lostTail, .coarse])
  func aFaultFails(text: String, fault: Fault) throws {
    for elementType in [ElementType.float32, .float64] {
      let result = try verify(fault, text, elementType)
      #expect(result.verdict == .failed, "\(fault) \(text) \(elementType): \(result)")
      #expect(result.errorRatio > 1)
    }
  }

  @Test func anUnwrittenElementFailsEvenWhereNobodyLooks() throws {
    // 2·24·400 results, of which 4096 are looked at.
    let result = try verify(.unwrittenElement, "conv2d:n2c16h20w20k24r3s3p1", .float32)
    #expect(result.verdict == .failed)
    #expect(result.reason.contains("12345") || result.reason.contains("nan"), "\(result.reason)")
  }

  @Test func aCheckThatCannotFailIsMistrusted() throws {
    let problem = try ConvProblem(parsing: "conv2d:n1c4h8w8k4r3s3p1")
    let data = try ProblemData(problem: problem, seed: 3)
    let expectation = Expectation(grid: .all(problem, .forward), data: data)
    func doubt(_ model: ErrorModel) throws -> String? {
      let bounds = try #require(ErrorBounds(model: model, expectation: expectation, data: data))
      return Verification.doubt(expectation, bounds)
    }
    #expect(try doubt(.summation(depth: 36, accumulator: .float32)) == nil)
    #expect(try doubt(.summation(depth: 1 << 38, accumulator: .float32)) != nil)
    // A depth at which everything is in the bound except for the 5 % rule.
    #expect(try doubt(.summation(depth: 1 << 34, accumulator: .float32))?.contains("5 %") == true)

    let zeros = try ProblemData(
      problem: problem, input: .zeros(problem.inputShape), filter: data.filter,
      outputGradient: data.outputGradient)
    let empty = Expectation(grid: .all(problem, .forward), data: zeros)
    let bounds = try #require(
      ErrorBounds(model: .summation(depth: 36, accumulator: .float32), expectation: empty, data: zeros))
    #expect(Verification.doubt(empty, bounds) != nil)
  }

  @Test func aDecliningEngineIsUnsupportedWithItsReason() throws {
    let problem = try ConvProblem(parsing: "conv2d:n1c4h8w8k4r3s3p1")
    let data = try ProblemData(problem: problem, seed: 3)
    let options = PlanOptions(variant: "nonsense")
    let expectation = Expectation(grid: .all(problem, .forward), data: data)
    let result = Verifier().verify(
      NaiveBackend(), ConvOperation(.forward, problem), options, data: data, expectation: expectation)
    #expect(result.verdict == .unsupported)
    #expect(result.reason.contains("nonsense"))
  }

  @Test func summationBoundsAreWhatTheFormulaSays() throws {
    // One result: (1·2 + 3·4) with Σ|a·b| = 14.
    let problem = try ConvProblem(parsing: "conv1d:c2w1k1s1")
    let data = try ProblemData(
      problem: problem, input: Tensor([Float(1), 3], shape: [1, 2, 1]),
      filter: Tensor([Float(2), 4], shape: [1, 2, 1]), outputGradient: Tensor([Float(1)], shape: [1, 1, 1]))
    let expectation = Expectation(grid: .all(problem, .forward), data: data)
    #expect(expectation.values == [14] && expectation.magnitudes == [14])
    func bound(_ depth: Int, _ accumulator: ElementType) throws -> (Double, Double) {
      let bounds = try #require(
        ErrorBounds(
          model: .summation(depth: depth, accumulator: accumulator), expectation: expectation, data: data))
      return (bounds.bounds[0], bounds.worst[0])
    }
    let u = 0x1p-24
    #expect(abs(try bound(2, .float32).0 / (2 * u * 14) - 1) < 1e-6)
    #expect(abs(try bound(100, .float32).0 / (4 * 10 * u * 14) - 1) < 1e-6)
    #expect(abs(try bound(100, .float32).1 / (100 * u * 14) - 1) < 1e-6)
    #expect(abs(try bound(100, .float64).0 / (u * 14) - 1) < 1e-6)
  }

  /// F(2, 3) of Winograd.
  static let f23 = WinogradTransform(
    m: 2, r: 3, at: [1, 1, 1, 0, 0, 1, -1, -1],
    g: [1, 0, 0, 0.5, 0.5, 0.5, 0.5, -0.5, 0.5, 0, 0, 1],
    bt: [1, 0, -1, 0, 0, 1, 1, 0, 0, -1, 1, 0, 0, 1, 0, -1])
  /// F(3, 2): two taps, three results.
  static let f32 = WinogradTransform(
    m: 3, r: 2, at: [1, 1, 1, 0, 0, 1, -1, 0, 0, 1, 1, 1],
    g: [1, 0, 0.5, 0.5, 0.5, -0.5, 0, 1],
    bt: [1, 0, -1, 0, 0, 1, 1, 0, 0, -1, 1, 0, 0, -1, 0, 1])

  /// |Aᵀ|(Σ|G||w||Gᵀ| ⊙ |Bᵀ||x||B|)|A| bounds the plain Σ|x·w| from above, and is a few times it, in every pass.
  @Test(arguments: [
    "conv2d:n2c3h9w10k4r3s3p1", "conv2d:n1c4h11w9k4r3s3p0,3,2,1l2g2", "conv2d:n1c2h7w7k2r3s3p4",
    "conv3d:n1c2d4h6w7k3t2r3s3p1",
  ])
  func winogradMagnitudesCoverTheSum(text: String) throws {
    let problem = try ConvProblem(parsing: text)
    let data = try ProblemData(problem: problem, seed: 11)
    for pass in ConvPass.allCases {
      let grid = SampleGrid.all(problem, pass)
      let expectation = Expectation(grid: grid, data: data)
      let transform = pass == .backwardFilter ? Self.f32 : Self.f23
      let bounds = try #require(WinogradBounds(vertical: transform, horizontal: transform, data: data))
      let amplified = try #require(bounds.amplified(grid, pool: .shared))
      var ratios = 0.0
      var count = 0.0
      for i in amplified.indices {
        #expect(amplified[i] >= expectation.magnitudes[i] * (1 - 1e-12), "\(text) \(pass) sample \(i)")
        if expectation.magnitudes[i] > 0 {
          ratios += amplified[i] / expectation.magnitudes[i]
          count += 1
        }
      }
      #expect(ratios / count < 40, "\(text) \(pass): on average \(ratios / count)")
    }
  }

  @Test(arguments: [
    "conv2d:n2c3h20w21k4r5s5p2", "conv2d:n1c4h17w19k4r3s3u2p1l2g2", "conv3d:n1c2d4h6w7k3t2r3s3p1",
  ])
  func fourierNormsCoverTheSum(text: String) throws {
    let problem = try ConvProblem(parsing: text)
    let data = try ProblemData(problem: problem, seed: 11)
    for pass in ConvPass.allCases {
      let grid = SampleGrid.all(problem, pass)
      let expectation = Expectation(grid: grid, data: data)
      let bounds = FourierBounds(height: 12, width: 12, stepH: 4, stepW: 4, data: data)
      let norms = bounds.normProducts(grid, pool: .shared)
      for i in norms.indices {
        // Cauchy–Schwarz: |Σ x·w| and Σ|x·w| are at most ‖x‖₂‖w‖₂, summed over channels.
        #expect(norms[i] >= expectation.magnitudes[i] * (1 - 1e-12), "\(text) \(pass) sample \(i)")
      }
    }
  }

  @Test func aTransformThatDoesNotFitTheFilterHasNoBounds() throws {
    let problem = try ConvProblem(parsing: "conv2d:n1c2h9w9k2r5s5p2")
    let data = try ProblemData(problem: problem, seed: 1)
    let expectation = Expectation(grid: .all(problem, .forward), data: data)
    let model = ErrorModel.winograd(vertical: Self.f23, horizontal: Self.f23, depth: 2)
    #expect(ErrorBounds(model: model, expectation: expectation, data: data) == nil)
  }

  @Test func gridsLookAtCornersAndEnoughElsewhere() throws {
    let problem = try ConvProblem(parsing: "conv2d:n5c70h50w60k130r3s3p1")
    for pass in ConvPass.allCases {
      let grid = SampleGrid.stratified(problem, pass, seed: 99)
      #expect(grid.count >= (pass == .backwardFilter ? 256 : 4096), "\(pass): \(grid.count)")
      #expect(Set(grid.rows.flatMap { row in grid.columns.map { grid.index(row, $0) } }).count == grid.count)
      let last = pass == .backwardFilter || pass == .backwardData ? 69 : 129
      #expect(grid.columns.contains(0) && grid.columns.contains(last), "\(pass): \(grid.columns)")
      let e = grid.extent
      for h in [0, e.h - 1] {
        for w in [0, e.w - 1] {
          #expect(grid.rows.contains { $0.at.h == h && $0.at.w == w }, "\(pass) corner \(h), \(w)")
        }
      }
      #expect(grid.rows.contains { $0.first == 0 } && grid.rows.contains { $0.first > 0 })
    }
  }

  @Test func integerLaneAndAdjointIdentityHoldForNaive() throws {
    for text in Self.problems {
      let problem = try ConvProblem(parsing: text)
      for pass in ConvPass.allCases {
        let result = IntegerLane.check(
          NaiveBackend(), ConvOperation(pass, problem), PlanOptions(), seed: 5)
        #expect(result.verdict == .passed, "\(text) \(pass): \(result.reason)")
      }
      let identity = try AdjointIdentity(NaiveBackend(), problem, seed: 5)
      #expect(identity.holds, "\(text): \(identity)")
      #expect(abs(identity.forward) > 100 * identity.tolerances.max()!, "\(text): \(identity)")
    }
  }

  @Test func integerLaneCatchesAFault() throws {
    let problem = try ConvProblem(parsing: "conv2d:n2c16h20w20k24r3s3p1")
    for fault in [Fault.coarse, .missingTap, .lostTail] {
      let result = IntegerLane.check(
        FaultyBackend(fault: fault), ConvOperation(.forward, problem), PlanOptions(), seed: 5)
      #expect(result.verdict == .failed, "\(fault)")
    }
  }
}
