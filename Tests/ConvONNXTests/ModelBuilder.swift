import Foundation

@testable import ConvONNX

/// A size of an input: a number, a name, or nothing at all.
enum Size: ExpressibleByIntegerLiteral, ExpressibleByStringLiteral {
  case number(Int64), name(String), unsaid
  init(integerLiteral value: Int64) { self = .number(value) }
  init(stringLiteral value: String) { self = .name(value) }
}

// MARK: Attributes

func attribute(_ name: String, _ set: (inout Onnx_AttributeProto) -> Void) -> Onnx_AttributeProto {
  var attribute = Onnx_AttributeProto()
  attribute.name = name
  set(&attribute)
  return attribute
}
func ints(_ name: String, _ values: Int64...) -> Onnx_AttributeProto { attribute(name) { $0.ints = values } }
func int(_ name: String, _ value: Int64) -> Onnx_AttributeProto { attribute(name) { $0.i = value } }
func graph(_ name: String, _ graph: Onnx_GraphProto) -> Onnx_AttributeProto {
  attribute(name) { $0.g = graph }
}
/// The attribute of a function's node that is an attribute of the call.
func reference(_ name: String, to other: String) -> Onnx_AttributeProto {
  attribute(name) { $0.refAttrName = other }
}

// MARK: Nodes and graphs

/// A node; `domain.Operator` is one of another domain. Its outputs are names with blanks between them, its name is the first.
func node(
  _ op: String, _ inputs: [String], _ outputs: String, _ attributes: Onnx_AttributeProto...,
  overload: String = ""
) -> Onnx_NodeProto {
  var node = Onnx_NodeProto()
  let dot = op.lastIndex(of: ".")
  node.domain = dot.map { String(op[..<$0]) } ?? ""
  node.opType = String(op[(dot.map(op.index(after:)) ?? op.startIndex)...])
  if !overload.isEmpty { node.overload = overload }
  node.input = inputs
  node.output = outputs.split(separator: " ").map(String.init)
  node.name = node.output[0]
  node.attribute = attributes
  return node
}

func value(_ name: String, _ sizes: [Size]? = nil, type: Int32 = 1) -> Onnx_ValueInfoProto {
  var info = Onnx_ValueInfoProto()
  info.name = name
  info.type.tensorType.elemType = type
  guard let sizes else { return info }
  info.type.tensorType.shape.dim = sizes.map { size in
    var dimension = Onnx_TensorShapeProto.Dimension()
    switch size {
    case .number(let number): dimension.value = .dimValue(number)
    case .name(let name): dimension.value = .dimParam(name)
    case .unsaid: break
    }
    return dimension
  }
  return info
}

/// A tensor of which only the dimensions are stored.
func weight(_ name: String, _ dims: [Int64], type: Int32 = 1) -> Onnx_TensorProto {
  var tensor = Onnx_TensorProto()
  tensor.name = name
  tensor.dims = dims
  tensor.dataType = type
  return tensor
}

/// A tensor of integers; without dimensions a single one.
func constant(_ name: String, _ values: [Int64], dims: [Int64]? = nil) -> Onnx_TensorProto {
  var tensor = weight(name, dims ?? [Int64(values.count)], type: 7)
  tensor.int64Data = values
  return tensor
}

/// A graph within a node.
func body(
  _ nodes: [Onnx_NodeProto], takes inputs: [Onnx_ValueInfoProto] = [], gives outputs: String...,
  weights: [Onnx_TensorProto] = []
) -> Onnx_GraphProto {
  var graph = Onnx_GraphProto()
  graph.input = inputs
  graph.node = nodes
  graph.output = outputs.map { value($0) }
  graph.initializer = weights
  return graph
}

func function(
  _ domain: String, _ name: String, _ inputs: [String], gives outputs: [String], _ nodes: [Onnx_NodeProto],
  defaults: [Onnx_AttributeProto] = [], overload: String = ""
) -> Onnx_FunctionProto {
  var function = Onnx_FunctionProto()
  (function.domain, function.name) = (domain, name)
  if !overload.isEmpty { function.overload = overload }
  (function.input, function.output, function.node) = (inputs, outputs, nodes)
  function.attributeProto = defaults
  return function
}

/// A model with the input `x` [1, 2, 8, 8] and the weights `w` [4, 2, 3, 3] and `v` [6, 4, 1, 1] unless others are given.
func model(
  _ nodes: [Onnx_NodeProto], inputs: [Onnx_ValueInfoProto]? = nil, weights: [Onnx_TensorProto] = [],
  functions: [Onnx_FunctionProto] = []
) -> Onnx_ModelProto {
  var model = Onnx_ModelProto()
  model.graph.name = "made"
  model.graph.input = inputs ?? [value("x", [1, 2, 8, 8])]
  model.graph.initializer = [weight("w", [4, 2, 3, 3]), weight("v", [6, 4, 1, 1])] + weights
  model.graph.node = nodes
  model.graph.output = (nodes.last?.output.first).map { [value($0)] } ?? []
  model.functions = functions
  return model
}

// MARK: What is read

func read(_ model: Onnx_ModelProto, batch: Int? = nil, shapes: String? = nil) throws -> ConvolutionModel {
  try ConvolutionModel(
    bytes: model.serializedBytes(), path: "made.onnx", batch: batch, shapes: shapes.map(InputShape.list) ?? []
  )
}

extension ConvolutionModel {
  /// Each node with its problem, `T` in front of transposed ones.
  var problems: [String: String] {
    var result: [String: String] = [:]
    for layer in layers {
      for node in layer.nodes { result[node] = (layer.isTransposed ? "T " : "") + layer.problem.description }
    }
    return result
  }
}
