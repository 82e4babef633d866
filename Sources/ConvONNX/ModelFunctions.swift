import ConvCore

/// The functions that a model brings along.
///
/// A node whose operator one of them is runs its nodes; the inference goes through them as often as they are called. How much that is
/// comes from the functions alone, before anything runs: ten that call each other twice are a thousand.
struct ModelFunctions {
  /// What a node calls a function by.
  struct Key: Hashable {
    let domain: String, name: String, overload: String

    init(domain: String, name: String, overload: String) {
      self.domain = domain == "ai.onnx" ? "" : domain
      self.name = name
      self.overload = overload
    }
    init(_ node: Onnx_NodeProto) {
      self.init(domain: node.domain, name: node.opType, overload: node.overload)
    }

    var description: String { Excerpt.of(domain.isEmpty ? name : "\(domain).\(name)") }
  }

  struct Function {
    let proto: Onnx_FunctionProto
    /// Shapes that the function states of its values.
    let stated: [String: Onnx_TypeProto]

    init(_ proto: Onnx_FunctionProto) {
      self.proto = proto
      // The names of open sizes mean nothing outside of the function.
      let fixed = proto.valueInfo.filter { $0.type.sizes?.allSatisfy { !$0.isOpen } ?? false }
      stated = Dictionary(fixed.map { ($0.name, $0.type) }, uniquingKeysWith: { first, _ in first })
    }

    /// The values of the attributes in a call: those of the node, else the function's own. A graph is not passed on: what it takes from
    /// outside of it stands where the call is.
    func attributes(in node: ModelNode) -> [String: Onnx_AttributeProto] {
      var result: [String: Onnx_AttributeProto] = [:]
      for attribute in proto.attributeProto { result[attribute.name] = attribute }
      for (name, attribute) in node.attributes { result[name] = attribute }
      return result.filter { $0.value.innerGraphs.isEmpty }
    }
  }

  /// What lies in a graph or function, with the functions that it calls.
  private struct Measure {
    /// Nodes with what belongs to them, and the values of graphs: what the work grows with.
    var parts = 0
    /// Those of them that lie in functions.
    var inlined = 0
    /// Convolutions and operators that seem to be some.
    var convolutions = 0
    /// Graphs and functions that lie in each other.
    var depth = 1

    mutating func add(_ other: Measure, isCall: Bool) {
      parts = Self.sum(parts, other.parts)
      inlined = Self.sum(inlined, isCall ? other.parts : other.inlined)
      convolutions = Self.sum(convolutions, other.convolutions)
      depth = max(depth, 1 + other.depth)
    }

    /// Far beyond what is followed, and far from what an integer cannot hold.
    static let uncounted = 1 << 60
    private static func sum(_ a: Int, _ b: Int) -> Int { min(a + b, uncounted) }
  }

  /// Parts that the calls of functions may come to, beside the model's own.
  static let mostInlined = 300_000
  /// Graphs and functions that may lie in each other.
  static let deepest = 100

  private var functions: [Key: Function] = [:]
  private var measures: [Key: Measure] = [:]
  /// The functions that are being measured, each called by the one before it.
  private var open: [Key] = []

  /// The functions of a model.
  ///
  /// - Throws: `FileError` where those that the graph needs call themselves, lie too deep in each other or come to too much.
  init(_ model: Onnx_ModelProto, path: String) throws {
    for proto in model.functions {
      let key = Key(domain: proto.domain, name: proto.name, overload: proto.overload)
      if functions[key] == nil { functions[key] = Function(proto) }
    }
    do {
      let inlined = try measure(model.graph, level: 1).inlined
      guard inlined <= Self.mostInlined else {
        throw InferenceStop(
          "with its functions inlined it has \(inlined == Measure.uncounted ? "more than " : "")\(inlined) more nodes "
            + "and values, at most \(Self.mostInlined) are followed"
        )
      }
    } catch let stop as InferenceStop {
      throw FileError.malformed(path: path, reason: stop.reason)
    }
  }

  /// The function that a node calls.
  func callee(of node: Onnx_NodeProto) -> Function? { functions.isEmpty ? nil : functions[Key(node)] }

  /// Convolutions in graphs that are not followed, with those in the graphs and functions inside of them.
  func convolutions(in graphs: [Onnx_GraphProto]) -> Int {
    // Whatever the model's graph reaches has been measured without an error.
    var copy = self
    return graphs.reduce(0) { $0 + ((try? copy.measure($1, level: 1))?.convolutions ?? 0) }
  }

  private static let tooDeep = InferenceStop(
    "its functions and graphs lie more than \(deepest) deep in each other")

  private mutating func measure(_ graph: Onnx_GraphProto, level: Int) throws -> Measure {
    var measure = try measure(graph.node, level: level)
    measure.parts +=
      graph.initializer.count + graph.sparseInitializer.count + graph.valueInfo.count + graph.input.count
      + graph.output.count
    return measure
  }

  private mutating func measure(_ nodes: [Onnx_NodeProto], level: Int) throws -> Measure {
    guard level <= Self.deepest else { throw Self.tooDeep }
    var result = Measure()
    for node in nodes {
      result.parts += node.parts
      if let function = callee(of: node) {
        result.add(try measure(function, Key(node), level: level + 1), isCall: true)
      } else if ConvolutionOperator.isAlike(node) {
        result.convolutions += 1
      }
      for graph in node.attribute.lazy.flatMap(\.innerGraphs) {
        result.add(try measure(graph, level: level + 1), isCall: false)
      }
    }
    return result
  }

  private mutating func measure(_ function: Function, _ key: Key, level: Int) throws -> Measure {
    if let known = measures[key] {
      guard level + known.depth - 1 <= Self.deepest else { throw Self.tooDeep }
      return known
    }
    if let first = open.firstIndex(of: key) {
      let way = open[(first + 1)...].map(\.description)
      throw InferenceStop(
        "its function '\(key.description)' calls itself"
          + (way.isEmpty ? "" : ", by way of \(Excerpt.names(way))"))
    }
    open.append(key)
    defer { open.removeLast() }
    var measure = try measure(function.proto.node, level: level)
    measure.parts += function.proto.input.count + function.proto.output.count
    measures[key] = measure
    return measure
  }
}

extension Onnx_NodeProto {
  /// What there is to look at in a node: itself, its inputs, outputs and attributes, and long texts and lists by their length.
  var parts: Int {
    var bytes = opType.utf8.count + domain.utf8.count + name.utf8.count
    for name in input { bytes += name.utf8.count }
    for name in output { bytes += name.utf8.count }
    for attribute in attribute {
      bytes += 8 * (attribute.ints.count + attribute.floats.count) + attribute.s.count
    }
    return 1 + input.count + output.count + attribute.count + bytes / 128
  }
}
