import ConvCore
import ConvHarness

/// The two tables as Markdown.
public struct SharpnessReport: Sendable {
  private let rows: [SharpnessRow]
  private let machine: String
  private let command: String
  /// Rows that are still to come.
  private let missing: Int
  private let isWhole: Bool

  /// A report of rows in the order in which they are to appear.
  ///
  /// - Parameter isWhole: whether all engines and all suites are meant to be there.
  public init(
    _ rows: [SharpnessRow], machine: String, command: String = "make sharp", missing: Int = 0,
    isWhole: Bool = true
  ) {
    self.isWhole = isWhole && missing == 0
    self.rows = rows
    self.machine = machine
    self.command = command
    self.missing = missing
  }

  private func rows(_ table: SharpnessRow.Table) -> [SharpnessRow] { rows.filter { $0.table == table } }

  /// `coarse.md`: verdicts on coarse engines.
  public var coarse: String {
    let rows = rows(.coarse)
    let summary = SharpnessSummary(rows)
    let engines = unique(rows.map(\.engine))
    let suites = unique(rows.flatMap { $0.suites })
    var text = """
      # Verdicts on coarse engines

      Every layer of the built-in suites at batch 1, three passes, NCHW and NHWC. A coarse engine has an honest engine's plans, name
      and error model, and one defect. Mistrusted rows are repeated with other data, up to \(SharpnessTrial.repetitions.count) attempts.
      Engines marked with ° only inform: operands or coefficients of 16 bits, one result that is off by a hundredth of itself.
      \(origin)
      \(summary.judged) rows of the engines that must not pass: \(summary.contradictions.count) passed, \
      \(summary.mistrusted.count) stayed mistrusted (at most \(summary.allowedMistrusted) may).

      ## All suites

      | engine | failed | mistrusted | passed | not applicable | repeated | least ratio | median | most bits |
      |---|---:|---:|---:|---:|---:|---:|---:|---:|

      """
    for engine in engines {
      let rows = rows.filter { $0.engine == engine }
      let counts = VerdictCounts(rows)
      let judged = rows.filter { $0.verdict != .unsupported }
      let ratios = judged.map(\.ratio).sorted()
      let bits = judged.map(\.effectiveBits).filter { !$0.isNaN }.max()
      text +=
        "| \(name(engine)) | \(counts.failed) | \(counts.mistrusted) | \(counts.passed) | \(counts.unsupported) "
        + "| \(rows.count { $0.attempts > 1 }) | \(ratios.first.map(short) ?? "") | \(median(ratios)) "
        + "| \(bits.map(oneDigit) ?? "") |\n"
    }
    text += """

      Ratio: the larger one of error / bound of a single result and of a sum over all results; bits: `effective_bits`.

      ## Failed / mistrusted / passed by suite and pass

      | engine | pass | \(suites.joined(separator: " | ")) |
      |---|---|\(String(repeating: "---:|", count: suites.count))

      """
    for engine in engines {
      for pass in ConvPass.allCases {
        let cells = suites.map { suite in
          VerdictCounts(
            rows.lazy.filter { $0.engine == engine && $0.pass == pass && $0.suites.contains(suite) }
          ).text
        }
        text += "| \(name(engine)) | \(pass.rawValue) | \(cells.joined(separator: " | ")) |\n"
      }
    }
    text += list("Passed, and must not", summary.contradictions)
    text += list("Stayed mistrusted", summary.mistrusted)
    text += list(
      "Passed, informing only", rows.filter { $0.verdict == .passed && $0.demand == .none }, upTo: 40)
    return text
  }

  /// `honest.md`: how near honest engines come to their bounds.
  public var honest: String {
    let rows = rows(.honest)
    let summary = SharpnessSummary(rows + self.rows(.data), isWhole: isWhole)
    let engines = unique(rows.map(\.engine))
    var text = """
      # Errors of honest engines

      Every layer of the built-in suites at batch 1, three passes, NCHW and NHWC. `error_ratio` = the largest error / bound of a row.
      \(origin)
      \(summary.judged) rows: \(summary.contradictions.count) failed, \(summary.mistrusted.count) stayed mistrusted.
      Largest error_ratio of all layers outside of \(SharpnessSummary.sharpRatios.lowerBound) to \
      \(SharpnessSummary.sharpRatios.upperBound): \
      \(!isWhole ? "rows are missing" : summary.blunt.isEmpty ? "no engine" : summary.blunt.joined(separator: ", ")).

      ## error_ratio by engine

      | engine | failed | mistrusted | passed | declined | least | median | 95 % | largest | of sums | largest at |
      |---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|

      """
    for engine in engines {
      text += "| \(engine) | \(distribution(rows.filter { $0.engine == engine }, place: true)) |\n"
    }
    text += """

      ## By pass

      | engine | pass | failed | mistrusted | passed | declined | least | median | 95 % | largest | of sums | largest at |
      |---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|

      """
    for engine in engines {
      for pass in ConvPass.allCases {
        let rows = rows.filter { $0.engine == engine && $0.pass == pass }
        text += "| \(engine) | \(pass.rawValue) | \(distribution(rows, place: true)) |\n"
      }
    }
    let data = self.rows(.data)
    if !data.isEmpty {
      text += """

        ## Data of every distribution

        \(unique(data.map { "\($0.problem)" }).count) problems, three passes, both formats; data are not exchanged where a row is \
        mistrusted. Correlated: rows decided by the deterministic bound.

        | engine | data | failed | mistrusted | passed | declined | least | median | 95 % | largest | of sums | correlated |
        |---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|

        """
      for engine in unique(data.map(\.engine)) {
        for kind in unique(data.map(\.distribution.rawValue)) {
          let rows = data.filter { $0.engine == engine && $0.distribution.rawValue == kind }
          text +=
            "| \(engine) | \(kind) | \(distribution(rows, place: false)) | \(rows.count(where: \.isCorrelated)) |\n"
        }
      }
    }
    text += list("Failed, and must not", summary.contradictions)
    text += list("Stayed mistrusted", summary.mistrusted, upTo: 80)
    return text
  }

  /// A table of comma-separated values, one line for each layer, pass and format: verdict and ratio (as in `coarse`) of each engine.
  public func lines(_ tables: Set<SharpnessRow.Table>) -> String {
    let rows = rows.filter { tables.contains($0.table) }
    let engines = unique(rows.map(\.engine))
    var order: [String] = []
    var cells: [String: [String: String]] = [:]
    for row in rows {
      let data = row.table == .data ? row.distribution.rawValue : ""
      let place = [row.suite, row.layer, "\(row.problem)", row.pass.rawValue, row.format.rawValue, data]
        .joined(separator: ",")
      if cells[place] == nil { order.append(place) }
      let repeated = row.attempts > 1 ? " \(row.attempts)×" : ""
      cells[place, default: [:]][row.engine] =
        row.verdict == .unsupported ? "" : "\(row.verdict.rawValue) \(short(row.ratio))\(repeated)"
    }
    let header = "suite,layer,problem,pass,format,data," + engines.joined(separator: ",")
    return
      ([header]
      + order.map { place in ([place] + engines.map { cells[place]?[$0] ?? "" }).joined(separator: ",") })
      .joined(separator: "\n") + "\n"
  }

  // MARK: Parts

  private var origin: String {
    "Made by `\(command)` on \(machine)."
      + (missing > 0 ? " **Incomplete: \(missing) rows are missing.**" : "")
      + "\n"
  }

  private func distribution(_ rows: [SharpnessRow], place: Bool) -> String {
    let counts = VerdictCounts(rows)
    let judged = rows.filter { !$0.errorRatio.isNaN }.sorted { $0.errorRatio < $1.errorRatio }
    let ratios = judged.map(\.errorRatio)
    let sums = rows.map(\.projectionRatio).filter { !$0.isNaN }.max()
    var cells = [counts.failed, counts.mistrusted, counts.passed, counts.unsupported].map(String.init)
    cells += [
      ratios.first.map(short) ?? "", median(ratios),
      ratios.isEmpty ? "" : short(ratios[min(ratios.count - 1, ratios.count * 95 / 100)]),
      ratios.last.map(short) ?? "", sums.map(short) ?? "",
    ]
    if place {
      cells.append(judged.last.map { "\($0.problem) \($0.pass.rawValue) \($0.format.rawValue)" } ?? "")
    }
    return cells.joined(separator: " | ")
  }

  private func list(_ title: String, _ rows: [SharpnessRow], upTo limit: Int = 400) -> String {
    if rows.isEmpty { return "" }
    var text = """

      ## \(title)

      | engine | suite | layer | problem | pass | format | data | error_ratio | of sums | bits | reason |
      |---|---|---|---|---|---|---|---:|---:|---:|---|

      """
    for row in rows.prefix(limit) {
      text +=
        "| \(row.engine) | \(row.suite) | \(row.layer) | \(row.problem) | \(row.pass.rawValue) "
        + "| \(row.format.rawValue) | \(row.distribution.rawValue) | \(short(row.errorRatio)) "
        + "| \(short(row.projectionRatio)) | \(oneDigit(row.effectiveBits)) "
        + "| \(row.reason.replacing("|", with: "\\|")) |\n"
    }
    if rows.count > limit { text += "\n\(rows.count - limit) more.\n" }
    return text
  }

  private func name(_ engine: String) -> String {
    rows.first { $0.table == .coarse && $0.engine == engine }?.demand == Demand.none ? "\(engine) °" : engine
  }

  private func median(_ sorted: [Double]) -> String { sorted.isEmpty ? "" : short(sorted[sorted.count / 2]) }

  private func oneDigit(_ value: Double) -> String {
    value.isFinite ? "\((value * 10).rounded() / 10)" : short(value)
  }

  private func unique(_ names: [String]) -> [String] {
    var seen = Set<String>()
    return names.filter { seen.insert($0).inserted }
  }
}

extension SharpnessRow {
  /// The suites that have a layer of this shape.
  var suites: [String] { suite.split(separator: " ").map(String.init) }

  /// The larger one of the ratios of single results and of sums.
  var ratio: Double { projectionRatio.isNaN ? errorRatio : max(errorRatio, projectionRatio) }
}
