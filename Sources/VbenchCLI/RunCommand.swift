import ArgumentParser
import ConvBackends
import ConvCore
import ConvHarness
import ConvNN
import ConvVision
import Foundation

/// `vbench run`: verify, then time, then compare backends; writes the report.
struct RunCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run",
    abstract: "Verifies, then times backends on convolutions and training steps, and writes a report.",
    discussion: """
      Without problems and suites it runs the default job: some layers of every suite on every backend in all
      three passes, then training steps of seed-cnn, in less than three minutes. A backend whose results are wrong
      gets a row that says so, never a time.

      EXAMPLES
        vbench run                                        the default job
        vbench run --quick                                a smaller one
        vbench run conv2d:n1c64h56w56k64r3s3p1            one layer
        vbench run mb1ic64ih56oc64kh3ph1                  the same in benchdnn's language
        vbench run --suite resnet50 --batch 1 --backends winograd,im2col
        vbench run --suite shapes.txt --passes forward --format nhwc,nchw
        vbench run --suite 'shapes/*' --match '3_[12]|r5s5' --list
        vbench run --onnx model.onnx --batch 8 --passes forward
        vbench run --onnx model.onnx --shapes image:8x3x224x224
        vbench run --network seed-cnn --backends winograd,im2col
        vbench run --network resnet18,mobilenet-v2 --fallback direct
        vbench run --suite vgg16 --threads 1,2 --precision 2% --budget 10
        vbench run --suite vgg16 --workspace 1MiB,16MiB,64MiB --cache cold
        vbench run --suite shapes.txt --output out        Ctrl-C, and then:
        vbench run --suite shapes.txt --resume out
      """)

  @Argument(help: ArgumentHelp("Problems: canonical text or benchdnn's language.", valueName: "problem"))
  var problems: [String] = []

  @OptionGroup var selection: ProblemOptions

  @Option(
    help: ArgumentHelp(
      "Engines, as in winograd[tile=2x2],im2col, or all; all if left out, with --quick all but naive.",
      valueName: "list"))
  var backends: String?

  @OptionGroup var layerOptions: LayerOptions

  @Option(
    help: ArgumentHelp("Threads of the worker pool; several make a sweep, as in 1,2.", valueName: "list"))
  var threads: String?

  @Option(
    help: ArgumentHelp(
      "Full training steps of networks (`vbench list networks`), as in seed-cnn,resnet18; repeatable.",
      valueName: "list"))
  var network: [String] = []

  @Flag(help: "Fewer layers and shorter measurements, for a first look.")
  var quick = false

  @Option(help: "The backend that the others are compared with.")
  var baseline = "im2col"

  @Option(help: ArgumentHelp("Folder of the report; Reports/<date>-<machine> if left out.", valueName: "dir"))
  var output: String?

  @Option(help: ArgumentHelp("Folder of stored references, for training.", valueName: "dir"))
  var references: String?

  @Option(help: ArgumentHelp("Folder of Fashion-MNIST's files, for training.", valueName: "dir"))
  var dataset: String?

  @OptionGroup var measurement: MeasurementOptions

  @OptionGroup var resumption: ResumeOption

  @OptionGroup var training: TrainingOptions

  @OptionGroup var planFile: PlanFileOption

  @OptionGroup var verification: VerificationOptions

  @OptionGroup var shrinking: ShrinkOption

  @OptionGroup var openBLAS: OpenBLASOption
  @OptionGroup var profile: ProfileOption
  @OptionGroup var junit: JUnitOption
  @OptionGroup var earlier: EarlierRunOption

  func run() throws {
    if let error = InstructionSet.environmentError { throw error }
    let named = try NameList.competitors(backends ?? (quick ? NameList.fastBackends : "all"))
    let plan = try plan()
    if selection.list { return print(ProblemOptions.listing(plan.items)) }
    let followed = try planFile.read()
    let conditions = try measurement.conditions(
      threads: threads ?? followed.map { "\($0.threadsOfPool())" })
    let fallback = try training.competitor()
    let engines = named + (fallback.map { [$0] } ?? [])
    let planned = try followed?.apply(to: engines, threads: conditions.map(\.pool.threads)) ?? engines
    let competitors = Array(planned.prefix(named.count))
    let folder = try folder()
    try AtomicFolder.checkCreatable(folder)
    try junit.check()
    try openBLAS.apply()
    Interruption.catchSignals()
    try profile.apply(to: planned)
    var session = try RunSession(
      command: self, plan: plan, competitors: competitors, conditions: conditions,
      settings: settings(plan, conditions, competitors))
    session.fallback = fallback == nil ? nil : planned.last
    session.planReport = try followed?.report(on: session.plannedParts())
    session.planReport?.show()
    let report = try session.run(folder: folder)
    try junit.write(JUnitReport(report))
    print(RunSession.summary(report), terminator: "")
    RunSession.printNotes(report, verbose: measurement.verbose)
    try describeFailures(report, competitors, session.settings.pool, folder: folder)?.write(to: folder)
    print("report: \(folder)/report.md, to look at: \(folder)/report.html")
    if report.isPartial { throw InterruptedRun(folder: folder) }
    if report.hasFailures { throw ExitCode(ExitStatus.verificationFailed.rawValue) }
  }

  /// Where the report goes: with `--resume` where the run began.
  private func folder() throws -> String {
    guard let resumed = resumption.resume else { return output ?? RunCommand.defaultFolder }
    if let output, output != resumed {
      throw UsageError("--resume \(resumed) goes on in that folder, --output \(output) is another one")
    }
    return resumed
  }

  private func settings(
    _ plan: RunPlan, _ conditions: [RunCondition], _ competitors: [Competitor]
  ) throws -> RunSettings {
    var limits = SamplingLimits()
    limits.precision = try measurement.precisionFraction()
    limits.leastRounds = try measurement.leastRounds()
    limits.budgetSeconds = plan.secondsPerItem
    limits.warmUpSeconds = quick ? 0.01 : 0.05
    // Training runs with the most threads.
    let pool = conditions.map(\.pool).max { $0.threads < $1.threads } ?? .shared
    var settings = RunSettings(
      pool: pool, baseline: try baselineLabel(competitors), seed: layerOptions.seed, sampling: limits,
      distribution: try verification.distribution())
    settings.prices = MachineProfile.current.prices
    return settings
  }

  /// The competitor that `--baseline` means: of that label, else of that engine.
  private func baselineLabel(_ competitors: [Competitor]) throws -> String {
    if let exact = competitors.first(where: { $0.label == baseline }) { return exact.label }
    if let engine = competitors.first(where: { $0.backend.name == baseline }) { return engine.label }
    // A baseline that exists but does not take part leaves the speed-ups empty.
    _ = try BackendRegistry.named(baseline)
    return baseline
  }

  private func plan() throws -> RunPlan {
    var networks: [ImageNetwork] = []
    for name in network.flatMap(NameList.split) where !networks.contains(where: { $0.name == name }) {
      networks.append(try ImageNetwork.known(name))
    }
    let isDefault = problems.isEmpty && !selection.namesProblems && network.isEmpty
    let layers = try selection.layers(
      texts: problems, others: isDefault ? RunCommand.representatives(isQuick: quick) : [],
      limit: quick ? 2 : .max)
    var plan = RunPlan()
    plan.items = try layerOptions.items(layers, of: selection)
    let trainsSeedNetwork = isDefault && selection.match == nil
    plan.networks = trainsSeedNetwork ? [try ImageNetwork.known("seed-cnn")] : networks
    if let budget = measurement.budget, !(budget > 0 && budget <= 3600) {
      throw UsageError("--budget is \(budget), more than 0 and at most 3600 seconds are possible")
    }
    plan.secondsPerItem = measurement.budget ?? (quick ? 0.25 : isDefault ? 0.8 : 3)
    plan.secondsForItems = isDefault && measurement.budget == nil ? (quick ? 11 : 105) : nil
    let visits = try measurement.visitCount(standard: quick ? 1 : 3)
    plan.visits = BuildConfiguration.isDebug ? 1 : visits
    plan.trainingSeconds = training.steps != nil ? .infinity : quick ? 4 : 12
    plan.trainingSteps = training.steps ?? (quick ? 6 : 25)
    return plan
  }

  /// Some layers of every suite; of each the first, at a quarter of its batch, for a quick run.
  static func representatives(isQuick: Bool = false) throws -> [ProblemOptions.Layer] {
    try BenchmarkSuite.builtIn.flatMap { suite in
      try suite.representatives.prefix(isQuick ? 1 : .max).compactMap { representative in
        guard var problem = suite.problems.first(where: { $0.name == representative.name }) else {
          return nil
        }
        problem.problem = try problem.problem.withBatch(
          isQuick ? max(1, representative.batch / 4) : representative.batch)
        return (suite.name, problem)
      }
    }
  }

  private static var defaultFolder: String {
    let formatter = DateFormatter()
    formatter.locale = Locale(identifier: "en_US_POSIX")
    formatter.dateFormat = "yyyy-MM-dd"
    var machine = ""
    for character in MachineDescription().cpu.lowercased() {
      if character.isASCII && (character.isLetter || character.isNumber) {
        machine.append(character)
      } else if machine.last != "-" && !machine.isEmpty {
        machine.append("-")
      }
    }
    while machine.last == "-" { machine.removeLast() }
    return "Reports/\(formatter.string(from: Date()))-\(machine.isEmpty ? "machine" : machine)"
  }
}

/// Ctrl-C during a run: what had been measured is in the report.
struct InterruptedRun: StatusError, CustomStringConvertible {
  let folder: String
  var exitStatus: ExitStatus { .interrupted }
  var description: String { "interrupted; what had been measured is in \(folder)" }
}
