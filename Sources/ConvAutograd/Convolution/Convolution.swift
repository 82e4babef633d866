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
    // Of an empty batch that of one image: no engine knows less.
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
    if x.count == 0 {
      let pooled = problem.outputShape.dropFirst(2).map { maxPool2x2 ? $0 / 2 : $0 }
      return try emptyResult("conv\(rank)d", [0, problem.k] + pooled, [weight, bias])
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

  /// The problem that `conv` with these arguments solves, before any pooling; of an empty batch that of one image.
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
      spatialRank: rank, n: max(1, shape[0]), c: shape[1], k: weight.shape[0], groups: groups,
      input: spatialExtent(shape), filter: spatialExtent(weight.shape),
      stride: stride.extent(rank: rank, what: "stride"), padding: padding.padding(rank: rank),
      dilation: dilation.extent(rank: rank, what: "dilation"))
    guard weight.shape == problem.filterShape else {
      throw ConvError.shapeMismatch(
        what: "the weight of conv\(rank)d", expected: problem.filterShape, found: weight.shape)
    }
    return problem
  }
}

func spatialExtent(_ shape: [Int]) -> Extent {
  let spatial = Array(shape.dropFirst(2))
  var extent = Extent(w: 1)
  for (index, size) in spatial.enumerated() { extent[3 - spatial.count + index] = size }
  return extent
}

func requireSameTypes(_ name: String, _ x: Tensor, _ weight: Variable, _ bias: Variable?) throws {
  try requireFloating("the input of \(name)", x)
  try requireType("the weight of \(name)", weight.value, x.elementType)
  if let bias { try requireType("the bias of \(name)", bias.value, x.elementType) }
}

extension Tensor {
  /// self[n, c, …] += bias[c].
  mutating func addPerChannel(_ bias: Tensor) {
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
func channelSums(_ g: Tensor) throws -> Tensor {
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
