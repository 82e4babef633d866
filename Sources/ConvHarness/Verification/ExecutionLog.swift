import ConvCore
import Foundation

/// What plans read and wrote while a task had it as its log: for laws, whose two sides are not the float64 sums of one problem.
final class ExecutionLog: @unchecked Sendable {
  // @unchecked: only the task that has it as its log appends.

  /// One execution.
  struct Entry {
    var operation: ConvOperation
    var variant: String
    var data: ProblemData
    var result: Tensor
  }

  private(set) var entries: [Entry] = []

  /// The log of the current task, if any.
  @TaskLocal static var current: ExecutionLog?

  func append(_ plan: any ConvPlan, _ data: ProblemData, _ result: Tensor) {
    entries.append(Entry(operation: plan.operation, variant: plan.variant, data: data, result: result))
  }
}

extension LawRun {
  /// Checks a law again and writes all executions of both sides, in their order: `1_input`, `1_weight`, `1_grad_output` (those that
  /// the pass reads) and `1_output`, `1_grad_input` or `1_grad_weight`, with the operation and the engine's variant as `1_operation`
  /// and `1_variant` in the metadata. Such files are for people: no check reads them.
  ///
  /// - Returns: executions written; an engine that throws has none of the one that it threw in.
  /// - Throws: `FileError`.
  @discardableResult
  public func save(_ outcome: LawOutcome, _ competitor: Competitor, to path: String) throws -> Int {
    let log = ExecutionLog()
    let again = ExecutionLog.$current.withValue(log) {
      self.outcome(
        outcome.law, competitor, outcome.pass ?? .forward, outcome.problem, elementType: outcome.elementType,
        seed: outcome.seed)
    }
    var metadata = [
      "format": "vbench-executions-1", "law": "\(outcome)", "engine": competitor.label,
      "repro": outcome.repro,
    ]
    if case .failed(let reason) = again.result { metadata["failure"] = reason }
    var tensors: [(String, Tensor)] = []
    for (index, entry) in log.entries.enumerated() {
      let (number, pass) = (index + 1, entry.operation.pass)
      metadata["\(number)_operation"] = "\(entry.operation)"
      metadata["\(number)_variant"] = entry.variant
      if pass != .backwardData { tensors.append(("\(number)_input", entry.data.input)) }
      if pass != .backwardFilter { tensors.append(("\(number)_weight", entry.data.filter)) }
      if pass != .forward { tensors.append(("\(number)_grad_output", entry.data.outputGradient)) }
      tensors.append(("\(number)_\(FailureCase.tensorName(pass))", entry.result))
    }
    try Safetensors.write(tensors, metadata: metadata, to: path)
    return log.entries.count
  }
}

extension LawOutcome {
  /// A name for files, as in `law-shift-winograd-forward-n1c1h3w3k1r3s3-seed5`.
  public var name: String {
    let problem = "\(problem)".replacingOccurrences(of: "conv2d:", with: "")
    let type = elementType == .float32 ? "" : "-\(elementType.rawValue)"
    let text =
      "law-\(law.rawValue)-\(backend)-\(pass.map { "\($0.rawValue)-" } ?? "")\(problem)\(type)-seed\(seed)"
    return String(text.map { $0.isLetter || $0.isNumber ? $0 : "-" })
  }
}
