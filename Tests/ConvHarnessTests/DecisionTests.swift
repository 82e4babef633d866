import ConvCore
import ConvNaive
import Testing

@testable import ConvHarness

@Suite struct DecisionTests {
  /// A verified row with an error of `error` relative to the values' rms.
  private func row(
    _ backend: String, _ milliseconds: Double, error: Double = 1e-6, variant: String? = nil,
    pass: ConvPass = .forward,
    predicted: Double = 1
  ) throws -> ResultRow {
    var row = try SyntheticRun.row(pass: pass, backend: backend, milliseconds: milliseconds, noise: 0)
    row.variant = variant ?? backend
    row.executedBy = backend
    row.predictedMilliseconds = predicted
    // Values of ±1 have an rms of 1.
    let values = [1.0, -1, 1, -1]
    row.verification.norms = ErrorNorms(
      results: [1 + error, -1, 1, -1], values: values, magnitudes: [1, 1, 1, 1], elementType: .float32)
    row.verification.errorMax = error
    row.verification.errorRMS = error / 2
    return row
  }

  @Test func theRelativeErrorIsTheLargestOverTheRms() throws {
    #expect(abs(try row("a", 1, error: 3e-4).relativeError - 3e-4) < 1e-12)
    #expect(try row("a", 1, error: 0).relativeError == 0)
    var unknown = try row("a", 1)
    unknown.verification.norms = nil
    #expect(unknown.relativeError.isNaN)
  }

  @Test func theFastestIsChosen() throws {
    let rows = [try row("slow", 2), try row("fast", 1), try row("middle", 1.5)]
    #expect(Tuning.choose(rows, maxError: nil)?.backend == "fast")
    #expect(Tuning.choose([], maxError: nil) == nil)
  }

  /// Within 2 % the more accurate one, beyond the faster one.
  @Test func accuracyDecidesBetweenEquals() throws {
    let fast = try row("fast", 1, error: 1e-4)
    #expect(
      Tuning.choose([fast, try row("accurate", 1.019, error: 1e-6)], maxError: nil)?.backend == "accurate")
    #expect(Tuning.choose([fast, try row("accurate", 1.021, error: 1e-6)], maxError: nil)?.backend == "fast")
  }

  @Test func whatIsTooWrongIsNotChosen() throws {
    var failed = try row("failed", 0.1)
    failed.set(Verification(.failed, reason: "wrong"))
    var mistrusted = try row("mistrusted", 0.1)
    mistrusted.set(Verification(.mistrusted, reason: "loose"))
    var unknown = try row("unknown", 0.1)
    unknown.verification.norms = nil
    var untimed = try row("untimed", 0.1)
    untimed.medianMilliseconds = .nan
    let rows = [
      failed, mistrusted, unknown, untimed, try row("rough", 1, error: 2e-4), try row("fine", 3, error: 1e-4),
    ]
    #expect(Tuning.choose(rows, maxError: 1e-4)?.backend == "fine")
    #expect(Tuning.choose(rows, maxError: 1e-5) == nil)
    #expect(try #require(Tuning.rejection(of: rows[4], maxError: 1e-4)).contains("0.0002"))
    #expect(try #require(Tuning.rejection(of: failed, maxError: nil)).contains("wrong"))
    #expect(Tuning.rejection(of: rows[5], maxError: nil) == nil)
  }

  /// What stands in an explanation is what the plan says, and the bound is above the error that is found.
  @Test func explanationsAreThePlans() throws {
    let item = RunItem(
      suite: "", problem: BenchmarkProblem(try ConvProblem(parsing: "conv2d:n2c8h9w9k4r3s3p1")),
      pass: .forward)
    var settings = RunSettings(pool: .pool(threads: 2))
    let prices = WorkPrices([.modelled: 0.75])
    settings.prices = prices
    let competitors = [Competitor(NaiveBackend()), Competitor(NaiveBackend(), variant: "none such")]
    let explanations = try Explanation.all(of: item, by: competitors, settings: settings)
    let plan = try NaiveBackend().plan(for: item.operation, PlanOptions(threads: 2))
    let first = try #require(explanations.first)
    #expect(first.reason == nil && first.variant == plan.variant && first.executedFLOPs == plan.executedFLOPs)
    #expect(
      first.workspaceBytes == plan.workspaceBytes
        && first.predictedMilliseconds == prices.nanoseconds(plan.work) * 1e-6
        && first.predictedMilliseconds > 0)
    // Without prices nothing is predicted.
    settings.prices = nil
    let unpriced = try Explanation.all(of: item, by: competitors, settings: settings)
    #expect(unpriced[0].predictedMilliseconds.isNaN && unpriced[0].variant == plan.variant)
    var run = LayerRun(settings: settings)
    let row = try #require(try run.rows(for: item, competitors: [competitors[0]], times: false).first)
    #expect(
      row.verification.errorRMS > 0 && first.relativeBound > row.verification.norms?.relativeL2 ?? .infinity)
    #expect(first.relativeBound < 1e-6)
  }
}
