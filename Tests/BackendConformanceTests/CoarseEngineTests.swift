import CoarseEngines
import ConvBackends
import ConvCore
import ConvHarness
import Testing

/// Verdicts convict engines that compute in less than float32 or lose a term, and acquit the honest ones: the short version of
/// `make sharp`.
@Suite struct CoarseEngineTests {
  private static let direct = try? BackendRegistry.named("direct").backend
  private static let transforms = BackendRegistry.all.filter { ["winograd", "fft"].contains($0.name) }
  private static let problems: [ConvProblem] = (try? SharpnessProblems.few()) ?? []

  /// Formats in turn: two verifications of the same would cost twice.
  private static func format(_ problem: ConvProblem, _ pass: ConvPass) -> MemoryFormat {
    let index = (problems.firstIndex(of: problem) ?? 0) + (ConvPass.allCases.firstIndex(of: pass) ?? 0)
    return MemoryFormat.allCases[index % 2]
  }

  @Test func thereAreProblemsAndEngines() throws {
    #expect(Self.problems.count >= 12)
    #expect(Self.direct != nil)
    #expect(Set(Defect.all.map(\.name)).count == Defect.all.count)
  }

  @Test(arguments: problems)
  func noCoarseResultPasses(_ problem: ConvProblem) throws {
    let direct = try #require(Self.direct)
    var engines = Defect.all.map { ($0, CoarseEngine($0, of: direct)) }
    for bits in [11, 8] {
      engines += Self.transforms.map {
        let defect = Defect.roundedOperands(bits: bits)
        return (defect, CoarseEngine(defect, of: $0))
      }
    }
    let trial = SharpnessTrial(problem)
    var judged = 0
    for pass in ConvPass.allCases {
      let format = Self.format(problem, pass)
      for (defect, engine) in engines where defect.demand != .none {
        let found = try trial.judge(engine, pass, format)
        let verdict = found.verification.verdict
        let isPresent = defect.absence(in: ConvOperation(pass, problem)) == nil
        if verdict == .unsupported, engine.name == "winograd" || !isPresent { continue }
        judged += 1
        let text: Comment =
          "\(defect.name) of \(engine.name), \(problem) \(pass.rawValue) \(format.rawValue), attempt \(found.attempts): \(verdict.rawValue), \(found.verification.errorText) \(found.verification.reason)"
        #expect(verdict == .failed || verdict == .mistrusted, text)
        if defect.demand == .failed { #expect(verdict == .failed, text) }
        if verdict == .mistrusted { #expect(found.attempts == SharpnessTrial.repetitions.count, text) }
      }
    }
    // Operands of few bits are in every problem.
    #expect(judged >= 2 * ConvPass.allCases.count, "\(problem): \(judged)")
  }

  @Test(arguments: BackendRegistry.all.filter { !$0.choosesEngines }.map(\.name))
  func noHonestResultFails(_ name: String) throws {
    let engine = try BackendRegistry.named(name).backend
    for problem in Self.problems {
      for distribution in DataDistribution.allCases {
        let trial = SharpnessTrial(problem, distributions: [distribution])
        for pass in ConvPass.allCases {
          let format = Self.format(problem, pass)
          let found = try trial.judge(engine, pass, format).verification
          let text: Comment =
            "\(name) \(problem) \(pass.rawValue) \(format.rawValue) \(distribution.rawValue): \(found.verdict.rawValue), \(found.errorText) \(found.reason)"
          #expect(found.verdict != .failed, text)
          if found.verdict == .unsupported {
            #expect(
              !MinimumSupport.requires(
                name, ConvOperation(pass, problem, inputFormat: format, outputFormat: format)), text)
          }
        }
      }
    }
  }

  /// Zeros convict nobody: what is mistrusted for its data is judged on other data.
  @Test func mistrustedResultsAreRepeated() throws {
    let direct = try #require(Self.direct)
    let trial = SharpnessTrial(
      try ConvProblem(parsing: "conv2d:n1c1h1w1k1r1s1"), distributions: [.sparse, .sparse, .uniform])
    let honest = try trial.judge(direct, .forward, .nchw)
    #expect(honest.verification.verdict == .passed, "\(honest.verification.reason)")
    #expect(honest.attempts == 3)
    #expect(honest.distribution == .uniform)
    let coarse = try trial.judge(CoarseEngine(.lostTap(.last), of: direct), .forward, .nchw)
    #expect(coarse.verification.verdict == .failed)
    #expect(coarse.attempts == 3)
    let once = SharpnessTrial(trial.problem, distributions: [.sparse])
    #expect(try once.judge(direct, .forward, .nchw).verification.verdict == .mistrusted)
  }

  /// The wrappers spoil what they say and nothing else: with all of float32's bits they are honest engines.
  @Test(arguments: problems)
  func withAllBitsTheyAreRight(_ problem: ConvProblem) throws {
    let direct = try #require(Self.direct)
    let trial = SharpnessTrial(problem)
    var engines: [(String, any ConvolutionBackend)] = [
      ("operands", CoarseEngine(.roundedOperands(bits: 24), of: direct))
    ]
    engines += Self.transforms.map { ("coefficients of \($0.name)", RoundedTransforms(of: $0, bits: 24)) }
    for pass in ConvPass.allCases {
      let format = Self.format(problem, pass)
      for (name, engine) in engines {
        let found = try trial.judge(engine, pass, format).verification
        if found.verdict == .unsupported, name != "operands" { continue }
        #expect(
          found.verdict == .passed,
          "\(name), \(problem) \(pass.rawValue) \(format.rawValue): \(found.errorText) \(found.reason)")
      }
    }
  }

  /// How many bits are left follows from what was lost: a defect that does more than it says would test nothing.
  @Test(arguments: [
    (Defect.roundedOperands(bits: 16), 15.5...18.5), (.roundedOperands(bits: 11), 10.5...13.5),
    (.roundedOperands(bits: 8), 7.5...10.5), (.halfBfloat16, 4.5...14),
  ])
  func theyLoseWhatTheySay(_ defect: Defect, _ bits: ClosedRange<Double>) throws {
    let engine = CoarseEngine(defect, of: try #require(Self.direct))
    for problem in Self.problems {
      let trial = SharpnessTrial(problem)
      for pass in ConvPass.allCases {
        let found = try trial.judge(engine, pass, Self.format(problem, pass)).verification
        #expect(
          bits.contains(found.effectiveBits),
          "\(defect.name), \(problem) \(pass.rawValue): \(found.effectiveBits) bits")
      }
    }
  }

  /// Coefficients of 16 bits show in the errors, whatever the verdict; but for those that have no more bits: F(2, 3)'s, some roots of
  /// unity.
  @Test(arguments: transforms.map(\.name))
  func roundedCoefficientsInform(_ name: String) throws {
    let honest = try BackendRegistry.named(name).backend
    let engine = RoundedTransforms(of: honest)
    var quotients: [Double] = []
    for problem in Self.problems {
      let trial = SharpnessTrial(problem)
      for pass in ConvPass.allCases {
        let found = try trial.judge(engine, pass, .nhwc).verification
        if found.verdict == .unsupported { continue }
        let right = try trial.judge(honest, pass, .nhwc).verification
        #expect(found.effectiveBits > 11, "\(problem) \(pass.rawValue): \(found.effectiveBits)")
        quotients.append(found.errorRMS / right.errorRMS)
      }
    }
    #expect(quotients.count >= 18)
    #expect(2 * quotients.count { $0 > 2 } > quotients.count, "\(quotients)")
  }

  // MARK: The tables

  private func row(
    _ verdict: Verdict, of engine: String, _ table: SharpnessRow.Table = .coarse, reason: String = ""
  ) throws -> SharpnessRow {
    SharpnessRow(
      table, engine: engine, suite: "few", layer: "a", problem: try #require(Self.problems.first),
      pass: .forward, format: .nhwc,
      SharpnessTrial.Finding(
        verification: Verification(verdict, reason: reason), attempts: 2, distribution: .normal))
  }

  @Test func mistrustedRowsAreNoConvictions() throws {
    let rows = try [
      row(.failed, of: "lost-channel of direct"), row(.mistrusted, of: "lost-channel of direct"),
      row(.unsupported, of: "lost-channel of direct"), row(.passed, of: "operands-16-bits of direct"),
    ]
    let counts = VerdictCounts(rows)
    #expect(counts.text == "1 / 1 / 1")
    #expect(counts.unsupported == 1)
    let summary = SharpnessSummary(rows)
    #expect(summary.judged == 2)
    #expect(summary.mistrusted.count == 1)
    #expect(summary.contradictions.isEmpty)
    #expect(!summary.isSharp, "one in two is more than one in a hundred")
  }

  @Test func coarseResultsThatPassContradict() throws {
    for defect in Defect.all {
      let passed = try row(.passed, of: "\(defect.name) of direct")
      #expect((passed.contradiction == nil) == (defect.demand == .none), "\(defect.name)")
    }
    #expect(try row(.passed, of: "coefficients-16-bits of fft").contradiction == nil)
    #expect(try row(.failed, of: "direct", .honest).contradiction != nil)
    #expect(try row(.failed, of: "direct", .data).contradiction != nil)
    #expect(try row(.passed, of: "direct", .honest).contradiction == nil)
  }

  @Test func rowsAreReadAsTheyAreWritten() throws {
    let rows = try [
      row(.mistrusted, of: "half-bfloat16 of direct", reason: "a, b and \"c\""),
      row(.passed, of: "direct", .data),
    ]
    let text = ([SharpnessRow.header] + rows.map(\.line)).joined(separator: "\n") + "\n"
    let read = try SharpnessRow.rows(parsing: text, file: "rows.csv")
    #expect(read.map(\.line) == rows.map(\.line))
    #expect(read.map(\.key) == rows.map(\.key))
  }
}
