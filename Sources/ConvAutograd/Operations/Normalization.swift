import ConvCore

/// Mean and variance of each channel of a batch, as batch normalisation computes them.
public struct BatchStatistics: Sendable {
  /// [C].
  public let mean: Tensor
  /// [C], divided by the number of elements (biased).
  public let variance: Tensor
  /// Elements per channel: N·H·W.
  public let count: Int
}

extension Variable {
  /// Batch normalisation by the batch's own statistics: y = (x − mean)/√(variance + eps) · weight + bias per channel,
  /// then, in the same pass over memory, + `residual` and max(y, 0) where they are asked for.
  ///
  /// Ioffe & Szegedy 2015. The input is [N, C, …] in either memory format; `weight` and `bias` are [C]. Sums are in
  /// float64, in float32 of at most 128 terms each before.
  /// - Parameters:
  ///   - residual: of the input's shape and type.
  ///   - relu: max(y, 0); NaN stays NaN, the gradient is 0 where y ≤ 0.
  /// - Returns: y, and the statistics for running averages; of an empty batch NaN.
  /// - Throws: `ConvError.operand` where a channel has only one element; `.shapeMismatch`, `.elementTypeMismatch`.
  public func batchNorm(
    weight: Variable? = nil, bias: Variable? = nil, eps: Double = 1e-5, adding residual: Variable? = nil,
    relu: Bool = false
  ) throws -> (output: Variable, statistics: BatchStatistics) {
    try checkBatchNorm(weight, bias, residual)
    let x = value
    if x.count == 0 {
      let unknown = try Tensor.filled([x.shape[1]], .nan, x.elementType)
      return (
        try emptyResult("batchNorm", shape, [weight, bias, residual]),
        BatchStatistics(mean: unknown, variance: unknown, count: 0)
      )
    }
    guard x.count / x.shape[1] > 1 else {
      throw ConvError.operand("batchNorm in training needs more than 1 element per channel, found \(shape)")
    }
    let moments = x.elementType == .float64 ? exactMoments(x) : try blockMoments(x)
    let statistics = BatchStatistics(
      mean: try Tensor(moments.mean, shape: [x.shape[1]]).converted(to: x.elementType),
      variance: try Tensor(moments.variance, shape: [x.shape[1]]).converted(to: x.elementType),
      count: x.count / x.shape[1])
    return (try normalized(moments, weight, bias, eps, residual, relu, training: true), statistics)
  }

  /// Batch normalisation by given statistics [C] (evaluation); the rest as with the batch's own.
  public func batchNorm(
    mean: Tensor, variance: Tensor, weight: Variable? = nil, bias: Variable? = nil, eps: Double = 1e-5,
    adding residual: Variable? = nil, relu: Bool = false
  ) throws -> Variable {
    try checkBatchNorm(weight, bias, residual)
    for (name, statistic) in [("mean", mean), ("variance", variance)] {
      guard statistic.shape == [shape[1]] else {
        throw ConvError.shapeMismatch(
          what: "the \(name) of batchNorm", expected: [shape[1]], found: statistic.shape)
      }
      try requireType("the \(name) of batchNorm", statistic, elementType)
    }
    if value.count == 0 { return try emptyResult("batchNorm", shape, [weight, bias, residual]) }
    let moments = ChannelMoments(
      mean: try mean.converted(to: .float64).values(), variance: try variance.converted(to: .float64).values()
    )
    return try normalized(moments, weight, bias, eps, residual, relu, training: false)
  }

  private func checkBatchNorm(_ weight: Variable?, _ bias: Variable?, _ residual: Variable?) throws {
    try requireFloating("the input of batchNorm", value)
    guard value.rank >= 2 else {
      throw ConvError.operand("the input of batchNorm needs at least 2 dimensions, found \(shape)")
    }
    for (name, parameter) in [("weight", weight), ("bias", bias)] {
      guard let parameter else { continue }
      guard parameter.shape == [shape[1]] else {
        throw ConvError.shapeMismatch(
          what: "the \(name) of batchNorm", expected: [shape[1]], found: parameter.shape)
      }
      try requireType("the \(name) of batchNorm", parameter.value, elementType)
    }
    if let residual { try requireSame("the residual of batchNorm", residual.value, as: value) }
  }

  private func normalized(
    _ moments: ChannelMoments, _ weight: Variable?, _ bias: Variable?, _ eps: Double, _ residual: Variable?,
    _ relu: Bool, training: Bool
  ) throws -> Variable {
    let x = value
    let channels = x.shape[1]
    func perChannel(_ parameter: Variable?, _ otherwise: Double) throws -> [Double] {
      try parameter?.value.converted(to: .float64).values()
        ?? [Double](repeating: otherwise, count: channels)
    }
    let normalization = Normalization(
      x: x, mean: moments.mean, inverse: moments.variance.map { 1 / ($0 + eps).squareRoot() },
      scale: try perChannel(weight, 1), relu: relu, training: training)
    let isDouble = x.elementType == .float64
    let (shift, other) = (try perChannel(bias, 0), try residual?.value.converted(to: x.format))
    let y =
      isDouble
      ? try normalization.exactForward(shift, adding: other)
      : try normalization.blockForward(shift, adding: other)
    let output = relu ? y : nil
    let inputs = [self] + [weight, bias, residual].compactMap { $0 }
    let (hasWeight, hasBias, hasResidual) = (weight != nil, bias != nil, residual != nil)
    let needsResidual = residual?.requiresGrad ?? false
    return Variable.record("batchNorm", y, inputs) { g in
      let g = try g.converted(to: x.format)
      let gradients =
        isDouble
        ? try normalization.exactBackward(g, output)
        : try normalization.blockBackward(g, output, needsResidual: needsResidual)
      func typed(_ values: [Double]) throws -> Tensor {
        try Tensor(values, shape: [channels]).converted(to: x.elementType)
      }
      return [gradients.input] + (hasWeight ? [try typed(gradients.scale)] : [])
        + (hasBias ? [try typed(gradients.shift)] : []) + (hasResidual ? [gradients.residual] : [])
    }
  }
}

/// Mean and biased variance per channel.
struct ChannelMoments {
  var mean, variance: [Double]
}

/// What forward and backward of one batch normalisation share: of float64 the plain loops below, of float32 the blocks of
/// NormalizationBlocks.swift.
struct Normalization {
  let x: Tensor
  let mean: [Double]
  /// 1/√(variance + eps).
  let inverse: [Double]
  let scale: [Double]
  let relu: Bool
  /// Whether mean and variance depend on x.
  let training: Bool

  struct Gradients {
    var input: Tensor
    var scale, shift: [Double]
    /// The output's gradient where y > 0; nil where nobody needs it.
    var residual: Tensor?
  }
}

// MARK: Float64

private func exactMoments(_ x: Tensor) -> ChannelMoments {
  let (batch, channels, positions, channelStep, step) = x.channelLayout
  let count = batch * positions
  var mean = [Double](repeating: 0, count: channels)
  var variance = mean
  x.withUnsafePointer(as: Double.self) { x0 in
    mean.withUnsafeMutableBufferPointer { means in
      variance.withUnsafeMutableBufferPointer { variances in
        forEachTask(channels, work: x.count) { channel in
          // Two passes: the sum of squares alone loses digits where the mean is large.
          var sum = 0.0
          for image in 0..<batch {
            let x = x0 + image * channels * positions + channel * channelStep
            for i in 0..<positions { sum += x[i * step] }
          }
          let center = sum / Double(count)
          var squares = 0.0
          for image in 0..<batch {
            let x = x0 + image * channels * positions + channel * channelStep
            for i in 0..<positions { squares += (x[i * step] - center) * (x[i * step] - center) }
          }
          means[channel] = center
          variances[channel] = squares / Double(count)
        }
      }
    }
  }
  return ChannelMoments(mean: mean, variance: variance)
}

extension Normalization {
  fileprivate func exactForward(_ shift: [Double], adding residual: Tensor?) throws -> Tensor {
    let (batch, channels, positions, channelStep, step) = x.channelLayout
    var y = try Tensor(uninitialized: x.shape, elementType: .float64, format: x.format)
    x.withUnsafePointer(as: Double.self) { x0 in
      y.withUnsafeMutablePointer(as: Double.self) { y0 in
        forEachTask(batch * channels, work: x.count) { task in
          let channel = task % channels
          let start = task / channels * channels * positions + channel * channelStep
          let (x, y) = (x0 + start, y0 + start)
          let (center, factor, offset) = (mean[channel], inverse[channel] * scale[channel], shift[channel])
          for i in 0..<positions { y[i * step] = (x[i * step] - center) * factor + offset }
        }
      }
    }
    if let residual { try y.add(residual) }
    guard relu else { return y }
    let count = y.count
    y.withUnsafeMutablePointer(as: Double.self) { y in
      forEachChunk(count) { range in
        for i in range { y[i] = y[i] < 0 ? 0 : y[i] }
      }
    }
    return y
  }

  /// dx = scale/√(variance + eps) · (g − mean(g) − x̂·mean(g·x̂)) in training, without the means in evaluation.
  fileprivate func exactBackward(_ outputGradient: Tensor, _ y: Tensor?) throws -> Gradients {
    let (batch, channels, positions, channelStep, step) = x.channelLayout
    let count = Double(batch * positions)
    let g = try y.map { try masked(outputGradient, $0) } ?? outputGradient
    var dx = try Tensor(uninitialized: x.shape, elementType: .float64, format: x.format)
    var dw = [Double](repeating: 0, count: channels)
    var db = dw
    x.withUnsafePointer(as: Double.self) { x0 in
      g.withUnsafePointer(as: Double.self) { g0 in
        dx.withUnsafeMutablePointer(as: Double.self) { dx0 in
          dw.withUnsafeMutableBufferPointer { dw0 in
            db.withUnsafeMutableBufferPointer { db0 in
              forEachTask(channels, work: x.count) { channel in
                let (center, inverse) = (mean[channel], inverse[channel])
                var (sum, product) = (0.0, 0.0)
                for image in 0..<batch {
                  let start = image * channels * positions + channel * channelStep
                  for i in 0..<positions {
                    let gradient = g0[start + i * step]
                    sum += gradient
                    product += gradient * ((x0[start + i * step] - center) * inverse)
                  }
                }
                dw0[channel] = product
                db0[channel] = sum
                let factor = scale[channel] * inverse
                let meanGradient = training ? sum / count : 0
                let meanProduct = training ? product / count * inverse : 0
                for image in 0..<batch {
                  let start = image * channels * positions + channel * channelStep
                  for i in 0..<positions {
                    let at = start + i * step
                    dx0[at] = factor * (g0[at] - meanGradient - (x0[at] - center) * meanProduct)
                  }
                }
              }
            }
          }
        }
      }
    }
    return Gradients(input: dx, scale: dw, shift: db, residual: g)
  }

  /// g, or 0 where y ≤ 0.
  private func masked(_ g: Tensor, _ y: Tensor) throws -> Tensor {
    var result = try Tensor(uninitialized: y.shape, elementType: .float64, format: y.format)
    y.withUnsafePointer(as: Double.self) { y0 in
      g.withUnsafePointer(as: Double.self) { g in
        result.withUnsafeMutablePointer(as: Double.self) { result in
          forEachChunk(y.count) { range in
            for i in range { result[i] = y0[i] <= 0 ? 0 : g[i] }
          }
        }
      }
    }
    return result
  }
}
