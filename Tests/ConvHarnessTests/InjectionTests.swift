import ConvCore
import ConvNaive
import ConvTestSupport
import Foundation
import Testing

@testable import ConvHarness

/// Names that would be something else than names: to Markdown, to spreadsheets, to browsers, to terminals.
enum HostileText {
  static let names = [
    "plain", "conv_1", "_a_", "a*b*c", "winograd[tile=4x4]", "[x](javascript:alert(1))", "[a][b]", "[a]: b",
    "<script>alert(1)</script>", "&amp;", "a|b", "a\\|b", "\\", "a\\", "`tick`", "``", "```", "`|`", "a``b|c",
    "~~gone~~", "$x$", "=1+1", "=cmd|' /C calc'!A0", "@SUM(1+1)*2", "+1", "-1+1", "-1.5", "'=1", "''@x", "'",
    "'plain", "\t=1", "\r=1", "\n=1", "\u{FF1D}1", "-inf", "inf", "1e5", "--", "a,b", "\"quoted\"",
    "a\nINJECTED", "a\r\nINJECTED", "\u{1B}[2J\u{1B}]0;pwn\u{7}", "a\u{202E}b\u{2066}c\u{200F}",
    "\u{85}\u{9B}31m",
    "</title><img/src=x/onerror=alert(1)>", "# heading", "> quote", "- item", "+ item", "1. item", "é̂|",
    "漢字_", "a_", "_",
  ]

  /// All of them in one.
  static let all = names.joined(separator: " ")

  /// What a terminal or the direction of writing obeys.
  static func isObeyed(_ scalar: Unicode.Scalar) -> Bool {
    let marks: [ClosedRange<UInt32>] = [
      0...0x1F, 0x7F...0x9F, 0x200E...0x200F, 0x2028...0x202E, 0x2066...0x2069,
    ]
    return marks.contains { $0.contains(scalar.value) }
  }

  /// What a reader of Markdown shows of text without emphasis, links and code: backslashes and entities are taken back.
  static func shown(_ source: String) -> String {
    var result = ""
    var rest = Substring(source)
    while let first = rest.unicodeScalars.first {
      let entities = [("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")]
      if first == "\\", let next = rest.unicodeScalars.dropFirst().first, isPunctuation(next) {
        result.unicodeScalars.append(next)
        rest.unicodeScalars.removeFirst(2)
      } else if let (entity, text) = entities.first(where: { rest.hasPrefix($0.0) }) {
        result += text
        rest.removeFirst(entity.count)
      } else {
        result.unicodeScalars.append(first)
        rest.unicodeScalars.removeFirst()
      }
    }
    return result
  }

  private static func isPunctuation(_ scalar: Unicode.Scalar) -> Bool {
    scalar.isASCII && "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~".unicodeScalars.contains(scalar)
  }

  /// Without what backslashes stand before.
  static func unprotected(_ source: String) -> String {
    var result = ""
    var isProtected = false
    for scalar in source.unicodeScalars {
      if isProtected || scalar == "\\" {
        isProtected = !isProtected
        continue
      }
      result.unicodeScalars.append(scalar)
    }
    return result
  }

  /// How many cells a row has.
  static func cells(_ line: String) -> Int { unprotected(line).unicodeScalars.count { $0 == "|" } - 1 }

  /// Faults of a Markdown document that names were put into.
  static func faults(of markdown: String) -> [String] {
    var faults: [String] = []
    var columns: Int?
    var fence: String?
    for line in markdown.components(separatedBy: "\n") {
      if line.unicodeScalars.contains(where: isObeyed) { faults.append("control characters: \(line)") }
      if let open = fence {
        if line == open { fence = nil }
        continue
      }
      if line.hasPrefix("```") {
        fence = line
        continue
      }
      if line.hasPrefix("INJECTED") { faults.append("a line of a name: \(line)") }
      if line.hasPrefix("|") {
        let count = cells(line)
        if let columns, columns != count { faults.append("\(count) cells below \(columns): \(line)") }
        columns = columns ?? count
      } else {
        columns = nil
      }
      // The one link and the elements that reports have of their own.
      let own = line.replacing("[report.html](report.html)", with: "").replacing("<code>", with: "")
        .replacing(
          "</code>", with: "")
      let bare = unprotected(own)
      if bare.contains("](") || bare.contains("][") { faults.append("a link: \(line)") }
      if bare.contains("<") { faults.append("an element: \(line)") }
    }
    if fence != nil { faults.append("code that does not end") }
    return faults
  }
}

@Suite struct MarkdownTests {
  @Test(arguments: HostileText.names + [HostileText.all])
  func textIsShownAsItIs(_ name: String) {
    let source = Markdown.text(name).source
    #expect(!source.unicodeScalars.contains(where: HostileText.isObeyed))
    let oneLine = String(String.UnicodeScalarView(name.unicodeScalars.filter { $0 != "\r" }))
    #expect(HostileText.shown(source) == QuotedText.visible(oneLine.replacing("\n", with: " ")))
    let bare = HostileText.unprotected(source)
    for mark in ["`", "*", "~", "|", "$", "<", "](", "][", "]:"] {
      #expect(!bare.contains(mark), "\(mark) of \(name) in \(source)")
    }
    #expect(![">", "#", "- ", "+ "].contains { source.hasPrefix($0) }, "\(source)")
    // Interpolation escapes, literals do not.
    #expect(("| **\(name)** |\n" as Markdown).source == "| **\(source)** |\n")
    #expect(HostileText.cells(Markdown.row([name, name]).source.trimmingCharacters(in: .newlines)) == 2)
  }

  @Test func readableNamesStayReadable() {
    for name in [
      "layer1.0.conv_a", "winograd[tile=4x4,points=5/8:3/2]", "F(2x2, 3x3)", "1.83 (1.80–1.86)", "-1.5",
    ] {
      #expect(Markdown.text(name).source == name)
    }
    #expect(Markdown.text("_a_ b_c").source == "\\_a\\_ b_c")
  }

  @Test(arguments: HostileText.names + [HostileText.all])
  func codeEndsWhereItShould(_ name: String) {
    let source = Markdown.code(name).source
    let shown = QuotedText.visible(
      String(String.UnicodeScalarView(name.unicodeScalars.filter { $0 != "\r" })).replacing("\n", with: " "))
    if source.hasPrefix("`") {
      #expect(source == "`\(shown)`" && !shown.contains("`") && !shown.contains("|"))
    } else {
      #expect(source.hasPrefix("<code>") && source.hasSuffix("</code>"))
      #expect(HostileText.shown(String(source.dropFirst(6).dropLast(7))) == shown)
    }
    #expect(HostileText.cells(Markdown.row([Markdown.code(name), "x"]).source) == 2, "\(source)")
    let fenced = Markdown.fenced(name).source.components(separatedBy: "\n")
    let marks = fenced[0].count
    #expect(fenced[0].allSatisfy { $0 == "`" } && fenced[fenced.count - 2] == fenced[0])
    #expect(!name.contains(String(repeating: "`", count: marks)))
    #expect(HostileText.faults(of: Markdown.fenced(name).source).isEmpty)
    #expect(Markdown.code("").isEmpty && Markdown.code("conv2d:n1").source == "`conv2d:n1`")
  }
}

@Suite struct SpreadsheetTests {
  @Test(arguments: HostileText.names + [HostileText.all])
  func fieldsAreNoFormulasAndReadBackEqual(_ name: String) throws {
    let text = CSV.text(header: ["a", "name"], rows: [["1", name], [name, "-1.5"]])
    let table = try CSVTable(parsing: text, file: "t.csv")
    #expect(table.rows.map { $0.map(\.text) } == [["1", name], [name, "-1.5"]])
    // As a spreadsheet sees the field: without the quotes.
    let field = CSV.field(name)
    let cell = field.hasPrefix("\"") ? String(field.dropFirst().dropLast()) : field
    let first = try #require(cell.unicodeScalars.first)
    let isNumber = Double(cell)?.isFinite == true || cell == "-inf"
    #expect(
      isNumber || !"=+-@\t\r\n\u{FF1D}\u{FF0B}\u{FF0D}\u{FF20}".unicodeScalars.contains(first), "\(field)")
  }

  @Test func numbersStayNumbers() {
    for text in ["-1.5", "+1", "-1e-05", "-inf", "0", "", "plain", "'plain"] {
      #expect(CSV.field(text) == text)
    }
    #expect(CSV.field("=1") == "'=1" && CSV.field("'=1") == "''=1" && CSV.field("-") == "'-")
    #expect(CSV.field("=\"a\",1") == "\"'=\"\"a\"\",1\"")
    // Hexadecimal digits and names of numbers are no numbers of ours.
    #expect(CSV.field("-0x1p3") == "'-0x1p3" && CSV.field("-nan") == "'-nan")
  }
}

/// Every report of every command, with such names wherever one can be.
@Suite struct InjectionTests {
  private static let name = HostileText.all
  private static let environment = [(key: "key " + name, value: name)]
  private static let command = "vbench run " + name

  private static func row(_ name: String, backend: String, verdict: Verdict = .passed) throws -> ResultRow {
    var row = try ReportSamples.row(
      backend, suite: Self.name, name: name, milliseconds: verdict == .passed ? 2 : nil, verdict: verdict,
      reason: name,
      speedup: verdict == .passed ? (2, 1.9, 2.1) : nil)
    row.variant = verdict == .unsupported ? "" : name
    row.executedBy = "\(name) via \(name)"
    row.minimalRepro = verdict == .failed ? "vbench run " + name : ""
    row.phases = verdict == .passed ? [(name.replacing(";", with: ""), 1e-3)] : []
    row.work = name
    return row
  }

  private static func report() throws -> RunReport {
    var rows: [ResultRow] = []
    for verdict in [Verdict.passed, .unsupported, .failed, .mistrusted, .missingReference] {
      rows.append(try row(name, backend: name, verdict: verdict))
      rows.append(try row(name + "2", backend: name, verdict: verdict))
    }
    var chooser = try row(name, backend: "auto" + name)
    chooser.role = .chooser
    rows.append(chooser)
    var trained = ReportSamples.training(name)
    trained.network = name
    trained.problem = ""
    var declined = ReportSamples.training(name + "2")
    (declined.network, declined.declined, declined.losses) = (name, name, [])
    var report = RunReport(
      environment: environment, command: command, date: name, peak: 100, rows: rows,
      training: [trained, declined], trainingSource: name)
    report.warnings = [name]
    return report
  }

  @Test func runs() throws {
    let report = try Self.report()
    let text = report.markdown
    #expect(HostileText.faults(of: text).isEmpty, "\(HostileText.faults(of: text).prefix(3))")
    for section in [
      "## Layers", "## Declined", "## Not passed", "## Mistrusted", "## Phases",
    ] {
      #expect(text.contains(section))
    }
    let html = report.html
    let document = try XMLNode.parse(html)
    #expect(
      document.all("img").isEmpty && !document.all("script").map(\.ownText).contains { $0 == "alert(1)" })
    #expect(document.text.contains("<script>alert(1)</script>"), "shown as text")
    let isTame = !html.unicodeScalars.contains {
      HostileText.isObeyed($0) && !"\t\n\r".unicodeScalars.contains($0)
    }
    #expect(isTame)
    let xml = JUnitReport(report).text
    let cases = try XMLNode.parse(xml).all("testcase")
    #expect(cases.count == report.rows.count + report.training.count)
    #expect(
      !xml.unicodeScalars.contains { HostileText.isObeyed($0) && !"\t\n\r".unicodeScalars.contains($0) })
    #expect(cases.allSatisfy { !($0.attributes["name"] ?? "\n").contains("\n") })
  }

  /// What was written is read again as it was.
  @Test func storedRuns() throws {
    let report = try Self.report()
    try withTemporaryFolder { folder in
      try report.write(to: folder + "/out")
      let read = try RunReport(reading: folder + "/out")
      #expect(read.rows.map(\.name) == report.rows.map(\.name) && read.rows[0].suite == Self.name)
      #expect(read.rows.map(\.backend) == report.rows.map(\.backend) && read.rows[0].variant == Self.name)
      #expect(read.training.map(\.network) == [Self.name, Self.name] && read.command == Self.command)
      let markdown = try InputFile.text(of: folder + "/out/report.md")
      #expect(read.markdown == markdown && HostileText.faults(of: markdown).isEmpty)
    }
  }

  @Test func comparisons() throws {
    let identity = PeerIdentity(name: Self.name, version: Self.name, configurations: [Self.name, "plain"])
    func row(_ verdict: Verdict) -> ComparisonRow {
      var row = ComparisonRow(
        suite: Self.name, problem: "conv2d:n1c32h8w8k8r3s3p1", name: Self.name, group: .other,
        pass: "forward",
        backend: Self.name, threads: 1, filterState: "prepared", peer: identity)
      if verdict == .passed {
        row.set(own: [1, 2, 1, 1], peers: [3, 4, 4, 3], configuration: Self.name, seed: 1)
      }
      row.verification = Verification(verdict, reason: Self.name)
      row.peerVerification = Verification(verdict, reason: Self.name)
      return row
    }
    var report = ComparisonReport(
      environment: Self.environment, command: Self.command, date: Self.name, peer: identity)
    report.rows = [row(.passed), row(.failed), row(.unsupported)]
    report.warnings = [Self.name]
    #expect(
      report.markdown.contains("## Rows without a ratio") && report.markdown.contains("## Geometric means"))
    #expect(
      HostileText.faults(of: report.markdown).isEmpty, "\(HostileText.faults(of: report.markdown).prefix(3))")
    let csv = try CSVTable(parsing: ComparisonRow.csv(report.rows), file: "c.csv")
    #expect(csv.rows[0][try csv.column("peer_configuration")].text == Self.name)
  }

  @Test func agreements() throws {
    let item = RunItem(
      suite: Self.name,
      problem: BenchmarkProblem(try ConvProblem(parsing: "conv2d:n1c2h5w5k2r3s3p1"), name: Self.name),
      pass: .forward)
    let seconds = [Double](repeating: 1e-3, count: 8)
    var report = AgreementReport(environment: Self.environment, command: Self.command, date: Self.name)
    report.rows = [
      CompanyRow(
        item: item, backend: Self.name, threads: 2, cache: .warm, alone: seconds, company: seconds,
        untimed: (7, 8),
        seed: 1)
    ]
    (report.leftOut, report.warnings) = ([Self.name], [Self.name])
    #expect(
      HostileText.faults(of: report.markdown).isEmpty, "\(HostileText.faults(of: report.markdown).prefix(3))")
  }

  @Test func audits() throws {
    var auto = try Self.row(Self.name, backend: "auto")
    auto.role = .chooser
    var other = try Self.row(Self.name, backend: Self.name)
    other.variant = "faster " + Self.name
    for index in 0..<20 {
      auto.seconds.append(2e-3)
      other.seconds.append(1e-3)
      auto.rounds.append(index)
      other.rounds.append(index)
    }
    (auto.seconds, other.seconds) = (Array(auto.seconds.suffix(20)), Array(other.seconds.suffix(20)))
    (auto.rounds, other.rounds) = (Array(auto.rounds.suffix(20)), Array(other.rounds.suffix(20)))
    var report = AuditReport(
      environment: Self.environment, command: Self.command, date: Self.name,
      audit: CostModelAudit(rows: [auto, other], automatic: "auto"))
    report.warnings = [Self.name]
    #expect(report.misses.count == 1)
    #expect(
      HostileText.faults(of: report.markdown).isEmpty, "\(HostileText.faults(of: report.markdown).prefix(3))")
  }

  @Test func papers() throws {
    let pack = try PaperPack.named("lavin-gray")
    let layer = try #require(pack.layers.first { $0.name == "conv5" })
    var rows: [ResultRow] = []
    for verdict in [Verdict.passed, .failed] {
      rows.append(
        try ReportSamples.row(
          Self.name, suite: Self.name, name: layer.name, problem: layer.problem.description,
          milliseconds: verdict == .passed ? 3 : nil, verdict: verdict, reason: Self.name))
    }
    var report = PaperReport(
      pack: pack, environment: Self.environment, command: Self.command, date: Self.name, layers: [layer],
      rows: rows, errorRows: rows, choseBatches: true, isPartial: true, seed: 1, classifier: { _ in .direct })
    report.warnings = [Self.name]
    #expect(report.markdown.contains("this run"))
    #expect(
      HostileText.faults(of: report.markdown).isEmpty, "\(HostileText.faults(of: report.markdown).prefix(3))")
  }

  /// The checker finds what it is for.
  @Test func faultsAreFound() {
    for text in [
      "| a | b |\n|---|---|\n| x |", "a\u{1B}b", "INJECTED", "[a](b)", "<b>", "```\nx", "a\u{202E}",
    ] {
      #expect(!HostileText.faults(of: text).isEmpty, "\(text)")
    }
    #expect(HostileText.faults(of: "| a\\|b | c |\n|---|---|\n| `x` | &lt; |\n\n```\n<b>\n```\n").isEmpty)
  }
}
