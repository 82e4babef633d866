import ConvCore
import ConvTestSupport
import ConvNaive
import Foundation
import Testing

@testable import ConvHarness

/// An engine that promises support and then throws, wherever it is asked: never skipped, never declined, and never in the way of others.
@Suite struct BrokenPromiseTests {
  struct Fault: Error, CustomStringConvertible {
    var description: String { "out of order" }
  }

  /// The oracle until it throws.
  struct Throwing: ConvolutionBackend {
    enum Stage: String, CaseIterable { case planning, execution }
    let stage: Stage
    /// The model that its plans state; the oracle's if left out.
    var model: ErrorModel?
    /// Nothing is thrown: only the model is another one.
    var isRight = false
    var name: String { "throwing" }
    var nativePasses: Set<ConvPass> { Set(ConvPass.allCases) }

    func nativeSupport(for operation: ConvOperation, _ options: PlanOptions) -> Support {
      NaiveBackend().nativeSupport(for: operation, options)
    }
    func forwardPlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan {
      if stage == .planning && !isRight { throw Fault() }
      return Plan(
        inner: try NaiveBackend().nativePlan(for: operation, options), model: model, isRight: isRight)
    }
    func backwardDataPlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan {
      try forwardPlan(operation, options)
    }
    func backwardFilterPlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan {
      try forwardPlan(operation, options)
    }

    struct Plan: ConvPlan {
      let inner: any ConvPlan
      let model: ErrorModel?
      let isRight: Bool
      var operation: ConvOperation { inner.operation }
      var workspaceBytes: Int { inner.workspaceBytes }
      var executedFLOPs: Double { inner.executedFLOPs }
      var variant: String { "throwing" }
      var executedBy: String { "throwing" }
      var errorModel: ErrorModel { model ?? inner.errorModel }

      func prepare(filter: UnsafeRawPointer, pool: WorkerPool) throws -> PreparedFilter {
        try inner.prepare(filter: filter, pool: pool)
      }
      func execute(
        _ operands: ConvOperands, workspace: UnsafeMutableRawBufferPointer, pool: WorkerPool,
        phases: PhaseRecorder?
      ) throws {
        if !isRight { throw Fault() }
        try inner.execute(operands, workspace: workspace, pool: pool, phases: phases)
      }
    }
  }

  private static let text = "conv2d:n2c4h6w7k4r3s3p1"
  private static let words = "promised support, then: out of order"
  private let pool = WorkerPool.pool(threads: 1)

  private func item(_ pass: ConvPass = .forward) throws -> RunItem {
    RunItem(
      suite: "s", problem: BenchmarkProblem(try ConvProblem(parsing: Self.text)), pass: pass, format: .nchw)
  }

  @Test(arguments: Law.allCases, Throwing.Stage.allCases)
  func lawsFail(_ law: Law, _ stage: Throwing.Stage) throws {
    let outcome = LawRun(pool: pool).outcome(
      law, Competitor(Throwing(stage: stage)), .forward, try ConvProblem(parsing: Self.text), seed: 1)
    guard case .failed(let reason) = outcome.result else {
      Issue.record("\(law): \(outcome.result)")
      return
    }
    #expect(outcome.isFailure && reason.contains(Self.words), "\(reason)")
  }

  /// Integers that no bound lets be judged are no pass either.
  @Test func aLawThatCannotJudgeFails() throws {
    let vague = Throwing(stage: .execution, model: .vague(.forward, 1e9), isRight: true)
    let outcome = LawRun(pool: pool).outcome(
      .integers, Competitor(vague), .forward, try ConvProblem(parsing: Self.text), seed: 1)
    #expect(outcome.result == .failed("no bound is below ½"), "\(outcome.result)")
  }

  @Test(arguments: Throwing.Stage.allCases)
  func verificationsFail(_ stage: Throwing.Stage) throws {
    let engine = Throwing(stage: stage)
    let (item, options) = (try item(), PlanOptions(threads: 1))
    let data = try ProblemData(problem: item.problem.problem, seed: 1, pool: pool)
    let expectation = try Expectation(of: .forward, data: data, seed: 1, pool: pool)
    for seed in [nil, 1] as [UInt64?] {
      let found = Verifier(pool: pool).verify(
        engine, item.operation, options, data: data, expectation: expectation, repeatingFrom: seed)
      #expect(found.verdict == .failed && found.reason == "throwing \(Self.words)", "\(found)")
    }
    let integers = IntegerLane.check(engine, item.operation, options, seed: 1, pool: pool)
    #expect(integers.verdict == .failed && integers.reason == "throwing \(Self.words)", "\(integers)")
    let (cases, _) = try ReferenceLibrary(root: referencesRoot).convolutions()
    let reference = try #require(cases.first { $0.op == "conv2d" && $0.problem.directFLOPs < 1e6 })
    let outcomes = try ReferenceCheck(pool: pool) { _, _ in false }.outcomes(
      of: reference, backends: [engine], passes: [.forward], elementTypes: [.float32])
    #expect(outcomes.map(\.verification.verdict) == [.failed] && outcomes[0].isFailure)
    #expect(outcomes[0].verification.reason == "throwing \(Self.words)")
  }

  /// Its row says what happened, and the others' have times.
  @Test(arguments: Throwing.Stage.allCases)
  func runsGoOn(_ stage: Throwing.Stage) throws {
    var settings = RunSettings(pool: pool, baseline: "naive", seed: 1)
    (settings.sampling.leastRounds, settings.sampling.budgetSeconds) = (2, 0.001)
    settings.sampling.warmUpSeconds = 0
    var run = LayerRun(settings: settings)
    let rows = try run.rows(
      for: try item(), competitors: [Competitor(Throwing(stage: stage)), Competitor(NaiveBackend())])
    #expect(rows.map(\.verification.verdict) == [.failed, .passed])
    #expect(rows[0].verification.reason == "throwing \(Self.words)" && rows[0].seconds.isEmpty)
    #expect(rows[0].speedup == nil && rows[0].best == nil && rows[1].seconds.count >= 2)
    let explanations = try Explanation.all(
      of: try item(), by: [Competitor(Throwing(stage: stage)), Competitor(NaiveBackend())], settings: settings
    )
    // An explanation plans, and executes nothing.
    #expect(
      explanations[0].reason == (stage == .planning ? Self.words : nil) && explanations[1].reason == nil)
  }

  /// Bits that were never computed are neither equal nor declined.
  @Test(arguments: Throwing.Stage.allCases)
  func invarianceThrows(_ stage: Throwing.Stage) throws {
    #expect(throws: Fault.self) {
      try InvarianceCheck().row(
        Competitor(Throwing(stage: stage)), .forward, [try ConvProblem(parsing: Self.text)])
    }
  }

  /// Differences before agreement, agreement before a refusal, whichever comes first.
  @Test func theWorseCellIsSaid() {
    let cells: [InvarianceCell] = [.declined("no"), .bitEqual, .apart(ulps: 1), .apart(ulps: 7)]
    for (i, a) in cells.enumerated() {
      for (j, b) in cells.enumerated() {
        #expect(InvarianceCell.worse(a, b) == cells[max(i, j)], "\(a) \(b)")
      }
    }
  }

  /// A case whose engine throws is stored with what it threw in the place of its result.
  @Test func failuresAreStoredAllTheSame() throws {
    try withTemporaryFolder { folder in
      let failure = FailureCase(
        competitor: Competitor(Throwing(stage: .execution)), operation: try item().operation, seed: 1)
      #expect(try failure.save(to: folder + "/case.safetensors", pool: pool))
      let file = try SafetensorsFile(path: folder + "/case.safetensors")
      #expect(file.metadata["engine_error"] == "out of order" && file.metadata["engine"] == nil)
      #expect(file.tensors.keys.sorted() == ["grad_output", "input", "output", "weight"])
      // Where a file is no folder can be made.
      try AtomicFile.write("", to: folder + "/file")
      var report = FailureReport(folder: folder + "/file/failures", seconds: 5, pool: pool)
      let error = #expect(throws: FileError.self) { _ = try report.describe(failure) }
      guard case .cannotCreate(let path, _) = try #require(error) else {
        Issue.record("\(String(describing: error))")
        return
      }
      #expect(path == folder + "/file/failures")
    }
  }

  /// Training ends for the engine that throws, with its words as a problem; only declining is declining.
  @Test(arguments: Throwing.Stage.allCases)
  func trainingsHaveAProblem(_ stage: Throwing.Stage) throws {
    let images = try TrainingImages.reference(root: referencesRoot, count: 1)
    let rows = try TrainingRun(
      settings: RunSettings(pool: pool, baseline: "naive", seed: 1), secondsLimit: 10
    ).rows(
      images, competitors: [Competitor(Throwing(stage: stage))])
    #expect(
      rows.count == 1 && rows[0].problem.contains("out of order") && rows[0].declined.isEmpty, "\(rows)")
    #expect(rows[0].forward.isEmpty && rows[0].speedup == nil)
  }
}
