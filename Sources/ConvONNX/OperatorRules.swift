import Foundation

/// What the operators do to shapes, by name. Operators that are not here stop the inference behind them.
enum OperatorRules {
  /// The outputs of a node; fewer than it has where the rest does not matter.
  typealias Rule = @Sendable (ModelNode) throws -> [ModelValue]

  /// The rule of a node's operator.
  static func rule(for op: String) -> Rule? {
    if let function = ConstantFolding.functions[op] {
      return { node in
        var value = try node.input(0)
        value.constants = value.constants?.map(function)
        return [value]
      }
    }
    if sameShape.contains(op) {
      return { [try ModelValue($0.input(0).shape), try ModelValue($0.input(0).shape)] }
    }
    if unpredictable.contains(op) {
      return { _ in throw InferenceStop("gives a shape that depends on the data") }
    }
    if broadcasting.contains(op) { return { [try broadcast($0)] } }
    if reductions.contains(op) { return { [try reduce($0)] } }
    return rules[op] ?? ofMicrosoft[op]
  }

  /// Outputs of the first input's shape: element-wise functions, normalisations over it, masks beside it.
  private static let sameShape: Set<String> = [
    "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "BatchNormalization", "Bernoulli", "BitwiseNot",
    "CastLike",
    "Celu", "Clip", "Cos", "Cosh", "CumSum", "DequantizeLinear", "Dropout", "Elu", "Erf", "Exp", "EyeLike",
    "Gelu",
    "GroupNormalization", "HardSigmoid", "HardSwish", "Hardmax", "InstanceNormalization", "IsInf", "IsNaN",
    "LRN",
    "LayerNormalization", "LeakyRelu", "Log", "LogSoftmax", "LpNormalization", "MeanVarianceNormalization",
    "Mish",
    "PRelu", "RMSNormalization", "RandomNormalLike", "RandomUniformLike", "Reciprocal",
    "Relu", "ReverseSequence", "Scatter", "ScatterElements", "ScatterND", "Selu", "Shrink", "Sigmoid",
    "Sin", "Sinh", "Softmax", "Softplus", "Softsign", "Swish", "Tan", "Tanh", "ThresholdedRelu",
    "Trilu",
  ]
  /// Outputs of the common shape of all inputs.
  private static let broadcasting: Set<String> = [
    "Add", "And", "BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Div", "Equal", "Greater",
    "GreaterOrEqual",
    "Less", "LessOrEqual", "Max", "Mean", "Min", "Mod", "Mul", "Or", "Pow", "Sub", "Sum", "Where", "Xor",
  ]
  /// Outputs of which only a run knows how many elements they have.
  private static let unpredictable: Set<String> = ["Compress", "NonMaxSuppression", "NonZero", "Unique"]
  private static let reductions: Set<String> = [
    "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin",
    "ReduceProd",
    "ReduceSum", "ReduceSumSquare",
  ]

  private static let rules: [String: Rule] = [
    // Its windows are those of a convolution, what they hold is not.
    "DeformConv": { try [ConvolutionOperator().output(ConvolutionOperator().problem($0), of: $0)] },
    "MaxPool": { try $0.pooling() }, "AveragePool": { try $0.pooling() }, "LpPool": { try $0.pooling() },
    "GlobalMaxPool": { try $0.globalPooling() }, "GlobalAveragePool": { try $0.globalPooling() },
    "GlobalLpPool": { try $0.globalPooling() },
    "Identity": { [try $0.input(0)] },
    "Cast": { node in
      var value = try node.input(0)
      let type = Int32(clamping: node.int("to", 1))
      value.elementType = type
      value.isInteger = ElementTypes.isInteger(type)
      if value.isInteger { value.constants = value.constants?.map { $0.rounded(.towardZero) } }
      return [value]
    },
    "Constant": constant, "ConstantOfShape": constantOfShape, "Shape": shape,
    "Size": { node in
      try ModelValue([], constants: [Double(node.input(0).count)], isInteger: true).asList
    },
    "Range": range,
    "Reshape": { try $0.reshape().asList }, "Flatten": { try $0.flatten().asList },
    "Squeeze": { try $0.squeeze().asList }, "Unsqueeze": { try $0.unsqueeze().asList },
    "Transpose": { try $0.transpose().asList }, "Concat": { try $0.concat().asList },
    "Split": { try $0.split() },
    "Slice": { try $0.slice().asList }, "Gather": { try $0.gather().asList },
    "Expand": { try $0.expand().asList },
    "Tile": { try $0.tile().asList }, "Pad": { try $0.pad().asList }, "Resize": { try $0.resize().asList },
    "Upsample": { try $0.upsample().asList }, "DepthToSpace": { try $0.depthToSpace().asList },
    "SpaceToDepth": { try $0.spaceToDepth().asList },
    "Gemm": { try $0.gemm().asList }, "MatMul": { try $0.matMul().asList },
    "MatMulInteger": { try $0.matMul().asList }, "QLinearMatMul": { try $0.taking([0, 3]).matMul().asList },
    "QuantizeLinear": { node in
      var value = try ModelValue(node.input(0).shape)
      value.elementType = node.has(2) ? try? node.input(2).elementType : ElementTypes.uint8
      return [value]
    },
    "DynamicQuantizeLinear": { node in
      var value = try ModelValue(node.input(0).shape)
      value.elementType = ElementTypes.uint8
      return [value, try ModelValue([]), try ModelValue([])]
    },
    "LSTM": { try $0.recurrent() }, "GRU": { try $0.recurrent() }, "RNN": { try $0.recurrent() },
    "TopK": { try $0.topK() }, "OneHot": { try $0.oneHot().asList },
    "GatherElements": { [try ModelValue($0.input(1).shape)] }, "GatherND": { try $0.gatherND().asList },
    "Einsum": { try $0.einsum().asList }, "GridSample": { try $0.gridSample().asList },
    "RoiAlign": { try $0.roiAlign().asList },
    "ArgMax": { [try reduceOne($0)] }, "ArgMin": { [try reduceOne($0)] },
  ]

  // MARK: Element by element

  /// The shape that all shapes extend to: sizes are compared from the last axis on, 1 extends to any.
  static func broadcast(_ shapes: [[Int]]) throws -> [Int] {
    let rank = shapes.map(\.count).max() ?? 0
    var result = Array(repeating: 1, count: rank)
    for shape in shapes {
      for (index, size) in shape.enumerated() {
        let axis = rank - shape.count + index
        if size == result[axis] || size == 1 { continue }
        guard result[axis] == 1 else {
          throw InferenceStop("has inputs of the shapes \(Excerpt.of(shapes)), which do not fit together")
        }
        result[axis] = size
      }
    }
    return result
  }

  private static func broadcast(_ node: ModelNode) throws -> ModelValue {
    let inputs = try node.inputs.indices.map { try node.input($0) }
    guard let first = inputs.first else { throw InferenceStop("has no input") }
    // Before version 7 of the operators the second input was fitted into the first.
    if node.int("broadcast", 0) == 1 { return try ModelValue(first.shape) }
    let shape = try broadcast(inputs.map(\.shape))
    let isInteger = (node.op == "Where" ? inputs.last : first)?.isInteger ?? false
    return try ModelValue(
      shape, constants: ConstantFolding.numbers(node.op, inputs, shape: shape), isInteger: isInteger)
  }

  private static func reduce(_ node: ModelNode) throws -> ModelValue {
    let shape = try node.input(0).shape
    let axes = try node.axes("axes", orInput: 1, rank: shape.count)
    if (axes ?? []).isEmpty && node.int("noop_with_empty_axes", 0) != 0 { return try ModelValue(shape) }
    let reduced = axes.flatMap { $0.isEmpty ? nil : $0 } ?? Array(shape.indices)
    var result = try without(reduced, of: shape, keeps: node.int("keepdims", 1) != 0)
    let value = try node.input(0)
    if try result.count == 1, let numbers = value.constants {
      result.constants = ConstantFolding.reduction(node.op, numbers).map { [$0] }
      result.isInteger = value.isInteger
    }
    return result
  }

  private static func reduceOne(_ node: ModelNode) throws -> ModelValue {
    let shape = try node.input(0).shape
    let axis = try node.axis(node.int("axis", 0), rank: shape.count)
    return try without([axis], of: shape, keeps: node.int("keepdims", 1) != 0)
  }

  private static func without(_ axes: [Int], of shape: [Int], keeps: Bool) throws -> ModelValue {
    try ModelValue(
      shape.indices.compactMap { axes.contains($0) ? (keeps ? 1 : nil) : shape[$0] })
  }

  // MARK: Constants

  private static let constant: Rule = { node in
    if let tensor = node.tensor("value") { return try ModelValue(tensor).asList }
    if let tensor = node.sparseTensor("sparse_value") { return try ModelValue(tensor).asList }
    if node.has(attribute: "value_int") {
      return try ModelValue([], constants: [Double(node.int("value_int", 0))], isInteger: true).asList
    }
    if let value = node.float("value_float") { return try ModelValue([], constants: [value]).asList }
    if let values = node.ints("value_ints") { return try ModelValue(integers: values).asList }
    if let values = node.floats("value_floats") {
      return try ModelValue([values.count], constants: values).asList
    }
    throw InferenceStop("holds a constant of a kind that is not known")
  }

  private static let constantOfShape: Rule = { node in
    guard let shape = try node.constants(0, "a shape") else { throw InferenceStop("has no input 0") }
    var result = try ModelValue(shape)
    let value = try node.tensor("value").map { try ModelValue($0) }
    let number = value?.constants?.first ?? 0
    let count = try result.count
    if count <= ModelValue.mostConstants { result.constants = Array(repeating: number, count: count) }
    result.isInteger = value?.isInteger ?? false
    return [result]
  }

  private static let shape: Rule = { node in
    let shape = try node.input(0).shape
    func end(_ value: Int) -> Int { min(max(value < 0 ? value + shape.count : value, 0), shape.count) }
    let (from, to) = (end(node.int("start", 0)), end(node.int("end", shape.count)))
    return try ModelValue(integers: from < to ? Array(shape[from..<to]) : []).asList
  }

  private static let range: Rule = { node in
    let limits = try (0..<3).map { index in
      guard let value = try node.input(index).constants?.first else {
        throw InferenceStop("takes limits that are not constant")
      }
      return value
    }
    let count = ((limits[1] - limits[0]) / limits[2]).rounded(.up)
    guard count.isFinite, count <= Double(ModelValue.largestSize) else {
      throw InferenceStop("has \(count) elements")
    }
    let size = Int(max(0, count))
    let numbers =
      size <= ModelValue.mostConstants ? (0..<size).map { limits[0] + Double($0) * limits[2] } : nil
    return try ModelValue([size], constants: numbers, isInteger: node.input(0).isInteger).asList
  }
}

extension ModelValue {
  /// The value as the only output.
  var asList: [ModelValue] { [self] }
}
