import ArgumentParser
import ConvBackends
import ConvCore
import ConvHarness
import ConvNN
import ConvONNX
import Foundation

/// What says which problems there are: the same for every command that measures or explains.
struct ProblemOptions: ParsableArguments {
  typealias Layer = ProblemSources.Layer

  @Argument(
    help: ArgumentHelp(
      "Problems (canonical text or benchdnn's language), suites, files or patterns as for --suite, ONNX models.",
      valueName: "problem"), completion: .custom(Completions.problems))
  var problems: [String] = []

  @Option(
    help: ArgumentHelp(
      "A built-in suite (`vbench list suites`), a file of problem lines or of benchdnn's, or a pattern of either, as in 'shapes/*'; repeatable.",
      valueName: "name|file"), completion: .custom(Completions.suites))
  var suite: [String] = []

  @Option(
    help: ArgumentHelp(
      "The convolution layers of an ONNX model, equal ones merged; where the data choose a branch those of both, quantised ones as float32; what is left out is noted; repeatable.",
      valueName: "file"), completion: .file(extensions: ["onnx"]))
  var onnx: [String] = []

  @Option(
    help: ArgumentHelp(
      "Shapes of the ONNX models' inputs where they leave sizes open, in trtexec's language: image:1x3x224x224,mask:1x224x224; without a name for a model of one input; repeatable.",
      valueName: "name:sizes"))
  var shapes: [String] = []

  @Option(
    help: ArgumentHelp(
      "Only problems whose name, canonical text or node a regular expression (without looking ahead or back) matches, anywhere in it; all if left out.",
      valueName: "regex"))
  var match: String?

  @Option(
    help: ArgumentHelp(
      "Networks (`vbench list networks`), as in seed-cnn,resnet18: run and compare take their full training steps, other commands the convolutions in these; repeatable.",
      valueName: "list"), completion: .custom(Completions.networks))
  var network: [String] = []

  @Option(
    help: ArgumentHelp(
      "Images per batch, in the place of the problems' and networks' own; of an ONNX model that leaves it open the first size of its inputs.",
      valueName: "images"))
  var batch: Int?

  @Flag(help: "Prints what would run, and under which conditions, and runs nothing.")
  var list = false

  /// Whether any source of problems is named.
  var namesProblems: Bool { !problems.isEmpty || !suite.isEmpty || !onnx.isEmpty }

  /// Whether anything at all is named.
  var isEmpty: Bool { !namesProblems && network.isEmpty }

  /// The networks that are named, each once.
  ///
  /// - Throws: `UnknownNameError`, `MisplacedNameError`.
  func networks() throws -> [ImageNetwork] {
    var networks: [ImageNetwork] = []
    for name in network.flatMap(NameList.split) where !networks.contains(where: { $0.name == name }) {
      networks.append(try ImageNetwork.known(name))
    }
    return networks
  }

  /// The convolutions in training steps of the networks that are named, as auto runs them.
  ///
  /// - Throws: as `networks`; `UsageError` for a batch that no problem has.
  func convolutionsOfNetworks() throws -> [Layer] {
    try checkBatch()
    return try networks().flatMap { network in
      try NetworkConvolutions(
        of: network, batch: batch ?? network.batch, on: Competitor(.auto),
        threads: WorkerPool.shared.threads
      ).problems.map { (suite: network.name, problem: $0) }
    }
  }

  private func checkBatch() throws {
    if let batch, !(1...ConvProblem.Limits.size).contains(batch) {
      throw UsageError("--batch is \(batch), 1 to \(ConvProblem.Limits.size) are possible")
    }
  }

  /// The problems that the command line names, in their order; `--batch` and `--match` are applied. Sources without any are named in notes.
  ///
  /// - Parameters:
  ///   - others: problems that come without being named, or by networks.
  ///   - limit: how many of each suite at most.
  /// - Throws: `UsageError` where nothing matches, `NoProblemError` where no source holds a problem; `MisplacedNameError`; what the
  ///   readers throw.
  func layers(others: [Layer] = [], limit: Int = .max) throws -> [Layer] {
    try checkBatch()
    func sized(_ problem: BenchmarkProblem) throws -> BenchmarkProblem {
      guard let batch else { return problem }
      var problem = problem
      problem.problem = try problem.problem.withBatch(batch)
      return problem
    }
    var sources = ProblemSources(pattern: try match.map { try ProblemPattern($0) })
    let words = try ProblemWords(problems)
    for problem in words.problems { try sources.add("command line", [try sized(problem)]) }
    for suite in try (words.suites + suite).flatMap(BenchmarkSuite.chosen) {
      for note in suite.notes { Terminal.warn("note: \(suite.name): \(note)") }
      try sources.add(suite.name, suite.problems.map(sized), limit: limit, absence: suite.absence)
    }
    let paths = words.models + onnx
    for (path, model) in try zip(paths, models(paths)) {
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

  /// The models of these paths, at the shapes of `--shapes`.
  private func models(_ paths: [String]) throws -> [ConvolutionModel] {
    do {
      let stated = try shapes.flatMap(InputShape.list)
      if paths.isEmpty && !stated.isEmpty {
        throw UsageError("--shapes states shapes of an ONNX model's inputs, and no model is named")
      }
      let models = try paths.map { path in
        do {
          return try ConvolutionModel(
            path: path, batch: batch, shapes: stated, passesOverOthers: paths.count > 1)
        } catch let error as FileError {
          throw ProblemWords.advice(on: path, failing: error) ?? error
        }
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
}

extension BenchmarkProblem {
  /// The layer of a model, by the name of its first node.
  init(_ layer: ConvolutionModel.Layer) {
    self.init(layer.problem, name: layer.nodes.first ?? "", multiplicity: layer.nodes.count)
    nodes = layer.nodes
    isTransposed = layer.isTransposed
  }
}
