import ConvCore

extension Variable {
  /// A convolution (cross-correlation) of 1, 2 or 3 spatial dimensions on the current context's backend.
  ///
  /// [N, C, (D,) (H,) W] with `weight` [K, C/groups, (T,) (R,) S] and `bias` [K] → [N, K, (Z,) (P,) Q]. The output has
  /// the input's memory format.
  ///
  /// What usually follows can be part of the same operation, which then neither writes nor keeps what lies between: the results
  /// are those of `relu()` and `maxPool2d(kernel: 2)` after it, the output [N, K, ⌊P/2⌋, ⌊Q/2⌋].
  /// - Parameters:
  ///   - stride: one number, or one per axis; likewise `dilation`.
  ///   - padding: one number, one per axis, or one per side.
  ///   - relu: max(·, 0) of the sums.
  ///   - maxPool2x2: then the largest of each 2×2 window, with stride 2 (2-D only).
  ///   - layer: the object that the context's recorder shows as the caller.
  /// - Throws: `ConvError.unsupported` where the backend declines a pass that is needed and there is no fallback;
  ///   `.invalidProblem`, `.shapeMismatch`, `.elementTypeMismatch`.
  public func conv(
    weight: Variable, bias: Variable? = nil, stride: Sizes = 1, padding: Sizes = 0, dilation: Sizes = 1,
    groups: Int = 1, relu: Bool = false, maxPool2x2: Bool = false, layer: AnyObject? = nil
  ) throws -> Variable {
    let x = value
    let rank = weight.value.rank - 2
    let problem = try convolutionProblem(
      weight: weight, stride: stride, padding: padding, dilation: dilation, groups: groups)
    try requireSameTypes("conv\(rank)d", x, weight, bias)
    if let bias, bias.shape != [problem.k] {
      throw ConvError.shapeMismatch(
        what: "the bias of conv\(rank)d", expected: [problem.k], found: bias.shape)
    }

    let recording = GradMode.isEnabled
    let needsInput = recording && requiresGrad
    let needsFilter = recording && weight.requiresGrad
    let needsBias = recording && (bias?.requiresGrad ?? false)
    let format = x.format
    func operation(_ pass: ConvPass, _ epilogue: Epilogue = .none) -> ConvOperation {
      ConvOperation(
        pass, problem, elementType: x.elementType, inputFormat: format, outputFormat: format,
        filterFormat: weight.value.format, epilogue: epilogue)
    }
    let epilogue = Epilogue(bias: bias != nil, relu: relu, maxPool2x2: maxPool2x2)
    let forward = operation(.forward, epilogue)
    if let contradiction = forward.contradiction {
      throw ConvError.operand("conv\(rank)d of \(problem): \(contradiction)")
    }
    var operations = [forward]
    if needsInput { operations.append(operation(.backwardData)) }
    // The way back through ReLU or pooling sums the bias gradient on the way.
    let sumsOnTheWay = relu || maxPool2x2
    if needsFilter {
      operations.append(operation(.backwardFilter, Epilogue(biasGradient: needsBias && !sumsOnTheWay)))
    }
    let context = ConvolutionContext.current
    let plans = try context.plans(for: operations, layer: layer)

    let w = weight.value
    let (y, argmax) = try plans[0].forward(input: x, filter: w, bias: bias?.value, pool: context.pool)
    let inputs = [self, weight] + (bias.map { [$0] } ?? [])
    let inputCount = inputs.count
    let way = EpilogueGradient(
      shape: problem.outputShape, format: y.format, output: relu ? y : nil, argmax: argmax)
    return Variable.record("conv\(rank)d", y, inputs) { gradient in
      let pool = ConvolutionContext.current.pool
      var gradients = [Tensor?](repeating: nil, count: inputCount)
      let g: Tensor
      if sumsOnTheWay {
        let back = try way.backward(gradient, pool: pool)
        g = back.output
        if needsBias { gradients[2] = back.bias }
      } else {
        g = try gradient.converted(to: format, pool: pool)
        if needsBias && !needsFilter { gradients[2] = try channelSums(g) }
      }
      if needsInput {
        gradients[0] = try plans[1].backwardData(outputGradient: g, filter: w, pool: pool)
      }
      if needsFilter {
        let (dw, db) = try plans[plans.count - 1].backwardFilter(input: x, outputGradient: g, pool: pool)
        gradients[1] = dw
        if let db { gradients[2] = db }
      }
      return gradients
    }
  }

  /// The problem that `conv` with these arguments solves, before any pooling.
  ///
  /// - Throws: `ConvError.operand`, `.invalidProblem` or `.shapeMismatch` where there is none.
  public func convolutionProblem(
    weight: Variable, stride: Sizes = 1, padding: Sizes = 0, dilation: Sizes = 1, groups: Int = 1
  ) throws -> ConvProblem {
    let rank = weight.value.rank - 2
    guard (1...3).contains(rank) else {
      throw ConvError.operand("the weight of a convolution needs 3 to 5 dimensions, found \(weight.shape)")
    }
    try requireRank("the input of conv\(rank)d", value, rank + 2)
    let problem = try ConvProblem(
      spatialRank: rank, n: shape[0], c: shape[1], k: weight.shape[0], groups: groups,
      input: spatialExtent(shape), filter: spatialExtent(weight.shape),
      stride: stride.extent(rank: rank, what: "stride"), padding: padding.padding(rank: rank),
      dilation: dilation.extent(rank: rank, what: "dilation"))
    guard weight.shape == problem.filterShape else {
      throw ConvError.shapeMismatch(
        what: "the weight of conv\(rank)d", expected: problem.filterShape, found: weight.shape)
    }
    return problem
  }

  /// A transposed 2-D convolution: the backward-data pass of the convolution that maps [N, Cout, P, Q] to this input.
  ///
  /// [N, Cin, H, W] with `weight` [Cin, Cout/groups, R, S] and `bias` [Cout] → [N, Cout, P, Q],
  /// P = (H − 1)·stride − 2·padding + dilation·(R − 1) + outputPadding + 1.
  /// - Parameter outputPadding: extra rows and columns at the bottom and right; less than stride or dilation.
  /// - Throws: as `conv`.
  public func convTranspose2d(
    weight: Variable, bias: Variable? = nil, stride: Sizes = 1, padding: Sizes = 0,
    outputPadding: Sizes = 0, groups: Int = 1, dilation: Sizes = 1, layer: AnyObject? = nil
  ) throws -> Variable {
    let x = value
    try requireRank("the input of convTranspose2d", x, 4)
    try requireRank("the weight of convTranspose2d", weight.value, 4)
    try requireSameTypes("convTranspose2d", x, weight, bias)
    let problem = try transposedProblem(
      x.shape, weight.shape, stride: stride.extent(rank: 2, what: "stride"),
      padding: padding.extent(rank: 2, what: "padding"),
      outputPadding: outputPadding.extent(rank: 2, what: "output padding"),
      dilation: dilation.extent(rank: 2, what: "dilation"), groups: groups)
    if let bias, bias.shape != [problem.c] {
      throw ConvError.shapeMismatch(
        what: "the bias of convTranspose2d", expected: [problem.c], found: bias.shape)
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
    var y = try plans[0].backwardData(outputGradient: x, filter: w, pool: context.pool)
    if let bias { y.addPerChannel(bias.value) }
    let inputs = [self, weight] + (bias.map { [$0] } ?? [])
    let inputCount = inputs.count
    return Variable.record("convTranspose2d", y, inputs) { gradient in
      let pool = ConvolutionContext.current.pool
      let g = try gradient.converted(to: format, pool: pool)
      var gradients = [Tensor?](repeating: nil, count: inputCount)
      if needsInput { gradients[0] = try plans[1].forward(input: g, filter: w, pool: pool).output }
      if needsFilter {
        gradients[1] = try plans[plans.count - 1].backwardFilter(
          input: g, outputGradient: x, pool: pool
        ).filterGradient
      }
      if needsBias { gradients[2] = try channelSums(g) }
      return gradients
    }
  }
}

/// The convolution whose backward-data pass is the transposed convolution of `input` [N, K, P, Q].
private func transposedProblem(
  _ input: [Int], _ weight: [Int], stride: Extent, padding: Extent, outputPadding: Extent,
  dilation: Extent, groups: Int
) throws -> ConvProblem {
  guard weight[0] == input[1] else {
    throw ConvError.shapeMismatch(
      what: "the weight of convTranspose2d", expected: [input[1]] + weight.dropFirst(), found: weight)
  }
  var output = Extent(w: 1)
  var after = Extent(d: 0, h: 0, w: 0)
  for axis in 1...2 {
    let (u, p, l, extra) = (stride[axis], padding[axis], dilation[axis], outputPadding[axis])
    let (rows, taps) = (input[axis + 1], weight[axis + 1])
    guard extra >= 0, extra < max(u, l) else {
      throw ConvError.invalidProblem(
        "output padding \(extra) must be at least 0 and less than stride \(u) or dilation \(l)")
    }
    let (span, overflow) = (rows - 1).multipliedReportingOverflow(by: u)
    let (reach, carry) = l.multipliedReportingOverflow(by: taps - 1)
    guard !overflow, !carry, max(span, reach, p) < 1 << 40 else {
      throw ConvError.invalidProblem(
        "a transposed convolution of \(rows) with stride \(u), dilation \(l) and padding \(p) overflows")
    }
    output[axis] = span - 2 * p + reach + extra + 1
    // Extra rows below the stride vanish in the rounding; more of them stand where padding was.
    after[axis] = p - max(0, extra - (u - 1))
    guard after[axis] >= 0 else {
      throw ConvError.invalidProblem(
        "output padding \(extra) exceeds stride \(u) − 1 + padding \(p): "
          + "the last rows would be outside of every window")
    }
  }
  var before = padding
  before.d = 0
  let (channels, overflow) = weight[1].multipliedReportingOverflow(by: groups)
  if overflow {
    throw ConvError.invalidProblem("\(weight[1]) channels per group times \(groups) groups overflow")
  }
  return try ConvProblem(
    spatialRank: 2, n: input[0], c: channels, k: input[1], groups: groups, input: output,
    filter: Extent(h: weight[2], w: weight[3]), stride: stride,
    padding: Padding(before: before, after: after), dilation: dilation)
}

private func spatialExtent(_ shape: [Int]) -> Extent {
  let spatial = Array(shape.dropFirst(2))
  var extent = Extent(w: 1)
  for (index, size) in spatial.enumerated() { extent[3 - spatial.count + index] = size }
  return extent
}

private func requireSameTypes(_ name: String, _ x: Tensor, _ weight: Variable, _ bias: Variable?) throws {
  try requireFloating("the input of \(name)", x)
  try requireType("the weight of \(name)", weight.value, x.elementType)
  if let bias { try requireType("the bias of \(name)", bias.value, x.elementType) }
}

extension Tensor {
  /// self[n, c, …] += bias[c].
  fileprivate mutating func addPerChannel(_ bias: Tensor) {
    if elementType == .float64 { addPerChannel(bias, Double.self) } else { addPerChannel(bias, Float.self) }
  }

  private mutating func addPerChannel<T: ConvScalar>(_ bias: Tensor, _: T.Type) {
    let (batch, channels, positions, channelStep, step) = channelLayout
    let work = count
    bias.withUnsafePointer(as: T.self) { bias in
      withUnsafeMutablePointer(as: T.self) { y in
        forEachTask(batch * channels, work: work) { task in
          let (image, channel) = (task / channels, task % channels)
          let y = y + image * channels * positions + channel * channelStep
          for i in 0..<positions { y[i * step] += bias[channel] }
        }
      }
    }
  }
}

/// [N, C, …] → [C], the gradient of a bias.
private func channelSums(_ g: Tensor) throws -> Tensor {
  g.elementType == .float64 ? try channelSums(g, Double.self) : try channelSums(g, Float.self)
}

private func channelSums<T: ConvScalar>(_ g: Tensor, _: T.Type) throws -> Tensor {
  let (batch, channels, positions, channelStep, step) = g.channelLayout
  var sums = try Tensor(uninitialized: [channels], elementType: T.elementType)
  g.withUnsafePointer(as: T.self) { g0 in
    sums.withUnsafeMutablePointer(as: T.self) { sums in
      forEachTask(channels, work: g.count) { channel in
        var total = 0.0
        for image in 0..<batch {
          let g = g0 + image * channels * positions + channel * channelStep
          for i in 0..<positions { total += Double(g[i * step]) }
        }
        sums[channel] = T(total)
      }
    }
  }
  return sums
}
