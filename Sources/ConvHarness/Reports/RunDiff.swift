import ConvCore
import Foundation

/// Two stored runs, row by row.
public struct RunDiff: Sendable {
  /// What may be said about a row.
  public enum Verdict: String, Sendable, Hashable, CaseIterable {
    /// Slower by more than the threshold, with an interval that excludes it.
    case regressed
    /// Faster by more than the threshold, with an interval that excludes it.
    case improved
    /// Neither is certain.
    case unchanged
    /// It passed its verification in the first run and does not in the second.
    case broken
    /// One of the two has no time.
    case untimed
  }

  /// A row that both runs have.
  public struct Row: Sendable {
    public let before: ResultRow
    public let after: ResultRow
    /// Median time of the second run over that of the first, by machine limits where they are normalised.
    public let ratio: Double
    /// Its 95 % interval.
    public let low: Double
    public let high: Double
    public let verdict: Verdict

    /// Effective bits of both runs, `21.3 → 20.1`, or of both the same; `?` where one does not state them, empty where neither does.
    public var bitsText: String {
      let texts = [before, after].map(\.verification.bitsText)
      if texts[0] == texts[1] { return texts[0] }
      return texts.map { $0.isEmpty ? "?" : $0 }.joined(separator: " → ")
    }

    /// Of which run the deterministic bound decided; empty where of none.
    public var correlatedText: String {
      switch (before.verification.isCorrelated, after.verification.isCorrelated) {
      case (true, true): "correlated"
      case (false, true): "correlated now"
      case (true, false): "no longer correlated"
      case (false, false): ""
      }
    }
  }

  /// A fact in which two runs differ.
  public struct Difference: Sendable, Hashable {
    public let fact: String
    public let before: String?
    public let after: String?
  }

  /// Times of two machines are made comparable by their measured peaks: a time counts in the FLOPs that the machine could
  /// have done in it.
  public let isNormalized: Bool
  /// Fraction beyond which a row counts as regressed or improved.
  public let threshold: Double
  public let rows: [Row]
  /// Facts of the machine, the build and the settings in which the runs differ, in the order of the first one's; nil where one
  /// does not state it.
  public let differences: [Difference]
  /// Rows that only one of the runs has.
  public let onlyBefore: [ResultRow]
  public let onlyAfter: [ResultRow]

  /// Whether times should have been made comparable and cannot be: the peak of one run is that of our own matrix kernel, as runs had it
  /// that did not yet measure chains in registers.
  public let hasTwoKindsOfPeak: Bool

  /// Compares two runs.
  ///
  /// Rows are paired by everything that they are of (suite, problem, name, pass, backend, threads, format, filter state, cache,
  /// workspace limit), equal ones in their order. The samples of the two runs are independent: the interval is that of the
  /// ratio of medians by a block bootstrap of both.
  /// - Parameter normalizes: whether times are taken relative to the measured peaks; nil: where the CPUs differ.
  public init(
    _ before: RunReport, _ after: RunReport, threshold: Double, normalizes: Bool? = nil, seed: UInt64 = 1
  ) {
    func cpu(_ report: RunReport) -> String? { report.environment.first { $0.key == "CPU" }?.value }
    let normalizes = normalizes ?? (cpu(before) != cpu(after))
    hasTwoKindsOfPeak = normalizes && before.isPeakOfChains != after.isPeakOfChains
    isNormalized = normalizes && !hasTwoKindsOfPeak
    differences = RunDiff.differences(before, after)
    self.threshold = threshold
    var waiting: [[String]: [ResultRow]] = [:]
    for row in before.rows { waiting[row.itemKey + [row.backend], default: []].append(row) }
    var rows: [Row] = []
    var new: [ResultRow] = []
    for row in after.rows {
      let key = row.itemKey + [row.backend]
      guard let old = waiting[key]?.first else {
        new.append(row)
        continue
      }
      waiting[key]?.removeFirst()
      let scale = isNormalized ? after.peak(of: row) / before.peak(of: old) : 1
      rows.append(RunDiff.row(old, row, scale: scale, threshold: threshold, seed: seed))
    }
    self.rows = rows
    onlyAfter = new
    var left = waiting.mapValues(\.count)
    // In the first run's order; of equal rows the later ones were left over.
    onlyBefore = before.rows.reversed().filter { row in
      let key = row.itemKey + [row.backend]
      guard let count = left[key], count > 0 else { return false }
      left[key] = count - 1
      return true
    }.reversed()
  }

  private static func differences(_ before: RunReport, _ after: RunReport) -> [Difference] {
    func facts(_ report: RunReport) -> [(key: String, value: String)] {
      var facts = report.environment
      facts.append(("warnings", report.warnings.joined(separator: "; ")))
      facts.append(("huge pages", report.noise?.hugePages ?? ""))
      return facts.filter { !$0.value.isEmpty }
    }
    let (old, new) = (facts(before), facts(after))
    let names = old.map(\.key) + new.map(\.key).filter { name in !old.contains { $0.key == name } }
    return names.compactMap { name in
      let values = [old, new].map { facts in facts.first { $0.key == name }?.value }
      return values[0] == values[1] ? nil : Difference(fact: name, before: values[0], after: values[1])
    }
  }

  private static func row(
    _ old: ResultRow, _ new: ResultRow, scale: Double, threshold: Double, seed: UInt64
  ) -> Row {
    func row(_ ratio: (ratio: Double, low: Double, high: Double), _ verdict: Verdict) -> Row {
      Row(before: old, after: new, ratio: ratio.ratio, low: ratio.low, high: ratio.high, verdict: verdict)
    }
    let nothing = (Double.nan, Double.nan, Double.nan)
    if old.verification.verdict == .passed && new.verification.verdict != .passed {
      return row(nothing, .broken)
    }
    guard !old.seconds.isEmpty, !new.seconds.isEmpty, scale.isFinite, scale > 0 else {
      return row(nothing, .untimed)
    }
    let plain = Statistics.medianRatio(new.seconds, over: old.seconds, seed: seed)
    let ratio = (plain.ratio * scale, plain.low * scale, plain.high * scale)
    return row(ratio, verdict(low: ratio.1, high: ratio.2, threshold: threshold))
  }

  /// What the interval of a ratio says.
  static func verdict(low: Double, high: Double, threshold: Double) -> Verdict {
    if low > 1 + threshold { return .regressed }
    if high < 1 / (1 + threshold) { return .improved }
    return .unchanged
  }

  /// Whether a row regressed or does not pass any more.
  public var hasRegressions: Bool { rows.contains { $0.verdict == .regressed || $0.verdict == .broken } }

  /// Geometric means of the ratios by suite and backend, in order of appearance.
  public var means: [(suite: String, backend: String, rows: Int, ratio: Double)] {
    var order: [[String]] = []
    var logarithms: [[String]: [Double]] = [:]
    for row in rows where row.ratio.isFinite && row.ratio > 0 {
      let key = [row.after.suite, row.after.backend]
      if logarithms[key] == nil { order.append(key) }
      logarithms[key, default: []].append(log(row.ratio))
    }
    return order.map { key in
      let values = logarithms[key] ?? []
      return (key[0], key[1], values.count, exp(values.reduce(0, +) / Double(values.count)))
    }
  }
}

extension RunReport {
  /// FMA peak of the moments in which a row was measured; where it has none, of the run with as many threads.
  func peak(of row: ResultRow) -> Double {
    row.peakGflops.isFinite ? row.peakGflops : peak(threads: row.threads)
  }

  /// Measured FMA peak with that many threads, GFLOP/s; NaN where it was not measured.
  public func peak(threads: Int) -> Double {
    if let limit = limits.first(where: { $0.threads == threads }) { return limit.fmaPeak }
    // Runs from before thread sweeps have one peak, of all their rows.
    return limits.isEmpty && peak > 0 ? peak : .nan
  }
}
