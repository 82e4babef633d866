import ConvAutograd
import ConvCore

/// Changes parameters by their gradients.
///
/// `print(optimizer)` shows its hyperparameters.
public protocol Optimizer: AnyObject, CustomStringConvertible {
  /// What is changed.
  var parameters: [Variable] { get }
  /// Step width; schedules change it.
  var learningRate: Double { get set }
  /// One step. Parameters without a gradient are left alone.
  ///
  /// - Throws: `ConvError` where a gradient does not fit its parameter; nothing is changed then.
  func step() throws
  /// Moments, counters and the learning rate, for resuming: `state.<parameter>.<name>` and `learning_rate`.
  func stateDict() throws -> [String: Tensor]
  /// Takes up what `stateDict()` gave. All or nothing.
  ///
  /// - Throws: `ConvError.operand` for keys that do not fit, `.shapeMismatch`, `.elementTypeMismatch`.
  func loadStateDict(_ state: [String: Tensor]) throws
  /// What `print` shows, by name; the learning rate unless implemented.
  var hyperparameters: [String: String] { get }
}

extension Optimizer {
  /// Forgets all gradients.
  public func zeroGrad() { for parameter in parameters { parameter.zeroGrad() } }

  /// The learning rate.
  public var hyperparameters: [String: String] { ["learningRate": "\(learningRate)"] }

  /// As PyTorch prints it; all parameters are of one group.
  public var description: String {
    let lines = hyperparameters.sorted { $0.key < $1.key }.map { "    \($0.key): \($0.value)\n" }
    return "\(type(of: self)) (\nParameter Group 0\n\(lines.joined()))"
  }
}

/// Elements per parallel chunk: a constant, so that chunks never depend on the thread count.
private let chunkSize = 1 << 14

/// Runs `body` over fixed chunks of 0..<count on the current pool.
@inline(__always)
func forEachChunk(_ count: Int, _ body: (Range<Int>) -> Void) {
  let chunks = (count + chunkSize - 1) / chunkSize
  if chunks <= 1 {
    body(0..<count)
  } else {
    ConvolutionContext.current.pool.parallelFor(chunks) { chunk in
      body(chunk * chunkSize..<min(count, (chunk + 1) * chunkSize))
    }
  }
}

/// The gradients that a step will use, in their parameters' formats; nil where there is none.
///
/// - Throws: `ConvError.shapeMismatch` or `.elementTypeMismatch`.
func checkedGradients(_ parameters: [Variable]) throws -> [Tensor?] {
  try parameters.enumerated().map { index, parameter in
    guard let gradient = parameter.grad else { return nil }
    let what = "the gradient of parameter \(index)"
    guard gradient.shape == parameter.shape else {
      throw ConvError.shapeMismatch(what: what, expected: parameter.shape, found: gradient.shape)
    }
    guard gradient.elementType == parameter.elementType, gradient.elementType.unitRoundoff > 0 else {
      throw ConvError.elementTypeMismatch(
        what: what, expected: parameter.elementType, found: gradient.elementType)
    }
    return try gradient.converted(to: parameter.value.format)
  }
}

/// - Throws: `ConvError.operand` where there is nothing to optimize, or a variable would be changed twice in a step.
func requireDistinct(_ parameters: [Variable]) throws {
  guard !parameters.isEmpty else {
    throw ConvError.operand("an optimizer of no parameters: has the model any that can be seen?")
  }
  var places: [ObjectIdentifier: Int] = [:]
  for (index, parameter) in parameters.enumerated() {
    if let first = places.updateValue(index, forKey: ObjectIdentifier(parameter)) {
      throw ConvError.operand(
        "parameters \(first) and \(index) of an optimizer are the same variable: each step would change it twice"
      )
    }
  }
}

/// - Throws: `ConvError.operand` unless `value` is in the range.
func require(_ name: String, _ value: Double, _ range: ClosedRange<Double>) throws {
  guard range.contains(value) else {
    throw ConvError.operand("\(name) is \(value), \(range.lowerBound) to \(range.upperBound) are possible")
  }
}

/// The tensors that an optimizer keeps per parameter, by name.
struct OptimizerState {
  /// One dictionary per parameter; empty before its first step.
  var tensors: [[String: Tensor]]
  /// Steps done per parameter.
  var steps: [Int]

  init(count: Int) {
    tensors = Array(repeating: [:], count: count)
    steps = Array(repeating: 0, count: count)
  }

  /// Makes a tensor of zeros like `parameter` where there is none yet.
  mutating func prepare(_ name: String, _ index: Int, like parameter: Tensor) throws {
    if tensors[index][name] == nil {
      tensors[index][name] = try Tensor.zeros(
        parameter.shape, elementType: parameter.elementType, format: parameter.format)
    }
  }

  func dictionary(learningRate: Double) throws -> [String: Tensor] {
    var result = ["learning_rate": try Tensor(scalar: learningRate)]
    for index in steps.indices where steps[index] > 0 {
      result["state.\(index).step"] = try Tensor(scalar: Int64(steps[index]))
      for (name, tensor) in tensors[index] { result["state.\(index).\(name)"] = tensor }
    }
    return result
  }

  /// Reads what `dictionary` wrote.
  static func read(
    _ state: [String: Tensor], names: Set<String>, parameters: [Variable]
  ) throws -> (state: OptimizerState, learningRate: Double) {
    var result = OptimizerState(count: parameters.count)
    var learningRate: Double?
    for (key, tensor) in state {
      if key == "learning_rate" {
        guard tensor.elementType == .float64, tensor.count == 1 else {
          throw ConvError.operand(
            "the optimizer state's learning_rate is \(tensor.kind), expected a float64 scalar")
        }
        let value = tensor.scalar(as: Double.self)
        guard value.isFinite, value >= 0 else {
          throw ConvError.operand("the optimizer state's learning_rate is \(value)")
        }
        learningRate = value
        continue
      }
      let parts = key.split(separator: ".", omittingEmptySubsequences: false)
      guard parts.count == 3, parts[0] == "state", let index = Int(parts[1]),
        parameters.indices.contains(index)
      else {
        throw ConvError.operand(
          "the optimizer state's key '\(key)' does not fit an optimizer of \(parameters.count) parameters")
      }
      let name = String(parts[2])
      if name == "step" {
        guard tensor.elementType == .int64, tensor.count == 1 else {
          throw ConvError.operand(
            "the optimizer state's '\(key)' is \(tensor.kind), expected an int64 scalar")
        }
        result.steps[index] = Int(tensor.scalar(as: Int64.self))
        continue
      }
      guard names.contains(name) else {
        throw ConvError.operand(
          "the optimizer state's key '\(key)' is unknown; known are step, \(names.sorted().joined(separator: ", "))"
        )
      }
      let parameter = parameters[index].value
      guard tensor.shape == parameter.shape else {
        throw ConvError.shapeMismatch(
          what: "the optimizer state's '\(key)'", expected: parameter.shape, found: tensor.shape)
      }
      guard tensor.elementType == parameter.elementType else {
        throw ConvError.elementTypeMismatch(
          what: "the optimizer state's '\(key)'", expected: parameter.elementType, found: tensor.elementType)
      }
      result.tensors[index][name] = try tensor.converted(to: parameter.format)
    }
    for index in parameters.indices {
      let present = Set(result.tensors[index].keys)
      let expected = result.steps[index] > 0 ? names : []
      // As many as a float64 counts; nothing that is added to them overflows.
      guard (0...1 << 53).contains(result.steps[index]), present == expected else {
        throw ConvError.operand(
          "the optimizer state of parameter \(index) has \(present.sorted()) after "
            + "\(result.steps[index]) steps, expected \(expected.sorted())")
      }
    }
    guard let learningRate else { throw ConvError.operand("the optimizer state has no learning_rate") }
    return (result, learningRate)
  }
}
