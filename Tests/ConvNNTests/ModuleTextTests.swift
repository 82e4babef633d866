import ConvNN
import Testing

/// What `print(model)` shows.
@Suite struct ModuleTextTests {
  /// Every layer, with what it was made with; what is as usual is left out where PyTorch leaves it out.
  @Test func layers() throws {
    for (layer, text) in [
      (try Conv1d(3, 8, kernelSize: 5), "Conv1d(3, 8, kernelSize: 5, stride: 1)"),
      (
        try Conv2d(3, 32, kernelSize: 3, padding: 1),
        "Conv2d(3, 32, kernelSize: (3, 3), stride: (1, 1), padding: (1, 1))"
      ),
      (
        try Conv2d(
          4, 8, kernelSize: [3, 5], stride: 2, padding: [0, 1, 2, 3], dilation: [1, 2], groups: 4, bias: false
        ),
        "Conv2d(4, 8, kernelSize: (3, 5), stride: (2, 2), padding: (0, 1, 2, 3), dilation: (1, 2), groups: 4, "
          + "bias: false)"
      ),
      (
        try Conv2d(1, 1, kernelSize: 1, padding: [0, 0], dilation: [1, 1]),
        "Conv2d(1, 1, kernelSize: (1, 1), stride: (1, 1))"
      ),
      (
        try Conv3d(1, 2, kernelSize: 3, padding: [1, 0, 1]),
        "Conv3d(1, 2, kernelSize: (3, 3, 3), stride: (1, 1, 1), padding: (1, 0, 1))"
      ),
      (
        try ConvTranspose1d(4, 2, kernelSize: 2, stride: 2),
        "ConvTranspose1d(4, 2, kernelSize: 2, stride: 2)"
      ),
      (
        try ConvTranspose2d(4, 2, kernelSize: 3, stride: 2, padding: 1, outputPadding: 1, groups: 2),
        "ConvTranspose2d(4, 2, kernelSize: (3, 3), stride: (2, 2), padding: (1, 1), outputPadding: (1, 1), groups: 2)"
      ),
      (
        try ConvTranspose3d(1, 1, kernelSize: 2, bias: false),
        "ConvTranspose3d(1, 1, kernelSize: (2, 2, 2), stride: (1, 1, 1), bias: false)"
      ),
      (try Linear(2048, 10), "Linear(2048, 10)"),
      (try Linear(3, 4, bias: false), "Linear(3, 4, bias: false)"),
      (MaxPool2d(kernelSize: 2), "MaxPool2d(kernelSize: 2, stride: 2, padding: 0)"),
      (
        MaxPool2d(kernelSize: [3, 2], stride: 1, padding: [1, 0]),
        "MaxPool2d(kernelSize: (3, 2), stride: 1, padding: (1, 0))"
      ),
      (AvgPool2d(kernelSize: 2), "AvgPool2d(kernelSize: 2, stride: 2, padding: 0)"),
      (
        AvgPool2d(kernelSize: 3, padding: 1, countIncludePad: false),
        "AvgPool2d(kernelSize: 3, stride: 3, padding: 1, countIncludePad: false)"
      ),
      (ReLU(), "ReLU()"), (ReLU6(), "ReLU6()"), (Tanh(), "Tanh()"), (Sigmoid(), "Sigmoid()"),
      (Flatten(), "Flatten(startDim: 1)"), (try Dropout(p: 0.25), "Dropout(p: 0.25)"),
      (try BatchNorm2d(64), "BatchNorm2d(64, eps: 1e-05, momentum: 0.1, affine: true)"),
      (
        try BatchNorm2d(8, eps: 0.5, momentum: nil, affine: false),
        "BatchNorm2d(8, eps: 0.5, momentum: nil, affine: false)"
      ),
      (Sequential(), "Sequential()"),
    ] as [(any Module, String)] {
      #expect("\(layer)" == text)
    }
  }

  @Test func network() throws {
    #expect(
      "\(try SeedCNN())" == """
        SeedCNN(
          (conv1): Conv2d(3, 32, kernelSize: (3, 3), stride: (1, 1), padding: (1, 1))
          (conv2): Conv2d(32, 64, kernelSize: (3, 3), stride: (1, 1), padding: (1, 1))
          (conv3): Conv2d(64, 128, kernelSize: (3, 3), stride: (1, 1), padding: (1, 1))
          (pool): MaxPool2d(kernelSize: 2, stride: 2, padding: 0)
          (fc1): Linear(2048, 1000)
          (fc2): Linear(1000, 10)
        )
        """)
    // Blocks in stages in a network; a shortcut that is nil is no layer.
    let lines = "\(try ResNet18())".split(separator: "\n")
    let second = try #require(lines.firstIndex(of: "  (layer2): Sequential("))
    #expect(
      lines[second...].prefix(18).joined(separator: "\n") == """
          (layer2): Sequential(
            (0): BasicBlock(
              (conv1): Conv2d(64, 128, kernelSize: (3, 3), stride: (2, 2), padding: (1, 1), bias: false)
              (bn1): BatchNorm2d(128, eps: 1e-05, momentum: 0.1, affine: true)
              (conv2): Conv2d(128, 128, kernelSize: (3, 3), stride: (1, 1), padding: (1, 1), bias: false)
              (bn2): BatchNorm2d(128, eps: 1e-05, momentum: 0.1, affine: true)
              (downsample): Sequential(
                (0): Conv2d(64, 128, kernelSize: (1, 1), stride: (2, 2), bias: false)
                (1): BatchNorm2d(128, eps: 1e-05, momentum: 0.1, affine: true)
              )
            )
            (1): BasicBlock(
              (conv1): Conv2d(128, 128, kernelSize: (3, 3), stride: (1, 1), padding: (1, 1), bias: false)
              (bn1): BatchNorm2d(128, eps: 1e-05, momentum: 0.1, affine: true)
              (conv2): Conv2d(128, 128, kernelSize: (3, 3), stride: (1, 1), padding: (1, 1), bias: false)
              (bn2): BatchNorm2d(128, eps: 1e-05, momentum: 0.1, affine: true)
            )
          )
        """)
  }

  private class Base: Module {
    let first = ReLU()
    var argumentText: String { "depth: 1" }
    func forward(_ input: Variable) throws -> Variable { input }
  }
  private struct Heads {
    let left = Tanh(), right = Sigmoid()
  }
  private final class Nested: Base {
    let scale = Variable(try! Tensor.zeros([1]), requiresGrad: true)
    let blocks: [any Module]
    let towers: [String: [any Module]]
    let heads = Heads()
    let pair: (Tanh, any Module)
    let missing: ReLU? = nil
    let again: any Module
    override var argumentText: String { "depth: 2" }

    init(_ shared: any Module) {
      blocks = [ReLU(), Sequential(shared)]
      towers = ["b": [ReLU6()], "a": []]
      pair = (Tanh(), Flatten())
      again = shared
    }
  }

  /// Layers in the order of the properties, a superclass's first, in arrays, dictionaries, structs and tuples; shared ones at
  /// each of their places; parameters are no layers.
  @Test func containers() {
    #expect(
      "\(Nested(Sigmoid()))" == """
        Nested(
          depth: 2
          (first): ReLU()
          (blocks): [
            (0): ReLU()
            (1): Sequential(
              (0): Sigmoid()
            )
          ]
          (towers): [
            (b): [
              (0): ReLU6()
            ]
          ]
          (heads): [
            (left): Tanh()
            (right): Sigmoid()
          ]
          (pair): [
            (0): Tanh()
            (1): Flatten(startDim: 1)
          ]
          (again): Sigmoid()
        )
        """)
  }

  private final class Child: Module {
    unowned let parent: Parent
    init(_ parent: Parent) { self.parent = parent }
    func forward(_ input: Variable) throws -> Variable { input }
  }
  private final class Parent: Module {
    var child: Child?
    func forward(_ input: Variable) throws -> Variable { input }
  }
  private final class Named: Module {
    var description: String { "my own\nwords" }
    func forward(_ input: Variable) throws -> Variable { input }
  }

  /// A way back to a module that is being printed ends there; what a user says of a module counts.
  @Test func circlesAndOwnWords() {
    let parent = Parent()
    parent.child = Child(parent)
    #expect(
      "\(parent)" == """
        Parent(
          (child): Child(
            (parent): Parent(…)
          )
        )
        """)
    #expect("\(Sequential(Named()))" == "Sequential(\n  (0): my own\n  words\n)")
  }

  @Test func buffers() throws {
    #expect(try BatchNorm2d(2).runningMean.description == "Buffer([0., 0.], shape: [2], float32)")
  }
}
