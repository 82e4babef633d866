import ConvCore
import Foundation
import Testing

@testable import ConvHarness

/// How near errors come to their bounds, and what reports say of it.
@Suite struct ErrorDistributionTests {
  /// A row with these figures.
  private static func row(
    _ backend: String, _ ratio: Double, bits: Double = .nan, sums: Double = .nan,
    verdict: Verdict = .passed, correlated: Bool = false, name: String = "conv1"
  ) throws -> ResultRow {
    var row = try ReportSamples.row(backend, name: name, milliseconds: nil, verdict: verdict)
    row.verification.errorRatio = ratio
    row.verification.effectiveBits = bits
    row.verification.projectionRatio = sums
    row.verification.isCorrelated = correlated
    if verdict != .passed { row.verification.reason = "because | of \(name)" }
    return row
  }

  /// Two engines; of the first, ratios 0.1, 0.2, 0.3, 0.4 in another order, and three rows that are not passed.
  private static func rows() throws -> [ResultRow] {
    [
      try row("one", 0.3, bits: 20), try row("two", 0.02, bits: .infinity),
      try row("one", 0.1, bits: 22, sums: 0.5, correlated: true), try row("one", 0.4, bits: 23),
      try row("one", 0.2, bits: 21, sums: 0.25, verdict: .mistrusted, name: "conv2"),
      try row("one", .nan, verdict: .unsupported), try row("one", .nan, verdict: .failed),
    ]
  }

  @Test func quartilesOfKnownNumbers() throws {
    let all = ErrorDistribution.all(try Self.rows())
    try #require(all.map(\.backend) == ["one", "two"])
    // Between order statistics 0 … 3: 0.25 · 3 = 0.75, 1.5 and 2.25.
    let ratios = try #require(all[0].errorRatio)
    for (value, expected) in zip(ratios.values, [0.1, 0.175, 0.25, 0.325, 0.4]) {
      #expect(abs(value - expected) < 1e-12, "\(ratios)")
    }
    #expect(all[0].projectionRatio?.values == [0.25, 0.3125, 0.375, 0.4375, 0.5])
    #expect(all[0].effectiveBits?.median == 21.5 && all[1].effectiveBits?.median == .infinity)
    #expect(all[0].verified == 4 && all[0].summed == 2 && all[1].verified == 1 && all[1].summed == 0)
    #expect(all[0].counts == [.passed: 3, .mistrusted: 1, .unsupported: 1, .failed: 1])
    #expect(all[0].correlated == 1 && all[1].correlated == 0)
    #expect(all[1].errorRatio?.values == Array(repeating: 0.02, count: 5) && all[1].projectionRatio == nil)
    #expect(ErrorDistribution.Quartiles([.nan]) == nil)
    #expect(ErrorDistribution(backend: "none", []).errorRatio == nil)
  }

  /// A result that is not a number has an infinite ratio: it is the largest, and no quartile becomes NaN.
  @Test func infiniteRatiosAreTheLargest() throws {
    let some = try #require(ErrorDistribution.Quartiles([.infinity, 0.5, 0.1, .infinity, 0.2]))
    #expect(some.values == [0.1, 0.2, 0.5, .infinity, .infinity])
    // The median lies between a number and infinity, the upper quartile between two infinities.
    let half = try #require(ErrorDistribution.Quartiles([.infinity, .infinity, .infinity, 1, 1, 1]))
    #expect(half.values == [1, 1, .infinity, .infinity, .infinity])
    let low = try #require(ErrorDistribution.Quartiles([-.infinity, 3]))
    #expect(low.values.dropLast().allSatisfy { $0 == -Double.infinity } && low.greatest == 3)
  }

  @Test func theMarkdownHasTheDistribution() throws {
    let text = ReportSamples.report(try Self.rows()).markdown
    #expect(text.contains("## Errors beside their bounds"))
    #expect(
      text.contains("| one | results | 4 | 0.1 | 0.18 | 0.25 | 0.33 | 0.4 | 21.5 | 3 | 1 | 1 | 1 | 1 |"),
      "\(text)")
    #expect(text.contains("|  | sums | 2 | 0.25 | 0.31 | 0.38 | 0.44 | 0.5 |  |  |  |  |  |  |"), "\(text)")
    #expect(
      text.contains("| two | results | 1 | 0.02 | 0.02 | 0.02 | 0.02 | 0.02 | exact | 1 | 0 | 0 | 0 | 0 |"))
    let unsupported = try Self.row("one", .nan, verdict: .unsupported)
    #expect(!ReportSamples.report([unsupported]).markdown.contains("## Errors beside their bounds"))
  }

  /// The page's table has the same numbers, and the chart draws them where its axis has them.
  @Test func thePageHasTheDistribution() throws {
    let rows = try Self.rows()
    let page = try XMLNode.parse(ReportSamples.report(rows).html)
    let section = try #require(page.first("section", id: "errors"))
    let lines = section.all("tr").dropFirst().map { $0.all("td").map(\.text) }
    #expect(lines == ErrorDistribution.all(rows).flatMap(RunReport.cells) && lines.count == 3)
    let styles = EngineStyles(engines: ["one", "two"])
    let chart = ErrorChart(distributions: ErrorDistribution.all(rows), styles: styles)
    let (low, high) = (chart.axis.position(1e-4), chart.axis.position(10))
    // Equal factors are equal lengths, over five decades.
    #expect(abs(chart.axis.position(1) - (low + 0.8 * (high - low))) < 1e-9)
    #expect(chart.axis.position(0) < low && chart.axis.position(.infinity) > high)
    let svg = try XMLNode.parse(chart.svg())
    func number(_ node: XMLNode, _ key: String) -> Double { Double(node.attributes[key] ?? "") ?? .nan }
    let boxes = svg.all("rect")
    try #require(boxes.count == 3)
    for (box, ends) in zip(boxes, [(0.175, 0.325), (0.3125, 0.4375), (0.02, 0.02)]) {
      let (left, right) = (chart.axis.position(ends.0), chart.axis.position(ends.1))
      #expect(abs(number(box, "x") - left) < 0.1)
      #expect(abs(number(box, "width") - max(1, right - left)) < 0.2)
    }
    #expect(boxes.map { $0.attributes["class"]?.contains("open") } == [false, true, false])
    func ends(_ node: XMLNode) -> [Double] {
      (node.attributes["d"] ?? "").split(whereSeparator: { "ML,".contains($0) }).compactMap { Double($0) }
    }
    let whisker = ends(svg.all("path") { $0.attributes["class"] == "whisker" }[0])
    #expect(abs(whisker[0] - chart.axis.position(0.1)) < 0.1)
    #expect(abs(whisker[2] - chart.axis.position(0.4)) < 0.1)
    let limit = ends(try #require(svg.all("path") { $0.attributes["class"] == "limit" }.first))
    #expect(abs(limit[0] - chart.axis.position(1)) < 0.1 && limit[0] == limit[2])
    let median = ends(svg.all("path") { $0.attributes["class"] == "reference" }[0])
    #expect(abs(median[0] - chart.axis.position(0.25)) < 0.1)
  }

  /// The list of mistrusted rows: which item, which engine, which pass, and why; apart from what is wrong.
  @Test func mistrustedRowsAreListedWithTheirReason() throws {
    var rows = try Self.rows()
    rows[4].minimalRepro = "vbench run less"
    let report = ReportSamples.report(rows)
    let text = report.markdown
    let head = "## Mistrusted\n\n1 of 6 judged rows (16.7 %), which counts as not passed: the results are"
    let start = try #require(text.range(of: head))
    let list = text[start.lowerBound...]
    #expect(list.contains("operands rounded to 11 bits"))
    #expect(
      list.contains(
        "| net conv2 `conv2d:n2c3h9w9k4r3s3p1` | forward | one | because \\| of conv2 (error 8.0e-07 = 0.2 × bound, "
          + "21.0 bits right) | `\(rows[4].repro)`, shrunk to: `vbench run less` |"), "\(list)")
    let wrong = text[..<start.lowerBound]
    #expect(wrong.contains("## Not passed") && !wrong.contains("because | of conv2"))
    let page = try XMLNode.parse(report.html)
    let section = try #require(page.first("section", id: "failures"))
    #expect(section.all("h3").map(\.text) == ["Mistrusted"] && section.all("li").count == 2)
    let last = section.all("li")[1].text
    for words in ["one", "forward", "net conv2", "because | of conv2", "0.2 × bound, 21.0 bits right"] {
      #expect(last.contains(words), "'\(words)' is missing: \(last)")
    }
    // Without any there is no such list.
    rows.remove(at: 4)
    #expect(!ReportSamples.report(rows).markdown.contains("## Mistrusted"))
    #expect(!ReportSamples.report(rows).html.contains("Mistrusted</h3>"))
  }

  /// Where the deterministic bound decided, every report says so, and what it means.
  @Test func correlatedRowsSaySo() throws {
    var rows = [try Self.row("one", 0.1, bits: 22, correlated: true)]
    let said = ReportSamples.report(rows)
    #expect(rows[0].verification.verdictText == "passed, correlated")
    let html = try XMLNode.parse(said.html)
    let cells = html.all("tr") { $0.attributes["data-backend"] == "one" }[0].all("td")
    #expect(cells[1].text.contains("passed") && cells[1].text.contains("correlated"))
    #expect(said.markdown.contains("| passed, correlated |"))
    #expect(said.correlatedSentence == Verification.correlatedSentence)
    #expect(said.markdown.contains(RunReport.sentence(Verification.correlatedSentence)))
    let xml = try XMLNode.parse(JUnitReport(said).text)
    #expect(xml.all("system-out").map(\.text) == [Verification.correlatedSentence])
    #expect(xml.all("failure").isEmpty)
    rows[0].verification.isCorrelated = false
    let silent = ReportSamples.report(rows)
    #expect(silent.correlatedSentence == nil && rows[0].verification.verdictText == "passed")
    #expect(!silent.markdown.contains("| passed, correlated |"))
    #expect(try XMLNode.parse(JUnitReport(silent).text).all("system-out").isEmpty)
  }

  @Test func figuresInWords() {
    var check = Verification(.failed, reason: "wrong")
    #expect(check.bitsText.isEmpty && check.figuresText.isEmpty && check.reasonText == "wrong")
    (check.errorBound, check.errorRatio, check.effectiveBits) = (1.4e-5, 2.217, 11.25)
    #expect(check.figuresText == "error 3.1e-05 = 2.2 × bound, 11.2 bits right")
    #expect(check.reasonText == "wrong (error 3.1e-05 = 2.2 × bound, 11.2 bits right)")
    check.verdict = .passed
    (check.errorRatio, check.effectiveBits) = (0, .infinity)
    #expect(check.bitsText == "exact" && check.figuresText == "error 0.0e+00 = 0 × bound, exact")
    check.effectiveBits = -.infinity
    #expect(check.bitsText == "none")
  }

  /// Who reads a report learns what its bounds are.
  @Test func theBoundsAreDescribed() throws {
    var row = try Self.row("one", 0.1, bits: 20)
    row.verification.norms = ErrorNorms(
      results: [1], values: [1], magnitudes: [1], elementType: .float32)
    func texts() throws -> [String] {
      let report = ReportSamples.report([row])
      return [report.markdown, try XMLNode.parse(report.html).text]
    }
    for text in try texts() {
      for words in [
        "λ·u·√V", "√(2·ln(2N/p))", "nominal", "error_bound_worst", "Mistrusted: ", "Correlated: ",
      ] {
        #expect(text.contains(words), "\(words)")
      }
      #expect(!text.contains("λ√k·u"))
    }
    // A run from before there were effective bits had other bounds.
    row.verification.effectiveBits = .nan
    for text in try texts() { #expect(text.contains("λ√k·u") && !text.contains("λ·u·√V")) }
  }
}
