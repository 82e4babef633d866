import Foundation

/// The committed table of a full pass.
struct ResultsTable {
  var outcomes: [Outcome]
  /// Of the working tree: short, with `+` where files differ from it.
  var commit: String
  var machine: String
  /// What each step took, in seconds.
  var durations: [(step: String, seconds: Double)]

  var counts: [(word: String, count: Int)] {
    ["caught", "SURVIVED", "not applicable", "ERROR"].map { word in
      (word, outcomes.count { $0.verdict.word == word })
    }
  }

  var markdown: String {
    let day = Date.now.formatted(.iso8601.year().month().day())
    let steps = durations.map { "\($0.step) \(Self.minutes($0.seconds))" }.joined(separator: ", ")
    var lines = [
      "# What the tests say of each mutant", "",
      "A full pass of `make mutants`, \(day), commit \(commit), \(machine).",
      "\(outcomes.count) mutants: \(counts.map { "\($0.count) \($0.word.lowercased())" }.joined(separator: ", ")).",
      "Durations: \(steps).", "",
      "| mutant | what is wrong | verdict | first test that failed, or why not | s |",
      "|---|---|---|---|---:|",
    ]
    for outcome in outcomes.sorted(by: { $0.mutant.name < $1.mutant.name }) {
      let cells = [
        outcome.mutant.name, outcome.mutant.title, outcome.verdict.word, outcome.verdict.detail,
        String(format: "%.0f", outcome.seconds),
      ]
      let escaped = cells.map { $0.replacingOccurrences(of: "|", with: "\\|") }
      lines.append("| " + escaped.joined(separator: " | ") + " |")
    }
    return lines.joined(separator: "\n") + "\n"
  }

  static func minutes(_ seconds: Double) -> String { String(format: "%.1f min", seconds / 60) }

  /// The processor's family and model, its instruction sets and how many there are of it.
  static func machineClass() throws -> String {
    let text = try String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)
    var facts: [String: String] = [:]
    for line in text.split(separator: "\n") {
      let parts = line.split(separator: ":", maxSplits: 1).map { $0.trimmingCharacters(in: .whitespaces) }
      if parts.count == 2 { facts[parts[0]] = parts[1] }
    }
    let sets = instructionSets(of: facts["flags"] ?? "")
    return
      "\(facts["vendor_id"] ?? "unknown"), family \(facts["cpu family"] ?? "?"), model \(facts["model"] ?? "?"),"
      + " \(sets.sorted().joined(separator: " and ")), \(ProcessInfo.processInfo.activeProcessorCount) processors"
  }

  /// Those of the kernels' instruction sets that some CPU's flags allow.
  static func instructionSets(of flags: String) -> Set<String> {
    let flags = Set(flags.split(separator: " "))
    var sets: Set<String> = ["base"]
    if flags.isSuperset(of: ["avx2", "fma"]) { sets.insert("avx2") }
    if flags.isSuperset(of: ["avx512f", "avx512vl", "avx512dq", "avx512bw"]) { sets.insert("avx512") }
    return sets
  }
}
