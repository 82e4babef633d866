import ConvCore
import ConvHarness
import Foundation

/// What people see: results on standard output, everything else on standard error.
enum Terminal {
  /// A line on standard error; what a terminal would obey in it, newlines too, is written out.
  static func warn(_ line: String) { StandardError.write(QuotedText.visible(line) + "\n") }

  /// Several lines on standard error.
  static func warn(lines: String) { StandardError.write(QuotedText.visible(lines: lines) + "\n") }

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
  static var width: Int { columns(STDERR_FILENO) ?? 80 }

  /// Gives the argument parser a width that it can wrap help texts to: it ends where fewer columns are left than it indents by.
  static func widenHelp() {
    let least = 40
    let stated = ProcessInfo.processInfo.environment["COLUMNS"].flatMap(Int.init) ?? columns(STDOUT_FILENO)
    if let stated, stated < least { setenv("COLUMNS", "\(least)", 1) }
  }

  /// Columns of the terminal that standard output is; nil where it is none.
  static var outputWidth: Int? { isatty(STDOUT_FILENO) == 0 ? nil : columns(STDOUT_FILENO) ?? 80 }

  /// A line broken between words where a terminal would break it anywhere; what goes on is indented.
  static func wrapped(_ line: String, width: Int?, indent: Int) -> String {
    guard let width, width > 2 * indent, line.count > width else { return line }
    let margin = line.prefix { $0 == " " }
    var lines: [String] = []
    var current = String(margin)
    for (index, word) in line.dropFirst(margin.count).split(separator: " ").enumerated() {
      if index > 0 && current.count + 1 + word.count > width {
        lines.append(current)
        current = String(repeating: " ", count: indent) + word
      } else {
        current += (index > 0 ? " " : "") + word
      }
    }
    return (lines + [current]).joined(separator: "\n")
  }

  private static func columns(_ descriptor: Int32) -> Int? {
    var size = winsize()
    guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return nil }
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
  /// What is known of steps that differ.
  private var forecast: StepForecast?

  /// A bar of `total` steps.
  init(total: Int, skipped: Int = 0) {
    self.total = max(1, total)
    self.skipped = skipped
    interval = interactive ? .milliseconds(100) : .seconds(5)
  }

  /// A bar of steps that are predicted to cost so much, in any unit: the time left is told in proportion to that.
  init(costs: [Double]) {
    self.init(total: costs.count)
    forecast = StepForecast(costs)
  }

  /// Shows that `done` steps are done; `text` says how things are.
  ///
  /// - Parameter secondsLeft: how long it goes on, NaN where nothing is known; nil: in proportion to the steps, where these are
  ///   alike.
  mutating func update(_ done: Int, secondsLeft: Double? = nil, _ text: @autoclosure () -> String) {
    let now = ContinuousClock.now
    var secondsLeft = secondsLeft
    if secondsLeft == nil, var forecast {
      secondsLeft = forecast.secondsLeft(done: done, elapsed: (now - start) / .seconds(1))
      self.forecast = forecast
    }
    if let lastDrawn, now - lastDrawn < interval, done < total { return }
    // A plain line for the very first step would say nothing.
    defer { lastDrawn = now }
    let left =
      secondsLeft.map(TimeLeft.text(seconds:))
      ?? TimeLeft.text(
        elapsed: Double((now - start).components.seconds), done: done - skipped, left: total - done)
    if interactive {
      let (bar, label) = ProgressBar.parts(
        done: done, total: total, label: "\(done)/\(total) \(left)\(text())", width: Terminal.width)
      StandardError.write("\r\u{1B}[2K" + (color && !bar.isEmpty ? "\u{1B}[36m\(bar)\u{1B}[0m" : bar) + label)
    } else if lastDrawn != nil || done == total {
      Terminal.warn("\(done)/\(total) \(left)\(text())")
    }
  }

  /// The bar and what stands behind it: together fewer than `width` columns, since a terminal may go to the next line behind its
  /// last one. Where there is no room for both, the text stays.
  static func parts(done: Int, total: Int, label: String, width: Int) -> (bar: String, label: String) {
    let label = QuotedText.visible(label)
    let columns = max(0, width - 1)
    let least = 8
    // A bar takes what the text leaves, and from a long text no more than a third of the line.
    let room = min(32, max(columns - label.count - 1, min(least, columns / 3)))
    guard room >= least else { return ("", String(label.prefix(columns))) }
    let filled = max(0, min(room, Int(Double(room) * Double(done) / Double(max(1, total)))))
    let bar = String(repeating: "█", count: filled) + String(repeating: "░", count: room - filled)
    return (bar, " " + label.prefix(columns - room - 1))
  }

  /// Takes the bar away.
  func clear() {
    if interactive { StandardError.write("\r\u{1B}[2K") }
  }
}

/// How long work goes on, for people.
enum TimeLeft {
  /// `1 min 20 s left, `; empty while nothing can be said.
  static func text(elapsed: Double, done: Int, left: Int) -> String {
    guard done > 0, left > 0, elapsed >= 1 else { return "" }
    return text(seconds: elapsed * Double(left) / Double(done))
  }

  /// The same of seconds that are known; empty for NaN.
  static func text(seconds: Double) -> String {
    guard seconds.isFinite else { return "" }
    let seconds = Int(seconds.rounded())
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

  /// The table for programs (`CSV`), on a line each: what a terminal would obey is written out here too.
  var csv: String {
    let lines = ([header] + rows).map { row in row.map { CSV.field(QuotedText.visible($0)) } }
    return lines.map { $0.joined(separator: ",") }.joined(separator: "\n")
  }
}
