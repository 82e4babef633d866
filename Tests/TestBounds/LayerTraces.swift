import ConvCore
import ConvHarness

/// A given tensor of a stored case in float64.
private func given(_ stored: ReferenceFile, _ name: String) throws -> [Double] {
  try stored.file.tensor(name).converted(to: .float64).values(as: Double.self)
}

extension RoundingTape {
  /// A given tensor of a stored case: exact numbers.
  func given(_ stored: ReferenceFile, _ name: String) throws -> [Traced] {
    exact(try TestBounds.given(stored, name))
  }

  /// The same; nil where the case has none.
  func givenIfAny(_ stored: ReferenceFile, _ name: String) throws -> [Traced]? {
    stored.file.tensors[name] == nil ? nil : try given(stored, name)
  }

  /// The results of a stored layer or loss, by the names of the stored tensors.
  ///
  /// - Throws: `FileError.malformed`, and for operations that have no trace.
  public func layer(_ stored: ReferenceFile, _ format: MemoryFormat = .nchw) throws -> [String: [Traced]] {
    switch stored.op {
    case "linear": return try linear(stored)
    case "conv_transpose2d": return try transposedConvolution(stored)
    case "max_pool2d", "avg_pool2d": return try pooling(stored)
    case "relu", "flatten", "dropout": return try elementwise(stored)
    case "batch_norm2d": return try batchNormalization(stored)
    case "sequential": return try SequentialTrace(self, stored, format).results
    case "cross_entropy", "mse_loss", "bce_with_logits_loss":
      let isMean = stored.attributes["reduction"]?.string == "mean"
      if stored.op == "cross_entropy" { return try crossEntropy(stored) }
      let x = try TestBounds.given(stored, "input")
      let target = try TestBounds.given(stored, "target")
      return stored.op == "mse_loss"
        ? squaredError(x, target, isMean: isMean) : logisticError(x, target, isMean: isMean)
    default: throw stored.malformed("no trace of \(stored.op)")
    }
  }

  private func crossEntropy(_ stored: ReferenceFile) throws -> [String: [Traced]] {
    let shape = try stored.file.tensor("input").shape
    let x = try TestBounds.given(stored, "input")
    let classes = shape.count == 1 ? shape[0] : shape[1]
    let positions = shape.dropFirst(2).reduce(1, *)
    let rows = x.count / classes
    /// Where class `k` of a row lies.
    func place(_ row: Int, _ k: Int) -> Int {
      (row / positions * classes + k) * positions + row % positions
    }
    func inRows(_ values: [Double]) -> [[Double]] {
      (0..<rows).map { row in (0..<classes).map { values[place(row, $0)] } }
    }
    let wanted: [WantedClasses?]
    let target = try stored.file.tensor("target")
    if target.elementType == .int64 {
      let ignored = stored.attributes["ignore_index"]?.integer ?? -100
      wanted = target.values(as: Int64.self).map { Int($0) == ignored ? nil : .label(Int($0)) }
    } else {
      wanted = inRows(try TestBounds.given(stored, "target")).map { .probabilities($0) }
    }
    let isJoined = stored.attributes["reduction"]?.string != "none"
    var results = crossEntropy(
      inRows(x), wanted,
      weight: try stored.file.tensors["weight"].map { _ in try TestBounds.given(stored, "weight") },
      smoothing: stored.attributes["label_smoothing"]?.number ?? 0,
      isMean: stored.attributes["reduction"]?.string == "mean",
      upstream: isJoined ? nil : try TestBounds.given(stored, "grad_output"))
    if let gradients = results["grad_input"] {
      var ordered = gradients
      for row in 0..<rows {
        for k in 0..<classes { ordered[place(row, k)] = gradients[row * classes + k] }
      }
      results["grad_input"] = ordered
    }
    return results
  }

  private func linear(_ stored: ReferenceFile) throws -> [String: [Traced]] {
    let shape = try stored.file.tensor("weight").shape
    let x = try given(stored, "input")
    let layer = LinearTrace(
      self, inputs: shape[1], outputs: shape[0], weight: try given(stored, "weight"),
      bias: try givenIfAny(stored, "bias"))
    let output = layer.forward(x)
    let gradients = layer.backward(x, try given(stored, "grad_output"))
    var results = [
      "output": output, "grad_input": gradients.input, "grad_weight": gradients.weight,
    ]
    results["grad_bias"] = gradients.bias
    return results
  }

  private func transposedConvolution(_ stored: ReferenceFile) throws -> [String: [Traced]] {
    let (input, weight) = (try stored.file.tensor("input").shape, try stored.file.tensor("weight").shape)
    let output = try stored.file.tensor("output").shape
    func extent(_ key: String, least: Int) throws -> Extent {
      let sizes = try stored.integers(key, count: 2, least: least)
      return Extent(h: sizes[0], w: sizes[1])
    }
    let (stride, dilation) = (try extent("stride", least: 1), try extent("dilation", least: 1))
    let padding = try extent("padding", least: 0)
    // What the windows reach, whatever the padding after the image; rows of the output from there on have no terms.
    func after(_ axis: Int) -> Int {
      (input[axis + 1] - 1) * stride[axis] + dilation[axis] * (weight[axis + 1] - 1) + 1 - output[axis + 1]
        - padding[axis]
    }
    func reached(_ axis: Int) -> Int { output[axis + 1] + min(0, after(axis) + stride[axis] - 1) }
    let inner = Extent(h: reached(1), w: reached(2))
    let problem = try ConvProblem(
      spatialRank: 2, n: input[0], c: output[1], k: input[1], groups: stored.integer("groups", least: 1),
      input: inner, filter: Extent(h: weight[2], w: weight[3]), stride: stride,
      padding: Padding(
        before: Extent(d: 0, h: padding.h, w: padding.w),
        after: Extent(d: 0, h: max(0, after(1)), w: max(0, after(2)))),
      dilation: dilation)
    let products = Products(problem)
    let (x, w) = (try given(stored, "input"), try given(stored, "weight"))
    let dy = try given(stored, "grad_output")
    /// Where element `index` of what the windows reach lies in the whole output.
    func whole(_ index: Int) -> Int {
      let (plane, row, column) = (index / inner.count, index / inner.w % inner.h, index % inner.w)
      return (plane * output[2] + row) * output[3] + column
    }
    let sums = naiveSums(products.backwardData(x, w))
    var plain = [Traced](repeating: exact(0), count: dy.count)
    for index in sums.indices { plain[whole(index)] = sums[index] }
    let seen = sums.indices.map { dy[whole($0)] }
    var results = [
      "output": addBias(plain, try givenIfAny(stored, "bias"), area: output[2] * output[3]),
      "grad_input": naiveSums(products.forward(seen, w)),
      "grad_weight": naiveSums(products.backwardFilter(seen, x)),
    ]
    if stored.file.tensors["bias"] != nil {
      results["grad_bias"] = inDouble {
        channelSums(dy, channels: problem.c, area: output[2] * output[3])
      }.map(self.stored)
    }
    return results
  }

  private func pooling(_ stored: ReferenceFile) throws -> [String: [Traced]] {
    let windows = Windows(
      try stored.file.tensor("input").shape, kernel: try stored.integers("kernel", count: 2, least: 1),
      stride: try stored.integers("stride", count: 2, least: 1),
      padding: try stored.integers("padding", count: 2, least: 0))
    let (x, dy) = (try given(stored, "input"), try given(stored, "grad_output"))
    if stored.op == "max_pool2d" {
      let winners = windows.winners(x)
      return ["output": winners.map { x[$0] }, "grad_input": windows.spread(dy, to: winners)]
    }
    let includes = try stored.flag("count_include_pad")
    return [
      "output": windows.means(x, countIncludePad: includes),
      "grad_input": windows.spreadMeans(dy, countIncludePad: includes),
    ]
  }

  private func elementwise(_ stored: ReferenceFile) throws -> [String: [Traced]] {
    let (x, dy) = (try given(stored, "input"), try given(stored, "grad_output"))
    switch stored.op {
    case "relu":
      return [
        "output": x.map { $0.clamped() }, "grad_input": zip(x, dy).map { $0.value > 0 ? $1 : exact(0) },
      ]
    case "dropout" where try stored.flag("training"):
      let p = try stored.number("p")
      let scale = self.stored(inDouble { p < 1 ? exact(1) / (exact(1) - exact(p)) : exact(0) })
      let kept = try stored.tensor("mask", .uint8).values(as: UInt8.self).map { $0 != 0 }
      func masked(_ x: [Traced]) -> [Traced] { zip(x, kept).map { $1 ? $0 * scale : exact(0) } }
      return ["output": masked(x), "grad_input": masked(dy)]
    default: return ["output": x, "grad_input": dy]
    }
  }

  private func batchNormalization(_ stored: ReferenceFile) throws -> [String: [Traced]] {
    let shape = try stored.file.tensor("input").shape
    let (mean, variance) = (try given(stored, "running_mean"), try given(stored, "running_var"))
    let training = try stored.flag("training")
    let norm = NormalizationTrace(
      self, try given(stored, "input"), channels: shape[1], area: shape[2] * shape[3],
      weight: try givenIfAny(stored, "weight"), bias: try givenIfAny(stored, "bias"),
      eps: try stored.number("eps"), given: training ? nil : (mean, variance))
    let gradients = norm.backward(try given(stored, "grad_output"))
    let running = norm.running(mean: mean, variance: variance, momentum: try stored.number("momentum"))
    var results = [
      "output": norm.output, "grad_input": gradients.input, "running_mean_after": running.mean,
      "running_var_after": running.variance,
    ]
    if stored.file.tensors["weight"] != nil {
      (results["grad_weight"], results["grad_bias"]) = (gradients.weight, gradients.bias)
    }
    return results
  }
}

/// y = x · Wᵀ + b over [rows, inputs].
struct LinearTrace {
  let tape: RoundingTape
  let inputs, outputs: Int
  let weight: [Traced]
  let bias: [Traced]?

  init(_ tape: RoundingTape, inputs: Int, outputs: Int, weight: [Traced], bias: [Traced]?) {
    (self.tape, self.inputs, self.outputs) = (tape, inputs, outputs)
    (self.weight, self.bias) = (weight, bias)
  }

  private func products(_ x: [Traced]) -> Products {
    Products(rows: x.count / inputs, inputs: inputs, outputs: outputs)
  }

  func forward(_ x: [Traced]) -> [Traced] {
    products(x).forward(x, weight).enumerated().map { place, terms in
      tape.sum(products: terms, and: bias.map { [$0[place % outputs]] } ?? [])
    }
  }

  func backward(
    _ x: [Traced], _ dy: [Traced]
  ) -> (input: [Traced], weight: [Traced], bias: [Traced]?) {
    let products = products(x)
    return (
      tape.sums(products.backwardData(dy, weight)), tape.sums(products.backwardFilter(x, dy)),
      bias.map { _ in tape.channelSums(dy, channels: outputs, area: 1) }
    )
  }
}
