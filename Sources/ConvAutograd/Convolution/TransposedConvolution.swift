import ConvCore

extension Variable {
  /// A transposed convolution of 1, 2 or 3 spatial dimensions: the backward-data pass of the convolution that maps
  /// [N, Cout, (Z,) (P,) Q] to this input.
  ///
  /// [N, Cin, (D,) (H,) W] with `weight` [Cin, Cout/groups, (T,) (R,) S] and `bias` [Cout] → [N, Cout, (Z,) (P,) Q],
  /// P = (H − 1)·stride − 2·padding + dilation·(R − 1) + outputPadding + 1, and so for each axis.
  /// - Parameters:
  ///   - padding: one number, or one per axis.
  ///   - outputPadding: extra rows (columns, …) at the end of each axis; less than stride or dilation.
  /// - Throws: as `conv`.
  public func convTranspose(
    weight: Variable, bias: Variable? = nil, stride: Sizes = 1, padding: Sizes = 0,
    outputPadding: Sizes = 0, groups: Int = 1, dilation: Sizes = 1, layer: AnyObject? = nil
  ) throws -> Variable {
    let x = value
    let rank = weight.value.rank - 2
    guard (1...3).contains(rank) else {
      throw ConvError.operand(
        "the weight of a transposed convolution needs 3 to 5 dimensions, found \(weight.shape)")
    }
    let name = "convTranspose\(rank)d"
    try requireRank("the input of \(name)", x, rank + 2)
    try requireSameTypes(name, x, weight, bias)
    guard weight.shape[0] == x.shape[1] else {
      throw ConvError.shapeMismatch(
        what: "the weight of \(name)", expected: [x.shape[1]] + weight.shape.dropFirst(), found: weight.shape)
    }
    let (channels, overflow) = weight.shape[1].multipliedReportingOverflow(by: groups)
    if overflow {
      throw ConvError.invalidProblem(
        "\(weight.shape[1]) channels per group times \(groups) groups overflow")
    }
    let transposed = try TransposedProblem(
      spatialRank: rank, n: max(1, x.shape[0]), inChannels: x.shape[1], outChannels: channels, groups: groups,
      input: spatialExtent(x.shape), filter: spatialExtent(weight.shape),
      stride: stride.extent(rank: rank, what: "stride"),
      padding: padding.extent(rank: rank, what: "padding"),
      outputPadding: outputPadding.extent(rank: rank, what: "output padding"),
      dilation: dilation.extent(rank: rank, what: "dilation"))
    if let bias, bias.shape != [channels] {
      throw ConvError.shapeMismatch(what: "the bias of \(name)", expected: [channels], found: bias.shape)
    }
    let image = [channels] + (3 - rank..<3).map { transposed.output[$0] }
    if x.count == 0 { return try emptyResult(name, [0] + image, [weight, bias]) }
    guard let problem = transposed.mirrored else {
      return try unreached(name, image, weight, bias)
    }

    let recording = GradMode.isEnabled
    let needsInput = recording && requiresGrad
    let needsFilter = recording && weight.requiresGrad
    let needsBias = recording && (bias?.requiresGrad ?? false)
    let format = x.format
    let passes: [(ConvPass, Bool)] = [
      (.backwardData, true), (.forward, needsInput), (.backwardFilter, needsFilter),
    ]
    let operations = passes.filter(\.1).map { pass, _ in
      ConvOperation(
        pass, problem, elementType: x.elementType, inputFormat: format, outputFormat: format,
        filterFormat: weight.value.format)
    }
    let context = ConvolutionContext.current
    let plans = try context.plans(for: operations, layer: layer)

    let w = weight.value
    let shape = [x.shape[0]] + image
    var y = try plans[0].backwardData(outputGradient: x, filter: w, pool: context.pool).resized(to: shape)
    if let bias { y.addPerChannel(bias.value) }
    let inputs = [self, weight] + (bias.map { [$0] } ?? [])
    let inputCount = inputs.count
    return Variable.record(name, y, inputs) { gradient in
      let pool = ConvolutionContext.current.pool
      let all = try gradient.converted(to: format, pool: pool)
      let g = try all.resized(to: problem.inputShape)
      var gradients = [Tensor?](repeating: nil, count: inputCount)
      if needsInput { gradients[0] = try plans[1].forward(input: g, filter: w, pool: pool).output }
      if needsFilter {
        gradients[1] = try plans[plans.count - 1].backwardFilter(
          input: g, outputGradient: x, pool: pool
        ).filterGradient
      }
      if needsBias { gradients[2] = try channelSums(all) }
      return gradients
    }
  }

  /// `convTranspose` of images: [N, Cin, H, W] → [N, Cout, P, Q].
  ///
  /// - Throws: as `conv`.
  public func convTranspose2d(
    weight: Variable, bias: Variable? = nil, stride: Sizes = 1, padding: Sizes = 0,
    outputPadding: Sizes = 0, groups: Int = 1, dilation: Sizes = 1, layer: AnyObject? = nil
  ) throws -> Variable {
    try requireRank("the weight of convTranspose2d", weight.value, 4)
    return try convTranspose(
      weight: weight, bias: bias, stride: stride, padding: padding, outputPadding: outputPadding,
      groups: groups, dilation: dilation, layer: layer)
  }

  /// A transposed convolution whose padding and output padding leave nothing that a window reaches: its bias alone.
  private func unreached(
    _ name: String, _ image: [Int], _ weight: Variable, _ bias: Variable?
  ) throws -> Variable {
    let inputs = [self, weight] + (bias.map { [$0] } ?? [])
    let operands = inputs.map(\.value)
    var y = try Tensor.zeros([shape[0]] + image, elementType: elementType, format: value.format)
    if let bias { y.addPerChannel(bias.value) }
    return Variable.record(name, y, inputs) { gradient in
      var gradients = try operands.prefix(2).map {
        try Tensor.zeros($0.shape, elementType: $0.elementType, format: $0.format)
      }
      if operands.count > 2 { gradients.append(try channelSums(gradient)) }
      return gradients
    }
  }
}
