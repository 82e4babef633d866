import ConvCore
import ConvHarness

/// A stored model: errors of one layer reach the next ones, and those of the way forward the gradients.
struct SequentialTrace {
  /// By the names of the stored tensors.
  private(set) var results: [String: [Traced]] = [:]
  private let tape: RoundingTape
  private let stored: ReferenceFile
  private let format: MemoryFormat
  private var x: [Traced]
  private var shape: [Int]
  /// What each layer makes of its output's gradient: those of its parameters, and of its input.
  private var backs: [([Traced]) -> Gradients] = []

  private struct Gradients {
    var input: [Traced]
    var weight: [Traced]?
    var bias: [Traced]?
  }

  init(_ tape: RoundingTape, _ stored: ReferenceFile, _ format: MemoryFormat) throws {
    (self.tape, self.stored, self.format) = (tape, stored, format)
    x = try tape.given(stored, "input")
    shape = try stored.file.tensor("input").shape
    guard let layers = stored.attributes["layers"]?.array else { throw stored.malformed("no layers") }
    for (index, layer) in layers.enumerated() { try append(Layer(index, layer, stored)) }
    results["output"] = x
    var gradient = try tape.given(stored, "grad_output")
    for (index, back) in backs.enumerated().reversed() {
      let gradients = back(gradient)
      gradient = gradients.input
      results["grad.\(index).weight"] = gradients.weight
      results["grad.\(index).bias"] = gradients.bias
    }
    results["grad_input"] = gradient
  }

  /// A layer's description.
  private struct Layer {
    let index: Int
    let values: JSONValue
    let stored: ReferenceFile

    init(_ index: Int, _ values: JSONValue, _ stored: ReferenceFile) {
      (self.index, self.values, self.stored) = (index, values, stored)
    }

    func missing(_ key: String) -> FileError { stored.malformed("layer \(index) lacks \(key)") }

    func pair(_ key: String) throws -> [Int] {
      guard let list = values[key]?.integers, list.count == 2 else { throw missing(key) }
      return list
    }

    func extent(_ key: String) throws -> Extent {
      let list = try pair(key)
      return Extent(h: list[0], w: list[1])
    }

    func number(_ key: String) throws -> Double {
      guard let value = values[key]?.number else { throw missing(key) }
      return value
    }
  }

  private mutating func append(_ layer: Layer) throws {
    let input = x
    let weight = try tape.givenIfAny(stored, "param.\(layer.index).weight")
    let bias = try tape.givenIfAny(stored, "param.\(layer.index).bias")
    switch layer.values["type"]?.string {
    case "Conv2d":
      guard let weight else { throw layer.missing("weight") }
      try appendConvolution(layer, weight, bias)
    case "Linear":
      guard let weight else { throw layer.missing("weight") }
      let linear = LinearTrace(
        tape, inputs: shape[1], outputs: weight.count / shape[1], weight: weight, bias: bias)
      x = linear.forward(x)
      shape[1] = linear.outputs
      backs.append { dy in
        let gradients = linear.backward(input, dy)
        return Gradients(input: gradients.input, weight: gradients.weight, bias: gradients.bias)
      }
    case "BatchNorm2d": try appendNormalization(layer, weight, bias)
    case "ReLU":
      let zero = tape.exact(0)
      x = x.map { $0.clamped() }
      backs.append { dy in Gradients(input: zip(input, dy).map { $0.value > 0 ? $1 : zero }) }
    case "Flatten":
      shape = [shape[0], x.count / shape[0]]
      backs.append { Gradients(input: $0) }
    case "MaxPool2d", "AvgPool2d":
      let windows = Windows(
        shape, kernel: try layer.pair("kernel_size"), stride: try layer.pair("stride"),
        padding: try layer.pair("padding"))
      shape = [shape[0], shape[1], windows.height, windows.width]
      if layer.values["type"]?.string == "MaxPool2d" {
        let winners = windows.winners(x)
        x = winners.map { input[$0] }
        backs.append { Gradients(input: windows.spread($0, to: winners)) }
      } else {
        x = windows.means(x, countIncludePad: true)
        backs.append { Gradients(input: windows.spreadMeans($0, countIncludePad: true)) }
      }
    default: throw stored.malformed("no trace of layer \(layer.index)")
    }
  }

  /// By `naive`.
  private mutating func appendConvolution(_ layer: Layer, _ weight: [Traced], _ bias: [Traced]?) throws {
    let padding = try layer.extent("padding")
    let problem = try ConvProblem(
      spatialRank: 2, n: shape[0], c: shape[1], k: Int(layer.number("out_channels")),
      groups: Int(layer.number("groups")), input: Extent(h: shape[2], w: shape[3]),
      filter: layer.extent("kernel_size"), stride: layer.extent("stride"),
      padding: Padding(h: padding.h, w: padding.w), dilation: layer.extent("dilation"))
    let (products, area, input, tape) = (Products(problem), problem.output.count, x, tape)
    x = tape.addBias(tape.naiveSums(products.forward(x, weight)), bias, area: area)
    shape = problem.outputShape
    backs.append { dy in
      Gradients(
        input: tape.naiveSums(products.backwardData(dy, weight)),
        weight: tape.naiveSums(products.backwardFilter(input, dy)),
        bias: bias.map { tape.channelSums(dy, channels: $0.count, area: area) })
    }
  }

  private mutating func appendNormalization(_ layer: Layer, _ weight: [Traced]?, _ bias: [Traced]?) throws {
    let mean = try tape.given(stored, "buffer.\(layer.index).running_mean")
    let variance = try tape.given(stored, "buffer.\(layer.index).running_var")
    let norm = NormalizationTrace(
      tape, x, channels: shape[1], area: shape.dropFirst(2).reduce(1, *), weight: weight, bias: bias,
      eps: try layer.number("eps"), given: try stored.flag("training") ? nil : (mean, variance),
      format: format)
    x = norm.output
    let running = norm.running(mean: mean, variance: variance, momentum: try layer.number("momentum"))
    results["buffer_after.\(layer.index).running_mean"] = running.mean
    results["buffer_after.\(layer.index).running_var"] = running.variance
    backs.append { dy in
      let gradients = norm.backward(dy)
      return Gradients(input: gradients.input, weight: gradients.weight, bias: gradients.bias)
    }
  }
}
