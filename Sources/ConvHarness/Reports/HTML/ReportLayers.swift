import ConvCore

/// The rows that compete with each other: one problem in one pass, format, filter state and number of threads.
struct ReportLayer {
  /// Under what conditions a layer ran; layers of the same conditions can be added up.
  struct Condition: Hashable {
    var pass: ConvPass
    var format: MemoryFormat
    var filterState: FilterState
    var threads: Int
    /// Conditions of other kinds, in words.
    var others = ""
    /// `forward`, `forward, nhwc, prepared`.
    var label: String {
      var text = pass.rawValue
      if format != RunItem.standardFormat { text += ", \(format.rawValue)" }
      if filterState != .fresh { text += ", \(filterState.rawValue)" }
      if !others.isEmpty { text += ", \(others)" }
      return text
    }
  }

  var condition: Condition
  var item: ItemRows

  var name: String { item.rows.first?.name ?? "" }
  var problem: String { item.rows.first?.problem ?? "" }
  var rows: [ResultRow] { item.rows }
  /// The name in its network, else the problem itself.
  var title: String { name.isEmpty ? problem : name }
  var multiplicity: Int { item.multiplicity }
  /// The rows with a time, fastest first.
  var timed: [ResultRow] { item.timed }

  /// Of the engines with time and error, those that no other one beats in one without losing in the other; fastest first.
  var front: [ResultRow] {
    var least = Double.infinity
    return item.engines.filter { row in
      let error = row.verification.errorMax
      guard error.isFinite, error < least else { return false }
      least = error
      return true
    }
  }

  /// For reading: what did not pass, then by time, then what was declined.
  var sortedRows: [ResultRow] {
    func rank(_ row: ResultRow) -> Int {
      switch row.verification.verdict {
      case .failed: 0
      case .mistrusted: 1
      case .missingReference: 2
      case .passed: row.medianMilliseconds.isFinite ? 3 : 4
      case .unsupported: 5
      }
    }
    return rows.enumerated().sorted { a, b in
      let (first, second) = (rank(a.element), rank(b.element))
      if first != second { return first < second }
      let (left, right) = (a.element.medianMilliseconds, b.element.medianMilliseconds)
      if first == 3 && left != right { return left < right }
      return a.offset < b.offset
    }.map(\.element)
  }
}

/// The layers of one suite.
struct ReportSuite {
  var name: String
  var layers: [ReportLayer]

  /// The layers by their condition, in the order of the run.
  var sections: [(condition: ReportLayer.Condition, layers: [ReportLayer])] {
    var order: [ReportLayer.Condition] = []
    var groups: [ReportLayer.Condition: [ReportLayer]] = [:]
    for layer in layers {
      if groups[layer.condition] == nil { order.append(layer.condition) }
      groups[layer.condition, default: []].append(layer)
    }
    return order.map { ($0, groups[$0] ?? []) }
  }

  /// The first layers, of at most so many rows together, and how many layers that leaves out.
  static func first(_ maximumRows: Int, of suites: [ReportSuite]) -> (suites: [ReportSuite], leftOut: Int) {
    var rows = 0
    var leftOut = 0
    var result: [ReportSuite] = []
    for suite in suites {
      var part = ReportSuite(name: suite.name, layers: [])
      for layer in suite.layers {
        rows += layer.rows.count
        if rows <= maximumRows { part.layers.append(layer) } else { leftOut += 1 }
      }
      if !part.layers.isEmpty { result.append(part) }
    }
    return (result, leftOut)
  }

  /// Suites and their layers, in the order of the rows.
  static func all(_ rows: [ResultRow], conditions: (ResultRow) -> String = { _ in "" }) -> [ReportSuite] {
    var suites: [ReportSuite] = []
    var suiteIndex: [String: Int] = [:]
    let sweepsThreads = Set(rows.map(\.threads)).count > 1
    for item in ItemRows.all(rows, condition: conditions) {
      guard let row = item.rows.first else { continue }
      let threads = sweepsThreads ? "\(row.threads) thread\(row.threads == 1 ? "" : "s")" : ""
      let condition = ReportLayer.Condition(
        pass: row.pass, format: row.format, filterState: row.filterState, threads: row.threads,
        others: [threads, conditions(row)].filter { !$0.isEmpty }.joined(separator: ", "))
      let suite = suiteIndex[row.suite] ?? suites.count
      if suite == suites.count {
        suites.append(ReportSuite(name: row.suite, layers: []))
        suiteIndex[row.suite] = suite
      }
      suites[suite].layers.append(ReportLayer(condition: condition, item: item))
    }
    return suites
  }
}
