import ConvAutograd
import ConvCore
import ConvNN
import ConvNaive
import ConvOptim
import Testing

@Suite struct TrainingTests {
  /// Four patterns, one per class, with noise.
  private func batch(_ n: Int, seed: UInt64) throws -> (Tensor, Tensor) {
    let random = Philox(seed: seed, stream: 3)
    var values: [Float] = []
    var labels: [Int64] = []
    for image in 0..<n {
      let label = image % 4
      labels.append(Int64(label))
      for h in 0..<8 {
        for w in 0..<8 {
          let pattern = [h % 2, w % 2, (h + w) % 2, h / 4][label]
          let noise = random.uniform(at: UInt64((image * 8 + h) * 8 + w))
          values.append(Float(pattern) + Float(noise) * 0.3)
        }
      }
    }
    return (try Tensor(values, shape: [n, 1, 8, 8]), try Tensor(labels, shape: [n]))
  }

  final class Net: Module {
    let conv: Conv2d
    let fc: Linear
    init() throws {
      conv = try Conv2d(1, 4, kernelSize: 3, padding: 1)
      fc = try Linear(4 * 4 * 4, 4)
    }
    func forward(_ x: Variable) throws -> Variable {
      try fc(conv(x).relu().maxPool2d(kernel: 2).flatten())
    }
  }

  @Test(arguments: ["sgd", "adam", "adamw"])
  func learns(_ name: String) throws {
    let model = try withSeed(1) { try Net() }
    let optimizer: any Optimizer =
      switch name {
      case "sgd": try SGD(model.parameters(), learningRate: 0.1, momentum: 0.9)
      case "adam": try Adam(model.parameters(), learningRate: 0.01)
      default: try AdamW(model.parameters(), learningRate: 0.01)
      }
    let loss = CrossEntropyLoss()
    let (images, labels) = try batch(16, seed: 1)
    var losses: [Float] = []
    try withBackend(.naive) {
      for _ in 0..<40 {
        optimizer.zeroGrad()
        let value = try loss(model(Variable(images)), labels)
        try value.backward()
        try optimizer.step()
        losses.append(value.value.scalar(as: Float.self))
      }
    }
    #expect(losses[0] > 1, "\(name): \(losses)")
    #expect(losses[39] < 0.2 * losses[0], "\(name), seed 1: \(losses)")
  }
}
