import ArgumentParser
import ConvCore
import ConvHarness
import ConvONNX
import Foundation

/// The options that say which problems there are: the same for every command that measures.
struct ProblemOptions: ParsableArguments {
  typealias Layer = ProblemSources.Layer

  @Option(
    help: ArgumentHelp(
      "A built-in suite (`vbench list suites`), a file of problem lines or of benchdnn's, or a pattern of either, as in 'shapes/*'; repeatable.",
      valueName: "name|file"))
  var suite: [String] = []

  @Option(
    help: ArgumentHelp(
      "The convolution layers of an ONNX model, equal ones merged; where the data choose a branch those of both, quantised ones as float32; what is left out is noted; repeatable.",
      valueName: "file"))
  var onnx: [String] = []

  @Option(
    help: ArgumentHelp(
      "Shapes of the ONNX models' inputs where they leave sizes open, in trtexec's language: image:1x3x224x224,mask:1x224x224; without a name for a model of one input; repeatable.",
      valueName: "name:sizes"))
  var shapes: [String] = []

  @Option(
    help: ArgumentHelp(
      "Only problems whose name, canonical text or node a regular expression (without looking ahead or back) matches, anywhere in it.",
      valueName: "regex"))
  var match: String?

  @Option(
    help:
      "Batch size in the place of the problems' and networks' own; of an ONNX model that leaves it open the first size of its inputs."
  )
  var batch: Int?

  @Flag(help: "Prints the problems that would run, and runs nothing.")
  var list = false

  /// Whether any source of problems is named.
  var namesProblems: Bool { !suite.isEmpty || !onnx.isEmpty }

  /// The problems that the options name, in their order; `--batch` and `--match` are applied. Sources without any are named in notes.
  ///
  /// - Parameters:
  ///   - texts: problems on the command line.
  ///   - others: problems that come without being named.
  ///   - limit: how many of each suite at most.
  /// - Throws: `UsageError` where nothing matches, `NoProblemError` where no source holds a problem; what the readers throw.
  func layers(texts: [String] = [], others: [Layer] = [], limit: Int = .max) throws -> [Layer] {
    if let batch, batch < 1 { throw UsageError("--batch is \(batch), at least 1 is needed") }
    func sized(_ problem: BenchmarkProblem) throws -> BenchmarkProblem {
      guard let batch else { return problem }
      var problem = problem
      problem.problem = try problem.problem.withBatch(batch)
      return problem
    }
    var sources = ProblemSources(pattern: try match.map { try ProblemPattern($0) })
    for text in texts { try sources.add("command line", [try sized(ProblemFile.parse(text))]) }
    for suite in try suite.flatMap(BenchmarkSuite.selected) {
      for note in suite.notes { Terminal.warn("note: \(suite.name): \(note)") }
      try sources.add(suite.name, suite.problems.map(sized), limit: limit, absence: suite.absence)
    }
    for (path, model) in try zip(onnx, models()) {
      for note in model.notes { Terminal.warn("note: \(path): \(note)") }
      let problems = model.layers.map { BenchmarkProblem($0) }
      // A batch that the model leaves open has been filled in already, before it went through the layers.
      try sources.add(
        path, model.hasDynamicBatch ? problems : problems.map(sized), limit: limit,
        absence: "it holds no convolution that can be taken")
    }
    for (suite, problem) in others { try sources.add(suite, [try sized(problem)], isNamed: false) }
    let (layers, notes) = try sources.finish(match: match)
    for note in notes { Terminal.warn("note: \(note)") }
    return layers
  }

  /// The models of `--onnx`, at the shapes of `--shapes`.
  private func models() throws -> [ConvolutionModel] {
    do {
      let stated = try shapes.flatMap(InputShape.list)
      if onnx.isEmpty && !stated.isEmpty {
        throw UsageError("--shapes states shapes of an --onnx model's inputs, and no model is named")
      }
      let models = try onnx.map { path in
        try ConvolutionModel(path: path, batch: batch, shapes: stated, passesOverOthers: onnx.count > 1)
      }
      let inputs = models.flatMap(\.inputs)
      for shape in stated {
        guard let name = shape.name, !inputs.contains(name) else { continue }
        throw UsageError(
          "--shapes \(shape.excerpt): no model has an input of that name; known: \(InputShape.excerpt(inputs))"
        )
      }
      return models
    } catch let error as InputShapeError {
      throw UsageError("--shapes \(error.description)")
    }
  }

  /// Every layer in every pass, format and filter state; what a suite's file restricts a problem to counts.
  func items(
    _ layers: [Layer], passes: [ConvPass], formats: [MemoryFormat], states: [FilterState]
  ) throws -> [RunItem] {
    var items: [RunItem] = []
    var idle = 0
    for (suite, problem) in layers {
      let count = items.count
      let ownFormats = problem.formats.flatMap { $0.map { [$0] } ?? formats }
      let ownPasses = problem.isTransposed ? passes.map(\.ofTransposed) : passes
      for pass in ownPasses where problem.passes?.contains(pass) ?? true {
        for (i, format) in ownFormats.enumerated() where !ownFormats[..<i].contains(format) {
          for state in states where state == .fresh || pass != .backwardFilter {
            items.append(
              RunItem(suite: suite, problem: problem, pass: pass, format: format, filterState: state))
          }
        }
      }
      if items.count == count { idle += 1 }
    }
    if items.isEmpty && !layers.isEmpty {
      throw UsageError(
        "nothing to run: the \(layers.count) problems have none of the passes and filter states that are asked for"
      )
    }
    if idle > 0 {
      Terminal.warn("note: \(idle) problems have none of the passes and filter states that are asked for")
    }
    return items
  }

  /// What `--list` prints: one line per problem, and how many there are.
  static func listing(_ items: [RunItem]) -> String {
    let hasNodes = items.contains { !$0.problem.nodes.isEmpty }
    var table = TextTable(
      ["suite", "name", "problem", "passes", "times", "GFLOP"] + (hasNodes ? ["nodes"] : []),
      rightAligned: [4, 5])
    var layers = 0.0
    var giga = 0.0
    var index = 0
    while index < items.count {
      let item = items[index]
      let own = items[index...].prefix { $0.suite == item.suite && $0.problem == item.problem }
      let passes = ConvPass.allCases.filter { pass in own.contains { $0.pass == pass } }
      let flops = item.problem.problem.directFLOPs * 1e-9
      let times = item.problem.multiplicity
      let nodes = item.problem.nodes.joined(separator: " ")
      table.add(
        [
          item.suite, item.problem.name, item.problem.problem.description,
          passes.map(\.rawValue).joined(separator: ","), "\(times)", String(format: "%.4g", flops),
        ] + (hasNodes ? [nodes] : []))
      layers += Double(times)
      giga += Double(times) * flops
      index += own.count
    }
    return table.text
      + String(
        format:
          "\n\n%d problems, %.0f layers with their multiplicity, %.4g GFLOP in one pass of all; %d measurements",
        table.rows.count, layers, giga, items.count)
  }
}

extension BenchmarkProblem {
  /// The layer of a model, by the name of its first node.
  init(_ layer: ConvolutionModel.Layer) {
    self.init(layer.problem, name: layer.nodes.first ?? "", multiplicity: layer.nodes.count)
    nodes = layer.nodes
    isTransposed = layer.isTransposed
  }
}
