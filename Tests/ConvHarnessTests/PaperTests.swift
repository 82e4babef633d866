import ConvCore
import ConvTestSupport
import Testing

@testable import ConvHarness

/// The packs against what their publications say of themselves: sums, totals, winners.
@Suite struct PaperPackTests {
  /// Output heights that follow from the published shapes, and the operations of the whole table per image.
  @Test func layersAreThePublishedOnes() throws {
    let outputs: [String: [Int]] = [
      "convnet-benchmarks": [118, 56, 24, 10, 11],
      "nnpack": [27, 13, 13, 13, 224, 112, 56, 56, 28, 28, 14, 24, 12, 12, 12],
      "lavin-gray": [224, 224, 112, 112, 56, 56, 28, 28, 14], "fbfft": [118, 56, 24, 10, 11],
    ]
    for pack in PaperPack.all {
      #expect(pack.layers.map(\.problem.output.h) == outputs[pack.name], "\(pack.name)")
      #expect(pack.layers.map(\.problem.output.w) == outputs[pack.name], "\(pack.name)")
      for layer in pack.layers {
        #expect(try ConvProblem(parsing: layer.problem.description) == layer.problem)
        #expect(!layer.name.isEmpty)
      }
      #expect(Set(pack.layers.map(\.name)).count == pack.layers.count, "\(pack.name)")
    }
    // Table 3 of Lavin & Gray: GFLOP by depth, and their total.
    let vgg = try PaperPack.named("lavin-gray")
    let giga = vgg.layers.map { $0.problem.directFLOPs * Double($0.multiplicity) * 1e-9 }
    for (own, published) in zip(giga, [0.17, 3.70, 1.85, 3.70, 1.85, 11.10, 1.85, 11.10, 3.70]) {
      #expect(abs(own - published) < 0.005, "\(own) \(published)")
    }
    #expect(abs(giga.reduce(0, +) - 39.02) < 0.01)
    // NNPACK's networks are the suite's where both have a layer.
    let alexNet = try BenchmarkSuite.named("alexnet").problems.dropFirst().map(\.problem)
    #expect(try PaperPack.named("nnpack").layers.prefix(4).map(\.problem) == Array(alexNet))
  }

  @Test func everyNumberHasItsSource() {
    for pack in PaperPack.all {
      #expect(pack.url.hasPrefix("https://") && !pack.title.isEmpty && !pack.notes.isEmpty)
      #expect(!pack.figures.isEmpty && !pack.passes.isEmpty, "\(pack.name)")
      for source in pack.sources {
        #expect(source.url.hasPrefix("https://") && !source.title.isEmpty && !source.place.isEmpty)
      }
      for figure in pack.figures {
        #expect(figure.value > 0 && figure.value.isFinite, "\(figure)")
        #expect(!figure.hardware.isEmpty && !figure.implementation.isEmpty && !figure.passes.isEmpty)
        #expect(figure.unit == .error || figure.batch != nil, "\(figure)")
        let layer = pack.layers.first { $0.name == figure.subject }
        // A layer's number is of the batch that the pack states for it.
        if let layer, figure.unit != .error { #expect(figure.batch == layer.problem.n, "\(figure)") }
      }
      for order in pack.statedOrders {
        #expect(pack.layers.contains { $0.name == order.subject }, "\(order)")
      }
    }
  }

  private func sum(
    _ pack: String, _ implementation: String, _ passes: [ConvPass]? = nil, of subjects: [String]
  ) throws -> Double {
    try PaperPack.named(pack).figures.filter { figure in
      figure.implementation == implementation && subjects.contains(figure.subject)
        && passes.map { $0 == figure.passes } ?? true
    }.reduce(0) { $0 + $1.value }
  }

  /// The total columns of the README and the log; its own rounding is 1 ms.
  @Test func convnetBenchmarksAddUp() throws {
    let five = ["L1", "L2", "L3", "L4", "L5"]
    let totals: [(String, Double, Double)] = [
      ("fbfft", 101, 155), ("cuda-convnet2", 201, 776), ("cuda-convnet", 312, 765), ("cuDNN R2", 269, 750),
      ("Theano CorrMM", 407, 818), ("Caffe", 396, 835), ("Torch-7", 418, 877), ("DeepCL", 2648, 3632),
    ]
    for (name, forward, backward) in totals {
      #expect(try sum("convnet-benchmarks", name, [.forward], of: five) == forward, "\(name)")
      #expect(
        try sum("convnet-benchmarks", name, [.backwardData, .backwardFilter], of: five) == backward,
        "\(name)")
    }
    let log: [(String, [Double])] = [
      ("cuDNN, autotuned", [136.79, 133.57, 29.54, 7.51, 22.91]),
      ("Torch-7 SpatialConvolutionMM", [296.25, 590.40, 302.35, 54.76, 62.43]),
    ]
    for (name, totals) in log {
      for (layer, total) in zip(five, totals) {
        let own = try sum("convnet-benchmarks", name, of: [layer])
        #expect(abs(own - total) < 0.025, "\(name) \(layer) \(own)")
      }
    }
    let networks: [(String, [String: Double])] = [
      ("cuDNN R4", ["AlexNet": 81, "OverFeat fast": 268, "VGG-A": 529, "GoogLeNet v1": 470]),
      ("TensorFlow", ["AlexNet": 81, "OverFeat fast": 279, "VGG-A": 540, "GoogLeNet v1": 445]),
      ("neon", ["AlexNet": 87, "OverFeat fast": 211, "VGG-A": 320, "GoogLeNet v1": 270]),
      ("fbfft", ["AlexNet": 104, "OverFeat fast": 342, "VGG-A": 1092]),
      ("Chainer", ["AlexNet": 177, "OverFeat fast": 620, "VGG-A": 885, "GoogLeNet v1": 687]),
      ("cuda-convnet2", ["AlexNet": 177, "OverFeat fast": 723, "VGG-A": 1229]),
      ("cuDNN R2", ["AlexNet": 231, "OverFeat fast": 810, "VGG-A": 1099]),
      ("Caffe", ["AlexNet": 324, "OverFeat fast": 823, "VGG-A": 1068, "GoogLeNet v1": 1935]),
      ("Torch-7", ["AlexNet": 342, "OverFeat fast": 878, "VGG-A": 1105]),
      ("CL-nn", ["AlexNet": 963, "VGG-A": 3437, "GoogLeNet v1": 7016]),
      ("Caffe-CLGreenTea", ["AlexNet": 1442, "OverFeat fast": 2857, "VGG-A": 5620, "GoogLeNet v1": 9462]),
    ]
    for (name, totals) in networks {
      for (network, total) in totals {
        let own = try sum("convnet-benchmarks", name, of: [network])
        // Chainer's VGG-A row misses its own total by 2 ms.
        #expect(
          abs(own - total) <= (name == "Chainer" && network == "VGG-A" ? 2 : 1), "\(name) \(network) \(own)")
      }
    }
  }

  /// Winners are printed in bold in NNPACK's README; throughput beside time in table 5 of Lavin & Gray; totals in the gist.
  @Test func theOthersAgreeWithThemselves() throws {
    let nnpack = try PaperPack.named("nnpack")
    for layer in nnpack.layers.map(\.name) {
      let winner = nnpack.figures.filter { $0.subject == layer }.min { $0.value < $1.value }
      let expected =
        layer == "VGG-A:conv1"
        ? "Caffe, im2col + sgemm"
        : ["OverFeat:conv3", "OverFeat:conv4", "OverFeat:conv5"].contains(layer)
          ? "NNPACK F(6x6, 3x3)" : "NNPACK FFT 16x16"
      #expect(winner?.implementation == expected, "\(layer)")
    }
    let throughput: [String: [Int: Double]] = [
      "cuDNN v3": [1: 3.12, 2: 3.83, 4: 1.49, 8: 1.29, 16: 3.07, 64: 6.34],
      "F(2x2, 3x3)": [1: 7.03, 2: 7.89, 4: 8.81, 8: 9.43, 16: 9.49, 64: 9.37],
    ]
    let vgg = try PaperPack.named("lavin-gray").figures.filter { $0.unit == .milliseconds }
    #expect(vgg.count == 12)
    for figure in vgg {
      let batch = try #require(figure.batch)
      let published = try #require(throughput[figure.implementation]?[batch])
      #expect(abs(39.02 * Double(batch) / figure.value - published) < 0.006, "\(figure)")
    }
    for (name, total) in [
      ("cuDNN", 469.07), ("Torch-7", 560.56), ("cuFFT convolution", 284.23), ("cuda-convnet2", 306.91),
    ] {
      #expect(abs(try sum("fbfft", name, of: ["AlexNet"]) - total) < 0.01, "\(name)")
    }
  }

  @Test func ordersFollowFromTheNumbers() throws {
    let nnpack = try PaperPack.named("nnpack").orders(batch: 1)
    // Three kinds on 13 layers, two where Winograd is not applicable.
    #expect(nnpack.count == 13 * 3 + 2)
    let first = nnpack.filter { $0.subject == "VGG-A:conv1" }
    #expect(first.count == 3 && first.allSatisfy { $0.slower != [.direct] })
    let fft = try #require(first.first { $0.faster == [.direct] && $0.slower == [.fft] })
    #expect(fft.ratio.map { abs($0 - 260.0 / 255) < 1e-12 } == true)
    #expect(fft.implementations == "Caffe, im2col + sgemm over NNPACK FFT 16x16")
    // The best of both FFT tiles counts.
    let third = nnpack.first {
      $0.subject == "OverFeat:conv3" && $0.faster == [.winograd] && $0.slower == [.fft]
    }
    #expect(third?.ratio.map { abs($0 - 69.0 / 54) < 1e-12 } == true)

    let convnet = try PaperPack.named("convnet-benchmarks").orders(batch: 8)
    #expect(convnet.count == 10)
    #expect(convnet.filter { $0.faster == [.direct] }.map(\.subject) == ["L1", "L5"])
    #expect(convnet[0].passes == [.forward])
    #expect(convnet[0].ratio.map { abs($0 - 57.0 / 36) < 1e-12 } == true)
    #expect(try PaperPack.named("fbfft").orders(batch: 8).count == 8)

    let vgg = try PaperPack.named("lavin-gray")
    #expect(vgg.orders(batch: 1).count == 9)
    for (batch, ratio) in [(1, 12.52 / 5.55), (3, 104.70 / 17.72), (32, 9.45 / 5.27), (500, 394.05 / 266.48)]
    {
      let total = vgg.orders(batch: batch).last
      #expect(total?.subject == "VGG-E" && total?.faster == [.winograd] && total?.slower == [.direct, .fft])
      #expect(total?.ratio.map { abs($0 - ratio) < 1e-9 } == true, "\(batch) \(total?.ratio ?? 0)")
    }
  }

  @Test func batchesSuitACPU() throws {
    func batches(_ name: String) throws -> [Int] {
      try PaperPack.named(name).layers.map { PaperPack.defaultBatch(for: $0) }
    }
    #expect(try batches("convnet-benchmarks") == [8, 2, 4, 32, 16])
    #expect(try batches("lavin-gray") == Array(repeating: 1, count: 9))
    for pack in PaperPack.all {
      for layer in pack.layers {
        let batch = PaperPack.defaultBatch(for: layer)
        let flops = layer.problem.directFLOPs / Double(layer.problem.n) * Double(batch)
        #expect(batch <= layer.problem.n && (batch == 1 || flops <= 10e9), "\(layer)")
      }
    }
  }

  @Test func namesAreKnown() {
    #expect(throws: HarnessError.self) { try PaperPack.named("nnpakc") }
    do {
      _ = try PaperPack.named("nnpakc")
    } catch {
      #expect("\(error)".contains("did you mean 'nnpack'?"), "\(error)")
    }
  }
}

/// Orders and errors on rows that were made up.
@Suite struct PaperComparisonTests {
  /// Engines are named after what they stand for: `direct`, `direct2`, `fft`, ….
  static func kind(_ row: ResultRow) -> AlgorithmClass? {
    AlgorithmClass.allCases.first { row.backend.hasPrefix($0.rawValue) }
  }

  /// A row of a layer of a pack, with a time per round.
  private func row(
    _ pack: PaperPack, _ layer: String, _ pass: ConvPass, _ backend: String, batch: Int = 2,
    seconds: [Double] = []
  ) throws -> ResultRow {
    var problem = try #require(pack.layers.first { $0.name == layer })
    problem.problem = try problem.problem.withBatch(batch)
    var row = ResultRow(
      item: RunItem(suite: pack.name, problem: problem, pass: pass),
      competitor: Competitor(FakeBackend.faulty(.none)), settings: RunSettings())
    row.backend = backend
    row.seconds = seconds
    row.rounds = Array(seconds.indices)
    row.medianMilliseconds = Statistics.median(seconds) * 1e3
    return row
  }

  /// Twenty rounds about `seconds`, alike for every engine of a round but for `noise`.
  private func rounds(_ seconds: Double, noise: Double = 0.001, stream: UInt32 = 0) -> [Double] {
    var random = PhiloxGenerator(seed: 5, stream: stream)
    return (0..<20).map { _ in seconds * (1 + noise * (2 * random.uniform() - 1)) }
  }

  private func findings(_ pack: PaperPack, _ rows: [ResultRow]) -> [PaperComparison.Finding] {
    PaperComparison(pack: pack, rows: rows, seed: 1, classifier: Self.kind).findings
  }

  @Test func verdicts() throws {
    let pack = try PaperPack.named("convnet-benchmarks")
    // Published: L2 forward, fft over direct; the best engine of a kind stands for it.
    func verdict(fft: [Double], direct: [Double]) throws -> PaperComparison.Finding {
      let rows = [
        try row(pack, "L2", .forward, "fft", seconds: fft),
        try row(pack, "L2", .forward, "direct", seconds: direct),
        try row(pack, "L2", .forward, "direct2", seconds: rounds(9)),
        try row(pack, "L2", .forward, "oracle", seconds: rounds(0.001)),
      ]
      let found = findings(pack, rows)
      #expect(found.count == 1 && found[0].order.subject == "L2" && found[0].order.passes == [.forward])
      return found[0]
    }
    let holds = try verdict(fft: rounds(1), direct: rounds(3, stream: 1))
    #expect(holds.verdict == .holds && holds.engines == ["fft", "direct"])
    #expect(holds.ratio.map { abs($0.ratio - 3) < 0.01 } == true)
    let reversed = try verdict(fft: rounds(3), direct: rounds(2, stream: 1))
    #expect(reversed.verdict == .reversed && reversed.ratio.map { $0.high < 1 } == true)
    // The interval includes 1; and 1 % apart is no difference however sure it is.
    let tie = try verdict(
      fft: rounds(1, noise: 0.3), direct: rounds(1, noise: 0.3, stream: 1))
    #expect(tie.verdict == .indistinguishable)
    #expect(try verdict(fft: rounds(1.01), direct: rounds(1)).verdict == .indistinguishable)
    // Rounds that only one of them took part in are not paired: the machine is slower in the even ones.
    var sparse = try row(pack, "L2", .forward, "fft", seconds: [1, 1, 1, 1, 1, 1, 1])
    sparse.rounds = [1, 3, 5, 7, 9, 11, 13]
    let other = try row(
      pack, "L2", .forward, "direct", seconds: (0..<14).map { $0.isMultiple(of: 2) ? 6 : 2 })
    #expect(findings(pack, [sparse, other]).map(\.ratio?.ratio) == [2])
    // A single round tells nothing.
    #expect(try verdict(fft: [1], direct: [3]).verdict == .notMeasured)

    let comparison = PaperComparison(
      pack: pack,
      rows: [
        try row(pack, "L2", .forward, "fft", seconds: rounds(1)),
        try row(pack, "L2", .forward, "direct", seconds: rounds(3)),
        try row(pack, "L3", .forward, "fft", seconds: rounds(3)),
        try row(pack, "L3", .forward, "direct", seconds: rounds(1)),
        try row(pack, "L4", .forward, "fft", seconds: rounds(1)),
        try row(pack, "L4", .forward, "direct", seconds: rounds(1)),
        try row(pack, "L5", .forward, "fft", seconds: rounds(1)), try row(pack, "L5", .forward, "direct"),
      ], seed: 1, classifier: Self.kind)
    #expect(
      comparison.summary
        == "The order of the winners holds in 1 of 3 pairs; 1 reversed, 1 cannot be told apart here. "
        + "1 more have no times here.")
    #expect(comparison.findings.last?.reason == "no time of direct in L5 forward")
  }

  /// Both gradients were published as one sum: neither pass decides alone.
  @Test func publishedSumsAreSums() throws {
    let pack = try PaperPack.named("convnet-benchmarks")
    let rows = [
      try row(pack, "L4", .backwardData, "fft", seconds: rounds(1)),
      try row(pack, "L4", .backwardData, "direct", seconds: rounds(2)),
      try row(pack, "L4", .backwardFilter, "fft", seconds: rounds(10)),
      try row(pack, "L4", .backwardFilter, "direct", seconds: rounds(7)),
    ]
    let found = findings(pack, rows)
    #expect(found.count == 1 && found[0].order.passes == [.backwardData, .backwardFilter])
    #expect(found[0].verdict == .reversed)
    #expect(found[0].ratio.map { abs($0.ratio - 9.0 / 11) < 0.005 } == true, "\(found)")
    // One of both passes is no sum.
    #expect(findings(pack, Array(rows.prefix(2))).isEmpty)
  }

  /// VGG-E: layers count as often as they occur, by the image, each with its best engine of a kind.
  @Test func networksAreSumsOfLayers() throws {
    let pack = try PaperPack.named("lavin-gray")
    var rows: [ResultRow] = []
    var total = (winograd: 0.0, other: 0.0)
    for (index, layer) in pack.layers.enumerated() {
      let batch = 1 + index % 3
      let (winograd, direct, fft) = (1.0, 2.0 + Double(index), index == 4 ? 1.5 : 40)
      for (name, seconds) in [("winograd", winograd), ("direct", direct), ("fft", fft)] {
        rows.append(
          try row(
            pack, layer.name, .forward, name, batch: batch, seconds: rounds(seconds * Double(batch))))
      }
      total.winograd += Double(layer.multiplicity) * winograd
      total.other += Double(layer.multiplicity) * min(direct, fft)
    }
    let found = findings(pack, rows)
    #expect(found.count == 9 && found.allSatisfy { $0.verdict == .holds })
    let network = try #require(found.last)
    #expect(network.order.subject == "VGG-E" && network.engines == ["winograd", "direct, fft"])
    #expect(network.ratio.map { abs($0.ratio - total.other / total.winograd) < 0.01 } == true, "\(network)")
    // Without one of its layers there is no network.
    #expect(findings(pack, rows.filter { $0.name != "conv5" }).count == 7)
  }

  @Test func errorsStandBesideThePublishedOnes() throws {
    let pack = try PaperPack.named("lavin-gray")
    func verified(_ backend: String, _ error: Double, layer: String = "conv5") throws -> ResultRow {
      var row = try row(pack, layer, .forward, backend)
      row.verification = Verification(.passed, reason: "")
      row.verification.errorMax = error
      row.verification.samples = 4096
      return row
    }
    let rows = [
      try verified("direct", 3e-5), try verified("winograd[tile=2x2,points=1]", 4e-5),
      try verified("winograd[tile=4x4,points=1:2]", 9e-4), try verified("winograd[tile=4x4]", 2e-4),
      try verified("direct", 1, layer: "conv1.1"),
    ]
    let errors = PaperErrors(pack: pack, rows: rows, classifier: Self.kind)
    // conv1.1 has no published error.
    #expect(errors.lines.map(\.figure?.value) == [3.43e-4, 4.20e-5, 1.08e-3, nil])
    // Published: F(2x2) < direct < F(4x4); here direct < F(2x2) < F(4x4).
    #expect(errors.pairs.count == 3 && errors.pairs.holding == 2)

    let report = PaperReport(
      pack: pack, environment: [("CPU", "one | two")], command: "vbench paper", date: "2026-01-01",
      layers: pack.layers, rows: rows, errorRows: rows, choseBatches: true, isPartial: false, seed: 1,
      classifier: Self.kind)
    let text = report.markdown
    for words in [
      "holds in 2 of 3 pairs",
      "| conv5 | winograd[tile=2x2,points=1] | F(2x2, 3x3) | 4.20e-05 | 4.00e-05 | 0.952 |",
      "one \\| two", "arxiv.org/abs/1509.09308", "Published figures of networks", "table 4",
    ] {
      #expect(text.contains(words), "'\(words)' is missing in\n\(text)")
    }
  }

  @Test func reportsHaveBothNumbers() throws {
    let pack = try PaperPack.named("convnet-benchmarks")
    let layer = try #require(pack.layers.first { $0.name == "L4" })
    let small = BenchmarkProblem(try layer.problem.withBatch(2), name: "L4")
    let rows = [
      try row(pack, "L4", .forward, "fft", seconds: rounds(0.002)),
      try row(pack, "L4", .forward, "direct", seconds: rounds(0.004)),
    ]
    var report = PaperReport(
      pack: pack, environment: [], command: "vbench paper", date: "2026-01-01", layers: [small], rows: rows,
      errorRows: [], choseBatches: true, isPartial: false, seed: 1, classifier: Self.kind)
    let text = report.markdown
    for words in [
      "### L4 `conv2d:n2c128h16w16k128r7s7`", "Published at batch 128.",
      "| fbfft, NVIDIA Titan X | fft | 2 (10276) | [1] |",
      "| **fft** | fft | **2.00 (161)** | this run |", "at most 10 GFLOP", "No time is scaled",
      "The order of the winners holds in 1 of 1 pairs",
    ] {
      #expect(text.contains(words), "'\(words)' is missing in\n\(text)")
    }
    var noise = NoiseRecord()
    (noise.stealPercent, noise.stealPercentWorst) = (30, 40)
    report.noise = noise
    report.limits = [MachineLimits(threads: 2, fmaPeak: 190, bandwidth: 25)]
    let measured = report.markdown
    for words in [
      "| FMA peak | 190 GFLOP/s", "| memory bandwidth | 25.0 GB/s", "| noise | ", "A noisy machine: ",
    ] {
      #expect(measured.contains(words) && !text.contains(words), "'\(words)' in\n\(measured)")
    }
    let orders = report.orders.split(separator: "\n")
    #expect(orders.count == 2 && orders[0].hasPrefix("subject,passes,faster,slower,published_ratio,ratio,"))
    #expect(orders[1].hasPrefix("L4,forward,fft,direct,2,") && orders[1].contains(",holds,"))
  }
}
