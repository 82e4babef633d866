import ConvCore
import Foundation

/// Tables of `report.md` about the machine, sweeps and phases.
extension RunReport {
  /// What the machine can do, how quiet it was and where the time went, as rows of the first table.
  var machineFacts: Markdown {
    var text: Markdown =
      peak > 0 ? "| FMA peak | \(RunReport.short(peak)) GFLOP/s (\(peakLabel)) |\n" : ""
    let several = limits.count > 1
    for limit in limits {
      let threads = several ? ", \(limit.threads) thread\(limit.threads == 1 ? "" : "s")" : ""
      if limit.threads != limits.last?.threads && limit.fmaPeak.isFinite {
        text += "| FMA peak\(threads) | \(RunReport.short(limit.fmaPeak)) GFLOP/s |\n"
      }
      if limit.bandwidth > 0 {
        text +=
          "| memory bandwidth\(threads) | \(RunReport.short(limit.bandwidth)) GB/s (\(BandwidthProbe.label)) |\n"
      }
      if let kernel = limit.matrixKernelText { text += "| own matrix kernel\(threads) | \(kernel) |\n" }
    }
    if let noise, !noise.summary.isEmpty { text += Markdown.row(["noise", noise.summary]) }
    if let ledger, ledger.total > 0 { text += "| seconds | \(RunReport.seconds(ledger)) |\n" }
    return text + limits.map(RunReport.bandwidthTable).joined()
  }

  /// Bandwidth of each level; empty where it was not measured.
  private static func bandwidthTable(_ limit: MachineLimits) -> Markdown {
    guard !limit.levels.isEmpty else { return "" }
    let threads = "\(limit.threads) thread\(limit.threads == 1 ? "" : "s")"
    var text: Markdown = "\n| GB/s of \(threads) | bytes in each | read | write | triad |\n"
    text += "|---|---:|---:|---:|---:|\n"
    for level in limit.levels {
      let figures = [level.read, level.write, level.triad].map { $0.isFinite ? short($0) : "" }
      text += Markdown.row([level.level, ByteCount.text(level.bytesPerThread)] + figures)
    }
    return text
  }

  /// How the peak was got.
  var peakLabel: String { isPeakOfChains ? PeakProbe.label : "own matrix kernel, cache-resident" }

  /// Files without bandwidths per level are from when our own matrix kernel was the peak.
  var isPeakOfChains: Bool { limits.contains { !$0.levels.isEmpty } }

  /// `total 20 s: verification 3.1, …; outside of engines and verification 2.1 %`.
  public static func seconds(_ ledger: TimeLedger) -> String {
    let parts = ledger.parts.filter { $0.name != "total" && $0.seconds > 0 }
      .map { "\($0.name) \(short($0.seconds))" }
    return "\(short(ledger.total)) in all: \(parts.joined(separator: ", ")); tool and waiting "
      + String(format: "%.1f %%", ledger.overhead * 100)
  }

  /// Paragraphs above the results about libraries that run slower than this CPU could.
  var libraryWarnings: Markdown {
    warnings.map { "**Warning: \($0).**\n\n" as Markdown }.joined()
  }

  /// A paragraph in the head of a report whose times are to be read with care.
  var noiseWarning: Markdown {
    guard hasTimes, let noise, !noise.reasons.isEmpty else { return "" }
    return
      "**A noisy machine: \(noise.reasons.joined(separator: "; ")). Times and verdicts are to be read with care.**\n\n"
  }

  /// A paragraph about what has changed since an earlier run.
  var sinceNote: Markdown { since.isEmpty ? "" : "\(RunReport.sentence(since))\n\n" }

  /// What a row is measured under, where that is not the usual or not the same in all rows.
  public func conditions(_ row: ResultRow) -> [String] {
    var words: [String] = []
    if row.format != RunItem.standardFormat { words.append(row.format.rawValue) }
    if row.filterState != .fresh { words.append(row.filterState.rawValue) }
    if row.cache != .warm { words.append("\(row.cache.rawValue) cache") }
    if threadCounts.count > 1 { words.append("\(row.threads) thread\(row.threads == 1 ? "" : "s")") }
    if workspaceLimits.count > 1 { words.append("workspace \(ByteCount.text(row.workspaceLimit))") }
    return words
  }

  private var threadCounts: [Int] { Set(rows.map(\.threads)).sorted() }
  private var workspaceLimits: [Int] { Set(rows.map(\.workspaceLimit)).sorted() }

  static func layer(_ row: ResultRow) -> Markdown {
    "\(row.name.isEmpty ? "" : row.name + " ")\(code: row.problem)"
  }

  /// `1.25 (1.21–1.30)`, without an interval where there are fewer than two rounds; empty for the best itself.
  public static func timeToBest(_ best: BestComparison?) -> String {
    guard let best, best.verdict != .best, best.ratio.isFinite else { return "" }
    if best.verdict == .unknown { return short(best.ratio) }
    return ratio(best.ratio, best.low, best.high)
  }

  /// One thing that rows of a run differ in, and what its table says.
  private struct Sweep {
    let title, explanation: String
    let value: WritableKeyPath<ResultRow, Int>
    let values: [Int]
    /// A column's name.
    let name: (Int) -> String
    /// The last column: its name, and its text from the rows with the least and the largest value that have a time.
    let last: String
    let summary: (ResultRow, ResultRow) -> String
  }

  /// A table of medians with one column per value of what is swept: rows of equal items and backends but for that, in order of
  /// first appearance, where there are two and more and one has a time.
  private func table(of sweep: Sweep) -> Markdown {
    guard sweep.values.count > 1 else { return "" }
    var order: [[String]] = []
    var groups: [[String]: [ResultRow]] = [:]
    for row in rows where !row.medianMilliseconds.isNaN || row.verification.verdict == .unsupported {
      var same = row
      same[keyPath: sweep.value] = 0
      let key = same.itemKey + [row.backend]
      if groups[key] == nil { order.append(key) }
      groups[key, default: []].append(row)
    }
    let shown = order.compactMap { groups[$0] }.filter { group in
      group.count > 1 && group.contains { !$0.medianMilliseconds.isNaN }
    }
    guard !shown.isEmpty else { return "" }
    var text: Markdown = "## \(sweep.title)\n\n\(sweep.explanation)\n\n"
    text += Markdown.row(
      ["layer", "pass", "backend"] + sweep.values.map { sweep.name($0) + " ms" } + [sweep.last])
    text += "|---|---|---" + Markdown(repeating: "|---:", count: sweep.values.count + 1) + "|\n"
    for group in shown {
      let medians = sweep.values.map { wanted -> String in
        guard let row = group.first(where: { $0[keyPath: sweep.value] == wanted }) else { return "" }
        return row.verification.verdict == .unsupported ? "declines" : RunReport.short(row.medianMilliseconds)
      }
      let timed = group.filter { !$0.medianMilliseconds.isNaN }
        .sorted { $0[keyPath: sweep.value] < $1[keyPath: sweep.value] }
      var summary = ""
      if let least = timed.first, let most = timed.last,
        least[keyPath: sweep.value] < most[keyPath: sweep.value]
      {
        summary = sweep.summary(least, most)
      }
      let cells = [group[0].pass.rawValue, group[0].backend] + medians + [summary]
      text += Markdown.row([RunReport.layer(group[0])] + cells.map(Markdown.text))
    }
    return text + "\n"
  }

  /// Time by number of threads.
  var threadTable: Markdown {
    let counts = threadCounts
    return table(
      of: Sweep(
        title: "Threads",
        explanation:
          "Scaling is the time with \(counts.first ?? 0) over that with \(counts.last ?? 0) threads, and as a "
          + "percentage of the ratio of threads.",
        value: \.threads, values: counts, name: { "\($0) thr." }, last: "scaling"
      ) { few, many in
        let scaling = few.medianMilliseconds / many.medianMilliseconds
        let ideal = Double(many.threads) / Double(few.threads)
        return "\(RunReport.short(scaling)) (\(String(format: "%.0f %%", scaling / ideal * 100)))"
      })
  }

  /// Time by limit of the workspace.
  var workspaceTable: Markdown {
    table(
      of: Sweep(
        title: "Workspace",
        explanation:
          "The cost is the time under the least limit that the engine accepts over that under the largest; in "
          + "brackets the bytes that its plans ask for.",
        value: \.workspaceLimit, values: workspaceLimits, name: ByteCount.text, last: "cost"
      ) { least, most in
        let cost = RunReport.short(least.medianMilliseconds / most.medianMilliseconds)
        return
          "\(cost) (\(ByteCount.text(least.workspaceBytes ?? 0)) / \(ByteCount.text(most.workspaceBytes ?? 0)))"
      })
  }

  /// What each engine did in one execution outside of the samples.
  var phaseTable: Markdown {
    let recorded = rows.filter { !$0.phases.isEmpty }
    guard !recorded.isEmpty else { return "" }
    var text: Markdown =
      "## Phases\n\nOf one execution outside of the samples: milliseconds, and percent of all phases; beside them"
    text +=
      " the workspace that the plan asks for, and all memory: with operands, result and what the process grew by.\n\n"
    text += "| layer | pass | backend | phases | workspace | memory |\n|---|---|---|---|---:|---:|\n"
    for row in recorded {
      let total = row.phases.reduce(0) { $0 + $1.seconds }
      let phases = row.phases.map { phase in
        let percent = total > 0 ? String(format: " (%.0f %%)", phase.seconds / total * 100) : ""
        return "\(phase.name) \(RunReport.short(phase.seconds * 1e3))\(percent)"
      }
      let pass = ([row.pass.rawValue] + conditions(row)).joined(separator: ", ")
      let cells = [
        pass, row.backend, phases.joined(separator: ", "),
        ByteCount.text(row.workspaceBytes ?? 0), row.peakMemoryBytes.map(ByteCount.text) ?? "",
      ]
      text += Markdown.row([RunReport.layer(row)] + cells.map(Markdown.text))
    }
    return text + "\n"
  }

  /// Members of `run.json` about the machine and the run.
  var machineMembers: String {
    func number(_ value: Double) -> String { value.isFinite ? CSV.number(value) : "0" }
    var text = ""
    if !limits.isEmpty {
      text += "  \"limits\": [\(limits.map(\.json).joined(separator: ", "))],\n"
    }
    if !warnings.isEmpty {
      text += "  \"warnings\": [\(warnings.map(JSONValue.quoted).joined(separator: ", "))],\n"
    }
    if !since.isEmpty { text += "  \"since\": \(JSONValue.quoted(since)),\n" }
    if let noise {
      var members = NoiseRecord.figures.filter { noise[keyPath: $0.1].isFinite }
        .map { "\"\($0.0)\": \(CSV.number(noise[keyPath: $0.1]))" }
      members.append("\"huge_pages\": \(JSONValue.quoted(noise.hugePages))")
      members.append("\"is_noisy\": \(!noise.reasons.isEmpty)")
      members.append("\"reasons\": [\(noise.reasons.map(JSONValue.quoted).joined(separator: ", "))]")
      text += "  \"noise\": {\(members.joined(separator: ", "))},\n"
    }
    if let ledger {
      let members = TimeLedger.members.map { "\"\($0.0)\": \(number(ledger[keyPath: $0.1]))" }
      text += "  \"seconds\": {\(members.joined(separator: ", "))},\n"
    }
    return text
  }
}

extension MachineLimits {
  /// `180 GFLOP/s, 90 % of the FMA peak at that moment (…)`; nil where it was not measured.
  var matrixKernelText: String? {
    guard matrixKernelShare.isFinite else { return nil }
    let share = RunReport.short(matrixKernelShare * 100)
    return
      "\(RunReport.short(matrixKernel)) GFLOP/s, \(share) % of the FMA peak (\(MatrixKernelProbe.label))"
  }

  /// An entry of `limits` in `run.json`. What was not measured is 0 where older readers ask for it, else left
  /// out.
  fileprivate var json: String {
    func number(_ value: Double) -> String { value.isFinite ? CSV.number(value) : "0" }
    var members = [
      "\"threads\": \(threads)", "\"fma_peak_gflops\": \(number(fmaPeak))",
      "\"bandwidth_gb_per_s\": \(number(bandwidth))",
    ]
    if matrixKernelShare.isFinite {
      members.append("\"matrix_kernel_share\": \(CSV.number(matrixKernelShare))")
    }
    if matrixKernel.isFinite { members.append("\"matrix_kernel_gflops\": \(CSV.number(matrixKernel))") }
    if !levels.isEmpty {
      let entries = levels.map { level in
        let figures = CacheBandwidth.figures.filter { level[keyPath: $0.1].isFinite }
          .map { ", \"\($0.0)\": \(CSV.number(level[keyPath: $0.1]))" }
        return "{\"level\": \(JSONValue.quoted(level.level)), \"bytes_per_thread\": \(level.bytesPerThread)"
          + figures.joined() + "}"
      }
      members.append("\"levels\": [\(entries.joined(separator: ", "))]")
    }
    return "{\(members.joined(separator: ", "))}"
  }
}

/// Numbers of bytes for people and on the command line.
public enum ByteCount {
  private static let units: [(name: String, bytes: Int)] = [
    ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10),
  ]

  /// `64 MiB`, `1.5 MiB`, `300 B`.
  public static func text(_ bytes: Int) -> String {
    guard let unit = units.first(where: { bytes >= $0.bytes }) else { return "\(bytes) B" }
    let value = Double(bytes) / Double(unit.bytes)
    return value == value.rounded()
      ? "\(Int(value)) \(unit.name)" : String(format: "%.3g %@", value, unit.name)
  }

  /// The bytes of `64MiB`, `1.5 GiB`, `1000000`; nil for anything else, negative numbers and what no memory has.
  public static func parse(_ text: String) -> Int? {
    let text = text.trimmingCharacters(in: .whitespaces)
    let unit = units.first { text.lowercased().hasSuffix($0.name.lowercased()) }
    var digits = Substring(text)
    if let unit {
      digits = digits.dropLast(unit.name.count)
    } else if digits.last == "B" || digits.last == "b" {
      digits = digits.dropLast()
    }
    let number = digits.trimmingCharacters(in: .whitespaces)
    guard !number.isEmpty, number.allSatisfy({ $0.isASCII && ($0.isNumber || $0 == ".") }),
      let value = Double(number)
    else { return nil }
    let bytes = value * Double(unit?.bytes ?? 1)
    return bytes < 0x1p60 ? Int(bytes) : nil
  }
}
