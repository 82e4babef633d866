import ConvCore
import ConvTestSupport
import Foundation
import Testing

@testable import ConvHarness

/// The check of a run's files, on a run of known numbers and on what can be wrong with one.
@Suite struct RunFolderCheckTests {
  private static let layers = ["conv2d:n1c3h9w9k4r3s3p1", "conv2d:n1c4h9w9k8r3s3p1"]

  /// A name on a row: nothing is computed.
  private struct Named: ConvolutionBackend {
    let name: String
    func nativeSupport(for operation: ConvOperation, _ options: PlanOptions) -> Support {
      .unsupported("a name only")
    }
    func forwardPlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan {
      throw ConvError.unsupported(backend: name, operation: "\(operation)", reason: "a name only")
    }
  }

  /// A row of a layer from milliseconds by round.
  private static func row(_ layer: Int, _ name: String, _ samples: [Int: Double]) throws -> ResultRow {
    let problem = BenchmarkProblem(
      try ConvProblem(parsing: layers[layer]), name: "layer \(layer)", multiplicity: layer == 0 ? 3 : 1)
    var row = ResultRow(
      item: RunItem(suite: "net", problem: problem, pass: .forward),
      competitor: Competitor(Named(name: name)),
      settings: RunSettings(pool: .pool(threads: 1), baseline: "base"))
    (row.variant, row.executedBy) = (name, name)
    guard !samples.isEmpty else {
      row.set(Verification(.unsupported, reason: "declines, \"politely\"\nand twice"))
      return row
    }
    row.set(Verification(.passed, reason: ""))
    row.verification.errorRatio = 0.5
    row.rounds = samples.keys.sorted()
    row.seconds = row.rounds.map { samples[$0]! * 1e-3 }
    row.minMilliseconds = (row.seconds.min() ?? .nan) * 1e3
    row.medianMilliseconds = Statistics.median(row.seconds) * 1e3
    row.p95Milliseconds = Statistics.quantile(row.seconds, 0.95) * 1e3
    row.gflopsEffective = 3 / row.medianMilliseconds
    row.peakProbes = [100, 101.5]
    row.peakPercent = row.gflopsEffective / row.peakGflops * 100
    return row
  }

  /// Two layers, the first of them three times in the network. `spared` took part in two rounds, `late` came later, `quiet` declines
  /// one layer, and `picker` takes the best engine's plan in the first.
  private static func report() throws -> RunReport {
    let rounds = 0..<9
    func times(_ factor: Double, from first: Int = 0) -> [Int: Double] {
      Dictionary(
        uniqueKeysWithValues: rounds.dropFirst(first).map {
          ($0, factor * (1 + 0.01 * Double(($0 * 5 + Int(factor * 10)) % 7)))
        })
    }
    var report = RunReport(
      environment: [("CPU", "a | b")], command: "vbench run", date: "2000-01-01T00:00:00Z", peak: 100)
    for layer in 0..<2 {
      var rows = [
        try row(layer, "base", times(2)), try row(layer, "quick", times(1)),
        try row(layer, "late", times(1.5, from: 3)), try row(layer, "equal", times(2.01)),
        try row(layer, "spared", layer == 0 ? [2: 30, 5: 31] : [4: 30]),
        try row(layer, "quiet", layer == 0 ? times(1.4) : [:]), try row(layer, "picker", times(1.05)),
      ]
      rows[6].role = .chooser
      if layer == 0 { (rows[6].variant, rows[6].executedBy) = ("quick", "quick") }
      ResultRow.compare(&rows, baseline: "base", seed: 1)
      report.rows += rows
    }
    var training = [1.0, 0.5].enumerated().map { index, factor in
      var row = TrainingRow(
        network: "seed-cnn", backend: ["base", "quick"][index], threads: 1, batch: 64, steps: 5)
      row.forward = [1, 1.1, 1.05, 1.2, 1].map { $0 * factor }
      row.backward = [2, 2.1, 2.5, 2.2, 2].map { $0 * factor }
      row.optimizer = [0.1, 0.1, 0.2, 0.1, 0.1]
      row.losses = [2, 1]
      return row
    }
    TrainingRow.compare(&training, baseline: "base", seed: 1)
    report.training = training
    return report
  }

  /// What is wrong with a report that was changed before it was written, or a file of it afterwards.
  private func faults(
    _ change: (inout RunReport) throws -> Void = { _ in },
    in file: String? = nil, _ edit: (String) -> String = { $0 }
  ) throws -> [String] {
    try withTemporaryFolder { folder in
      var report = try Self.report()
      try change(&report)
      try report.write(to: folder)
      if let file {
        let text = try String(contentsOfFile: "\(folder)/\(file)", encoding: .utf8)
        let edited = edit(text)
        try #require(edited != text, "\(file) was not changed")
        try edited.write(toFile: "\(folder)/\(file)", atomically: true, encoding: .utf8)
      }
      return try RunFolderCheck(folder).faults
    }
  }

  @Test func aGoodRunHasNoFaults() throws {
    try withTemporaryFolder { folder in
      try Self.report().write(to: folder)
      let check = try RunFolderCheck(folder)
      #expect(check.faults.isEmpty, "\(check.faults.joined(separator: "\n"))")
      // Beside the baseline and beside the best: six rows of the first layer, five of the second, one training.
      #expect(check.ratios == 2 * (6 + 5 + 1) && check.totals == 72, "\(check.ratios) \(check.totals)")
      let verdicts = check.results.map { "\($0["verdict_speed"]!)/\($0["verdict_best"]!)" }
      #expect(
        verdicts.prefix(7) == [
          "baseline/slower", "faster/best", "faster/slower", "indistinguishable/slower", "slower/slower",
          "faster/slower", "faster/same plan",
        ], "\(verdicts)")
      #expect(verdicts[11] == "unknown/unknown" && verdicts[12] == "/" && verdicts[13] == "faster/slower")
    }
  }

  /// Rows that are wrong in all files alike, by the words that say so.
  @Test func wrongRowsAreSeen() throws {
    func see(
      _ fault: String, _ place: SourceLocation = #_sourceLocation, _ change: (inout RunReport) -> Void
    ) throws {
      let faults = try faults(change)
      #expect(faults.contains { $0.contains(fault) }, "\(faults)", sourceLocation: place)
    }
    func swapped(_ speedup: Speedup?) -> Speedup? {
      speedup.map { Speedup(ratio: $0.ratio, low: $0.high, high: $0.low, verdict: $0.verdict) }
    }
    try see("speedup") { $0.rows[1].speedup = swapped($0.rows[1].speedup) }
    try see("is not within") { $0.rows[1].speedup = swapped($0.rows[1].speedup) }
    try see("ratio_to_best 2") { report in
      let best = report.rows[0].best
      report.rows[0].best?.low = best?.high ?? .nan
      report.rows[0].best?.high = best?.low ?? .nan
    }
    try see("speedup is") { report in report.rows[1].speedup?.ratio = 0.5 }
    try see("ratio_to_best is") { $0.rows[0].best?.ratio += 0.001 }
    try see("too narrow") { report in report.rows[1].speedup?.high = 1.9 }
    try see("wider than its rounds") { $0.rows[1].speedup?.low = 0.5 }
    try see("verdict_speed is 'slower'") { $0.rows[1].speedup?.verdict = .slower }
    try see("verdict_speed is 'faster'") { $0.rows[3].speedup?.verdict = .faster }
    try see("verdict_best is 'faster'") { $0.rows[0].best?.verdict = .faster }
    try see("verdict_speed is 'indistinguishable'") { $0.rows[11].speedup?.verdict = .indistinguishable }
    try see("same plan") { $0.rows[6].best?.verdict = .slower }
    try see("same plan") { $0.rows[2].best?.verdict = .samePlan }
    try see("two bests of one item") { $0.rows[2].best?.backend = "base" }
    try see("the best is not the engine of the least median") { report in
      for i in 0..<7 { report.rows[i].best?.backend = "base" }
    }
    try see("the best beside itself") { $0.rows[1].best?.verdict = .indistinguishable }
    try see("the baseline's speed-up") { $0.rows[0].speedup?.verdict = .indistinguishable }
    try see("a speed-up without a baseline") { $0.rows[0].backend = "other" }
    try see("median_ms is") { $0.rows[0].medianMilliseconds *= 1.01 }
    try see("min_ms is") { $0.rows[0].minMilliseconds = 0 }
    try see("p95_ms is") { $0.rows[0].p95Milliseconds *= 1.01 }
    try see("gflops_effective is not work over time") { $0.rows[1].gflopsEffective *= 2 }
    try see("peak_percent is") { $0.rows[1].peakPercent /= 2 }
    try see("a row without samples has speedup") { $0.rows[12].speedup = .ofBaseline }
    try see("training of seed-cnn on quick: verdict_speed is 'slower'") {
      $0.training[1].speedup?.verdict = .slower
    }
    try see("training of seed-cnn on base: ratio_to_best") { $0.training[0].best?.low = 9 }
  }

  /// One file that does not say what the others do.
  @Test(arguments: [
    ("results.csv", "run.json has another verdict_speed", ",indistinguishable,float32", ",slower,float32"),
    ("run.json", "run.json has another ratio_to_best", "\"ratio_to_best\": \"1.", "\"ratio_to_best\": \"1.1"),
    ("run.json", "run.json has other samples", "\"seconds\": [0.002", "\"seconds\": [0.003"),
    ("samples.csv", "run.json has other samples", ",0,2.12,", ",0,2.13,"),
    ("report.md", "another verdict of speed", "| baseline |", "| slower |"),
    ("report.md", "another verdict beside the best", "| best |", "| slower |"),
    ("report.md", "another verdict in report.md", "| quiet | unsupported |", "| quiet | passed |"),
    ("report.md", "report.md has samples", "| passed | 9 |", "| passed | 8 |"),
    ("report.md", "report.md has ratio_to_best", "–", "–9"),
    ("report.md", "quick is passed in", "| quick | 2 |", "| quick | 3 |"),
    ("report.md", "takes", "| best of each layer | 4", "| best of each layer | 3"),
    ("report.md", "takes", "| quiet | 1 of 2 layers |", "| quiet | 6.18 |"),
    ("report.md", "have not all backends", "| late | 6", "| later | 6"),
    ("report.md", "1 networks have one", "## Whole networks", "## Whole"),
    ("training.csv", "run.json has another verdict_speed", ",faster,", ",slower,"),
  ])
  func filesThatContradictAreSeen(_ file: String, _ fault: String, _ old: String, _ new: String) throws {
    let faults = try faults(in: file) { text in
      // The last one: tables of totals follow those of layers.
      let tables = (text.range(of: "## Layers")?.lowerBound ?? text.startIndex)..<text.endIndex
      let isLater = text[tables].contains(old)
      let range = text.range(
        of: old, options: fault == "takes" ? .backwards : [], range: isLater ? tables : nil)
      return range.map { text.replacingCharacters(in: $0, with: new) } ?? text
    }
    #expect(faults.contains { $0.contains(fault) }, "\(faults)")
  }

  @Test func whatIsNoTableIsAnError() throws {
    #expect(throws: PlainTableError.self) { try PlainTables.csv("a,b\n1\n") }
    #expect(throws: PlainTableError.self) { try PlainTables.csv("a,b\n1,2") }
    let rows = try PlainTables.csv("a,b\n\"x,\"\"y\"\"\nz\",\n")
    #expect(rows == [["a": "x,\"y\"\nz", "b": ""]])
    #expect(PlainTables.isRounded("1.23", of: 1.2349) && !PlainTables.isRounded("1.23", of: 1.2361))
    #expect(PlainTables.isRounded("120", of: 119.6) && PlainTables.isRounded("1.2e-05", of: 1.24e-5))
    #expect(!PlainTables.isRounded("1.2e-05", of: 1.26e-5) && !PlainTables.isRounded("", of: 1))
  }
}

/// The files of runs that were made before this test process: `.ci/run` names those of its release build.
@Suite struct QuickRunTests {
  static let folders = (ProcessInfo.processInfo.environment["VBENCH_RUN_FOLDERS"] ?? "")
    .split(separator: ":").map(String.init)

  @Test(
    .enabled(
      if: !folders.isEmpty, "VBENCH_RUN_FOLDERS names no folders of finished runs; .ci/run sets it"))
  func theFilesOfTheRunsFitTogether() throws {
    var (rows, ratios, totals) = (0, 0, 0)
    for folder in Self.folders {
      let check = try RunFolderCheck(folder)
      #expect(check.faults.isEmpty, "\(folder)\n\(check.faults.joined(separator: "\n"))")
      #expect(check.run["partial"] as? Bool == false && check.run["has_times"] as? Bool == true, "\(folder)")
      #expect(check.results.contains { $0["verdict"] == "passed" && $0["samples"] != "" }, "\(folder)")
      rows += check.results.count
      ratios += check.ratios
      totals += check.totals
    }
    #expect(ratios > 0 && totals > 0)
    print("\(rows) rows, \(ratios) ratios and \(totals) totals of \(Self.folders.count) runs were checked")
  }
}
