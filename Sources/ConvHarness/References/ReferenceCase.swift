import ConvCore
import Foundation

/// One stored convolution with the float64 results of all its passes.
///
/// A transposed convolution is the backwardData of the mirrored problem: its output is dx, its upstream gradient is x of the mirrored
/// forward pass, its input is dy.
public struct ReferenceCase: Sendable {
  /// Operations that this type reads.
  public static let operations = ["conv1d", "conv2d", "conv3d", "conv_transpose2d"]

  /// Where the case is stored.
  public let path: String
  /// The file's name without extension.
  public let name: String
  /// `conv1d`, `conv2d`, `conv3d` or `conv_transpose2d`.
  public let op: String
  /// Corners that the case covers.
  public let tags: [String]
  /// The problem; for a transposed convolution the mirrored one, whose image ends where no window reaches any further.
  public let problem: ConvProblem
  /// The float32 operands in the roles that `problem` gives them. dy holds zeros where the file has no upstream gradient.
  public let data: ProblemData
  /// bias of the file's own forward pass.
  public let bias: Tensor?
  /// Float64 results per pass of `problem`, the bias not included.
  public let expected: [ConvPass: Tensor]
  /// The forward result (of a plain convolution) with its bias, float64.
  public let biasedOutput: Tensor?
  /// Σ dy per channel, float64.
  public let biasGradient: Tensor?

  /// Reads a case.
  ///
  /// - Throws: `FileError` naming the file and what is wrong with it.
  public init(path: String) throws {
    try self.init(ReferenceFile(path: path))
  }

  /// Interprets a file as a convolution.
  ///
  /// - Throws: `FileError.malformed`.
  public init(_ file: ReferenceFile) throws {
    path = file.path
    name = file.name
    op = file.op
    tags = file.tags
    let isTransposed = file.op == "conv_transpose2d"
    var storedExtents: [Int]?
    switch file.op {
    case "conv1d", "conv2d", "conv3d": problem = try ReferenceCase.plainProblem(file)
    case "conv_transpose2d":
      let (mirrored, output) = try ReferenceCase.transposedProblem(file)
      problem = mirrored
      storedExtents = [output.h, output.w]
    default:
      throw file.malformed(
        "operation '\(file.op)' is no convolution; those are \(Self.operations.joined(separator: ", "))")
    }
    // Shapes of the file's own tensors.
    let inputShape = isTransposed ? problem.outputShape : problem.inputShape
    let outputShape =
      if let storedExtents { [problem.n, problem.c] + storedExtents } else { problem.outputShape }
    let channels = outputShape[1]
    guard let input = try file.optionalTensor("input", .float32, shape: inputShape) else {
      throw file.malformed("tensor 'input' is missing")
    }
    guard let weight = try file.optionalTensor("weight", .float32, shape: problem.filterShape) else {
      throw file.malformed("tensor 'weight' is missing")
    }
    bias = try file.optionalTensor("bias", .float32, shape: [channels])
    let gradient = try file.optionalTensor("grad_output", .float32, shape: outputShape)
    let output = try file.optionalTensor("output", .float64, shape: outputShape)
    let inputGradient = try file.optionalTensor("grad_input", .float64, shape: inputShape)
    let weightGradient = try file.optionalTensor("grad_weight", .float64, shape: problem.filterShape)
    biasGradient = try file.optionalTensor("grad_bias", .float64, shape: [channels])
    if gradient == nil && (inputGradient != nil || weightGradient != nil || biasGradient != nil) {
      throw file.malformed("gradients are expected, but tensor 'grad_output' is missing")
    }
    // What is not stored is taken to be zero, and has the size of what is: not that of all padding that the attributes may state.
    guard gradient != nil || output != nil else {
      throw file.malformed(
        "it holds neither 'output' nor gradients: nothing is expected, and \(outputShape) results would have to be computed"
      )
    }
    for (name, tensor) in [("input", input), ("weight", weight), ("bias", bias), ("grad_output", gradient)] {
      if let tensor, let stray = Verifier.strayValue(in: tensor) {
        throw file.malformed("tensor '\(name)': \(stray)")
      }
    }
    for (name, tensor) in [
      ("output", output), ("grad_input", inputGradient), ("grad_weight", weightGradient),
      ("grad_bias", biasGradient),
    ] {
      if let tensor, let stray = Verifier.strayValue(in: tensor) {
        throw file.malformed("tensor '\(name)': \(stray)")
      }
    }
    var expected: [ConvPass: Tensor] = [:]
    do {
      let whole = if let gradient { gradient } else { try Tensor.zeros(outputShape) }
      let upstream = isTransposed ? try whole.resized(to: problem.inputShape) : whole
      data = try ProblemData(
        problem: problem, input: isTransposed ? upstream : input, filter: weight,
        outputGradient: isTransposed ? input : upstream)
      let plain = if let output { try ReferenceCase.subtracting(bias, from: output) } else { nil as Tensor? }
      expected[.forward] = isTransposed ? inputGradient : plain
      if isTransposed {
        if let plain { expected[.backwardData] = try ReferenceCase.reached(plain, of: problem, file) }
      } else {
        expected[.backwardData] = inputGradient
      }
      expected[.backwardFilter] = weightGradient
    } catch let error as ConvError {
      throw file.malformed("\(error)")
    }
    self.expected = expected
    biasedOutput = isTransposed ? nil : output
  }

  private static func plainProblem(_ file: ReferenceFile) throws -> ConvProblem {
    let rank = file.op == "conv1d" ? 1 : file.op == "conv2d" ? 2 : 3
    try file.allowAttributes(["stride", "padding", "dilation", "groups"])
    let stride = try file.integers("stride", count: rank, least: 1)
    let dilation = try file.integers("dilation", count: rank, least: 1)
    let groups = try file.integer("groups", least: 1)
    guard let sides = try file.attribute("padding").array?.map({ $0.integers ?? [] }), sides.count == rank,
      sides.allSatisfy({ $0.count == 2 && $0.allSatisfy { $0 >= 0 } })
    else {
      throw file.malformed(
        "attribute 'padding' must be a list of \(rank) pairs [before, after] of non-negative integers")
    }
    let input = try file.tensor("input", .float32).shape
    let weight = try file.tensor("weight", .float32).shape
    guard input.count == rank + 2 else {
      throw file.malformed("tensor 'input' has shape \(input), \(file.op) needs rank \(rank + 2)")
    }
    guard weight.count == rank + 2 else {
      throw file.malformed("tensor 'weight' has shape \(weight), \(file.op) needs rank \(rank + 2)")
    }
    return try build(
      file, rank: rank, n: input[0], c: input[1], k: weight[0], groups: groups,
      input: Array(input[2...]), filter: Array(weight[2...]), stride: stride, dilation: dilation,
      before: sides.map { $0[0] }, after: sides.map { $0[1] })
  }

  private static func transposedProblem(_ file: ReferenceFile) throws -> (ConvProblem, output: Extent) {
    try file.allowAttributes(["stride", "padding", "output_padding", "dilation", "groups"])
    let stride = try file.integers("stride", count: 2, least: 1)
    let padding = try file.integers("padding", count: 2, least: 0)
    let extra = try file.integers("output_padding", count: 2, least: 0)
    let dilation = try file.integers("dilation", count: 2, least: 1)
    let groups = try file.integer("groups", least: 1)
    let input = try file.tensor("input", .float32).shape
    let weight = try file.tensor("weight", .float32).shape
    for (name, shape) in [("input", input), ("weight", weight)] where shape.count != 4 {
      throw file.malformed("tensor '\(name)' has shape \(shape), rank 4 is needed")
    }
    // Products of two have to fit.
    let limit = 1 << 30
    for value in stride + padding + extra + dilation + input + weight where value > limit {
      throw file.malformed("\(value) is too large for a transposed convolution")
    }
    let (channels, overflow) = weight[1].multipliedReportingOverflow(by: groups)
    guard !overflow else { throw file.malformed("\(weight[1]) channels times \(groups) groups overflow") }
    func extent(_ values: [Int], depth: Int = 1) -> Extent { Extent(d: depth, h: values[0], w: values[1]) }
    do {
      let transposed = try TransposedProblem(
        spatialRank: 2, n: input[0], inChannels: weight[0], outChannels: channels, groups: groups,
        input: extent([input[2], input[3]]), filter: extent([weight[2], weight[3]]), stride: extent(stride),
        padding: extent(padding, depth: 0), outputPadding: extent(extra, depth: 0), dilation: extent(dilation)
      )
      guard let problem = transposed.mirrored else {
        throw file.malformed(
          "no window reaches its output, which is padding only: there is nothing to compute")
      }
      guard problem.outputShape == input else {
        throw file.malformed("tensor 'input' has shape \(input), the weight makes it \(problem.outputShape)")
      }
      return (problem, transposed.output)
    } catch let error as ConvError {
      throw file.malformed("\(error)")
    }
  }

  /// What windows reach of a transposed convolution's output without its bias.
  private static func reached(
    _ output: Tensor, of problem: ConvProblem, _ file: ReferenceFile
  ) throws -> Tensor {
    let result = try output.resized(to: problem.inputShape)
    // The rest comes to bias − bias.
    guard try result.resized(to: output.shape).values(as: Double.self) == output.values(as: Double.self)
    else {
      throw file.malformed("tensor 'output' has values where no window of the transposed convolution reaches")
    }
    return result
  }

  private static func build(
    _ file: ReferenceFile, rank: Int, n: Int, c: Int, k: Int, groups: Int, input: [Int], filter: [Int],
    stride: [Int], dilation: [Int], before: [Int], after: [Int]
  ) throws -> ConvProblem {
    func extent(_ values: [Int], _ missing: Int) -> Extent {
      let padded = [Int](repeating: missing, count: 3 - rank) + values
      return Extent(d: padded[0], h: padded[1], w: padded[2])
    }
    do {
      return try ConvProblem(
        spatialRank: rank, n: n, c: c, k: k, groups: groups, input: extent(input, 1),
        filter: extent(filter, 1), stride: extent(stride, 1),
        padding: Padding(before: extent(before, 0), after: extent(after, 0)), dilation: extent(dilation, 1))
    } catch let error as ConvError {
      throw file.malformed("\(error)")
    }
  }

  /// y − bias, per channel.
  private static func subtracting(_ bias: Tensor?, from output: Tensor) throws -> Tensor {
    guard let bias else { return output }
    var values = output.values(as: Double.self)
    let offsets = bias.values(as: Float.self)
    let plane = output.shape.dropFirst(2).reduce(1, *)
    for i in values.indices { values[i] -= Double(offsets[i / plane % offsets.count]) }
    return try Tensor(values, shape: output.shape)
  }

  /// The operands in another element type.
  ///
  /// - Throws: `MemoryError`.
  public func data(as elementType: ElementType) throws -> ProblemData {
    if elementType == .float32 { return data }
    return try ProblemData(
      problem: problem, input: data.input.converted(to: elementType),
      filter: data.filter.converted(to: elementType),
      outputGradient: data.outputGradient.converted(to: elementType))
  }
}

/// A folder of reference files.
public struct ReferenceLibrary: Sendable {
  /// The folder.
  public let root: String
  /// All `.safetensors` files below it, sorted; of a folder that has `cases` in it, those below `cases`.
  public let paths: [String]

  /// Lists a folder; reads no file.
  ///
  /// - Throws: `FileError.missingInput` where there is no such folder or no file in it.
  public init(root: String) throws {
    self.root = root
    let cases = root + "/cases"
    var isDirectory: ObjCBool = false
    let manager = FileManager.default
    guard manager.fileExists(atPath: root, isDirectory: &isDirectory) else {
      throw FileError.missingInput(path: root, reason: "there is no such folder")
    }
    guard isDirectory.boolValue else {
      if root.hasSuffix(".safetensors") {
        paths = [root]
        return
      }
      throw FileError.missingInput(path: root, reason: "is neither a folder nor a .safetensors file")
    }
    let folder =
      manager.fileExists(atPath: cases, isDirectory: &isDirectory) && isDirectory.boolValue ? cases : root
    paths = try FileTree.files(below: folder, suffix: ".safetensors").map { folder + "/" + $0 }
    if paths.isEmpty {
      throw FileError.missingInput(path: folder, reason: "holds no .safetensors file")
    }
  }

  /// The convolutions among the files; other operations are counted by name.
  ///
  /// - Throws: `FileError` about the first file that is malformed.
  public func convolutions() throws -> (cases: [ReferenceCase], others: [String: Int]) {
    var cases: [ReferenceCase] = []
    var others: [String: Int] = [:]
    for path in paths {
      let file = try ReferenceFile(path: path)
      if ReferenceCase.operations.contains(file.op) {
        cases.append(try ReferenceCase(file))
      } else {
        others[file.op, default: 0] += 1
      }
    }
    return (cases, others)
  }
}
