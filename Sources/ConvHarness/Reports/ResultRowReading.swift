import ConvCore

/// Rows as `results.csv` says them.
///
/// Every column that is written is read here: a test demands that a row which has been read writes the same line again.
extension ResultRow {
  typealias Reader = @Sendable (inout ResultRow, CSVTable.Field) throws -> Void

  /// Columns without which a file is none of ours.
  static let requiredColumns = [
    "suite", "problem", "name", "pass", "backend", "threads", "format", "filter_state", "verdict",
    "median_ms",
  ]

  /// What each column sets; two say what others say already, and are only looked at.
  static let readers: [String: Reader] = [
    "suite": { $0.suite = $1.text },
    "problem": { $0.problem = $1.text },
    "name": { $0.name = $1.text },
    "pass": { $0.pass = try $1.value(of: ConvPass.self, "pass") },
    "backend": { $0.backend = $1.text },
    "threads": { $0.threads = try $1.integer(in: StoredRange.threads) },
    "format": { $0.format = try $1.value(of: MemoryFormat.self, "format") },
    "filter_state": { $0.filterState = try $1.value(of: FilterState.self, "filter state") },
    "verdict": { $0.verification.verdict = try $1.value(of: Verdict.self, "verdict") },
    "reason": { $0.verification.reason = $1.text },
    "samples": { _ = try $1.optionalInteger(in: StoredRange.counts) },
    "min_ms": { $0.minMilliseconds = try $1.time() },
    "median_ms": { $0.medianMilliseconds = try $1.time() },
    "p95_ms": { $0.p95Milliseconds = try $1.time() },
    "gflops_effective": { $0.gflopsEffective = try $1.amount() },
    "peak_percent": { $0.peakPercent = try $1.amount() },
    "workspace_bytes": { $0.workspaceBytes = try $1.optionalInteger(in: StoredRange.bytes) },
    "error_max": { $0.verification.errorMax = try $1.amount() },
    "error_bound": { $0.verification.errorBound = try $1.amount() },
    "error_ratio": { $0.verification.errorRatio = try $1.amount() },
    "baseline": { $0.baseline = $1.text },
    "speedup": { row, field in
      if !field.text.isEmpty { try row.readSpeedup { $0.ratio = try field.amount() } }
    },
    "speedup_low": { row, field in
      if !field.text.isEmpty { try row.readSpeedup { $0.low = try field.amount() } }
    },
    "speedup_high": { row, field in
      if !field.text.isEmpty { try row.readSpeedup { $0.high = try field.amount() } }
    },
    "verdict_speed": { row, field in
      if !field.text.isEmpty {
        try row.readSpeedup { $0.verdict = try field.value(of: Speedup.Verdict.self, "verdict") }
      }
    },
    "element_type": { $0.elementType = try $1.value(of: ElementType.self, "element type") },
    "variant": { $0.variant = $1.text },
    "isa": { $0.isa = $1.text },
    "plan_ms": { $0.planMilliseconds = try $1.time() },
    "prepare_ms": { $0.prepareMilliseconds = try $1.time() },
    "gflops_executed": { $0.gflopsExecuted = try $1.amount() },
    "error_rms": { $0.verification.errorRMS = try $1.amount() },
    "executed_by": { $0.executedBy = $1.text },
    "repro": { $0.repro = $1.text },
    "error_bound_worst": { $0.verification.errorBoundWorst = try $1.amount() },
    "verified_results": { $0.verification.samples = try $1.optionalInteger(in: StoredRange.counts) ?? 0 },
    "predicted_core_ms": { $0.predictedMilliseconds = try $1.time() },
    "work": { $0.work = $1.text },
    "best_backend": { row, field in
      if !field.text.isEmpty { row.readBest { $0.backend = field.text } }
    },
    "ratio_to_best": { row, field in
      if !field.text.isEmpty { try row.readBest { $0.ratio = try field.amount() } }
    },
    "ratio_to_best_low": { row, field in
      if !field.text.isEmpty { try row.readBest { $0.low = try field.amount() } }
    },
    "ratio_to_best_high": { row, field in
      if !field.text.isEmpty { try row.readBest { $0.high = try field.amount() } }
    },
    "verdict_best": { row, field in
      if !field.text.isEmpty {
        try row.readBest { $0.verdict = try field.value(of: BestComparison.Verdict.self, "verdict") }
      }
    },
    "cache": { $0.cache = try $1.value(of: CacheState.self, "cache state") },
    "workspace_limit_bytes": { $0.workspaceLimit = try $1.integer(in: StoredRange.bytes) },
    "multiplicity": { $0.multiplicity = try $1.integer(in: 1...BenchmarkProblem.largestMultiplicity) },
    "compulsory_bytes": { $0.compulsoryBytes = try $1.optionalInteger(in: StoredRange.bytes) },
    "roofline_gflops": { $0.rooflineGflops = try $1.amount() },
    "roofline_percent": { $0.rooflinePercent = try $1.amount() },
    "peak_memory_bytes": { $0.peakMemoryBytes = try $1.optionalInteger(in: StoredRange.bytes) },
    "phases": { $0.phases = try PhaseText.phases($1) },
    "error_rel_terms": { row, field in try row.readNorms(field) { $0.relativeToTerms = $1 } },
    "error_rel_l2": { row, field in try row.readNorms(field) { $0.relativeL2 = $1 } },
    "ulp_p99": { row, field in try row.readNorms(field) { $0.ulp99 = $1 } },
    "results": { row, field in try row.readCoverage(field) { $0.total = Int($1) } },
    "miss_probability": { row, field in try row.readCoverage(field) { $0.scattered = $1 } },
    "miss_probability_tile": { row, field in try row.readCoverage(field) { $0.tile = $1 } },
    "miss_probability_channel": { row, field in try row.readCoverage(field) { $0.channel = $1 } },
    "data": { $0.distribution = try $1.value(of: DataDistribution.self, "distribution") },
    "minimal_repro": { $0.minimalRepro = $1.text },
    "untimed_executions": { $0.untimedExecutions = try $1.optionalInteger(in: StoredRange.counts) },
    "peak_probes_gflops": { row, field in
      row.peakProbes = try field.text.split(separator: " ").map { text in
        guard let value = CSVTable.Field.decimal(text), value > 0, value <= 1e100 else {
          throw field.error("'\(text)' is no rate in GFLOP/s")
        }
        return value
      }
    },
    "peak_gflops": { _ = try $1.amount() },
    "projection_ratio": { $0.verification.projectionRatio = try $1.amount() },
    "role": { $0.role = try $1.value(of: Competitor.Role.self, "role") },
    "effective_bits": { $0.verification.effectiveBits = try $1.number() },
    "correlated": { $0.verification.isCorrelated = try $1.bool() },
  ]

  private mutating func readSpeedup(_ set: (inout Speedup) throws -> Void) rethrows {
    var value = speedup ?? Speedup(ratio: .nan, low: .nan, high: .nan, verdict: .unknown)
    try set(&value)
    speedup = value
  }

  private mutating func readNorms(
    _ field: CSVTable.Field, _ set: (inout ErrorNorms, Double) -> Void
  ) throws {
    if field.text.isEmpty { return }
    var value = verification.norms ?? ErrorNorms()
    set(&value, try field.amount())
    verification.norms = value
  }

  /// What was looked at stands in `verified_results`, a column before these.
  private mutating func readCoverage(
    _ field: CSVTable.Field, _ set: (inout SampleCoverage, Double) -> Void
  ) throws {
    if field.text.isEmpty { return }
    var value = verification.coverage ?? SampleCoverage()
    let number = try field.number()
    guard (0...0x1p53).contains(number) else { throw field.error("'\(field.text)' is out of range") }
    set(&value, number)
    value.sampled = verification.samples
    verification.coverage = value
  }

  private mutating func readBest(_ set: (inout BestComparison) throws -> Void) rethrows {
    var value = best ?? BestComparison(backend: "", ratio: .nan, low: .nan, high: .nan, verdict: .unknown)
    try set(&value)
    best = value
  }

  /// The rows of a table; columns that are not known are left alone.
  ///
  /// - Throws: `HarnessError.malformedLine`.
  static func rows(reading table: CSVTable) throws -> [ResultRow] {
    for name in requiredColumns { _ = try table.column(name) }
    let readers = table.header.map { ResultRow.readers[$0] }
    return try table.rows.map { fields in
      var row = ResultRow()
      for (field, reader) in zip(fields, readers) { try reader?(&row, field) }
      return row
    }
  }

  /// Nothing is known.
  private init() {
    (suite, problem, name, backend) = ("", "", "", "")
    (pass, format, filterState) = (.forward, .nchw, .fresh)
    (threads, baseline, elementType, isa, repro) = (0, "", .float32, "", "")
    verification = Verification(.missingReference, reason: "")
  }
}

/// `samples.csv`: every sample of every row.
enum SampleTable {
  static let header = [
    "suite", "problem", "name", "pass", "backend", "threads", "format", "filter_state", "round",
    "milliseconds", "cache", "workspace_limit_bytes", "row",
  ]

  /// The file; `row` counts the rows of `results.csv` from 1.
  static func csv(_ rows: [ResultRow]) -> String {
    var lines: [[String]] = []
    for (index, row) in rows.enumerated() {
      for (round, seconds) in zip(row.rounds, row.seconds) {
        lines.append([
          row.suite, row.problem, row.name, row.pass.rawValue, row.backend, "\(row.threads)",
          row.format.rawValue, row.filterState.rawValue, "\(round)", CSV.number(seconds * 1e3),
          row.cache.rawValue, "\(row.workspaceLimit)", "\(index + 1)",
        ])
      }
    }
    return CSV.text(header: header, rows: lines)
  }

  /// Gives rows their samples.
  ///
  /// - Throws: `HarnessError.malformedLine`, also where a sample is of another row than it says.
  static func read(_ table: CSVTable, into rows: inout [ResultRow]) throws {
    let (rowColumn, roundColumn) = (try table.column("row"), try table.column("round"))
    let timeColumn = try table.column("milliseconds")
    let backendColumn = try table.column("backend")
    let problemColumn = try table.column("problem")
    let others = ["threads", "workspace_limit_bytes"].map(table.columnIfAny)
    for fields in table.rows {
      guard let number = Int(fields[rowColumn].text), number >= 1, number <= rows.count else {
        throw fields[rowColumn].error("row \(fields[rowColumn].text) of \(rows.count) in results.csv")
      }
      let row = rows[number - 1]
      for (column, expected) in [
        (backendColumn, row.backend), (problemColumn, row.problem), (others[0], "\(row.threads)"),
        (others[1], "\(row.workspaceLimit)"),
      ] {
        guard let column, fields[column].text != expected else { continue }
        throw fields[column].error(
          "'\(fields[column].text)', but row \(number) of results.csv is of '\(expected)'")
      }
      let round = try fields[roundColumn].integer(in: StoredRange.rounds)
      guard round > (row.rounds.last ?? -1) else {
        throw fields[roundColumn].error("round \(round) does not follow round \(row.rounds.last ?? -1)")
      }
      guard let milliseconds = CSVTable.Field.milliseconds(fields[timeColumn].text) else {
        throw fields[timeColumn].error("a time of '\(fields[timeColumn].text)' milliseconds")
      }
      rows[number - 1].rounds.append(round)
      rows[number - 1].seconds.append(milliseconds * 1e-3)
    }
  }
}
