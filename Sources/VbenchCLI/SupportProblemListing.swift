import ConvCore
import ConvHarness
import Foundation

/// What `--list` prints: the problems, one a line, what is done with each, and how many measurements that makes.
struct ProblemListing {
  /// Layers in their passes, formats and filter states.
  var items: [RunItem]
  /// What takes part.
  var engines: [Competitor] = []
  /// What every item is measured under, by its name: every combination of the values.
  var conditions: [(name: String, values: [String])] = []
  /// Networks whose full training steps follow, and what they are measured under.
  var training: [String] = []

  /// The listing of what `vbench run` and its like measure.
  init(_ items: [RunItem], engines: [Competitor] = [], conditions: [RunCondition] = []) {
    (self.items, self.engines) = (items, engines)
    func distinct(_ values: [String]) -> [String] {
      values.enumerated().filter { !values[..<$0.offset].contains($0.element) }.map(\.element)
    }
    self.conditions = [
      ("threads", distinct(conditions.map { "\($0.pool.threads)" })),
      ("cache", distinct(conditions.map(\.cache.rawValue))),
      ("workspace", distinct(conditions.map { ByteCount.text($0.workspaceLimit) })),
    ].filter { !$0.1.isEmpty }
  }

  /// Names of layers, files and nodes have this many characters at most, and lists of nodes.
  private static let longestName = 40, longestNodes = 60

  /// As lines for people; long names are shortened in the middle, problems are whole.
  var text: String {
    var parts: [String] = []
    let (table, layers, giga) = problems
    if !items.isEmpty { parts.append(table.text + "\n") }
    if !engines.isEmpty { parts.append("engines: " + engines.map(\.label).joined(separator: ", ")) }
    if !items.isEmpty {
      let texts = (conditions + sweeps).map { "\($0.name) \($0.values.joined(separator: ", "))" }
      parts.append("conditions: " + texts.joined(separator: "; "))
    }
    parts += training.map { "training steps of \($0)" }
    let count = conditions.reduce(items.count) { $0 * $1.values.count }
    if !items.isEmpty {
      parts.append(
        String(
          format:
            "%d problems, %.0f layers with their multiplicity, %.4g GFLOP in one pass of all; %d measurements",
          table.rows.count, layers, giga, count))
    }
    return parts.joined(separator: "\n")
  }

  /// Formats and filter states, of which problems may have some of their own.
  private var sweeps: [(name: String, values: [String])] {
    let formats = MemoryFormat.allCases.filter { format in items.contains { $0.format == format } }
    let states = FilterState.allCases.filter { state in items.contains { $0.filterState == state } }
    return [("format", formats.map(\.rawValue)), ("filter state", states.map(\.rawValue))]
  }

  /// The table, how many layers it stands for, and 10⁹ operations of one pass of all of them.
  private var problems: (table: TextTable, layers: Double, giga: Double) {
    let hasNodes = items.contains { !$0.problem.nodes.isEmpty }
    var table = TextTable(
      ["suite", "name", "problem", "passes", "times", "GFLOP"] + (hasNodes ? ["nodes"] : []),
      rightAligned: [4, 5])
    var (layers, giga) = (0.0, 0.0)
    var index = 0
    while index < items.count {
      let item = items[index]
      let own = items[index...].prefix { $0.suite == item.suite && $0.problem == item.problem }
      let passes = ConvPass.allCases.filter { pass in own.contains { $0.pass == pass } }
      let flops = item.problem.problem.directFLOPs * 1e-9
      let times = item.problem.multiplicity
      let nodes = item.problem.nodes.joined(separator: " ")
      table.add(
        [
          MiddleCut.text(item.suite, most: Self.longestName),
          MiddleCut.text(item.problem.name, most: Self.longestName), item.problem.problem.description,
          passes.map(\.rawValue).joined(separator: ","), "\(times)", String(format: "%.4g", flops),
        ] + (hasNodes ? [MiddleCut.text(nodes, most: Self.longestNodes)] : []))
      layers += Double(times)
      giga += Double(times) * flops
      index += own.count
    }
    return (table, layers, giga)
  }
}

/// Long names, of which beginning and end tell the most.
enum MiddleCut {
  /// The text itself, or its beginning and its end with … in between: `most` characters, 3 at least.
  static func text(_ text: String, most: Int) -> String {
    precondition(most >= 3, "\(most) characters for a beginning, a gap and an end")
    guard text.count > most else { return text }
    let tail = (most - 1) / 2
    return text.prefix(most - 1 - tail) + "…" + text.suffix(tail)
  }
}
