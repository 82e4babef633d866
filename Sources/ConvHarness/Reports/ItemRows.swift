import ConvCore

/// The rows of one item: what was measured together in rounds, one row per backend.
struct ItemRows: Sendable {
  private(set) var rows: [ResultRow]

  /// How many layers of the network have this shape.
  var multiplicity: Int { rows.first?.multiplicity ?? 1 }

  /// The rows with a time, fastest first.
  var timed: [ResultRow] {
    rows.filter { $0.medianMilliseconds.isFinite }.sorted { $0.medianMilliseconds < $1.medianMilliseconds }
  }

  /// The fastest row.
  var best: ResultRow? {
    rows.filter { $0.medianMilliseconds.isFinite }.min { $0.medianMilliseconds < $1.medianMilliseconds }
  }

  /// Whether the fastest row's interval lies above the next one's, both against the same baseline.
  var hasClearWinner: Bool {
    let timed = timed
    guard timed.count > 1 else { return !timed.isEmpty }
    guard let first = timed[0].speedup, let second = timed[1].speedup else { return false }
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
  /// With the fastest engine of each layer.
  let best: Engine
  /// How often each engine is the fastest of a layer, most often first; `clear` counts those whose interval says so.
  let picks: [(engine: String, count: Int, clear: Int)]

  init(_ layers: [ItemRows]) {
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
    count = layers.count
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

  /// The sums of an engine; nil where it has no row at all.
  func engine(_ name: String) -> Engine? { engines.first { $0.name == name } }
}
