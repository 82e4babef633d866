import ArgumentParser
import ConvBackends
import ConvCore
import ConvHarness
import Foundation

/// `vbench check`: stored references against every backend.
struct CheckCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check",
    abstract: "Checks backends against stored float64 references; exit code 1 if any case fails.",
    discussion: """
      Tolerances follow from each plan's error model; nothing is tuned. A case that an engine declines is a skip, which
      its minimum support must allow. Beside the references it checks small-integer data, on which results must be exact,
      and the adjoint identity of the three passes, on dense operands and on impulses.

      --laws checks what holds without any reference, on random problems: linearity; shift (a moved image has moved
      results); groups (= the concatenation of its groups); dilation (= a filter with zeros between the taps); stride
      (= the dense result, subsampled); adjoint and impulses (the three passes belong together); integers (exact).
      Both sides of a law may differ by the sum of their bounds.

      --invariance says what changes an engine's bits: a second run, the number of threads, splitting the batch, the
      memory format. Engines on vbench's own threads promise equal bits for the first two; where they differ, the exit
      code is 1.

      A failure is shrunk to a minimal one, printed with a command and a test that repeat it, and its tensors are saved.

      EXAMPLES
        vbench check                                   all stored convolutions on all backends
        vbench check --backends winograd --passes forward
        vbench check --references my-cases             any folder in format vbench-reference-1
        vbench check --references a.safetensors        one case
        vbench check --laws --count 100 --seed 7       laws on a hundred random problems
        vbench check conv2d:c8h9w9k8r3s3p1 --law shift,stride
        vbench check --invariance --backends fft,auto
      """)

  @Argument(
    help: ArgumentHelp(
      "Problems for --laws and --invariance, in the place of random and built-in ones.", valueName: "problem")
  )
  var problems: [String] = []

  @Option(
    help: ArgumentHelp(
      "Folder of references, or one file; if left out what VBENCH_REFERENCES names, else that of the checkout.",
      valueName: "dir"), completion: .file(extensions: ["safetensors"]))
  var references: String?

  @Option(
    help: ArgumentHelp("Engines, as in winograd[tile=2x2],im2col, or all.", valueName: "list"),
    completion: .custom(Completions.engines))
  var backends = "all"

  @Option(
    help: ArgumentHelp("forward, backward-data, backward-filter.", valueName: "list"),
    completion: .custom(Completions.values(of: ConvPass.self)))
  var passes = "forward,backward-data,backward-filter"

  @Option(
    help: ArgumentHelp(
      "Threads of the worker pool; VBENCH_THREADS or one per processor if left out.", valueName: "count"))
  var threads: Int?

  @Flag(help: "Prints every case, not only what did not pass.")
  var verbose = false

  @Flag(help: "Checks laws that need no reference, in the place of the references.")
  var laws = false

  @Option(
    help: ArgumentHelp(
      "Only these laws: \(Law.allCases.map(\.rawValue).joined(separator: ", ")); all if left out. Implies --laws.",
      valueName: "list"), completion: .custom(Completions.values(of: Law.self)))
  var law: String?

  @Flag(help: "Says what changes the bits of results, in the place of the references.")
  var invariance = false

  @Option(help: "Seed of the laws' problems and of data; printed.")
  var seed: UInt64 = 1

  @Option(
    help: ArgumentHelp(
      "Random problems per engine for --laws (seeds seed, seed + 1, …); 8 if left out.", valueName: "count"))
  var count: Int?

  @Option(
    help: ArgumentHelp("float32, float64: what --laws computes in.", valueName: "list"),
    completion: .list(["float32", "float64", "float32,float64"]))
  var elementType = "float32"

  @Option(
    help: ArgumentHelp("Folder for the tensors of minimal failures.", valueName: "dir"),
    completion: .directory)
  var failures = "failures"

  @OptionGroup var shrinking: ShrinkOption

  @OptionGroup var openBLAS: OpenBLASOption
  @OptionGroup var junit: JUnitOption

  func run() throws {
    if let error = InstructionSet.environmentError { throw error }
    let competitors = try NameList.competitors(backends)
    let passes = try NameList.values(passes, option: "passes", as: ConvPass.self)
    let pool = try NameList.pool(threads: threads)
    if laws || law != nil || invariance {
      return try checkWithoutReferences(competitors, passes, pool)
    }
    guard problems.isEmpty else {
      throw UsageError(
        "problems are for --laws and --invariance; vbench run verifies them against float64 sums")
    }
    let root = try references ?? ReferenceFolder.locate()
    let (cases, others) = try ReferenceLibrary(root: root).convolutions()
    guard !cases.isEmpty else {
      throw FileError.missingInput(path: root, reason: "it holds no convolution among its references")
    }
    try FailureReport.check(failures)
    try junit.check()
    try openBLAS.apply()
    Interruption.catchSignals()

    let outcomes = try check(cases, competitors, passes, pool)
    for outcome in outcomes where verbose || outcome.isFailure { StandardOutput.write(line(outcome)) }
    StandardOutput.write(summary(outcomes, competitors))
    if outcomes.contains(where: \.verification.isCorrelated) {
      StandardOutput.write(Verification.correlatedSentence)
    }
    printSkips(outcomes)
    try describe(outcomes, competitors, pool)
    var failures = outcomes.count(where: \.isFailure)
    var report = JUnitReport(name: "vbench check", cases: outcomes.map(JUnitReport.Case.init))
    if references == nil { failures += try identities(competitors, passes, pool, &report) }
    try junit.write(report)
    let left = others.values.reduce(0, +)
    let rest = left > 0 ? "; \(left) cases of layers, losses and optimizers are for swift test" : ""
    StandardOutput.line("\(cases.count) convolutions, \(outcomes.count) checks, \(failures) failures\(rest)")
    if Interruption.isRequested { throw InterruptedCheck() }
    if failures > 0 { throw ExitCode(ExitStatus.verificationFailed.rawValue) }
  }

  private func check(
    _ cases: [ReferenceCase], _ competitors: [Competitor], _ passes: [ConvPass], _ pool: WorkerPool
  ) throws -> [ReferenceCheck.Outcome] {
    let check = ReferenceCheck(pool: pool) { MinimumSupport.requires($0, $1) }
    var outcomes: [ReferenceCheck.Outcome] = []
    var progress = ProgressBar(total: cases.count)
    for (index, reference) in cases.enumerated() {
      if Interruption.isRequested { break }
      for competitor in competitors {
        let options = PlanOptions(threads: pool.threads, variant: competitor.variant)
        var found = try check.outcomes(
          of: reference, backends: [competitor.backend], passes: passes, options: options)
        for i in found.indices {
          found[i].backend = competitor.label
          // Variants may support less than their engine.
          if competitor.variant != nil { found[i].isRequired = false }
        }
        outcomes += found
      }
      progress.update(index + 1, "\(reference.op) \(reference.name)")
    }
    progress.clear()
    return outcomes
  }

  private func line(_ outcome: ReferenceCheck.Outcome) -> String {
    let result = outcome.verification
    let name = QuotedText.visible("\(outcome.op) \(outcome.name)")
    var text = "\(result.verdictText): \(outcome.backend) \(outcome.operation) (\(name))"
    if !result.reason.isEmpty { text += "\n  \(QuotedText.visible(result.reason))" }
    if result.verdict != .unsupported && result.verdict != .missingReference {
      let figures = result.figuresText.isEmpty ? "" : result.figuresText + ", "
      text +=
        "\n  \(figures)max \(CSV.number(result.errorMax)), rms \(CSV.number(result.errorRMS)), "
        + "bound \(CSV.number(result.errorBound)), \(result.samples) results"
    }
    return outcome.isFailure ? text + "\n  \(QuotedText.visible(outcome.repro))" : text
  }

  private func summary(_ outcomes: [ReferenceCheck.Outcome], _ competitors: [Competitor]) -> String {
    var table = TextTable(
      [
        "backend", "op", "passed", "failed", "mistrusted", "skipped", "not stored", "worst error/bound",
        "least bits", "correlated",
      ],
      rightAligned: [2, 3, 4, 5, 6, 7, 8, 9])
    for competitor in competitors {
      for op in ReferenceCase.operations {
        let own = outcomes.filter { $0.backend == competitor.label && $0.op == op }
        if own.isEmpty { continue }
        func count(_ verdict: Verdict) -> String { "\(own.count { $0.verification.verdict == verdict })" }
        let worst = own.map(\.verification.errorRatio).filter { !$0.isNaN }.max()
        let bits = own.map(\.verification.effectiveBits).filter { !$0.isNaN }.min()
        table.add([
          competitor.label, op, count(.passed), count(.failed), count(.mistrusted), count(.unsupported),
          count(.missingReference), CSV.number(worst.map { ($0 * 1e3).rounded() / 1e3 }),
          RunReport.bits(bits ?? .nan),
          "\(own.count(where: \.verification.isCorrelated))",
        ])
      }
    }
    return table.text
  }

  /// Skips by reason; those that the minimum support does not allow have been printed as failures.
  private func printSkips(_ outcomes: [ReferenceCheck.Outcome]) {
    var counts: [String: Int] = [:]
    for outcome in outcomes where outcome.verification.verdict == .unsupported && !outcome.isRequired {
      counts["\(outcome.backend): \(CheckCommand.innermost(outcome.verification.reason))", default: 0] += 1
    }
    if counts.isEmpty { return }
    StandardOutput.write("skips (all within the engines' minimum support):")
    for (reason, count) in counts.sorted(by: { $0.key < $1.key }) {
      StandardOutput.line("  \(count) × \(reason)")
    }
  }

  /// The engine's own words at the end of a chain of lowerings, without the sizes of the single case.
  private static func innermost(_ reason: String) -> String {
    let last = reason.split(separator: "(").last.map(String.init) ?? reason
    let words = last.components(separatedBy: ": ").last ?? last
    return words.components(separatedBy: ", not ")[0].trimmingCharacters(in: CharacterSet(charactersIn: " )"))
  }

  /// Shrinks the failures and prints how to repeat them.
  private func describe(
    _ outcomes: [ReferenceCheck.Outcome], _ competitors: [Competitor], _ pool: WorkerPool
  ) throws {
    var report = FailureReport(folder: failures, seconds: shrinking.shrink, pool: pool)
    for outcome in outcomes where outcome.verification.verdict == .failed {
      guard let competitor = competitors.first(where: { $0.label == outcome.backend }) else { continue }
      // Epilogues have no case of their own: the convolution below them is looked at.
      var operation = outcome.operation
      operation.epilogue = .none
      let failure = FailureCase(competitor: competitor, operation: operation, seed: seed)
      if let text = try report.describe(failure, shouldStop: { Interruption.isRequested }) {
        StandardOutput.write(text)
      }
    }
  }
}

/// Ctrl-C during a check.
struct InterruptedCheck: StatusError, CustomStringConvertible {
  var exitStatus: ExitStatus { .interrupted }
  var description: String { "interrupted before the last case" }
}
