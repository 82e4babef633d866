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
  /// Whether the model leaves the batch size open, so that `batch` or a stated shape has taken its place.
  public let hasDynamicBatch: Bool
  /// The names of the model's inputs, without those that are weights.
  public let inputs: [String]

  /// Largest file that is read: 2 GiB, which is the limit of the format.
  public static let largestByteCount = 1 << 31
  /// How deep messages may lie in each other; a graph in an attribute of a node takes three levels.
  static let deepestNesting = 64

  /// Reads a model. Weights are not needed: files that keep them elsewhere will do.
  ///
  /// - Parameters:
  ///   - batch: the batch size where the model leaves it open; 1 if it is not given.
  ///   - shapes: shapes of inputs whose sizes the model leaves open.
  ///   - passesOverOthers: whether shapes of inputs that the model does not have are for other models, and no error.
  /// - Throws: `FileError` where the file cannot be read, is no model, or holds no convolution whose shape can be inferred;
  ///   `InputShapeError` where a stated shape contradicts the model.
  public init(
    path: String, batch: Int? = nil, shapes: [InputShape] = [], passesOverOthers: Bool = false
  ) throws {
    let bytes = try InputFile.bytes(of: path, limit: Self.largestByteCount)
    try self.init(
      bytes: bytes, path: path, batch: batch, shapes: shapes, passesOverOthers: passesOverOthers)
  }

  /// Reads a model in memory; `path` names it in errors.
  public init(
    bytes: [UInt8], path: String, batch: Int? = nil, shapes: [InputShape] = [], passesOverOthers: Bool = false
  ) throws {
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
    let sizes = try InputSizes(
      model.graph, path: path, batch: batch, shapes: shapes, passesOverOthers: passesOverOthers)
    var inference = ShapeInference(model.graph, sizes)
    inference.run()
    guard !inference.layers.isEmpty else {
      let why =
        inference.stops.first.map { "no convolution whose shape can be inferred: \($0)" } ?? "no convolution"
      throw FileError.malformed(path: path, reason: "it holds \(why)")
    }
    name = model.graph.name.isEmpty ? path : model.graph.name
    layers = inference.layers
    hasDynamicBatch = sizes.hasOpenBatch
    inputs = sizes.inputs
    var notes =
      inference.stops.isEmpty
      ? [] : ["\(inference.stops.count) convolutions are left out; the first: \(inference.stops[0])"]
    notes += inference.subgraphs.map {
      "\($0.count) convolutions are left out, they lie in a graph inside of \($0.node)"
    }
    if let first = inference.integerConvolutions.first {
      notes.append(
        "\(inference.integerConvolutions.count) convolutions of integers are left out; the first: \(first)")
    }
    self.notes = notes
  }
}
