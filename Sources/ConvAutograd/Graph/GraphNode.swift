import ConvCore
import Synchronization

/// A recorded operation: where its gradients go, and how they are computed.
///
/// Nodes hold tensors and other nodes, never intermediate variables, so that values nobody needs are freed early.
final class GraphNode {
  /// Where the gradient of one input goes.
  struct Input {
    /// The operation that made the input.
    var node: GraphNode?
    /// The input itself where it is a leaf that requires a gradient.
    let leaf: Variable?
    let shape: [Int]
    let elementType: ElementType
  }

  let name: String
  /// Creation order. An operation's inputs exist before it, so descending order is a topological order.
  let sequence: UInt64
  private let shape: [Int]
  private var inputs: [Input]
  private var backward: ((Tensor) throws -> [Tensor?])?

  private static let counter = Atomic<UInt64>(0)

  init(
    _ name: String, output: Tensor, inputs: [Variable], backward: @escaping (Tensor) throws -> [Tensor?]
  ) {
    self.name = name
    sequence = Self.counter.wrappingAdd(1, ordering: .relaxed).newValue
    shape = output.shape
    self.inputs = inputs.map {
      Input(
        node: $0.node, leaf: $0.isLeaf && $0.requiresGrad ? $0 : nil, shape: $0.shape,
        elementType: $0.elementType)
    }
    self.backward = backward
    GraphProfile.current?.recorded(name, sequence)
  }

  deinit {
    // Releasing a long chain node by node would recurse once per node and overflow the stack.
    var unreleased: [GraphNode] = []
    takeInputs(into: &unreleased)
    while var node = unreleased.popLast() {
      if isKnownUniquelyReferenced(&node) { node.takeInputs(into: &unreleased) }
    }
  }

  private func takeInputs(into nodes: inout [GraphNode]) {
    for index in inputs.indices {
      if let node = inputs[index].node {
        inputs[index].node = nil
        nodes.append(node)
      }
    }
    inputs = []
  }

  /// Walks the graph in topological order, without recursion.
  func runBackward(from gradient: Tensor, retainGraph: Bool) throws {
    var pending = [ObjectIdentifier(self): gradient]
    var leaves: [ObjectIdentifier: (variable: Variable, gradient: Tensor)] = [:]
    var leafOrder: [ObjectIdentifier] = []
    let profile = GraphProfile.current
    for node in try reachable() {
      let start = profile.map { _ in ContinuousClock.now }
      defer { if let start { profile?.wentBack(node.sequence, ContinuousClock.now - start) } }
      guard let gradient = pending.removeValue(forKey: ObjectIdentifier(node)) else {
        if !retainGraph { node.free() }
        continue
      }
      let gradients = try node.inputGradients(gradient)
      for (input, gradient) in zip(node.inputs, gradients) {
        guard let gradient else { continue }
        if let next = input.node {
          try Self.add(gradient, to: &pending[ObjectIdentifier(next)])
        } else if let leaf = input.leaf {
          let id = ObjectIdentifier(leaf)
          var sum = leaves.removeValue(forKey: id)?.gradient
          if sum == nil { leafOrder.append(id) }
          try Self.add(gradient, to: &sum)
          leaves[id] = sum.map { (leaf, $0) }
        }
      }
      if !retainGraph { node.free() }
    }
    for id in leafOrder {
      if let (variable, gradient) = leaves.removeValue(forKey: id) {
        try variable.accumulateGradient(gradient)
      }
    }
  }

  private static func add(_ gradient: Tensor, to sum: inout Tensor?) throws {
    guard var current = sum else {
      sum = gradient
      return
    }
    sum = nil  // so that the addition is in place
    try current.add(gradient)
    sum = current
  }

  /// All nodes that this one depends on and itself, outputs before inputs.
  private func reachable() throws -> [GraphNode] {
    var found: [GraphNode] = []
    var seen: Set<ObjectIdentifier> = [ObjectIdentifier(self)]
    var stack = [self]
    while let node = stack.popLast() {
      guard node.backward != nil else {
        throw ConvError.operand(
          "backward() through '\(node.name)', whose graph was freed by an earlier backward(); "
            + "pass retainGraph: true to the earlier one to go back twice")
      }
      found.append(node)
      for input in node.inputs {
        if let next = input.node, seen.insert(ObjectIdentifier(next)).inserted { stack.append(next) }
      }
    }
    return found.sorted { $0.sequence > $1.sequence }
  }

  private func inputGradients(_ gradient: Tensor) throws -> [Tensor?] {
    guard let backward else { return inputs.map { _ in nil } }
    let gradients = try backward(gradient)
    guard gradients.count == inputs.count else {
      throw ConvError.operand(
        "backward of '\(name)' returned \(gradients.count) gradients for \(inputs.count) inputs")
    }
    for (index, (input, gradient)) in zip(inputs, gradients).enumerated() {
      guard let gradient else { continue }
      let what = "gradient of input \(index) of '\(name)'"
      guard gradient.shape == input.shape else {
        throw ConvError.shapeMismatch(what: what, expected: input.shape, found: gradient.shape)
      }
      guard gradient.elementType == input.elementType else {
        throw ConvError.elementTypeMismatch(
          what: what, expected: input.elementType, found: gradient.elementType)
      }
    }
    return gradients
  }

  private func free() {
    backward = nil
    var nodes: [GraphNode] = []
    takeInputs(into: &nodes)
    // The caller's list still holds these nodes: nothing is released here.
  }
}
