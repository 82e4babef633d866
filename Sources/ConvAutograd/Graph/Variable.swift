import ConvCore

/// A tensor in a dynamic computation graph, as a PyTorch tensor is.
///
/// Operations on variables compute at once and, where an input requires a gradient and recording is on, remember how
/// to go back. A graph belongs to the thread (or task) that builds it: `Variable` is not Sendable on purpose.
public final class Variable {
  /// The elements. Assign to it, or write through it, on leaves only (parameters between steps): operations that
  /// were recorded before keep the elements that they saw.
  public var value: Tensor
  /// The accumulated gradient of a leaf, of `value`'s shape and type; nil before the first `backward()`.
  public var grad: Tensor?
  /// Whether `backward()` computes a gradient for this variable. Can be changed on leaves only.
  public var requiresGrad: Bool {
    get { node != nil || leafRequiresGrad }
    set {
      precondition(
        isLeaf, "requiresGrad of the result of '\(node?.name ?? "")' cannot be changed; detach() it")
      precondition(!newValue || value.isFloatingPoint, "a tensor of \(value.elementType) has no gradient")
      leafRequiresGrad = newValue
    }
  }

  private var leafRequiresGrad: Bool
  /// The operation that made this variable; nil for leaves.
  private(set) var node: GraphNode?

  /// A leaf.
  public init(_ value: Tensor, requiresGrad: Bool = false) {
    precondition(
      !requiresGrad || value.isFloatingPoint, "a tensor of \(value.elementType) has no gradient")
    self.value = value
    leafRequiresGrad = requiresGrad
  }

  private init(_ value: Tensor, node: GraphNode) {
    self.value = value
    self.node = node
    leafRequiresGrad = false
  }

  /// Whether it was made by a user and not by a recorded operation.
  public var isLeaf: Bool { node == nil }
  /// Extents in logical order.
  public var shape: [Int] { value.shape }
  /// Type of the elements.
  public var elementType: ElementType { value.elementType }
  /// The name of the operation that made it; nil for leaves.
  public var operationName: String? { node?.name }

  /// The same elements outside of the graph.
  public func detach() -> Variable { Variable(value) }

  /// Forgets the gradient.
  public func zeroGrad() { grad = nil }

  /// Records an operation of one's own.
  ///
  /// - Parameters:
  ///   - name: for error messages.
  ///   - value: the result.
  ///   - inputs: what it depends on.
  ///   - backward: from the result's gradient to the inputs' gradients, in order; nil where an input's gradient is zero
  ///     or not needed. Must not capture variables, only tensors.
  /// - Returns: the result; outside of the graph where no input requires a gradient or recording is off.
  public static func record(
    _ name: String, _ value: Tensor, _ inputs: [Variable],
    backward: @escaping (Tensor) throws -> [Tensor?]
  ) -> Variable {
    guard willRecord(inputs) else { return Variable(value) }
    return Variable(value, node: GraphNode(name, output: value, inputs: inputs, backward: backward))
  }

  /// Whether an operation on `inputs` would be recorded.
  public static func willRecord(_ inputs: [Variable]) -> Bool {
    GradMode.isEnabled && inputs.contains { $0.requiresGrad }
  }

  /// Computes the gradients of all leaves that this variable depends on and adds them to their `grad`.
  ///
  /// The graph is freed on the way. Nothing is added to any `grad` where an error is thrown.
  /// - Parameters:
  ///   - gradient: of this variable, with its shape; 1 where left out, which a variable of one element allows.
  ///   - retainGraph: keeps the graph for another `backward()`.
  /// - Throws: `ConvError.operand` where nothing was recorded, the graph was freed before, or a gradient is needed.
  public func backward(gradient: Tensor? = nil, retainGraph: Bool = false) throws {
    guard requiresGrad else {
      throw ConvError.operand(
        "backward() of a variable that depends on nothing that requires a gradient")
    }
    let start: Tensor
    if let gradient {
      try requireSame("the gradient given to backward()", gradient, as: value)
      start = gradient
    } else {
      guard value.count == 1 else {
        throw ConvError.operand(
          "backward() of a variable of shape \(shape) needs a gradient; only one element needs none")
      }
      start = try Tensor.filled(shape, 1, elementType)
    }
    guard let node else {
      try accumulateGradient(start)
      return
    }
    try node.runBackward(from: start, retainGraph: retainGraph)
  }

  /// Adds to `grad`, in `value`'s format.
  func accumulateGradient(_ gradient: Tensor) throws {
    guard var sum = grad else {
      grad = try gradient.ordered(value.format)
      return
    }
    grad = nil
    try sum.add(gradient)
    grad = sum
  }
}

extension Variable: CustomStringConvertible {
  /// The elements as those of a tensor, and what made it: `Variable(2.3026, shape: [], float32, from crossEntropy)`.
  public var description: String {
    let origin = node.map { "from \($0.name)" } ?? (requiresGrad ? "requires a gradient" : nil)
    return value.text(named: "Variable", notes: origin.map { [$0] } ?? [])
  }
}

/// Whether operations are recorded, per task.
public enum GradMode {
  /// True unless inside `noGrad`.
  @TaskLocal public static var isEnabled = true
}

/// Runs `body` without recording operations.
public func noGrad<R>(_ body: () throws -> R) rethrows -> R {
  try GradMode.$isEnabled.withValue(false) { try body() }
}
