import ConvCore
import ConvONNX

@testable import ConvHarness

extension FuzzedReader {
  /// One problem in either language, and shapes of inputs.
  static let problem = FuzzedReader(name: "problem") { bytes in
    let text = String(decoding: bytes, as: UTF8.self)
    if let shapes = try? InputShape.list(text) {
      let written = shapes.map(\.description).joined(separator: ",")
      demand(again("shapes") { try InputShape.list(written) } == shapes, "other shapes: \(written)")
    }
    if let problem = try? ConvProblem(parsing: text) { check(problem) }
    let named = try ProblemFile.parse(text)
    check(named.problem)
    demand(named.multiplicity > 0, "no problem at all")
  }

  /// Files of problems and benchdnn's options; a file that they name is never there.
  static let batch = FuzzedReader(name: "batch") { bytes in
    let suites = try ProblemFile.suites(
      from: String(decoding: bytes, as: UTF8.self), file: "\(Scratch.folder)/none/batch")
    for suite in suites {
      demand(suite.problems.isEmpty == (suite.absence != nil), "a suite without problems does not say why")
      for problem in suite.problems.prefix(100) { check(problem.problem) }
    }
  }

  /// Layers of models.
  static let onnx = FuzzedReader(name: "onnx") { bytes in
    let model = try ConvolutionModel(bytes: bytes, path: "model.onnx", batch: 2)
    demand(!model.layers.isEmpty || !model.notes.isEmpty, "a model of which nothing is said")
    // A name may be as long as the file; a note repeats a few beginnings.
    demand(model.notes.allSatisfy { $0.utf8.count < 8192 }, "a note without an end")
    for layer in model.layers {
      demand(!layer.nodes.isEmpty, "a layer without nodes")
      check(layer.problem)
    }
  }

  /// The text of a problem gives the problem back, and what is derived from it can be counted.
  private static func check(_ problem: ConvProblem) {
    let text = problem.description
    demand(again(text) { try ConvProblem(parsing: text) } == problem, "another problem: \(text)")
    for pass in ConvPass.allCases {
      demand(problem.resultShape(pass).allSatisfy { $0 > 0 }, "\(text): an empty result")
      demand(problem.summationDepth(pass) > 0, "\(text): sums without terms")
    }
    demand(problem.directFLOPs > 0, "\(text): no work")
  }
}
