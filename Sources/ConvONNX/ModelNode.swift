import Foundation

/// What the nodes of a function know of the node that calls it; nothing outside of functions.
struct FunctionCall {
  /// What stands before the names of the function's nodes: the calls' names, each with a slash behind it.
  var path = ""
  /// The values of the function's attributes.
  var attributes: [String: Onnx_AttributeProto] = [:]
}

/// A node of the graph with what is known of its inputs, as the operators' rules see it.
struct ModelNode {
  /// The operator's name, with its domain where that is not ONNX's own.
  let op: String
  /// The node's name, of one without its first output's; in a function behind the names of the calls.
  let name: String
  /// What is known of each input; nil where an optional one is left out.
  let inputs: [Result<ModelValue, InferenceStop>?]
  /// How many outputs the node has.
  let outputCount: Int
  private(set) var attributes: [String: Onnx_AttributeProto]

  /// How messages call the node.
  var title: String { "node '\(Excerpt.of(name))' (\(Excerpt.of(op)))" }

  /// A node of a graph, or of a function that is called so.
  init(
    _ proto: Onnx_NodeProto, inputs: [Result<ModelValue, InferenceStop>?],
    in call: FunctionCall = FunctionCall()
  ) {
    op = Self.operatorName(proto)
    let own = proto.name.isEmpty ? proto.output.first ?? "" : proto.name
    name = call.path.isEmpty ? own : call.path + Excerpt.of(own)
    self.inputs = inputs
    outputCount = proto.output.count
    attributes = [:]
    for var attribute in proto.attribute where attributes[attribute.name] == nil {
      if attribute.hasRefAttrName {
        // An attribute that the call leaves out, and that has no standard value, is left out here too.
        guard let given = call.attributes[attribute.refAttrName] else { continue }
        let name = attribute.name
        attribute = given
        attribute.name = name
      }
      attributes[attribute.name] = attribute
    }
  }

  private init(
    _ node: ModelNode, inputs: [Result<ModelValue, InferenceStop>?], attributes: [String: Onnx_AttributeProto]
  ) {
    (op, name, outputCount) = (node.op, node.name, node.outputCount)
    self.inputs = inputs
    self.attributes = attributes
  }

  /// An operator's name, with its domain where that is not ONNX's own, which is written in two ways.
  static func operatorName(_ proto: Onnx_NodeProto) -> String {
    ["", "ai.onnx"].contains(proto.domain) ? proto.opType : "\(proto.domain).\(proto.opType)"
  }

  /// The node with only those of its inputs, in that order.
  func taking(_ places: [Int]) -> ModelNode {
    ModelNode(self, inputs: places.map { $0 < inputs.count ? inputs[$0] : nil }, attributes: attributes)
  }

  /// The node with another first input.
  func replacingFirst(_ value: ModelValue) -> ModelNode {
    ModelNode(self, inputs: [.success(value)] + inputs.dropFirst(), attributes: attributes)
  }

  /// The node with a list of integers as an attribute.
  func with(_ name: String, _ values: [Int]) -> ModelNode {
    var attribute = Onnx_AttributeProto()
    attribute.name = name
    attribute.ints = values.map(Int64.init)
    return ModelNode(self, inputs: inputs, attributes: attributes.merging([name: attribute]) { $1 })
  }

  // MARK: Inputs

  /// Whether input `index` is given.
  func has(_ index: Int) -> Bool { index < inputs.count && inputs[index] != nil }

  /// Input `index`.
  ///
  /// - Throws: `InferenceStop` where it is missing or not known.
  func input(_ index: Int) throws -> ModelValue {
    guard has(index), let input = inputs[index] else { throw InferenceStop("has no input \(index)") }
    return try input.get()
  }

  /// The constant integers of input `index`, nil where it is left out.
  func constants(_ index: Int, _ what: String) throws -> [Int]? {
    guard has(index) else { return nil }
    guard let values = try input(index).integers else {
      throw InferenceStop("takes \(what) that is not constant")
    }
    return values
  }

  // MARK: Attributes

  func has(attribute name: String) -> Bool { attributes[name] != nil }
  func int(_ name: String, _ standard: Int) -> Int {
    attributes[name].map { Int(clamping: $0.i) } ?? standard
  }
  func float(_ name: String) -> Double? { attributes[name].map { Double($0.f) } }
  func floats(_ name: String) -> [Double]? { attributes[name].map { $0.floats.map(Double.init) } }
  func ints(_ name: String) -> [Int]? { attributes[name].map { $0.ints.map { Int(clamping: $0) } } }
  func tensor(_ name: String) -> Onnx_TensorProto? { attributes[name].map(\.t) }
  func sparseTensor(_ name: String) -> Onnx_SparseTensorProto? { attributes[name].map(\.sparseTensor) }
  func graph(_ name: String) -> Onnx_GraphProto? { attributes[name].flatMap { $0.hasG ? $0.g : nil } }
  /// The graphs in all attributes.
  var graphs: [Onnx_GraphProto] { attributes.values.flatMap(\.innerGraphs) }
  func string(_ name: String) -> String? { attributes[name].map { String(decoding: $0.s, as: UTF8.self) } }

  /// An axis of a shape of `rank` axes; negative ones count from the end.
  func axis(_ value: Int, rank: Int) throws -> Int {
    guard (-rank..<rank).contains(value) else {
      throw InferenceStop("names axis \(value) of a shape of \(rank) axes")
    }
    return value < 0 ? value + rank : value
  }

  /// Axes from an attribute or, in later versions of the operator, from an input.
  func axes(_ attribute: String, orInput index: Int, rank: Int) throws -> [Int]? {
    guard let axes = try ints(attribute) ?? constants(index, "axes") else { return nil }
    let result = try axes.map { try axis($0, rank: rank) }
    guard Set(result).count == result.count else {
      throw InferenceStop("names an axis twice: \(Excerpt.of(axes))")
    }
    return result
  }
}
