/// Goes through a graph once, from its inputs on.
struct ShapeInference {
  /// Convolutions that were understood, merged.
  private(set) var layers: [ConvolutionModel.Layer] = []
  /// Why other convolutions were not.
  private(set) var stops: [String] = []
  /// Nodes that hold graphs with convolutions which may or may not run.
  private(set) var subgraphs: [(node: String, count: Int)] = []
  /// Convolutions of quantised numbers.
  private(set) var integerConvolutions: [String] = []

  private let graph: Onnx_GraphProto
  private let sizes: InputSizes
  /// What is known of each value.
  private(set) var values: [String: Result<ModelValue, InferenceStop>] = [:]
  /// Shapes that the model itself states, for operators without a rule.
  private var stated: [String: Onnx_TypeProto] = [:]
  private var indexOfLayer: [ConvolutionModel.Layer: Int] = [:]

  init(_ graph: Onnx_GraphProto, _ sizes: InputSizes) {
    self.graph = graph
    self.sizes = sizes
  }

  mutating func run() {
    for info in graph.input {
      values[info.name] = stopping("input '\(info.name)'") { [try sizes.shape(ofInput: info)] }.map { $0[0] }
    }
    run(graph)
  }

  /// A graph whose inputs are known; values of the graph around it may be used in it.
  private mutating func run(_ graph: Onnx_GraphProto) {
    for info in graph.valueInfo { stated[info.name] = info.type }
    for tensor in graph.initializer {
      values[tensor.name] = stopping("initializer '\(tensor.name)'") { [try ModelValue(tensor)] }.map {
        $0[0]
      }
    }
    for proto in graph.node { infer(proto) }
  }

  private mutating func infer(_ proto: Onnx_NodeProto) {
    let inputs = proto.input.map { name in name.isEmpty ? nil : value(name) }
    let node = ModelNode(proto, inputs: inputs)
    if OperatorRules.convolutions.contains(node.op) { addLayer(node, ModelNode.name(proto)) }
    if OperatorRules.integerConvolutions.contains(node.op) { integerConvolutions.append(node.title) }
    var outputs: Result<[ModelValue], InferenceStop>
    if node.op == "If" {
      outputs = branches(of: proto, node)
    } else if let rule = OperatorRules.rule(for: node.op) {
      outputs = stopping(node.title) { try rule(node) }
    } else {
      let graphs = proto.attribute.flatMap(\.innerGraphs)
      noteConvolutions(of: graphs, node)
      let reason =
        graphs.isEmpty
        ? "stopped the inference: the operator is not known"
        : "stopped the inference: it runs a graph of its own, which is not followed"
      outputs = .failure(InferenceStop(reason).located(at: node.title))
    }
    for (index, name) in proto.output.enumerated() where !name.isEmpty {
      switch outputs {
      case .success(let known) where index < known.count: values[name] = .success(known[index])
      case .success:
        values[name] = .failure(
          InferenceStop("has an output \(index) whose shape is not inferred").located(at: node.title))
      case .failure(let stop):
        // What the model says of its own values is as good.
        let told = stated[name].map { type in
          stopping("value '\(name)'") { [try sizes.shape(stated: type)] }
        }
        if case .success(let value)? = told {
          values[name] = .success(value[0])
        } else {
          values[name] = .failure(stop)
        }
      }
    }
  }

  private func value(_ name: String) -> Result<ModelValue, InferenceStop> {
    values[name] ?? .failure(InferenceStop("takes '\(name)', which nothing before it gives"))
  }

  /// The outputs of an `If`: of the branch that runs where that is known, else the shapes that both branches have in common.
  private mutating func branches(of proto: Onnx_NodeProto, _ node: ModelNode) -> Result<
    [ModelValue], InferenceStop
  > {
    func branch(_ name: String) -> Onnx_GraphProto? { proto.attribute.first { $0.name == name }?.g }
    guard let first = branch("then_branch"), let second = branch("else_branch") else {
      noteConvolutions(of: proto.attribute.flatMap(\.innerGraphs), node)
      return .failure(InferenceStop("has no two branches").located(at: node.title))
    }
    func outputs(_ inference: ShapeInference, _ graph: Onnx_GraphProto) -> Result<
      [ModelValue], InferenceStop
    > {
      stopping(node.title) { try graph.output.map { try inference.value($0.name).get() } }
    }
    if let condition = try? node.input(0).constants?.first {
      let taken = condition != 0 ? first : second
      run(taken)
      return outputs(self, taken)
    }
    noteConvolutions(of: [first, second], node)
    let both = [first, second].map { graph in
      var copy = self
      copy.run(graph)
      return outputs(copy, graph)
    }
    return stopping(node.title) {
      let (one, other) = (try both[0].get(), try both[1].get())
      guard one.map(\.shape) == other.map(\.shape) else {
        throw InferenceStop("has branches of different shapes, and which one runs depends on the data")
      }
      return try one.map { try ModelValue($0.shape, isInteger: $0.isInteger) }
    }
  }

  private mutating func addLayer(_ node: ModelNode, _ name: String) {
    let isTransposed = node.op == "ConvTranspose"
    do {
      let problem = isTransposed ? try node.transposedConvolution() : try node.convolution()
      let key = ConvolutionModel.Layer(problem: problem, isTransposed: isTransposed, nodes: [])
      if let index = indexOfLayer[key] {
        layers[index].nodes.append(name)
      } else {
        indexOfLayer[key] = layers.count
        layers.append(ConvolutionModel.Layer(problem: problem, isTransposed: isTransposed, nodes: [name]))
      }
    } catch let stop as InferenceStop {
      let reason = stop.located(at: node.title).reason
      stops.append(stop.isLocated ? "\(node.title) depends on \(reason)" : reason)
    } catch {
      stops.append("\(node.title): \(error)")
    }
  }

  private mutating func noteConvolutions(of graphs: [Onnx_GraphProto], _ node: ModelNode) {
    let count = graphs.reduce(0) { $0 + Self.convolutions($1) }
    if count > 0 { subgraphs.append((node.title, count)) }
  }

  /// Convolutions in a graph and in the graphs inside of it.
  private static func convolutions(_ graph: Onnx_GraphProto) -> Int {
    graph.node.reduce(0) { count, node in
      count + (OperatorRules.convolutions.contains(node.opType) ? 1 : 0)
        + node.attribute.flatMap(\.innerGraphs).reduce(0) { $0 + convolutions($1) }
    }
  }

  private func stopping(_ what: String, _ body: () throws -> [ModelValue]) -> Result<
    [ModelValue], InferenceStop
  > {
    do {
      return .success(try body())
    } catch let stop as InferenceStop {
      return .failure(stop.located(at: what))
    } catch {
      return .failure(InferenceStop("\(error)").located(at: what))
    }
  }
}

extension Onnx_AttributeProto {
  /// The graphs that an attribute holds.
  var innerGraphs: [Onnx_GraphProto] { (hasG ? [g] : []) + graphs }
}
