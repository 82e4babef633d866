import ConvCore
import ConvTestSupport
import Foundation
import Testing

@testable import ConvVision

@Suite struct ResizeTests {
  /// Every stored case, in both element types.
  ///
  /// Bound: the input is F32 and exact; an output is a convex combination of four values ≤ 1, made with
  /// three roundings per level on two levels, and weights that are rounded once per axis.
  @Test func equalsPyTorch() throws {
    let folder = referencesRoot + "/cases/resize_bilinear"
    let names = try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
    #expect(names.count >= 9, "\(folder) holds \(names.count) cases")
    for name in names {
      let file = try SafetensorsFile(path: folder + "/" + name)
      let size = try #require(
        JSONValue(parsing: file.metadata["attributes"] ?? "")["size"]?.integers, "\(name)")
      let expected = try file.tensor("output").values(as: Double.self)
      for type in [ElementType.float32, .float64] {
        let input = try file.tensor("input").converted(to: type)
        for format in MemoryFormat.allCases {
          let output = try resizeBilinear(input.converted(to: format), height: size[0], width: size[1])
          #expect(output.shape == [input.shape[0], input.shape[1]] + size, "\(name)")
          let found = try output.converted(to: .float64).values(as: Double.self)
          // PyTorch's own float64 coordinates are rounded too: 16 roundings of numbers up to the extent.
          let extent = Double(max(input.shape[2], input.shape[3], size[0], size[1]))
          let bound = 10 * type.unitRoundoff + 16 * 0x1p-53 * extent
          let worst = zip(found, expected).map { abs($0 - $1) }.max() ?? .infinity
          #expect(worst <= bound, "\(name) \(type) \(format): error \(worst), bound \(bound)")
        }
      }
    }
  }

  @Test func transformOfTheSeedNetwork() throws {
    let bytes = try Tensor([UInt8](repeating: 51, count: 2 * 28 * 28), shape: [2, 1, 28, 28])
    let input = try ImageTransform.seedCNN(bytes)
    #expect(input.shape == [2, 3, 32, 32])
    #expect(input.values(as: Float.self).allSatisfy { abs($0 - 0.2) < 1e-7 })
    let ramp = try Tensor((0..<28 * 28).map { UInt8($0 % 251) }, shape: [1, 1, 28, 28])
    let planes = try ImageTransform.seedCNN(ramp).values(as: Float.self)
    #expect(planes[0..<1024] == planes[1024..<2048] && planes[0..<1024] == planes[2048..<3072])
    #expect(planes[0] == Float(0) && planes[1023] == Float(UInt8(783 % 251)) / 255)
    #expect(try unitFloats(ramp).values(as: Float.self)[250] == Float(250) / 255)
  }

  @Test func impossibleImages() throws {
    let bytes = try Tensor([UInt8](repeating: 0, count: 12), shape: [1, 3, 2, 2])
    let floats = try unitFloats(bytes)
    #expect(throws: ConvError.self) { try ImageTransform(channels: 4)(bytes) }
    #expect(throws: ConvError.self) { try unitFloats(floats) }
    #expect(throws: ConvError.self) { try resizeBilinear(bytes, height: 3, width: 3) }
    #expect(throws: ConvError.self) { try resizeBilinear(floats, height: 0, width: 3) }
    #expect(throws: ConvError.self) { try resizeBilinear(floats.reshaped(to: [12]), height: 1, width: 3) }
    #expect(throws: ConvError.self) { try ImageTransform(height: 2)(Tensor([UInt8(1)], shape: [1])) }
  }
}

@Suite struct DataLoaderTests {
  private func data(_ count: Int) throws -> LabelledImages {
    try LabelledImages(
      images: Tensor((0..<count).map { UInt8($0 % 256) }, shape: [count, 1, 1, 1]),
      labels: Tensor((0..<count).map { Int64($0 % 3) }, shape: [count]), classNames: ["a", "b", "c"])
  }

  @Test func anEmptyDataSetHasNoBatches() throws {
    for (shuffleSeed, dropLast) in [(nil, false), (7, true)] as [(UInt64?, Bool)] {
      let loader = try DataLoader(data(0), batchSize: 3, shuffleSeed: shuffleSeed, dropLast: dropLast)
      #expect(loader.batchCount == 0 && loader.order(epoch: 1).isEmpty)
      #expect(loader.batches(epoch: 0).map { $0 }.isEmpty)
    }
    let (images, labels) = try data(3).batch([])
    #expect(images.shape == [0, 1, 1, 1] && labels.shape == [0])
    let transform = ImageTransform(height: 5, width: 4, channels: 3)
    #expect(try transform(images).shape == [0, 3, 5, 4])
    let flat = try Tensor.zeros([2, 1, 0, 4], elementType: .uint8)
    #expect(throws: ConvError.self) { try transform(flat) }
    var matrix = ConfusionMatrix(classNames: ["a", "b"])
    try matrix.add(logits: Tensor.zeros([0, 2]), labels: labels)
    #expect(matrix.total == 0 && matrix.accuracy == 0)
  }

  @Test func everyImageOncePerEpoch() throws {
    for (count, batchSize, dropLast) in [
      (10, 3, false), (10, 3, true), (10, 5, false), (1, 4, false), (2, 4, true),
    ] {
      let loader = try DataLoader(data(count), batchSize: batchSize, shuffleSeed: 7, dropLast: dropLast)
      let batches = try loader.batches(epoch: 2).map { try $0.get() }
      #expect(batches.count == loader.batchCount)
      #expect(batches.count == (dropLast ? count / batchSize : (count + batchSize - 1) / batchSize))
      let seen = batches.flatMap(\.indices)
      #expect(Set(seen).count == seen.count && seen.count == (dropLast ? batches.count * batchSize : count))
      for batch in batches {
        #expect(batch.images.shape == [batch.indices.count, 1, 1, 1])
        #expect(batch.images.values(as: Float.self) == batch.indices.map { Float($0) / 255 })
        #expect(batch.labels.values(as: Int64.self) == batch.indices.map { Int64($0 % 3) })
      }
    }
  }

  @Test func theOrderDependsOnSeedAndEpochOnly() throws {
    let loader = try DataLoader(data(1000), batchSize: 64, shuffleSeed: 7)
    #expect(loader.order(epoch: 3) == loader.order(epoch: 3))
    #expect(loader.order(epoch: 3) != loader.order(epoch: 4))
    #expect(
      try loader.order(epoch: 3) != DataLoader(data(1000), batchSize: 64, shuffleSeed: 8).order(epoch: 3))
    #expect(try DataLoader(data(5), batchSize: 2).order(epoch: 3) == [0, 1, 2, 3, 4])
    // Computed from the definition by an independent Philox4x32-10 in Python (seed 7, stream 3).
    #expect(
      try DataLoader(data(8), batchSize: 2, shuffleSeed: 7).order(epoch: 3) == [3, 5, 1, 7, 2, 6, 0, 4])
    // Every position is reached: over many seeds each index comes first about equally often (χ², 7 degrees).
    var firsts = [Int](repeating: 0, count: 8)
    for seed in 0..<8000 {
      firsts[try DataLoader(data(8), batchSize: 2, shuffleSeed: UInt64(seed)).order(epoch: 0)[0]] += 1
    }
    let chiSquare = firsts.reduce(0.0) { $0 + Double(($1 - 1000) * ($1 - 1000)) / 1000 }
    #expect(chiSquare < 30, "\(firsts)")
  }

  @Test func impossibleData() throws {
    #expect(throws: ConvError.self) { try DataLoader(data(3), batchSize: 0) }
    #expect(throws: ConvError.self) { try data(3).prefix(-1) }
    #expect(try data(3).prefix(0).count == 0)
    #expect(try data(3).prefix(2).count == 2)
    let images = try Tensor([UInt8](repeating: 0, count: 2), shape: [2, 1, 1, 1])
    for labels in [[Int64(0), 3], [-1, 0], [0], [0, 0, 0]] {
      #expect(throws: ConvError.self, "\(labels)") {
        try LabelledImages(
          images: images, labels: Tensor(labels, shape: [labels.count]), classNames: ["a", "b", "c"])
      }
    }
  }
}

@Suite struct ConfusionMatrixTests {
  /// The example of a textbook, by hand: rows actual, columns predicted.
  @Test func metrics() throws {
    var matrix = ConfusionMatrix(classNames: ["cat", "dog", "hen"])
    for (actual, row) in [[4, 1, 1], [2, 2, 0], [0, 0, 0]].enumerated() {
      for (predicted, count) in row.enumerated() {
        for _ in 0..<count { matrix.add(actual: actual, predicted: predicted) }
      }
    }
    #expect(matrix.total == 10)
    #expect(matrix.accuracy == 0.6)
    #expect(matrix.precision(of: 0) == 4.0 / 6 && matrix.recall(of: 0) == 4.0 / 6)
    #expect(matrix.precision(of: 1) == 2.0 / 3 && matrix.recall(of: 1) == 0.5)
    #expect(abs(matrix.f1(of: 1) - 4.0 / 7) < 1e-15)
    #expect(matrix.precision(of: 2) == 0 && matrix.recall(of: 2) == 0 && matrix.f1(of: 2) == 0)
    #expect(
      matrix.description == """
        actual   0   1   2  precision  recall      F1
        cat      4   1   1      0.667   0.667   0.667
        dog      2   2   0      0.667   0.500   0.571
        hen      0   0   0      0.000   0.000   0.000
        """)
  }

  @Test func logits() throws {
    var matrix = ConfusionMatrix(classNames: ["a", "b", "c"])
    let logits = try Tensor([0, 1, 2, 5, 5, -1, -3, -2, -4] as [Float], shape: [3, 3])
    try matrix.add(logits: logits, labels: Tensor([2, 1, 1] as [Int64], shape: [3]))
    #expect(matrix.counts == [[0, 0, 0], [1, 1, 0], [0, 0, 1]])
    #expect(throws: ConvError.self) {
      try matrix.add(logits: logits, labels: Tensor([2, 1] as [Int64], shape: [2]))
    }
    #expect(throws: ConvError.self) {
      try matrix.add(logits: logits, labels: Tensor([2, 1, 3] as [Int64], shape: [3]))
    }
    #expect(throws: ConvError.self) {
      try matrix.add(logits: logits, labels: Tensor([2, 1, 1] as [Float], shape: [3]))
    }
  }
}
