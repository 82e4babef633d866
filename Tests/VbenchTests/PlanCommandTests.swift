import ConvBackends
import ConvCore
import ConvHarness
import ConvNN
import ConvTestSupport
import Foundation
import Testing

@testable import VbenchCLI

/// `--plan` on every command that takes it, with the options that `vbench tune` and the command have by themselves. The choices are
/// such as auto would never make.
@Suite struct PlanCommandTests {
  private static let problem = "conv2d:n1c16h12w12k16r3s3p1"
  private static let odd: [ConvPass: String] = [
    .forward: "winograd[tile=6x6]", .backwardData: "naive", .backwardFilter: "im2col[gemm=kernel]",
  ]
  /// The pool of a command without `--threads`.
  private static let threads = WorkerPool.shared.threads
  private static let environment = CommandLineRunner.ownInstructionSet.merging(
    ["VBENCH_THREADS": "\(threads)"]) { $1 }

  /// The machine of the commands, whose OpenBLAS runs the core that `--openblas-core` takes by itself.
  private static let plan = ConvPlanFile.MachinePlan(machine: .current(threads: threads))

  private func write(_ plans: [ConvPlanFile.MachinePlan], _ folder: String) throws {
    let info = try CommandLineRunner.run(["info"])
    let core = info.output.split(separator: "core ").dropFirst().first?.split(separator: " ").first
    try ConvPlanFile(
      machines: plans.map { plan in
        var plan = plan
        plan.conditions.openBLASCore = core.map(String.init)
        return plan
      }
    ).write(to: folder + "/plan.json")
  }

  private func key(
    _ pass: ConvPass = .forward, _ problem: String = Self.problem, _ format: MemoryFormat = .nhwc,
    _ state: FilterState = .fresh
  ) throws -> ConvPlanFile.Key {
    ConvPlanFile.Key(try ConvProblem(parsing: problem), pass, format, state)
  }

  /// A plan with one choice per key, in a new folder.
  private func withPlan<R>(
    _ choices: [ConvPlanFile.Key: String], _ change: (inout ConvPlanFile.MachinePlan) -> Void = { _ in },
    _ body: (String) throws -> R
  ) throws -> R {
    try withTemporaryFolder { folder in
      var plan = Self.plan
      plan.choices = choices.mapValues {
        ConvPlanFile.Choice(backend: $0, medianMilliseconds: 1, relativeError: 0)
      }
      change(&plan)
      try write([plan], folder)
      return try body(folder)
    }
  }

  /// What `vbench tune` without options would write for the problem.
  private func withTunedPlan<R>(_ body: (String) throws -> R) throws -> R {
    var choices: [ConvPlanFile.Key: String] = [:]
    for (pass, choice) in Self.odd { choices[try key(pass)] = choice }
    return try withPlan(choices, { _ in }, body)
  }

  private func run(_ folder: String, _ more: [String] = []) throws -> (
    outcome: CommandLineRunner.Outcome, rows: [ResultRow], report: String
  ) {
    let outcome = try CommandLineRunner.run(
      [
        "run", Self.problem, "--backends", "auto", "--plan", folder + "/plan.json", "--output",
        folder + "/out",
      ]
        + more, environment: Self.environment)
    let rows = try? RunReport(reading: folder + "/out").rows
    return (outcome, rows ?? [], (try? InputFile.text(of: folder + "/out/run.json")) ?? "")
  }

  @Test func everyRowOfARunIsTheTunedEngine() throws {
    try withTunedPlan { folder in
      let (outcome, rows, report) = try run(folder)
      #expect(outcome.status == 0 && rows.count == 3, "\(outcome)")
      for row in rows {
        let choice = try #require(Self.odd[row.pass]?.split(separator: "]")[0])
        #expect(
          row.variant.hasPrefix(choice) || row.executedBy.hasPrefix(choice), "\(row.pass): \(row.variant)")
        #expect(row.format == .nhwc && row.verification.verdict == .passed, "\(row.pass)")
        #expect(row.repro.hasSuffix(" --plan \(folder)/plan.json"), "\(row.repro)")
      }
      #expect(outcome.error.contains(") is followed in 3 of 3 items\n"), "\(outcome)")
      #expect(!outcome.error.contains("warning: plan.json"), "\(outcome)")
      #expect(report.contains(") is followed in 3 of 3 items"), "\(report)")
    }
  }

  /// A file that decides nothing of what is asked for does not look like one that does.
  @Test(arguments: [
    ("--format", "nchw", "only in nhwc, not in nchw, for 3 of 3 items"),
    ("--filter-state", "prepared", "only with fresh filters, not with prepared filters, for 2 of 2 items"),
    ("--batch", "2", "only at batch 1, not at batch 2, for 3 of 3 items"),
    (
      "--workspace", "1MiB",
      "only with a workspace of 64 MiB, not with a workspace of 1 MiB, for 3 of 3 items"
    ),
  ])
  func whatARunDoesNotFollowIsSaid(_ option: String, _ value: String, _ words: String) throws {
    try withTunedPlan { folder in
      let (outcome, rows, report) = try run(
        folder, [option, value] + (value == "prepared" ? ["--passes", "forward,backward-data"] : []))
      #expect(outcome.status == 0 && rows.allSatisfy { !$0.executedBy.hasPrefix("naive") }, "\(outcome)")
      for text in [outcome.error, report] {
        #expect(text.contains("plan.json has \(words)"), "\(text)")
        #expect(text.contains("plan.json has no choice for any of the"), "\(text)")
      }
    }
  }

  /// Part of a run: of two formats one is followed, and the caches are others than in tuning.
  @Test func partsAreCounted() throws {
    try withTunedPlan { folder in
      let (outcome, rows, _) = try run(
        folder, ["--format", "nhwc,nchw", "--passes", "backward-data", "--cache", "cold"])
      #expect(rows.map(\.executedBy).filter { $0.hasPrefix("naive") }.count == 1, "\(outcome)")
      #expect(outcome.error.contains(") is followed in 1 of 2 items\n"), "\(outcome)")
      #expect(outcome.error.contains("plan.json was tuned with warm caches, these are cold (1 of 2)"))
    }
  }

  @Test func sweepsOfThreadsTakeTheirOwnPlans() throws {
    try withPlan([try key(): "naive"], { $0.machine.threads = 1 }) { folder in
      let (outcome, rows, _) = try run(folder, ["--threads", "1,2", "--passes", "forward"])
      #expect(rows.filter { $0.executedBy.hasPrefix("naive") }.map(\.threads) == [1], "\(outcome)")
      #expect(outcome.error.contains("only for 1 thread, not for 2 threads, for 1 of 2 items"), "\(outcome)")
    }
  }

  /// Training steps of `run` follow it in all passes and with what is fused to them, also where auto is the fallback only.
  @Test(arguments: [["--backends", "auto"], ["--backends", "winograd[tile=99x99]", "--fallback", "auto"]])
  func trainingStepsOfARunFollowAPlan(_ engines: [String]) throws {
    try withNetworkPlan(batch: 2) { folder, count in
      let outcome = try CommandLineRunner.run(
        [
          "run", "--network", "seed-cnn", "--batch", "2", "--steps", "2", "--plan", folder + "/plan.json",
          "--output", folder + "/out", "--dataset", folder + "/data",
        ] + engines, environment: Self.environment)
      #expect(outcome.status == 0, "\(outcome)")
      #expect(
        outcome.error.contains(
          ") is followed in \(count) of \(count) convolutions in training steps of seed-cnn\n"),
        "\(outcome)")
      let rows = try InputFile.text(of: folder + "/out/layers.csv").split(separator: "\n")
        .filter { $0.contains("Conv2d") }
      #expect(rows.count == 3, "\(rows)")
      for row in rows {
        // The first column but one is what was asked for.
        let ran = row.replacing("winograd[tile=99x99]", with: "").replacing(",auto,", with: ",")
        #expect(ran.contains("naive"), "\(row)")
        #expect(!BackendRegistry.names.contains { $0 != "naive" && ran.contains($0) }, "\(row)")
      }
    }
  }

  /// A plan with naive plans for all that a network's steps ask for, as `vbench tune --network` would, and a small data set.
  private func withNetworkPlan(batch: Int, _ body: (String, Int) throws -> Void) throws {
    let network = try ImageNetwork.known("seed-cnn")
    let convolutions = try NetworkConvolutions(
      of: network, batch: batch, on: Competitor(.auto), threads: Self.threads)
    var choices: [ConvPlanFile.Key: String] = [:]
    let command = try TuneCommand.parse(["--network", "seed-cnn", "--batch", "\(batch)", "-o", "plan.json"])
    for item in try command.items() {
      choices[try #require(ConvPlanFile.Key(item.operation, item.filterState))] = "naive"
    }
    try withPlan(choices) { folder in
      try CommandLineRunner.writeDataset(folder + "/data", train: 4 * batch, test: 2 * batch)
      try body(folder, convolutions.entries.count)
    }
  }

  /// Every layer in every pass, with bias, ReLU and pooling in the same operation, and in the tests after the epoch.
  @Test func everyLayerTrainsOnTheTunedEngine() throws {
    try withNetworkPlan(batch: 4) { folder, count in
      func train(_ more: [String]) throws -> CommandLineRunner.Outcome {
        let outcome = try CommandLineRunner.run(
          ["train", "seed-cnn", "--dataset", folder + "/data", "--backend", "auto", "--batch-size", "4"]
            + more,
          environment: Self.environment)
        #expect(outcome.status == 0, "\(outcome)")
        return outcome
      }
      let outcome = try train(["--plan", folder + "/plan.json"])
      let layers = outcome.output.split(separator: "\n").filter { $0.hasPrefix("conv") }
      #expect(count == 8 && layers.count == 3, "\(outcome)")
      for layer in layers {
        #expect(layer.contains("naive"), "\(layer)")
        for engine in BackendRegistry.names where engine != "naive" {
          #expect(!layer.contains(engine), "\(layer)")
        }
      }
      #expect(outcome.error.contains("followed in 8 of 8 convolutions in training steps of seed-cnn\n"))
      #expect(!(try train([])).output.contains("naive"))
      // 7 images leave a batch of 3.
      let cut = try train(["--plan", folder + "/plan.json", "--limit", "7"])
      #expect(cut.error.contains("of 8 convolutions in training steps of seed-cnn, in 0 of "), "\(cut)")
      #expect(cut.error.contains("only at batch 4, not at batch 3, for"), "\(cut)")
    }
  }

  private static let peer = """
    while read -r line; do
      case $line in
        *'"hello"'*) echo '{"peer": "fake", "version": "7", "configurations": ["plain"]}' ;;
        *) echo '{"error": "not today"}' ;;
      esac
    done
    """

  @Test func everyRowOfAComparisonIsTheTunedEngine() throws {
    try withTunedPlan { folder in
      try AtomicFile.write("\(Self.problem) one\n", to: folder + "/layers.txt")
      try AtomicFile.write(Self.peer, to: folder + "/peer.sh")
      func compare(_ more: [String]) throws -> CommandLineRunner.Outcome {
        try CommandLineRunner.run(
          [
            "compare", "--peer", "sh \(folder)/peer.sh", "--suite", folder + "/layers.txt",
            "--plan", folder + "/plan.json", "--output", folder + "/out",
          ] + more, environment: Self.environment)
      }
      // Without --threads those that were tuned.
      let outcome = try compare(["--backends", "auto"])
      #expect(outcome.status == 0, "\(outcome)")
      let rows = try InputFile.text(of: folder + "/out/comparison.csv").split(separator: "\n").dropFirst()
      #expect(rows.count == 3, "\(rows)")
      for row in rows {
        let pass = try #require(ConvPass.allCases.first { row.contains(",\($0.rawValue),") })
        let engine = try #require(Self.odd[pass]).split(separator: "[")[0]
        #expect(row.contains(",\(engine)"), "\(row)")
      }
      #expect(outcome.error.contains(") is followed in 3 of 3 items\n"), "\(outcome)")
      let other = try compare(["--backends", "auto", "--format", "nchw"])
      #expect(other.error.contains("plan.json has only in nhwc, not in nchw, for 3 of 3 items"), "\(other)")
      let report = try InputFile.text(of: folder + "/out/comparison.md")
      #expect(report.contains("plan.json has only in nhwc, not in nchw"), "\(report)")
      let absent = try compare(["--backends", "direct"])
      #expect(absent.status == 64 && absent.error.contains("--plan is for auto"), "\(absent)")
    }
  }

  @Test func explainFollowsAPlan() throws {
    try withTunedPlan { folder in
      func explain(_ more: [String]) throws -> CommandLineRunner.Outcome {
        try CommandLineRunner.run(
          ["explain", Self.problem, "--plan", folder + "/plan.json"] + more, environment: Self.environment)
      }
      let outcome = try explain([])
      #expect(outcome.status == 0, "\(outcome)")
      for choice in Self.odd.values {
        let words = "auto takes \(choice.split(separator: "]")[0])"
        #expect(outcome.output.contains(words), "\(choice): \(outcome)")
        #expect(outcome.output.contains(": the plan file says \(choice)\n"), "\(choice): \(outcome)")
      }
      #expect(outcome.error.contains(") is followed in 3 of 3 items\n"), "\(outcome)")
      let other = try explain(["--filter-state", "prepared", "--passes", "forward"])
      #expect(other.error.contains("only with fresh filters, not with prepared filters, for 1 of 1 items"))
    }
  }

  /// What is for other machines only is refused, with what there is and what is wanted.
  @Test func plansForOthersAreErrors() throws {
    let numbers = [(64, ["--threads", "2"], "64 threads"), (Self.threads, [], "stepping 99")]
    for (threads, arguments, words) in numbers {
      let change: (inout ConvPlanFile.MachinePlan) -> Void = {
        $0.machine.threads = threads
        if threads == Self.threads { $0.machine.processor.stepping = 99 }
      }
      try withPlan([try key(): "naive"], change) { folder in
        for command in [
          ["run", Self.problem, "--backends", "auto", "--output", folder + "/out"],
          ["train", "seed-cnn", "--backend", "auto"], ["explain", Self.problem],
          ["compare", "--network", "lenet", "--backends", "auto", "--output", folder + "/out"],
        ] {
          let outcome = try CommandLineRunner.run(
            command + ["--plan", folder + "/plan.json"] + arguments, environment: Self.environment)
          #expect(outcome.status == 64 && outcome.error.contains(words), "\(outcome)")
        }
        #expect(!FileManager.default.fileExists(atPath: folder + "/out"))
      }
    }
  }

  @Test func filesThatAreNoPlansAreErrors() throws {
    try withPlan([try key(): "naive"]) { folder in
      func run(_ arguments: String...) throws -> CommandLineRunner.Outcome {
        try CommandLineRunner.run(arguments, environment: Self.environment)
      }
      for (status, arguments, words) in [
        (64, ["run", Self.problem, "--plan", folder + "/plan.json", "--backends", "naive"], "auto"),
        (66, ["run", Self.problem, "--plan", folder + "/none.json", "--backends", "auto"], "none.json"),
        (64, ["train", "seed-cnn", "--plan", folder + "/plan.json"], "--plan is for auto"),
        (66, ["train", "seed-cnn", "--plan", folder + "/none.json", "--fallback", "auto"], "none.json"),
      ] {
        let outcome = try CommandLineRunner.run(arguments, environment: Self.environment)
        #expect(outcome.status == Int32(status) && outcome.error.contains(words), "\(outcome)")
      }
      for text in ["{", "{\"format\": \"vbench-plan-1\", \"machines\": []}"] {
        try AtomicFile.write(text, to: folder + "/plan.json")
        let outcome = try run("explain", Self.problem, "--plan", folder + "/plan.json")
        #expect(outcome.status == 65 && outcome.error.contains("plan.json"), "\(outcome)")
      }
    }
  }
}
