import ConvCore
import ConvNN
import ConvNaive
import Foundation

@testable import ConvHarness

/// Reports with made-up times.
enum SyntheticRun {
  /// A row with samples around `milliseconds`.
  static func row(
    _ problem: String = "conv2d:n1c3h9w9k4r3s3p1", suite: String = "net", name: String = "conv1",
    pass: ConvPass = .forward, backend: String = "naive", milliseconds: Double, count: Int = 20,
    noise: Double = 0.01, threads: Int = 2, multiplicity: Int = 1, seed: UInt64 = 1
  ) throws -> ResultRow {
    let item = RunItem(
      suite: suite,
      problem: BenchmarkProblem(try ConvProblem(parsing: problem), name: name, multiplicity: multiplicity),
      pass: pass)
    var row = ResultRow(item: item, competitor: Competitor(NaiveBackend()), settings: RunSettings())
    row.backend = backend
    row.threads = threads
    row.set(Verification(.passed, reason: ""))
    var random = PhiloxGenerator(seed: seed)
    row.seconds = (0..<count).map { _ in milliseconds * 1e-3 * (1 + noise * (random.uniform() - 0.5)) }
    row.rounds = (0..<count).map { 2 * $0 }
    row.minMilliseconds = (row.seconds.min() ?? .nan) * 1e3
    row.medianMilliseconds = Statistics.median(row.seconds) * 1e3
    row.p95Milliseconds = Statistics.quantile(row.seconds, 0.95) * 1e3
    return row
  }

  /// A report with something in every column that a row can have.
  static func full() throws -> RunReport {
    var first = try row(name: "a, \"b\"|c\nd", backend: "im2col", milliseconds: 1.0 / 3)
    first.speedup = .ofBaseline
    first.best = BestComparison(
      backend: "winograd", ratio: 1.23456789, low: 1.2, high: 1.25, verdict: .slower)
    var second = try row(name: "a, \"b\"|c\nd", backend: "winograd", milliseconds: 0.27)
    second.speedup = Speedup(ratio: 1.2345678, low: 1.2, high: 1.25, verdict: .faster)
    second.best = .ofBest("winograd")
    second.variant = "winograd[tile=4x4,points=5/8:3/2]"
    second.executedBy = "winograd via groups"
    second.gflopsEffective = 123.456789
    second.gflopsExecuted = 77.7777777
    second.peakPercent = 1e-7 / 3
    second.peakProbes = [251.23456, 1000.0 / 3, 99.99]
    second.untimedExecutions = 3
    second.rooflineGflops = 2 / 3.0
    second.rooflinePercent = 99.99996
    second.planMilliseconds = 0.1
    second.prepareMilliseconds = 0.2
    second.predictedMilliseconds = 0.3
    second.work = "products 12"
    second.workspaceBytes = 4096
    second.peakMemoryBytes = 1 << 30
    second.multiplicity = 3
    second.cache = .cold
    second.workspaceLimit = 1 << 20
    second.phases = [("input transform", 1.0 / 7e3), ("odd=;name", 2e-3)]
    second.verification.errorMax = 1e-6 / 3
    second.verification.errorRMS = 1e-7 / 3
    second.verification.errorBound = 1e-5 / 3
    second.verification.errorBoundWorst = 1e-4 / 3
    second.verification.errorRatio = 1.2349996e-1
    second.verification.effectiveBits = 64.0 / 3
    second.verification.isCorrelated = true
    second.verification.projectionRatio = 1.0 / 7
    second.verification.samples = 4096
    second.verification.norms = ErrorNorms(
      results: [1, 2.0001], values: [1, 2], magnitudes: [3, 7], elementType: .float32)
    second.verification.coverage = SampleCoverage(
      .stratified(
        try ConvProblem(parsing: "conv2d:n3c40h50w41k70r3s3p1"), .forward, seed: 3))
    second.verification.samples = second.verification.coverage?.sampled ?? 0
    second.distribution = .sparse
    var third = try row(backend: "fft", milliseconds: 1, count: 0)
    third.set(Verification(.unsupported, reason: "not for, \"this\""))
    third.medianMilliseconds = .nan
    third.minMilliseconds = .nan
    third.p95Milliseconds = .nan
    var fourth = try row(pass: .backwardFilter, backend: "direct", milliseconds: 1, count: 0)
    fourth.set(Verification(.failed, reason: "wrong"))
    fourth.verification.errorRatio = .infinity
    fourth.medianMilliseconds = .nan
    var training = TrainingRow(network: "seed-cnn", backend: "winograd", threads: 2, batch: 64, steps: 3)
    training.losses = [2.3025851, 2.1, 1.9999999]
    training.forward = [0.01 / 3, 0.02 / 3]
    training.backward = [0.02, 0.021]
    training.optimizer = [0.001, 0.0011]
    training.trajectoryError = 1.0 / 3
    training.speedup = Speedup(ratio: 2.3456789, low: 2, high: 3, verdict: .faster)
    training.fallbacks = ["direct", "im2col"]
    training.residentBytes = 3 << 30
    training.pooledBytes = 123_456_789
    training.layers = [
      LayerProfile.Layer(
        name: "conv1", kind: "Conv2d(3, 32, kernel_size=3) + MaxPool2d(2)", outputShape: [64, 32, 32, 32],
        forward: 1.0 / 3e3, backward: 2.0 / 3e3, engine: "forward: winograd, backward-filter: direct"),
      LayerProfile.Layer(
        name: "loss", kind: "loss", outputShape: [], forward: 1e-5, backward: 2e-5, engine: ""),
    ]
    var step = TrajectoryStep(
      number: 1, loss: 2.3025851, lossReference: 2.3025849, gradientNorm: 1.0 / 3,
      gradientNormReference: 0.33333, distance: 1.0 / 3e7)
    step.lossAllowed = 1e-6
    step.gradientNormAllowed = 1e-5
    step.distanceAllowed = 1e-6
    var strayed = step
    strayed.number = 2
    strayed.loss = .nan
    training.trajectory = TrajectoryRecord(
      optimizer: "adam", kappa: 7.0 / 3, level: 16, steps: [step, strayed],
      divergence: "step 2 diverges first at the input of conv2, \"so\"")
    var broken = TrainingRow(network: "seed-cnn", backend: "fft", threads: 2, batch: 64, steps: 0)
    broken.problem = "no plan, \"at all\""
    var unable = TrainingRow(network: "lenet", backend: "fft", threads: 2, batch: 64, steps: 0)
    unable.declined = "a stride, for example"
    var report = RunReport(
      environment: [("CPU", "one | two"), ("B", "2"), ("A", "1")], command: "vbench run 'x y'",
      date: "2000-01-01T00:00:00Z", peak: 123.456789, rows: [first, second, third, fourth],
      training: [training, broken, unable], trainingSource: "images")
    report.limits = [
      MachineLimits(threads: 1, fmaPeak: 70.1234567, bandwidth: 10 / 3.0),
      MachineLimits(
        threads: 2, fmaPeak: 123.456789, bandwidth: 20 / 3.0,
        levels: [
          CacheBandwidth(
            level: "L1", bytesPerThread: 24 << 10, read: 1000 / 3.0, write: 500 / 3.0, triad: 400 / 3.0),
          CacheBandwidth(
            level: "memory", bytesPerThread: 64 << 20, read: 30, write: .nan, triad: 20 / 3.0),
        ], matrixKernel: 100 / 3.0),
    ]
    report.warnings = ["a library | runs \"slowly\"", "another one"]
    report.since = "since out | of \"then\": 3 rows unchanged"
    var noise = NoiseRecord()
    noise.stealPercent = 2.3456789
    noise.stealPercentWorst = 7
    noise.othersPercent = 1
    noise.othersPercentWorst = 2
    noise.loadBefore = 0.5
    noise.loadAfter = 1.5
    (noise.peakLow, noise.peakHigh) = (100.0 / 3, 200.0 / 3)
    noise.hugePages = "madvise"
    report.noise = noise
    var ledger = TimeLedger()
    ledger.verification = 1 / 3.0
    ledger.kernels = 2
    ledger.waiting = 0.1
    ledger.total = 3
    report.ledger = ledger
    return report
  }
}
