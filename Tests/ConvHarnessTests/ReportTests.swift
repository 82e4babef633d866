import ConvCore
import ConvNaive
import ConvTestSupport
import Foundation
import Testing

@testable import ConvHarness

@Suite struct ReportTests {
  @Test func quantilesInterpolate() {
    #expect(Statistics.median([3, 1, 2]) == 2)
    #expect(Statistics.median([4, 1, 2, 3]) == 2.5)
    #expect(Statistics.quantile([1, 2, 3, 4, 5], 0.95) == 4.8)
    #expect(Statistics.median([]).isNaN)
  }

  @Test func speedupsNeedMoreThanNoise() {
    let seed: UInt64 = 4
    var random = PhiloxGenerator(seed: seed)
    let base = (0..<40).map { _ in 1 + 0.2 * random.uniform() }
    let twice = base.map { $0 / 2 * (1 + 0.02 * random.uniform()) }
    let same = (0..<40).map { _ in 1 + 0.2 * random.uniform() }
    let slightly = base.map { $0 / 1.01 }
    #expect(Speedup(baseline: base, own: twice, seed: seed).verdict == .faster, "seed \(seed)")
    #expect(Speedup(baseline: twice, own: base, seed: seed).verdict == .slower, "seed \(seed)")
    #expect(Speedup(baseline: base, own: same, seed: seed).verdict == .indistinguishable, "seed \(seed)")
    // The interval excludes 1, but 1 % is nothing that anybody should act on.
    let small = Speedup(baseline: base, own: slightly, seed: seed)
    #expect(small.low > 1 && small.verdict == .indistinguishable)
    #expect(Speedup(baseline: [1], own: [2], seed: seed).verdict == .unknown)
    let first = Speedup(baseline: base, own: same, seed: 9)
    #expect(first == Speedup(baseline: base, own: same, seed: 9), "the bootstrap is seeded")
    #expect(first.low <= first.ratio && first.ratio <= first.high)
  }

  /// The columns that users' scripts rely on, in their order.
  static let columns = """
    suite,problem,name,pass,backend,threads,format,filter_state,verdict,reason,samples,min_ms,median_ms,p95_ms,\
    gflops_effective,peak_percent,workspace_bytes,error_max,error_bound,error_ratio,baseline,speedup,speedup_low,\
    speedup_high,verdict_speed,element_type,variant,isa,plan_ms,prepare_ms,gflops_executed,error_rms,executed_by,repro
    """
  static let trainingColumns = """
    network,backend,threads,batch,steps,step_median_ms,forward_ms,backward_ms,optimizer_ms,images_per_s,loss_first,\
    loss_last,trajectory_error
    """

  private func report() throws -> RunReport {
    let problem = BenchmarkProblem(try ConvProblem(parsing: "conv2d:n2c3h9w9k4r3s3p1"), name: "a, \"b\"|c")
    var run = LayerRun(settings: RunSettings(baseline: "naive"))
    var rows: [ResultRow] = []
    for pass in ConvPass.allCases {
      rows += try run.rows(
        for: RunItem(suite: "test", problem: problem, pass: pass),
        competitors: [
          Competitor(NaiveBackend()), Competitor(NaiveBackend(), variant: "nonsense"),
          Competitor(FakeBackend.faulty(.missingTap)),
        ], times: false)
    }
    var training = TrainingRow(network: "seed-cnn", backend: "naive", threads: 2, batch: 64, steps: 2)
    training.losses = [2.3, 2.1]
    training.forward = [0.5]
    training.backward = [0.25]
    training.optimizer = [0.25]
    return RunReport(
      environment: [("CPU", "one | two")], command: "vbench run", date: "2000-01-01T00:00:00Z", peak: 1,
      rows: rows, training: [training], hasTimes: false)
  }

  @Test func columnsAreTheDocumentedOnes() throws {
    let report = try report()
    let results = ResultRow.csv(report.rows).split(separator: "\n")
    #expect(results[0].hasPrefix(Self.columns))
    #expect(results.count == 1 + 9)
    #expect(results[1].hasPrefix("test,conv2d:n2c3h9w9k4r3s3p1,\"a, \"\"b\"\"|c\",forward,naive,"))
    let training = TrainingRow.csv(report.training).split(separator: "\n")
    #expect(training[0].hasPrefix(Self.trainingColumns))
    #expect(training[1].hasPrefix("seed-cnn,naive,2,64,2,1000,500,250,250,64,2.3,2.1,"))
  }

  @Test func verdictsReachTheReport() throws {
    let report = try report()
    let verdicts = report.rows.filter { $0.pass == .forward }.map(\.verification.verdict)
    #expect(verdicts == [.passed, .unsupported, .failed])
    #expect(report.hasFailures)
    let markdown = report.markdown
    #expect(markdown.contains("## Declined") && markdown.contains("nonsense"))
    #expect(
      markdown.contains("## Not passed")
        && markdown.contains("vbench run conv2d:n2c3h9w9k4r3s3p1 --backends faulty"))
    // No row that failed has a time.
    for row in report.rows where row.verification.verdict != .passed { #expect(row.seconds.isEmpty) }
    #expect(try JSONValue(parsing: report.json)["results"]?.array?.count == 9)
  }

  @Test func trainingDecidesToo() throws {
    var report = try report()
    report.rows = report.rows.filter { $0.verification.verdict == .passed }
    #expect(!report.rows.isEmpty && !report.hasFailures)
    report.training[0].trajectoryError = 1.01
    #expect(report.hasFailures)
    report.training[0].trajectoryError = 0.5
    #expect(!report.hasFailures)
    report.training[0].problem = "no plan"
    #expect(report.hasFailures)
  }

  @Test func reportsAreWrittenWholeOrNotAtAll() throws {
    let report = try report()
    try withTemporaryFolder { folder in
      try report.write(to: folder + "/new/report")
      let files = try FileManager.default.contentsOfDirectory(atPath: folder + "/new/report").sorted()
      #expect(
        files == [
          "layers.csv", "report.html", "report.md", "results.csv", "run.json", "samples.csv", "training.csv",
          "trajectory.csv",
        ])
      let blocked = folder + "/file"
      try AtomicFile.write("x", to: blocked)
      #expect(throws: FileError.self) { try report.write(to: blocked) }
      #expect(throws: FileError.self) { try report.write(to: blocked + "/below") }
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder).sorted() == ["file", "new"])
    }
  }

  @Test func malformedReferencesNameTheFileAndTheFault() throws {
    let source = try SafetensorsFile(
      path: referencesRoot + "/cases/conv2d/"
        + FileManager.default.contentsOfDirectory(atPath: referencesRoot + "/cases/conv2d").sorted()[0])
    func fault(_ change: (inout [String: String], inout [String: Tensor]) throws -> Void) throws -> String? {
      try withTemporaryFolder { folder in
        var (metadata, tensors) = (source.metadata, source.tensors)
        try change(&metadata, &tensors)
        let path = folder + "/case.safetensors"
        try Safetensors.write(
          tensors.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }, metadata: metadata, to: path)
        do {
          _ = try ReferenceCase(path: path)
          return nil
        } catch let error as FileError {
          #expect(error.path == path)
          return "\(error)"
        }
      }
    }
    #expect(try fault { _, _ in } == nil)
    #expect(try fault { metadata, _ in metadata["format"] = "other" }?.contains("other") == true)
    #expect(try fault { metadata, _ in metadata["attributes"] = "{\"stride\":" }?.contains("JSON") == true)
    #expect(try fault { metadata, _ in metadata["attributes"] = "{}" }?.contains("stride") == true)
    #expect(try fault { metadata, _ in metadata["op"] = "conv9d" }?.contains("conv9d") == true)
    #expect(try fault { metadata, _ in metadata["op"] = "conv3d" } != nil)
    #expect(try fault { metadata, _ in metadata["precision"] = nil }?.contains("precision") == true)
    #expect(try fault { _, tensors in tensors["weight"] = nil }?.contains("weight") == true)
    #expect(
      try fault { _, tensors in tensors["output"] = try Tensor([1.0], shape: [1]) }?.contains("output")
        == true)
    #expect(
      try fault { _, tensors in tensors["input"] = try tensors["input"]!.converted(to: .float64) }?
        .contains("float64") == true)
  }
}
