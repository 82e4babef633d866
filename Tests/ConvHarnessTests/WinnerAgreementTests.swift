import ConvCore
import Testing

@testable import ConvHarness

@Suite struct WinnerAgreementTests {
  /// A report with one item per list of (backend, milliseconds, whether the run says that it is slower than the best).
  private func report(_ items: [[(String, Double, Bool)]]) throws -> RunReport {
    var report = try SyntheticRun.full()
    report.rows = try items.enumerated().flatMap { index, rows in
      try rows.map { name, milliseconds, isSlower in
        var row = try SyntheticRun.row(
          name: "layer \(index)", backend: name, milliseconds: milliseconds, noise: 0)
        row.best = BestComparison(
          backend: "", ratio: 1, low: 1, high: 1, verdict: isSlower ? .slower : .indistinguishable)
        return row
      }
    }
    return report
  }

  @Test func winnersAreComparedItemByItem() throws {
    let first = try report([
      [("a", 1, false), ("b", 2, true)], [("a", 1, false), ("b", 1.01, false)],
      [("a", 1, false), ("b", 2, true)],
      [("a", 1, false), ("b", 2, true)], [("a", 1, false)],
    ])
    let second = try report([
      // The same; too near in the first run; a contradiction; uncertain in the second run; nothing to compare.
      [("a", 3, false), ("b", 4, true)], [("a", 2, true), ("b", 1, false)],
      [("a", 2, true), ("b", 1, false)],
      [("a", 1.01, false), ("b", 1, false)], [("a", 1, false), ("b", 0.5, false)],
    ])
    let agreement = WinnerAgreement(first, second)
    #expect(agreement.items == 4 && agreement.same == 1 && agreement.withinIntervals == 2)
    #expect(agreement.contradictions.map(\.second.name) == ["layer 2"])
    #expect(agreement.contradictions.map(\.first.backend) == ["a"])
    #expect(agreement.contradictions.map(\.second.backend) == ["b"])
    #expect(WinnerAgreement(first, first).same == 4)
  }
}
