import ConvCore
import ConvTestSupport
import Foundation
import Testing

@testable import ConvHarness

/// A validator of the parts of JSON Schema that our schemas use; anything else in a schema is an error.
private struct SchemaValidator {
  var faults: [String] = []

  mutating func check(_ value: JSONValue, _ schema: JSONValue, at path: String = "$") {
    for (keyword, rule) in schema.object ?? [:] {
      switch keyword {
      case "$schema", "title", "description": break
      case "type": check(type: rule.string ?? "", value, path)
      case "const": if value != rule { faults.append("\(path) is not \(rule)") }
      case "enum": if rule.array?.contains(value) != true { faults.append("\(path) is none of \(rule)") }
      case "minimum":
        if let number = value.number, number < rule.number ?? .infinity {
          faults.append("\(path) is too small")
        }
      case "pattern":
        if value.string?.range(of: rule.string ?? "", options: .regularExpression) == nil {
          faults.append("\(path) does not match")
        }
      case "required":
        for name in rule.array ?? [] where value[name.string ?? ""] == nil {
          faults.append("\(path) has no \(name)")
        }
      case "items":
        for (index, item) in (value.array ?? []).enumerated() { check(item, rule, at: "\(path)[\(index)]") }
      case "properties":
        for (name, rule) in rule.object ?? [:] {
          if let member = value[name] { check(member, rule, at: "\(path).\(name)") }
        }
      case "additionalProperties":
        let known = schema["properties"]?.object ?? [:]
        for (name, member) in value.object ?? [:] where known[name] == nil {
          if rule == .bool(false) {
            faults.append("\(path) has the unknown member \(name)")
          } else {
            check(member, rule, at: "\(path).\(name)")
          }
        }
      default: faults.append("the schema's keyword \(keyword) is not known here")
      }
    }
  }

  private mutating func check(type: String, _ value: JSONValue, _ path: String) {
    let fits =
      switch type {
      case "object": value.object != nil
      case "array": value.array != nil
      case "string": value.string != nil
      case "boolean": value.bool != nil
      case "number": value.number != nil
      case "integer": value.integer != nil
      default: false
      }
    if !fits { faults.append("\(path) is no \(type)") }
  }
}

@Suite struct RunReadingTests {
  private static let files = [
    "results.csv", "samples.csv", "training.csv", "layers.csv", "trajectory.csv", "run.json",
  ]

  /// What a run wrote, read and written again, is the same to the byte, and so is what is made from it.
  @Test func whatIsReadIsWhatWasWritten() throws {
    try withTemporaryFolder { folder in
      try SyntheticRun.full().write(to: folder + "/a")
      let read = try RunReport(reading: folder + "/a")
      try read.write(to: folder + "/b")
      for name in Self.files + ["report.md"] {
        let (a, b) = (
          try InputFile.text(of: "\(folder)/a/\(name)"), try InputFile.text(of: "\(folder)/b/\(name)")
        )
        #expect(a == b, "\(name)")
      }
      #expect(read.rows.count == 4 && read.rows[1].rounds == (0..<20).map { 2 * $0 })
      #expect(read.rows[0].name == "a, \"b\"|c\nd" && read.environment.map(\.key) == ["CPU", "B", "A"])
      #expect(read.training[0].forward.count == 2 && read.training[0].fallbacks == ["direct", "im2col"])
      let (trained, unable) = (read.training[0], read.training[2])
      #expect(trained.layers.map(\.name) == ["conv1", "loss"] && trained.pooledBytes == 123_456_789)
      #expect(trained.layers[0].outputShape == [64, 32, 32, 32] && trained.layers[1].outputShape.isEmpty)
      #expect(trained.trajectory?.steps.map(\.verdict) == [.passed, .failed])
      #expect(trained.trajectory?.level == 16 && trained.trajectory?.optimizer == "adam")
      #expect(unable.declined == "a stride, for example" && unable.problem.isEmpty)
      #expect(read.limits.count == 2 && read.noise?.hugePages == "madvise" && read.hasTimes)
      #expect(read.rows.map(\.verification.isCorrelated) == [false, true, false, false])
      #expect(
        read.rows[1].verification.effectiveBits == 21.3333
          && read.rows[1].verification.projectionRatio == 0.142857)
      #expect(read.rows[0].verification.effectiveBits.isNaN)
      #expect(read.rows[1].phases.map(\.name) == ["input transform", "odd,,name"])
      // The report alone is remade; a lost one comes back.
      let report = try InputFile.text(of: "\(folder)/a/report.md")
      try FileManager.default.removeItem(atPath: "\(folder)/a/report.md")
      #expect(try RunReport.remake(in: folder + "/a").contains("report.md"))
      #expect(try InputFile.text(of: "\(folder)/a/report.md") == report)
      #expect(report.contains("A noisy machine") && report.contains("(worst 7.0 %)"))
    }
  }

  /// Every column is read: a column without a reader would be lost from remade reports.
  @Test func everyColumnIsRead() {
    let unread = ResultRow.columns.map(\.name).filter { ResultRow.readers[$0] == nil }
    #expect(unread == [], "columns need a line in ResultRowReading.swift")
  }

  @Test func runsFromBeforeThereWereSamplesAreRead() throws {
    try withTemporaryFolder { folder in
      try SyntheticRun.full().write(to: folder)
      try FileManager.default.removeItem(atPath: folder + "/samples.csv")
      let read = try RunReport(reading: folder)
      #expect(read.rows.map(\.seconds.count) == [20, 20, 0, 0] && read.rows[0].rounds == Array(0..<20))
    }
    let stored = checkout.appending(path: "Reports").path
    let names = try FileManager.default.contentsOfDirectory(atPath: stored).filter {
      FileManager.default.fileExists(atPath: "\(stored)/\($0)/run.json")
    }
    #expect(names.count >= 3, "\(names)")
    for name in names {
      let read = try RunReport(reading: "\(stored)/\(name)")
      // Networks alone have no rows of layers.
      #expect(
        read.rows.contains { !$0.seconds.isEmpty } || read.training.contains { !$0.forward.isEmpty },
        "\(name)")
    }
  }

  /// Tables from before rows had effective bits and could be correlated, and tables whose columns come in another order.
  @Test func tablesWithoutBitsAreRead() throws {
    let report = try SyntheticRun.full()
    let dropped: Set = ["effective_bits", "correlated"]
    func read(_ order: [Int]) throws -> [ResultRow] {
      let header = ResultRow.columns.map(\.name)
      let rows = report.rows.map { row in ResultRow.columns.map { $0.value(row) } }
      let text = CSV.text(
        header: order.map { header[$0] }, rows: rows.map { row in order.map { row[$0] } })
      return try ResultRow.rows(reading: CSVTable(parsing: text, file: "results.csv"))
    }
    let old = try read(ResultRow.columns.indices.filter { !dropped.contains(ResultRow.columns[$0].name) })
    #expect(old.count == 4 && old.allSatisfy { $0.verification.effectiveBits.isNaN })
    #expect(old.allSatisfy { !$0.verification.isCorrelated })
    #expect(old[1].verification.errorRatio == 0.1235, "what it has is read")
    let reversed = try read(ResultRow.columns.indices.reversed())
    #expect(reversed[1].verification.effectiveBits == 21.3333 && reversed[1].verification.isCorrelated)
    var exact = report.rows[1]
    for bits in [Double.infinity, -Double.infinity, 0, -1.5] {
      exact.verification.effectiveBits = bits
      let table = try CSVTable(parsing: ResultRow.csv([exact]), file: "results.csv")
      #expect(try ResultRow.rows(reading: table)[0].verification.effectiveBits == bits)
    }
    let garbled = ResultRow.csv(report.rows).replacingOccurrences(of: ",true\n", with: ",perhaps\n")
    #expect {
      try ResultRow.rows(reading: CSVTable(parsing: garbled, file: "results.csv"))
    } throws: { "\($0)".contains("'perhaps' is neither true nor false") }
  }

  @Test func theJSONFollowsItsSchema() throws {
    let path = checkout.appending(path: "Documentation/run-1.schema.json").path
    let schema = try JSONValue(parsing: InputFile.text(of: path))
    func faults(_ json: String) throws -> [String] {
      var validator = SchemaValidator()
      validator.check(try JSONValue(parsing: json), schema)
      return validator.faults
    }
    let json = try SyntheticRun.full().json
    #expect(try faults(json).isEmpty)
    // The check can fail.
    for (text, other, fault) in [
      ("\"partial\": false", "\"partial\": 0", "$.partial is no boolean"),
      ("vbench-run-1", "vbench-run-2", "$.format is not"),
      ("\"verdict\": \"unsupported\"", "\"verdict\": \"perhaps\"", "verdict is none of"),
      ("\"correlated\": \"true\"", "\"correlated\": \"maybe\"", "correlated is none of"),
      ("\"is_noisy\": true", "\"is_loud\": true", "is_noisy"),
      ("\"threads\": 1,", "\"threads\": 0,", "is too small"),
    ] {
      let changed = json.replacingOccurrences(of: text, with: other)
      let found = try faults(changed)
      #expect(changed != json && found.contains { $0.contains(fault) }, "\(text): \(found)")
    }
  }

  /// Damaged files: an error with file, line and column, whatever is wrong.
  @Test func damagedFilesAreErrorsWithTheirPlace() throws {
    func fault(_ name: String, _ change: (String) -> String) throws -> String {
      try withTemporaryFolder { folder in
        try SyntheticRun.full().write(to: folder)
        let path = "\(folder)/\(name)"
        let text = try InputFile.text(of: path)
        let changed = change(text)
        #expect(changed != text, "\(name) is as it was")
        try AtomicFile.write(changed, to: path)
        do {
          _ = try RunReport(reading: folder)
          return "nothing"
        } catch {
          return "\(error)".replacingOccurrences(of: folder + "/", with: "")
        }
      }
    }
    func replace(_ name: String, _ a: String, _ b: String) throws -> String {
      try fault(name) { text in
        guard let range = text.range(of: a) else { return text }
        return text.replacingCharacters(in: range, with: b)
      }
    }
    // The names of the first two rows hold a newline: each takes two lines.
    #expect(
      try replace("results.csv", "d\",forward", "d\",sideways").hasPrefix("results.csv:3:4: 'sideways'"))
    #expect(
      try replace("results.csv", "suite,problem", "suite,problems").hasPrefix("results.csv:1:1: there is no"))
    #expect(
      try replace("results.csv", "suite,problem", "suite,suite").hasPrefix("results.csv:1:7: the column"))
    #expect(try replace("results.csv", ",winograd,2,", ",winograd,two,").hasPrefix("results.csv:5:"))
    #expect(try replace("results.csv", ",123.457,", ",0x12,").contains("'0x12' is not a number"))
    #expect(try replace("results.csv", "\"a, ", "\"a\"x").contains("text after the end of a quoted field"))
    #expect(try replace("results.csv", "wrong", "wr\"ong").contains("a quote inside"))
    #expect(try replace("results.csv", "net,", "net,one more,").contains("fields, the header has"))
    #expect(try replace("results.csv", "transform=", "transform").contains("is not a phase"))
    #expect(try fault("results.csv") { _ in "" }.hasPrefix("results.csv:1:1: it is empty"))
    #expect(try fault("results.csv") { $0 + "\"never" }.contains("a quote that does not end"))
    #expect(try replace("samples.csv", "im2col", "direct").hasPrefix("samples.csv:3:"))
    #expect(try replace("samples.csv", ",67108864,1\n", ",67108864,9\n").contains("row 9 of 4"))
    #expect(try replace("samples.csv", "fresh,2,", "fresh,0,").contains("round 0 does not follow round 0"))
    #expect(
      try replace("training.csv", "winograd,2,64,3", "winograd,2,many,3").hasPrefix("training.csv:2:21:"))
    #expect(try replace("training.csv", ",faster,", ",fastest,").contains("'fastest' is no verdict"))
    #expect(try replace("run.json", "\"partial\": false,", "\"partial\": false").hasPrefix("run.json:6:3"))
    #expect(
      try replace("run.json", "\"partial\": false", "\"partial\": 3").hasPrefix("run.json:5:3: 'partial'"))
    #expect(try replace("run.json", "vbench-run-1", "vbench-run-9").contains("vbench-run-9"))
    #expect(try replace("run.json", "\"A\"]", "\"C\"]").contains("environment_order"))
    #expect(
      try replace("run.json", "\"losses\": [2", "\"losses\": [\"x\", 2").contains(
        "'losses': a number is needed"))
    #expect(try fault("run.json") { _ in "[]" }.contains("no JSON object"))
    #expect(try fault("run.json") { String($0.prefix(200)) }.hasPrefix("run.json:"))
  }

  /// Whatever bytes a table has, reading it ends with a report or an error.
  @Test func garbledTablesNeverCrash() throws {
    let report = try SyntheticRun.full()
    let texts = (ResultRow.csv(report.rows), SampleTable.csv(report.rows), TrainingRow.csv(report.training))
    var random = PhiloxGenerator(seed: 21)
    let spice = Array("\",\n\r;=x0-.e\u{FFFD}".unicodeScalars).map(Character.init)
    var errors = 0
    for round in 0..<400 {
      func garble(_ text: String) -> String {
        var characters = Array(text)
        for _ in 0..<1 + round % 3 {
          let place = Int(random.next() % UInt64(characters.count))
          switch random.next() % 3 {
          case 0: characters.remove(at: place)
          case 1: characters[place] = spice[Int(random.next() % UInt64(spice.count))]
          default: characters.insert(spice[Int(random.next() % UInt64(spice.count))], at: place)
          }
        }
        return String(characters)
      }
      var files = RunFiles(
        folder: "f", results: texts.0, samples: texts.1, training: texts.2, run: report.json)
      switch round % 4 {
      case 0: files.results = garble(files.results)
      case 1: files.samples = garble(texts.1)
      case 2: files.training = garble(files.training)
      default: files.run = garble(files.run)
      }
      do { _ = try RunReport(files) } catch is HarnessError { errors += 1 }
    }
    #expect(errors > 40, "\(errors)")
  }

  @Test func journalsAreContinued() throws {
    try withTemporaryFolder { folder in
      let folder = folder + "/new"
      let rows = try SyntheticRun.full().rows
      let identity = RunJournal.Identity(facts: [("CPU", "one"), ("seed", "1")], items: ["a", "b", "c"])
      let journal = try RunJournal(creating: folder, identity: identity)
      try journal.append(item: 0, rows: [rows[0], rows[2]])
      try journal.append(item: 2, rows: [rows[3]])
      // The later visit has the samples of both.
      try journal.append(item: 2, visit: 1, rows: [rows[1]])
      journal.finish(isWhole: false)
      // The process ended in the middle of a line.
      let path = "\(folder)/\(RunJournal.name)"
      let whole = try InputFile.text(of: path)
      try AtomicFile.write(whole + "{\"item\": 1, \"res", to: path)
      let (again, done) = try RunJournal.resume(in: folder, identity: identity)
      #expect(done.keys.sorted() == [0, 2] && done[0]?.rows.count == 2)
      #expect(done[0]?.visits == 1 && done[2]?.visits == 2)
      #expect(ResultRow.csv(done[2]?.rows ?? []) == ResultRow.csv([rows[1]]))
      #expect(SampleTable.csv(done[0]?.rows ?? []) == SampleTable.csv([rows[0], rows[2]]))
      try again.append(item: 1, rows: [rows[3]])
      again.finish(isWhole: false)
      #expect(try RunJournal.resume(in: folder, identity: identity).done.count == 3)

      func mismatch(_ facts: [(String, String)], _ items: [String]) -> String {
        do {
          _ = try RunJournal.resume(in: folder, identity: .init(facts: facts, items: items))
          return "nothing"
        } catch { return "\(error)" }
      }
      let seed = mismatch([("CPU", "one"), ("seed", "2")], identity.items)
      #expect(seed.contains("seed was '1', now it is '2'"), "\(seed)")
      #expect(mismatch([("CPU", "one"), ("threads", "2")], identity.items).contains("'nothing'"))
      #expect(
        mismatch(identity.facts.map { ($0.name, $0.value) }, ["a", "x", "c"]).contains(
          "was 'b', now it is 'x'"))
      #expect(mismatch(identity.facts.map { ($0.name, $0.value) }, ["a", "b"]).contains("3, now it is 2"))

      try AtomicFile.write(whole.replacingOccurrences(of: "\"item\": 2", with: "\"item\": 2x"), to: path)
      #expect(
        mismatch(identity.facts.map { ($0.name, $0.value) }, identity.items).contains("journal.jsonl:3:"))
      let last = try RunJournal(creating: folder, identity: identity)
      last.finish(isWhole: true)
      #expect(!RunJournal.exists(in: folder))
      #expect(throws: FileError.self) { try RunJournal.resume(in: folder, identity: identity) }
    }
  }
}

@Suite struct RunDiffTests {
  private func report(_ rows: [ResultRow], cpu: String = "one", peak: Double = 100) -> RunReport {
    var report = RunReport(
      environment: [("CPU", cpu)], command: "vbench run", date: "2000-01-01T00:00:00Z", peak: peak, rows: rows
    )
    report.limits = [MachineLimits(threads: 2, fmaPeak: peak, bandwidth: 10)]
    return report
  }

  private func verdicts(_ diff: RunDiff) -> [RunDiff.Verdict] { diff.rows.map(\.verdict) }

  @Test func everyFactThatDiffersIsNamed() throws {
    let row = try SyntheticRun.row(backend: "a", milliseconds: 1)
    var (before, after) = (report([row]), report([row]))
    #expect(RunDiff(before, after, threshold: 0.05).differences.isEmpty)
    before.environment += [("OpenBLAS", "0.3.21, core Prescott"), ("system", "same"), ("gone", "x")]
    after.environment += [("new", "y"), ("system", "same"), ("OpenBLAS", "0.3.21, core SkylakeX")]
    before.warnings = ["OpenBLAS runs its core Prescott"]
    before.noise = NoiseRecord()
    before.noise?.hugePages = "always"
    after.noise = NoiseRecord()
    after.noise?.hugePages = "never"
    let found = RunDiff(before, after, threshold: 0.05).differences
    try #require(found.map(\.fact) == ["OpenBLAS", "gone", "warnings", "huge pages", "new"])
    #expect(found[0].before == "0.3.21, core Prescott" && found[0].after == "0.3.21, core SkylakeX")
    #expect(found[1].before == "x" && found[1].after == nil && found[4].before == nil)
    #expect(found[2].before == "OpenBLAS runs its core Prescott" && found[2].after == nil)
    #expect(found[3].before == "always" && found[3].after == "never")
  }

  @Test func rowsRegressBeyondTheThresholdAndItsInterval() throws {
    let before = report([
      try SyntheticRun.row(backend: "a", milliseconds: 1),
      try SyntheticRun.row(backend: "b", milliseconds: 1),
      try SyntheticRun.row(backend: "c", milliseconds: 1),
      try SyntheticRun.row(backend: "d", milliseconds: 1),
      try SyntheticRun.row(backend: "e", milliseconds: 1),
      try SyntheticRun.row(backend: "gone", milliseconds: 1),
    ])
    var broken = try SyntheticRun.row(backend: "e", milliseconds: 1)
    broken.set(Verification(.failed, reason: "wrong"))
    let after = report([
      try SyntheticRun.row(backend: "a", milliseconds: 1.1, seed: 2),
      try SyntheticRun.row(backend: "b", milliseconds: 0.9, seed: 3),
      try SyntheticRun.row(backend: "c", milliseconds: 1.03, seed: 4),
      // Slower, but nobody can tell.
      try SyntheticRun.row(backend: "d", milliseconds: 1.1, noise: 0.8, seed: 5), broken,
      try SyntheticRun.row(backend: "new", milliseconds: 1),
    ])
    let diff = RunDiff(before, after, threshold: 0.05)
    #expect(verdicts(diff) == [.regressed, .improved, .unchanged, .unchanged, .broken])
    #expect(diff.hasRegressions && !diff.isNormalized)
    #expect(diff.onlyBefore.map(\.backend) == ["gone"] && diff.onlyAfter.map(\.backend) == ["new"])
    #expect(abs(diff.rows[0].ratio - 1.1) < 0.01 && diff.rows[0].low > 1.05 && diff.rows[0].high < 1.15)
    // The same run twice.
    let same = RunDiff(before, before, threshold: 0)
    #expect(verdicts(same) == Array(repeating: .unchanged, count: 6) && !same.hasRegressions)
    // A larger threshold forgives.
    #expect(verdicts(RunDiff(before, after, threshold: 0.2))[0] == .unchanged)
    let means = RunDiff(before, after, threshold: 0.05).means
    #expect(means.map(\.backend) == ["a", "b", "c", "d"] && abs(means[0].ratio - 1.1) < 0.01)
  }

  /// A row that lost bits shows both numbers; a run from before there were any has none to show.
  @Test func bitsOfBothRunsAreShown() throws {
    func row(_ bits: Double, _ isCorrelated: Bool) throws -> ResultRow {
      var row = try SyntheticRun.row(backend: "a", milliseconds: 1)
      (row.verification.effectiveBits, row.verification.isCorrelated) = (bits, isCorrelated)
      return row
    }
    func texts(_ before: ResultRow, _ after: ResultRow) -> [String] {
      let row = RunDiff(report([before]), report([after]), threshold: 0.05).rows[0]
      return [row.bitsText, row.correlatedText]
    }
    #expect(try texts(row(21.34, false), row(20.1, true)) == ["21.3 → 20.1", "correlated now"])
    #expect(try texts(row(21.34, true), row(21.31, true)) == ["21.3", "correlated"])
    #expect(try texts(row(.nan, true), row(.infinity, false)) == ["? → exact", "no longer correlated"])
    #expect(try texts(row(.nan, false), row(.nan, false)) == ["", ""])
  }

  /// A machine of half the peak may take twice the time.
  @Test func machinesAreComparedByTheirPeaks() throws {
    let fast = report([try SyntheticRun.row(milliseconds: 1)], cpu: "fast", peak: 200)
    let slow = report([try SyntheticRun.row(milliseconds: 2, seed: 2)], cpu: "slow", peak: 100)
    let diff = RunDiff(fast, slow, threshold: 0.05)
    #expect(diff.isNormalized && verdicts(diff) == [.unchanged] && abs(diff.rows[0].ratio - 1) < 0.01)
    #expect(verdicts(RunDiff(fast, slow, threshold: 0.05, normalizes: false)) == [.regressed])
    #expect(verdicts(RunDiff(slow, fast, threshold: 0.05)) == [.unchanged])
    // Rows that were measured at other moments than the whole run count with the peaks of their own.
    var (fastRow, slowRow) = (fast.rows[0], slow.rows[0])
    fastRow.peakProbes = [300, 300, 310]
    slowRow.peakProbes = [100, 100]
    let drifted = RunDiff(
      report([fastRow], cpu: "fast", peak: 200), report([slowRow], cpu: "slow", peak: 100), threshold: 0.05)
    #expect(abs(drifted.rows[0].ratio - 2 * 100.0 / 300) < 0.01)
    // The peak of a matrix kernel and that of chains in registers are not the same thing.
    var measured = slow
    measured.limits[0].levels = [
      CacheBandwidth(level: "memory", bytesPerThread: 1, read: 1, write: 1, triad: 1)
    ]
    let mixed = RunDiff(fast, measured, threshold: 0.05)
    #expect(mixed.hasTwoKindsOfPeak && !mixed.isNormalized && verdicts(mixed) == [.regressed])
    #expect(!diff.hasTwoKindsOfPeak && !RunDiff(fast, fast, threshold: 0.05).hasTwoKindsOfPeak)
    // Without a peak of that many threads nothing can be said.
    let other = report([try SyntheticRun.row(milliseconds: 2, threads: 1)], cpu: "slow", peak: 100)
    let unknown = RunDiff(
      report([try SyntheticRun.row(milliseconds: 1, threads: 1)], cpu: "fast"), other, threshold: 0.05)
    #expect(verdicts(unknown) == [.untimed])
  }

  @Test func geometricMeansAreOfRatios() throws {
    let before = report([
      try SyntheticRun.row(name: "x", milliseconds: 1), try SyntheticRun.row(name: "y", milliseconds: 1),
    ])
    let after = report([
      try SyntheticRun.row(name: "x", milliseconds: 4), try SyntheticRun.row(name: "y", milliseconds: 0.25),
    ])
    let means = RunDiff(before, after, threshold: 0.05).means
    #expect(means.count == 1 && means[0].rows == 2 && abs(means[0].ratio - 1) < 0.02, "\(means)")
  }
}

@Suite struct MeasurementReportTests {
  private func stat(busy: Int, idle: Int, steal: Int, own: Int) -> NoiseSample {
    let stat = "cpu  \(busy) 0 0 \(idle) 0 0 0 \(steal) 0 0\ncpu0 1 2 3\n"
    let fields = (0..<11).map { _ in "7" } + ["\(own)", "0", "0", "0", "9", "9"]
    return NoiseSample(
      stat: stat, selfStat: "12 (vbench) (x)) \(fields.joined(separator: " "))",
      loadAverage: "1.50 1.0 0.5 1/100 77\n", cpuInfo: "cpu MHz\t\t: 2000.0\ncpu MHz : 3000.0\n")!
  }

  @Test func noiseIsWhatOthersUse() {
    let sample = stat(busy: 100, idle: 50, steal: 7, own: 60)
    #expect(sample.totalTicks == 157 && sample.busyTicks == 100 && sample.stealTicks == 7)
    #expect(sample.ownTicks == 60 && sample.load == 1.5 && sample.megahertz == 2500)
    #expect(NoiseSample(stat: "", selfStat: "", loadAverage: "", cpuInfo: "") == nil)
    #expect(NoiseSample(stat: "cpu  1 2 3", selfStat: "1 (x) R", loadAverage: "", cpuInfo: "") == nil)

    var quiet = NoiseWatch()
    quiet.add(stat(busy: 0, idle: 0, steal: 0, own: 0))
    quiet.add(stat(busy: 1000, idle: 1000, steal: 5, own: 990))
    #expect(quiet.record.reasons.isEmpty, "\(quiet.record.reasons)")
    #expect(abs(quiet.record.othersPercent - 10.0 / 2005 * 100) < 1e-9)

    // The machine's speed: 1.6 times as fast in one visit as in another is said first, whatever else there is.
    var drifting = quiet
    for peak in [100.0, 160, 120, .nan] { drifting.add(peak: peak, threads: 2) }
    for peak in [60.0, 70] { drifting.add(peak: peak, threads: 1) }
    #expect(drifting.record.peakLow == 100 && drifting.record.peakHigh == 160)
    #expect(drifting.record.reasons == ["the machine's speed changed by 1.6 × during this run"])
    #expect(drifting.record.summary.hasPrefix("the machine's speed changed by 1.6 × (FMA peak 100 to 160"))
    #expect(drifting.peak(threads: 2) == 120 && drifting.peak(threads: 1) == 65)
    #expect(drifting.peak(threads: 3) == nil && quiet.record.speedChange.isNaN)
    var steady = quiet
    for peak in [100.0, 110] { steady.add(peak: peak, threads: 2) }
    #expect(
      steady.record.reasons.isEmpty && steady.record.summary.hasPrefix("the machine's speed changed by 1.1"))

    var loud = NoiseWatch()
    loud.add(stat(busy: 0, idle: 0, steal: 0, own: 0))
    loud.add(stat(busy: 1000, idle: 1000, steal: 0, own: 1000))
    // Too short to say anything by itself, but it is counted.
    loud.add(stat(busy: 1040, idle: 1000, steal: 0, own: 1000))
    loud.add(stat(busy: 1500, idle: 1500, steal: 300, own: 1100))
    let record = loud.record
    #expect(abs(record.stealPercent - 300.0 / 3300 * 100) < 1e-9)
    #expect(abs(record.stealPercentWorst - 300.0 / 1300 * 100) < 1e-9)
    #expect(abs(record.othersPercentWorst - 400.0 / 1300 * 100) < 1e-9)
    #expect(record.reasons.count == 2 && record.reasons[0].contains("23.1 %"), "\(record.reasons)")
    #expect(record.summary.contains("load before 1.50") && record.summary.contains("2500–2500 MHz"))
    var throttled = NoiseRecord()
    (throttled.megahertzLow, throttled.megahertzHigh) = (2000, 3000)
    #expect(throttled.reasons.count == 1 && NoiseRecord().reasons.isEmpty)
  }

  @Test func bytesAreReadAsTheyAreWritten() {
    #expect(ByteCount.parse("64MiB") == 64 << 20 && ByteCount.parse("1.5 GiB") == 3 << 29)
    #expect(
      ByteCount.parse("300000") == 300_000 && ByteCount.parse("1kib") == 1024 && ByteCount.parse("12B") == 12)
    for text in ["", "MiB", "-1", "1e99", "nan", "1 2", "0x10", "99999999999GiB", "1TiB"] {
      #expect(ByteCount.parse(text) == nil, "\(text)")
    }
    for bytes in [0, 300, 1 << 10, 64 << 20, 3 << 29] {
      #expect(ByteCount.parse(ByteCount.text(bytes)) == bytes)
    }
    #expect(CacheSizes.bytes("32768K\n") == 32 << 20 && CacheSizes.bytes("x") == nil)
    #expect(MemoryProbe.peakBytes(status: "VmPeak:\t 1 kB\nVmHWM:\t  2048 kB\n") == 2 << 20)
  }

  @Test func rooflinesAreTheLesserLimit() throws {
    let limits = MachineLimits(threads: 1, fmaPeak: 100, bandwidth: 10)
    #expect(limits.roofline(intensity: 2) == 20 && limits.roofline(intensity: 1000) == 100)
    let problem = try ConvProblem(parsing: "conv2d:n2c3h9w9k4r3s3p1")
    let item = RunItem(suite: "x", problem: BenchmarkProblem(problem), pass: .backwardFilter)
    #expect(item.compulsoryBytes == 4 * (2 * 3 * 81 + 4 * 3 * 9 + 2 * 4 * 81))
  }

  /// Two layers, one of them three times; `b` declines the second.
  @Test func totalsOfNetworksCountLayersAsOftenAsTheyOccur() throws {
    let other = "conv2d:n1c3h9w9k8r3s3p1"
    var declined = try SyntheticRun.row(other, name: "conv2", backend: "b", milliseconds: 1, count: 0)
    declined.set(Verification(.unsupported, reason: "no"))
    declined.medianMilliseconds = .nan
    let rows = [
      try SyntheticRun.row(backend: "a", milliseconds: 2, noise: 0, multiplicity: 3),
      try SyntheticRun.row(backend: "b", milliseconds: 1, noise: 0, multiplicity: 3),
      try SyntheticRun.row(other, name: "conv2", backend: "a", milliseconds: 10, noise: 0), declined,
    ]
    let totals = NetworkTotals(rows, conditions: [])
    #expect(totals.total("a", .forward) == 16 && totals.total("b", .forward) == nil)
    #expect(totals.oracle(.forward) == 13 && totals.timed("b", .forward) == 1)
    let report = RunReport(
      environment: [], command: "vbench run", date: "2000-01-01T00:00:00Z", peak: 1, rows: rows)
    let text = report.markdown
    #expect(text.contains("| a | 16.0 | 16.0 |") && text.contains("| b | 1 of 2 layers |  |"), "\(text)")
    #expect(text.contains("| best of each layer | 13.0 | 13.0 |"), "\(text)")
    #expect(text.contains("| conv1 `conv2d:n1c3h9w9k4r3s3p1` | 3 | b 1.00 |"), "\(text)")
  }

  /// A network may have equal layers of equal names: the second row of an engine begins the second layer.
  @Test func equalLayersStayTwo() throws {
    let times = [("a", 2.0), ("b", 3), ("a", 4), ("b", 1)]
    let rows = try times.map { try SyntheticRun.row(backend: $0.0, milliseconds: $0.1, noise: 0) }
    let items = ItemRows.all(rows)
    #expect(items.map { $0.rows.map(\.backend) } == [["a", "b"], ["a", "b"]])
    #expect(items.map(\.best?.backend) == ["a", "b"])
    let totals = LayerTotals(items)
    #expect(totals.count == 2 && totals.engine("a")?.total == 6 && totals.engine("b")?.total == 4)
    #expect(totals.best.total == 3 && totals.engine("c") == nil)
    let report = RunReport(
      environment: [], command: "vbench run", date: "2000-01-01T00:00:00Z", peak: 1, rows: rows)
    #expect(WinnerAgreement(report, report).items == 2)
  }

  @Test func sweepsHaveTheirTables() throws {
    var rows = [
      try SyntheticRun.row(milliseconds: 3, noise: 0, threads: 1),
      try SyntheticRun.row(milliseconds: 2, noise: 0, threads: 2),
    ]
    func text() -> String {
      RunReport(environment: [], command: "vbench run", date: "2000-01-01T00:00:00Z", peak: 1, rows: rows)
        .markdown
    }
    #expect(text().contains("| naive | 3.00 | 2.00 | 1.50 (75 %) |"), "\(text())")
    #expect(text().contains("| forward, 1 thread |") && !text().contains("## Workspace"))
    rows[0].threads = 2
    rows[0].workspaceLimit = 1 << 20
    rows[0].workspaceBytes = 1 << 10
    rows[1].workspaceBytes = 2 << 20
    #expect(text().contains("| 1 MiB ms | 64 MiB ms |") && !text().contains("## Threads"), "\(text())")
    #expect(text().contains("| naive | 3.00 | 2.00 | 1.50 (1 KiB / 2 MiB) |"), "\(text())")
    rows[0].set(Verification(.unsupported, reason: "too little"))
    rows[0].medianMilliseconds = .nan
    #expect(text().contains("| naive | declines | 2.00 |  |"), "\(text())")
    rows[1].phases = [("pack", 1e-3), ("multiply", 3e-3)]
    #expect(text().contains("pack 1.00 (25 %), multiply 3.00 (75 %)"), "\(text())")
  }
}
