import Foundation

/// What tests run on.
enum Machine {
  /// The processor's family and model, the kernels' instruction sets that it runs, and how many there are of it.
  static func described() throws -> String {
    let facts = try facts()
    let sets = instructionSets(of: facts["flags"] ?? "").sorted().joined(separator: " and ")
    return
      "\(facts["vendor_id"] ?? "unknown") family \(facts["cpu family"] ?? "?") model \(facts["model"] ?? "?")"
      + " with \(sets), \(ProcessInfo.processInfo.activeProcessorCount) processors"
  }

  /// Those of the kernels' instruction sets that this CPU runs.
  static func instructionSets() throws -> Set<String> { instructionSets(of: try facts()["flags"] ?? "") }

  private static func instructionSets(of flags: String) -> Set<String> {
    let flags = Set(flags.split(separator: " "))
    var sets: Set<String> = ["base"]
    if flags.isSuperset(of: ["avx2", "fma"]) { sets.insert("avx2") }
    if flags.isSuperset(of: ["avx512f", "avx512vl", "avx512dq", "avx512bw"]) { sets.insert("avx512") }
    return sets
  }

  private static func facts() throws -> [String: String] {
    var facts: [String: String] = [:]
    for line in try String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8).split(separator: "\n") {
      let parts = line.split(separator: ":", maxSplits: 1).map { $0.trimmingCharacters(in: .whitespaces) }
      if parts.count == 2 { facts[parts[0]] = parts[1] }
    }
    return facts
  }
}
