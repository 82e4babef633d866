import ConvCore
import ConvNaive
import ConvTestSupport
import Foundation
import Testing

@testable import ConvHarness

/// Whether a time depends on who else takes part, and the report about that.
@Suite struct CompanyTests {
  private static let item = RunItem(
    suite: "s", problem: BenchmarkProblem(try! ConvProblem(parsing: "conv2d:n1c2h5w5k2r3s3p1"), name: "one"),
    pass: .forward)

  private func row(_ name: String, alone: [Double], company: [Double]) -> CompanyRow {
    CompanyRow(
      item: Self.item, backend: name, threads: 2, cache: .warm, alone: alone, company: company,
      untimed: (7, 8), seed: 1)
  }

  @Test func ratiosAreTimeInCompanyOverTimeAlone() throws {
    let alone = (0..<8).map { 1e-3 * (1 + 0.01 * Double($0 % 3)) }
    let slower = row("slowed", alone: alone, company: alone.map { 1.6 * $0 })
    #expect(abs(slower.comparison.ratio - 1.6) < 1e-9 && !slower.agrees)
    let faster = row("sped", alone: alone, company: alone.map { 0.8 * $0 })
    #expect(abs(faster.comparison.ratio - 0.8) < 1e-9 && !faster.agrees)
    // 1 % is no difference, however narrow the interval; nor is 10 % that the visits do not agree about.
    #expect(row("same", alone: alone, company: alone.map { 1.01 * $0 }).agrees)
    let unclear = zip(alone, [0.9, 1.1, 1.2, 1.1, 0.95, 1.15, 1.1, 1.2]).map { $0 * $1 }
    #expect(row("unclear", alone: alone, company: unclear).agrees)
  }

  @Test func theReportCountsWhatAgrees() throws {
    let alone = [Double](repeating: 1e-3, count: 8)
    var report = AgreementReport(
      environment: [("CPU", "one | two")], command: "vbench agreement", date: "now")
    #expect(report.companySentence.hasSuffix("0 of 0 rows agree") && report.copySentence == nil)
    report.rows = [
      row("a", alone: alone, company: alone), row("b", alone: alone, company: alone.map { 2 * $0 }),
      row("c", alone: alone, company: alone),
    ]
    report.warnings = ["slow library"]
    var noise = NoiseRecord()
    (noise.peakLow, noise.peakHigh) = (100, 200)
    report.noise = noise
    #expect(report.companySentence.contains("2 of 3 rows (66.7 %) agree"))
    #expect(report.powerSentence.hasPrefix("intervals are 0 % of the ratio wide in the median; in 3 rows"))
    report.leftOut = ["naive on x", "direct on y"]
    var (copy, other) = (
      try SyntheticRun.row(backend: "auto#2", milliseconds: 1),
      try SyntheticRun.row(backend: "auto#2", milliseconds: 1)
    )
    copy.speedup = Speedup(ratio: 1, low: 0.9, high: 1.1, verdict: .indistinguishable)
    other.speedup = Speedup(ratio: 1.5, low: 1.4, high: 1.6, verdict: .faster)
    report.copies = [copy, other, copy, copy]
    #expect(report.copySentence == "an engine and its own copy: 3 of 4 rows (75.0 %) indistinguishable")
    let text = report.markdown
    for wanted in [
      "without a row, since they take more than ten times as long as the best and are sampled less: 2, naive on x",
      "**Warning: slow library.**", "the machine's speed changed by 2 × during this run", "one \\| two",
      "| s one `conv2d:n1c2h5w5k2r3s3p1` | forward, fresh | `b` | 1.00 | 2.00 | 2.00 (2.00–2.00) | **no** |",
    ] { #expect(text.contains(wanted), "\(wanted) is missing in \(text)") }
    let lines = report.csv.split(separator: "\n")
    #expect(lines.count == 4 && lines[2].contains(",b,2,nhwc,fresh,warm,8,1,2,2,2,2,false,7,8"), "\(lines)")
  }

  /// Every engine alone and all together, as often; a copy is not measured alone.
  @Test func everyEngineIsMeasuredBothWays() throws {
    var settings = RunSettings(pool: .pool(threads: 1), baseline: "naive", seed: 1)
    settings.sampling.budgetSeconds = 0.01
    settings.sampling.leastRounds = 4
    settings.sampling.warmUpSeconds = 0
    var check = CompanyCheck(
      settings: settings, limits: MachineLimits(threads: 1, fmaPeak: 1, bandwidth: 10), visits: 2)
    var peaks: [Double] = []
    let plugin = FakeBackend.plugin()
    let found = try check.rows(
      for: Self.item,
      competitors: [
        Competitor(NaiveBackend()), Competitor(NaiveBackend(), copy: 2), Competitor(plugin),
        Competitor(NaiveBackend(), variant: "nonsense"),
      ], seesPeak: { peaks.append($0) })
    // Once for each visit of the company.
    #expect(peaks.count <= 2 && peaks.allSatisfy { $0 > 0 })
    // Who declines has no row.
    #expect(found.rows.map(\.backend) == ["naive", "plugin"])
    for row in found.rows {
      #expect(row.alone.count == 2 && row.company.count == 2 && row.comparison.ratio > 0)
      #expect((row.alone + row.company).allSatisfy { $0 > 0 })
      #expect(row.untimed.alone ?? 0 > 0 && row.untimed.company ?? 0 > 0)
    }
    #expect(found.company.map(\.backend) == ["naive", "naive#2", "plugin", "naive[nonsense]"])
    #expect(found.company[1].seconds.count >= 4)
    // A request to stop ends it without half a row.
    #expect(
      try check.rows(for: Self.item, competitors: [Competitor(NaiveBackend())], shouldStop: { true }).rows
        .isEmpty)
  }
}
