import ConvHarness
import Foundation

/// The table of results on standard output, printed item by item while the run goes on.
struct ResultTable {
  private static let empty = TextTable(
    [
      "layer", "pass", "backend", "verdict", "samples", "ms", "GFLOP/s", "peak %", "error", "bits",
      "speed-up", "",
      "time/best", "",
    ],
    rightAligned: [4, 5, 6, 7, 8, 9, 10, 12])
  /// As in `mistrusted`, `3.1e-06 = 0.22 × bound`, `0.997 (0.983–1.03)`, `indistinguishable`.
  private static let widthsOfResults = [0, 0, 0, 10, 7, 6, 7, 6, 24, 5, 19, 17, 18, 17]

  /// All rows that the table is going to have, as far as they are known: what is the same in all of them is not printed.
  private let skeleton: RunReport
  private let widths: [Int]
  private var hasHeader = false

  /// A table of rows of which at least the keys are known.
  init(_ skeleton: RunReport) {
    self.skeleton = skeleton
    var table = ResultTable.empty
    table.leastWidths = ResultTable.widthsOfResults
    for row in skeleton.rows { table.add(ResultTable.cells(row, skeleton)) }
    widths = table.widths
  }

  /// The lines of some rows, with the header before the first ones.
  mutating func lines(_ rows: [ResultRow]) -> String {
    guard !rows.isEmpty else { return "" }
    let header = hasHeader ? [] : [ResultTable.empty.header]
    hasHeader = true
    return ResultTable.empty.lines(header + rows.map { ResultTable.cells($0, skeleton) }, widths: widths)
      .joined(separator: "\n")
  }

  private static func cells(_ row: ResultRow, _ report: RunReport) -> [String] {
    [
      row.name.isEmpty ? row.problem : "\(row.suite) \(row.name)",
      ([row.pass.rawValue] + report.conditions(row)).joined(separator: ", "), row.backend,
      row.verification.verdictText, row.seconds.isEmpty ? "" : "\(row.seconds.count)",
      RunReport.short(row.medianMilliseconds), RunReport.short(row.gflopsEffective),
      RunReport.short(row.peakPercent), row.verification.errorText, row.verification.bitsText,
      RunReport.speedup(row.speedup),
      row.speedup?.verdict.rawValue ?? "", RunReport.timeToBest(row.best), row.best?.verdict.rawValue ?? "",
    ]
  }
}
