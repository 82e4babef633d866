import Foundation

/// What is done and how long the rest will take, on one line of a terminal; elsewhere a line each half minute.
struct Progress {
  private let total: Double
  private let count: Int
  private var done = 0.0, finished = 0
  private let start = ContinuousClock.now
  private var shown = ContinuousClock.now
  private let isTerminal = isatty(STDOUT_FILENO) != 0

  init(_ weights: [Double]) {
    total = weights.reduce(0, +)
    count = weights.count
  }

  mutating func advance(_ weight: Double, label: String) {
    done += weight
    finished += 1
    let now = ContinuousClock.now
    guard now - shown > (isTerminal ? .milliseconds(200) : .seconds(30)) else { return }
    shown = now
    let elapsed = now - start
    let left = elapsed / .seconds(1) * (total - done) / done
    let text = "\(finished) of \(count) rows, about \(Int(left / 60)) min \(Int(left) % 60) s left: \(label)"
    say(isTerminal ? "\u{1B}[2K\r\(text)" : text + "\n")
  }

  /// A line of its own.
  func tell(_ text: String) { say(isTerminal ? "\u{1B}[2K\r\(text)\n" : text + "\n") }

  func end() { if isTerminal && finished > 0 { say("\n") } }
}

/// Writes at once, whatever standard output is.
func say(_ text: String) { FileHandle.standardOutput.write(Data(text.utf8)) }
