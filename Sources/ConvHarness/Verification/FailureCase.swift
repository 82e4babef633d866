import ConvCore
import Foundation

/// A verification that failed or is mistrusted, with everything that is needed to repeat it.
public struct FailureCase: Sendable {
  /// The engine.
  public var competitor: Competitor
  /// What was computed.
  public var operation: ConvOperation
  public var filterState: FilterState
  /// How the data were generated.
  public var distribution: DataDistribution
  public var seed: UInt64
  /// Bytes of workspace that the plan was allowed.
  public var workspaceLimit: Int

  /// A failed operation on generated data.
  public init(
    competitor: Competitor, operation: ConvOperation, filterState: FilterState = .fresh,
    distribution: DataDistribution = .uniform, seed: UInt64,
    workspaceLimit: Int = PlanOptions().workspaceLimit
  ) {
    self.competitor = competitor
    self.operation = operation
    self.filterState = filterState
    self.distribution = distribution
    self.seed = seed
    self.workspaceLimit = workspaceLimit
  }

  private func data(_ pool: WorkerPool) throws -> ProblemData {
    try ProblemData(
      problem: operation.problem, elementType: operation.elementType, distribution: distribution, seed: seed,
      pool: pool)
  }

  private func options(_ pool: WorkerPool) -> PlanOptions {
    PlanOptions(
      threads: pool.threads, workspaceLimit: workspaceLimit, filterState: filterState,
      variant: competitor.variant)
  }

  /// Verifies the case anew.
  ///
  /// - Throws: `MemoryError`.
  public func verify(pool: WorkerPool) throws -> Verification {
    let data = try data(pool)
    let expectation = try Expectation(of: operation.pass, data: data, seed: seed, pool: pool)
    return Verifier(pool: pool).verify(
      competitor.backend, operation, options(pool), data: data, expectation: expectation, repeatingFrom: seed)
  }

  /// The smallest case with the verdict of this one, found within a budget.
  public struct Minimal: Sendable {
    public var failure: FailureCase
    public var verification: Verification
    /// Problems that were tried, and whether no smaller one is left.
    public var attempts: Int
    public var isMinimal: Bool
  }

  /// Shrinks the case; nil where it does not fail, and is not mistrusted, when it is repeated.
  ///
  /// A mistrusted case stays mistrusted for the same reason: the smallest problem on which the bounds say nothing shows which of its
  /// numbers (depth, taps, tile) makes them so wide.
  ///
  /// - Throws: `MemoryError`.
  public func minimal(
    seconds: Double, pool: WorkerPool, shouldStop: () -> Bool = { false }
  ) throws -> Minimal? {
    guard var verification = try? verify(pool: pool),
      [.failed, .mistrusted].contains(verification.verdict)
    else { return nil }
    let (verdict, kind) = (verification.verdict, FailureCase.kind(of: verification))
    func fails(_ failure: FailureCase) -> Verification? {
      guard let result = try? failure.verify(pool: pool), result.verdict == verdict,
        verdict == .failed || FailureCase.kind(of: result) == kind
      else { return nil }
      return result
    }
    var failure = self
    // Plain formats and fresh filters first: stored cases know nothing else.
    let simplifications: [(inout FailureCase) -> Void] = [
      { $0.filterState = .fresh },
      {
        ($0.operation.inputFormat, $0.operation.outputFormat) = (.nchw, .nchw)
        $0.operation.filterFormat = .nchw
      },
    ]
    for change in simplifications {
      var plainer = failure
      change(&plainer)
      if let result = fails(plainer) { (failure, verification) = (plainer, result) }
    }
    let shrunk = CaseShrinker(seconds: seconds).shrink(operation.problem, shouldStop: shouldStop) { problem in
      var smaller = failure
      smaller.operation.problem = problem
      guard let result = fails(smaller) else { return false }
      verification = result
      return true
    }
    failure.operation.problem = shrunk.problem
    return Minimal(
      failure: failure, verification: verification, attempts: shrunk.attempts, isMinimal: shrunk.isMinimal)
  }

  /// A reason without its numbers.
  static func kind(of verification: Verification) -> String {
    verification.reason.split(separator: " ").filter { !$0.contains(where: \.isNumber) }.joined(
      separator: " ")
  }

  // MARK: Texts

  private var hasOwnLimit: Bool { workspaceLimit != PlanOptions().workspaceLimit }

  /// A command that repeats the case.
  public var repro: String {
    "vbench run \(operation.problem) --backends \(ShellText.quoted(competitor.selection)) --passes "
      + "\(operation.pass.rawValue) --format \(operation.inputFormat.rawValue) --filter-state "
      + "\(filterState.rawValue) --seed \(seed) --data \(distribution.rawValue)"
      + (hasOwnLimit ? " --workspace \(workspaceLimit)" : "")
      + (competitor.options.isEmpty ? "" : " \(competitor.options)")
  }

  /// A name for files and functions, as in `winograd-forward-n1c1h3w3k1r3s3`.
  public var name: String {
    let problem = operation.problem.description.replacingOccurrences(of: "conv2d:", with: "")
      .replacingOccurrences(of: ":", with: "-")
    let type = operation.elementType == .float32 ? "" : "-\(operation.elementType.rawValue)"
    let text = "\(competitor.label)-\(operation.pass.rawValue)-\(problem)\(type)-\(distribution.rawValue)"
    return String(text.map { $0.isLetter || $0.isNumber ? $0 : "-" })
  }

  /// A ready test that fails while the engine is wrong, for a test target that imports ConvBackends, ConvCore, ConvHarness
  /// and Testing.
  public var test: String {
    let words = name.split(separator: "-").map(String.init)
    let function = (words.prefix(1) + words.dropFirst().map { $0.prefix(1).uppercased() + $0.dropFirst() })
      .joined()
    var arguments = ".\(operation.pass), problem"
    if operation.elementType != .float32 { arguments += ", elementType: .\(operation.elementType)" }
    if operation.inputFormat != .nchw {
      arguments += ", inputFormat: .\(operation.inputFormat), outputFormat: .\(operation.outputFormat)"
    }
    var options = hasOwnLimit ? ["workspaceLimit: \(workspaceLimit)"] : []
    if filterState != .fresh { options.append("filterState: .\(filterState)") }
    if let variant = competitor.variant { options.append("variant: \(JSONValue.quoted(variant))") }
    let type = operation.elementType == .float32 ? "" : "elementType: .\(operation.elementType), "
    return """
      @Test func \(function)() throws {
        let problem = try ConvProblem(parsing: "\(operation.problem)")
        let backend = try BackendRegistry.named("\(competitor.backend.name)").backend
        let data = try ProblemData(
          problem: problem, \(type)distribution: .\(distribution), seed: \(seed))
        let expectation = try Expectation(of: .\(operation.pass), data: data, seed: \(seed))
        let operation = ConvOperation(\(arguments))
        let options = PlanOptions(\(options.joined(separator: ", ")))
        let result = Verifier().verify(
          backend, operation, options, data: data, expectation: expectation, repeatingFrom: \(seed))
        #expect(result.verdict == .passed, "\\(result.reason)")
      }
      """
  }

  // MARK: Tensors

  /// FLOPs of a case whose reference is still computed whole.
  static let largestStored = 4e9

  /// Writes the operands, what the engine made of them and what the float64 oracle makes of them, in format `vbench-reference-1`, so that
  /// `vbench check --references` repeats the case. The engine's result, under its name with `engine_` before it, is no reference:
  /// nothing reads it but people.
  ///
  /// - Returns: whether there was something to write: not for problems that are too large for the oracle.
  /// - Throws: `FileError`; what the engine throws becomes the text `engine_error` in the metadata.
  public func save(to path: String, pool: WorkerPool) throws -> Bool {
    let (problem, pass) = (operation.problem, operation.pass)
    guard problem.directFLOPs <= FailureCase.largestStored else { return false }
    let data = try data(pool)
    let grid = SampleGrid.all(problem, pass)
    let expectation = Expectation(grid: grid, data: data, pool: pool)
    var logical = [Double](repeating: 0, count: expectation.values.count)
    for (i, row) in grid.rows.enumerated() {
      for (j, column) in grid.columns.enumerated() {
        logical[grid.index(row, column)] = expectation.values[i * grid.columns.count + j]
      }
    }
    let name = FailureCase.tensorName(pass)
    var tensors = [
      ("input", try data.input.converted(to: .float32)), ("weight", try data.filter.converted(to: .float32)),
      ("grad_output", try data.outputGradient.converted(to: .float32)),
      (name, try Tensor(logical, shape: problem.resultShape(pass))),
    ]
    var metadata = [
      "format": ReferenceFile.formatName, "op": "conv\(problem.spatialRank)d", "precision": "float64",
      "producer": "vbench, plain float64 sums of a failing case", "tags": "failure",
      "attributes": FailureCase.attributes(problem), "repro": repro,
    ]
    do {
      let plan = try competitor.backend.plan(for: operation, options(pool))
      tensors.append(
        ("engine_" + name, try Verifier(pool: pool).execute(plan, data, filterState: filterState)))
      metadata["engine"] = "\(competitor.label): \(plan.variant), executed by \(plan.executedBy)"
    } catch {
      metadata["engine_error"] = "\(error)"
    }
    try Safetensors.write(tensors, metadata: metadata, to: path)
    return true
  }

  static func tensorName(_ pass: ConvPass) -> String {
    switch pass {
    case .forward: "output"
    case .backwardData: "grad_input"
    case .backwardFilter: "grad_weight"
    }
  }

  private static func attributes(_ problem: ConvProblem) -> String {
    let axes = problem.axesInUse
    func list(_ extent: Extent) -> String { "[" + axes.map { "\(extent[$0])" }.joined(separator: ",") + "]" }
    let padding = axes.map { "[\(problem.padding.before[$0]),\(problem.padding.after[$0])]" }
    return "{\"stride\":\(list(problem.stride)),\"padding\":[\(padding.joined(separator: ","))],"
      + "\"dilation\":\(list(problem.dilation)),\"groups\":\(problem.groups)}"
  }
}
