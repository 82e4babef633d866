import ConvCore

// The shapes are facts of published networks and benchmarks, one line per layer:
// name, N, C, H×W, K, R×S, stride, padding, multiplicity.

extension BenchmarkSuite {
  /// The suites that need no file, in the order of lists.
  public static let builtIn: [BenchmarkSuite] = [
    seedCNN, alexNet, vgg16, resNet50, mobileNetV2, convnetBenchmarks, largeKernel,
  ]

  /// The layers that the default job runs of each suite, and at which batch.
  static let representativeNames: [String: [(name: String, batch: Int)]] = [
    "seed-cnn": [("conv1", 64), ("conv2", 64), ("conv3", 64)],
    "alexnet": [("conv2", 2), ("conv3", 4)],
    "vgg16": [("1_1", 2), ("5_1", 1)],
    "resnet50": [("conv1", 2), ("res3a_branch2b", 2), ("res4a_branch2c", 4)],
    // Its layers stand in comparisons; the default job has no time left for them.
    "mobilenet-v2": [],
    "convnet-benchmarks": [("L4", 4), ("L5", 2)],
    "large-kernel": [("7x7", 1), ("9x9", 1)],
  ]

  /// The three layers of the network of reference, at its training batch.
  static let seedCNN = BenchmarkSuite(
    name: "seed-cnn", summary: "the three layers of the network of reference, batch 64",
    rows: [
      Row("conv1", 64, 3, 32, 32, 3, 1, 1),
      Row("conv2", 64, 32, 16, 64, 3, 1, 1),
      Row("conv3", 64, 64, 8, 128, 3, 1, 1),
    ])

  /// Krizhevsky, *One weird trick for parallelizing convolutional neural networks* (arXiv 1404.5997).
  static let alexNet = BenchmarkSuite(
    name: "alexnet", summary: "AlexNet (one weird trick), batch 128",
    rows: [
      Row("conv1", 128, 3, 224, 64, 11, 4, 2),
      Row("conv2", 128, 64, 27, 192, 5, 1, 2),
      Row("conv3", 128, 192, 13, 384, 3, 1, 1),
      Row("conv4", 128, 384, 13, 256, 3, 1, 1),
      Row("conv5", 128, 256, 13, 256, 3, 1, 1),
    ])

  /// Simonyan and Zisserman, *Very deep convolutional networks* (arXiv 1409.1556), configuration D.
  static let vgg16 = BenchmarkSuite(
    name: "vgg16", summary: "VGG-16, batch 1",
    rows: [
      Row("1_1", 1, 3, 224, 64, 3, 1, 1),
      Row("1_2", 1, 64, 224, 64, 3, 1, 1),
      Row("2_1", 1, 64, 112, 128, 3, 1, 1),
      Row("2_2", 1, 128, 112, 128, 3, 1, 1),
      Row("3_1", 1, 128, 56, 256, 3, 1, 1),
      Row("3_2", 1, 256, 56, 256, 3, 1, 1, 2),
      Row("4_1", 1, 256, 28, 512, 3, 1, 1),
      Row("4_2", 1, 512, 28, 512, 3, 1, 1, 2),
      Row("5_1", 1, 512, 14, 512, 3, 1, 1, 3),
    ])

  /// He, Zhang, Ren, Sun, *Deep residual learning* (arXiv 1512.03385); stride in the first 1×1 of a stage.
  static let resNet50 = BenchmarkSuite(
    name: "resnet50", summary: "ResNet-50, batch 50",
    rows: [
      Row("conv1", 50, 3, 224, 64, 7, 2, 3),
      Row("res2a_branch1", 50, 64, 56, 256, 1, 1, 0, 4),
      Row("res2a_branch2a", 50, 64, 56, 64, 1, 1, 0),
      Row("res2a_branch2b", 50, 64, 56, 64, 3, 1, 1, 3),
      Row("res2b_branch2a", 50, 256, 56, 64, 1, 1, 0, 2),
      Row("res3a_branch1", 50, 256, 56, 512, 1, 2, 0),
      Row("res3a_branch2a", 50, 256, 56, 128, 1, 2, 0),
      Row("res3a_branch2b", 50, 128, 28, 128, 3, 1, 1, 4),
      Row("res3a_branch2c", 50, 128, 28, 512, 1, 1, 0, 4),
      Row("res3b_branch2a", 50, 512, 28, 128, 1, 1, 0, 3),
      Row("res4a_branch1", 50, 512, 28, 1024, 1, 2, 0),
      Row("res4a_branch2a", 50, 512, 28, 256, 1, 2, 0),
      Row("res4a_branch2b", 50, 256, 14, 256, 3, 1, 1, 6),
      Row("res4a_branch2c", 50, 256, 14, 1024, 1, 1, 0, 6),
      Row("res4b_branch2a", 50, 1024, 14, 256, 1, 1, 0, 5),
      Row("res5a_branch1", 50, 1024, 14, 2048, 1, 2, 0),
      Row("res5a_branch2a", 50, 1024, 14, 512, 1, 2, 0),
      Row("res5a_branch2b", 50, 512, 7, 512, 3, 1, 1, 3),
      Row("res5a_branch2c", 50, 512, 7, 2048, 1, 1, 0, 3),
      Row("res5b_branch2a", 50, 2048, 7, 512, 1, 1, 0, 2),
    ])

  /// Sandler, Howard, Zhu, Zhmoginov, Chen, *MobileNetV2* (arXiv 1801.04381), table 2: the first layer and the depthwise ones, named by
  /// stage (its output channels) and stride.
  static let mobileNetV2 = BenchmarkSuite(
    name: "mobilenet-v2", summary: "MobileNetV2's first and depthwise layers, batch 32",
    rows: [
      Row("conv1", 32, 3, 224, 32, 3, 2, 1),
      Row("dw16", 32, 32, 112, 32, 3, 1, 1, groups: 32),
      Row("dw24s2", 32, 96, 112, 96, 3, 2, 1, groups: 96),
      Row("dw24", 32, 144, 56, 144, 3, 1, 1, groups: 144),
      Row("dw32s2", 32, 144, 56, 144, 3, 2, 1, groups: 144),
      Row("dw32", 32, 192, 28, 192, 3, 1, 1, 2, groups: 192),
      Row("dw64s2", 32, 192, 28, 192, 3, 2, 1, groups: 192),
      Row("dw64", 32, 384, 14, 384, 3, 1, 1, 4, groups: 384),
      Row("dw96", 32, 576, 14, 576, 3, 1, 1, 2, groups: 576),
      Row("dw160s2", 32, 576, 14, 576, 3, 2, 1, groups: 576),
      Row("dw160", 32, 960, 7, 960, 3, 1, 1, 3, groups: 960),
    ])

  /// The five layers that the convnet-benchmarks project compared libraries on.
  static let convnetBenchmarks = BenchmarkSuite(
    name: "convnet-benchmarks", summary: "the five layers of convnet-benchmarks, batch 128",
    rows: [
      Row("L1", 128, 3, 128, 96, 11, 1, 0),
      Row("L2", 128, 64, 64, 128, 9, 1, 0),
      Row("L3", 128, 128, 32, 128, 9, 1, 0),
      Row("L4", 128, 128, 16, 128, 7, 1, 0),
      Row("L5", 128, 384, 13, 384, 3, 1, 0),
    ])

  /// Same padding: the output is as large as the input.
  static let largeKernel = BenchmarkSuite(
    name: "large-kernel", summary: "7×7 to 31×31 kernels with same padding, batch 1",
    rows: [
      Row("7x7", 1, 64, 56, 64, 7, 1, 3),
      Row("9x9", 1, 64, 56, 64, 9, 1, 4),
      Row("11x11", 1, 64, 56, 64, 11, 1, 5),
      Row("15x15", 1, 64, 56, 64, 15, 1, 7),
      Row("31x31", 1, 32, 64, 32, 31, 1, 15),
    ])

  /// One square layer.
  private struct Row {
    let name: String
    let n, c, h, k, r, stride, padding, multiplicity, groups: Int

    init(
      _ name: String, _ n: Int, _ c: Int, _ h: Int, _ k: Int, _ r: Int, _ stride: Int, _ padding: Int,
      _ multiplicity: Int = 1, groups: Int = 1
    ) {
      self.name = name
      self.n = n
      self.c = c
      self.h = h
      self.k = k
      self.r = r
      self.stride = stride
      self.padding = padding
      self.multiplicity = multiplicity
      self.groups = groups
    }
  }

  private init(name: String, summary: String, rows: [Row]) {
    let problems = rows.map { row in
      guard
        let problem = try? ConvProblem.conv2d(
          n: row.n, c: row.c, h: row.h, w: row.h, k: row.k, r: row.r, s: row.r, stride: row.stride,
          padding: row.padding, groups: row.groups)
      else { preconditionFailure("the built-in layer \(name) \(row.name) is no valid problem") }
      return BenchmarkProblem(problem, name: row.name, multiplicity: row.multiplicity)
    }
    self.init(name: name, summary: summary, problems: problems)
  }
}
