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
      if format != .nchw { text += ", \(format.rawValue)" }
      if filterState != .fresh { text += ", \(filterState.rawValue)" }
      if !others.isEmpty { text += ", \(others)" }
      return text
    }
  }

  var name: String
  var problem: String
  var condition: Condition
  var rows: [ResultRow]

  /// The name in its network, else the problem itself.
  var title: String { name.isEmpty ? problem : name }
  /// How many layers of the network have this shape.
  var multiplicity: Int { rows.first?.multiplicity ?? 1 }

  /// The rows with a time, fastest first.
  var timed: [ResultRow] {
    rows.filter { $0.medianMilliseconds.isFinite }.sorted { $0.medianMilliseconds < $1.medianMilliseconds }
  }

  /// Whether the fastest row's interval lies above the next one's, both against the same baseline.
  var hasClearWinner: Bool {
    let timed = timed
    guard timed.count > 1 else { return !timed.isEmpty }
    guard let first = timed[0].speedup, let second = timed[1].speedup else { return false }
    return first.low > second.high
  }

  /// Of the rows with time and error, those that no other row beats in one without losing in the other; fastest first.
  var front: [ResultRow] {
    var least = Double.infinity
    return timed.filter { row in
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
    struct Key: Hashable {
      var suite, name, problem: String
      var condition: ReportLayer.Condition
    }
    var suites: [ReportSuite] = []
    var suiteIndex: [String: Int] = [:]
    var layerIndex: [Key: Int] = [:]
    let sweepsThreads = Set(rows.map(\.threads)).count > 1
    for row in rows {
      let threads = sweepsThreads ? "\(row.threads) thread\(row.threads == 1 ? "" : "s")" : ""
      let condition = ReportLayer.Condition(
        pass: row.pass, format: row.format, filterState: row.filterState, threads: row.threads,
        others: [threads, conditions(row)].filter { !$0.isEmpty }.joined(separator: ", "))
      let key = Key(suite: row.suite, name: row.name, problem: row.problem, condition: condition)
      let suite =
        suiteIndex[row.suite]
        ?? {
          suites.append(ReportSuite(name: row.suite, layers: []))
          suiteIndex[row.suite] = suites.count - 1
          return suites.count - 1
        }()
      if let layer = layerIndex[key] {
        suites[suite].layers[layer].rows.append(row)
      } else {
        layerIndex[key] = suites[suite].layers.count
        suites[suite].layers.append(
          ReportLayer(name: row.name, problem: row.problem, condition: condition, rows: [row]))
      }
    }
    return suites
  }
}

/// What a network's convolutions take together, under one condition: Σ time × multiplicity.
struct LayerSums {
  struct Engine {
    var name: String
    /// Milliseconds of the layers that have a time.
    var milliseconds: Double
    /// Layers without a time: declined or not passed.
    var missing: Int
  }
  /// By engine, complete ones first, the fastest first.
  var engines: [Engine]
  /// With the fastest engine of each layer.
  var best: Engine
  /// How often each engine is the fastest of a layer, most often first; `clear` counts those whose interval says so.
  var picks: [(engine: String, count: Int, clear: Int)]

  init(_ layers: [ReportLayer]) {
    var order: [String] = []
    var sums: [String: Double] = [:]
    var counts: [String: Int] = [:]
    var best = Engine(name: "best per layer", milliseconds: 0, missing: 0)
    var wins: [String: (Int, Int)] = [:]
    for layer in layers {
      let factor = Double(layer.multiplicity)
      for row in layer.rows where !order.contains(row.backend) { order.append(row.backend) }
      let timed = layer.timed
      for row in timed {
        sums[row.backend, default: 0] += row.medianMilliseconds * factor
        counts[row.backend, default: 0] += 1
      }
      if let first = timed.first {
        best.milliseconds += first.medianMilliseconds * factor
        let old = wins[first.backend] ?? (0, 0)
        wins[first.backend] = (old.0 + 1, old.1 + (layer.hasClearWinner ? 1 : 0))
      } else {
        best.missing += 1
      }
    }
    engines = order.map {
      Engine(name: $0, milliseconds: sums[$0] ?? 0, missing: layers.count - (counts[$0] ?? 0))
    }.sorted {
      ($0.missing == 0) != ($1.missing == 0)
        ? $0.missing == 0
        : $0.missing != $1.missing ? $0.missing < $1.missing : $0.milliseconds < $1.milliseconds
    }
    self.best = best
    picks = order.compactMap { name in wins[name].map { (name, $0.0, $0.1) } }.sorted { $0.1 > $1.1 }
  }

  /// The fastest of the engines that ran all layers.
  var fastest: Engine? { engines.first { $0.missing == 0 } }
}
