import Foundation

/// A node of the graph with what is known of its inputs, as the operators' rules see it.
struct ModelNode {
  /// The operator's name, with its domain where that is not ONNX's own.
  let op: String
  /// How messages call the node.
  let title: String
  /// What is known of each input; nil where an optional one is left out.
  let inputs: [Result<ModelValue, InferenceStop>?]
  /// How many outputs the node has.
  let outputCount: Int
  private let attributes: [String: Onnx_AttributeProto]

  init(_ proto: Onnx_NodeProto, inputs: [Result<ModelValue, InferenceStop>?]) {
    op = ["", "ai.onnx"].contains(proto.domain) ? proto.opType : "\(proto.domain).\(proto.opType)"
    title = "node '\(Self.name(proto))' (\(op))"
    self.inputs = inputs
    outputCount = proto.output.count
    attributes = Dictionary(proto.attribute.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
  }

  private init(_ node: ModelNode, inputs: [Result<ModelValue, InferenceStop>?]) {
    (op, title, outputCount, attributes) = (node.op, node.title, node.outputCount, node.attributes)
    self.inputs = inputs
  }

  /// The node with only those of its inputs, in that order.
  func taking(_ places: [Int]) -> ModelNode {
    ModelNode(self, inputs: places.map { $0 < inputs.count ? inputs[$0] : nil })
  }

  /// The node's name; of one without, its first output's.
  static func name(_ proto: Onnx_NodeProto) -> String {
    proto.name.isEmpty ? proto.output.first ?? "" : proto.name
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
    guard Set(result).count == result.count else { throw InferenceStop("names an axis twice: \(axes)") }
    return result
  }
}
