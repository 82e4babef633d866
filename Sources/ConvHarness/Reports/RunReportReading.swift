import ConvCore
import Foundation

/// The files of a run that hold what was found; all others are made from them.
struct RunFiles {
  /// Names of the files.
  static let results = "results.csv"
  static let samples = "samples.csv"
  static let training = "training.csv"
  static let run = "run.json"
  static let layers = "layers.csv"
  static let trajectory = "trajectory.csv"

  /// Path of their folder, for errors.
  let folder: String
  var results: String
  /// Nil in folders from before there were files of samples: they are in `run.json`.
  var samples: String?
  var training: String
  var run: String
  /// Of training rows; nil in folders from before there were such files.
  var layers: String?
  var trajectory: String?
}

extension RunReport {
  /// What an earlier run has written into `folder`.
  ///
  /// - Throws: `FileError` for files that are not there or not text, `HarnessError.malformedLine` with line and column for
  ///   whatever is wrong in them.
  public init(reading folder: String) throws {
    func text(_ name: String) throws -> String { try InputFile.text(of: "\(folder)/\(name)", limit: 1 << 28) }
    let names = [RunFiles.results, RunFiles.training, RunFiles.run]
    let texts = try names.map(text)
    func textIfAny(_ name: String) throws -> String? {
      do { return try text(name) } catch FileError.missingInput { return nil }
    }
    try self.init(
      RunFiles(
        folder: folder, results: texts[0], samples: try textIfAny(RunFiles.samples), training: texts[1],
        run: texts[2], layers: try textIfAny(RunFiles.layers),
        trajectory: try textIfAny(RunFiles.trajectory)))
  }

  /// What the texts of the files say.
  init(_ files: RunFiles) throws {
    let run = try JSONReader(files.run, file: "\(files.folder)/\(RunFiles.run)")
    try self.init(head: run)
    rows = try ResultRow.rows(
      reading: CSVTable(parsing: files.results, file: "\(files.folder)/\(RunFiles.results)"))
    if let samples = files.samples {
      try SampleTable.read(
        CSVTable(parsing: samples, file: "\(files.folder)/\(RunFiles.samples)"), into: &rows)
    } else {
      for (index, seconds) in try run.lists("results", "seconds", count: rows.count).enumerated() {
        rows[index].seconds = seconds
        rows[index].rounds = Array(seconds.indices)
      }
    }
    training = try TrainingRow.rows(
      reading: CSVTable(parsing: files.training, file: "\(files.folder)/\(RunFiles.training)"), run)
    if let layers = files.layers {
      try LayerTable.read(
        CSVTable(parsing: layers, file: "\(files.folder)/\(RunFiles.layers)"), into: &training)
    }
    if let trajectory = files.trajectory {
      try TrajectoryTable.read(
        CSVTable(parsing: trajectory, file: "\(files.folder)/\(RunFiles.trajectory)"), into: &training)
    }
  }

  /// What `run.json` says beside its rows, which are not read: a few lines at its beginning.
  ///
  /// - Throws: as `init(reading:)`.
  init(headOf folder: String) throws {
    let path = "\(folder)/\(RunFiles.run)"
    let text = try InputFile.text(of: path, limit: 1 << 28)
    // No string holds a newline. Where what lies before the rows is no JSON or not all that is needed, the whole decides.
    if let rows = text.utf8.firstRange(of: "\n  \"results\": [".utf8),
      let head = try? JSONReader("\(text[..<rows.lowerBound])\"results\": []}", file: path),
      let report = try? RunReport(head: head)
    {
      self = report
    } else {
      try self.init(head: JSONReader(text, file: path))
    }
  }

  private init(head run: JSONReader) throws {
    let format = try run.string("format")
    guard format == RunReport.format else {
      throw run.error("its format is '\(format)', '\(RunReport.format)' can be read")
    }
    self.init(
      environment: try run.environment(), command: try run.string("command"), date: try run.string("date"),
      peak: try run.number("fma_peak_gflops"))
    if peak < 0 { throw run.error("fma_peak_gflops", "\(peak) is out of range: at least 0 is possible") }
    isPartial = try run.bool("partial")
    hasTimes = try run.bool("has_times", default: peak > 0)
    trainingSource = try run.string("training_source", default: "")
    warnings = try run.strings("warnings")
    limits = try run.limits()
    noise = try run.noise()
    ledger = try run.ledger()
    since = try run.string("since", default: "")
  }
}

extension TrainingRow {
  /// The rows of `training.csv`; the single steps are in `run.json`.
  ///
  /// - Throws: `HarnessError.malformedLine`.
  fileprivate static func rows(reading table: CSVTable, _ run: JSONReader) throws -> [TrainingRow] {
    func column(_ name: String) throws -> Int { try table.column(name) }
    let (network, backend) = (try column("network"), try column("backend"))
    let (threads, batch, steps) = (try column("threads"), try column("batch"), try column("steps"))
    let (error, verdict) = (try column("trajectory_error"), try column("verdict_speed"))
    let speeds = try ["speedup", "speedup_low", "speedup_high"].map(column)
    let (fallbacks, problem) = (try column("fallbacks"), try column("problem"))
    var rows = try table.rows.map { fields in
      var row = TrainingRow(
        network: fields[network].text, backend: fields[backend].text,
        threads: try fields[threads].integer(in: StoredRange.threads),
        batch: try fields[batch].integer(in: StoredRange.rounds),
        steps: try fields[steps].integer(in: StoredRange.rounds))
      if !fields[error].text.isEmpty { row.trajectoryError = try fields[error].amount() }
      let figures = try speeds.map { try fields[$0].amount() }
      if !fields[verdict].text.isEmpty {
        row.speedup = Speedup(
          ratio: figures[0], low: figures[1], high: figures[2],
          verdict: try fields[verdict].value(of: Speedup.Verdict.self, "verdict"))
      }
      if !fields[fallbacks].text.isEmpty {
        row.fallbacks = fields[fallbacks].text.components(separatedBy: "; ")
      }
      row.problem = fields[problem].text
      if let declined = table.columnIfAny("declined") { row.declined = fields[declined].text }
      if let bytes = table.columnIfAny("resident_bytes") {
        row.residentBytes = try fields[bytes].optionalInteger(in: StoredRange.bytes)
      }
      if let bytes = table.columnIfAny("pooled_bytes") {
        row.pooledBytes = try fields[bytes].optionalInteger(in: StoredRange.bytes)
      }
      // These say what the lists of run.json say.
      for name in [
        "step_median_ms", "forward_ms", "backward_ms", "optimizer_ms", "images_per_s", "loss_first",
        "loss_last",
      ] {
        if let place = table.columnIfAny(name) { _ = try fields[place].amount() }
      }
      row.best = try best(of: fields, in: table)
      if let role = table.columnIfAny("role") {
        row.role = try fields[role].value(of: Competitor.Role.self, "role")
      }
      return row
    }
    let lists = try ["losses", "forward_seconds", "backward_seconds", "optimizer_seconds"].map {
      try run.lists("training", $0, count: rows.count)
    }
    for index in rows.indices {
      rows[index].losses = lists[0][index]
      rows[index].forward = lists[1][index]
      rows[index].backward = lists[2][index]
      rows[index].optimizer = lists[3][index]
    }
    return rows
  }
}

extension TrainingRow {
  /// The comparison with the best engine; nil where the row has none, as in files from before there were any.
  private static func best(of fields: [CSVTable.Field], in table: CSVTable) throws -> BestComparison? {
    guard let backend = table.columnIfAny("best_backend") else { return nil }
    let figures = try ["ratio_to_best", "ratio_to_best_low", "ratio_to_best_high"].map {
      try fields[table.column($0)].amount()
    }
    if fields[backend].text.isEmpty { return nil }
    return BestComparison(
      backend: fields[backend].text, ratio: figures[0], low: figures[1], high: figures[2],
      verdict: try fields[table.column("verdict_best")].value(of: BestComparison.Verdict.self, "verdict"))
  }
}

/// `run.json`, whose members are asked for by name and type.
private struct JSONReader {
  let value: JSONValue
  let source: CSVTable.Source

  init(_ text: some StringProtocol, file: String) throws {
    source = CSVTable.Source(file: file, bytes: Array(text.utf8))
    do {
      value = try JSONValue(parsing: source.bytes)
    } catch let error as JSONValue.SyntaxError {
      throw source.error(at: error.offset, error.reason)
    }
    guard value.object != nil else { throw error("it is no JSON object") }
  }

  func error(_ reason: String) -> HarnessError { source.error(at: 0, reason) }

  /// An error about a member, at the first place where its name stands.
  func error(_ name: String, _ reason: String) -> HarnessError {
    let wanted = Array("\"\(name)\"".utf8)
    let offset = source.bytes.indices.first { source.bytes[$0...].starts(with: wanted) } ?? 0
    return source.error(at: offset, "'\(name)': \(reason)")
  }

  func string(_ name: String, default value: String? = nil) throws -> String {
    guard let member = self.value[name] else {
      if let value { return value }
      throw error("there is no '\(name)'")
    }
    guard let text = member.string else { throw error(name, "a string is needed") }
    return text
  }

  /// A list of strings; empty where there is none.
  func strings(_ name: String) throws -> [String] {
    guard let member = value[name] else { return [] }
    guard let list = member.array else { throw error(name, "a list is needed") }
    return try list.map { entry in
      guard let text = entry.string else { throw error(name, "strings are needed") }
      return text
    }
  }

  func bool(_ name: String, default value: Bool? = nil) throws -> Bool {
    guard let member = self.value[name] else {
      if let value { return value }
      throw error("there is no '\(name)'")
    }
    guard let flag = member.bool else { throw error(name, "true or false is needed") }
    return flag
  }

  func number(_ name: String) throws -> Double {
    guard let member = value[name] else { throw error("there is no '\(name)'") }
    return try number(member, name)
  }

  /// The number that a value is.
  func number(_ value: JSONValue, _ name: String) throws -> Double {
    guard let number = value.number else { throw error(name, "a number is needed") }
    if let reason = StoredRange.refusal(of: number) { throw error(name, reason) }
    return number
  }

  /// The amount that a value is.
  func amount(_ value: JSONValue, _ name: String) throws -> Double {
    let number = try number(value, name)
    if number < 0 { throw error(name, "\(number) is out of range: at least 0 is possible") }
    return number
  }

  /// The whole number in a range that a value is.
  func integer(_ value: JSONValue?, _ name: String, in range: ClosedRange<Int>) throws -> Int {
    guard let number = value?.integer, range.contains(number) else {
      throw error(name, "a whole number from \(range.lowerBound) to \(range.upperBound) is needed")
    }
    return number
  }

  /// The facts in their order.
  func environment() throws -> [(key: String, value: String)] {
    guard let members = value["environment"]?.object else {
      throw error("environment", "an object is needed")
    }
    let order = value["environment_order"]?.array?.compactMap(\.string) ?? members.keys.sorted()
    guard Set(order) == Set(members.keys), order.count == members.count else {
      throw error("environment_order", "the names of 'environment', each once, are needed")
    }
    return try order.map { key in
      guard let text = members[key]?.string else { throw error(key, "a string is needed") }
      return (key, text)
    }
  }

  func limits() throws -> [MachineLimits] {
    guard let member = value["limits"] else { return [] }
    guard let list = member.array else { throw error("limits", "a list is needed") }
    return try list.map { entry in
      guard let peak = entry["fma_peak_gflops"], let bandwidth = entry["bandwidth_gb_per_s"] else {
        throw error("limits", "threads, fma_peak_gflops and bandwidth_gb_per_s are needed")
      }
      var limits = MachineLimits(
        threads: try integer(entry["threads"], "threads", in: StoredRange.threads),
        fmaPeak: try amount(peak, "fma_peak_gflops"), bandwidth: try amount(bandwidth, "bandwidth_gb_per_s"))
      // Neither is in files from before they were measured.
      for (name, path) in [
        ("matrix_kernel_gflops", \MachineLimits.matrixKernel),
        ("matrix_kernel_share", \.matrixKernelShare),
      ] {
        guard let member = entry[name] else { continue }
        limits[keyPath: path] = try amount(member, name)
      }
      if let levels = entry["levels"] { limits.levels = try self.levels(levels) }
      return limits
    }
  }

  private func levels(_ value: JSONValue) throws -> [CacheBandwidth] {
    guard let list = value.array else { throw error("levels", "a list is needed") }
    return try list.map { entry in
      guard let level = entry["level"]?.string else {
        throw error("levels", "level and bytes_per_thread are needed")
      }
      let bytes = try integer(entry["bytes_per_thread"], "bytes_per_thread", in: StoredRange.bytes)
      var bandwidth = CacheBandwidth(
        level: level, bytesPerThread: bytes, read: .nan, write: .nan, triad: .nan)
      for (name, path) in CacheBandwidth.figures {
        guard let figure = entry[name] else { continue }
        bandwidth[keyPath: path] = try amount(figure, name)
      }
      return bandwidth
    }
  }

  func noise() throws -> NoiseRecord? {
    guard let member = value["noise"] else { return nil }
    guard member.object != nil else { throw error("noise", "an object is needed") }
    var record = NoiseRecord()
    for (name, path) in NoiseRecord.figures {
      guard let figure = member[name] else { continue }
      record[keyPath: path] = try number(figure, name)
    }
    record.hugePages = member["huge_pages"]?.string ?? ""
    return record
  }

  func ledger() throws -> TimeLedger? {
    guard let member = value["seconds"] else { return nil }
    guard member.object != nil else { throw error("seconds", "an object is needed") }
    var ledger = TimeLedger()
    for (name, path) in TimeLedger.members {
      guard let part = member[name] else { throw error("seconds", "a number '\(name)' is needed") }
      ledger[keyPath: path] = try number(part, name)
    }
    return ledger
  }

  /// A list of numbers out of each entry of a list.
  func lists(_ name: String, _ member: String, count: Int) throws -> [[Double]] {
    guard let entries = value[name]?.array else { throw error(name, "a list is needed") }
    guard entries.count == count else {
      throw error(name, "it has \(entries.count) entries, the table has \(count) rows")
    }
    return try entries.map { entry in
      guard let numbers = entry[member]?.array else { throw error(member, "a list is needed") }
      return try numbers.map { try amount($0, member) }
    }
  }
}

extension NoiseRecord {
  /// The figures by their names in files.
  static var figures: [(String, WritableKeyPath<NoiseRecord, Double>)] {
    [
      ("steal_percent", \.stealPercent), ("steal_percent_worst", \.stealPercentWorst),
      ("others_percent", \.othersPercent), ("others_percent_worst", \.othersPercentWorst),
      ("load_before", \.loadBefore), ("load_after", \.loadAfter), ("mhz_low", \.megahertzLow),
      ("mhz_high", \.megahertzHigh), ("fma_peak_low_gflops", \.peakLow), ("fma_peak_high_gflops", \.peakHigh),
    ]
  }
}

extension CacheBandwidth {
  /// The figures by their names in files; one that was not to be had is left out.
  static var figures: [(String, WritableKeyPath<CacheBandwidth, Double>)] {
    [("read_gb_per_s", \.read), ("write_gb_per_s", \.write), ("triad_gb_per_s", \.triad)]
  }
}

extension TimeLedger {
  /// The measured parts by their names in files; `tool` follows from them.
  static var members: [(String, WritableKeyPath<TimeLedger, Double>)] {
    [
      ("verification", \.verification), ("planning", \.planning), ("kernels", \.kernels),
      ("waiting", \.waiting), ("training", \.training), ("probes", \.probes), ("total", \.total),
    ]
  }
}
