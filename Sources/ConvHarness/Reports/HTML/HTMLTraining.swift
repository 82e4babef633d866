import ConvCore

// Training steps: a table, the parts of a step, loss curves.
extension HTMLReport {
  var trainingSection: String {
    guard !report.training.isEmpty else { return "" }
    var networks: [String] = []
    for row in report.training where !networks.contains(row.network) { networks.append(row.network) }
    var figures = ""
    let parts = [("forward", "e1"), ("backward", "e2"), ("optimizer", "e3")]
    for network in networks {
      let rows = report.training.filter { $0.network == network }
      let timed = rows.filter { !$0.forward.isEmpty }.sorted {
        Statistics.median($0.stepSeconds) < Statistics.median($1.stepSeconds)
      }
      if !timed.isEmpty {
        let bars = timed.map { row in
          StackChart.Bar(
            label: row.backend, shape: styles.shape(row.backend), shapeStyle: styles.colour(row.backend),
            parts: zip(parts, [row.forward, row.backward, row.optimizer]).map { part, seconds in
              .init(name: part.0, value: Statistics.median(seconds) * 1e3, style: part.1)
            }, value: ReportNumbers.duration(milliseconds: Statistics.median(row.stepSeconds) * 1e3))
        }
        figures += figure(
          "A step of \(network)", note: "medians of the parts",
          partLegend(parts.map { (name: $0.0, style: $0.1) })
            + StackChart(blocks: [.init(title: "", bars: bars)], cut: 6).svg(
              title: "Parts of a training step of \(network), by engine"))
      }
      let losses = LossChart(rows: rows, styles: styles)
      if !losses.isEmpty {
        figures += figure(
          "Loss of \(network)", note: "equal data and equal initial weights for all engines",
          styles.legend(rows.map(\.backend))
            + losses.svg(title: "Loss over training steps of \(network), by engine"))
      }
      let reference = rows.first { $0.speedup?.verdict == .baseline } ?? rows.first
      let distances = LossChart(rows: rows, styles: styles, reference: reference)
      if let reference, !distances.isEmpty {
        figures += figure(
          "Distance of the loss from \(reference.backend)'s, \(network)",
          note: "how far rounding carries the engines apart; equal losses stand on the axis",
          styles.legend(rows.map(\.backend).filter { $0 != reference.backend })
            + distances.svg(
              title:
                "Distance of the loss from that of \(reference.backend) over training steps of \(network), by engine"
            ))
      }
    }
    let source = report.trainingSource.isEmpty ? "" : "Images: \(XMLText.escaped(report.trainingSource)). "
    return
      "<section id=\"training\"><h2>Training</h2><p>\(source)The trajectory error is the largest deviation from the "
      + "stored float64 run as a part of what is allowed: 1 is the limit.</p>\(trainingTable)"
      + (figures.isEmpty ? "" : "<div class=\"grid\">\(figures)</div>") + "</section>"
  }

  private var trainingTable: String {
    func remarks(_ row: TrainingRow) -> String {
      ([row.problem, row.declined] + row.fallbacks).filter { !$0.isEmpty }.joined(separator: "; ")
    }
    let hasRemarks = report.training.contains { !remarks($0).isEmpty }
    let rows = report.training.map { row -> String in
      let fields = Dictionary(uniqueKeysWithValues: row.fields)
      func cell(_ column: String, _ head: String, _ shown: String) -> String {
        "<td class=\"n\"\(HTMLReport.label(head)) data-c=\"\(column)\" data-v=\"\(XMLText.escaped(fields[column] ?? ""))\">\(shown)</td>"
      }
      let step = Statistics.median(row.stepSeconds)
      let error = row.trajectoryError
      let isWrong = !row.problem.isEmpty || (error ?? 0) > 1
      var text =
        "<tr data-backend=\"\(XMLText.escaped(row.backend))\"><td\(HTMLReport.label("network"))>\(XMLText.escaped(row.network))</td>"
      text += "<td\(HTMLReport.label("engine"))>\(dot(row.backend))\(XMLText.escaped(row.backend))</td>"
      text += cell("batch", "batch", "\(row.batch)") + cell("steps", "steps", "\(row.steps)")
      text += cell("step_median_ms", "step ms", RunReport.short(step * 1e3))
      text += cell(
        "images_per_s", "images/s", row.forward.isEmpty ? "" : RunReport.short(Double(row.batch) / step))
      text += cell(
        "loss_last", "loss",
        row.losses.isEmpty ? "" : "\(RunReport.short(row.losses.first)) → \(RunReport.short(row.losses.last))"
      )
      text += cell(
        "trajectory_error", "trajectory error",
        isWrong ? "<span class=\"bad-text\">\(RunReport.short(error))</span>" : RunReport.short(error))
      let speed = row.speedTexts(among: report.training, baseline: report.baseline)
      text += cell("speedup", "speed-up (95 %)", speed.speedup) + "<td>\(speedVerdict(speed))</td>"
      text +=
        cell("ratio_to_best", "beside the best", speed.timeToBest)
        + "<td class=\"sub\">\(speed.besideBest)</td>"
      if hasRemarks {
        text += "<td class=\"wrap\"\(HTMLReport.label("remarks"))>\(XMLText.escaped(remarks(row)))</td>"
      }
      return text + "</tr>"
    }
    let heads =
      [
        ("network", ""), ("engine", ""), ("batch", "n"), ("steps", "n"), ("step ms", "n"), ("images/s", "n"),
        ("loss", "n"),
        ("trajectory error", "n"), ("speed-up (95 %)", "n"), ("", ""), ("beside the best", "n"), ("", ""),
      ] + (hasRemarks ? [("remarks", "")] : [])
    return foldedTable("training", heads: heads.map { ($0.0, !$0.1.isEmpty) }, rows: rows.joined())
  }
}
