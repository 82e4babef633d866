import ConvAutograd
import ConvCore

/// LeNet-5 for 28×28 grey images. LeCun, Bottou, Bengio & Haffner, *Gradient-based learning applied to document recognition*,
/// 1998, figure 2.
///
/// [N, 1, 28, 28] → [N, classes]. As the paper has it but for: tanh without its scaling, plain means as subsampling (no weight and
/// bias), every map of C3 connected to all of S2, a linear layer in the place of the radial basis functions; the paper's 32×32
/// image is padding here.
public final class LeNet: Module {
  let conv1, conv2: Conv2d
  let pool: AvgPool2d
  let tanh: Tanh
  let fc1, fc2, fc3: Linear

  /// With PyTorch's default initialisation of each layer.
  public init(classes: Int = 10) throws {
    conv1 = try Conv2d(1, 6, kernelSize: 5, padding: 2)
    conv2 = try Conv2d(6, 16, kernelSize: 5)
    pool = AvgPool2d(kernelSize: 2)
    tanh = Tanh()
    fc1 = try Linear(16 * 5 * 5, 120)
    fc2 = try Linear(120, 84)
    fc3 = try Linear(84, classes)
  }

  /// Logits.
  public func forward(_ input: Variable) throws -> Variable {
    guard input.value.rank == 4, Array(input.shape[1...]) == [1, 28, 28] else {
      throw ConvError.operand("LeNet needs an input [N, 1, 28, 28], found \(input.shape)")
    }
    var x = try pool(tanh(conv1(input)))
    x = try pool(tanh(conv2(x))).flatten()
    x = try tanh(fc2(tanh(fc1(x))))
    return try fc3(x)
  }
}
