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

      EXAMPLES
        vbench check                                   all stored convolutions on all backends
        vbench check --backends winograd --passes forward
        vbench check --references my-cases             any folder in format vbench-reference-1
        vbench check --references a.safetensors        one case
      """)

  @Option(help: ArgumentHelp("Folder of references, or one file.", valueName: "dir"))
  var references: String?

  @Option(help: ArgumentHelp("Engines, as in winograd[tile=2x2],im2col, or all.", valueName: "list"))
  var backends = "all"

  @Option(help: ArgumentHelp("forward, backward-data, backward-filter.", valueName: "list"))
  var passes = "forward,backward-data,backward-filter"

  @Option(help: "Threads of the worker pool.")
  var threads: Int?

  @Flag(help: "Prints every case, not only what did not pass.")
  var verbose = false

  @OptionGroup var openBLAS: OpenBLASOption

  func run() throws {
    if let error = InstructionSet.environmentError { throw error }
    let competitors = try NameList.competitors(backends)
    let passes = try NameList.values(passes, option: "passes", as: ConvPass.self)
    let pool = try NameList.pool(threads: threads)
    let root = try references ?? ReferenceFolder.locate()
    let (cases, others) = try ReferenceLibrary(root: root).convolutions()
    guard !cases.isEmpty else {
      throw FileError.missingInput(path: root, reason: "it holds no convolution among its references")
    }
    try openBLAS.apply()
    Interruption.catchSignals()

    let outcomes = try check(cases, competitors, passes, pool)
    for outcome in outcomes where verbose || outcome.isFailure { print(line(outcome)) }
    print(summary(outcomes, competitors))
    printSkips(outcomes)
    var failures = outcomes.count(where: \.isFailure)
    if references == nil { failures += identities(competitors, passes, pool) }
    let left = others.values.reduce(0, +)
    let rest = left > 0 ? "; \(left) cases of layers, losses and optimizers are for swift test" : ""
    print("\(cases.count) convolutions, \(outcomes.count) checks, \(failures) failures\(rest)")
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
    var text =
      "\(result.verdict.rawValue): \(outcome.backend) \(outcome.operation) (\(outcome.op) \(outcome.name))"
    if !result.reason.isEmpty { text += "\n  \(result.reason)" }
    if result.verdict != .unsupported && result.verdict != .missingReference {
      text +=
        "\n  error \(result.errorText), max \(CSV.number(result.errorMax)), rms \(CSV.number(result.errorRMS)), "
        + "bound \(CSV.number(result.errorBound)), \(result.samples) results"
    }
    return outcome.isFailure ? text + "\n  \(outcome.repro)" : text
  }

  private func summary(_ outcomes: [ReferenceCheck.Outcome], _ competitors: [Competitor]) -> String {
    var table = TextTable(
      ["backend", "op", "passed", "failed", "mistrusted", "skipped", "not stored", "worst error/bound"],
      rightAligned: [2, 3, 4, 5, 6, 7])
    for competitor in competitors {
      for op in ReferenceCase.operations {
        let own = outcomes.filter { $0.backend == competitor.label && $0.op == op }
        if own.isEmpty { continue }
        func count(_ verdict: Verdict) -> String { "\(own.count { $0.verification.verdict == verdict })" }
        let worst = own.map(\.verification.errorRatio).filter { !$0.isNaN }.max()
        table.add([
          competitor.label, op, count(.passed), count(.failed), count(.mistrusted), count(.unsupported),
          count(.missingReference), CSV.number(worst.map { ($0 * 1e3).rounded() / 1e3 }),
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
    print("skips (all within the engines' minimum support):")
    for (reason, count) in counts.sorted(by: { $0.key < $1.key }) { print("  \(count) × \(reason)") }
  }

  /// The engine's own words at the end of a chain of lowerings, without the sizes of the single case.
  private static func innermost(_ reason: String) -> String {
    let last = reason.split(separator: "(").last.map(String.init) ?? reason
    let words = last.components(separatedBy: ": ").last ?? last
    return words.components(separatedBy: ", not ")[0].trimmingCharacters(in: CharacterSet(charactersIn: " )"))
  }

  /// Integer lane and adjoint identity (dense and on impulses) on a few fixed problems. Returns the number of failures.
  private func identities(_ competitors: [Competitor], _ passes: [ConvPass], _ pool: WorkerPool) -> Int {
    var failures = 0
    var count = 0
    for text in [
      "conv2d:n2c16h23w19k20r3s3p1", "conv2d:n1c24h17w18k16r5s5p2", "conv2d:n2c8h15w14k12r3s3p0,2,1,1g4",
    ] {
      guard let problem = try? ConvProblem(parsing: text) else { continue }
      for competitor in competitors {
        let options = PlanOptions(threads: pool.threads, variant: competitor.variant)
        for pass in passes where !Interruption.isRequested {
          let result = IntegerLane.check(
            competitor.backend, ConvOperation(pass, problem), options, seed: 1, pool: pool)
          count += 1
          if result.verdict == .failed || result.verdict == .mistrusted {
            failures += 1
            print(
              "\(result.verdict.rawValue): \(competitor.label) \(pass.rawValue) \(text) on integers: \(result.reason)"
            )
          }
        }
        do {
          let identity = try AdjointIdentity(competitor.backend, problem, options, seed: 1, pool: pool)
          count += 1
          if !identity.holds {
            failures += 1
            print("failed: \(competitor.label) \(text), adjoint identity: \(identity)")
          }
          for probe in try ImpulseProbe.all(competitor.backend, problem, options, pool: pool) {
            count += 1
            if probe.holds { continue }
            failures += 1
            print("failed: \(competitor.label) \(text), \(probe)")
          }
        } catch ConvError.unsupported {
          continue
        } catch {
          failures += 1
          print("failed: \(competitor.label) \(text), adjoint identity: \(error)")
        }
      }
    }
    print("\(count) checks on integers and of the adjoint identity")
    return failures
  }
}

/// Ctrl-C during a check.
struct InterruptedCheck: StatusError, CustomStringConvertible {
  var exitStatus: ExitStatus { .interrupted }
  var description: String { "interrupted before the last case" }
}
