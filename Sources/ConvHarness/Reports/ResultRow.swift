import ConvCore
import Foundation

/// One row of `results.csv`: a problem, pass, backend, thread count, format and filter state.
public struct ResultRow: Sendable {
  public var suite: String
  public var problem: String
  public var name: String
  public var pass: ConvPass
  public var backend: String
  /// Whether the backend is an engine or chooses among engines. Rows of files without that column are read as engines', as they were
  /// compared when they were written.
  public var role = Competitor.Role.engine
  public var threads: Int
  public var format: MemoryFormat
  public var filterState: FilterState
  /// Verdict and error figures; `samples` counts compared results.
  public var verification = Verification(.missingReference, reason: "not verified")
  /// Seconds per execution, one per round that it took part in.
  public var seconds: [Double] = []
  /// The numbers of these rounds, ascending; rows of the same problem are compared by equal rounds.
  public var rounds: [Int] = []
  public var minMilliseconds = Double.nan
  public var medianMilliseconds = Double.nan
  public var p95Milliseconds = Double.nan
  public var gflopsEffective = Double.nan
  public var peakPercent = Double.nan
  /// What the machine could do at best between the rounds of this row, GFLOP/s of all threads, in the order of time.
  ///
  /// With six digits, as files have them: what is read again is the same.
  public var peakProbes: [Double] = [] {
    didSet { peakProbes = peakProbes.map { Double(CSV.number($0)) ?? .nan } }
  }
  /// Their median, which `peakPercent` is of.
  public var peakGflops: Double { Statistics.median(peakProbes) }
  public var workspaceBytes: Int?
  /// The competitor that it is compared with.
  public var baseline: String
  public var speedup: Speedup?
  public var elementType: ElementType
  public var variant = ""
  public var isa: String
  public var planMilliseconds = Double.nan
  public var prepareMilliseconds = Double.nan
  public var gflopsExecuted = Double.nan
  public var executedBy = ""
  /// Of one core, by the cost model.
  public var predictedMilliseconds = Double.nan
  /// Amounts of work by kind, from which the prediction is made.
  public var work = ""
  /// How the operands' elements are distributed.
  public var distribution = DataDistribution.uniform
  public var repro: String
  /// Repeats the minimal case that a failed or mistrusted row was shrunk to; empty where none was. Of each engine and pass the first
  /// is shrunk.
  public var minimalRepro = ""
  /// Compared with the fastest engine of the same problem; nil where no engine has a time.
  public var best: BestComparison?
  public var cache = CacheState.warm
  /// Executions before each sample of the last visit that were not timed.
  public var untimedExecutions: Int?
  /// Bytes of workspace that the plan was allowed.
  public var workspaceLimit = PlanOptions().workspaceLimit
  /// How many layers of the network have this shape.
  public var multiplicity = 1
  /// Bytes that any algorithm has to move: input, filter and output, once each.
  public var compulsoryBytes: Int?
  /// The lesser of the FMA peak and the compulsory traffic at full bandwidth, as GFLOP/s of the direct algorithm.
  public var rooflineGflops = Double.nan
  public var rooflinePercent = Double.nan
  /// Bytes of operands, result and workspace, and what the process grew by besides, in its first execution.
  public var peakMemoryBytes: Int?
  /// Seconds of each phase of one execution outside of the samples.
  public var phases: [(name: String, seconds: Double)] = []

  /// A row of which only the key is known.
  public init(item: RunItem, competitor: Competitor, settings: RunSettings) {
    suite = item.suite
    problem = item.problem.problem.description
    name = item.problem.name
    pass = item.pass
    backend = competitor.label
    role = competitor.role
    threads = settings.pool.threads
    format = item.format
    filterState = item.filterState
    baseline = settings.baseline
    elementType = item.operation.elementType
    isa = InstructionSet.current.rawValue
    distribution = settings.distribution
    repro =
      "vbench run \(problem) --backends \(ShellText.quoted(competitor.selection)) --passes \(pass.rawValue) "
      + "--threads \(threads) --format \(format.rawValue) --filter-state \(filterState.rawValue) "
      + "--seed \(settings.seed) --data \(settings.distribution.rawValue)"
    cache = settings.cache
    workspaceLimit = settings.workspaceLimit
    multiplicity = item.problem.multiplicity
    compulsoryBytes = item.compulsoryBytes
    if cache != .warm { repro += " --cache \(cache.rawValue)" }
    if workspaceLimit != PlanOptions().workspaceLimit { repro += " --workspace \(workspaceLimit)" }
    if !competitor.options.isEmpty { repro += " \(competitor.options)" }
  }

  mutating func set(_ verification: Verification) { self.verification = verification }

  mutating func describe(_ plan: any ConvPlan, prices: WorkPrices?) {
    workspaceBytes = plan.workspaceBytes
    variant = plan.variant
    executedBy = plan.executedBy
    let work = plan.work
    predictedMilliseconds =
      prices.map { $0.nanoseconds(work, elementType: plan.operation.elementType) * 1e-6 } ?? .nan
    self.work = work.description
  }

  /// The columns, in their order.
  static let columns: [(name: String, value: @Sendable (ResultRow) -> String)] = [
    ("suite", { $0.suite }),
    ("problem", { $0.problem }),
    ("name", { $0.name }),
    ("pass", { $0.pass.rawValue }),
    ("backend", { $0.backend }),
    ("threads", { "\($0.threads)" }),
    ("format", { $0.format.rawValue }),
    ("filter_state", { $0.filterState.rawValue }),
    ("verdict", { $0.verification.verdict.rawValue }),
    ("reason", { $0.verification.reason }),
    ("samples", { $0.seconds.isEmpty ? "" : "\($0.seconds.count)" }),
    ("min_ms", { number($0.minMilliseconds) }),
    ("median_ms", { number($0.medianMilliseconds) }),
    ("p95_ms", { number($0.p95Milliseconds) }),
    ("gflops_effective", { number($0.gflopsEffective) }),
    ("peak_percent", { number($0.peakPercent) }),
    ("workspace_bytes", { $0.workspaceBytes.map { "\($0)" } ?? "" }),
    ("error_max", { number($0.verification.errorMax) }),
    ("error_bound", { number($0.verification.errorBound) }),
    ("error_ratio", { number($0.verification.errorRatio) }),
    ("baseline", { $0.baseline }),
    ("speedup", { number($0.speedup?.ratio) }),
    ("speedup_low", { number($0.speedup?.low) }),
    ("speedup_high", { number($0.speedup?.high) }),
    ("verdict_speed", { $0.speedup?.verdict.rawValue ?? "" }),
    ("element_type", { $0.elementType.rawValue }),
    ("variant", { $0.variant }),
    ("isa", { $0.isa }),
    ("plan_ms", { number($0.planMilliseconds) }),
    ("prepare_ms", { number($0.prepareMilliseconds) }),
    ("gflops_executed", { number($0.gflopsExecuted) }),
    ("error_rms", { number($0.verification.errorRMS) }),
    ("executed_by", { $0.executedBy }),
    ("repro", { $0.repro }),
    ("error_bound_worst", { number($0.verification.errorBoundWorst) }),
    ("verified_results", { "\($0.verification.samples)" }),
    ("predicted_core_ms", { number($0.predictedMilliseconds) }),
    ("work", { $0.work }),
    ("best_backend", { $0.best?.backend ?? "" }),
    ("ratio_to_best", { number($0.best?.ratio) }),
    ("ratio_to_best_low", { number($0.best?.low) }),
    ("ratio_to_best_high", { number($0.best?.high) }),
    ("verdict_best", { $0.best?.verdict.rawValue ?? "" }),
    ("cache", { $0.cache.rawValue }),
    ("workspace_limit_bytes", { "\($0.workspaceLimit)" }),
    ("multiplicity", { "\($0.multiplicity)" }),
    ("compulsory_bytes", { $0.compulsoryBytes.map { "\($0)" } ?? "" }),
    ("roofline_gflops", { number($0.rooflineGflops) }),
    ("roofline_percent", { number($0.rooflinePercent) }),
    ("peak_memory_bytes", { $0.peakMemoryBytes.map { "\($0)" } ?? "" }),
    ("phases", { PhaseText.text($0.phases) }),
    ("error_rel_terms", { number($0.verification.norms?.relativeToTerms) }),
    ("error_rel_l2", { number($0.verification.norms?.relativeL2) }),
    ("ulp_p99", { number($0.verification.norms?.ulp99) }),
    ("results", { $0.verification.coverage.map { "\($0.total)" } ?? "" }),
    ("miss_probability", { number($0.verification.coverage?.scattered) }),
    ("miss_probability_tile", { number($0.verification.coverage?.tile) }),
    ("miss_probability_channel", { number($0.verification.coverage?.channel) }),
    ("data", { $0.distribution.rawValue }),
    ("projection_ratio", { number($0.verification.projectionRatio) }),
    ("minimal_repro", { $0.minimalRepro }),
    ("untimed_executions", { $0.untimedExecutions.map { "\($0)" } ?? "" }),
    ("peak_gflops", { number($0.peakGflops) }),
    ("peak_probes_gflops", { $0.peakProbes.map { CSV.number($0) }.joined(separator: " ") }),
    ("role", { $0.role.rawValue }),
    ("effective_bits", { number($0.verification.effectiveBits) }),
    ("correlated", { "\($0.verification.isCorrelated)" }),
  ]

  /// What a row is of, but for the backend: rows of one measurement in rounds have the same.
  public var itemKey: [String] {
    [
      suite, problem, name, pass.rawValue, "\(threads)", format.rawValue, filterState.rawValue,
      cache.rawValue, "\(workspaceLimit)", distribution.rawValue,
    ]
  }

  private static func number(_ value: Double?) -> String { CSV.number(value) }

  /// `results.csv`.
  public static func csv(_ rows: [ResultRow]) -> String {
    CSV.text(header: columns.map(\.name), rows: rows.map { row in columns.map { $0.value(row) } })
  }

  /// The values by column name, for JSON.
  var fields: [(String, String)] { ResultRow.columns.map { ($0.name, $0.value(self)) } }
}

/// Comma-separated values (RFC 4180) that a spreadsheet does not compute with.
///
/// Spreadsheets take a field that begins with `=`, `+`, `-`, `@`, their full-width forms, a tab or a newline for a formula, which may
/// start programs. Such a field, unless it is a number (`-1.5`), gets an apostrophe before it, which is how a person enters it
/// as text; so does one that begins with apostrophes and goes on like that, so that `CSVTable`, which takes one away, reads every field
/// back as it was. Other programs see the apostrophe in those names alone; columns of numbers are as they were.
///
/// References: OWASP, *CSV injection*.
public enum CSV {
  /// A header and rows, each line ended by a newline.
  public static func text(header: [String], rows: [[String]]) -> String {
    ([header] + rows).map { $0.map(field).joined(separator: ",") + "\n" }.joined()
  }

  /// A field, in quotes where it holds what separates fields and rows, behind an apostrophe where it would be a formula.
  public static func field(_ text: String) -> String {
    let text = beginsFormula(text) && !isNumber(text) ? "'" + text : text
    guard text.unicodeScalars.contains(where: { "\",\n\r".unicodeScalars.contains($0) }) else { return text }
    return "\"" + text.replacing(scalar: "\"", with: "\"\"") + "\""
  }

  /// What a field said before it was written.
  static func unescaped(_ text: String) -> String {
    text.unicodeScalars.first == "'" && beginsFormula(text) ? String(text.unicodeScalars.dropFirst()) : text
  }

  /// Whether a text begins with what begins a formula, behind as many apostrophes as there are.
  private static func beginsFormula(_ text: String) -> Bool {
    guard let first = text.unicodeScalars.first(where: { $0 != "'" }) else { return false }
    return "=+-@\t\r\n\u{FF1D}\u{FF0B}\u{FF0D}\u{FF20}".unicodeScalars.contains(first)
  }

  /// Numbers as they stand in our tables.
  private static func isNumber(_ text: String) -> Bool {
    text == "-inf" || CSVTable.Field.decimal(text) != nil
  }

  /// Six significant digits; empty where there is no number.
  public static func number(_ value: Double?) -> String {
    guard let value, !value.isNaN else { return "" }
    if value.isInfinite { return value > 0 ? "inf" : "-inf" }
    return String(format: "%.6g", value)
  }
}

/// Text for command lines.
public enum ShellText {
  /// In single quotes where a shell would otherwise see more than a word.
  public static func quoted(_ text: String) -> String {
    let plain = text.allSatisfy { $0.isLetter || $0.isNumber || "-_=.,:/+".contains($0) }
    return plain && !text.isEmpty ? text : "'" + text.replacing(scalar: "'", with: "'\\''") + "'"
  }
}
