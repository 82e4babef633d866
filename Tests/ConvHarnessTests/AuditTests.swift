import ConvCore
import ConvNaive
import ConvTestSupport
import Foundation
import Testing

@testable import ConvHarness

/// How automatic choices are judged.
@Suite struct AuditTests {
  /// A verified row with one sample in each of twenty rounds: the even ones take `even` ms, the odd ones `odd`.
  private func row(
    _ backend: String, even: Double, odd: Double, plan: String? = nil, pass: ConvPass = .forward,
    name: String = "conv1", format: MemoryFormat = .nchw
  ) throws -> ResultRow {
    var row = try SyntheticRun.row(
      name: name, pass: pass, backend: backend, milliseconds: 1, count: 20, noise: 0)
    row.rounds = Array(0..<20)
    row.seconds = row.rounds.map { ($0 % 2 == 0 ? even : odd) * 1e-3 }
    row.medianMilliseconds = Statistics.median(row.seconds) * 1e3
    row.format = format
    row.variant = plan ?? backend
    row.executedBy = row.variant
    row.role = plan == nil ? .engine : .chooser
    row.predictedMilliseconds = 0.25
    return row
  }

  private func auto(
    _ milliseconds: Double, took plan: String, pass: ConvPass = .forward, name: String = "conv1",
    format: MemoryFormat = .nchw
  ) throws -> ResultRow {
    try row(
      "auto", even: milliseconds, odd: milliseconds, plan: plan, pass: pass, name: name, format: format)
  }

  private func engine(
    _ name: String, _ milliseconds: Double, pass: ConvPass = .forward, layer: String = "conv1",
    format: MemoryFormat = .nchw
  ) throws -> ResultRow {
    try row(name, even: milliseconds, odd: milliseconds, pass: pass, name: layer, format: format)
  }

  /// Right, nearly right, and wrong.
  private func three() throws -> [ResultRow] {
    [
      try auto(1, took: "a"), try engine("a", 1), try engine("b", 3),
      try auto(1.09, took: "a", pass: .backwardData), try engine("b", 1, pass: .backwardData),
      try auto(1.3, took: "a", pass: .backwardFilter), try engine("b", 1, pass: .backwardFilter),
      try engine("a", 1.2, pass: .backwardFilter),
    ]
  }

  @Test func missesAreCounted() throws {
    let audit = CostModelAudit(rows: try three(), automatic: "auto")
    #expect(audit.entries.map(\.best.backend) == ["a", "b", "b"])
    for (entry, ratio) in zip(audit.entries, [1, 1.09, 1.3]) { #expect(abs(entry.ratio - ratio) < 1e-9) }
    #expect(audit.misses.count == 1 && audit.misses[0].chosen.pass == .backwardFilter)
    #expect(abs(audit.mean - Foundation.pow(1 / (1.09 * 1.3), 1.0 / 3)) < 1e-9)
    let strict = CostModelAudit(rows: try three(), automatic: "auto", tolerance: 0.05)
    // The worst first.
    #expect(strict.misses.map(\.chosen.pass) == [.backwardFilter, .backwardData])
    #expect(CostModelAudit(rows: [], automatic: "auto").mean.isNaN)
    #expect(CostModelAudit(rows: try three(), automatic: "other").entries.isEmpty)
  }

  /// Who was lucky in the rounds that choose is compared in the others.
  @Test func luckDoesNotCount() throws {
    let rows = [
      try auto(1, took: "a"), try engine("a", 1), try row("lucky", even: 0.5, odd: 1.01),
      try row("unlucky", even: 2, odd: 0.25),
    ]
    let audit = CostModelAudit(rows: rows, automatic: "auto")
    let entry = try #require(audit.entries.first)
    #expect(entry.best.backend == "lucky" && abs(entry.ratio - 1 / 1.01) < 1e-9, "\(entry.ratio)")
    #expect(audit.misses.isEmpty)
  }

  /// Only rounds that both took part in are compared.
  @Test func roundsArePaired() throws {
    var own = try auto(1, took: "a")
    own.seconds = own.rounds.map { $0 < 10 ? 1e-3 : 9e-3 }
    var other = try engine("b", 0.5)
    other.rounds = Array(0..<10)
    other.seconds = other.rounds.map { _ in 0.5e-3 }
    let audit = CostModelAudit(rows: [own, other], automatic: "auto")
    #expect(abs((audit.entries.first?.ratio ?? 0) - 2) < 1e-9)
    // Without a common odd round there is nothing to say.
    other.rounds = other.rounds.map { 2 * $0 }
    #expect(CostModelAudit(rows: [own, other], automatic: "auto").entries.isEmpty)
  }

  /// A plan against itself differs by noise alone.
  @Test func theSamePlanIsNoMiss() throws {
    let audit = CostModelAudit(rows: [try auto(1.5, took: "a"), try engine("a", 1)], automatic: "auto")
    #expect(audit.misses.isEmpty && audit.entries.map(\.isSamePlan) == [true])
    #expect(AuditReport(environment: [], command: "", date: "", audit: audit).sentence.contains("1 of 1"))
    var failed = try engine("a", 1)
    failed.set(Verification(.failed, reason: ""))
    #expect(CostModelAudit(rows: [try auto(1.5, took: "a"), failed], automatic: "auto").entries.isEmpty)
    var untimed = try engine("a", 1)
    untimed.medianMilliseconds = .nan
    #expect(CostModelAudit(rows: [try auto(1.5, took: "a"), untimed], automatic: "auto").entries.isEmpty)
  }

  /// Another chooser is no engine, however fast it is.
  @Test func choosersAreNoEngines() throws {
    var other = try auto(0.1, took: "z")
    other.backend = "auto#2"
    let audit = CostModelAudit(
      rows: [try auto(1, took: "a"), other, try engine("b", 0.5)], automatic: "auto")
    #expect(audit.entries.map(\.best.backend) == ["b"])
  }

  @Test func theReportHasTheFigures() throws {
    var rows = try three()
    rows += [
      try auto(2, took: "a", name: "x|y", format: .nhwc),
      try engine("b", 1, layer: "x|y", format: .nhwc),
    ]
    var report = AuditReport(
      environment: [("CPU", "one | two")], command: "vbench explain --audit", date: "2000-01-02",
      audit: CostModelAudit(rows: rows, automatic: "auto"))
    // (1 · 1/1.09 · 1/1.3 · 1/2)^¼ = 0.7707
    #expect(
      report.sentence
        == "auto is within 10 % of the fastest engine in 2 of 4 rows (50.0 %); geometric mean of best over auto 0.771"
    )
    #expect(
      report.parts == [
        ["forward", "nchw", "1", "100.0 %", "1.000", "1.00"],
        ["backward-data", "nchw", "1", "100.0 %", "0.917", "1.09"],
        ["backward-filter", "nchw", "1", "0.0 %", "0.769", "1.30"],
        ["forward", "nhwc", "1", "0.0 %", "0.500", "2.00"],
      ])
    #expect(
      report.misses == [
        ["net x|y", "forward, nhwc", "a", "2.00", "0.250", "b", "1.00", "0.250", "2.00"],
        ["net conv1", "backward-filter, nchw", "a", "1.30", "0.250", "b", "1.00", "0.250", "1.30"],
      ])
    let text = report.markdown
    #expect(text.hasPrefix("# vbench explain --audit, 2000-01-02\n"))
    for part in [
      "\n- \(report.sentence)\n", "| forward | nhwc | 1 | 0.0 % | 0.500 | 2.00 |",
      "| net x\\|y | forward, nhwc | a | 2.00 | 0.250 | b | 1.00 | 0.250 | 2.00 |", "| CPU | one \\| two |",
    ] {
      #expect(text.contains(part), "\(part) is missing in \(text)")
    }
    #expect(!text.contains("Interrupted"))
    report.isPartial = true
    #expect(report.markdown.contains("**Interrupted: what follows is what had been measured by then.**"))
    let lines = report.csv.split(separator: "\n")
    let header = lines[0].split(separator: ",").map(String.init)
    #expect(lines.count == 5)
    let fields = lines[3].split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    #expect(fields.count == header.count)
    let cells = Dictionary(uniqueKeysWithValues: zip(header, fields))
    for (column, value) in [
      ("pass", "backward-filter"), ("auto_variant", "a"), ("best", "b"), ("auto_ms", "1.3"), ("best_ms", "1"),
      ("ratio", "1.3"), ("same_plan", "no"), ("rounds", "20"), ("auto_predicted_ms", "0.25"),
    ] {
      #expect(cells[column] == value, "\(column): \(cells[column] ?? "nothing")")
    }
    try withTemporaryFolder { folder in
      try report.write(to: folder + "/out")
      #expect(try InputFile.text(of: folder + "/out/audit.md") == report.markdown)
      #expect(try InputFile.text(of: folder + "/out/audit.csv") == report.csv)
    }
  }

  /// Nothing was compared: that is said without numbers.
  @Test func anEmptyAuditHasNoMean() {
    let report = AuditReport(
      environment: [], command: "", date: "", audit: CostModelAudit(rows: [], automatic: "auto"))
    #expect(report.sentence == "auto is within 10 % of the fastest engine in 0 of 0 rows")
    #expect(report.parts.isEmpty && report.misses.isEmpty && !report.markdown.contains("nan"))
  }
}
