import ArgumentParser
import ConvBackends
import ConvCore
import ConvHarness

extension CheckCommand {
  /// Random problems of one call.
  private static let mostProblems = 1_000_000

  /// `--laws` and `--invariance`.
  func checkWithoutReferences(
    _ competitors: [Competitor], _ passes: [ConvPass], _ pool: WorkerPool
  ) throws {
    let wanted = try law.map { try NameList.values($0, option: "law", as: Law.self) } ?? Law.allCases
    if references != nil { throw UsageError("--references and --laws or --invariance exclude each other") }
    if let count, !(1...Self.mostProblems).contains(count) {
      throw UsageError("--count is \(count), 1 to \(Self.mostProblems) are possible")
    }
    let types = try NameList.split(elementType).map { name in
      guard let type = ElementType(rawValue: name), type == .float32 || type == .float64 else {
        throw UnknownNameError(kind: "element type", name: name, known: ["float32", "float64"])
      }
      return type
    }
    let given = try problems.map { text in
      if let error = MisplacedNameError(text, wanted: "a problem", nil, in: .check) { throw error }
      return try ProblemFile.parse(text).problem
    }
    for problem in given where problem.directFLOPs > CheckCommand.largestFLOPs {
      throw UsageError(
        "\(problem) has \(problem.directFLOPs) FLOPs; float64 sums of all results are made for at most "
          + "\(CheckCommand.largestFLOPs)")
    }
    try FailureReport.check(self.failures)
    try junit.check()
    try openBLAS.apply()
    Interruption.catchSignals()
    var failures = 0
    if laws || law != nil {
      let count = count ?? (given.isEmpty ? 8 : 1)
      let seeds = (0..<UInt64(count)).map { seed &+ $0 }
      let problems = given.isEmpty ? "\(count) random problems per engine" : "\(given.count) problems"
      StandardOutput.write("laws on \(problems), seeds \(seed) to \(seeds.last ?? seed)")
      var outcomes: [LawOutcome] = []
      var progress = ProgressBar(total: count)
      for (index, seed) in seeds.enumerated() {
        for competitor in competitors {
          let random = RandomProblems(for: competitor.backend.name)
          for problem in given.isEmpty ? [random.problem(seed: seed)] : given {
            for type in types {
              outcomes += self.outcomes(
                wanted, competitor, passes, problem, taps: random.taps, type, seed: seed, pool)
            }
          }
        }
        progress.update(index + 1, "seed \(seed)")
      }
      progress.clear()
      StandardOutput.write(CheckCommand.table(outcomes, competitors))
      try junit.write(JUnitReport(name: "vbench check --laws", cases: outcomes.map(JUnitReport.Case.init)))
      failures += try report(outcomes, competitors, pool)
      StandardOutput.write("\(outcomes.count) checks of laws, \(outcomes.count(where: \.isFailure)) failures")
    }
    if invariance && !Interruption.isRequested { failures += try matrix(given, competitors, passes) }
    if Interruption.isRequested { throw InterruptedCheck() }
    if failures > 0 { throw ExitCode(ExitStatus.verificationFailed.rawValue) }
  }

  /// Problems whose results are all summed in float64.
  static let largestFLOPs = 2e8

  /// The laws that stand beside the references, on a few fixed problems. Returns the number of failures.
  func identities(
    _ competitors: [Competitor], _ passes: [ConvPass], _ pool: WorkerPool, _ junit: inout JUnitReport
  ) throws -> Int {
    var outcomes: [LawOutcome] = []
    for text in [
      "conv2d:n2c16h23w19k20r3s3p1", "conv2d:n1c24h17w18k16r5s5p2", "conv2d:n2c8h15w14k12r3s3p0,2,1,1g4",
    ] {
      let problem = try ConvProblem(parsing: text)
      for competitor in competitors {
        outcomes += self.outcomes(
          [.integers, .adjoint, .impulses], competitor, passes, problem, taps: nil, .float32, seed: 1, pool)
      }
    }
    junit.cases += outcomes.map(JUnitReport.Case.init)
    StandardOutput.write("\(outcomes.count) checks on integers and of the adjoint identity")
    return try report(outcomes, competitors, pool)
  }

  /// Some laws on one problem. Laws that tie the passes are checked where all of them are asked for.
  private func outcomes(
    _ laws: [Law], _ competitor: Competitor, _ passes: [ConvPass], _ problem: ConvProblem, taps: [Int]?,
    _ elementType: ElementType, seed: UInt64, _ pool: WorkerPool
  ) -> [LawOutcome] {
    var outcomes: [LawOutcome] = []
    for law in laws {
      if law.tiesAllPasses && Set(passes).count < ConvPass.allCases.count { continue }
      for pass in law.tiesAllPasses ? [.forward] : passes where !Interruption.isRequested {
        outcomes.append(
          LawRun(pool: pool).outcome(
            law, competitor, pass, problem, taps: taps, elementType: elementType, seed: seed))
      }
    }
    return outcomes
  }

  private static func table(_ outcomes: [LawOutcome], _ competitors: [Competitor]) -> String {
    var table = TextTable(
      ["backend", "law", "checked", "failed", "skipped", "worst difference/bounds"],
      rightAligned: [2, 3, 4, 5])
    for competitor in competitors {
      for law in Law.allCases {
        let own = outcomes.filter { $0.backend == competitor.label && $0.law == law }
        if own.isEmpty { continue }
        let skipped = own.count {
          if case .skipped = $0.result { return true }
          return false
        }
        table.add([
          competitor.label, law.rawValue, "\(own.count - skipped)", "\(own.count(where: \.isFailure))",
          "\(skipped)", RunReport.quotient(own.map(\.ratio).filter { !$0.isNaN }.max()),
        ])
      }
    }
    return table.text
  }

  /// Prints the broken laws with a command that repeats each; the first of an engine and law is shrunk.
  private func report(
    _ outcomes: [LawOutcome], _ competitors: [Competitor], _ pool: WorkerPool
  ) throws -> Int {
    var failures = FailureReport(folder: self.failures, seconds: shrinking.shrink, pool: pool)
    var seen = Set<String>()
    for outcome in outcomes {
      switch outcome.result {
      case .held:
        if verbose { StandardOutput.write("held: \(outcome) (ratio \(RunReport.quotient(outcome.ratio)))") }
      case .skipped(let reason): if verbose { StandardOutput.write("skipped: \(outcome): \(reason)") }
      case .failed(let reason):
        StandardOutput.write("failed: \(outcome): \(reason)\n  \(outcome.repro)")
        guard shrinking.shrink > 0, let competitor = competitors.first(where: { $0.label == outcome.backend })
        else { continue }
        StandardOutput.line(try failures.save(outcome, competitor))
        guard seen.insert("\(outcome.backend) \(outcome.law)").inserted else { continue }
        let small = LawRun(pool: pool).minimal(
          outcome, competitor, seconds: shrinking.shrink, shouldStop: { Interruption.isRequested })
        StandardOutput.write("shrunk: \(small)\n  \(small.repro)")
        if small.problem != outcome.problem { StandardOutput.line(try failures.save(small, competitor)) }
        for pass in outcome.pass.map({ [$0] }) ?? ConvPass.allCases {
          let failure = FailureCase(
            competitor: competitor,
            operation: ConvOperation(pass, small.problem, elementType: small.elementType),
            distribution: outcome.law == .integers ? .smallIntegers : .uniform, seed: outcome.seed)
          if let text = try failures.describe(failure, shouldStop: { Interruption.isRequested }) {
            StandardOutput.write(text)
          }
        }
      }
    }
    return outcomes.count(where: \.isFailure)
  }
}
