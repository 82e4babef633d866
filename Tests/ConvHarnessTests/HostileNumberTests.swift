import ConvCore
import ConvTestSupport
import Foundation
import Testing

@testable import ConvHarness

/// Stored runs in which one number after the other is what no run writes: refused with the place, or read and shown; nothing ends the
/// process.
@Suite struct HostileNumberTests {
  private static let values = [
    "1e308", "-1e308", "1e400", "-1", "0", "nan", "inf", "-inf", "-9223372036854775808",
    "9223372036854775807",
    "99999999999999999999", "5e-324", "0x1p3", "", "text",
  ]
  /// What no column of numbers holds, and what none but those of differences and losses does.
  private static let never = ["1e308", "-1e308", "1e400", "nan", "0x1p3", "text"]
  private static let negative = ["-1", "-9223372036854775808", "-inf"]
  private static let texts: Set<String> = [
    "suite", "problem", "name", "pass", "backend", "format", "filter_state", "verdict", "reason", "baseline",
    "verdict_speed", "element_type", "variant", "isa", "executed_by", "repro", "work", "best_backend",
    "verdict_best", "cache", "phases", "data", "minimal_repro", "role", "correlated", "network", "fallbacks",
    "declined", "layer", "kind", "output", "engine", "optimizer", "divergence",
  ]
  /// Columns whose numbers may be negative.
  private static let signed: Set<String> = [
    "effective_bits", "loss", "loss_reference", "gradient_norm", "gradient_norm_reference",
    "parameter_distance", "allowed", "loss_allowed", "gradient_norm_allowed", "kappa",
  ]

  private static func files() throws -> RunFiles {
    let report = try SyntheticRun.full()
    return RunFiles(
      folder: "run", results: ResultRow.csv(report.rows), samples: SampleTable.csv(report.rows),
      training: TrainingRow.csv(report.training), run: report.json, layers: LayerTable.csv(report.training),
      trajectory: TrajectoryTable.csv(report.training))
  }

  /// Reads and shows everything; the error's words where it is refused.
  private func refusal(_ files: RunFiles) -> String? {
    do {
      let report = try RunReport(files)
      #expect(report.derived.allSatisfy { !$0.text.isEmpty })
      let diff = RunDiff(report, report, threshold: 0.05)
      #expect(diff.rows.count == report.rows.count && !JUnitReport(report).text.isEmpty)
      return nil
    } catch {
      return "\(error)"
    }
  }

  private static let tables: [(name: String, path: WritableKeyPath<RunFiles, String?> & Sendable)] = [
    (RunFiles.results, \.optionalResults), (RunFiles.samples, \.samples),
    (RunFiles.training, \.optionalTraining), (RunFiles.layers, \.layers), (RunFiles.trajectory, \.trajectory),
  ]

  @Test(arguments: tables.map(\.name)) func everyColumn(_ name: String) throws {
    let path = try #require(Self.tables.first { $0.name == name }).path
    let files = try Self.files()
    #expect(refusal(files) == nil)
    let table = try CSVTable(parsing: #require(files[keyPath: path]), file: name)
    var columns = 0
    for (column, title) in table.header.enumerated() {
      let isNumber = !Self.texts.contains(title) && title != "peak_probes_gflops"
      columns += isNumber ? 1 : 0
      for value in Self.values {
        var changed = files
        changed[keyPath: path] = CSV.text(
          header: table.header,
          rows: table.rows.map { fields in
            fields.enumerated().map { $0.offset == column ? value : $0.element.text }
          })
        let found = refusal(changed)
        // Some are found where another file contradicts them.
        if let found { #expect(found.contains(".csv:"), "\(title) = '\(value)': \(found)") }
        let isRefused =
          Self.never.contains(value) || !Self.signed.contains(title) && Self.negative.contains(value)
        if isNumber && isRefused { #expect(found != nil, "\(title) = '\(value)' was read") }
      }
    }
    #expect(columns >= (name == RunFiles.results ? 30 : 5))
  }

  /// Every number in `run.json`, one after the other; the samples are read from there where they have no file.
  @Test func everyNumberOfTheRun() throws {
    var files = try Self.files()
    files.samples = nil
    let text = files.run
    let numbers = text.ranges(of: /[\[ ][-+0-9.eE]+(?=[,\]}\n])/).map {
      text.index(after: $0.lowerBound)..<$0.upperBound
    }.filter { Double(text[$0]) != nil }
    #expect(numbers.count > 60)
    for range in numbers {
      for value in [
        "1e308", "-1e308", "1e400", "-1", "0", "9223372036854775807", "null", "\"text\"", "5e-324",
      ] {
        var changed = files
        changed.run = text.replacingCharacters(in: range, with: value)
        let found = refusal(changed)
        if let found { #expect(found.contains("run.json:"), "\(found)") }
        if ["1e308", "-1e308", "1e400", "null", "\"text\""].contains(value) {
          #expect(
            found != nil, "\(value) in the place of \(text[range]) at \(text[..<range.lowerBound].suffix(40))"
          )
        }
      }
    }
  }

  /// Folders from before there were files of samples.
  @Test func samplesOfTheRun() throws {
    var files = try Self.files()
    files.samples = nil
    let run = files.run
    #expect(refusal(files) == nil)
    let first = CSV.number(try SyntheticRun.full().rows[0].seconds[0])
    for value in ["1e308", "-1", "1e400", "null", "0", "5e-324"] {
      files.run = run.replacingOccurrences(of: "[\(first)", with: "[\(value)")
      #expect(files.run != run && (refusal(files) != nil) == (value != "0" && value != "5e-324"), "\(value)")
    }
  }

  @Test func everyNumberOfAJournal() throws {
    try withTemporaryFolder { folder in
      let report = try SyntheticRun.full()
      let journal = try RunJournal(
        creating: folder, identity: RunJournal.Identity(facts: [("a", "1")], items: ["the only one"]))
      try journal.append(head: report)
      try journal.append(item: 0, visit: 7, rows: report.rows)
      journal.finish(isWhole: false)
      let path = "\(folder)/\(RunJournal.name)"
      let text = try InputFile.text(of: path)
      for (key, old) in [("item", "0"), ("visit", "7")] {
        for value in Self.values where value != old {
          let changed = text.replacingOccurrences(of: "\"\(key)\": \(old)", with: "\"\(key)\": \(value)")
          #expect(changed != text)
          try AtomicFile.write(changed, to: path)
          if key == "visit" && value == "0" {
            #expect(try RunJournal.Content(reading: folder).items[0]?.visits == 1)
          } else {
            #expect(throws: HarnessError.self, "\(key) \(value)") { try RunJournal.Content(reading: folder) }
          }
        }
      }
    }
  }

  /// Steps of a training, sizes of a layer, and texts of work are numbers too.
  @Test func numbersInTexts() throws {
    let files = try Self.files()
    for shape in ["-1x2", "9223372036854775807", "x", "1e308", "3x-9223372036854775808"] {
      var changed = files
      changed.layers = files.layers?.replacingOccurrences(of: "64x32x32x32", with: shape)
      #expect((refusal(changed)?.contains("layers.csv:2:") ?? false) == (shape != "x"), "\(shape)")
    }
    #expect(ConvWork(text: "products=1e9 moved=2") == ConvWork([.products: 1e9, .moved: 2]))
    for work in ["products=1e308", "products=nan", "products=-1", "products=inf"] {
      #expect(ConvWork(text: work) == nil, "\(work)")
    }
  }
}

extension RunFiles {
  fileprivate var optionalResults: String? {
    get { results }
    set { results = newValue ?? "" }
  }
  fileprivate var optionalTraining: String? {
    get { training }
    set { training = newValue ?? "" }
  }
}
