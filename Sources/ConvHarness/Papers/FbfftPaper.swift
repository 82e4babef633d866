import ConvCore

extension PaperPack {
  /// Vasilache et al.: FFT convolutions on GPUs.
  static let fbfft = PaperPack(
    name: "fbfft",
    title: "N. Vasilache et al., Fast Convolutional Nets With fbfft: A GPU Performance Evaluation, 2014",
    url: "https://arxiv.org/abs/1412.7580",
    layers: layers([
      "conv2d:n128c3h128w128k96r11s11 L1", "conv2d:n128c64h64w64k64r9s9 L2",
      "conv2d:n128c128h32w32k128r9s9 L3", "conv2d:n128c128h16w16k128r7s7 L4",
      "conv2d:n128c384h13w13k384r3s3 L5",
    ]), network: nil,
    figures: (fbfftLayers + fbfftNetworks).flatMap(\.figures), statedOrders: [],
    notes: [
      "The layers are those of the authors' benchmark (fbcunn, test/benchmark_fft.lua): L2 has 64 filters where "
        + "convnet-benchmarks has 128.",
      "The paper's own per-layer speed-ups over cuDNN are left out: no copy of its tables was at hand to take them from. The "
        + "times of L1, L3, L4 and L5 are those that convnet-benchmarks published of fbfft, on other hardware.",
      "The abstract claims more than 1.5 times over cuFFT for whole networks, and up to 23.5 times over cuDNN for some "
        + "synthetic configurations.",
      "Networks are listed, not measured.",
    ])

  /// The layers that both benchmarks share.
  private static let fbfftLayers: [PaperTable] = [convnetBenchmarksForward, convnetBenchmarksBackward].map {
    table in
    let shared = table.columns.indices.filter { table.columns[$0].subject != "L2" }
    return PaperTable(
      source: table.source, hardware: table.hardware, passes: table.passes,
      columns: shared.map { table.columns[$0] },
      rows: table.rows.map { row in
        .init(row.implementation, row.classes, shared.map { row.values[$0] })
      })
  }

  private static let fbfftNetworks: [PaperTable] = {
    let source = PaperSource(
      title: "S. Chintala, preliminary benchmarks, December 2014",
      url: "https://gist.github.com/soumith/e6297e93dd2fe3751562", place: "AlexNet")
    let times: [(ConvPass, [Double])] = [
      (.forward, [147.32, 201.53, 94.34, 99.03]), (.backwardData, [167.79, 165.09, 96.69, 104.59]),
      (.backwardFilter, [153.96, 193.94, 93.20, 103.29]),
    ]
    return times.map { pass, values in
      PaperTable(
        source: source, hardware: "NVIDIA Tesla K40m", passes: [pass], columns: [("AlexNet", 128)],
        rows: zip(["cuDNN", "Torch-7", "cuFFT convolution", "cuda-convnet2"], values).map {
          .init($0, [], [$1])
        })
    }
  }()
}
