import ConvCore

/// What reports say of each row's speed: ratios with a word, and where there is none, why.
public struct SpeedTexts: Sendable {
  /// Of one row.
  public struct Text: Sendable, Hashable {
    /// `1.83 (1.80–1.86)` times as fast as the baseline; empty where there is no ratio.
    public var speedup = ""
    /// `faster`, or why there is no ratio: `im2col declined`.
    public var verdict = ""
    /// The same beside the fastest engine.
    public var timeToBest = ""
    public var besideBest = ""
  }

  private let texts: [Text]

  /// Of all rows of a run, or of one item.
  public init(_ rows: [ResultRow]) {
    // Networks have equal layers of equal names: the second row of a key is compared with the baseline's second one.
    func keys(_ rows: [ResultRow]) -> [[String]] {
      var counts: [[String]: Int] = [:]
      return rows.map { row in
        counts[row.itemKey + [row.backend], default: 0] += 1
        return row.itemKey + ["\(counts[row.itemKey + [row.backend]] ?? 0)"]
      }
    }
    let keys = keys(rows)
    var baselines: [[String]: ResultRow] = [:]
    for (key, row) in zip(keys, rows) where row.backend == row.baseline { baselines[key] = row }
    var least: [[String]: Double] = [:]
    for (key, row) in zip(keys, rows) where row.role == .engine && row.medianMilliseconds.isFinite {
      least[key] = min(least[key] ?? .infinity, row.medianMilliseconds)
    }
    texts = zip(keys, rows).map { key, row in
      let isFar = row.medianMilliseconds > EngineChoice.farBehind * (least[key] ?? .infinity)
      return SpeedTexts.text(row, baseline: baselines[key], isFar: isFar)
    }
  }

  /// Of the row at that place.
  public subscript(index: Int) -> Text { texts[index] }

  private static func text(_ row: ResultRow, baseline: ResultRow?, isFar: Bool) -> Text {
    guard row.medianMilliseconds.isFinite else { return Text(verdict: "not timed") }
    var text = Text(
      speedup: RunReport.speedup(row.speedup), timeToBest: RunReport.timeToBest(row.best))
    if let speedup = row.speedup {
      text.verdict = speedup.verdict == .unknown ? unknown(row, isFar) : speedup.verdict.rawValue
    } else {
      text.verdict =
        "\(row.baseline) \(baseline.map(absence) ?? "takes no part")"
    }
    if let best = row.best {
      switch best.verdict {
      case .unknown: text.besideBest = unknown(row, isFar)
      // Two rounds with an interval that spans everything.
      case .indistinguishable where isFar && row.seconds.count < 3: text.besideBest = notWorthTiming
      default: text.besideBest = best.verdict.rawValue
      }
    } else {
      text.besideBest = "no engine timed"
    }
    return text
  }

  /// Why a row has no time.
  static func absence(of row: ResultRow) -> String {
    switch row.verification.verdict {
    case .unsupported: "declined"
    case .failed: "failed"
    case .mistrusted: "is mistrusted"
    case .missingReference: "has no reference"
    case .passed: "has no time"
    }
  }

  /// Of fewer than two common rounds.
  private static func unknown(_ row: ResultRow, _ isFar: Bool) -> String {
    isFar || (row.best?.ratio ?? 0) > EngineChoice.farBehind ? notWorthTiming : tooFewRounds
  }

  /// A verdict in words, where nothing is known of the best.
  static func word(_ speedup: Speedup) -> String {
    speedup.verdict == .unknown ? tooFewRounds : speedup.verdict.rawValue
  }

  /// What is so much slower than the best that it got fewer than two rounds beside it.
  public static let notWorthTiming = "not worth timing"
  /// What was to be timed, but in fewer than two rounds.
  public static let tooFewRounds = "too few rounds"
}

extension TrainingRow {
  /// What reports say of a training row's speed, among the rows of all networks.
  public func speedTexts(among rows: [TrainingRow], baseline: String?) -> SpeedTexts.Text {
    guard !forward.isEmpty else { return SpeedTexts.Text(verdict: "not timed") }
    var text = SpeedTexts.Text(
      speedup: RunReport.speedup(speedup), timeToBest: RunReport.timeToBest(best))
    let unknown =
      (best?.ratio ?? 0) > EngineChoice.farBehind ? SpeedTexts.notWorthTiming : SpeedTexts.tooFewRounds
    if let speedup {
      text.verdict = speedup.verdict == .unknown ? unknown : speedup.verdict.rawValue
    } else {
      let name = baseline ?? "a baseline"
      let own = rows.first { $0.network == network && $0.threads == threads && $0.backend == baseline }
      text.verdict =
        own.map {
          "\(name) \($0.declined.isEmpty ? $0.problem.isEmpty ? "has no time" : "failed" : "declined")"
        }
        ?? "\(name) takes no part"
    }
    if let best {
      text.besideBest = best.verdict == .unknown ? unknown : best.verdict.rawValue
    } else {
      text.besideBest = "no engine timed"
    }
    return text
  }
}

extension RunReport {
  /// The baseline of all rows.
  public var baseline: String? {
    rows.first?.baseline ?? training.first { $0.speedup?.verdict == .baseline }?.backend
      ?? environment.first { $0.key == "baseline" }?.value
  }
}
