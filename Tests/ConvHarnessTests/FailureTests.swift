import ConvCore
import ConvNaive
import ConvTestSupport
import Foundation
import Testing

@testable import ConvHarness

/// Failures become small, can be repeated, and are stored.
@Suite struct FailureTests {
  /// Wrong in the last column of wide forward passes over three channels and more.
  static let wrong = FakeBackend.plugin { operation, y, _ in
    let problem = operation.problem
    if operation.pass == .forward && problem.cPerGroup >= 3 && problem.output.w >= 5 {
      for i in stride(from: problem.output.w - 1, to: y.count, by: problem.output.w) { y[i] += 1 }
    }
  }

  private func failure(
    _ backend: any ConvolutionBackend, _ text: String, _ pass: ConvPass = .forward,
    _ distribution: DataDistribution = .uniform
  ) throws -> FailureCase {
    FailureCase(
      competitor: Competitor(backend), operation: ConvOperation(pass, try ConvProblem(parsing: text)),
      distribution: distribution, seed: 1)
  }

  @Test(arguments: [
    "conv2d:n4c16h20w24k8r3s3p1", "conv2d:n3c6h9w21k4r2s3u2p0,1,2,0g2", "conv2d:n2c5h7w15k3r3s3p2l2",
  ])
  func casesBecomeMinimal(_ text: String) throws {
    let minimal = try #require(
      try failure(Self.wrong, text, .forward, .normal).minimal(seconds: 60, pool: .shared))
    // Three channels, five results: with less of either the engine is right.
    #expect(minimal.failure.operation.problem.description == "conv2d:n1c3h1w5k1r1s1")
    #expect(minimal.isMinimal && minimal.attempts < 200 && minimal.verification.verdict == .failed)
    #expect(minimal.failure.distribution == .normal && minimal.failure.seed == 1)
  }

  /// A copy's label, as in `naive#2`, is none that the command line knows; what a competitor needs besides is named.
  @Test func commandsNameWhatCanBeRead() throws {
    var copy = Competitor(NaiveBackend(), copy: 2)
    copy.options = "--plan plan.json"
    let problem = try ConvProblem(parsing: "conv2d:n1c2h5w5k2r3s3p1")
    let law = LawRun().outcome(.linearity, copy, .forward, problem, seed: 1)
    #expect(law.backend == "naive#2" && law.repro.contains("--backends naive --passes"), "\(law.repro)")
    let failure = FailureCase(
      competitor: copy, operation: ConvOperation(.forward, problem), distribution: .uniform, seed: 1)
    let row = ResultRow(
      item: RunItem(suite: "s", problem: BenchmarkProblem(problem), pass: .forward), competitor: copy,
      settings: RunSettings())
    for repro in [failure.repro, row.repro] {
      #expect(repro.contains("--backends naive --passes"), "\(repro)")
      #expect(repro.hasSuffix(" --plan plan.json"), "\(repro)")
    }
    #expect(failure.repro.contains("--format nchw") && row.repro.contains("--format nhwc"))
  }

  @Test func everySingleChangeIsTried() throws {
    let problem = try ConvProblem(parsing: "conv2d:n5c6h9w9k4r3s3u2p1l2g2")
    let candidates = Set(CaseShrinker.candidates(problem).map(\.description))
    for text in [
      "n1c6h9w9k4r3s3u2p1l2g2", "n2c6h9w9k4r3s3u2p1l2g2", "n4c6h9w9k4r3s3u2p1l2g2", "n5c3h9w9k2r3s3u2p1l2",
      "n5c2h9w9k4r3s3u2p1l2g2", "n5c4h9w9k4r3s3u2p1l2g2", "n5c6h9w9k2r3s3u2p1l2g2", "n5c6h4w9k4r3s3u2p1l2g2",
      "n5c6h9w8k4r3s3u2p1l2g2", "n5c6h9w9k4r1s3u2p1l2g2", "n5c6h9w9k4r3s2u2p1l2g2",
      "n5c6h9w9k4r3s3u1x2p1l2g2",
      "n5c6h9w9k4r3s3u2p1,1,1,0l2g2", "n5c6h9w9k4r3s3u2p1l2x1g2",
    ] { #expect(candidates.contains("conv2d:\(text)"), "\(text)") }
    #expect(CaseShrinker.candidates(try ConvProblem(parsing: "conv3d:c1d1h1w1k1t1r1s1")).isEmpty)
  }

  /// A budget that is spent leaves a failing problem, though not the smallest.
  @Test func timeIsLimited() throws {
    let problem = try ConvProblem(parsing: "conv2d:n4c16h20w24k8r3s3p1")
    let none = CaseShrinker(seconds: -1).shrink(problem) { _ in true }
    #expect(none.problem == problem && none.attempts == 0 && !none.isMinimal)
    var calls = 0
    let some = CaseShrinker(seconds: 60).shrink(problem, shouldStop: { calls >= 3 }) { _ in
      calls += 1
      return true
    }
    #expect(some.attempts == 3 && some.problem != problem && !some.isMinimal)
  }

  @Test func plainFormatsArePreferred() throws {
    var failure = try failure(Self.wrong, "conv2d:n1c3h4w6k2r3s3p1")
    (failure.operation.inputFormat, failure.operation.outputFormat) = (.nhwc, .nhwc)
    failure.filterState = .prepared
    let minimal = try #require(try failure.minimal(seconds: 60, pool: .shared))
    #expect(minimal.failure.operation.isCanonicalFormat && minimal.failure.filterState == .fresh)
  }

  /// What was saved fails again as a stored reference of any other source would, and a right engine passes it.
  @Test(arguments: ConvPass.allCases, ["conv2d:n2c4h7w8k6r3s2u2x1p0,1,2,0l1x2g2", "conv1d:n2c3w9k2s3p1"])
  func savedCasesAreReferences(_ pass: ConvPass, _ text: String) throws {
    let backend = FakeBackend.plugin { operation, y, _ in if operation.pass == pass { y[y.count / 2] = .nan }
    }
    let failure = try failure(backend, text, pass, .normal)
    try withTemporaryFolder { folder in
      let path = "\(folder)/case.safetensors"
      #expect(try failure.save(to: path, pool: .shared))
      let reference = try ReferenceCase(path: path)
      #expect(reference.problem == failure.operation.problem && reference.tags == ["failure"])
      let data = try ProblemData(problem: reference.problem, distribution: .normal, seed: 1)
      #expect(reference.data.input.values(as: Float.self) == data.input.values(as: Float.self))
      #expect(
        reference.data.outputGradient.values(as: Float.self) == data.outputGradient.values(as: Float.self))
      let check = ReferenceCheck { _, _ in false }
      let outcomes = try check.outcomes(
        of: reference, backends: [backend, NaiveBackend()], elementTypes: [.float32])
      for outcome in outcomes {
        let verdict: Verdict =
          outcome.operation.pass != pass
          ? .missingReference : outcome.backend == "naive" ? .passed : .failed
        #expect(outcome.verification.verdict == verdict, "\(outcome)")
      }
      // The engine's own result, for people.
      let file = try SafetensorsFile(path: path)
      let name = try #require(file.names.first { $0.hasPrefix("engine_") })
      let result = try file.tensor(name).values(as: Float.self)
      #expect(result[result.count / 2].isNaN && result.count { $0.isNaN } == 1)
      #expect(file.metadata["repro"] == failure.repro && file.metadata["engine"]?.hasPrefix("plugin") == true)
      #expect(file.metadata["producer"]?.contains("float64 sums") == true)
    }
  }

  /// An engine that is wrong only where its workspace is small stays so.
  @Test func limitsOfWorkspaceBelongToTheCase() throws {
    var failure = try failure(Self.wrong, "conv2d:n1c3h4w6k2r3s3p1")
    #expect(!failure.repro.contains("--workspace") && failure.test.contains("PlanOptions()"))
    failure.workspaceLimit = 1 << 20
    #expect(failure.repro.hasSuffix(" --data uniform --workspace 1048576"))
    #expect(failure.test.contains("PlanOptions(workspaceLimit: 1048576)"))
  }

  @Test func hugeCasesAreNotStored() throws {
    try withTemporaryFolder { folder in
      let huge = try failure(Self.wrong, "conv2d:n64c256h56w56k256r3s3p1")
      #expect(try !huge.save(to: folder + "/case.safetensors", pool: .shared))
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder).isEmpty)
    }
  }

  @Test func reportsSayHowToRepeat() throws {
    try withTemporaryFolder { folder in
      var report = FailureReport(folder: folder + "/out/failures", seconds: 60)
      let failure = try failure(Self.wrong, "conv2d:n4c16h20w24k8r3s3p1")
      let text = try #require(try report.describe(failure))
      let name = "plugin-forward-n1c3h1w5k1r1s1-uniform"
      let path = "\(folder)/out/failures/\(name).safetensors"
      for words in [
        "plugin forward conv2d:n1c3h1w5k1r1s1", "× bound",
        "  vbench run conv2d:n1c3h1w5k1r1s1 --backends plugin --passes forward --format nchw "
          + "--filter-state fresh --seed 1 --data uniform",
        "  vbench check --references \(path) --backends plugin --passes forward",
        "@Test func pluginForwardN1c3h1w5k1r1s1Uniform()", "ConvProblem(parsing: \"conv2d:n1c3h1w5k1r1s1\")",
      ] { #expect(text.contains(words), "'\(words)' is missing: \(text)") }
      #expect(FileManager.default.fileExists(atPath: path))
      // One of a kind.
      #expect(try report.describe(failure) == nil)
      let fine = try report.describe(self.failure(Self.wrong, "conv2d:n4c16h20w24k8r3s3p1", .backwardData))
      #expect(fine?.contains("passes on data generated anew") == true)
      var off = FailureReport(folder: folder + "/none", seconds: 0)
      #expect(try off.describe(failure) == nil)
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["out"])
    }
  }

  /// Bounds that say nothing are shrunk too, and stay mistrusted for the same reason.
  @Test func mistrustedCasesBecomeMinimal() throws {
    // Bounds 300 times as wide as they should be, where there are three channels and more.
    let vague = FakeBackend(
      "vague",
      changing: { plan in
        let operation = plan.operation
        if operation.problem.cPerGroup >= 3 { plan.model = { .vague(operation.pass, 3e2) } }
      })
    let failure = try failure(vague, "conv2d:n2c6h9w10k5r3s3p1")
    let first = try failure.verify(pool: .shared)
    #expect(first.verdict == .mistrusted && first.reason.contains("11 bits"), "\(first)")
    let minimal = try #require(try failure.minimal(seconds: 60, pool: .shared))
    #expect(minimal.failure.operation.problem.cPerGroup == 3 && minimal.isMinimal, "\(minimal)")
    #expect(minimal.failure.operation.problem.n == 1 && minimal.verification.verdict == .mistrusted)
    #expect(FailureCase.kind(of: minimal.verification) == FailureCase.kind(of: first))
    try withTemporaryFolder { folder in
      var report = FailureReport(folder: folder, seconds: 60)
      let text = try #require(try report.describe(failure))
      #expect(text.hasPrefix("mistrusted, shrunk in "), "\(text)")
      #expect(report.minimalRepros == [failure.repro: minimal.failure.repro])
    }
  }

  /// The list of what did not pass names the minimal case.
  @Test func reportsNameTheMinimalCase() throws {
    let settings = RunSettings(baseline: "naive", seed: 7)
    var run = LayerRun(settings: settings)
    var rows = try run.rows(
      for: RunItem(
        suite: "test", problem: BenchmarkProblem(try ConvProblem(parsing: "conv2d:n1c3h9w9k4r3s3p1")),
        pass: .forward), competitors: [Competitor(Self.wrong)], times: false)
    rows[0].minimalRepro = "vbench run conv2d:n1c3h1w5k1r1s1 --seed 7"
    let report = RunReport(environment: [], command: "", date: "", peak: 0, rows: rows, hasTimes: false)
    #expect(report.markdown.contains("  shrunk to: `vbench run conv2d:n1c3h1w5k1r1s1 --seed 7`\n"))
    let read = try ResultRow.rows(reading: try CSVTable(parsing: ResultRow.csv(rows), file: "results.csv"))
    #expect(read[0].minimalRepro == rows[0].minimalRepro)
  }

  /// A law that is broken leaves the operands and results of both its sides, whatever float64 sums say.
  @Test(arguments: [Law.linearity, .shift, .groups, .adjoint, .impulses, .integers])
  func brokenLawsLeaveTheirTensors(_ law: Law) throws {
    let off = FakeBackend.scaled { $0.pass == .forward ? 1.25 : 1 }
    let moved = FakeBackend.plugin { operation, y, _ in
      if operation.problem.output.w > 7 || operation.problem.groups > 1 { for i in y.indices { y[i] += 1 } }
    }
    let engine = Competitor([.linearity, .adjoint, .impulses, .integers].contains(law) ? off : moved)
    let linear = Competitor(FakeBackend.plugin { operation, y, _ in for i in y.indices { y[i] += 1 } })
    let competitor = law == .linearity ? linear : engine
    let problem = try ConvProblem(parsing: "conv2d:n1c2h6w7k2r3s3p1")
    let outcome = LawRun().outcome(law, competitor, .forward, problem, seed: 3)
    #expect(outcome.isFailure, "\(outcome)")
    try withTemporaryFolder { folder in
      let line = try FailureReport(folder: folder + "/failures", seconds: 1).save(outcome, competitor)
      let path = "\(folder)/failures/\(outcome.name).safetensors"
      #expect(line.hasSuffix(path) && path.contains("law-\(law.rawValue)-plugin-"), "\(line)")
      let file = try SafetensorsFile(path: path)
      #expect(file.metadata["repro"] == outcome.repro)
      if case .failed(let reason) = outcome.result { #expect(file.metadata["failure"] == reason) }
      let results = file.names.filter { $0.hasSuffix("_output") && !$0.contains("grad") }
      #expect(
        results.contains("1_output") && file.names.contains("1_input") && file.names.contains("1_weight"))
      #expect(results.count >= (law == .integers || law.tiesAllPasses ? 1 : 2), "\(file.names)")
      #expect(file.metadata["1_operation"]?.contains("forward") == true, "\(file.metadata)")
    }
  }

  /// A run's row that failed has all that a case needs.
  @Test func distributionsReachTheRows() throws {
    let settings = RunSettings(baseline: "naive", seed: 7, distribution: .offset)
    var run = LayerRun(settings: settings)
    let problem = try ConvProblem(parsing: "conv2d:n1c3h9w9k4r3s3p1")
    let rows = try run.rows(
      for: RunItem(suite: "test", problem: BenchmarkProblem(problem), pass: .forward),
      competitors: [Competitor(NaiveBackend()), Competitor(Self.wrong)], times: false)
    #expect(rows.map(\.verification.verdict) == [.passed, .failed])
    for row in rows { #expect(row.repro.hasSuffix("--seed 7 --data offset")) }
    let lines = ResultRow.csv(rows).split(separator: "\n")
    #expect(
      lines[0].hasSuffix(
        "error_rel_terms,error_rel_l2,ulp_p99,results,miss_probability,miss_probability_tile,"
          + "miss_probability_channel,data,projection_ratio,minimal_repro,untimed_executions,peak_gflops,"
          + "peak_probes_gflops,role,effective_bits,correlated"), "\(lines[0])")
    #expect(lines[1].contains(",324,0,0,0,offset,,,,,,engine,"), "\(lines[1])")
    // Sums of 27 products of 8 · 8: the data are what the column says.
    let data = try ProblemData(problem: problem, distribution: .offset, seed: 7)
    let mean = data.input.values(as: Float.self).reduce(0, +) / Float(data.input.count)
    #expect(abs(mean - 8) < 0.5 && rows[0].verification.errorMax > 1e-6)
    let report = RunReport(environment: [], command: "", date: "", peak: 0, rows: rows, hasTimes: false)
    #expect(report.markdown.contains("## Verification") && report.markdown.contains("| plugin | offset |"))
    #expect(report.markdown.contains("Every result of every row was looked at."))
  }
}
