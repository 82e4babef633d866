import ArgumentParser
import ConvCore
import ConvHarness
import Foundation

/// How the table of results is laid out.
enum TableLayout: String, CaseIterable, ExpressibleByArgument {
  /// A line for each layer and pass, a column for each engine.
  case wide
  /// A line for each engine.
  case long
}

/// The table of results on standard output, printed item by item while the run goes on.
///
/// In a file or a pipe every column is there and nothing is cut. On a terminal the table is as wide as that: a wide table stands
/// there where it fits, else a long one, without the columns that matter least; names of layers are shortened in their middle.
struct ResultTable {
  /// A column of a table.
  private struct Column {
    let title: String
    var isNumber = true
    /// Of what it may be expected to hold, besides what is known beforehand.
    var least = 0
    /// Where there is no room for all columns, those with the greatest numbers go first; 0 stays.
    var rank = 0
    let text: @Sendable ([ResultRow], Int, SpeedTexts) -> String
  }

  /// How the lines are made.
  let layout: TableLayout
  /// All rows that the table is going to have, as far as they are known: what is the same in all of them is not printed.
  private let skeleton: RunReport
  private let columns: [Column]
  private let widths: [Int]
  private let limit: Int?
  private let mark: String
  private var hasHeader = false

  /// A table of rows of which at least the keys are known.
  ///
  /// - Parameters:
  ///   - layout: nil: wide where several engines take part and `width` has room for them, else long.
  ///   - width: columns of the terminal; nil: as wide as it takes.
  ///   - mark: stands before each line.
  init(_ skeleton: RunReport, layout: TableLayout? = nil, width: Int? = nil, mark: String = "") {
    self.skeleton = skeleton
    self.mark = mark
    limit = width.map { max(1, $0 - mark.count) }
    var engines: [String] = []
    for row in skeleton.rows where !engines.contains(row.backend) { engines.append(row.backend) }
    let items = ResultTable.items(skeleton.rows, count: engines.count)
    let wide = ResultTable.fitted(ResultTable.wide(skeleton, engines), items, limit)
    let hasRoom = limit.map { wide.widths.reduce(-2) { $0 + $1 + 2 } <= $0 } ?? false
    self.layout = layout ?? (engines.count > 1 && hasRoom ? .wide : .long)
    let long = ResultTable.fitted(ResultTable.long(skeleton), items, limit)
    (columns, widths) = self.layout == .wide ? wide : long
  }

  /// Rows of one item each, which follow each other.
  private static func items(_ rows: [ResultRow], count: Int) -> [[ResultRow]] {
    stride(from: 0, to: rows.count, by: max(1, count)).map { Array(rows[$0..<min(rows.count, $0 + count)]) }
  }

  /// The lines of the rows of an item, with the header before the first ones.
  mutating func lines(_ rows: [ResultRow]) -> String {
    guard !rows.isEmpty else { return "" }
    var table = TextTable(columns.map(\.title))
    table.rightAligned = Set(columns.indices.filter { columns[$0].isNumber })
    var cells = hasHeader ? [] : [table.header]
    hasHeader = true
    let speeds = SpeedTexts(rows)
    for place in layout == .wide ? 0..<1 : rows.indices {
      cells.append(columns.map { $0.text(rows, place, speeds) })
    }
    cells = cells.map { line in
      line.enumerated().map { $0 == 0 ? ResultTable.shortened($1, to: widths[0]) : $1 }
    }
    return table.lines(cells, widths: widths).map { line in
      mark + (limit.map { String(line.prefix($0)) } ?? line)
    }.joined(separator: "\n")
  }

  // MARK: Columns

  private static func layer(_ row: ResultRow) -> String {
    row.name.isEmpty ? row.problem : "\(row.suite) \(row.name)"
  }

  private static func pass(_ row: ResultRow, _ report: RunReport) -> String {
    ([row.pass.rawValue] + report.conditions(row)).joined(separator: ", ")
  }

  /// Widths as in `mistrusted`, `3.1e-06 = 0.22 × bound`, `0.997 (0.983–1.03)`, `indistinguishable`.
  private static func long(_ report: RunReport) -> [Column] {
    [
      Column(title: "layer", isNumber: false) { rows, index, _ in layer(rows[index]) },
      Column(title: "pass", isNumber: false) { rows, index, _ in pass(rows[index], report) },
      Column(title: "backend", isNumber: false) { rows, index, _ in rows[index].backend },
      Column(title: "verdict", isNumber: false, least: 10) { rows, index, _ in
        rows[index].verification.verdictText
      },
      Column(title: "samples", least: 7, rank: 8) { rows, index, _ in
        rows[index].seconds.isEmpty ? "" : "\(rows[index].seconds.count)"
      },
      Column(title: "ms", least: 6) { rows, index, _ in RunReport.short(rows[index].medianMilliseconds) },
      Column(title: "GFLOP/s", least: 7, rank: 6) { rows, index, _ in
        RunReport.short(rows[index].gflopsEffective)
      },
      Column(title: "peak %", least: 6, rank: 7) { rows, index, _ in RunReport.short(rows[index].peakPercent)
      },
      Column(title: "error", least: 24, rank: 3) { rows, index, _ in rows[index].verification.errorText },
      Column(title: "bits", least: 5, rank: 9) { rows, index, _ in rows[index].verification.bitsText },
      Column(title: "speed-up", least: 19) { _, index, speeds in speeds[index].speedup },
      Column(title: "", isNumber: false, least: 17, rank: 2) { _, index, speeds in speeds[index].verdict },
      Column(title: "time/best", least: 18, rank: 5) { _, index, speeds in speeds[index].timeToBest },
      Column(title: "", isNumber: false, least: 17, rank: 4) { _, index, speeds in speeds[index].besideBest },
    ]
  }

  private static func wide(_ report: RunReport, _ engines: [String]) -> [Column] {
    var columns = [
      Column(title: "layer", isNumber: false) { rows, _, _ in layer(rows[0]) },
      Column(title: "ms by pass", isNumber: false) { rows, _, _ in pass(rows[0], report) },
    ]
    columns += engines.map { engine in
      Column(title: engine, least: 9) { rows, _, speeds in
        rows.firstIndex { $0.backend == engine }.map { time(rows[$0], speeds[$0]) } ?? ""
      }
    }
    return columns + [
      Column(title: "best/baseline", least: 22, rank: 1) { rows, _, speeds in
        guard let index = rows.firstIndex(where: { $0.best?.verdict == .best }) else { return "" }
        return speeds[index].speedup.isEmpty ? speeds[index].verdict : speeds[index].speedup
      },
      Column(title: "error/bound", least: 11, rank: 2) { rows, _, _ in
        RunReport.quotient(rows.map(\.verification.errorRatio).filter { !$0.isNaN }.max())
      },
    ]
  }

  /// `1.23*` of the fastest, `1.24=` of who cannot be told from it; else the time, or why there is none.
  private static func time(_ row: ResultRow, _ speed: SpeedTexts.Text) -> String {
    guard row.medianMilliseconds.isFinite else {
      switch row.verification.verdict {
      case .passed: return "passed"
      case .unsupported: return "declined"
      case let verdict: return verdict.rawValue
      }
    }
    let mark =
      switch row.best?.verdict {
      case .best: "*"
      case .indistinguishable, .samePlan, .faster:
        // Whose interval spans everything is not told apart, but as good it is not.
        speed.besideBest == SpeedTexts.notWorthTiming ? " " : "="
      default: " "
      }
    return RunReport.short(row.medianMilliseconds) + mark
  }

  // MARK: Widths

  /// The columns for which there is room, and how wide they are.
  private static func fitted(
    _ columns: [Column], _ items: [[ResultRow]], _ limit: Int?
  ) -> (columns: [Column], widths: [Int]) {
    var columns = columns
    var widths = columns.map { column in
      items.reduce(max(column.least, column.title.count)) { width, rows in
        let speeds = SpeedTexts([])
        // Nothing but names is known yet.
        let isName = column.least == 0
        return isName
          ? rows.indices.reduce(width) { max($0, QuotedText.visible(column.text(rows, $1, speeds)).count) }
          : width
      }
    }
    guard let limit else { return (columns, widths) }
    func total() -> Int { widths.reduce(-2) { $0 + $1 + 2 } }
    // A name can give most of itself away, but then it says nothing: first what matters least goes.
    let least = min(widths[0], 16)
    while total() - widths[0] + least > limit,
      let place = columns.indices.filter({ columns[$0].rank > 0 }).max(by: {
        columns[$0].rank < columns[$1].rank
      })
    {
      columns.remove(at: place)
      widths.remove(at: place)
    }
    widths[0] = max(min(widths[0], 4), min(widths[0], limit - (total() - widths[0])))
    return (columns, widths)
  }

  /// A text without its middle: `resnet50 …3_1`.
  static func shortened(_ text: String, to width: Int) -> String {
    let text = QuotedText.visible(text)
    guard text.count > width, width > 0 else { return text }
    let tail = (width - 1) * 2 / 3
    return text.prefix(width - 1 - tail) + "…" + text.suffix(tail)
  }
}

extension TextTable {
  /// The table on a terminal of so many columns: where there is no room, the columns of the greatest ranks go, but for those of rank
  /// 0; lines end where it ends.
  func text(width limit: Int?, ranks: [Int]) -> String {
    guard let limit else { return text }
    var shown = Array(header.indices)
    func total() -> Int { shown.reduce(-2) { $0 + widths[$1] + 2 } }
    let widths = widths
    while total() > limit, let last = shown.filter({ ranks[$0] > 0 }).max(by: { ranks[$0] < ranks[$1] }) {
      shown.removeAll { $0 == last }
    }
    var table = TextTable(shown.map { header[$0] })
    table.rightAligned = Set(shown.indices.filter { rightAligned.contains(shown[$0]) })
    for row in rows { table.add(shown.map { row[$0] }) }
    return table.text.components(separatedBy: "\n").map { String($0.prefix(limit)) }.joined(separator: "\n")
  }
}
