import ConvCore

extension PaperPack {
  /// Lavin & Gray's Winograd convolutions on VGG-E: throughput and accuracy.
  static let lavinGray = PaperPack(
    name: "lavin-gray",
    title: "A. Lavin, S. Gray, Fast Algorithms for Convolutional Neural Networks, 2015 (CVPR 2016)",
    url: lavinGrayURL,
    layers: layers([
      "conv2d:n1c3h224w224k64r3s3p1 conv1.1", "conv2d:n1c64h224w224k64r3s3p1 conv1.2",
      "conv2d:n1c64h112w112k128r3s3p1 conv2.1", "conv2d:n1c128h112w112k128r3s3p1 conv2.2",
      "conv2d:n1c128h56w56k256r3s3p1 conv3.1", "conv2d:n1c256h56w56k256r3s3p1 conv3.2*3",
      "conv2d:n1c256h28w28k512r3s3p1 conv4.1", "conv2d:n1c512h28w28k512r3s3p1 conv4.2*3",
      "conv2d:n1c512h14w14k512r3s3p1 conv5*4",
    ]), network: "VGG-E",
    figures: lavinGrayMilliseconds.figures + lavinGrayThroughput.figures + lavinGrayErrors.figures,
    statedOrders: lavinGrayOrders,
    notes: [
      "cuDNN v3 chooses between direct convolution and FFT: it is compared with our best of both.",
      "The paper times F(2x2, 3x3) only; our winograd chooses its tile.",
      "Per layer the paper has a chart (figure 1) and the statement in section 8 that F(2x2, 3x3) is faster on every layer "
        + "but conv1.1; numbers were not read off the chart.",
      "Tables 4 and 5 were read from a transcription of the paper. Times and throughput of table 5 agree with each "
        + "other but at N = 32, where only the throughput is taken. Half-precision columns are left out.",
      "Errors: table 4, random data and filters uniform in [-1, 1], against direct convolution with a double accumulator. "
        + "The paper says neither the batch nor how many results it compared; ours are the largest of the verified samples.",
    ])

  private static let lavinGrayURL = "https://arxiv.org/abs/1509.09308"
  private static let lavinGrayHardware = "NVIDIA Titan X"

  private static func lavinGraySource(_ place: String) -> PaperSource {
    PaperSource(title: "Lavin & Gray, arXiv 1509.09308", url: lavinGrayURL, place: place)
  }

  private static let lavinGrayMilliseconds = PaperTable(
    source: lavinGraySource("table 5"), hardware: lavinGrayHardware, passes: [.forward],
    columns: [1, 2, 4, 8, 16, 64].map { ("VGG-E", $0) },
    rows: [
      .init("cuDNN v3", [.direct, .fft], [12.52, 20.36, 104.70, 241.21, 203.09, 394.05]),
      .init("F(2x2, 3x3)", [.winograd], [5.55, 9.89, 17.72, 33.11, 65.79, 266.48]),
    ])

  private static let lavinGrayThroughput = PaperTable(
    source: lavinGraySource("table 5"), hardware: lavinGrayHardware, passes: [.forward], unit: .teraflops,
    columns: [("VGG-E", 32)],
    rows: [
      .init("cuDNN v3", [.direct, .fft], [5.27]), .init("F(2x2, 3x3)", [.winograd], [9.45]),
    ])

  private static let lavinGrayErrors = PaperTable(
    source: lavinGraySource("table 4"), hardware: lavinGrayHardware, passes: [.forward], unit: .error,
    columns: ["conv1.2", "conv2.2", "conv3.2", "conv4.2", "conv5"].map { ($0, nil) },
    rows: [
      .init("direct", [.direct], [4.01e-5, 8.01e-5, 1.53e-4, 3.20e-4, 3.43e-4]),
      .init(
        "F(2x2, 3x3)", [.winograd], variant: "tile=2x2,points=1",
        [1.53e-5, 2.86e-5, 5.34e-5, 5.34e-5, 4.20e-5]),
      // The interpolation points of the transforms in section 4.3.
      .init(
        "F(4x4, 3x3)", [.winograd], variant: "tile=4x4,points=1:2",
        [2.84e-4, 5.41e-4, 9.06e-4, 1.04e-3, 1.08e-3]),
    ])

  private static let lavinGrayOrders = [
    "conv1.2", "conv2.1", "conv2.2", "conv3.1", "conv3.2", "conv4.1", "conv4.2", "conv5",
  ].map {
    PaperOrder(
      subject: $0, passes: [.forward], faster: [.winograd], slower: [.direct, .fft],
      implementations: "F(2x2, 3x3) over cuDNN v3", ratio: nil, source: lavinGraySource("section 8"))
  }
}
