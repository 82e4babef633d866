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
      Without problems, suites, models and networks it runs the default job: some layers of every suite on every backend
      in all three passes, then training steps of seed-cnn, in less than three minutes. A backend whose results are wrong
      gets a row that says so, never a time.

      EXAMPLES
        vbench run                                        the default job
        vbench run --quick                                a smaller one
        vbench run conv2d:n1c64h56w56k64r3s3p1            one layer
        vbench run mb1ic64ih56oc64kh3ph1                  the same in benchdnn's language
        vbench run resnet50 --batch 1 --backends winograd,im2col
        vbench run --suite shapes.txt --passes forward --format nhwc,nchw
        vbench run --suite 'shapes/*' --match '3_[12]|r5s5' --list
        vbench run model.onnx --batch 8 --passes forward
        vbench run --onnx model.onnx --shapes image:8x3x224x224
        vbench run --network seed-cnn --backends winograd,im2col
        vbench run --network resnet18,mobilenet-v2 --fallback direct
        vbench run --suite vgg16 --threads 1,2 --precision 2% --budget 10
        vbench run --suite vgg16 --workspace 1MiB,16MiB,64MiB --cache cold
        vbench run --suite shapes.txt --output out        Ctrl-C, and then:
        vbench run --suite shapes.txt --resume out
      """)

  @OptionGroup var selection: ProblemOptions

  @Option(
    help: ArgumentHelp(
      "Engines, as in winograd[tile=2x2],im2col, or all; all if left out, with --quick all but naive.",
      valueName: "list"), completion: .custom(Completions.engines))
  var backends: String?

  @OptionGroup var layerOptions: LayerOptions

  @Option(
    help: ArgumentHelp(
      "Threads of the worker pool; several make a sweep, as in 1,2; VBENCH_THREADS or one per processor if left out.",
      valueName: "list"))
  var threads: String?

  @Flag(help: "Fewer layers and shorter measurements, for a first look.")
  var quick = false

  @Option(
    help: ArgumentHelp("The engine that the others are compared with.", valueName: "engine"),
    completion: Completions.engine)
  var baseline = "im2col"

  @Option(
    help: ArgumentHelp(
      "Layout of the results: wide, with engines as columns, or long, a line for each engine; if left out what fits a terminal, in a pipe long.",
      valueName: "name"))
  var table: TableLayout?

  @Option(
    name: [.customShort("o"), .long],
    help: ArgumentHelp(
      """
      Folder of the report, where it replaces an earlier one; a new one if left out: Reports/<date>-<machine>, with -2, -3 … \
      behind it where that is taken.
      """, valueName: "dir"),
    completion: .directory)
  var output: String?

  @OptionGroup var references: ReferencesOption

  @Option(
    help: ArgumentHelp(
      "Folder of Fashion-MNIST's files, for training; if left out that of Debian's package, else stored batches.",
      valueName: "dir"), completion: .directory)
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
    let followed = try planFile.read()
    let conditions = try measurement.conditions(
      threads: threads ?? followed.map { "\($0.threadsOfPool())" })
    let fallback = try training.competitor()
    let engines = named + (fallback.map { [$0] } ?? [])
    let planned = try followed?.apply(to: engines, threads: conditions.map(\.pool.threads)) ?? engines
    let competitors = Array(planned.prefix(named.count))
    var settings = try settings(plan, conditions, competitors)
    try checkFiles(plan)
    try openBLAS.apply(isQuiet: selection.list)
    if selection.list { return StandardOutput.write(listing(plan, competitors, conditions).text) }
    Interruption.catchSignals()
    let claim = try claimFolder()
    defer { claim.end() }
    let folder = claim.path
    try profile.apply(to: planned)
    settings.prices = MachineProfile.current.prices
    var session = RunSession(
      command: self, plan: plan, competitors: competitors, conditions: conditions, settings: settings)
    session.fallback = fallback == nil ? nil : planned.last
    session.planReport = try followed?.report(on: session.plannedParts())
    session.planReport?.show()
    let report = try session.run(folder: folder)
    try junit.write(JUnitReport(report))
    StandardOutput.write(RunSession.summary(report, width: Terminal.outputWidth), terminator: "")
    RunSession.printNotes(report, verbose: measurement.verbose)
    try describeFailures(report, competitors, session.settings.pool, folder: folder)?.write(to: folder)
    StandardOutput.write(RunSession.answer(report, width: Terminal.outputWidth), terminator: "")
    StandardOutput.line("report: \(folder)/report.md, to look at: \(folder)/report.html")
    if report.isPartial { throw InterruptedRun(folder: folder) }
    if report.hasFailures { throw ExitCode(ExitStatus.verificationFailed.rawValue) }
  }

  /// Where the report goes: with `--resume` where the run began.
  private func claimFolder() throws -> OutputClaim {
    guard let named = resumption.resume ?? output else {
      return try AtomicFolder.claim(newAt: RunCommand.defaultFolder)
    }
    return try AtomicFolder.claim(named, files: RunReport.files, folders: ["failures"])
  }

  /// Fails before anything is measured where a file that is named is not there, or could not be written.
  private func checkFiles(_ plan: RunPlan) throws {
    if let resumed = resumption.resume, let output, output != resumed {
      throw UsageError("--resume \(resumed) goes on in that folder, --output \(output) is another one")
    }
    if let output { try AtomicFolder.checkCreatable(output) }
    // A run looks for its journal when the folder is its own.
    if selection.list, let resumed = resumption.resume, !RunJournal.exists(in: resumed) {
      throw FileError.missingInput(
        path: "\(resumed)/\(RunJournal.name)", reason: "there is no unfinished run to go on with")
    }
    try junit.check()
    try profile.check()
    guard plan.trains else { return }
    if references.references != nil { _ = try references.folder() }
    if let dataset, !FileManager.default.fileExists(atPath: dataset) {
      throw FileError.missingInput(path: dataset, reason: "no folder of Fashion-MNIST's files is there")
    }
  }

  private func listing(
    _ plan: RunPlan, _ competitors: [Competitor], _ conditions: [RunCondition]
  ) -> ProblemListing {
    var listing = ProblemListing(plan.items, engines: competitors, conditions: conditions)
    // Training runs with the most threads.
    let threads = conditions.map(\.pool.threads).max() ?? 1
    listing.training = plan.networks.map {
      "\($0.name): batch \(selection.batch ?? $0.batch), threads \(threads)"
    }
    return listing
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
    return RunSettings(
      pool: pool, baseline: try baselineLabel(competitors), seed: layerOptions.seed, sampling: limits,
      distribution: try verification.distribution())
  }

  /// The competitor that `--baseline` means: of that label, else of that engine.
  private func baselineLabel(_ competitors: [Competitor]) throws -> String {
    if let exact = competitors.first(where: { $0.label == baseline }) { return exact.label }
    if let engine = competitors.first(where: { $0.backend.name == baseline }) { return engine.label }
    // A baseline that exists but does not take part leaves the speed-ups empty.
    _ = try NameList.selection(baseline)
    return baseline
  }

  private func plan() throws -> RunPlan {
    let networks = try selection.networks()
    let isDefault = selection.isEmpty
    let layers = try selection.layers(
      others: isDefault ? RunCommand.representatives(isQuick: quick) : [],
      limit: quick ? 2 : .max)
    var plan = RunPlan()
    plan.items = try layerOptions.items(layers, of: selection)
    let trainsSeedNetwork = isDefault && selection.match == nil
    plan.networks = trainsSeedNetwork ? [try ImageNetwork.known("seed-cnn")] : networks
    plan.secondsPerItem = try measurement.budgetSeconds() ?? (quick ? 0.25 : isDefault ? 0.8 : 3)
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
