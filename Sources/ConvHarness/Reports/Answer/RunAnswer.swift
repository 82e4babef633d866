import ConvCore

/// What a run says first: which engine to take, how much faster it is than the baseline, how wrong, with how much memory.
///
/// One sentence for each suite, network or single layer under each condition, for all passes where one engine is the fastest of
/// each, else pass by pass; then one for each network's training step. The console, `report.md` and `report.html` write this one value.
public struct RunAnswer: Sendable {
  /// What to take.
  public private(set) var sentences: [AnswerSentence] = []
  /// What has to be known beside that: what is left out and why.
  public private(set) var remarks: [AnswerSentence] = []
  /// Whether the run was not whole, which the heads of reports say.
  private let isPartial: Bool

  /// Name of the suite of problems that were given one by one: each is a layer of its own.
  public static let loose = "command line"

  /// The answer of a report.
  public init(_ report: RunReport) {
    isPartial = report.isPartial
    for group in RunAnswer.groups(report) { sentences += group.sentences }
    sentences += RunAnswer.training(report)
    if !report.rows.isEmpty {
      if !report.hasTimes {
        remarks.append("No times: a debug build verifies, but refuses to time.")
      } else if !report.rows.contains(where: { $0.medianMilliseconds.isFinite }) {
        remarks.append(
          report.rows.contains { $0.verification.verdict == .passed }
            ? "No engine has a time." : "No engine has a time: none passed its verification.")
      }
    } else if report.training.isEmpty {
      remarks.append("Nothing was run.")
    }
    let leftOut = RunAnswer.leftOut(report)
    if !leftOut.isEmpty { remarks.append("Not considered where it did not pass: \(leftOut).") }
  }

  /// Lines for a terminal: at most so many sentences, and how many there are besides.
  public func lines(most: Int = .max) -> [String] {
    var lines = sentences.prefix(most).map(\.text)
    if sentences.count > most { lines.append("and \(sentences.count - most) more, which are in the report") }
    if isPartial { lines.append("The run was interrupted: this is of what had been measured by then.") }
    return lines + remarks.map(\.text)
  }

  /// Who did not pass, and in how many rows.
  private static func leftOut(_ report: RunReport) -> AnswerSentence {
    var items: [AnswerSentence] = []
    var seen = Set<String>()
    for engine in report.rows.map(\.backend) where seen.insert(engine).inserted {
      let own = report.rows.filter { $0.backend == engine }
      let counts = [Verdict.failed, .mistrusted, .missingReference].compactMap { verdict -> String? in
        let count = own.count { $0.verification.verdict == verdict }
        return count == 0
          ? nil : "\(verdict.rawValue) in \(count) of \(ReportNumbers.count(own.count, "row"))"
      }
      if !counts.isEmpty { items.append("\(engine: engine) (\(counts.joined(separator: ", ")))") }
    }
    for row in report.training where !row.isTimed && row.declined.isEmpty {
      let isWrong = !row.problem.isEmpty || (row.trajectoryError ?? 0) > 1
      if isWrong { items.append("\(engine: row.backend) (failed in training \(row.network))") }
    }
    return .list(items)
  }

  // MARK: Layers

  /// Rows that are added up: of one suite under one condition, or of one layer.
  private struct Group {
    var name: String
    var conditions: [String]
    var rows: [ResultRow] = []
    let baseline: String

    var sentences: [AnswerSentence] {
      let items = ItemRows.all(rows)
      let passes = ConvPass.allCases.filter { pass in items.contains { $0.rows.first?.pass == pass } }
      let choices = passes.map { pass in (pass, EngineChoice(items.filter { $0.rows.first?.pass == pass })) }
      if passes.count > 1, let first = choices.first?.1, !first.winners.isEmpty {
        let all = EngineChoice(items)
        let isOne = (choices.map(\.1) + [all]).allSatisfy {
          Set($0.winners) == Set(first.winners) && $0.isUncertain == first.isUncertain
        }
        let words =
          passes.count == ConvPass.allCases.count
          ? "all passes" : passes.map(\.rawValue).joined(separator: " and ")
        if isOne { return [sentence(all, words)] }
      }
      return choices.compactMap { pass, choice in
        let sentence = sentence(choice, pass.rawValue)
        return sentence.isEmpty ? nil : sentence
      }
    }

    private func sentence(_ choice: EngineChoice, _ pass: String) -> AnswerSentence {
      let layers = Set(choice.items.map { [$0.rows[0].name, $0.rows[0].problem] })
      var head = name
      if let only = layers.first, layers.count == 1 {
        let title = only[0].isEmpty ? only[1] : only[0]
        head = name == RunAnswer.loose || name == title ? title : "\(name) \(title)"
      } else {
        head += " (\(layers.count) layers)"
      }
      let subject = ([head, pass] + conditions).joined(separator: ", ")
      let text = text(choice, layers: layers.count)
      return text.isEmpty ? "" : "\(subject): \(text)"
    }

    private func text(_ choice: EngineChoice, layers: Int) -> AnswerSentence {
      guard let first = choice.engines.first else {
        let picks = choice.totals.picks
        guard !picks.isEmpty else {
          let choosers = choice.totals.choosers.filter { $0.milliseconds > 0 }
          if choosers.isEmpty { return "" }
          let names = AnswerSentence.list(choosers.map { "\(engine: $0.name)" })
          return "no engine has a time beside \(names), so that the fastest is not known"
        }
        return
          "no engine has a time of everything; the fastest is \(list(picks)) of \(ReportNumbers.count(choice.items.count, "item"))"
      }
      let rivals = choice.totals.engines.count { $0.milliseconds > 0 }
      let time = ReportNumbers.duration(milliseconds: first.milliseconds)
      var text: AnswerSentence
      if rivals == 1 {
        text = "\(engine: first.name), the only engine with a time, takes \(time)"
        // What nobody competes with is no advice.
      } else {
        text = "take \(winners(choice)): \(comparison(choice, time))"
      }
      return text + layerByLayer(choice) + RunAnswer.figures(choice)
    }

    /// `a`, `a or b (indistinguishable)`.
    private func winners(_ choice: EngineChoice) -> AnswerSentence {
      let names = choice.winners.map { name -> AnswerSentence in
        name == baseline ? "\(engine: name) (the baseline)" : "\(engine: name)"
      }
      return RunAnswer.winners(names, isUncertain: choice.isUncertain)
    }

    /// How fast the winners are, beside the baseline, or where it is the fastest or lacks a time beside the next engine.
    private func comparison(_ choice: EngineChoice, _ time: String) -> AnswerSentence {
      let first = choice.winners[0]
      if choice.engines.contains(where: { $0.name == baseline }), first != baseline {
        let others = choice.winners.filter { $0 != baseline }
        let ratios = others.map { choice.ratio(of: baseline, over: $0) }
        return "\(RunAnswer.text(ratios)) as fast as \(engine: baseline), \(time)"
      }
      var text: AnswerSentence = "\(time)"
      if let next = choice.engines.first(where: { !choice.winners.contains($0.name) }) {
        let ratios = [choice.ratio(of: next.name, over: first)]
        text += "; the next, \(engine: next.name), takes \(RunAnswer.text(ratios)) as long"
      }
      if first != baseline { text += "; \(engine: baseline), the baseline, \(absence(choice))" }
      return text
    }

    /// Why the baseline has no total.
    private func absence(_ choice: EngineChoice) -> String {
      let own = choice.items.flatMap(\.rows).filter { $0.backend == baseline }
      if own.isEmpty { return "takes no part" }
      let missing = own.filter { !$0.medianMilliseconds.isFinite }
      let words = SpeedTexts.absence(of: missing.first ?? own[0])
      return choice.items.count == 1 ? words : "\(words) in \(missing.count) of \(own.count)"
    }

    /// Where the best engine of each layer takes clearly less than the best engine of all.
    private func layerByLayer(_ choice: EngineChoice) -> AnswerSentence {
      guard choice.items.count > 1, let first = choice.engines.first, let best = choice.totals.best.total,
        first.milliseconds > 1.05 * best
      else { return "" }
      let time = ReportNumbers.duration(milliseconds: best)
      return " (\(time) with the fastest of each: \(list(choice.totals.picks)))"
    }

    private func list(_ picks: [(engine: String, count: Int, clear: Int)]) -> AnswerSentence {
      .list(picks.map { "\(engine: $0.engine) in \($0.count)" })
    }
  }

  private static func groups(_ report: RunReport) -> [Group] {
    var order: [[String]] = []
    var groups: [[String]: Group] = [:]
    for row in report.rows {
      let conditions = report.conditions(row)
      var key = [row.suite, "\(row.threads)", "\(row.workspaceLimit)"] + conditions
      if row.suite == loose { key += [row.problem, row.name] }
      if groups[key] == nil {
        order.append(key)
        groups[key] = Group(name: row.suite, conditions: conditions, baseline: row.baseline)
      }
      groups[key]?.rows.append(row)
    }
    return order.compactMap { groups[$0] }
  }

  // MARK: Figures

  private static func winners(_ names: [AnswerSentence], isUncertain: Bool) -> AnswerSentence {
    let list = AnswerSentence.list(names, last: "or")
    if isUncertain { return "\(list) (too few rounds to be certain)" }
    return names.count > 1 ? "\(list) (indistinguishable)" : list
  }

  /// `2.91 × (2.80–3.02)`: the first ratio, with the bounds of all.
  private static func text(_ ratios: [EngineChoice.Ratio]) -> String {
    guard let first = ratios.first else { return "" }
    guard ratios.allSatisfy(\.isKnown) else { return "about \(RunReport.short(first.value)) ×" }
    let (low, high) = (ratios.map(\.low).min() ?? .nan, ratios.map(\.high).max() ?? .nan)
    // As an interval of two rounds is, see `RunReport.ratio`.
    guard low > 0, high <= 1000 * low else { return "about \(RunReport.short(first.value)) ×" }
    return "\(RunReport.short(first.value)) × (\(RunReport.short(low))–\(RunReport.short(high)))"
  }

  /// How wrong the winners are and what memory they ask for, the largest of all their rows.
  private static func figures(_ choice: EngineChoice) -> AnswerSentence {
    let rows = choice.winningRows
    var text = ""
    if let error = rows.map(\.verification.errorMax).filter(\.isFinite).max() {
      let ratio = rows.map(\.verification.errorRatio).filter(\.isFinite).max() ?? 0
      text +=
        error == 0
        ? "; exact"
        : "; wrong by at most \(ReportNumbers.error(error)), \(RunReport.quotient(ratio)) × the bound"
    }
    if let bytes = rows.compactMap(\.workspaceBytes).max() {
      text +=
        bytes == 0
        ? "; no workspace" : "; workspace \(rows.count > 1 ? "at most " : "")\(ByteCount.text(bytes))"
    }
    return "\(text)"
  }

  // MARK: Training

  /// The fastest training step of each network: steps of different networks are not comparable.
  private static func training(_ report: RunReport) -> [AnswerSentence] {
    var order: [[String]] = []
    var groups: [[String]: [TrainingRow]] = [:]
    for row in report.training {
      let key = [row.network, "\(row.threads)"]
      if groups[key] == nil { order.append(key) }
      groups[key, default: []].append(row)
    }
    let hasThreads = Set(order.map { $0[1] }).count > 1
    return order.compactMap { key in
      let threads = hasThreads ? ", \(ReportNumbers.count(Int(key[1]) ?? 0, "thread"))" : ""
      let text = training(groups[key] ?? [])
      return text.isEmpty ? nil : "training step of \(key[0])\(threads): \(text)"
    }
  }

  private static func training(_ rows: [TrainingRow]) -> AnswerSentence {
    func milliseconds(_ row: TrainingRow) -> Double { Statistics.median(row.stepSeconds) * 1e3 }
    let timed = rows.filter { $0.role == .engine && $0.isTimed }.sorted {
      milliseconds($0) < milliseconds($1)
    }
    guard let first = timed.first else {
      let names = rows.filter(\.isTimed).map { row -> AnswerSentence in
        "\(engine: row.backend) takes \(ReportNumbers.duration(milliseconds: milliseconds(row)))"
      }
      return names.isEmpty ? "" : "no engine has a time; \(AnswerSentence.list(names))"
    }
    let time = ReportNumbers.duration(milliseconds: milliseconds(first))
    var winners = [first]
    var isUncertain = false
    for row in timed.dropFirst() where milliseconds(row) <= EngineChoice.farBehind * milliseconds(first) {
      let verdict =
        row.best?.backend == first.backend
        ? row.best?.verdict
        : BestComparison(backend: first.backend, best: first.stepSeconds, own: row.stepSeconds, seed: 1)
          .verdict
      switch verdict {
      case .unknown, nil: isUncertain = true
      case .slower: break
      default: winners.append(row)
      }
    }
    let baseline = rows.first { $0.speedup?.verdict == .baseline }
    var text: AnswerSentence
    if timed.count == 1 {
      text = "\(engine: first.backend), the only engine with a time, takes \(time)"
    } else {
      let names = winners.map { row -> AnswerSentence in
        row.backend == baseline?.backend ? "\(engine: row.backend) (the baseline)" : "\(engine: row.backend)"
      }
      text = "take \(RunAnswer.winners(names, isUncertain: isUncertain)): "
      let ratios = winners.compactMap(\.speedup).filter { $0.verdict != .baseline && $0.ratio.isFinite }.map {
        EngineChoice.Ratio(value: $0.ratio, low: $0.low, high: $0.high, isKnown: $0.verdict != .unknown)
      }
      if let baseline, first.backend != baseline.backend, baseline.isTimed, !ratios.isEmpty {
        text += "\(RunAnswer.text(ratios)) as fast as \(engine: baseline.backend), \(time)"
      } else {
        text += "\(time)"
        let names = Set(winners.map(\.backend))
        if let next = timed.first(where: { !names.contains($0.backend) }) {
          let compared = BestComparison(
            backend: first.backend, best: first.stepSeconds, own: next.stepSeconds, seed: 1)
          let ratio = EngineChoice.Ratio(
            value: compared.ratio, low: compared.low, high: compared.high,
            isKnown: compared.verdict != .unknown)
          text += "; the next, \(engine: next.backend), takes \(RunAnswer.text([ratio])) as long"
        }
        if first.backend != baseline?.backend {
          text +=
            baseline == nil ? "; no baseline has a time" : "; \(engine: baseline?.backend ?? "") did not pass"
        }
      }
    }
    let errors = winners.compactMap(\.trajectoryError)
    text +=
      errors.count == winners.count
      ? "; away from the float64 trajectory by \(RunReport.quotient(errors.max())) of what is allowed"
      : "; not compared with a float64 trajectory"
    if let bytes = winners.compactMap(\.pooledBytes).max() {
      text += "; memory \(winners.count > 1 ? "at most " : "")\(ByteCount.text(bytes))"
    }
    return text
  }
}

extension RunReport {
  /// What the run says first.
  public var answer: RunAnswer { RunAnswer(self) }

  /// The beginning of `report.md`.
  var answerSection: Markdown {
    let answer = answer
    var text: Markdown = "## Answer\n\n"
    for sentence in answer.sentences + answer.remarks {
      text += "- \(sentence.markdown)\n"
    }
    return text + "\n"
  }
}
