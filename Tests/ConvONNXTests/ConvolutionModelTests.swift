import ConvCore
import ConvTestSupport
import Foundation
import SwiftProtobuf
import Testing

@testable import ConvONNX

/// The stored models: shapes by the onnx package and ONNX Runtime (References/generators/onnx_models.py).
@Suite struct ConvolutionModelTests {
  static let folder = "\(referencesRoot)/models"
  static let names = ["automatic", "blocked", "decoder", "mobile", "ranks", "residual", "version9"]

  /// What is stored beside a model.
  struct Answer: Decodable {
    struct Layer: Decodable {
      let problem: String
      let transposed: Bool
      let nodes: [String]
    }
    let batch: Int
    let layers: [Layer]
    let left_out: [String]
    let values: [String: [Int]]
  }

  static func answer(_ name: String) throws -> Answer {
    let bytes = try InputFile.bytes(of: "\(folder)/\(name).json")
    return try JSONDecoder().decode(Answer.self, from: Data(bytes))
  }

  @Test func allModelsAreTested() throws {
    let files = try FileManager.default.contentsOfDirectory(atPath: Self.folder)
    #expect(files.filter { $0.hasSuffix(".onnx") }.sorted() == Self.names.map { $0 + ".onnx" })
  }

  @Test(arguments: names) func layersAreThoseOfOthers(_ name: String) throws {
    let answer = try Self.answer(name)
    let model = try ConvolutionModel(path: "\(Self.folder)/\(name).onnx", batch: answer.batch)
    #expect(model.name == name)
    #expect(model.layers.map(\.problem.description) == answer.layers.map(\.problem))
    #expect(model.layers.map(\.isTransposed) == answer.layers.map(\.transposed))
    #expect(model.layers.map(\.nodes) == answer.layers.map(\.nodes))
    #expect(model.hasDynamicBatch == !["automatic", "version9"].contains(name))
    #expect(model.notes.isEmpty == answer.left_out.isEmpty)
  }

  /// Every value whose shape is stored has that shape, not only those before convolutions.
  @Test(arguments: names) func valuesHaveTheirShapes(_ name: String) throws {
    let answer = try Self.answer(name)
    let bytes = try InputFile.bytes(of: "\(Self.folder)/\(name).onnx")
    let model = try Onnx_ModelProto(serializedBytes: bytes)
    var inference = ShapeInference(
      model.graph, try ModelFunctions(model, path: name),
      try InputSizes(model.graph, path: name, batch: answer.batch))
    try inference.run()
    #expect(answer.values.count > 10)
    for (value, shape) in answer.values {
      switch inference.scopes.outermost[value] {
      case .success(let found): #expect(found.shape == shape, "\(name) \(value)")
      case .failure(let stop): Issue.record("\(name) \(value): \(stop.reason)")
      case nil: Issue.record("\(name) \(value): nothing is known")
      }
    }
  }

  @Test func theBatchIsTheCallers() throws {
    let path = Self.folder + "/residual.onnx"
    #expect(try ConvolutionModel(path: path).layers.allSatisfy { $0.problem.n == 1 })
    #expect(try ConvolutionModel(path: path, batch: 5).layers.allSatisfy { $0.problem.n == 5 })
    // A batch that the model states stays.
    #expect(try ConvolutionModel(path: Self.folder + "/automatic.onnx", batch: 5).layers[0].problem.n == 1)
  }

  /// What stops the inference is named where a convolution depends on it, and nowhere else.
  @Test func stopsAreNamed() throws {
    let model = try ConvolutionModel(path: Self.folder + "/blocked.onnx")
    #expect(model.layers.flatMap(\.nodes) == ["good", "told"])
    let note = try #require(model.notes.first)
    #expect(model.notes.count == 1 && note.hasPrefix("1 convolutions are left out"), "\(note)")
    for words in ["node 'behind' (Conv)", "node 'frob' (custom.Frobnicate)", "not known"] {
      #expect(note.contains(words), "\(note)")
    }
    #expect(!note.contains("NonZero"))
  }

  // MARK: Models made here

  @Test(arguments: [
    (["kernel_shape": [3, 2]], "its weights have [3, 3]"), (["strides": [0, 1]], "has 0 in strides"),
    (["strides": [1]], "has 1 numbers in strides"), (["pads": [-1, 0, 0, 0]], "has -1 in pads"),
    (["dilations": [9, 9]], "covers 19, the padded input has 8"), (["dilations": [1 << 31, 1]], "dilations"),
    (["dilations": [1 << 30, 1]], "taps with dilation"),
  ])
  func impossibleConvolutionsSayWhy(attributes: [String: [Int64]], reason: String) throws {
    var convolution = node("Conv", ["x", "w"], "y")
    convolution.attribute = attributes.map { name, values in attribute(name) { $0.ints = values } }
    let found = try read(model([convolution]))
    #expect(found.layers == [] && found.notes.count == 1)
    #expect(found.notes[0].contains(reason) && found.notes[0].contains("node 'y' (Conv)"), "\(found.notes)")
  }

  /// A model whose convolutions cannot be understood is whole; a note names the first of them.
  @Test func convolutionsThatAreNotUnderstoodAreNamed() throws {
    for (made, words) in [
      (model([node("Conv", ["z", "w"], "y")]), "takes 'z', which nothing before it gives"),
      (model([node("Conv", ["x", "w"], "y", int("group", 3))]), "3 groups"),
      (
        model([node("Conv", ["x", "w"], "y")], inputs: [value("x", [1, 2, "size", 8])]),
        "leaves the size of axis 2 ('size') open"
      ),
      (
        model([node("Conv", ["x", "w"], "y")], inputs: [value("x", [1, 2, 8])]), "has an input of the shape"
      ),
    ] {
      let found = try read(made)
      #expect(found.layers == [] && found.notes.count == 1)
      #expect(found.notes[0].hasPrefix("1 convolutions are left out") && found.notes[0].contains(words))
    }
  }

  @Test func filesThatAreNoModelsAreErrors() throws {
    #expect {
      try read(Onnx_ModelProto())
    } throws: { "\($0)".contains("it is no ONNX model: it holds no graph with nodes") }
    #expect(throws: FileError.self) { try ConvolutionModel(path: Self.folder + "/none.onnx") }
  }

  /// Messages that lie deeper in each other than any model's are refused before they can use up the stack.
  @Test func nestingHasALimit() throws {
    var bytes: [UInt8] = []
    for _ in 0..<40 {
      // The graph as field 6 of an attribute, that as field 5 of a node, that as field 1 of a graph.
      for tag: UInt8 in [0x32, 0x2A, 0x0A] { bytes = [tag] + varint(bytes.count) + bytes }
    }
    let nested = [0x3A] + varint(bytes.count) + bytes
    #expect {
      try ConvolutionModel(bytes: nested, path: "deep.onnx")
    } throws: { "\($0)".contains("its messages lie more than 100 deep in each other") }
  }

  private func varint(_ value: Int) -> [UInt8] {
    var rest = value
    var bytes: [UInt8] = []
    repeat {
      bytes.append(UInt8(rest & 0x7F) | (rest > 0x7F ? 0x80 : 0))
      rest >>= 7
    } while rest > 0
    return bytes
  }

  // MARK: Damage

  /// A damaged file is an error or another model, never a crash.
  @Test(arguments: names) func damagedFilesNeverCrash(_ name: String) throws {
    let bytes = try InputFile.bytes(of: "\(Self.folder)/\(name).onnx")
    for count in stride(from: 0, to: bytes.count, by: 11) {
      check(Array(bytes[..<count]), "\(name) cut to \(count) bytes")
    }
    let seed: UInt64 = 20_261_124
    var random = PhiloxGenerator(seed: seed)
    for round in 0..<400 {
      var damaged = bytes
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        damaged[Int.random(in: 0..<bytes.count, using: &random)] ^=
          1 << UInt8.random(in: 0..<8, using: &random)
      }
      check(damaged, "\(name), seed \(seed), round \(round)")
    }
  }

  private func check(_ bytes: [UInt8], _ what: String) {
    do {
      let model = try ConvolutionModel(bytes: bytes, path: "damaged.onnx", batch: 3)
      #expect(model.layers.allSatisfy { $0.problem.output.count > 0 }, "\(what)")
      #expect(!model.layers.isEmpty || !model.notes.isEmpty, "\(what)")
    } catch {
      #expect(error is FileError, "\(what): \(error)")
    }
  }

  /// Models that are whole, but with numbers that no model has.
  @Test(arguments: names) func wildNumbersNeverCrash(_ name: String) throws {
    let bytes = try InputFile.bytes(of: "\(Self.folder)/\(name).onnx")
    let good = try Onnx_ModelProto(serializedBytes: bytes)
    let wild: [Int64] = [
      0, -1, 1, 2, 3, 7, -2, 1 << 15, 1 << 31, 1 << 31 - 1, -1 << 31, 1 << 40, .max, .min, .max - 1, 1 << 62,
    ]
    let seed: UInt64 = 7
    var random = PhiloxGenerator(seed: seed)
    for round in 0..<400 {
      var model = good
      for _ in 0..<Int.random(in: 1...3, using: &random) {
        let value = wild.randomElement(using: &random)!
        switch random.nextWord() % 4 {
        case 0:
          let i = model.graph.initializer.indices.randomElement(using: &random)!
          if let axis = model.graph.initializer[i].dims.indices.randomElement(using: &random) {
            model.graph.initializer[i].dims[axis] = value
          }
        case 1:
          let i = model.graph.initializer.indices.randomElement(using: &random)!
          let count = model.graph.initializer[i].rawData.count / 8
          if count > 0 {
            let place = Int.random(in: 0..<count, using: &random) * 8
            model.graph.initializer[i].rawData.replaceSubrange(
              place..<(place + 8), with: withUnsafeBytes(of: value.littleEndian) { Data($0) })
          }
        case 2:
          let i = model.graph.input.indices.randomElement(using: &random)!
          let count = model.graph.input[i].type.tensorType.shape.dim.count
          let axis = Int.random(in: 0..<count, using: &random)
          model.graph.input[i].type.tensorType.shape.dim[axis].dimValue = value
        default:
          let i = model.graph.node.indices.randomElement(using: &random)!
          guard let j = model.graph.node[i].attribute.indices.randomElement(using: &random) else { continue }
          if let k = model.graph.node[i].attribute[j].ints.indices.randomElement(using: &random) {
            model.graph.node[i].attribute[j].ints[k] = value
          } else {
            model.graph.node[i].attribute[j].i = value
          }
        }
      }
      check(try model.serializedBytes(), "\(name), seed \(seed), round \(round)")
    }
  }
}
