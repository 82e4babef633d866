import ConvAutograd
import ConvCore
import ConvNN
import ConvNaive
import Foundation
import Testing

/// The time of a step by layer.
@Suite struct LayerProfileTests {
  /// Takes 20 ms on the way there and 40 ms on the way back.
  private final class Slow: Module {
    func forward(_ input: Variable) throws -> Variable {
      Thread.sleep(forTimeInterval: 0.02)
      return Variable.record("slow", input.value, [input]) {
        Thread.sleep(forTimeInterval: 0.04)
        return [$0]
      }
    }
  }

  private final class Net: Module {
    let conv: Conv2d
    let pool: MaxPool2d
    let norm: BatchNorm2d
    let slow = Slow()
    let fc: Linear
    init() throws {
      conv = try Conv2d(1, 2, kernelSize: 3, padding: 1)
      pool = MaxPool2d(kernelSize: 2)
      norm = try BatchNorm2d(2)
      fc = try Linear(2, 3)
    }
    func forward(_ input: Variable) throws -> Variable {
      let x = try slow(norm(conv(input, relu: true, maxPool: pool), relu: true))
      return try fc(slow(x.globalAvgPool2d().flatten()))
    }
  }

  @Test func timesBelongToTheirLayers() throws {
    let model = try Net()
    let input = Variable(try Tensor((0..<128).map { Float($0 % 7) }, shape: [2, 1, 8, 8]))
    let labels = try Tensor([0, 2] as [Int64], shape: [2])
    let recorder = ExecutionRecorder()
    let (loss, profile) = try withBackend(NaiveBackend(), recorder: recorder) {
      try model.profiledStep(input) { try CrossEntropyLoss()($0, labels) }
    }
    #expect(loss.shape == [] && model.fc.weight.grad != nil && model.conv.weight.grad != nil)
    let layers = profile.layers
    #expect(
      layers.map(\.name) == [
        "conv", "norm", "slow", "globalAvgPool2d + reshape", "slow", "fc", "loss",
      ], "\(layers)")
    #expect(
      layers.map(\.outputShape) == [[2, 2, 8, 8], [2, 2, 4, 4], [2, 2, 4, 4], [], [2, 2], [2, 3], []])
    #expect(layers[0].kind.hasPrefix("Conv2d(") && layers[0].kind.contains(" + MaxPool2d("))
    #expect(layers[3].kind == "operation" && layers[6].kind == "loss")
    #expect(layers[0].engine.contains("naive") && layers[5].engine.isEmpty)
    for (index, layer) in layers.enumerated() {
      #expect(layer.forward >= 0 && layer.backward > 0, "\(layer)")
      if index == 2 || index == 4 { #expect(layer.forward >= 0.02 && layer.backward >= 0.04, "\(layer)") }
    }
  }

  /// A step without a profile tells nobody.
  @Test func observersEndWithTheirScope() throws {
    let model = try Net()
    let input = Variable(try Tensor.full([2, 1, 8, 8], Float(1)))
    let labels = try Tensor([0, 2] as [Int64], shape: [2])
    let loss = { (logits: Variable) in try CrossEntropyLoss()(logits, labels) }
    let first = try withBackend(NaiveBackend()) { try model.profiledStep(input, loss: loss).profile }
    let plain = try withBackend(NaiveBackend()) { try loss(model(input)) }
    try plain.backward()
    #expect(ModuleObservation.observer == nil && GraphProfile.current == nil)
    #expect(first.layers.count == 7 && first.layers[0].engine.isEmpty)
  }
}
