import ArgumentParser
import ConvCore
import ConvHarness
import Foundation

/// `vbench diff`: two stored runs.
struct DiffCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "diff",
    abstract: "Compares two stored runs row by row; exit code 2 if a row became slower.",
    discussion: """
      Rows are paired by what they are of. A ratio is the second run's median time over the first one's, in brackets its
      95 % interval by a block bootstrap of both runs' samples; a row regressed where the whole interval lies beyond the
      threshold, or where it passed and does not pass any more. Every fact of machine, build and settings in which the
      runs differ is named. Times of runs on different CPUs are taken relative to
      the FMA peaks that the runs measured.

      EXAMPLES
        vbench diff Reports/before Reports/after
        vbench diff Reports/before Reports/after --threshold 10%
        vbench diff here there --normalize peak
      """)

  /// When times are taken relative to the measured peaks.
  enum Normalization: String, ExpressibleByArgument, CaseIterable {
    /// Where the CPUs differ.
    case auto
    case peak, none
  }

  @Argument(help: ArgumentHelp("Folder of the first run.", valueName: "dir"), completion: .directory)
  var before: String

  @Argument(help: ArgumentHelp("Folder of the second run.", valueName: "dir"), completion: .directory)
  var after: String

  @Option(
    help: ArgumentHelp("What a row may become slower by: \(Percentage.rule).", valueName: "percentage"))
  var threshold = "5%"

  @Option(
    help: ArgumentHelp(
      "Whether times are relative to the measured peaks: auto (where the CPUs differ), peak, none.",
      valueName: "name"))
  var normalize = Normalization.auto

  func run() throws {
    let threshold = try Percentage.parse(threshold, option: "threshold")
    let (first, second) = (try RunReport(reading: before), try RunReport(reading: after))
    let diff = RunDiff(
      first, second, threshold: threshold, normalizes: normalize == .auto ? nil : normalize == .peak)
    guard !diff.rows.isEmpty else {
      throw UsageError(
        "\(before) and \(after) have no row in common: \(first.rows.count) and \(second.rows.count) rows")
    }
    StandardOutput.write(DiffCommand.text(diff, first, second))
    if diff.hasRegressions { throw ExitCode(ExitStatus.regression.rawValue) }
  }

  /// Whether the two runs agree on the fastest engines.
  private static func winners(_ agreement: WinnerAgreement) -> String {
    if agreement.items == 0 { return "" }
    var text =
      "fastest engine: the same in \(agreement.same) of \(agreement.items) items, another one within the intervals in "
      + "\(agreement.withinIntervals), contradicted in \(agreement.contradictions.count)\n"
    for item in agreement.contradictions {
      text += "  \(item.second.problem) \(item.second.pass.rawValue): "
      text += QuotedText.visible("\(item.first.backend), then \(item.second.backend)") + "\n"
    }
    return text
  }

  private static func text(_ diff: RunDiff, _ first: RunReport, _ second: RunReport) -> String {
    // What stored runs say is anybody's.
    var text = QuotedText.visible("first:  \(first.date), \(first.command)") + "\n"
    text += QuotedText.visible("second: \(second.date), \(second.command)") + "\n"
    if diff.isNormalized {
      text += "times are relative to the FMA peaks: \(RunReport.short(first.peak)) and "
      text += "\(RunReport.short(second.peak)) GFLOP/s\n"
    }
    if diff.hasTwoKindsOfPeak {
      text +=
        "note: times are as measured: the peak of one run is that of our own matrix kernel, of the other that of "
      text += "chains in registers\n"
    }
    for difference in diff.differences {
      let values = [difference.before, difference.after].map { $0 ?? "not stated" }
      text += QuotedText.visible("differs: \(difference.fact): \(values.joined(separator: " | "))") + "\n"
    }
    for (name, report) in [("first", first), ("second", second)] {
      if let reasons = report.noise?.reasons, !reasons.isEmpty {
        let said = QuotedText.visible(reasons.joined(separator: "; "))
        text += "note: the \(name) run's machine was noisy: \(said)\n"
      }
    }
    var table = TextTable(
      ["layer", "pass", "backend", "thr.", "first ms", "second ms", "second / first", "bits", ""],
      rightAligned: [3, 4, 5, 6, 7])
    for row in diff.rows {
      let after = row.after
      var pass = after.pass.rawValue
      if after.format != RunItem.standardFormat { pass += ", \(after.format.rawValue)" }
      if after.filterState != .fresh { pass += ", \(after.filterState.rawValue)" }
      if after.cache != .warm { pass += ", \(after.cache.rawValue)" }
      let ratio =
        row.ratio.isFinite
        ? "\(RunReport.short(row.ratio)) (\(RunReport.short(row.low))–\(RunReport.short(row.high)))" : ""
      table.add([
        after.name.isEmpty ? after.problem : "\(after.suite) \(after.name)", pass, after.backend,
        "\(after.threads)", RunReport.short(row.before.medianMilliseconds),
        RunReport.short(after.medianMilliseconds), ratio, row.bitsText,
        [row.verdict.rawValue, row.correlatedText].filter { !$0.isEmpty }.joined(separator: ", "),
      ])
    }
    text += "\n" + table.text + "\n\n"
    if !diff.means.isEmpty {
      var means = TextTable(
        ["suite", "backend", "rows", "geometric mean of second / first"], rightAligned: [2, 3])
      for mean in diff.means {
        means.add([mean.suite, mean.backend, "\(mean.rows)", RunReport.short(mean.ratio)])
      }
      text += means.text + "\n\n"
    }
    if diff.rows.contains(where: { !$0.correlatedText.isEmpty }) {
      text += Verification.correlatedSentence + "\n"
    }
    for (name, rows) in [("first", diff.onlyBefore), ("second", diff.onlyAfter)] where !rows.isEmpty {
      text += "\(rows.count) rows are in the \(name) run only, the first of them \(rows[0].problem) "
      text +=
        "\(rows[0].pass.rawValue) on \(QuotedText.visible(rows[0].backend)) with \(rows[0].threads) threads\n"
    }
    text += winners(WinnerAgreement(first, second))
    let counts = RunDiff.Verdict.allCases.map { verdict in
      "\(diff.rows.count { $0.verdict == verdict }) \(verdict.rawValue)"
    }
    return text + "\(diff.rows.count) rows: \(counts.joined(separator: ", ")); threshold "
      + String(format: "%.3g %%", diff.threshold * 100)
  }
}
