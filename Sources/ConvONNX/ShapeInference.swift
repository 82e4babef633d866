import ConvCore

/// Goes through a graph once, from its inputs on, and through the functions and graphs that its nodes run.
struct ShapeInference {
  /// The convolutions.
  var findings = Findings()
  /// What is known of each value.
  var scopes = ValueScopes()

  private let graph: Onnx_GraphProto
  let functions: ModelFunctions
  private let sizes: InputSizes
  /// Nodes and values that have been gone through.
  private(set) var steps = 0
  /// Those of them that are gone through again, in loops whose values change their shapes from run to run.
  var repeatedSteps = 0
  static let mostRepeatedSteps = 300_000

  init(_ graph: Onnx_GraphProto, _ functions: ModelFunctions, _ sizes: InputSizes) {
    self.graph = graph
    self.functions = functions
    self.sizes = sizes
  }

  /// Goes through the graph.
  ///
  /// - Throws: `InferenceStop` where loops within loops have to be gone through too often.
  mutating func run() throws {
    scopes.enter(graph)
    for info in graph.input {
      scopes.set(
        info.name, stopping("input '\(Excerpt.of(info.name))'") { try sizes.shape(ofInput: info) })
    }
    try run(graph)
  }

  /// A graph whose scope has been entered, and whose inputs are known.
  mutating func run(_ graph: Onnx_GraphProto) throws {
    steps += graph.initializer.count + graph.sparseInitializer.count + graph.valueInfo.count
    for tensor in graph.initializer {
      scopes.set(
        tensor.name, stopping("initializer '\(Excerpt.of(tensor.name))'") { try ModelValue(tensor) })
    }
    for tensor in graph.sparseInitializer {
      let name = tensor.values.name
      scopes.set(name, stopping("initializer '\(Excerpt.of(name))'") { try ModelValue(tensor) })
    }
    for node in graph.node { try infer(node) }
  }

  private mutating func infer(_ proto: Onnx_NodeProto) throws {
    steps += proto.parts
    let inputs = proto.input.map { name in name.isEmpty ? nil : scopes[name] }
    let node = ModelNode(proto, inputs: inputs, in: scopes.call)
    let outputs = try outputs(of: node, proto)
    for (index, name) in proto.output.enumerated() where !name.isEmpty {
      let inferred =
        index < outputs.count
        ? outputs[index]
        : .failure(InferenceStop("has an output \(index) whose shape is not inferred", at: node.title))
      scopes.set(name, orStated(inferred, scopes.stated(name)))
    }
  }

  /// What is known of a node's outputs, at least of the first ones.
  private mutating func outputs(of node: ModelNode, _ proto: Onnx_NodeProto) throws -> [Result<
    ModelValue, InferenceStop
  >] {
    if let function = functions.callee(of: proto) { return try call(function, node) }
    if let convolution = ConvolutionOperator.named(node.op) { return [addLayer(convolution, node)] }
    if ConvolutionOperator.isAlike(proto) { findings.addForeign(node) }
    switch node.op {
    case "If": return try branches(of: node)
    case "Loop": return try loop(node)
    case "Scan": return try scan(node)
    case "SequenceMap": return try sequenceMap(node)
    default: break
    }
    guard let rule = OperatorRules.rule(for: node.op) else {
      let isFollowed = !leavesOutGraphs(of: node)
      return everywhere(
        node,
        isFollowed
          ? "stopped the inference: the operator is not known"
          : "stopped the inference: it runs a graph of its own, which is not followed")
    }
    do {
      return try rule(node).map { .success($0) }
    } catch let stop as InferenceStop {
      return Array(repeating: .failure(stop.located(at: node.title)), count: node.outputCount)
    }
  }

  // MARK: What is known

  /// The same stop for all outputs of a node.
  func everywhere(_ node: ModelNode, _ reason: String) -> [Result<ModelValue, InferenceStop>] {
    Array(repeating: .failure(InferenceStop(reason, at: node.title)), count: node.outputCount)
  }

  /// What was inferred of a value; where that failed, what the model says of it is as good.
  func orStated(_ inferred: Result<ModelValue, InferenceStop>, _ type: Onnx_TypeProto?) -> Result<
    ModelValue, InferenceStop
  > {
    guard case .failure = inferred, let type, let told = try? sizes.shape(stated: type) else {
      return inferred
    }
    return .success(told)
  }

  private func stopping(_ what: String, _ body: () throws -> ModelValue) -> Result<ModelValue, InferenceStop>
  {
    do {
      return .success(try body())
    } catch let stop as InferenceStop {
      return .failure(stop.located(at: what))
    } catch {
      return .failure(InferenceStop("\(error)", at: what))
    }
  }

  // MARK: Convolutions and functions

  /// Adds a convolution; its output.
  private mutating func addLayer(_ convolution: ConvolutionOperator, _ node: ModelNode) -> Result<
    ModelValue, InferenceStop
  > {
    do {
      let problem = try convolution.problem(node)
      let output = try convolution.output(problem, of: node)
      findings.add(
        problem, isTransposed: convolution.isTransposed, node: node, elements: convolution.elements(node))
      return .success(output)
    } catch let stop as InferenceStop {
      findings.addStop(stop, at: node)
      return .failure(stop.located(at: node.title))
    } catch {
      let stop = InferenceStop("\(error)")
      findings.addStop(stop, at: node)
      return .failure(stop.located(at: node.title))
    }
  }

  /// Runs a function on a node's inputs; its outputs.
  private mutating func call(_ function: ModelFunctions.Function, _ node: ModelNode) throws -> [Result<
    ModelValue, InferenceStop
  >] {
    _ = leavesOutGraphs(of: node)
    var path = node.name + "/"
    // Calls within calls: the last ones tell most.
    if path.utf8.count > QuotedText.mostCharacters { path = "…" + path.suffix(QuotedText.mostCharacters / 2) }
    scopes.enter(function, call: FunctionCall(path: path, attributes: function.attributes(in: node)))
    defer { scopes.leave() }
    for (index, name) in function.proto.input.enumerated() {
      scopes.set(name, index < node.inputs.count ? node.inputs[index] : nil)
    }
    for inner in function.proto.node { try infer(inner) }
    return function.proto.output.map { scopes[$0] ?? .failure(InferenceStop("is left out", at: "'\($0)'")) }
  }

  /// Notes the convolutions in the graphs of a node that are not followed; whether it has graphs.
  mutating func leavesOutGraphs(of node: ModelNode) -> Bool {
    let graphs = node.graphs
    if graphs.isEmpty { return false }
    findings.addUnfollowed(functions.convolutions(in: graphs), in: node)
    return true
  }
}

extension Onnx_AttributeProto {
  /// The graphs that an attribute holds.
  var innerGraphs: [Onnx_GraphProto] { (hasG ? [g] : []) + graphs }
}
