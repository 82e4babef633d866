import ConvAutograd
import ConvCore

/// −log softmax(x)[target] of logits [N, C, d₁, …] and class numbers [N, d₁, …], or of [C] and one class number; of class
/// probabilities too. See `Variable.crossEntropy`.
public struct CrossEntropyLoss: Sendable {
  /// Of the classes, [C] in the logits' type; 1 where left out.
  public var weight: Tensor?
  /// Positions with this class number count nowhere.
  public var ignoreIndex: Int
  /// The part of each target that is spread evenly over all classes, 0 to 1.
  public var labelSmoothing: Double
  /// How the positions' losses are joined.
  public var reduction: Reduction

  /// With PyTorch's argument names and defaults.
  public init(
    weight: Tensor? = nil, ignoreIndex: Int = -100, labelSmoothing: Double = 0, reduction: Reduction = .mean
  ) {
    self.weight = weight
    self.ignoreIndex = ignoreIndex
    self.labelSmoothing = labelSmoothing
    self.reduction = reduction
  }

  /// The loss; `target` is int64, or of the logits' type where it holds probabilities.
  ///
  /// - Throws: as `Variable.crossEntropy`.
  public func callAsFunction(_ input: Variable, _ target: Tensor) throws -> Variable {
    try input.crossEntropy(
      target, weight: weight, ignoreIndex: ignoreIndex, labelSmoothing: labelSmoothing, reduction: reduction)
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
