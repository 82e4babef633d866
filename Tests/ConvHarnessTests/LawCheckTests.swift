import ConvCore
import ConvNaive
import ConvTestSupport
import Testing

@testable import ConvHarness

/// Laws and the invariance matrix see what they are there for.
@Suite struct LawCheckTests {
  private func outcomes(
    _ law: Law, _ backend: any ConvolutionBackend, _ pass: ConvPass, seeds: Range<UInt64> = 1..<5
  ) -> [LawOutcome] {
    seeds.map {
      LawRun().outcome(
        law, Competitor(backend), pass, RandomProblems(largestFLOPs: 2e5).problem(seed: $0), seed: $0)
    }
  }

  @Test(arguments: Law.allCases, ConvPass.allCases)
  func lawsHoldForTheOracle(_ law: Law, _ pass: ConvPass) {
    for outcome in outcomes(law, NaiveBackend(), pass) {
      #expect(outcome.result == .held, "\(outcome): \(outcome.result)")
      #expect(outcome.ratio.isNaN || outcome.ratio <= 1)
    }
  }

  /// In float64 too sums round, so that agreement says something.
  @Test func float64SumsRound() throws {
    let problem = try ConvProblem(parsing: "conv2d:n2c4h6w7k5r3s3p1")
    for pass in ConvPass.allCases {
      let outcome = LawRun().outcome(
        .linearity, Competitor(FakeBackend.faulty(.none)), pass, problem, elementType: .float64, seed: 1)
      #expect(outcome.result == .held && outcome.ratio > 0.001, "\(outcome): \(outcome.ratio)")
    }
  }

  /// Each law against the fault that it is about, of less than one per cent.
  @Test(arguments: ConvPass.allCases)
  func aBrokenLawIsSeen(_ pass: ConvPass) {
    let dense = Extent(w: 1)
    let faults: [(Law, FakeBackend)] = [
      (.linearity, FakeBackend.plugin { _, y, _ in for i in y.indices { y[i] += 0.001 } }),
      (.shift, .scaled { 1 + 0.001 * Float($0.problem.input.w % 64) }),
      (.groups, .scaled { $0.problem.groups > 1 ? 1.001 : 1 }),
      (.dilation, .scaled { $0.problem.dilation != dense ? 1.001 : 1 }),
      (.stride, .scaled { $0.problem.stride != dense ? 1.001 : 1 }),
      (.adjoint, .scaled { $0.pass == pass ? 1.001 : 1 }),
      (.impulses, .scaled { $0.pass == pass ? 1.001 : 1 }),
      (.integers, .scaled { _ in 1.001 }),
      (
        .nonFinite,
        FakeBackend.plugin { _, y, _ in
          if let i = y.firstIndex(where: \.isNaN) { y[i > 0 ? i - 1 : y.count - 1] = .nan }
        }
      ),
      (.huge, FakeBackend.plugin { _, y, _ in for i in y.indices where abs(y[i]) > 1e37 { y[i] /= 2 } }),
    ]
    #expect(Set(faults.map(\.0)) == Set(Law.allCases))
    for (law, backend) in faults {
      let found = outcomes(law, backend, pass)
      #expect(found.contains { $0.isFailure }, "\(law)")
      for outcome in found {
        // Where all results are zero there is nothing to scale.
        guard case .failed(let reason) = outcome.result else { continue }
        #expect(
          !reason.isEmpty && (outcome.ratio > 1 || law == .integers || law == .nonFinite),
          "\(outcome): \(reason)")
        #expect(
          outcome.repro.hasPrefix("vbench check \(outcome.problem) --law \(law.rawValue) --backends plugin"))
        #expect(outcome.repro.contains("--passes \(pass.rawValue)") != law.tiesAllPasses)
        #expect(outcome.repro.hasSuffix("--seed \(outcome.seed) --count 1"))
      }
    }
  }

  /// NaN that is lost, that reaches a neighbour, another plane, or becomes a number elsewhere: each in one result only.
  @Test(arguments: ConvPass.allCases)
  func everyWayToSpreadIsSeen(_ pass: ConvPass) throws {
    let problem = try ConvProblem(parsing: "conv2d:n2c3h7w9k4r3s3p1")
    func result(_ spoil: @escaping FakeBackend.PluginSpoil) -> LawOutcome.Result {
      LawRun().outcome(.nonFinite, Competitor(FakeBackend.plugin(spoil)), pass, problem, seed: 5).result
    }
    #expect(result { _, _, _ in } == .held)
    let faults: [(String, FakeBackend.PluginSpoil)] = [
      ("has a term with it", { _, y, _ in if let i = y.firstIndex(where: \.isNaN) { y[i] = 0 } }),
      (
        "has a term with it",
        { _, y, _ in if let i = y.firstIndex(where: \.isInfinite) { y[i] = .greatestFiniteMagnitude } }
      ),
      (
        "has none",
        { _, y, _ in
          if y.contains(where: \.isNaN), let i = y.lastIndex(where: \.isFinite) { y[i] = .nan }
        }
      ),
      (
        "has none",
        { _, y, _ in
          if y.contains(where: \.isNaN), let i = y.firstIndex(where: \.isFinite) { y[i] = y[i].nextUp }
        }
      ),
    ]
    for (words, spoil) in faults {
      guard case .failed(let reason) = result(spoil) else {
        Issue.record("\(words) is not seen in \(pass)")
        continue
      }
      #expect(reason.contains(words), "\(reason)")
    }
  }

  /// The problem that a failure names gives the same failure: laws do not change it again.
  @Test(arguments: [Law.groups, .dilation, .stride])
  func reproductionsAreTheSame(_ law: Law) {
    let backend = FakeBackend.scaled { _ in .nan }
    for outcome in outcomes(law, backend, .forward) {
      let again = LawRun().outcome(
        law, Competitor(backend), .forward, outcome.problem, seed: outcome.seed)
      #expect(again.problem == outcome.problem && again.result == outcome.result && outcome.isFailure)
    }
  }

  @Test func theSideThatIsWrongIsNamed() throws {
    let backend = FakeBackend.scaled { $0.problem.groups > 1 ? 1.001 : 1 }
    let outcome = LawRun().outcome(
      .groups, Competitor(backend), .forward, try ConvProblem(parsing: "conv2d:c4h5w5k4r3s3g2"), seed: 2)
    guard case .failed(let reason) = outcome.result else {
      Issue.record("\(outcome.result)")
      return
    }
    #expect(reason.contains("the grouped convolution") && !reason.contains("by itself"), "\(reason)")
  }

  @Test func aDecliningEngineIsSkipped() throws {
    let outcome = LawRun().outcome(
      .shift, Competitor(NaiveBackend(), variant: "nonsense"), .forward,
      try ConvProblem(parsing: "conv2d:c4h5w5k4r3s3"), seed: 2)
    guard case .skipped(let reason) = outcome.result else {
      Issue.record("\(outcome.result)")
      return
    }
    #expect(reason.contains("nonsense") && outcome.ratio.isNaN)
  }

  // MARK: Invariance

  private func row(_ backend: any ConvolutionBackend) throws -> InvarianceRow {
    try InvarianceCheck().row(
      Competitor(backend), .forward, [ConvProblem(parsing: "conv2d:n3c4h6w7k5r3s3p1")])
  }

  @Test func theOracleIsInvariant() throws {
    let row = try self.row(NaiveBackend())
    for what in Invariance.allCases { #expect(row.cells[what]?.cell == .bitEqual, "\(what)") }
    #expect(row.promises && row.broken.isEmpty)
    let none = try self.row(FakeBackend.faulty(.none))
    #expect(none.cells[.format]?.cell.description == "bit-equal", "lowered formats are exact")
    let declined = try InvarianceCheck().row(
      Competitor(NaiveBackend(), variant: "nonsense"), .forward, [ConvProblem(parsing: "conv1d:c1w4k1s1")])
    #expect(declined.cells[.runs]?.cell.description == "declined" && declined.broken.isEmpty)
  }

  @Test func whatChangesTheBitsIsSeen() throws {
    @Sendable func nudge(_ y: UnsafeMutableBufferPointer<Float>) { y[3] = y[3].nextUp }
    var threads = FakeBackend.plugin { _, y, pool in if pool.threads > 1 { nudge(y) } }
    var row = try self.row(threads)
    #expect(row.cells[.threads]?.cell == .apart(ulps: 1) && row.cells[.runs]?.cell == .bitEqual)
    #expect(row.broken == [.threads])
    #expect(row.cells[.threads]?.cell.description == "≤ 1 ULP")
    // A library with threads of its own promises nothing.
    threads.threading = .ownThreads
    #expect(try self.row(threads).broken.isEmpty)

    row = try self.row(FakeBackend.scaled { $0.problem.n > 1 ? 1 + 0x1p-21 : 1 })
    guard case .apart(let ulps) = row.cells[.batch]?.cell else {
      Issue.record("\(row.cells)")
      return
    }
    #expect((2...9).contains(ulps) && row.broken.isEmpty, "\(ulps)")
    #expect(row.cells[.batch]?.cell.description == "differs (max ULP \(ulps))")
  }

  @Test func distancesCountNumbers() throws {
    func distance(_ a: Float, _ b: Float) throws -> InvarianceCell {
      InvarianceCheck.compare(try Tensor([a], shape: [1]), try Tensor([b], shape: [1]))
    }
    #expect(try distance(1, 1) == .bitEqual)
    #expect(try distance(1, Float(1).nextUp) == .apart(ulps: 1))
    #expect(try distance(0, -0.0) == .apart(ulps: 0), "the bits differ, the numbers do not")
    #expect(try distance(-.leastNonzeroMagnitude, .leastNonzeroMagnitude) == .apart(ulps: 2))
    #expect(try distance(1, 2) == .apart(ulps: 1 << 23))
    #expect(try distance(1, .nan) == .apart(ulps: .max))
    #expect(try distance(.nan, .nan) == .bitEqual)
    let doubles = (try Tensor([1.0], shape: [1]), try Tensor([(1.0).nextDown], shape: [1]))
    #expect(InvarianceCheck.compare(doubles.0, doubles.1) == .apart(ulps: 1))
  }
}
