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
  static var width: Int { columns(of: STDERR_FILENO) ?? 80 }

  /// Columns of the terminal that standard output is; nil where it is none.
  static var outputWidth: Int? { isatty(STDOUT_FILENO) == 0 ? nil : columns(of: STDOUT_FILENO) ?? 80 }

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

  private static func columns(of descriptor: Int32) -> Int? {
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

  /// The table for programs (RFC 4180).
  var csv: String {
    ([header] + rows).map { $0.map(CSV.field).joined(separator: ",") }.joined(separator: "\n")
  }
}
