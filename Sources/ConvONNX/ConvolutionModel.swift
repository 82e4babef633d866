import ConvCore
import Foundation
import SwiftProtobuf

/// The convolution layers of an ONNX model: their problems by shape inference, equal ones merged.
///
/// Every convolution that the model can run is a layer or is counted in a note. Functions that the model brings along are gone through
/// as often as they are called. Of an `If` the branch that runs counts; where only the data say which one, the layers of both do. The
/// layers in the body of a `Loop`, `Scan` or `SequenceMap` count once. Convolutions of quantised or half-precision numbers stand for
/// those of float32 with the same shape. Operators are known by name and domain.
public struct ConvolutionModel: Sendable {
  /// Convolutions of one shape.
  public struct Layer: Hashable, Sendable {
    /// The problem; of a transposed convolution the one whose backward-data pass it is.
    public var problem: ConvProblem
    /// Whether the layer is a transposed convolution.
    public var isTransposed: Bool
    /// The nodes of this shape in the order of the model. One without a name is called as its output, one in a function behind the
    /// names of the calls: `block1/conv`.
    public var nodes: [String]
  }

  /// The name of the graph; the file's where it has none.
  public let name: String
  /// The layers in the order of their first node; none where `notes` says why.
  public let layers: [Layer]
  /// What had to be left out, what is not as in the model, and which node is to blame.
  public let notes: [String]
  /// Whether the model leaves the batch size open, so that `batch` or a stated shape has taken its place.
  public let hasDynamicBatch: Bool
  /// The names of the model's inputs, without those that are weights.
  public let inputs: [String]

  /// Largest file that is read: 2 GiB, which is the limit of the format.
  public static let largestByteCount = 1 << 31
  /// How deep messages may lie in each other, as other readers of the format have it; a graph in an attribute of a node takes three
  /// levels.
  static let deepestNesting = 100

  /// Reads a model. Weights are not needed: files that keep them elsewhere will do.
  ///
  /// - Parameters:
  ///   - batch: the batch size where the model leaves it open, which is the first size of an input and never an image's; 1 if it is
  ///     not given.
  ///   - shapes: shapes of inputs whose sizes the model leaves open.
  ///   - passesOverOthers: whether shapes of inputs that the model does not have are for other models, and no error.
  /// - Throws: `FileError` where the file cannot be read, is no model, or is one whose functions and loops come to too much;
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
    let model = try Self.message(bytes, path: path)
    let sizes = try InputSizes(
      model.graph, path: path, batch: batch, shapes: shapes, passesOverOthers: passesOverOthers)
    let functions = try ModelFunctions(model, path: path)
    func findings(_ sizes: InputSizes) throws -> Findings {
      var inference = ShapeInference(model.graph, functions, sizes)
      do {
        try inference.run()
      } catch let stop as InferenceStop {
        throw FileError.malformed(path: path, reason: stop.reason)
      }
      return inference.findings
    }
    /// Whether images grow with the batch; of those that a small batch makes too small for their filters larger ones tell.
    func imagesGrow(_ found: Findings) throws -> Bool {
      guard let batches = sizes.otherBatches else { return false }
      let large = try findings(sizes.with(batch: batches.0))
      if found.hasOtherImages(than: large) { return true }
      if found.mark.layers == large.mark.layers { return false }
      return try large.hasOtherImages(than: findings(sizes.with(batch: batches.1)))
    }
    var used = sizes
    var found = try findings(sizes)
    // Whatever a size is called, it is no batch if images grow with it.
    if try imagesGrow(found) {
      used = sizes.with(batch: nil)
      found = try findings(used)
    }
    name = model.graph.name.isEmpty ? path : model.graph.name
    layers = found.layers()
    hasDynamicBatch = used.hasOpenBatch
    inputs = sizes.inputs
    let notes = found.notes()
    self.notes = layers.isEmpty && notes.isEmpty ? [Self.without(model.graph)] : notes
  }

  private static func message(_ bytes: [UInt8], path: String) throws -> Onnx_ModelProto {
    var options = BinaryDecodingOptions()
    options.messageDepthLimit = deepestNesting
    options.discardUnknownFields = true
    let model: Onnx_ModelProto
    do {
      model = try Onnx_ModelProto(serializedBytes: bytes, options: options)
    } catch BinaryDecodingError.messageDepthLimit {
      throw FileError.malformed(
        path: path, reason: "its messages lie more than \(deepestNesting) deep in each other")
    } catch {
      throw FileError.malformed(path: path, reason: "it is no ONNX model: \(error)")
    }
    guard model.hasGraph, !model.graph.node.isEmpty || !model.graph.output.isEmpty else {
      throw FileError.malformed(path: path, reason: "it is no ONNX model: it holds no graph with nodes")
    }
    return model
  }

  /// What is said of a model in which nothing seems to be a convolution.
  private static func without(_ graph: Onnx_GraphProto) -> String {
    var counts: [String: Int] = [:]
    for node in graph.node { counts[ModelNode.operatorName(node), default: 0] += 1 }
    let most = counts.sorted { ($1.value, $0.key) < ($0.value, $1.key) }
    return
      "it holds no convolution; its \(graph.node.count) nodes are \(Excerpt.names(most.map { "\($0.value) \($0.key)" }))"
  }
}
