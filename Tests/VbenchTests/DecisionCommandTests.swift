import ConvBackends
import ConvCore
import Foundation
import Testing

/// `vbench explain`, `vbench tune` and `--plan`.
@Suite struct DecisionCommandTests {
  private static let problem = "conv2d:n1c16h12w12k16r3s3p1"

  @Test func explainShowsEveryEngineAndTheChoice() throws {
    let outcome = try CommandLineRunner.run(
      ["explain", Self.problem, "--passes", "forward,backward-filter", "--backends", "all"],
      environment: CommandLineRunner.ownInstructionSet)
    #expect(outcome.status == 0, "\(outcome)")
    for name in BackendRegistry.names {
      #expect(outcome.output.contains("\n\(name)"), "\(name) is missing: \(outcome)")
    }
    for pass in ["forward", "backward-filter"] {
      #expect(outcome.output.contains("\(Self.problem), \(pass), nhwc, fresh: 6.6e-04 GFLOP"), "\(outcome)")
    }
    let chosen = try AutoBackend().plan(
      for: ConvOperation(
        .forward, ConvProblem(parsing: Self.problem), inputFormat: .nhwc, outputFormat: .nhwc))
    #expect(outcome.output.contains("auto takes \(chosen.variant)"), "\(outcome)")
  }

  @Test func explainSaysWhyAnEngineDeclines() throws {
    let outcome = try CommandLineRunner.run(
      ["explain", "conv2d:n1c4h20w20k4r9s9p4", "--passes", "forward", "--backends", "winograd,direct"])
    #expect(outcome.status == 0 && outcome.output.contains("winograd declines: "), "\(outcome)")
    #expect(!outcome.output.contains("auto takes"), "\(outcome)")
  }

  private func withPlan<R>(
    threads: Int, problem: String = Self.problem, format: MemoryFormat = .nchw, _ body: (String) throws -> R
  ) throws -> R {
    try CommandLineRunner.withFolder { folder in
      let key = ConvPlanFile.Key(try ConvProblem(parsing: problem), .forward, format, .fresh)
      let file = ConvPlanFile(machines: [
        ConvPlanFile.MachinePlan(
          machine: .current(threads: threads), maxError: nil, workspaceLimit: 1 << 26,
          choices: [key: ConvPlanFile.Choice(backend: "naive", medianMilliseconds: 1, relativeError: 0)])
      ])
      try file.write(to: folder + "/plan.json")
      return try body(folder)
    }
  }

  /// The row of auto says who computed.
  @Test func runFollowsAPlan() throws {
    try withPlan(threads: 2) { folder in
      let outcome = try CommandLineRunner.run(
        [
          "run", Self.problem, "--backends", "auto", "--passes", "forward", "--threads", "2", "--quick",
          "--plan", folder + "/plan.json", "--output", folder + "/report",
        ], environment: CommandLineRunner.ownInstructionSet)
      #expect(outcome.status == 0, "\(outcome)")
      let rows = try InputFile.text(of: folder + "/report/results.csv")
      #expect(rows.contains(",auto,2,nchw,fresh,passed,") && rows.contains(",naive,"), "\(rows)")
    }
  }

  /// The choice of a plan is what trains a layer, and is printed.
  @Test func trainFollowsAPlan() throws {
    try withPlan(threads: 2, problem: "conv2d:n8c3h32w32k32r3s3p1", format: .nhwc) { folder in
      try CommandLineRunner.writeDataset(folder + "/data", train: 8, test: 8)
      func conv1(_ more: [String]) throws -> Substring? {
        let outcome = try CommandLineRunner.run(
          [
            "train", "seed-cnn", "--dataset", folder + "/data", "--batch-size", "8", "--threads", "2",
            "--backend", "auto",
          ] + more, environment: CommandLineRunner.ownInstructionSet)
        #expect(outcome.status == 0, "\(outcome)")
        return outcome.output.split(separator: "\n").first { $0.hasPrefix("conv1 ") }
      }
      let planned = try #require(try conv1(["--plan", folder + "/plan.json"]))
      #expect(planned.contains("forward: naive"), "\(planned)")
      #expect(try conv1([])?.contains("naive") == false)
    }
  }

  @Test func compareFollowsAPlan() throws {
    try withPlan(threads: 2, format: .nhwc) { folder in
      try AtomicFile.write("\(Self.problem) one\n", to: folder + "/layers.txt")
      try AtomicFile.write(
        """
        while read -r line; do
          case $line in
            *'"hello"'*) echo '{"peer": "fake", "version": "7", "configurations": ["plain"]}' ;;
            *) echo '{"error": "not today"}' ;;
          esac
        done
        """, to: folder + "/peer.sh")
      func compare(_ more: [String]) throws -> CommandLineRunner.Outcome {
        try CommandLineRunner.run(
          [
            "compare", "--peer", "sh \(folder)/peer.sh", "--suite", folder + "/layers.txt", "--passes",
            "forward",
            "--plan", folder + "/plan.json", "--output", folder + "/out",
          ] + more, environment: CommandLineRunner.ownInstructionSet)
      }
      let outcome = try compare(["--backends", "auto", "--threads", "2"])
      #expect(outcome.status == 0, "\(outcome)")
      let csv = try InputFile.text(of: folder + "/out/comparison.csv")
      #expect(csv.split(separator: "\n").last?.contains(",naive,") == true, "\(csv)")
      for (arguments, words) in [
        (["--backends", "auto"], "not for 1, 2"), (["--backends", "direct", "--threads", "2"], "auto"),
      ] {
        let outcome = try compare(arguments)
        #expect(outcome.status == 64 && outcome.error.contains(words), "\(outcome)")
      }
    }
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

  @Test func plansForOthersAreErrors() throws {
    try withPlan(threads: 1) { folder in
      func run(_ arguments: [String]) throws -> CommandLineRunner.Outcome {
        try CommandLineRunner.run(
          ["run", Self.problem, "--threads", "2", "--quick", "--output", folder + "/report"] + arguments,
          environment: CommandLineRunner.ownInstructionSet)
      }
      for (status, arguments, words) in [
        (64, ["--plan", folder + "/plan.json", "--backends", "auto"], "1 thread"),
        (64, ["--plan", folder + "/plan.json", "--backends", "naive"], "auto"),
        (66, ["--plan", folder + "/none.json", "--backends", "auto"], "none.json"),
      ] {
        let outcome = try run(arguments)
        #expect(outcome.status == Int32(status) && outcome.error.contains(words), "\(outcome)")
      }
      for (status, arguments, words) in [
        (64, ["--plan", folder + "/plan.json", "--backend", "auto"], "1 thread"),
        (64, ["--plan", folder + "/plan.json"], "--plan is for auto"),
        (66, ["--plan", folder + "/none.json", "--fallback", "auto"], "none.json"),
      ] {
        let outcome = try CommandLineRunner.run(
          ["train", "seed-cnn", "--threads", "2"] + arguments,
          environment: CommandLineRunner.ownInstructionSet)
        #expect(outcome.status == Int32(status) && outcome.error.contains(words), "\(outcome)")
      }
      try AtomicFile.write("{", to: folder + "/plan.json")
      let outcome = try run(["--plan", folder + "/plan.json", "--backends", "auto"])
      #expect(outcome.status == 65, "\(outcome)")
      #expect(!FileManager.default.fileExists(atPath: folder + "/report"))
    }
  }

  /// A debug build has no times to choose by, and leaves no file.
  @Test func tuneNeedsTimesAndGoodLimits() throws {
    try CommandLineRunner.withFolder { folder in
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
