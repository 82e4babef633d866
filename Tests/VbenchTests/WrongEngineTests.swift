import ConvCore
import ConvHarness
import ConvTestSupport
import Foundation
import Testing

@testable import VbenchCLI

/// What the commands do about an engine that is wrong, plugged in as a user's own would be.
@Suite struct WrongEngineTests {
  private let competitors = [Competitor(wrong())]
  private let pool = WorkerPool.shared

  @Test func runsShrinkAndStoreTheFailure() throws {
    try withTemporaryFolder { folder in
      let problem = try ConvProblem(parsing: "conv2d:n2c4h9w9k4r3s3p1")
      let command = try RunCommand.parse(["\(problem)", "--seed", "3", "--data", "normal", "--shrink", "20"])
      var plan = RunPlan()
      plan.items = [
        RunItem(suite: "test", problem: BenchmarkProblem(problem), pass: .forward, format: .nhwc)
      ]
      let session = RunSession(
        command: command, plan: plan, competitors: competitors,
        conditions: try command.measurement.conditions(threads: nil),
        settings: RunSettings(pool: pool, seed: 3, distribution: try command.verification.distribution()))
      let report = try session.run(folder: folder)
      #expect(report.hasFailures && report.rows.map(\.verification.verdict) == [.failed])
      _ = try command.describeFailures(report, competitors, pool, folder: folder)
      let name = "wrong-forward-n1c1h1w1k1r1s1-normal.safetensors"
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder + "/failures") == [name])
      #expect(try ReferenceCase(path: "\(folder)/failures/\(name)").problem.description.hasSuffix("r1s1"))
      var table = ResultTable(report)
      let text = table.lines(report.rows) + RunSession.summary(report)
      #expect(text.contains("× bound") && text.contains("--format nhwc"), "\(text)")
    }
  }

  /// Exit code 1, and the case is stored.
  @Test(arguments: [["--laws", "--count", "1"], ["conv2d:c2h4w5k2r3s3p1", "--law", "linearity"]])
  func brokenLawsFailTheCheck(_ arguments: [String]) throws {
    try withTemporaryFolder { folder in
      let command = try CheckCommand.parse(arguments + ["--failures", folder + "/failures"])
      let error = #expect(throws: (any Error).self) {
        try command.checkWithoutReferences(competitors, [.forward], pool)
      }
      #expect("\(try #require(error))".contains("1"))
      let names = try FileManager.default.contentsOfDirectory(atPath: folder + "/failures")
      // Both sides of the law, and the minimal case of the engine that is wrong even without it.
      #expect(names.contains { $0.hasPrefix("law-linearity-wrong-forward-") }, "\(names)")
      #expect(names.contains { $0.hasPrefix("wrong-forward-") }, "\(names)")
    }
  }

  @Test func brokenPromisesAreCounted() throws {
    let command = try CheckCommand.parse(["--invariance"])
    let problem = try ConvProblem(parsing: "conv2d:n2c2h4w5k2r3s3p1")
    #expect(try command.matrix([problem], competitors, [.forward]) == 0)
    #expect(try command.matrix([problem], [Competitor(wrong(isRandom: true))], [.forward]) == 2)
  }
}

/// All results of plain forward passes are 1, or a number that changes from call to call.
private func wrong(isRandom: Bool = false) -> FakeBackend {
  FakeBackend("wrong", passes: [.forward]) {
    $0.pass == .forward && $0.elementType == .float32 ? nil : "plain forward passes only"
  } changing: { plan in
    plan.variant = "wrong"
    plan.model = { .summation(.chain, accumulator: .float32) }
    plan.spoil { result, _ in result.update(repeating: isRandom ? Float.random(in: 1..<2) : 1) }
  }
}
