import ConvCore

extension PaperPack {
  /// Dukhan's comparison of NNPACK's algorithms with Caffe: four algorithms on one CPU.
  static let nnpack = PaperPack(
    name: "nnpack", title: "M. Dukhan, NNPACK, 2016", url: "https://github.com/Maratyszcza/NNPACK",
    layers: layers([
      "conv2d:n128c64h27w27k192r5s5p2 AlexNet:conv2", "conv2d:n128c192h13w13k384r3s3p1 AlexNet:conv3",
      "conv2d:n128c384h13w13k256r3s3p1 AlexNet:conv4", "conv2d:n128c256h13w13k256r3s3p1 AlexNet:conv5",
      "conv2d:n64c3h224w224k64r3s3p1 VGG-A:conv1", "conv2d:n64c64h112w112k128r3s3p1 VGG-A:conv2",
      "conv2d:n64c128h56w56k256r3s3p1 VGG-A:conv3.1", "conv2d:n64c256h56w56k256r3s3p1 VGG-A:conv3.2",
      "conv2d:n64c256h28w28k512r3s3p1 VGG-A:conv4.1", "conv2d:n64c512h28w28k512r3s3p1 VGG-A:conv4.2",
      "conv2d:n64c512h14w14k512r3s3p1 VGG-A:conv5*2", "conv2d:n128c96h28w28k256r5s5 OverFeat:conv2",
      "conv2d:n128c256h12w12k512r3s3p1 OverFeat:conv3", "conv2d:n128c512h12w12k1024r3s3p1 OverFeat:conv4",
      "conv2d:n128c1024h12w12k1024r3s3p1 OverFeat:conv5",
    ]), network: nil, figures: nnpackForward.figures, statedOrders: [],
    notes: [
      "The README names the networks' descriptions, those of convnet-benchmarks, instead of shapes and batches: 128 images, "
        + "64 for VGG-A, and 28x28 inputs for OverFeat:conv2 (NNPACK's own tests use 24x24).",
      "Only the forward pass is published. How many threads ran is not said.",
    ])

  private static let nnpackForward = PaperTable(
    source: PaperSource(
      title: "NNPACK README",
      url: "https://github.com/Maratyszcza/NNPACK/blob/04e61f9cce230a70f8c2d5940bc71b0bcc8d0439/README.md",
      place: "Features, forward propagation"),
    hardware: "Intel Core i7-6700K", passes: [.forward],
    columns: [
      ("AlexNet:conv2", 128), ("AlexNet:conv3", 128), ("AlexNet:conv4", 128), ("AlexNet:conv5", 128),
      ("VGG-A:conv1", 64), ("VGG-A:conv2", 64), ("VGG-A:conv3.1", 64), ("VGG-A:conv3.2", 64),
      ("VGG-A:conv4.1", 64), ("VGG-A:conv4.2", 64), ("VGG-A:conv5", 64), ("OverFeat:conv2", 128),
      ("OverFeat:conv3", 128), ("OverFeat:conv4", 128), ("OverFeat:conv5", 128),
    ],
    rows: [
      .init(
        "Caffe, im2col + sgemm", [.direct],
        [315, 182, 264, 177, 255, 902, 566, 1091, 432, 842, 292, 424, 250, 927, 1832]),
      .init(
        "NNPACK FFT 8x8", [.fft],
        [129, 87, 109, 77, 303, 369, 308, 517, 228, 402, 141, 158, 69, 256, 466]),
      .init(
        "NNPACK FFT 16x16", [.fft],
        [86, 44, 56, 40, 260, 267, 185, 309, 149, 264, 83, 73, 74, 272, 524]),
      .init(
        "NNPACK F(6x6, 3x3)", [.winograd],
        [nil, 70, 89, 64, 404, 372, 279, 463, 188, 329, 114, nil, 54, 173, 315]),
    ])
}
