import ConvCore
import ConvTestSupport
import Foundation
import Testing

@testable import ConvHarness

/// Files that somebody made to end the reader, or to keep it busy: an error that says what is wrong, at once.
@Suite struct HostileFileTests {
  private func fault(_ body: () throws -> Void) -> String {
    do {
      try body()
      return "nothing"
    } catch { return "\(error)" }
  }

  // MARK: Runs

  @Test(arguments: ["0", "-1", "9", "-9223372036854775808", "9223372036854775807"])
  func samplesOfRowsThatThereAreNot(_ row: String) throws {
    var rows = try SyntheticRun.full().rows
    let text = SampleTable.csv(rows).replacingOccurrences(of: ",1\n", with: ",\(row)\n")
    #expect(
      fault { try SampleTable.read(CSVTable(parsing: text, file: "samples.csv"), into: &rows) }
        .contains("row \(row) of 4 in results.csv"))
  }

  /// Times of which nothing is left when they become seconds, and numbers as only programmers write them.
  @Test(arguments: ["0", "-1", "5e-324", "1e-16", "1e300", "nan", "0x1p3", "inf", ""])
  func timesThatAreNone(_ time: String) throws {
    let report = try SyntheticRun.full()
    var rows = report.rows
    let first = CSV.number(rows[0].seconds[0] * 1e3)
    let samples = SampleTable.csv(rows).replacingOccurrences(of: ",0,\(first),", with: ",0,\(time),")
    for index in rows.indices { (rows[index].rounds, rows[index].seconds) = ([], []) }
    #expect(
      fault { try SampleTable.read(CSVTable(parsing: samples, file: "samples.csv"), into: &rows) }
        .contains("a time of '\(time)' milliseconds"))
    for (text, isRead) in [("input=\(time)", time == "0"), ("input=1e-15;x=0", true)] {
      let table = try CSVTable(parsing: "phases\n\(text)\n", file: "results.csv")
      if isRead {
        #expect(try !PhaseText.phases(table.rows[0][0]).isEmpty)
      } else {
        #expect(fault { _ = try PhaseText.phases(table.rows[0][0]) }.contains("is not a phase"))
      }
    }
  }

  @Test(arguments: ["0", "-5", "4294967297", "9223372036854775807"])
  func multiplicitiesThatCannotBeSummed(_ count: String) throws {
    let header = ResultRow.columns.map(\.name)
    let index = try #require(header.firstIndex(of: "multiplicity"))
    let rows = try SyntheticRun.full().rows.map { row in
      header.indices.map { $0 == index ? count : ResultRow.columns[$0].value(row) }
    }
    let text = CSV.text(header: header, rows: rows)
    #expect(
      fault { _ = try ResultRow.rows(reading: CSVTable(parsing: text, file: "results.csv")) }
        .contains("\(count) is out of range: 1 to 4294967296 are possible"))
  }

  @Test(arguments: [("-1", false), ("9223372036854775807", false), ("4294967295", true), ("0", true)])
  func visitsOfAJournal(_ visit: String, _ isRead: Bool) throws {
    try withTemporaryFolder { folder in
      let journal = try RunJournal(
        creating: folder, identity: RunJournal.Identity(facts: [], items: ["the only one"]))
      try journal.append(item: 0, visit: 7, rows: SyntheticRun.full().rows)
      journal.finish(isWhole: false)
      let path = "\(folder)/\(RunJournal.name)"
      let text = try InputFile.text(of: path)
      let changed = text.replacingOccurrences(of: "\"visit\": 7", with: "\"visit\": \(visit)")
      #expect(changed != text)
      try AtomicFile.write(changed, to: path)
      if isRead {
        #expect(try RunJournal.Content(reading: folder).items[0]?.visits == Int(visit)! + 1)
      } else {
        #expect(
          fault { _ = try RunJournal.Content(reading: folder) }.contains("an item of this run with visit"))
      }
    }
  }

  /// A journal behind a byte-order mark goes on where it ended, and so does one whose lines end as on Windows.
  @Test(arguments: [("\u{FEFF}", "\n"), ("", "\r\n"), ("\u{FEFF}", "\r\n")])
  func journalsAsEditorsLeaveThem(_ mark: String, _ newline: String) throws {
    try withTemporaryFolder { folder in
      let identity = RunJournal.Identity(facts: [], items: ["the only one"])
      let journal = try RunJournal(creating: folder, identity: identity)
      try journal.append(item: 0, visit: 7, rows: SyntheticRun.full().rows)
      journal.finish(isWhole: false)
      let path = "\(folder)/\(RunJournal.name)"
      let lines = try InputFile.text(of: path).split(separator: "\n").map(String.init)
      let text = mark + lines.map { $0 + newline }.joined()
      try AtomicFile.write(text + "{\"item\": 0, \"vis", to: path)
      let content = try RunJournal.Content(reading: folder)
      #expect(content.items[0]?.visits == 8)
      // What was cut off is left out, and the file is kept up to there.
      #expect(content.whole == text.utf8.count)
    }
  }

  /// The files of a run behind a byte-order mark.
  @Test func runsAsEditorsLeaveThem() throws {
    try withTemporaryFolder { folder in
      let report = try SyntheticRun.full()
      try report.write(to: folder)
      for name in ["results.csv", "samples.csv", "run.json"] {
        let text = try InputFile.text(of: "\(folder)/\(name)")
        try AtomicFile.write("\u{FEFF}" + text, to: "\(folder)/\(name)")
      }
      let read = try RunReport(reading: folder)
      #expect(read.rows.count == report.rows.count && read.date == report.date)
    }
  }

  /// Numbers that a file may hold and no measurement gives: pages with charts are made of them all the same.
  @Test(arguments: [1e308, 1e-308, 5e-324, -1e308, 1e100, 1e18, 0, .infinity, .nan])
  func chartsOfAnyNumbers(_ value: Double) throws {
    for logarithmic in [false, true] {
      for others in [[], [1.0], [value * 0.999_999], [-value]] {
        for includesZero in [false, true] {
          let axis = ChartAxis(
            [value] + others, logarithmic: logarithmic, from: 50, to: 350, includesZero: includesZero)
          #expect(axis.low < axis.high && axis.low.isFinite && axis.high.isFinite)
          #expect(axis.ticks().count <= 12)
          if !value.isNaN { #expect((50...350).contains(axis.position(value))) }
        }
      }
    }
    #expect(Double(SVGCanvas.number(value)) != nil)
    var report = try SyntheticRun.full()
    for index in report.rows.indices {
      report.rows[index].medianMilliseconds = value
      report.rows[index].verification.errorMax = value
      report.rows[index].verification.errorRatio = value
      report.rows[index].gflopsEffective = value
    }
    #expect(report.html.contains("</html>") && !report.markdown.isEmpty)
  }

  /// To Swift `"` with an accent above is one character, and CR LF too; to other readers of our files they are not.
  @Test func separatorsInsideOfLongerCharacters() throws {
    let names = ["\"\u{301}", "a\r\nb", ",\u{301}", "'\u{301}", "|\u{301}", "\r", "\n\u{301}"]
    let text = CSV.text(header: ["a", "b"], rows: names.map { [$0, "x"] })
    let table = try CSVTable(parsing: text, file: "f")
    #expect(
      table.rows.map { $0.map { Array($0.text.unicodeScalars) } }
        == names.map { [$0, "x"].map { Array($0.unicodeScalars) } })
    #expect(Array(ShellText.quoted("'\u{301}").unicodeScalars) == Array("''\\''\u{301}'".unicodeScalars))
    #expect(
      Array(Markdown.text("|\u{301}\r\nx").source.unicodeScalars) == Array("\\|\u{301} x".unicodeScalars))
  }

  // MARK: Problems

  @Test func problemsThatOccurTooOften() throws {
    #expect(try ProblemFile.parse("conv1d:c1w2k1s1 a*4294967296").multiplicity == 1 << 32)
    for text in ["conv1d:c1w2k1s1 a*4294967297", "ic1iw3oc1kw1na*9223372036854775807"] {
      #expect(
        fault { _ = try ProblemFile.parse(text) }.contains("at most 4294967296 are possible"), "\(text)")
    }
  }

  @Test func problemsAtTooManyBatchSizes() throws {
    let batches = Array(repeating: "1", count: 2000).joined(separator: ",")
    func text(_ count: Int) -> String {
      "--mb=\(batches)\n" + String(repeating: "ic1iw3oc1kw1\n", count: count)
    }
    #expect(try ProblemFile.suites(from: text(2), file: "f")[0].problems.count == 4000)
    #expect(
      fault { _ = try ProblemFile.suites(from: text(51), file: "f") }.contains("more than 100000 problems"))
    // Layouts of both sides are combined.
    let layouts = Array(repeating: "axb", count: 20_000).joined(separator: ",")
    let suites = try ProblemFile.suites(
      from: "--stag=\(layouts) --dtag=\(layouts) ic1iw3oc1kw1", file: "f")
    #expect(suites[0].problems[0].formats == [.nhwc])
  }

  // MARK: Reference cases

  private func caseFault(_ op: String, _ attributes: String, _ tensors: [(String, Tensor)]) throws -> String {
    try withTemporaryFolder { folder in
      let metadata = [
        "format": "vbench-reference-1", "op": op, "precision": "float64", "producer": "a test",
        "attributes": attributes,
      ]
      try Safetensors.write(tensors, metadata: metadata, to: folder + "/case.safetensors")
      return fault { _ = try ReferenceCase(path: folder + "/case.safetensors") }
    }
  }

  /// Nine numbers and a padding of 30 000 on each side would have 3.6 billion results, all of them zero.
  @Test func casesWithoutResults() throws {
    let tensors = [
      ("input", try Tensor([Float](repeating: 1, count: 9), shape: [1, 1, 3, 3])),
      ("weight", try Tensor([1] as [Float], shape: [1, 1, 1, 1])),
    ]
    let attributes =
      #"{"stride": [1, 1], "padding": [[30000, 30000], [30000, 30000]], "dilation": [1, 1], "groups": 1}"#
    #expect(
      try caseFault("conv2d", attributes, tensors).contains("nothing is expected, and [1, 1, 60003, 60003]"))
  }

  /// Sizes of tensors without elements take no room in a file, and can be anything.
  @Test func sizesWithoutElements() throws {
    let file = checkout.appending(path: "Tests/Fuzz/regressions/reference/sizes-without-elements").path
    #expect(fault { _ = try ReferenceCase(path: file) }.contains("4294967296 is too large for a transposed"))
    let tensors = [("input", try Tensor.zeros([0, 1, 3, 3])), ("weight", try Tensor.zeros([1, 1, 1, 1]))]
    let attributes = #"{"stride": [1, 1], "padding": [[0, 0], [0, 0]], "dilation": [1, 1], "groups": 1}"#
    #expect(try caseFault("conv2d", attributes, tensors).contains("batch n is 0"))
  }

  /// Output padding from the stride up to the dilation makes rows that no window reaches: there is the bias, or nothing.
  @Test func rowsThatNoWindowReaches() throws {
    func transposed(_ output: [Double], padding: Int = 0, extra: Int = 1) throws -> String {
      let tensors = [
        ("input", try Tensor([2] as [Float], shape: [1, 1, 1, 1])),
        ("weight", try Tensor([3] as [Float], shape: [1, 1, 1, 1])),
        ("bias", try Tensor([0.5] as [Float], shape: [1])),
        ("output", try Tensor(output, shape: [1, 1, 2, 2])),
      ]
      let attributes =
        #"{"stride": [1, 1], "padding": [\#(padding), \#(padding)], "output_padding": [\#(extra), \#(extra)], "#
        + #""dilation": [8, 8], "groups": 1}"#
      return try caseFault("conv_transpose2d", attributes, tensors)
    }
    #expect(try transposed([6.5, 0.5, 0.5, 0.5]) == "nothing")
    #expect(try transposed([6.5, 0.5, 0.5, 0.75]).contains("where no window"))
    #expect(try transposed([6.5, 0.75, 0.5, 0.5]).contains("where no window"))
    #expect(
      try transposed([0.5, 0.5, 0.5, 0.5], padding: 1, extra: 3).contains("no window reaches its output"))
  }

  /// Products of two of a transposed convolution's sizes have to fit.
  @Test func stridesBeyondAllTensors() throws {
    let tensors = [
      ("input", try Tensor([Float](repeating: 1, count: 9), shape: [1, 1, 3, 3])),
      ("weight", try Tensor([1] as [Float], shape: [1, 1, 1, 1])),
    ]
    func attributes(_ stride: Int) -> String {
      #"{"stride": [\#(stride), 1], "padding": [0, 0], "output_padding": [0, 0], "dilation": [1, 1], "groups": 1}"#
    }
    let fault = try caseFault("conv_transpose2d", attributes(1 << 31), tensors)
    #expect(fault.contains("2147483648 is too large for a transposed"))
  }
}
