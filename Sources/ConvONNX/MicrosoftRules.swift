// Operators of Microsoft's domain, as they stand between the convolutions of models that ONNX Runtime has quantised or optimised.

extension OperatorRules {
  static let ofMicrosoft: [String: Rule] = {
    var rules: [String: Rule] = [
      "NhwcMaxPool": { node in
        let first = node.replacingFirst(try ConvolutionOperator.channelsFirst(node.input(0)))
        return [try ConvolutionOperator.channelsLast(first.pooling()[0])]
      },
      "QLinearAveragePool": { node in try node.eitherLayout { try $0.taking([0]).pooling()[0] } },
      "QLinearGlobalAveragePool": { node in try node.eitherLayout { try $0.globalPooling()[0] } },
      "QLinearConcat": { node in
        // The output's scale and zero point, then each input with its own.
        try node.taking(Array(stride(from: 2, to: node.inputs.count, by: 3))).concat().asList
      },
      "QLinearAdd": { try broadcastShape($0.taking([0, 3])) },
      "QLinearMul": { try broadcastShape($0.taking([0, 3])) },
      "BiasAdd": { try broadcastShape($0) }, "BiasGelu": { try broadcastShape($0) },
      "FusedGemm": { try $0.gemm().asList },
    ]
    for name in [
      "DequantizeLinear", "FastGelu", "Gelu", "GroupNorm", "QLinearLeakyRelu", "QLinearSigmoid",
      "QLinearSoftmax",
      "QuantizeLinear", "QuickGelu", "SkipLayerNormalization",
    ] {
      rules[name] = { [try ModelValue($0.input(0).shape)] }
    }
    return Dictionary(uniqueKeysWithValues: rules.map { ("com.microsoft.\($0.key)", $0.value) })
  }()

  private static func broadcastShape(_ node: ModelNode) throws -> [ModelValue] {
    [try ModelValue(broadcast(node.inputs.indices.map { try node.input($0).shape }))]
  }
}

extension ModelNode {
  /// The output of a rule for [N, C, …], in the layout that the node states.
  fileprivate func eitherLayout(_ rule: (ModelNode) throws -> ModelValue) throws -> [ModelValue] {
    guard int("channels_last", 0) != 0 else { return [try rule(self)] }
    let first = replacingFirst(try ConvolutionOperator.channelsFirst(input(0)))
    return [try ConvolutionOperator.channelsLast(rule(first))]
  }
}
