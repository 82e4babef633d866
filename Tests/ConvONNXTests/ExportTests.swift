import ConvCore
import Foundation
import Testing

@testable import ConvONNX

/// Networks as PyTorch's two exporters write them, beside the convolutions that PyTorch carried out
/// (References/generators/onnx_exports.py).
@Suite struct ExportTests {
  static let folder = ConvolutionModelTests.folder + "/exports"
  static let names: [String] = {
    let files = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    return files.filter { $0.hasSuffix(".onnx") }.map { String($0.dropLast(5)) }.sorted()
  }()

  /// What is stored beside a model.
  struct Answer: Decodable {
    struct Layer: Decodable {
      let problem: String
      let transposed: Bool
      let times: Int
    }
    let input: String
    let shape: [Int]
    let open: [String]
    let layers: [Layer]

    /// The shape that has to be stated: none where only the batch is open.
    var stated: [InputShape] { open.contains("image") ? [InputShape(name: input, sizes: shape)] : [] }
  }

  static func answer(_ name: String) throws -> Answer {
    let bytes = try InputFile.bytes(of: "\(folder)/\(name).json")
    return try JSONDecoder().decode(Answer.self, from: Data(bytes))
  }

  private func model(_ name: String, batch: Int? = nil, _ shapes: [InputShape]) throws -> ConvolutionModel {
    try ConvolutionModel(path: "\(Self.folder)/\(name).onnx", batch: batch, shapes: shapes)
  }

  @Test func bothExportersAreThere() {
    #expect(Self.names.count == 19)
    #expect(
      Self.names.count { $0.contains("-script") } >= 9 && Self.names.count { $0.contains("-dynamo") } >= 9)
  }

  @Test(arguments: names) func layersAreThoseOfPyTorch(_ name: String) throws {
    let answer = try Self.answer(name)
    let model = try model(name, batch: answer.shape[0], answer.stated)
    #expect(model.notes == [])
    #expect(model.inputs == [answer.input])
    #expect(model.hasDynamicBatch == !answer.open.isEmpty)
    // This exporter makes one convolution of a padding before one without: the same sums over the same padded input.
    let isFused = name == "wave-dynamo-batch"
    func text(_ problem: ConvProblem) throws -> String {
      guard isFused, problem.spatialRank == 1 else { return problem.description }
      var input = problem.input
      input.w += problem.padding.before.w + problem.padding.after.w
      return try ConvProblem(
        spatialRank: 1, n: problem.n, c: problem.c, k: problem.k, groups: problem.groups, input: input,
        filter: problem.filter, stride: problem.stride,
        padding: Padding(before: Extent(d: 0, h: 0, w: 0), after: Extent(d: 0, h: 0, w: 0)),
        dilation: problem.dilation
      ).description
    }
    var found: [String: Int] = [:]
    for layer in model.layers {
      found["\(try text(layer.problem)) \(layer.isTransposed)", default: 0] += layer.nodes.count
    }
    var expected: [String: Int] = [:]
    for layer in answer.layers {
      let problem = try text(ConvProblem(parsing: layer.problem))
      expected["\(problem) \(layer.transposed)", default: 0] += layer.times
    }
    #expect(found == expected)
  }

  /// An open image size is named with what to state, and stated shapes have to fit the model.
  @Test func statedShapesFitTheModel() throws {
    func words(_ name: String, batch: Int? = nil, _ shapes: [InputShape]) -> String {
      do {
        return "no error: \(try model(name, batch: batch, shapes).notes.joined())"
      } catch {
        return "\(type(of: error)): \(error)"
      }
    }
    let open = words("unet-script-image", [])
    #expect(
      open.contains(
        "leaves the size of axis 2 ('h_size') open; state its shape, --shapes image:1x3xh_sizexw_size"),
      "\(open)")
    for (text, expected) in [
      ("image:2x3x44", "has 3 axes"), ("image:2x4x44x60", "the size of axis 1 is 3"),
      ("image:2x3x44x60,2x3x44x60", "the input has two shapes"),
    ] {
      let found = words("unet-script-image", try InputShape.list(text))
      #expect(found.contains("InputShapeError") && found.contains(expected), "\(found)")
    }
    let batches = words("unet-script-image", batch: 4, [InputShape(name: nil, sizes: [2, 3, 44, 60])])
    #expect(batches.contains("has the batch 2, but the batch is to be 4"), "\(batches)")
    // What is stated need not be what was exported; a fixed size stays what it is.
    let small = try model("unet-script-image", [InputShape(name: "image", sizes: [1, 3, 20, 28])])
    #expect(small.layers[0].problem.description == "conv2d:n1c3h20w28k8r3s3p1")
    #expect(
      words("mobilenet-script", [InputShape(name: "image", sizes: [1, 3, 32, 32])]).contains("axis 2 is 64"))
    let other = [InputShape(name: "other", sizes: [1])]
    #expect(words("mobilenet-script", other).contains("has no such input; known: image"))
    let path = "\(Self.folder)/mobilenet-script.onnx"
    #expect(try ConvolutionModel(path: path, shapes: other, passesOverOthers: true).inputs == ["image"])
  }

  @Test(arguments: [
    "image", "image:", ":1x3", "a:1x0x3", "a:1x-3", "a:1x3,", "a:1x3,,b:2", "1xx3", "a:99999999999999999999",
  ])
  func textsThatAreNoShapesAreErrors(_ text: String) {
    #expect(throws: InputShapeError.self) { try InputShape.list(text) }
  }

  @Test func shapesAreReadAsTrtexecDoes() throws {
    #expect(
      try InputShape.list("serving:0:1x3x224x224,b:7") == [
        InputShape(name: "serving:0", sizes: [1, 3, 224, 224]), InputShape(name: "b", sizes: [7]),
      ])
    #expect(try InputShape.list("8x3") == [InputShape(name: nil, sizes: [8, 3])])
  }

  /// Cut off or with bits turned over, a file is an error or another model.
  @Test(arguments: names) func damagedExportsNeverCrash(_ name: String) throws {
    let bytes = try InputFile.bytes(of: "\(Self.folder)/\(name).onnx")
    let stated = try Self.answer(name).stated
    let seed: UInt64 = 20_261_125
    var random = PhiloxGenerator(seed: seed)
    for round in 0..<60 {
      var damaged = bytes
      if round < 20 { damaged = Array(bytes[..<Int.random(in: 0..<bytes.count, using: &random)]) }
      for _ in 0..<Int.random(in: 1...4, using: &random) where !damaged.isEmpty {
        damaged[Int.random(in: 0..<damaged.count, using: &random)] ^=
          1 << UInt8.random(in: 0..<8, using: &random)
      }
      do {
        _ = try ConvolutionModel(bytes: damaged, path: "damaged.onnx", shapes: stated)
      } catch {
        #expect(
          error is FileError || error is InputShapeError, "\(name), seed \(seed), round \(round): \(error)")
      }
    }
  }
}
