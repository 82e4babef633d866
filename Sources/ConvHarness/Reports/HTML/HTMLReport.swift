import ConvCore

/// `report.html`: a run as one page that needs nothing else: no network and no fonts; its script is a convenience.
///
/// The page is XML as well as HTML, so that tests and tools can parse it. Every number is formatted from the value that
/// `results.csv` has; cells of the results table carry the CSV's own text in `data-v`.
public struct HTMLReport: Sendable {
  /// What was found.
  public let report: RunReport
  /// What is known beyond that.
  public let facts: Facts
  let styles: EngineStyles
  let suites: [ReportSuite]
  /// The layers that are drawn and listed one by one, and how many are not.
  let shown: (suites: [ReportSuite], leftOut: Int)

  /// The page of a run.
  ///
  /// - Parameter maximumRows: of how many rows the page draws and lists the layers; a browser copes with some thousands. Sums,
  ///   counts and what did not pass are those of all rows.
  public init(_ report: RunReport, facts: Facts = Facts(), maximumRows: Int = 3000) {
    self.report = report
    self.facts = facts
    let engines = report.rows.map(\.backend) + report.training.map(\.backend)
    styles = EngineStyles(engines: engines)
    suites = ReportSuite.all(report.rows, conditions: facts.conditions)
    shown = ReportSuite.first(maximumRows, of: suites)
  }

  /// The engine that the others are compared with.
  var baseline: String { report.rows.first?.baseline ?? "" }

  /// The whole file.
  public var text: String {
    let machine = report.environment.first { $0.key == "CPU" }?.value ?? ""
    let sections = [
      head(machine: machine), warningSection, failureSection, answerSection, machineSection, layerSection,
      errorSection, rooflineSection, trainingSection, declinedSection, footer,
    ]
    return """
      <!DOCTYPE html>
      <html xmlns="http://www.w3.org/1999/xhtml" lang="en">
      <head>
      <meta charset="utf-8"/>
      <meta name="viewport" content="width=device-width, initial-scale=1"/>
      <meta name="color-scheme" content="light dark"/>
      <title>\(XMLText.escaped("vbench run, \(report.date)"))</title>
      <style>
      \(HTMLStyle.sheet)
      </style>
      </head>
      <body>
      \(sections.filter { !$0.isEmpty }.joined(separator: "\n"))
      <script>
      \(HTMLStyle.script)
      </script>
      </body>
      </html>

      """
  }

  private func head(machine: String) -> String {
    var links: [(String, String)] = []
    if !failedRows.isEmpty || !failedTraining.isEmpty { links.append(("failures", "Not passed")) }
    links += [("answer", "Answer"), ("machine", "Machine")]
    if !suites.isEmpty { links.append(("layers", "Layers")) }
    if !errorSection.isEmpty { links.append(("errors", "Errors")) }
    if !rooflineSection.isEmpty { links.append(("roofline", "Roofline")) }
    if !report.training.isEmpty { links.append(("training", "Training")) }
    if !declinedSection.isEmpty { links.append(("declined", "Declined")) }
    let nav = links.map { "<a href=\"#\($0.0)\">\($0.1)</a>" }.joined()
    return
      "<header><h1>How fast, how wrong\(subjects.isEmpty ? "" : ": " + ReportNumbers.list(subjects))</h1>"
      + "<p class=\"sub\">\(XMLText.escaped([machine, report.date].filter { !$0.isEmpty }.joined(separator: " · ")))</p>"
      + "<nav>\(nav)</nav></header>"
  }

  private var subjects: [String] {
    let layers = Set(report.rows.map { [$0.suite, $0.name, $0.problem] }).count
    let choosers = Set(
      report.choosers + report.training.filter { $0.role == .chooser }.map(\.backend))
    return [
      (styles.engines.count - choosers.count, "engine"), (choosers.count, "chooser"), (layers, "layer"),
      (Set(report.training.map(\.network)).count, "network"),
    ]
    .filter { $0.0 > 0 }.map { ReportNumbers.count($0.0, $0.1) }
  }

  /// Above everything else: what makes the comparison mean less than it seems to.
  private var warningSection: String {
    report.warnings.map {
      "<div class=\"box warn\"><p><span class=\"warn-text\">Warning:</span> \(XMLText.escaped($0)).</p></div>"
    }.joined()
  }

  private var machineSection: String {
    var facts = report.environment.map { ($0.key, $0.value) }
    if report.peak > 0 {
      facts.append(("FMA peak", "\(RunReport.short(report.peak)) GFLOP/s (\(report.peakLabel))"))
    }
    if let bandwidth = self.facts.bandwidth {
      facts.append(("bandwidth", "\(RunReport.short(bandwidth)) GB/s"))
    }
    facts += report.limits.max { $0.threads < $1.threads }.map(limitFacts) ?? []
    if let noise = report.noise, !noise.summary.isEmpty { facts.append(("noise", noise.summary)) }
    let items = facts.map {
      "<div><dt>\(XMLText.escaped($0.0))</dt><dd>\(XMLText.escaped($0.1))</dd></div>"
    }
    return "<section id=\"machine\"><h2>Machine</h2><dl class=\"facts\">\(items.joined())</dl>"
      + "<code class=\"command\">\(XMLText.escaped(report.command))</code></section>"
  }

  /// Bandwidth by level, and what our own kernel makes of the peak.
  private func limitFacts(_ limits: MachineLimits) -> [(String, String)] {
    var facts = limits.matrixKernelText.map { [("own matrix kernel", $0)] } ?? []
    for level in limits.levels {
      let figures = [("read", level.read), ("write", level.write), ("triad", level.triad)]
        .filter(\.1.isFinite).map { "\($0.0) \(RunReport.short($0.1))" }
      guard !figures.isEmpty else { continue }
      facts.append(
        (
          "bandwidth, \(level.level)",
          "\(figures.joined(separator: ", ")) GB/s (\(ByteCount.text(level.bytesPerThread)) a thread)"
        ))
    }
    return facts
  }

  private var footer: String {
    """
    <footer class="note"><p>Time is the median of interleaved rounds. A speed-up is the median of the paired ratios with the \
    baseline; its interval is a 95 % bootstrap interval; <em>faster</em> and <em>slower</em> need an interval that excludes 1 \
    and a difference above 2 %. Bounds are derived from how an engine computes, not tuned; the error named beside a bound is the \
    one that comes nearest to its bound, the largest error stands in a column of its own. GFLOP/s are those of the direct \
    algorithm. The same numbers with more digits are in <code>results.csv</code>, <code>training.csv</code> and \
    <code>run.json</code>.\(chooserNote)</p></footer>
    """
  }

  private var chooserNote: String {
    report.choosers.isEmpty
      ? ""
      : " What chooses among the engines stands beside them: \(BestComparison.Verdict.samePlan.rawValue) says that it took the "
        + "very plan of the best engine."
  }
}

extension RunReport {
  /// `report.html`.
  public var html: String { page.text }

  /// The page with all that the run knows.
  var page: HTMLReport {
    var facts = HTMLReport.Facts()
    // The roofline is that of the largest number of threads, as the report's peak is.
    facts.bandwidth = limits.max { $0.threads < $1.threads }.map(\.bandwidth)
    facts.noise = hasTimes ? noise?.reasons ?? [] : []
    facts.phases = { $0.phases }
    facts.besideBest = { row in
      guard let best = row.best, best.ratio.isFinite else { return ("", "") }
      let text = SpeedTexts([row])[0]
      return (text.timeToBest, text.besideBest)
    }
    facts.conditions = { row in
      [
        row.cache == .warm ? "" : "\(row.cache.rawValue) cache",
        row.workspaceLimit == PlanOptions().workspaceLimit
          ? "" : "workspace \(ByteCount.text(row.workspaceLimit))",
      ].filter { !$0.isEmpty }.joined(separator: ", ")
    }
    return HTMLReport(self, facts: facts)
  }
}
