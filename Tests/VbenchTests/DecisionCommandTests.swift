import ConvBackends
import ConvCore
import ConvHarness
import ConvTestSupport
import Foundation
import Testing

@testable import VbenchCLI

/// `vbench explain` and `vbench tune`.
@Suite struct DecisionCommandTests {
  private static let problem = "conv2d:n1c16h12w12k16r3s3p1"

  @Test func explainShowsEveryEngineAndTheChoice() throws {
    // Of one profile, whatever is known of the machine.
    let profile = MachineProfile.known(for: .current)
    let outcome = try withTemporaryFolder { folder in
      try profile.write(to: folder + "/profile.json")
      return try CommandLineRunner.run(
        [
          "explain", Self.problem, "--passes", "forward,backward-filter", "--backends", "all", "--profile",
          folder + "/profile.json",
        ], environment: CommandLineRunner.ownInstructionSet)
    }
    #expect(outcome.status == 0, "\(outcome)")
    for name in BackendRegistry.names {
      #expect(outcome.output.contains("\n\(name)"), "\(name) is missing: \(outcome)")
    }
    for pass in ["forward", "backward-filter"] {
      #expect(outcome.output.contains("\(Self.problem), \(pass), nhwc, fresh: 6.6e-04 GFLOP"), "\(outcome)")
    }
    // 144 terms of a plain sum.
    #expect(outcome.output.contains("\nfinite for |x|·|w| up to 2.3e+36: "), "\(outcome)")
    #expect(outcome.output.contains("\nfinite for |x|·|dy| up to 2.3e+36: "), "\(outcome)")
    let tiles = outcome.output.split(separator: "\n").filter { $0.hasPrefix("finite for") }
    #expect(tiles.contains { $0.contains(", |x| up to ") && $0.hasSuffix(": winograd") }, "\(outcome)")
    let chosen = try AutoBackend(profile: profile).plan(
      for: ConvOperation(
        .forward, ConvProblem(parsing: Self.problem), inputFormat: .nhwc, outputFormat: .nhwc))
    #expect(outcome.output.contains("auto takes \(chosen.variant)"), "\(outcome)")
  }

  /// Data of 405 million elements would take seconds for each pass.
  @Test func explainLeavesOutTheBoundsOfHugeProblems() throws {
    func explained(_ problem: String) throws -> CommandLineRunner.Outcome {
      try CommandLineRunner.run(["explain", problem, "--passes", "forward", "--backends", "im2col"])
    }
    let huge = try explained("conv3d:n1c2d5h5w5k3t3r3s3p255")
    #expect(huge.status == 0, "\(huge)")
    // 3·513³ results, 2·3·27 weights and 2·125 pixels.
    #expect(
      huge.output.contains(
        "error bounds are left out: they need data of 405017503 elements, at most 33554432 are made"),
      "\(huge)")
    let small = try explained("conv3d:n1c2d5h5w5k3t3r3s3p1")
    #expect(small.status == 0 && !small.output.contains("left out"), "\(small)")
  }

  @Test func explainSaysWhyAnEngineDeclines() throws {
    let outcome = try CommandLineRunner.run(
      ["explain", "conv2d:n1c4h20w20k4r9s9p4", "--passes", "forward", "--backends", "winograd,direct"])
    #expect(outcome.status == 0 && outcome.output.contains("winograd declines: "), "\(outcome)")
    #expect(!outcome.output.contains("auto takes"), "\(outcome)")
  }

  /// A plan holds for one cache and one workspace, whatever sweeps the options allow elsewhere.
  @Test func tuningTakesOneCondition() throws {
    for arguments in [["--cache", "warm,cold"], ["--workspace", "1MiB,64MiB"]] {
      let outcome = try CommandLineRunner.run(["tune", "resnet50", "-o", "plan.json"] + arguments)
      #expect(outcome.status == 64 && outcome.error.contains("under one condition"), "\(outcome)")
    }
    let visits = try CommandLineRunner.run(["tune", "resnet50", "-o", "plan.json", "--visits", "2"])
    #expect(visits.status == 64 && visits.error.contains("--visits is for vbench run"), "\(visits)")
    let imprecise = try CommandLineRunner.run(["tune", "resnet50", "-o", "plan.json", "--precision", "0%"])
    #expect(imprecise.status == 64, "\(imprecise)")
    #expect(!FileManager.default.fileExists(atPath: "plan.json"))
  }

  /// A copy's label is no name of an engine: what is written can be read back.
  @Test func copiesAreWrittenSoThatTheyCanBeRead() throws {
    let candidates = try NameList.competitors("im2col,im2col,winograd[tile=4x4],winograd")
    func row(_ index: Int, _ milliseconds: Double, _ variant: String) throws -> ResultRow {
      var row = ResultRow(
        item: RunItem(
          suite: "test", problem: BenchmarkProblem(try ConvProblem(parsing: Self.problem)), pass: .forward),
        competitor: candidates[index], settings: RunSettings(seed: 1))
      row.verification = Verification(.passed, reason: "")
      row.verification.errorMax = 0
      (row.medianMilliseconds, row.variant, row.executedBy) = (
        milliseconds, variant, candidates[index].backend.name
      )
      return row
    }
    let blas = "im2col[gemm=openblas]"
    let rows = try [
      row(0, 3, blas), row(1, 2, blas), row(2, 7, "winograd[tile=4x4]"), row(3, 8, "winograd[tile=4x4]"),
    ]
    let copy = try #require(TunedChoice(rows, of: candidates, maxError: nil))
    #expect(copy.best.backend == "im2col#2" && copy.choice.backend == "im2col")
    // The copy's original is no other plan.
    #expect(copy.next?.backend == "winograd[tile=4x4]")
    let variant = try #require(
      TunedChoice(
        [rows[2], rows[3], rows[0]].map { row in
          var row = row
          if row.backend == "im2col" { row.medianMilliseconds = 20 }
          return row
        }, of: candidates, maxError: nil))
    #expect(variant.choice.backend == "winograd[tile=4x4]" && variant.next?.backend == "im2col")
    for choice in [copy.choice, variant.choice] {
      #expect(try "\(BackendRegistry.named(choice.backend))" == choice.backend)
    }
  }

  /// `auto` is no candidate: a plan says what it takes.
  @Test func autoIsNotTuned() throws {
    for list in ["auto", "im2col,auto"] {
      let outcome = try CommandLineRunner.run(["tune", "resnet50", "-o", "plan.json", "--backends", list])
      #expect(outcome.status == 64 && outcome.error.contains("names auto"), "\(outcome)")
    }
    let command = try TuneCommand.parse(["resnet50", "-o", "plan.json", "--backends", "all"])
    #expect(try command.candidates().map(\.label) == BackendRegistry.names.filter { $0 != "auto" })
  }

  /// A debug build has no times to choose by, and leaves no file.
  @Test func tuneNeedsTimesAndGoodLimits() throws {
    try withTemporaryFolder { folder in
      for arguments in [
        ["--max-error", "0"], ["--budget", "-1"], ["--workspace", "many"], ["--batch", "0"],
      ] {
        let outcome = try CommandLineRunner.run(
          ["tune", "resnet50", "-o", folder + "/plan.json"] + arguments)
        #expect(outcome.status == 64, "\(outcome)")
      }
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder).isEmpty)
    }
  }
}
