import ConvCore
import ConvNaive
import Foundation
import Testing

#if canImport(FoundationXML)
  import FoundationXML
#endif

@testable import ConvHarness

/// An element of a parsed document.
final class XMLNode {
  let name: String
  let attributes: [String: String]
  var children: [XMLNode] = []
  var ownText = ""

  init(_ name: String, _ attributes: [String: String]) {
    self.name = name
    self.attributes = attributes
  }

  /// All elements of that name below, in document order.
  func all(_ name: String, _ condition: (XMLNode) -> Bool = { _ in true }) -> [XMLNode] {
    children.flatMap { ($0.name == name && condition($0) ? [$0] : []) + $0.all(name, condition) }
  }
  func first(_ name: String, id: String) -> XMLNode? { all(name) { $0.attributes["id"] == id }.first }
  /// The text with that of everything inside.
  var text: String { ownText + children.map(\.text).joined() }

  /// Parses a document that has to be well-formed.
  static func parse(_ text: String, sourceLocation: SourceLocation = #_sourceLocation) throws -> XMLNode {
    let (root, fault) = read(text)
    try #require(fault == nil, "\(fault ?? "")", sourceLocation: sourceLocation)
    return root
  }

  /// What a document holds, and where it is not well-formed.
  static func read(_ text: String) -> (root: XMLNode, fault: String?) {
    final class Reader: NSObject, XMLParserDelegate {
      var stack = [XMLNode("document", [:])]
      var hasErrors = false
      func parser(_ parser: XMLParser, parseErrorOccurred error: any Error) { hasErrors = true }
      func parser(
        _ parser: XMLParser, didStartElement name: String, namespaceURI: String?, qualifiedName: String?,
        attributes: [String: String]
      ) {
        let node = XMLNode(name, attributes)
        stack[stack.count - 1].children.append(node)
        stack.append(node)
      }
      func parser(
        _ parser: XMLParser, didEndElement name: String, namespaceURI: String?, qualifiedName: String?
      ) { stack.removeLast() }
      func parser(_ parser: XMLParser, foundCharacters string: String) {
        stack[stack.count - 1].ownText += string
      }
    }
    let reader = Reader()
    let root = reader.stack[0]
    let parser = XMLParser(data: Data(text.utf8))
    parser.delegate = reader
    // Foundation's parser mends what it can: one of these tells.
    let isWellFormed =
      parser.parse() && parser.parserError == nil && reader.stack.count == 1 && root.children.count == 1
      && !reader.hasErrors
    let fault = "line \(parser.lineNumber): \(parser.parserError.map { "\($0)" } ?? "not well-formed")"
    return (root, isWellFormed ? nil : fault)
  }
}

/// Rows with numbers that nobody measured, for the reports' tests.
enum ReportSamples {
  static func row(
    _ backend: String, suite: String = "net", name: String = "conv1",
    problem: String = "conv2d:n2c3h9w9k4r3s3p1",
    pass: ConvPass = .forward, milliseconds: Double?, error: Double = 1e-6, verdict: Verdict = .passed,
    reason: String = "", speedup: (Double, Double, Double)? = nil, multiplicity: Int = 1
  ) throws -> ResultRow {
    let problem = BenchmarkProblem(try ConvProblem(parsing: problem), name: name, multiplicity: multiplicity)
    var row = ResultRow(
      item: RunItem(suite: suite, problem: problem, pass: pass), competitor: Competitor(NaiveBackend()),
      settings: RunSettings(baseline: "base"))
    row.backend = backend
    row.verification = Verification(verdict, reason: reason)
    row.verification.errorMax = error
    row.verification.errorBound = error * 4
    row.verification.errorRatio = 0.22
    row.verification.effectiveBits = 20.5
    if let milliseconds {
      row.seconds = [milliseconds * 1e-3]
      row.minMilliseconds = milliseconds * 0.9
      row.medianMilliseconds = milliseconds
      row.gflopsEffective = 12.3456 / milliseconds
      row.peakPercent = 10 / milliseconds
    }
    if let speedup {
      var value = Speedup.ofBaseline
      (value.ratio, value.low, value.high) = speedup
      value.verdict = speedup.1 > 1 ? .faster : speedup.2 < 1 ? .slower : .indistinguishable
      row.speedup = value
    } else if backend == "base" {
      row.speedup = .ofBaseline
    }
    return row
  }

  /// Three engines on two layers in two passes.
  static func rows() throws -> [ResultRow] {
    try [ConvPass.forward, .backwardData].flatMap { pass in
      try [("conv1", 1.0, 3), ("conv2", 2.0, 1)].flatMap { name, scale, multiplicity in
        [
          try row(
            "base", name: name, pass: pass, milliseconds: 4.5678 * scale, error: 3.14159e-6,
            multiplicity: multiplicity),
          try row(
            "quick", name: name, pass: pass, milliseconds: 1.23456 * scale, error: 2.71828e-5,
            speedup: (3.7, 3.6, 3.8), multiplicity: multiplicity),
          try row(
            "slow", name: name, pass: pass, milliseconds: 432.1 * scale, error: 1e-7,
            speedup: (0.0106, 0.0105, 0.0107),
            multiplicity: multiplicity),
        ]
      }
    }
  }

  static func training(_ backend: String, problem: String = "", trajectoryError: Double? = 0.5) -> TrainingRow
  {
    var row = TrainingRow(network: "seed-cnn", backend: backend, threads: 2, batch: 64, steps: 3)
    row.losses = [2.3, 2.1, 1.9]
    row.forward = [0.5, 0.25]
    row.backward = [0.25, 0.125]
    row.optimizer = [0.25, 0.125]
    row.problem = problem
    row.trajectoryError = trajectoryError
    return row
  }

  static func report(_ rows: [ResultRow] = [], training: [TrainingRow] = []) -> RunReport {
    RunReport(
      environment: [("CPU", "a <fast> one & another")], command: "vbench run 'x' <y>",
      date: "2000-01-01T00:00:00Z",
      peak: 100, rows: rows, training: training, trainingSource: "noise")
  }

  /// What CSV readers see, by column, row after row.
  static func columns(_ rows: [ResultRow]) -> [[String: String]] {
    rows.map { Dictionary(uniqueKeysWithValues: $0.fields) }
  }
}

@Suite struct HTMLReportTests {
  @Test(arguments: [
    "<a><b></a>", "<a>&</a>", "<a>&nbsp;</a>", "<a b=\"<\"/>", "<a/><b/>", "<a b=c/>", "<a>\u{1}</a>",
    "<a>1 < 2</a>", "",
  ])
  func theParserIsStrict(_ text: String) {
    #expect(XMLNode.read(text).fault != nil)
  }

  @Test func tableHasTheNumbersOfTheCSV() throws {
    let rows = try ReportSamples.rows()
    let page = try XMLNode.parse(ReportSamples.report(rows).html)
    let lines = page.all("tr") { $0.attributes["data-backend"] != nil }
    #expect(lines.count == rows.count)
    let columns = ReportSamples.columns(rows)
    var compared = 0
    for line in lines {
      // Layers are in the order of the run, their rows by time: the least time first.
      let cells = line.all("td") { $0.attributes["data-c"] != nil }
      let values = Dictionary(
        uniqueKeysWithValues: cells.map { ($0.attributes["data-c"] ?? "", $0.attributes["data-v"] ?? "") })
      let command = line.all("code").first?.text
      let row = columns.first {
        $0["backend"] == line.attributes["data-backend"] && $0["median_ms"] == values["median_ms"]
          && $0["repro"] == command
      }
      let stored = try #require(row, "\(values)")
      for (column, value) in values {
        #expect(stored[column] == value, "\(column)")
        compared += 1
      }
    }
    #expect(compared == rows.count * 9)
    let shown = lines.map { $0.all("td")[2].text }
    #expect(
      shown == ["1.23", "4.57", "432", "2.47", "9.14", "864", "1.23", "4.57", "432", "2.47", "9.14", "864"])
    // error_ratio × error_bound = 0.22 · 4 · 2.71828e-5, not the largest error.
    #expect(lines[0].text.contains("2.4e-05 = 0.22 × bound") && lines[0].text.contains("2.7e-05"))
    #expect(lines[0].text.contains("3.70 (3.60–3.80)") && lines[0].text.contains("faster"))
  }

  @Test func totalsCountLayersAsOftenAsTheNetworkHasThem() throws {
    var rows = try ReportSamples.rows()
    let totals = LayerTotals(ReportSuite.all(rows)[0].sections[0].layers.map(\.item))
    // 3 × conv1 + 1 × conv2.
    #expect(totals.fastest?.name == "quick" && abs((totals.fastest?.milliseconds ?? 0) - 5 * 1.23456) < 1e-9)
    #expect(totals.best.milliseconds == totals.fastest?.milliseconds)
    #expect(
      totals.picks.map(\.engine) == ["quick"] && totals.picks[0].count == 2 && totals.picks[0].clear == 2)
    // An engine that lacks a layer has no total to be compared by, and the best engine differs by layer.
    rows[1] = try ReportSamples.row(
      "quick", milliseconds: nil, verdict: .unsupported, reason: "no", multiplicity: 3)
    let partial = LayerTotals(ReportSuite.all(rows)[0].sections[0].layers.map(\.item))
    #expect(partial.fastest?.name == "base")
    #expect(partial.engines.last?.name == "quick" && partial.engines.last?.missing == 1)
    #expect(abs(partial.best.milliseconds - (3 * 4.5678 + 2 * 1.23456)) < 1e-9)
    let page = try XMLNode.parse(ReportSamples.report(rows).html)
    let answer = try #require(page.first("section", id: "answer")).text
    #expect(answer.contains("no time for 1 layer") && answer.contains("16.2 ms"))
  }

  @Test func hostileNamesStayText() throws {
    let name = "</td><script>alert(\"1\")</script>&amp;'\u{0}\u{1B}[31m\u{FFFF}|ü 漢"
    var rows = [
      try ReportSamples.row(name, suite: name, name: name, milliseconds: 1, speedup: (2, 1.9, 2.1)),
      try ReportSamples.row(
        name, suite: name, name: name, pass: .backwardData, milliseconds: nil, verdict: .failed, reason: name),
      try ReportSamples.row(
        name, suite: name, name: name, pass: .backwardFilter, milliseconds: nil, verdict: .unsupported,
        reason: name),
    ]
    for index in rows.indices {
      rows[index].baseline = name
      rows[index].repro = name
      rows[index].variant = name
    }
    var report = ReportSamples.report(rows, training: [ReportSamples.training(name, problem: name)])
    report.training[0].network = name
    report.training[0].fallbacks = [name]
    report.command = name
    report.trainingSource = name
    report.environment = [(name, name)]
    var facts = HTMLReport.Facts()
    facts.noise = [name]
    facts.phases = { _ in [(name, 1e-3)] }
    facts.besideBest = { _ in (name, name) }
    facts.conditions = { _ in name }
    let text = HTMLReport(report, facts: facts).text
    let page = try XMLNode.parse(text)
    #expect(page.all("script").count == 1)
    let clean = "</td><script>alert(\"1\")</script>&amp;'\\u{0}\\u{1b}[31m|ü 漢"
    let failures = try #require(page.first("section", id: "failures"))
    #expect(failures.all("code").contains { $0.text == clean })
    #expect(page.all("dt").contains { $0.text == clean })
    #expect(page.all("figcaption").contains { $0.text.contains(clean) })
  }

  /// Whatever a run lacks, the page is whole and says so in words.
  @Test func lessThanEverything() throws {
    let nothing = try XMLNode.parse(ReportSamples.report().html)
    #expect(nothing.text.contains("Nothing was run") && nothing.all("svg").isEmpty)
    #expect(nothing.first("section", id: "layers") == nil && nothing.first("section", id: "failures") == nil)

    let wrong = try ["a", "b"].map {
      try ReportSamples.row(
        $0, milliseconds: nil, verdict: $0 == "a" ? .failed : .mistrusted, reason: "because \($0)")
    }
    let failures = try XMLNode.parse(ReportSamples.report(wrong).html)
    #expect(failures.text.contains("none passed its verification"))
    let section = try #require(failures.first("section", id: "failures"))
    for words in ["because a", "because b", "mistrusted", "0.22 × bound", wrong[0].repro] {
      #expect(section.text.contains(words), "\(words)")
    }
    // No chart but that of the errors, which were compared.
    let charts = failures.all("svg") { $0.attributes["class"] == "chart" }
    #expect(charts.map { $0.attributes["aria-label"] } == ["Errors beside their bounds, by engine"])

    let training = ["base", "quick"].map { ReportSamples.training($0) }
    let only = try XMLNode.parse(ReportSamples.report(training: training).html)
    #expect(only.text.contains("training step of seed-cnn: take"))
    // Steps of different networks are not compared with each other.
    var two = training
    two[1].network = "lenet"
    let both = try XMLNode.parse(ReportSamples.report(training: two).html)
    for network in ["seed-cnn", "lenet"] {
      #expect(both.text.contains("training step of \(network): "), "\(network)")
    }
    #expect(both.text.components(separatedBy: ", the only engine with a time, takes 750 ms").count == 3)
    #expect(only.first("section", id: "failures") == nil && only.first("section", id: "layers") == nil)
    let cells = only.all("td") { $0.attributes["data-c"] == "step_median_ms" }
    #expect(cells.map(\.text) == ["750", "750"] && cells[0].attributes["data-v"] == "750")

    let broken = try XMLNode.parse(
      ReportSamples.report(training: [ReportSamples.training("a", trajectoryError: 1.5)]).html)
    #expect(try #require(broken.first("section", id: "failures")).text.contains("1.50 times what is allowed"))

    var debug = ReportSamples.report(try [ReportSamples.row("a", milliseconds: nil)])
    debug.hasTimes = false
    debug.isPartial = true
    let page = try XMLNode.parse(debug.html)
    #expect(page.text.contains("a debug build") && page.text.contains("Interrupted:"))
  }

  /// On a phone rows become lists of named values: every cell names its column, and the style sheet shows these names there.
  @Test func tablesFoldOnNarrowPages() throws {
    var rows = try ReportSamples.rows()
    rows.append(try ReportSamples.row("picker", milliseconds: 2, multiplicity: 3))
    rows[rows.count - 1].role = .chooser
    rows.append(
      try ReportSamples.row("none", milliseconds: nil, verdict: .unsupported, reason: "no", multiplicity: 3))
    let text = ReportSamples.report(rows, training: [ReportSamples.training("base")]).html
    let page = try XMLNode.parse(text)
    for name in ["networks", "training", "declined"] {
      let table = try #require(
        page.all("table") { $0.attributes["class"] == "\(name) fold" }.first, "\(name)")
      let heads = table.all("th") { $0.attributes["scope"] == "col" }.map(\.text)
      let lines = table.all("tr").map { $0.all("td") }.filter { !$0.isEmpty }
      #expect(!lines.isEmpty && heads.count > 3, "\(name)")
      for cells in lines {
        #expect(cells.map { $0.attributes["data-label"] ?? "" } == heads, "\(name)")
      }
    }
    let narrow = try #require(text.components(separatedBy: "@media (max-width:600px){").last)
      .components(separatedBy: "@media")[0]
    for rule in [
      ".fold thead{display:none}", ".fold td::before{content:attr(data-label)",
      ".fold td:empty{display:none}",
    ] {
      #expect(narrow.contains(rule), "\(rule)")
    }
  }

  @Test func newerFactsAddTheirCharts() throws {
    let report = ReportSamples.report(try ReportSamples.rows())
    func headings(_ facts: HTMLReport.Facts) throws -> [String] {
      let page = try XMLNode.parse(HTMLReport(report, facts: facts).text)
      return page.all("h3").map(\.text) + page.all("th").map(\.text)
    }
    let plain = try headings(.init())
    #expect(!plain.contains("Phases") && !plain.contains("beside the best"))
    var facts = HTMLReport.Facts()
    facts.phases = { $0.backend == "quick" ? [("input transform", 1e-3), ("products", 2e-3)] : [] }
    facts.besideBest = { $0.backend == "base" ? ("3.70 (3.60–3.80)", "slower") : ("", "") }
    facts.bandwidth = 20
    facts.noise = ["stolen time: 4 %"]
    let full = try headings(facts)
    #expect(full.contains("Phases") && full.contains("beside the best"))
    let text = HTMLReport(report, facts: facts).text
    #expect(
      text.contains("20.0 GB/s") && text.contains("stolen time: 4 %") && text.contains("products 2.00 ms"))
    // Rows of other conditions are not compared.
    facts.conditions = { $0.backend == "base" ? "cold cache" : "" }
    #expect(ReportSuite.all(report.rows, conditions: facts.conditions)[0].sections.count == 4)
  }

  @Test func pageNeedsNothingElse() throws {
    let text = ReportSamples.report(try ReportSamples.rows(), training: [ReportSamples.training("base")]).html
    for word in ["src=", "@import", "url(", "<link", "https://"] { #expect(!text.contains(word), "\(word)") }
    #expect(text.components(separatedBy: "http://").count == 2, "only the name space")
    #expect(text.contains("prefers-color-scheme:dark") && text.contains("width=device-width"))
    let page = try XMLNode.parse(text)
    for chart in page.all("svg", { $0.attributes["class"] == "chart" }) {
      #expect(chart.attributes["role"] == "img" && chart.children.first?.name == "title")
      #expect(chart.attributes["aria-label"]?.isEmpty == false)
    }
    let ids = Set(page.all("section").compactMap { $0.attributes["id"] })
    for link in page.all("a") { #expect(ids.contains(String(link.attributes["href"]?.dropFirst() ?? ""))) }
  }

  /// A page of a very long run stays readable and still counts everything.
  @Test func longRunsAreCut() throws {
    var rows = try ReportSamples.rows()
    rows += try (0..<120).map {
      try ReportSamples.row(
        "base", name: "late\($0)", milliseconds: nil, verdict: .failed, reason: "wrong \($0)")
    }
    let page = try XMLNode.parse(HTMLReport(ReportSamples.report(rows), maximumRows: 10).text)
    #expect(page.all("tr") { $0.attributes["data-backend"] != nil }.count == 9)
    let layers = try #require(page.first("section", id: "layers"))
    #expect(layers.text.contains("121 more layers"))
    let failures = try #require(page.first("section", id: "failures"))
    #expect(failures.all("li").count == 100 && failures.text.contains("and 20 more"))
    #expect(page.first("section", id: "answer")?.text.contains("120 failed") == true)
    let whole = ReportSuite.first(1000, of: ReportSuite.all(rows))
    #expect(whole.leftOut == 0 && whole.suites[0].layers.count == 124)
  }

  @Test func theFrontHasNoLosers() throws {
    func layer(_ values: [(Double, Double)]) throws -> ReportLayer {
      let rows = try values.enumerated().map {
        try ReportSamples.row("e\($0.offset)", milliseconds: $0.element.0, error: $0.element.1)
      }
      return ReportSuite.all(rows)[0].layers[0]
    }
    #expect(try layer([(1, 4), (2, 5), (3, 2), (4, 2), (5, 1)]).front.map(\.backend) == ["e0", "e2", "e4"])
    #expect(try layer([(2, 0), (1, 1e-6), (3, 0)]).front.map(\.backend) == ["e1", "e0"])
    #expect(try layer([(1, .nan)]).front.isEmpty)
  }
}
