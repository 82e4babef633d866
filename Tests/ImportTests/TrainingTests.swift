// The three imports of a network, and no more.
import ConvNN
import ConvOptim
import ConvWinograd
import Testing

/// A network as a user writes it.
private final class SmallCNN: Module {
  let conv1, conv2: Conv2d
  let pool: MaxPool2d
  let fc: Linear

  init() throws {
    conv1 = try Conv2d(3, 4, kernelSize: 3, padding: 1)
    conv2 = try Conv2d(4, 8, kernelSize: 3, padding: 1)
    pool = MaxPool2d(kernelSize: 2)
    fc = try Linear(8 * 2 * 2, 10)
  }

  func forward(_ input: Variable) throws -> Variable {
    var x = try conv1(input, relu: true, maxPool: pool)
    x = try conv2(x, relu: true, maxPool: pool)
    return try fc(x.flatten())
  }
}

@Suite struct TrainingImportTests {
  /// Everything that a training loop names comes with the three modules: variables, tensors, scopes, engines, optimizers.
  @Test func stepOfTraining() throws {
    let model = try withSeed(1) { try SmallCNN() }
    let optimizer = try Adam(model.parameters(), learningRate: 0.001)
    let criterion = CrossEntropyLoss()
    let images = Variable(try Tensor.full([2, 3, 8, 8], 0.5 as Float))
    let labels = try Tensor([1, 7] as [Int64], shape: [2])
    let losses = try (0..<3).map { _ in
      try withBackend(.winograd, fallback: .im2col) {
        optimizer.zeroGrad()
        let loss = try criterion(model(images), labels)
        try loss.backward()
        try optimizer.step()
        return loss
      }
    }
    let values = losses.map { $0.value.scalar(as: Float.self) }
    #expect(values[2] < values[0], "\(losses)")
    #expect(losses[0].description.hasSuffix(", shape: [], float32, from crossEntropy)"))
    let state: [String: Tensor] = noGrad { model.stateDict() }
    #expect(state["conv1.weight"]?.shape == [4, 3, 3, 3])
  }
}
