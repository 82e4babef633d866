import ConvAutograd
import ConvCore

/// −log softmax(x)[target] of logits [N, C] and class numbers [N].
public struct CrossEntropyLoss: Sendable {
  /// How the rows' losses are joined.
  public var reduction: Reduction
  /// The mean, unless said otherwise.
  public init(reduction: Reduction = .mean) { self.reduction = reduction }
  /// The loss; `target` is int64.
  public func callAsFunction(_ input: Variable, _ target: Tensor) throws -> Variable {
    try input.crossEntropy(target, reduction: reduction)
  }
}

/// (x − target)².
public struct MSELoss: Sendable {
  /// How the elements' losses are joined.
  public var reduction: Reduction
  /// The mean, unless said otherwise.
  public init(reduction: Reduction = .mean) { self.reduction = reduction }
  /// The loss.
  public func callAsFunction(_ input: Variable, _ target: Variable) throws -> Variable {
    try input.mse(target, reduction: reduction)
  }
}

/// Binary cross-entropy of σ(x) and target in [0, 1].
public struct BCEWithLogitsLoss: Sendable {
  /// How the elements' losses are joined.
  public var reduction: Reduction
  /// The mean, unless said otherwise.
  public init(reduction: Reduction = .mean) { self.reduction = reduction }
  /// The loss.
  public func callAsFunction(_ input: Variable, _ target: Variable) throws -> Variable {
    try input.bceWithLogits(target, reduction: reduction)
  }
}
