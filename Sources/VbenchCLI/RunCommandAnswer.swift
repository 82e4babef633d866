import ConvCore
import ConvHarness
import Foundation

extension RunSession {
  /// The end of what standard output says: what to take, in one line where it is one sentence; broken between words where
  /// a terminal is narrower.
  static func answer(_ report: RunReport, width: Int? = nil) -> String {
    let lines = report.answer.lines(most: 12)
    let isOne = lines.count == 1
    return ((isOne ? [] : ["answer:"]) + lines.map { (isOne ? "answer: " : "  ") + $0 }).map { line in
      Terminal.wrapped(QuotedText.visible(line), width: width, indent: isOne ? 2 : 4) + "\n"
    }.joined()
  }
}

/// Rows of the first of several visits, on standard error: the last visit's are the results, which standard output has.
struct Preliminary {
  private var table: ResultTable
  private var hasSaid = false
  private let visits: Int

  init(_ skeleton: RunReport, layout: TableLayout?, plan: RunPlan) {
    table = ResultTable(
      skeleton, layout: layout, width: Terminal.isInteractive ? Terminal.width : nil, mark: "~ ")
    visits = plan.visits
  }

  /// Shows the rows of an item.
  mutating func show(_ rows: [ResultRow]) {
    if !hasSaid { Terminal.warn("~ preliminary, of the first of \(visits) visits:") }
    hasSaid = true
    for line in table.lines(rows).split(separator: "\n") { Terminal.warn(String(line)) }
  }
}
