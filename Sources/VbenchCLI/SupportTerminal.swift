import ConvCore
import ConvHarness
import Foundation

/// What people see: results on standard output, everything else on standard error.
enum Terminal {
  /// A line on standard error.
  static func warn(_ line: String) { FileHandle.standardError.write(Data((line + "\n").utf8)) }

  /// Whether standard error is a terminal that may be redrawn.
  static var isInteractive: Bool {
    let environment = ProcessInfo.processInfo.environment
    return isatty(STDERR_FILENO) != 0 && environment["TERM"] != "dumb"
  }

  /// Whether colours are wanted: a terminal, and no NO_COLOR (https://no-color.org).
  static var hasColor: Bool {
    isInteractive && (ProcessInfo.processInfo.environment["NO_COLOR"] ?? "").isEmpty
  }

  /// Columns of the terminal; 80 where it does not say.
  static var width: Int {
    var size = winsize()
    guard ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }
    return Int(size.ws_col)
  }
}

/// A bar that is redrawn in place on a terminal; elsewhere a plain line every few seconds.
struct ProgressBar {
  private let total: Int
  private let interactive = Terminal.isInteractive
  private let color = Terminal.hasColor
  private var lastDrawn: ContinuousClock.Instant?
  private let interval: Duration
  private let start = ContinuousClock.now
  /// Steps that were done before and took no time now.
  private let skipped: Int

  /// A bar of `total` steps.
  init(total: Int, skipped: Int = 0) {
    self.total = max(1, total)
    self.skipped = skipped
    interval = interactive ? .milliseconds(100) : .seconds(5)
  }

  /// Shows that `done` steps are done; `text` says how things are.
  mutating func update(_ done: Int, _ text: @autoclosure () -> String) {
    let now = ContinuousClock.now
    if let lastDrawn, now - lastDrawn < interval, done < total { return }
    // A plain line for the very first step would say nothing.
    defer { lastDrawn = now }
    let left = TimeLeft.text(
      elapsed: Double((now - start).components.seconds), done: done - skipped, left: total - done)
    if interactive {
      let label = " \(done)/\(total) \(left)\(text())"
      let room = max(8, min(32, Terminal.width - label.count - 3))
      let filled = min(room, room * done / total)
      let bar = String(repeating: "█", count: filled) + String(repeating: "░", count: room - filled)
      let line = (color ? "\u{1B}[36m\(bar)\u{1B}[0m" : bar) + String(label.prefix(Terminal.width - room - 1))
      FileHandle.standardError.write(Data("\r\u{1B}[2K\(line)".utf8))
    } else if lastDrawn != nil || done == total {
      Terminal.warn("\(done)/\(total) \(left)\(text())")
    }
  }

  /// Takes the bar away.
  func clear() {
    if interactive { FileHandle.standardError.write(Data("\r\u{1B}[2K".utf8)) }
  }
}

/// How long work goes on, for people.
enum TimeLeft {
  /// `1 min 20 s left, `; empty while nothing can be said.
  static func text(elapsed: Double, done: Int, left: Int) -> String {
    guard done > 0, left > 0, elapsed >= 1 else { return "" }
    let seconds = Int((elapsed * Double(left) / Double(done)).rounded())
    if seconds < 60 { return "\(seconds) s left, " }
    if seconds < 3600 { return "\(seconds / 60) min \(seconds % 60) s left, " }
    return "\(seconds / 3600) h \(seconds % 3600 / 60) min left, "
  }
}

/// Rows of text in columns as wide as their widest cell, or as comma-separated values.
struct TextTable {
  let header: [String]
  private(set) var rows: [[String]] = []
  /// Columns that are aligned to the right.
  var rightAligned: Set<Int> = []
  /// Least widths of the columns, for tables whose rows are printed before all are known.
  var leastWidths: [Int] = []

  init(_ header: [String], rightAligned: Set<Int> = []) {
    self.header = header
    self.rightAligned = rightAligned
  }

  /// Adds a row with as many cells as the header.
  mutating func add(_ row: [String]) {
    precondition(row.count == header.count, "\(row.count) cells under \(header.count) columns")
    rows.append(row)
  }

  /// The table for people: control characters in its cells are written out.
  var text: String { lines([header] + rows, widths: widths).joined(separator: "\n") }

  /// How wide the columns are.
  var widths: [Int] {
    header.indices.map { column in
      let least = column < leastWidths.count ? leastWidths[column] : 0
      return rows.reduce(max(least, header[column].count)) { max($0, QuotedText.visible($1[column]).count) }
    }
  }

  /// Rows as lines of columns that wide.
  func lines(_ rows: [[String]], widths: [Int]) -> [String] {
    rows.map { row in
      let cells = row.indices.map { column -> String in
        let cell = QuotedText.visible(row[column])
        let space = String(repeating: " ", count: max(0, widths[column] - cell.count))
        return rightAligned.contains(column) ? space + cell : cell + space
      }
      var line = cells.joined(separator: "  ")
      while line.last == " " { line.removeLast() }
      return line
    }
  }

  /// The table for programs (RFC 4180).
  var csv: String {
    ([header] + rows).map { $0.map(CSV.field).joined(separator: ",") }.joined(separator: "\n")
  }
}
