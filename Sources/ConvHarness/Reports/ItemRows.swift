import ConvCore

/// The rows of one item: what was measured together in rounds, one row per backend.
struct ItemRows: Sendable {
  private(set) var rows: [ResultRow]

  /// How many layers of the network have this shape.
  var multiplicity: Int { rows.first?.multiplicity ?? 1 }

  /// The rows with a time, fastest first, choosers among them.
  var timed: [ResultRow] {
    rows.filter { $0.medianMilliseconds.isFinite }.sorted { $0.medianMilliseconds < $1.medianMilliseconds }
  }

  /// The engines with a time, fastest first: who competes.
  var engines: [ResultRow] { timed.filter { $0.role == .engine } }

  /// The fastest engine.
  var best: ResultRow? { engines.first }

  /// Whether the fastest engine's interval lies above the next one's, both against the same baseline.
  var hasClearWinner: Bool {
    let engines = engines
    guard engines.count > 1 else { return !engines.isEmpty }
    guard let first = engines[0].speedup, let second = engines[1].speedup else { return false }
    return first.low > second.high
  }

  /// Rows by item, in order of first appearance. A backend that has a row of an item already begins the next one of the same key:
  /// networks have equal layers of equal names.
  ///
  /// - Parameter condition: what else keeps rows apart.
  static func all(
    _ rows: some Sequence<ResultRow>, condition: (ResultRow) -> String = { _ in "" }
  ) -> [ItemRows] {
    var items: [ItemRows] = []
    var latest: [[String]: Int] = [:]
    for row in rows {
      let key = row.itemKey + [condition(row)]
      if let index = latest[key], !items[index].rows.contains(where: { $0.backend == row.backend }) {
        items[index].rows.append(row)
      } else {
        latest[key] = items.count
        items.append(ItemRows(rows: [row]))
      }
    }
    return items
  }
}

/// What a network's convolutions take together in one pass: Σ time × multiplicity.
struct LayerTotals: Sendable {
  struct Engine: Sendable {
    var name: String
    /// Milliseconds of the layers that have a time.
    var milliseconds: Double
    /// Layers without a time: declined or not passed.
    var missing: Int
    /// Milliseconds where all layers have a time.
    var total: Double? { missing == 0 ? milliseconds : nil }
  }
  /// How many shapes there are.
  let count: Int
  /// By engine, complete ones first, the fastest first.
  let engines: [Engine]
  /// By chooser, in the same order: they stand beside the engines.
  let choosers: [Engine]
  /// With the fastest engine of each layer.
  let best: Engine
  /// How often each engine is the fastest of a layer, most often first; `clear` counts those whose interval says so.
  let picks: [(engine: String, count: Int, clear: Int)]

  init(_ layers: [ItemRows]) {
    var order: [String] = []
    var choosing: Set<String> = []
    var sums: [String: Double] = [:]
    var counts: [String: Int] = [:]
    var best = Engine(name: "best per layer", milliseconds: 0, missing: 0)
    var wins: [String: (Int, Int)] = [:]
    for layer in layers {
      let factor = Double(layer.multiplicity)
      for row in layer.rows where !order.contains(row.backend) { order.append(row.backend) }
      for row in layer.rows where row.role == .chooser { choosing.insert(row.backend) }
      for row in layer.timed {
        sums[row.backend, default: 0] += row.medianMilliseconds * factor
        counts[row.backend, default: 0] += 1
      }
      if let first = layer.best {
        best.milliseconds += first.medianMilliseconds * factor
        let old = wins[first.backend] ?? (0, 0)
        wins[first.backend] = (old.0 + 1, old.1 + (layer.hasClearWinner ? 1 : 0))
      } else {
        best.missing += 1
      }
    }
    count = layers.count
    let all = order.map {
      Engine(name: $0, milliseconds: sums[$0] ?? 0, missing: layers.count - (counts[$0] ?? 0))
    }.sorted {
      ($0.missing == 0) != ($1.missing == 0)
        ? $0.missing == 0
        : $0.missing != $1.missing ? $0.missing < $1.missing : $0.milliseconds < $1.milliseconds
    }
    engines = all.filter { !choosing.contains($0.name) }
    choosers = all.filter { choosing.contains($0.name) }
    self.best = best
    picks = order.compactMap { name in wins[name].map { (name, $0.0, $0.1) } }.sorted { $0.1 > $1.1 }
  }

  /// The fastest of the engines that ran all layers.
  var fastest: Engine? { engines.first { $0.missing == 0 } }

  /// The sums of an engine or chooser; nil where it has no row at all.
  func engine(_ name: String) -> Engine? { (engines + choosers).first { $0.name == name } }
}
