import ConvCore

/// What has changed from one run to the next, as far as that is certain.
///
/// A row is faster or slower where its whole interval lies beyond the threshold, as measured and relative to the FMA peaks that both
/// runs measured beside it: where the machine as a whole has become slower, a row that computes keeps its relative time, and one
/// that waits for memory its absolute one.
public struct RunChanges: Sendable {
  /// The threshold of `vbench diff`.
  public static let threshold = 0.05
  /// How far the machine's speed may be off before it is mentioned.
  private static let speedTolerance = 0.05

  private let name: String
  private let changes: [RowChange]
  /// Rows of the new run.
  private let total: Int

  /// Compares a run with an earlier one.
  public init(since earlier: EarlierRun, _ report: RunReport) {
    name = earlier.name
    let diff = RunDiff(earlier.report, report, threshold: RunChanges.threshold, normalizes: false)
    let hasOneKindOfPeak = earlier.report.isPeakOfChains == report.isPeakOfChains
    let rows = diff.rows.map { row in
      RowChange(
        row, label: RunChanges.label(row.after, in: report),
        peakRatio: hasOneKindOfPeak ? report.peak(of: row.after) / earlier.report.peak(of: row.before) : .nan)
    }
    changes = rows + RunChanges.training(earlier.report, report, hasOneKindOfPeak)
    total = report.rows.count + report.training.count
  }

  private static func training(
    _ before: RunReport, _ after: RunReport, _ hasOneKindOfPeak: Bool
  ) -> [RowChange] {
    after.training.compactMap { row in
      guard let old = before.training.first(where: { $0.key == row.key }) else { return nil }
      let peakRatio =
        hasOneKindOfPeak ? after.peak(threads: row.threads) / before.peak(threads: row.threads) : .nan
      return RowChange(old, row, label: "\(row.backend) \(row.network) training step", peakRatio: peakRatio)
    }
  }

  private static func label(_ row: ResultRow, in report: RunReport) -> String {
    let layer = row.name.isEmpty ? row.problem : row.name
    return "\(row.backend) \(layer) \(([row.pass.rawValue] + report.conditions(row)).joined(separator: ", "))"
  }

  // MARK: Text

  /// One line: `since Reports/2026-11-30-amd-epyc-avx512: 3 rows faster, 1 slower by more than the noise (winograd res2 forward 1.18 ×
  /// the time (1.11–1.25)), 41 unchanged`. A row that declined in both runs is not counted.
  public var sentence: String {
    // What passes now and did not counts as that alone, whatever its times were.
    func rows(_ verdict: RunDiff.Verdict) -> [RowChange] {
      changes.filter { $0.verdict == verdict && !$0.isMended }
    }
    let (slower, faster, broken) = (rows(.regressed), rows(.improved), rows(.broken))
    let mended = changes.filter(\.isMended)
    var words: [String] = []
    func add(_ rows: [RowChange], _ word: String, _ example: String?) {
      guard !rows.isEmpty else { return }
      let noun = words.isEmpty ? " \(rows.count == 1 ? "row" : "rows")" : ""
      let most = rows.count > 1 ? "most " : ""
      words.append("\(rows.count)\(noun) \(word)" + (example.map { " (\(most)\($0))" } ?? ""))
    }
    let worst = slower.max { $0.ratio < $1.ratio }.map(RunChanges.example)
    let best = faster.min { $0.ratio < $1.ratio }.map(RunChanges.example)
    add(faster, slower.isEmpty ? "faster by more than the noise" : "faster", slower.isEmpty ? best : nil)
    add(slower, "slower by more than the noise", worst)
    if let first = broken.first {
      let rest = broken.count > 1 ? " and \(broken.count - 1) more" : ""
      add(broken, "not passing any more", nil)
      words[words.count - 1] += " (\(first.label)\(rest))"
    }
    add(mended, "passing now", nil)
    let untimed = rows(.untimed).filter { !$0.hasDeclined }
    let timed = rows(.unchanged)
    add(timed, words.isEmpty ? "unchanged within the noise" : "unchanged", nil)
    add(untimed.filter(\.hasSameVerdict), "without times, verdicts as before", nil)
    add(untimed.filter { !$0.hasSameVerdict }, "with another verdict", nil)
    let scope = changes.count < total ? " (\(changes.count) of \(total) rows)" : ""
    let text = words.isEmpty ? "no engine takes part in both" : words.joined(separator: ", ")
    return QuotedText.visible("since \(name)\(scope): \(text)\(speed)\(suspicion)")
  }

  private static func example(_ change: RowChange) -> String {
    "\(change.label) \(RunReport.short(change.ratio)) × the time "
      + "(\(RunReport.short(change.low))–\(RunReport.short(change.high)))"
  }

  /// The machine's speed, where it is another one.
  private var speed: String {
    let ratio = Statistics.median(changes.filter { $0.ratio.isFinite }.map(\.peakRatio).filter(\.isFinite))
    let limit = 1 + RunChanges.speedTolerance
    guard ratio.isFinite, ratio > limit || ratio < 1 / limit else { return "" }
    return
      "; the machine's FMA peak is \(RunReport.short(ratio)) × what it was: rows count that changed relative to it too"
  }

  /// Whether it looks like the machine, since one engine after the other has changed in the same direction.
  private var suspicion: String {
    let timed = changes.filter { $0.ratio.isFinite }
    for verdict in [RunDiff.Verdict.regressed, .improved] {
      let moved = timed.filter { $0.verdict == verdict }
      let isOfSeveral = Set(moved.map(\.backend)).count > 1
      if moved.count >= 4, 2 * moved.count > timed.count, isOfSeveral {
        return "; so many rows of several engines: look at the machine first"
      }
    }
    return ""
  }
}

/// A row of two runs, and what is certain of it.
private struct RowChange: Sendable {
  /// As in `winograd res2 forward`.
  let label: String
  let backend: String
  /// The new time over the old one with its interval; NaN where one of them is missing.
  let ratio, low, high: Double
  let verdict: RunDiff.Verdict
  /// The machine's new peak over the old one; NaN where one of them is missing.
  let peakRatio: Double
  /// Whether it passes now and did not.
  let isMended: Bool
  /// Whether the engine declined both times.
  let hasDeclined: Bool
  let hasSameVerdict: Bool

  init(_ row: RunDiff.Row, label: String, peakRatio: Double) {
    self.label = label
    backend = row.after.backend
    (ratio, low, high) = (row.ratio, row.low, row.high)
    self.peakRatio = peakRatio
    verdict = row.ratio.isFinite ? RowChange.verdict(row.low, row.high, peakRatio) : row.verdict
    let verdicts = [row.before, row.after].map(\.verification.verdict)
    isMended = verdicts[0] != .passed && verdicts[1] == .passed
    hasDeclined = verdicts == [.unsupported, .unsupported]
    hasSameVerdict = verdicts[0] == verdicts[1]
  }

  init(_ before: TrainingRow, _ after: TrainingRow, label: String, peakRatio: Double) {
    self.label = label
    backend = after.backend
    self.peakRatio = peakRatio
    let wasRight = RowChange.isRight(before)
    let isRight = RowChange.isRight(after)
    isMended = !wasRight && isRight
    hasDeclined = !before.declined.isEmpty && !after.declined.isEmpty
    hasSameVerdict = wasRight == isRight
    if before.isTimed && after.isTimed {
      (ratio, low, high) = Statistics.medianRatio(after.stepSeconds, over: before.stepSeconds, seed: 1)
      verdict = RowChange.verdict(low, high, peakRatio)
    } else {
      (ratio, low, high) = (.nan, .nan, .nan)
      verdict = wasRight && !isRight ? .broken : .untimed
    }
  }

  private static func isRight(_ row: TrainingRow) -> Bool {
    row.declined.isEmpty && row.problem.isEmpty && (row.trajectoryError ?? 0) <= 1
  }

  /// What is certain as measured and relative to the peaks, where there are any.
  private static func verdict(_ low: Double, _ high: Double, _ peakRatio: Double) -> RunDiff.Verdict {
    let scales = peakRatio.isFinite && peakRatio > 0 ? [1, peakRatio] : [1]
    let verdicts = Set(
      scales.map { RunDiff.verdict(low: low * $0, high: high * $0, threshold: RunChanges.threshold) })
    return verdicts.count == 1 ? verdicts.first ?? .unchanged : .unchanged
  }
}
