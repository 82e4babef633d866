import ConvCore

/// An operator that is a convolution, and how its nodes say what a `Conv` says.
struct ConvolutionOperator: Sendable {
  enum Layout {
    /// [N, C, …].
    case channelsFirst
    /// [N, …, C].
    case channelsLast
    /// The one or the other, as the attribute `channels_last` says.
    case stated
  }

  /// Which input is the filter [K, C, …], of a transposed convolution [C, K, …].
  var filter = 1
  var isTransposed = false
  /// Axes of the input and output.
  var layout = Layout.channelsFirst
  /// Inputs whose elements have the type of the data and of the filter, the first that is known counts.
  var types: (data: [Int], filter: [Int]) = ([0], [1])
  /// The input that holds the padding, where it is no attribute.
  var pads: Int?

  private static let quantised = ConvolutionOperator(filter: 3, types: ([2, 0], [3, 5]))
  private static let inside = "com.ms.internal.nhwc."

  /// Those that are taken, by the names of operators with their domains. Those of Microsoft are in models that ONNX Runtime has optimised;
  /// what they do behind the convolution (activations, sums) is not looked at.
  private static let all: [String: ConvolutionOperator] = [
    "Conv": ConvolutionOperator(),
    "ConvTranspose": ConvolutionOperator(isTransposed: true),
    "ConvInteger": ConvolutionOperator(types: ([0, 2], [1, 3])),
    "QLinearConv": quantised,
    "com.microsoft.FusedConv": ConvolutionOperator(),
    "com.microsoft.NhwcConv": ConvolutionOperator(layout: .channelsLast),
    "com.microsoft.NhwcFusedConv": ConvolutionOperator(layout: .channelsLast),
    "com.microsoft.ConvTransposeWithDynamicPads": ConvolutionOperator(isTransposed: true, pads: 2),
    "com.microsoft.QLinearConv": ConvolutionOperator(filter: 3, layout: .stated, types: quantised.types),
    "com.microsoft.QLinearConvTranspose": ConvolutionOperator(
      filter: 3, isTransposed: true, layout: .stated, types: quantised.types),
    inside + "Conv": ConvolutionOperator(layout: .channelsLast),
    inside + "ConvTranspose": ConvolutionOperator(isTransposed: true, layout: .channelsLast),
    inside + "QLinearConv": ConvolutionOperator(filter: 3, layout: .channelsLast, types: quantised.types),
    inside + "QLinearConvTranspose": ConvolutionOperator(
      filter: 3, isTransposed: true, layout: .channelsLast, types: quantised.types),
  ]

  /// The operator of that name; nil for those that are no convolutions, or not taken.
  static func named(_ name: String) -> ConvolutionOperator? { all[name] }

  /// Whether a node seems to be a convolution, of whatever domain, so that it is named where it is not taken.
  static func isAlike(_ node: Onnx_NodeProto) -> Bool {
    if isAlike(node.opType) { return true }
    // PyTorch's way of calling an operator of its own.
    guard node.opType == "ATen" else { return false }
    return node.attribute.contains { $0.name == "operator" && isAlike(String(decoding: $0.s, as: UTF8.self)) }
  }

  private static func isAlike(_ name: String) -> Bool {
    let small = name.lowercased()
    return small.contains("conv") && !small.contains("convert")
  }

  /// Why a convolution that is not taken is not.
  static func reason(_ name: String) -> String {
    switch name {
    case "DeformConv": "which takes its inputs from places that the data say"
    default: "an operator that is not known"
    }
  }

  // MARK: Nodes

  /// The problem of a node; of a transposed convolution the one whose backward-data pass it is.
  ///
  /// - Throws: `InferenceStop`.
  func problem(_ node: ModelNode) throws -> ConvProblem {
    var plain = node.taking([0, filter])
    if isChannelsLast(node) { plain = plain.replacingFirst(try Self.channelsFirst(node.input(0))) }
    if let pads {
      guard let values = try node.constants(pads, "a padding") else {
        throw InferenceStop("has no padding")
      }
      plain = plain.with("pads", values)
    }
    return isTransposed ? try plain.transposedConvolution() : try plain.convolution()
  }

  /// The shape of a node's output.
  func output(_ problem: ConvProblem, of node: ModelNode) throws -> ModelValue {
    let (channels, extent) = isTransposed ? (problem.c, problem.input) : (problem.k, problem.output)
    let sizes = problem.axesInUse.map { extent[$0] }
    return try ModelValue([problem.n] + (isChannelsLast(node) ? sizes + [channels] : [channels] + sizes))
  }

  /// In what elements the model computes a node, where that is not float32.
  func elements(_ node: ModelNode) -> String? {
    func type(_ places: [Int]) -> Int32? {
      places.lazy.compactMap { place in try? node.input(place).elementType }.first
    }
    let isQuantised = types.data.count > 1
    guard let filter = type(types.filter) else { return isQuantised ? "integers" : nil }
    let data = type(types.data) ?? (isQuantised ? nil : filter)
    if filter == ElementTypes.float32 && (data == nil || data == filter) { return nil }
    let name = ElementTypes.name(filter)
    guard let data else { return "\(name) filters" }
    return data == filter ? name : "\(ElementTypes.name(data)) with \(name) filters"
  }

  private func isChannelsLast(_ node: ModelNode) -> Bool {
    switch layout {
    case .channelsFirst: false
    case .channelsLast: true
    case .stated: node.int("channels_last", 0) != 0
    }
  }

  /// A shape [N, …, C] as [N, C, …].
  static func channelsFirst(_ value: ModelValue) throws -> ModelValue {
    let shape = value.shape
    guard shape.count >= 2 else { return value }
    return try ModelValue([shape[0], shape[shape.count - 1]] + shape[1..<(shape.count - 1)])
  }

  /// A shape [N, C, …] as [N, …, C].
  static func channelsLast(_ value: ModelValue) throws -> ModelValue {
    let shape = value.shape
    guard shape.count >= 2 else { return value }
    return try ModelValue([shape[0]] + shape[2...] + [shape[1]])
  }
}
