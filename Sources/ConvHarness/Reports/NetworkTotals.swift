import ConvCore

/// What a network's convolutions take together: the sum over its layers of the median, each as often as it occurs.
public struct NetworkTotals: Sendable {
  /// Suite, and what its rows are measured under.
  public let suite: String
  public let conditions: [String]
  /// Passes in their usual order.
  public let passes: [ConvPass]
  /// Engines in order of appearance, and what chooses among them.
  public let engines, choosers: [String]
  /// Layers of each pass, in the suite's order.
  let layers: [ConvPass: [ItemRows]]
  /// What they take together.
  let totals: [ConvPass: LayerTotals]

  /// The totals of the suites of a report that have two layers and more.
  static func all(_ report: RunReport) -> [NetworkTotals] {
    var order: [[String]] = []
    var groups: [[String]: [ResultRow]] = [:]
    for row in report.rows {
      let key = [row.suite] + report.conditions(row) + ["\(row.threads)"]
      if groups[key] == nil { order.append(key) }
      groups[key, default: []].append(row)
    }
    return order.compactMap { key in
      guard let rows = groups[key] else { return nil }
      let totals = NetworkTotals(rows, conditions: report.conditions(rows[0]))
      return totals.layers.values.contains { $0.count > 1 } ? totals : nil
    }
  }

  /// Rows of one suite under the same conditions.
  init(_ rows: [ResultRow], conditions: [String]) {
    suite = rows.first?.suite ?? ""
    self.conditions = conditions
    var seen = Set<String>()
    let backends = rows.filter { seen.insert($0.backend).inserted }
    engines = backends.filter { $0.role == .engine }.map(\.backend)
    choosers = backends.filter { $0.role == .chooser }.map(\.backend)
    passes = ConvPass.allCases.filter { pass in rows.contains { $0.pass == pass } }
    layers = Dictionary(
      uniqueKeysWithValues: passes.map { pass in (pass, ItemRows.all(rows.lazy.filter { $0.pass == pass })) })
    totals = layers.mapValues { LayerTotals($0) }
  }

  /// Milliseconds of all layers of a pass on one backend; nil where it has no time of one of them.
  public func total(_ backend: String, _ pass: ConvPass) -> Double? {
    totals[pass]?.engine(backend)?.total
  }

  /// Milliseconds of all layers of a pass, each on its fastest engine; nil where no engine has a time of a layer.
  public func oracle(_ pass: ConvPass) -> Double? { totals[pass]?.best.total }

  /// Layers of a pass that a backend has a time of.
  func timed(_ backend: String, _ pass: ConvPass) -> Int {
    totals[pass].map { total in total.engine(backend).map { total.count - $0.missing } ?? 0 } ?? 0
  }
}

extension RunReport {
  /// The end of `report.md`: what each suite takes on each engine, and the best engine of every layer.
  var networkTotals: Markdown {
    let totals = NetworkTotals.all(self).filter { totals in
      totals.passes.contains { pass in
        totals.oracle(pass) != nil || totals.choosers.contains { totals.total($0, pass) != nil }
      }
    }
    guard !totals.isEmpty else { return "" }
    var text: Markdown =
      "## Whole networks\n\nMilliseconds of all measured layers together: the median of each as often as the network has"
    text +=
      " it. An engine that has no time of some layers shows how many it has; `best of each layer` takes each layer's"
    text += " fastest engine"
    text +=
      totals.contains { !$0.choosers.isEmpty } ? ", below it stands what chooses by itself.\n\n" : ".\n\n"
    for network in totals {
      let name = ([network.suite] + network.conditions).joined(separator: ", ")
      let hasBest = network.passes.contains { network.oracle($0) != nil }
      text += "### \(name)\n\n"
      text += Markdown.row(["engine"] + network.passes.map(\.rawValue) + ["all passes"])
      text += "|---" + Markdown(repeating: "|---:", count: network.passes.count + 1) + "|\n"
      for backend in network.engines { text += line(backend) }
      if hasBest {
        let oracle = network.passes.map { network.oracle($0) }
        text += Markdown.row(
          ["best of each layer"] + oracle.map { RunReport.short($0) } + [RunReport.sum(oracle)])
      }
      for backend in network.choosers { text += line(backend) }
      text += "\n"
      if hasBest { text += bestEngines(network) }

      func line(_ backend: String) -> Markdown {
        let sums = network.passes.map { network.total(backend, $0) }
        let cells = zip(network.passes, sums).map { pass, sum in
          sum.map(RunReport.short)
            ?? "\(network.timed(backend, pass)) of \(network.layers[pass]?.count ?? 0) layers"
        }
        return Markdown.row([backend] + cells + [RunReport.sum(sums)])
      }
    }
    return text
  }

  private func bestEngines(_ network: NetworkTotals) -> Markdown {
    var text = Markdown.row(["layer", "times"] + network.passes.map { "best \($0.rawValue)" })
    text += "|---|---:" + Markdown(repeating: "|---", count: network.passes.count) + "|\n"
    let count = network.passes.map { network.layers[$0]?.count ?? 0 }.max() ?? 0
    for index in 0..<count {
      let layers = network.passes.map { pass -> ItemRows? in
        let layers = network.layers[pass] ?? []
        return index < layers.count ? layers[index] : nil
      }
      guard let first = layers.compactMap({ $0 }).first else { continue }
      let cells = layers.map { layer -> String in
        guard let best = layer?.best else { return "" }
        return "\(RunReport.engine(best)) \(RunReport.short(best.medianMilliseconds))"
      }
      let line = ["\(first.multiplicity)"] + cells
      text += Markdown.row([RunReport.layer(first.rows[0])] + line.map(Markdown.text))
    }
    return text + "\n"
  }

  private static func sum(_ values: [Double?]) -> String {
    let known = values.compactMap { $0 }
    return known.count == values.count ? short(known.reduce(0, +)) : ""
  }
}
