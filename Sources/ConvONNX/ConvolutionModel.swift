import ConvCore
import Foundation
import SwiftProtobuf

/// The convolution layers of an ONNX model: their problems by shape inference, equal ones merged.
public struct ConvolutionModel: Sendable {
  /// Convolutions of one shape.
  public struct Layer: Hashable, Sendable {
    /// The problem; of a transposed convolution the one whose backward-data pass it is.
    public var problem: ConvProblem
    /// Whether the layer is a `ConvTranspose`.
    public var isTransposed: Bool
    /// The nodes of this shape in the order of the model; one without a name is called as its output.
    public var nodes: [String]
  }

  /// The name of the graph; the file's where it has none.
  public let name: String
  /// The layers in the order of their first node.
  public let layers: [Layer]
  /// What had to be left out, and which node is to blame.
  public let notes: [String]
  /// Whether the model leaves the batch size open, so that `batch` has taken its place.
  public let hasDynamicBatch: Bool

  /// Largest file that is read: 2 GiB, which is the limit of the format.
  public static let largestByteCount = 1 << 31
  /// How deep messages may lie in each other; a graph in an attribute of a node takes three levels.
  static let deepestNesting = 64

  /// Reads a model. Weights are not needed: files that keep them elsewhere will do.
  ///
  /// - Parameter batch: the batch size where the model leaves it open.
  /// - Throws: `FileError` where the file cannot be read, is no model, or holds no convolution whose shape can be inferred.
  public init(path: String, batch: Int = 1) throws {
    let bytes = try InputFile.bytes(of: path, limit: Self.largestByteCount)
    try self.init(bytes: bytes, path: path, batch: batch)
  }

  /// Reads a model in memory; `path` names it in errors.
  public init(bytes: [UInt8], path: String, batch: Int = 1) throws {
    var options = BinaryDecodingOptions()
    options.messageDepthLimit = Self.deepestNesting
    options.discardUnknownFields = true
    let model: Onnx_ModelProto
    do {
      model = try Onnx_ModelProto(serializedBytes: bytes, options: options)
    } catch {
      throw FileError.malformed(path: path, reason: "it is no ONNX model: \(error)")
    }
    guard model.hasGraph, !model.graph.node.isEmpty else {
      throw FileError.malformed(path: path, reason: "it is no ONNX model: it holds no graph with nodes")
    }
    var inference = ShapeInference(model.graph, batch: batch)
    inference.run()
    guard !inference.layers.isEmpty else {
      let why =
        inference.stops.first.map { "no convolution whose shape can be inferred: \($0)" } ?? "no convolution"
      throw FileError.malformed(path: path, reason: "it holds \(why)")
    }
    name = model.graph.name.isEmpty ? path : model.graph.name
    layers = inference.layers
    hasDynamicBatch = inference.hasDynamicBatch
    var notes =
      inference.stops.isEmpty
      ? [] : ["\(inference.stops.count) convolutions are left out; the first: \(inference.stops[0])"]
    notes += inference.subgraphs.map {
      "\($0.count) convolutions are left out, they lie in a graph inside of \($0.node)"
    }
    self.notes = notes
  }
}

/// Goes through a graph once, from its inputs on.
struct ShapeInference {
  /// Convolutions that were understood, merged.
  private(set) var layers: [ConvolutionModel.Layer] = []
  /// Why other convolutions were not.
  private(set) var stops: [String] = []
  /// Nodes that hold graphs with convolutions.
  private(set) var subgraphs: [(node: String, count: Int)] = []
  /// Whether an input's batch size is open.
  private(set) var hasDynamicBatch = false

  private let graph: Onnx_GraphProto
  private let batch: Int
  /// What is known of each value.
  private(set) var values: [String: Result<ModelValue, InferenceStop>] = [:]
  /// The names that inputs give to their batch size.
  private var batchNames: Set<String> = []
  /// Shapes that the model itself states, for operators without a rule.
  private var stated: [String: Onnx_TypeProto] = [:]
  private var indexOfLayer: [ConvolutionModel.Layer: Int] = [:]

  init(_ graph: Onnx_GraphProto, batch: Int) {
    self.graph = graph
    self.batch = batch
  }

  mutating func run() {
    for info in graph.valueInfo { stated[info.name] = info.type }
    for info in graph.input {
      values[info.name] = shape(of: info.type, "input '\(info.name)'", isInput: true)
    }
    for tensor in graph.initializer {
      values[tensor.name] = stopping("initializer '\(tensor.name)'") { [try ModelValue(tensor)] }.map {
        $0[0]
      }
    }
    for proto in graph.node { infer(proto) }
  }

  private mutating func infer(_ proto: Onnx_NodeProto) {
    let inputs = proto.input.map { name -> Result<ModelValue, InferenceStop>? in
      name.isEmpty
        ? nil : values[name] ?? .failure(InferenceStop("takes '\(name)', which nothing before it gives"))
    }
    let node = ModelNode(proto, inputs: inputs)
    let convolutions = proto.attribute.reduce(0) { $0 + Self.convolutions($1) }
    if convolutions > 0 { subgraphs.append((node.title, convolutions)) }
    if node.op == "Conv" || node.op == "ConvTranspose" { addLayer(node, ModelNode.name(proto)) }
    var outputs: Result<[ModelValue], InferenceStop>
    if let rule = OperatorRules.rule(for: node.op) {
      outputs = stopping(node.title) { try rule(node) }
    } else {
      outputs = .failure(
        InferenceStop("stopped the inference: the operator is not known").located(at: node.title))
    }
    for (index, name) in proto.output.enumerated() where !name.isEmpty {
      switch outputs {
      case .success(let known) where index < known.count: values[name] = .success(known[index])
      case .success:
        values[name] = .failure(
          InferenceStop("has an output \(index) whose shape is not inferred").located(at: node.title))
      case .failure(let stop):
        // What the model says of its own values is as good.
        let told = stated[name].map { shape(of: $0, "value '\(name)'", isInput: false) }
        if case .success(let value)? = told {
          values[name] = .success(value)
        } else {
          values[name] = .failure(stop)
        }
      }
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

  /// Convolutions in the graphs of an attribute.
  private static func convolutions(_ attribute: Onnx_AttributeProto) -> Int {
    ((attribute.hasG ? [attribute.g] : []) + attribute.graphs).reduce(0) { count, graph in
      graph.node.reduce(count) { count, node in
        count + (["Conv", "ConvTranspose"].contains(node.opType) ? 1 : 0)
          + node.attribute.reduce(0) { $0 + convolutions($1) }
      }
    }
  }

  /// The shape that a type states. An open first size is the batch; other open sizes are not known.
  private mutating func shape(
    of type: Onnx_TypeProto, _ what: String, isInput: Bool
  ) -> Result<ModelValue, InferenceStop> {
    guard case .tensorType(let tensor)? = type.value, tensor.hasShape else {
      return .failure(InferenceStop("has no shape").located(at: what))
    }
    var sizes: [Int] = []
    for (axis, dimension) in tensor.shape.dim.enumerated() {
      if case .dimValue(let size)? = dimension.value, size > 0 {
        sizes.append(Int(clamping: size))
      } else if axis == 0, isInput || isBatch(dimension) {
        if isInput {
          hasDynamicBatch = true
          if case .dimParam(let name)? = dimension.value { batchNames.insert(name) }
        }
        sizes.append(batch)
      } else {
        let name: String
        if case .dimParam(let given)? = dimension.value { name = " ('\(given)')" } else { name = "" }
        return .failure(
          InferenceStop("leaves the size of axis \(axis)\(name) open; export the model with fixed sizes")
            .located(at: what))
      }
    }
    return stopping(what) { [try ModelValue(sizes)] }.map { $0[0] }
  }

  /// Whether an open size has the name of an input's batch.
  private func isBatch(_ dimension: Onnx_TensorShapeProto.Dimension) -> Bool {
    if case .dimParam(let name)? = dimension.value { return batchNames.contains(name) }
    return false
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
