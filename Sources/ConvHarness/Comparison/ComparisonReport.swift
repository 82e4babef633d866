import ConvCore
import Foundation

/// The rows of a comparison as `comparison.csv` and `comparison.md`.
public struct ComparisonReport: Sendable {
  public var environment: [(key: String, value: String)]
  public var command: String
  public var date: String
  public var peer: PeerIdentity
  public var rows: [ComparisonRow] = []
  /// Libraries that run below the CPU's instruction set.
  public var warnings: [String] = []
  /// How quiet the machine was.
  public var noise: NoiseRecord?
  /// Whether it was ended early.
  public var isPartial = false
  /// What ended it early, in words, where nobody did.
  public var ending: String?

  /// A report without rows.
  public init(
    environment: [(key: String, value: String)], command: String, date: String, peer: PeerIdentity
  ) {
    self.environment = environment
    self.command = command
    self.date = date
    self.peer = peer
  }

  /// Whether a verification failed, ours or the peer's.
  public var hasFailures: Bool {
    rows.contains { row in
      [row.verification, row.peerVerification].contains { [.failed, .mistrusted].contains($0.verdict) }
    }
  }

  /// What is known of the peer's training steps; nil where there are none.
  public var trainingNote: String? {
    guard rows.contains(where: { $0.group == .training }) else { return nil }
    return
      "The training steps of \(peer.name) are \(LossAgreement.unverified): it answers with its losses alone, "
      + "which are compared for \(Comparison.comparedSteps) steps, and a step with wrong gradients may be among them."
  }

  /// Names of the files that are written.
  public static let files = ["comparison.csv", "comparison.md"]

  /// Writes `files` whole, or none.
  ///
  /// - Throws: `FileError`.
  public func write(to folder: String) throws {
    try AtomicFolder.write(to: folder) { writer in
      try writer.write("comparison.csv", ComparisonRow.csv(rows))
      try writer.write("comparison.md", markdown)
    }
  }

  /// The mean ratio of one group, thread count and engine.
  public struct Mean: Sendable, Hashable {
    public var group: ComparisonGroup
    public var threads: Int
    /// `best engine` is, per layer and pass, the engine with the largest ratio: chosen after the fact. What chooses by a rule of its own
    /// is none of them: its rows are those that count, and come first.
    public var backend: String
    public var rows: Int
    public var geometricMean, least, greatest: Double
  }

  /// What stands for the best of all engines.
  public static let best = "best engine"

  /// Geometric means of the rows' ratios, by group, threads and engine.
  public var means: [Mean] {
    let timed = rows.filter { $0.ratio?.ratio.isFinite == true }
    var result: [Mean] = []
    for group in ComparisonGroup.allCases {
      for threads in Set(timed.map(\.threads)).sorted() {
        let members = timed.filter { $0.group == group && $0.threads == threads }
        if members.isEmpty { continue }
        for backend in backends {
          add(members.filter { $0.backend == backend }.compactMap(\.ratio?.ratio), backend)
        }
        let layers = Dictionary(grouping: members) {
          [$0.suite, $0.problem, $0.name, $0.pass, $0.format.rawValue, $0.filterState]
        }
        add(
          layers.values.compactMap { $0.filter { $0.role == .engine }.compactMap(\.ratio?.ratio).max() },
          ComparisonReport.best)

        func add(_ ratios: [Double], _ backend: String) {
          guard let least = ratios.min(), let greatest = ratios.max() else { return }
          let mean = exp(ratios.reduce(0) { $0 + log($1) } / Double(ratios.count))
          result.append(
            Mean(
              group: group, threads: threads, backend: backend, rows: ratios.count, geometricMean: mean,
              least: least, greatest: greatest))
        }
      }
    }
    return result
  }

  /// Choosers first, then engines, in order of appearance.
  private var backends: [String] {
    var seen = Set<String>()
    return Competitor.Role.allCases.reversed().flatMap { role in
      rows.filter { $0.role == role && seen.insert($0.backend).inserted }.map(\.backend)
    }
  }

  /// `comparison.md`.
  public var markdown: String { document.source }

  private var document: Markdown {
    var text: Markdown = "# vbench compare, \(date)\n\n"
    var machine = RunReport(environment: [], command: command, date: date, peak: 0)
    (machine.warnings, machine.noise) = (warnings, noise)
    text += machine.libraryWarnings + machine.noiseWarning
    if isPartial {
      let early = ending.map { "Ended early, since \($0)" } ?? "Interrupted"
      text += "**\(early): what follows is what had been measured by then.**\n\n"
    }
    text += Markdown.fenced(command) + "\n| machine | |\n|---|---|\n"
    for (key, value) in environment { text += Markdown.row([key, value]) }
    if let noise, !noise.summary.isEmpty { text += Markdown.row(["noise", noise.summary]) }
    text += "| peer | \(shown("\(peer.name) \(peer.version)")) "
    text += "(\(peer.configurations.map(shown).joined(separator: ", "))) |\n\n"
    text +=
      "A ratio is the peer's time over ours: above 1 ours is faster. It is the median over rounds in which both sides ran "
    text +=
      "in turn, with its 95 % bootstrap interval; of the peer's configurations the one with the least median counts. Both "
    text += "sides were verified on the same operands.\n\n"
    if let trainingNote { text += "**\(trainingNote)**\n\n" }
    text += meansTable + rowsTable + correlated + problems
    return text
  }

  private var meansTable: Markdown {
    let means = means
    if means.isEmpty { return "" }
    let choosers = backends.filter { name in rows.contains { $0.backend == name && $0.role == .chooser } }
      .map(Markdown.code)
    var text: Markdown = "## Geometric means of the ratios\n\n"
    text += "| layers | threads | engine | rows | mean | least | greatest |\n|---|---|---|---|---|---|---|\n"
    for mean in means {
      text += "| \(mean.group.rawValue) | \(mean.threads) | \(code: mean.backend) | \(mean.rows) "
      text += "| **\(RunReport.short(mean.geometricMean))** | \(RunReport.short(mean.least)) "
      text += "| \(RunReport.short(mean.greatest)) |\n"
    }
    text += "\n"
    if means.contains(where: { $0.backend == ComparisonReport.best }) {
      text +=
        "\(code: ComparisonReport.best) takes for each row the engine that was the fastest there, known only afterwards"
      text += choosers.isEmpty ? ".\n\n" : "; "
    }
    if !choosers.isEmpty {
      text +=
        "what counts beside the peer is what \(choosers.joined(separator: ", ")) chose before this run measured anything.\n\n"
    }
    return text
  }

  private var rowsTable: Markdown {
    let timed = rows.filter { $0.ratio != nil }
    if timed.isEmpty { return "No row was timed.\n\n" }
    var text: Markdown =
      "## Rows\n\n| layer | pass | threads | format | engine | ms | \(shown(peer.name)) ms | layout | ratio | of minima | |\n"
    text += "|---|---|---|---|---|---|---|---|---|---|---|\n"
    for row in timed {
      let layer = row.name.isEmpty ? row.problem : "\(row.suite) \(row.name)"
      text += "| \(layer) | \(row.pass)\(row.filterState == "prepared" ? ", prepared" : "") "
      text +=
        "| \(row.threads) | \(row.format.rawValue) | \(code: row.backend) | \(RunReport.milliseconds(row.own)) "
      text +=
        "| \(RunReport.milliseconds(row.peers)) | \(shown(row.peerConfiguration)) | \(RunReport.speedup(row.ratio)) "
      text += "| \(RunReport.short(row.ratioOfMinima)) | \(row.ratio.map(SpeedTexts.word) ?? "") |\n"
    }
    return text + "\n"
  }

  /// What a peer said, no longer than errors may be.
  private func shown(_ text: String) -> String { QuotedText.shortened(text) }

  /// Rows of which the deterministic bound decided, on either side.
  private var correlated: Markdown {
    let counts = [("ours", \ComparisonRow.verification), ("the peer's", \.peerVerification)].map {
      who, side in
      (who: who, count: rows.count { $0[keyPath: side].isCorrelated })
    }.filter { $0.count > 0 }
    if counts.isEmpty { return "" }
    let text = counts.map { "\($0.count) of \($0.who)" }.joined(separator: ", ")
    return "\(RunReport.sentence(Verification.correlatedSentence)) Rows: \(text).\n\n"
  }

  private var problems: Markdown {
    var lines: [Markdown] = []
    for row in rows where row.ratio == nil {
      let layer = row.name.isEmpty ? row.problem : "\(row.suite) \(row.name)"
      for (who, verification) in [(row.backend, row.verification), (peer.name, row.peerVerification)]
      where verification.verdict != .passed {
        let reason = verification.reason.isEmpty ? "" : ", \(shown(verification.reason))"
        let line: Markdown =
          "- \(shown(who)), \(layer) \(row.pass), \(row.threads) threads: \(verification.verdictText)\(reason)"
        if !lines.contains(line) { lines.append(line) }
      }
    }
    return lines.isEmpty ? "" : "## Rows without a ratio\n\n" + lines.joined(separator: "\n") + "\n"
  }
}
