import ConvCore
import ConvNN

/// `layers.csv`: the layers of the training rows with their times.
enum LayerTable {
  private static let columns = [
    "network", "backend", "threads", "batch", "call", "layer", "kind", "output", "engine", "forward_ms",
    "backward_ms",
  ]

  static func csv(_ rows: [TrainingRow]) -> String {
    CSV.text(
      header: columns,
      rows: rows.flatMap { row in
        row.layers.enumerated().map { call, layer in
          [
            row.network, row.backend, "\(row.threads)", "\(row.batch)", "\(call + 1)", layer.name, layer.kind,
            layer.outputShape.map(String.init).joined(separator: "x"), layer.engine,
            CSV.number(layer.forward * 1e3), CSV.number(layer.backward * 1e3),
          ]
        }
      })
  }

  /// Gives the rows their layers.
  ///
  /// - Throws: `HarnessError.malformedLine`.
  static func read(_ table: CSVTable, into rows: inout [TrainingRow]) throws {
    let places = try columns.map(table.column)
    for fields in table.rows {
      let row = try rows.place(network: fields[places[0]], fields[places[1]], threads: fields[places[2]])
      for number in [3, 4] { _ = try fields[places[number]].integer(in: StoredRange.rounds) }
      let shape = try fields[places[7]].text.split(separator: "x").map { extent -> Int in
        guard let extent = Int(extent), (0...ConvProblem.Limits.elements).contains(extent) else {
          throw fields[places[7]].error("this is no shape")
        }
        return extent
      }
      rows[row].layers.append(
        LayerProfile.Layer(
          name: fields[places[5]].text, kind: fields[places[6]].text, outputShape: shape,
          forward: try fields[places[9]].time() * 1e-3, backward: try fields[places[10]].time() * 1e-3,
          engine: fields[places[8]].text))
    }
  }
}

/// `trajectory.csv`: the steps of the training rows beside the stored ones.
enum TrajectoryTable {
  private static let columns = [
    "network", "backend", "step", "loss", "loss_reference", "gradient_norm", "gradient_norm_reference",
    "parameter_distance", "allowed", "verdict", "loss_allowed", "gradient_norm_allowed", "threads",
    "optimizer", "kappa", "level", "divergence",
  ]

  static func csv(_ rows: [TrainingRow]) -> String {
    CSV.text(
      header: columns,
      rows: rows.flatMap { row -> [[String]] in
        guard let trajectory = row.trajectory else { return [] }
        return trajectory.steps.map { step in
          [
            row.network, row.backend, "\(step.number)", exact(step.loss), exact(step.lossReference),
            exact(step.gradientNorm), exact(step.gradientNormReference), exact(step.distance),
            exact(step.distanceAllowed), step.verdict.rawValue, exact(step.lossAllowed),
            exact(step.gradientNormAllowed), "\(row.threads)", trajectory.optimizer,
            CSV.number(trajectory.kappa), trajectory.level.map(String.init) ?? "", trajectory.divergence,
          ]
        }
      })
  }

  /// All digits: what decides are the last ones.
  private static func exact(_ value: Double) -> String { value.isFinite ? "\(value)" : CSV.number(value) }

  /// Gives the rows their steps.
  ///
  /// - Throws: `HarnessError.malformedLine`.
  static func read(_ table: CSVTable, into rows: inout [TrainingRow]) throws {
    let places = try columns.map(table.column)
    for fields in table.rows {
      let row = try rows.place(network: fields[places[0]], fields[places[1]], threads: fields[places[12]])
      func number(_ column: Int) throws -> Double { try fields[places[column]].number() }
      if rows[row].trajectory == nil {
        rows[row].trajectory = TrajectoryRecord(
          optimizer: fields[places[13]].text, kappa: try number(14),
          level: try fields[places[15]].optionalInteger(in: StoredRange.rounds), steps: [],
          divergence: fields[places[16]].text)
      }
      var step = TrajectoryStep(
        number: try fields[places[2]].integer(in: StoredRange.rounds), loss: try number(3),
        lossReference: try number(4),
        gradientNorm: try number(5), gradientNormReference: try number(6), distance: try number(7))
      step.distanceAllowed = try number(8)
      step.lossAllowed = try number(10)
      step.gradientNormAllowed = try number(11)
      // What else failed is not in the table, but that it did.
      if fields[places[9]].text == Verdict.failed.rawValue, step.isWithinAllowance {
        step.updateRatio = .infinity
      }
      rows[row].trajectory?.steps.append(step)
    }
  }
}

extension [TrainingRow] {
  fileprivate func place(network: CSVTable.Field, _ backend: CSVTable.Field, threads: CSVTable.Field) throws
    -> Int
  {
    let count = try threads.integer(in: StoredRange.threads)
    guard
      let place = firstIndex(where: {
        $0.network == network.text && $0.backend == backend.text && $0.threads == count
      })
    else { throw backend.error("training.csv has no row of '\(network.text)' on '\(backend.text)'") }
    return place
  }
}

extension RunReport {
  /// How each chooser's training steps compare with those of the best engine.
  var trainingChooserSentences: [String] {
    training.compactMap { row in
      guard row.role == .chooser, let best = row.best, best.ratio.isFinite else { return nil }
      return
        "\(row.backend) takes \(RunReport.timeToBest(best)) × the time of the best engine, \(best.backend), for a training "
        + "step of \(row.network)"
    }
  }

  private var trainedNetworks: [String] {
    var networks: [String] = []
    for row in training where !networks.contains(row.network) { networks.append(row.network) }
    return networks
  }

  /// Steps beside stored trajectories, one row per network and backend.
  var trajectoryTable: Markdown {
    let judged = training.filter { $0.trajectory != nil }
    guard !judged.isEmpty else { return "" }
    var text: Markdown =
      "## Training trajectories\n\nSteps on stored images beside float64 ones: loss and gradient norm before each update,"
    text +=
      " distance of the parameters after it, each as the largest fraction of what rounding alone may do."
    text += " Step by step in `trajectory.csv`.\n\n"
    text +=
      "| network | backend | optimizer | steps | κ | level | loss | gradient norm | parameters | verdict | |\n"
    text += "|---|---|---|---:|---:|---:|---:|---:|---:|---|---|\n"
    for row in judged {
      guard let trajectory = row.trajectory else { continue }
      let ratios = (0..<3).map { part in
        RunReport.short(trajectory.steps.map { $0.deviations[part].ratio }.max())
      }
      let verdicts = Set(trajectory.steps.map(\.verdict))
      let verdict: Verdict =
        verdicts.contains(.failed) ? .failed : verdicts.contains(.mistrusted) ? .mistrusted : .passed
      let cells =
        [
          row.network, row.backend, trajectory.optimizer, "\(trajectory.steps.count)",
          RunReport.short(trajectory.kappa), trajectory.level.map(String.init) ?? "",
        ] + ratios + [verdict.rawValue, trajectory.divergence]
      text += Markdown.row(cells)
    }
    return text + "\n"
  }

  /// Memory of a step, and backends that cannot run a network.
  var trainingNotes: Markdown {
    var text: Markdown = ""
    let measured = training.filter { $0.pooledBytes != nil }
    if !measured.isEmpty {
      text +=
        "### Memory of a step\n\nPooled: weights, gradients, the optimizer's state, activations and workspaces of one"
      text += " network. Resident: the process with the networks of all backends.\n\n"
      text += "| network | backend | pooled | resident |\n|---|---|---:|---:|\n"
      for row in measured {
        let bytes = [row.pooledBytes, row.residentBytes].map { $0.map(ByteCount.text) ?? "" }
        text += Markdown.row([row.network, row.backend] + bytes)
      }
      text += "\n"
    }
    for row in training where !row.declined.isEmpty {
      text += "- \(row.network) on \(code: row.backend): \(row.declined)\n"
    }
    return text.isEmpty || text.source.hasSuffix("\n\n") ? text : text + "\n"
  }

  /// The layers of each network, one column per backend.
  var trainingLayerTables: Markdown {
    var text: Markdown = ""
    for network in trainedNetworks {
      let rows = training.filter { $0.network == network && !$0.layers.isEmpty }
      guard let first = rows.first else { continue }
      // Of a network of 150 layers most take no time; all of them are in the file.
      let shown = first.layers.indices.filter { index in
        rows.contains { row in
          guard row.layers.indices.contains(index) else { return false }
          let all = row.layers.reduce(0) { $0 + $1.forward + $1.backward }
          return row.layers[index].forward + row.layers[index].backward >= 0.02 * all
        }
      }
      text += "### Layers of a step of \(network)\n\nForward + backward, ms"
      text += shown.count < first.layers.count ? ", layers of at least 2 % of a step" : ""
      text += "; all, and the engines of each, are in `layers.csv`.\n\n"
      text += Markdown.row(["layer", "kind", "output"] + rows.map(\.backend))
      text += "|---|---|---|" + Markdown(repeating: "---:|", count: rows.count) + "\n"
      for index in shown {
        let layer = first.layers[index]
        let times = rows.map { row in
          guard row.layers.indices.contains(index), row.layers[index].name == layer.name else { return "" }
          return RunReport.layerTime(row.layers[index].forward, row.layers[index].backward)
        }
        let shape = layer.outputShape.map(String.init).joined(separator: "×")
        text += Markdown.row([layer.name, layer.kind, shape] + times)
      }
      let hidden = Set(first.layers.indices).subtracting(shown)
      if !hidden.isEmpty {
        let times = rows.map { row in
          let rest = hidden.filter(row.layers.indices.contains).map { row.layers[$0] }
          return RunReport.layerTime(
            rest.reduce(0) { $0 + $1.forward }, rest.reduce(0) { $0 + $1.backward })
        }
        text += Markdown.row(["\(hidden.count) others", "", ""] + times)
      }
      let sums = rows.map { row in
        RunReport.layerTime(
          row.layers.reduce(0) { $0 + $1.forward }, row.layers.reduce(0) { $0 + $1.backward })
      }
      text += Markdown.row(["all", "", ""] + sums) + "\n"
    }
    return text
  }

  private static func layerTime(_ forward: Double, _ backward: Double) -> String {
    "\(short(forward * 1e3)) + \(short(backward * 1e3))"
  }
}
