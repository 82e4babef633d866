import ConvCore

// The numbers of soumith/convnet-benchmarks: its README and a log of its scripts, both of a Titan X.

extension PaperPack {
  /// Chintala's comparison of GPU libraries on five layers and four networks.
  static let convnetBenchmarks = PaperPack(
    name: "convnet-benchmarks", title: "S. Chintala, convnet-benchmarks",
    url: "https://github.com/soumith/convnet-benchmarks",
    layers: layers([
      "conv2d:n128c3h128w128k96r11s11 L1", "conv2d:n128c64h64w64k128r9s9 L2",
      "conv2d:n128c128h32w32k128r9s9 L3", "conv2d:n128c128h16w16k128r7s7 L4",
      "conv2d:n128c384h13w13k384r3s3 L5",
    ]), network: nil,
    figures: convnetBenchmarksForward.figures + convnetBenchmarksBackward.figures
      + convnetBenchmarksLog.flatMap(\.figures) + convnetBenchmarksNetworks.flatMap(\.figures),
    statedOrders: [],
    notes: [
      "Its layer tables sum both backward passes; ours is the sum of the medians of both.",
      "The log has the passes apart, but does not say which algorithm cuDNN chose: it takes part in no order.",
      "Networks are listed, not measured: vbench run --network measures training steps. Rows with fp16 data are left out, "
        + "as is CL-nn's OverFeat row, which repeats its AlexNet row.",
    ])

  private static let titanX = "NVIDIA Titan X"
  private static let columns = ["L1", "L2", "L3", "L4", "L5"].map { (subject: $0, batch: Optional(128)) }

  private static func readme(_ place: String) -> PaperSource {
    PaperSource(
      title: "convnet-benchmarks README",
      url:
        "https://github.com/soumith/convnet-benchmarks/blob/b9d22fe38d564893318cb9dd8df44493b77b9872/README.md",
      place: place)
  }

  /// April 2015.
  static let convnetBenchmarksForward = PaperTable(
    source: readme("layer-wise breakdown, forward"), hardware: titanX, passes: [.forward], columns: columns,
    rows: [
      .init("fbfft", [.fft], [57, 27, 6, 2, 9]),
      .init("cuda-convnet2", [.direct], [36, 113, 40, 4, 8]),
      .init("cuda-convnet", [.direct], [38, 183, 68, 7, 16]),
      .init("cuDNN R2", [.direct], [56, 143, 53, 6, 11]),
      .init("Theano CorrMM", [.direct], [91, 143, 121, 24, 28]),
      .init("Caffe", [.direct], [93, 136, 116, 24, 27]),
      .init("Torch-7", [.direct], [94, 149, 123, 24, 28]),
      .init("DeepCL", [.direct], [738, 1241, 518, 47, 104]),
    ])

  /// April 2015, both gradients together.
  static let convnetBenchmarksBackward = PaperTable(
    source: readme("layer-wise breakdown, backward"), hardware: titanX,
    passes: [.backwardData, .backwardFilter], columns: columns,
    rows: [
      .init("fbfft", [.fft], [76, 45, 12, 4, 18]),
      .init("cuda-convnet2", [.direct], [103, 467, 162, 15, 29]),
      .init("cuda-convnet", [.direct], [136, 433, 147, 15, 34]),
      .init("cuDNN R2", [.direct], [139, 401, 159, 19, 32]),
      .init("Theano CorrMM", [.direct], [179, 405, 174, 29, 31]),
      .init("Caffe", [.direct], [200, 405, 172, 28, 30]),
      .init("Torch-7", [.direct], [206, 432, 178, 29, 32]),
      .init("DeepCL", [.direct], [484, 2144, 747, 59, 198]),
    ])

  /// The log of a later run, pass by pass.
  private static let convnetBenchmarksLog: [PaperTable] = {
    let source = PaperSource(
      title: "convnet-benchmarks log",
      url:
        "https://github.com/soumith/convnet-benchmarks/blob/1ca1fe8779584b77614d7cb24b065d005cf8a66b/torch7/layerwise_benchmarks/output.log",
      place: "torch7/layerwise_benchmarks/output.log")
    func table(_ pass: ConvPass, cudnn: [Double?], torch: [Double?]) -> PaperTable {
      PaperTable(
        source: source, hardware: titanX, passes: [pass], columns: columns,
        rows: [
          .init("cuDNN, autotuned", [], cudnn), .init("Torch-7 SpatialConvolutionMM", [.direct], torch),
        ])
    }
    return [
      table(
        .forward, cudnn: [32.65, 13.75, 5.56, 1.42, 7.57], torch: [93.27, 146.45, 122.67, 25.41, 29.69]),
      table(
        .backwardData, cudnn: [69.05, 100.08, 17.12, 4.57, 7.53],
        torch: [89.15, 165.18, 85.94, 16.84, 17.36]),
      table(
        .backwardFilter, cudnn: [35.09, 19.74, 6.86, 1.52, 7.81],
        torch: [113.82, 278.77, 93.75, 12.51, 15.38]),
    ]
  }()

  /// fp32; forward, and both gradients together.
  private static let convnetBenchmarksNetworks: [PaperTable] = {
    let columns: [(subject: String, batch: Int?)] = [
      ("AlexNet", 128), ("OverFeat fast", 128), ("VGG-A", 64), ("GoogLeNet v1", 128),
    ]
    let forward: [(String, [Double?])] = [
      ("cuDNN R4", [27, 94, 162, 130]), ("TensorFlow", [26, 90, 158, 135]), ("neon", [28, 69, 103, 84]),
      ("fbfft", [31, 114, 355, nil]), ("Chainer", [40, 135, 251, 189]),
      ("cuda-convnet2", [42, 176, 408, nil]),
      ("cuDNN R2", [70, 234, 342, nil]), ("Caffe", [121, 355, 323, 786]), ("Torch-7", [132, 379, 350, nil]),
      ("CL-nn", [388, nil, 875, 3027]), ("Caffe-CLGreenTea", [210, 616, 988, 746]),
    ]
    let backward: [(String, [Double?])] = [
      ("cuDNN R4", [53, 174, 366, 340]), ("TensorFlow", [55, 189, 382, 310]), ("neon", [58, 141, 217, 186]),
      ("fbfft", [72, 227, 737, nil]), ("Chainer", [136, 484, 632, 497]),
      ("cuda-convnet2", [135, 547, 821, nil]), ("cuDNN R2", [161, 576, 757, nil]),
      ("Caffe", [203, 468, 745, 1148]), ("Torch-7", [210, 499, 755, nil]), ("CL-nn", [574, nil, 2562, 3988]),
      ("Caffe-CLGreenTea", [1232, 2240, 4632, 8716]),
    ]
    func table(_ passes: [ConvPass], _ rows: [(String, [Double?])]) -> PaperTable {
      PaperTable(
        source: readme("ImageNet winners"), hardware: titanX, passes: passes, columns: columns,
        rows: rows.map { .init($0.0, [], $0.1) })
    }
    return [table([.forward], forward), table([.backwardData, .backwardFilter], backward)]
  }()
}
