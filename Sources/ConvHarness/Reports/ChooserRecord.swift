import Foundation

/// How what a chooser takes compares with the best engine, item by item.
public struct ChooserRecord: Sendable {
  /// A plan that was chosen, and how often.
  public struct Choice: Sendable, Hashable {
    public let plan: String
    public let count: Int
  }

  /// Label of the chooser.
  public let chooser: String
  /// Items in which it and an engine have a time.
  public let items: Int
  /// Items in which it takes at most 2 % and at most 10 % longer than the best engine. One with the best engine's very plan counts as
  /// equal, whatever was measured.
  public let within2Percent, within10Percent: Int
  /// Of the best engine's time over its own.
  public let geometricMean: Double
  /// What it took where it takes more than 10 % longer, most often first.
  public let misses: [Choice]

  /// A record from rows that have been compared with the best engine; nil where there are none of this chooser.
  init?(_ chooser: String, of rows: [ResultRow]) {
    // Time over that of the best engine.
    let ratios = rows.filter { $0.backend == chooser && $0.role == .chooser }.compactMap { row in
      row.best.flatMap { best -> (row: ResultRow, ratio: Double)? in
        let ratio = best.verdict == .samePlan ? 1 : best.ratio
        return ratio.isFinite && ratio > 0 ? (row, ratio) : nil
      }
    }
    if ratios.isEmpty { return nil }
    self.chooser = chooser
    items = ratios.count
    within2Percent = ratios.count { $0.ratio <= 1.02 }
    within10Percent = ratios.count { $0.ratio <= 1.1 }
    geometricMean = exp(-ratios.reduce(0) { $0 + log($1.ratio) } / Double(ratios.count))
    let plans = ratios.filter { $0.ratio > 1.1 }.map {
      $0.row.variant.isEmpty ? $0.row.executedBy : $0.row.variant
    }
    var seen = Set<String>()
    misses = plans.filter { seen.insert($0).inserted }
      .map { plan in Choice(plan: plan, count: plans.count { $0 == plan }) }
      .sorted { $0.count > $1.count }
  }

  /// `auto is within 2 % of the best engine in 20 of 25 items, within 10 % in 23; geometric mean of the best's time over
  /// its own 0.985; where it missed it took fft[tile=8x8] (2)`.
  public var sentence: String {
    var text =
      "\(chooser) is within 2 % of the best engine in \(within2Percent) of \(items) \(items == 1 ? "item" : "items"), "
      + "within 10 % in \(within10Percent); geometric mean of the best's time over its own "
      + RunReport.short(geometricMean)
    if !misses.isEmpty {
      // The two that it takes most often tell enough.
      let taken = misses.prefix(2).map { "\($0.plan) (\($0.count))" }
      text +=
        "; where it missed it took \(taken.joined(separator: ", "))\(misses.count > 2 ? " and others" : "")"
    }
    return text
  }
}

extension RunReport {
  /// Labels of what chooses among the engines of the layers, in order of appearance.
  public var choosers: [String] {
    var seen = Set<String>()
    return rows.filter { $0.role == .chooser && seen.insert($0.backend).inserted }.map(\.backend)
  }

  /// How each chooser did on the layers; none for those that had no engine beside them.
  public var chooserRecords: [ChooserRecord] { choosers.compactMap { ChooserRecord($0, of: rows) } }

  /// Sentences about the choosers, of layers and then of training steps.
  public var chooserSentences: [String] { chooserRecords.map(\.sentence) + trainingChooserSentences }

  /// What is to be known about choosers before the tables.
  var chooserNote: Markdown {
    guard (rows.contains { $0.role == .chooser }) || (training.contains { $0.role == .chooser }) else {
      return ""
    }
    let sentences = chooserSentences.map { "- \($0).\n" as Markdown }.joined()
    return
      "What chooses among the engines stands beside them and is never the best itself; \(code: BestComparison.Verdict.samePlan.rawValue) "
      + "says that it took the very plan of the best engine.\n\n"
      + (sentences.isEmpty ? "" : sentences + "\n")
  }
}
