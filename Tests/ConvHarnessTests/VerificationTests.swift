import ConvCore
import ConvNaive
import ConvTestSupport
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
      FakeBackend.faulty(fault), ConvOperation(.forward, problem, elementType: elementType),
      PlanOptions(), data: data, expectation: Expectation(grid: grid, data: data))
  }

  @Test(arguments: problems, [ElementType.float32, .float64])
  func aCorrectResultPasses(text: String, elementType: ElementType) throws {
    for distribution in DataDistribution.allCases {
      let result = try verify(.none, text, elementType, distribution)
      // Small integers have no more than 11 bits, and correlated data have wide bounds: both may be too little to trust.
      let isTrusted = [.uniform, .normal, .offset, .sparse, .sorted, .subnormal].contains(distribution)
      #expect(
        result.verdict == .passed || !isTrusted && result.verdict == .mistrusted,
        "\(text) \(elementType) \(distribution): \(result.reason)")
      #expect(result.errorRatio < 1 && result.errorMax <= result.errorBoundWorst * 1e3, "\(text) \(result)")
      #expect(result.samples > 0)
    }
  }

  /// What data cannot tell apart, other data do: small integers are followed by uniform numbers.
  @Test func aMistrustedResultIsRepeatedWithOtherData() throws {
    let problem = try ConvProblem(parsing: "conv2d:n1c8h9w9k8r3s3p1")
    let data = try ProblemData(problem: problem, distribution: .smallIntegers, seed: 3)
    let expectation = Expectation(grid: .all(problem, .forward), data: data)
    func verdict(_ fault: Fault) throws -> (once: Verdict, repeated: Verification) {
      let plan = try FakeBackend.faulty(fault).plan(for: ConvOperation(.forward, problem))
      return (
        try Verifier().verify(plan, data: data, expectation: expectation).verdict,
        try Verifier().verifyUntilTrusted(plan, data: data, expectation: expectation, seed: 3)
      )
    }
    let honest = try verdict(.none)
    #expect(honest.once == .mistrusted && honest.repeated.verdict == .passed, "\(honest)")
    // Its operands are rounded to 11 bits, which integers do not show.
    let coarse = try verdict(.tensorFloat)
    #expect(coarse.once == .mistrusted && coarse.repeated.verdict == .failed, "\(coarse)")
    #expect(coarse.repeated.reason.contains("uniform data of seed 4"), "\(coarse.repeated.reason)")
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
    #expect(try doubt(.summation(.chain, accumulator: .float32)) == nil)
    #expect(try doubt(.vague(.forward, 1e8))?.contains("all zeros") == true)
    // Wide enough for TF32, which errs by 2⁻¹² of a term, and too narrow for a lost tap.
    #expect(try doubt(.vague(.forward, 3e2))?.contains("11 bits") == true)

    let zeros = try ProblemData(
      problem: problem, input: .zeros(problem.inputShape), filter: data.filter,
      outputGradient: data.outputGradient)
    let empty = Expectation(grid: .all(problem, .forward), data: zeros)
    let bounds = try #require(
      ErrorBounds(model: .summation(.chain, accumulator: .float32), expectation: empty, data: zeros))
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
        FakeBackend.faulty(fault), ConvOperation(.forward, problem), PlanOptions(), seed: 5)
      #expect(result.verdict == .failed, "\(fault)")
    }
  }
}
