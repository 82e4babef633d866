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
  /// Batch normalisation by the batch's own statistics: y = (x − mean)/√(variance + eps) · weight + bias per channel.
  ///
  /// Ioffe & Szegedy 2015. The input is [N, C, …]; `weight` and `bias` are [C]. Sums are in float64.
  /// - Returns: y, and the statistics for running averages.
  /// - Throws: `ConvError.operand` where a channel has only one element; `.shapeMismatch`, `.elementTypeMismatch`.
  public func batchNorm(
    weight: Variable? = nil, bias: Variable? = nil, eps: Double = 1e-5
  ) throws -> (output: Variable, statistics: BatchStatistics) {
    try checkBatchNorm(weight, bias)
    let x = value
    guard x.count / x.shape[1] > 1 else {
      throw ConvError.operand("batchNorm in training needs more than 1 element per channel, found \(shape)")
    }
    let statistics =
      x.elementType == .float64 ? try channelStatistics(x, Double.self) : try channelStatistics(x, Float.self)
    return (
      try normalized(statistics.mean, statistics.variance, weight, bias, eps, training: true), statistics
    )
  }

  /// Batch normalisation by given statistics [C] (evaluation).
  public func batchNorm(
    mean: Tensor, variance: Tensor, weight: Variable? = nil, bias: Variable? = nil, eps: Double = 1e-5
  ) throws -> Variable {
    try checkBatchNorm(weight, bias)
    for (name, statistic) in [("mean", mean), ("variance", variance)] {
      guard statistic.shape == [shape[1]] else {
        throw ConvError.shapeMismatch(
          what: "the \(name) of batchNorm", expected: [shape[1]], found: statistic.shape)
      }
      try requireType("the \(name) of batchNorm", statistic, elementType)
    }
    return try normalized(mean, variance, weight, bias, eps, training: false)
  }

  private func checkBatchNorm(_ weight: Variable?, _ bias: Variable?) throws {
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
  }

  private func normalized(
    _ mean: Tensor, _ variance: Tensor, _ weight: Variable?, _ bias: Variable?, _ eps: Double, training: Bool
  ) throws -> Variable {
    let x = value
    let channels = x.shape[1]
    let scale = try weight?.value ?? Tensor.filled([channels], 1, x.elementType)
    let offset = try bias?.value ?? Tensor.filled([channels], 0, x.elementType)
    let normalization = Normalization(
      x: x, mean: mean, variance: variance, scale: scale, eps: eps, training: training)
    let y =
      x.elementType == .float64
      ? try normalization.forward(offset, Double.self) : try normalization.forward(offset, Float.self)
    let inputs = [self] + [weight, bias].compactMap { $0 }
    let (hasWeight, hasBias) = (weight != nil, bias != nil)
    return Variable.record("batchNorm", y, inputs) { g in
      let g = try g.converted(to: x.format)
      let (dx, dw, db) =
        x.elementType == .float64
        ? try normalization.backward(g, Double.self) : try normalization.backward(g, Float.self)
      return [dx] + (hasWeight ? [dw] : []) + (hasBias ? [db] : [])
    }
  }
}

private func channelStatistics<T: ConvScalar>(_ x: Tensor, _: T.Type) throws -> BatchStatistics {
  let (batch, channels, positions, channelStep, step) = x.channelLayout
  let count = batch * positions
  var mean = try Tensor(uninitialized: [channels], elementType: T.elementType)
  var variance = mean
  x.withUnsafePointer(as: T.self) { x0 in
    mean.withUnsafeMutablePointer(as: T.self) { means in
      variance.withUnsafeMutablePointer(as: T.self) { variances in
        forEachTask(channels, work: x.count) { channel in
          // Two passes: the sum of squares alone loses digits where the mean is large.
          var sum = 0.0
          for image in 0..<batch {
            let x = x0 + image * channels * positions + channel * channelStep
            for i in 0..<positions { sum += Double(x[i * step]) }
          }
          let center = sum / Double(count)
          var squares = 0.0
          for image in 0..<batch {
            let x = x0 + image * channels * positions + channel * channelStep
            for i in 0..<positions {
              let deviation = Double(x[i * step]) - center
              squares += deviation * deviation
            }
          }
          means[channel] = T(center)
          variances[channel] = T(squares / Double(count))
        }
      }
    }
  }
  return BatchStatistics(mean: mean, variance: variance, count: count)
}

/// What forward and backward of one batch normalisation share.
private struct Normalization {
  let x, mean, variance, scale: Tensor
  let eps: Double
  /// Whether mean and variance depend on x.
  let training: Bool

  func forward<T: ConvScalar>(_ offset: Tensor, _: T.Type) throws -> Tensor {
    let (batch, channels, positions, channelStep, step) = x.channelLayout
    let (means, variances) = (mean.values(as: T.self), variance.values(as: T.self))
    let (scales, offsets) = (scale.values(as: T.self), offset.values(as: T.self))
    var y = try Tensor(uninitialized: x.shape, elementType: T.elementType, format: x.format)
    x.withUnsafePointer(as: T.self) { x0 in
      y.withUnsafeMutablePointer(as: T.self) { y0 in
        forEachTask(batch * channels, work: x.count) { task in
          let channel = task % channels
          let start = task / channels * channels * positions + channel * channelStep
          let (x, y) = (x0 + start, y0 + start)
          let inverse = T(1 / (Double(variances[channel]) + eps).squareRoot())
          let (center, factor, shift) = (means[channel], inverse * scales[channel], offsets[channel])
          for i in 0..<positions { y[i * step] = (x[i * step] - center) * factor + shift }
        }
      }
    }
    return y
  }

  /// dx = weight/√(variance + eps) · (g − mean(g) − x̂·mean(g·x̂)) in training, without the means in evaluation.
  func backward<T: ConvScalar>(_ g: Tensor, _: T.Type) throws -> (Tensor, Tensor, Tensor) {
    let (batch, channels, positions, channelStep, step) = x.channelLayout
    let count = Double(batch * positions)
    let (means, variances, scales) = (
      mean.values(as: T.self), variance.values(as: T.self), scale.values(as: T.self)
    )
    var dx = try Tensor(uninitialized: x.shape, elementType: T.elementType, format: x.format)
    var dw = try Tensor(uninitialized: [channels], elementType: T.elementType)
    var db = dw
    x.withUnsafePointer(as: T.self) { x0 in
      g.withUnsafePointer(as: T.self) { g0 in
        dx.withUnsafeMutablePointer(as: T.self) { dx0 in
          dw.withUnsafeMutablePointer(as: T.self) { dw0 in
            db.withUnsafeMutablePointer(as: T.self) { db0 in
              forEachTask(channels, work: x.count) { channel in
                let inverse = 1 / (Double(variances[channel]) + eps).squareRoot()
                let center = Double(means[channel])
                var (sum, product) = (0.0, 0.0)
                for image in 0..<batch {
                  let start = image * channels * positions + channel * channelStep
                  for i in 0..<positions {
                    let gradient = Double(g0[start + i * step])
                    sum += gradient
                    product += gradient * ((Double(x0[start + i * step]) - center) * inverse)
                  }
                }
                dw0[channel] = T(product)
                db0[channel] = T(sum)
                let factor = T(Double(scales[channel]) * inverse)
                let (meanGradient, meanProduct) = (
                  T(training ? sum / count : 0), T(training ? product / count * inverse : 0)
                )
                for image in 0..<batch {
                  let start = image * channels * positions + channel * channelStep
                  for i in 0..<positions {
                    let at = start + i * step
                    let centered = x0[at] - T(center)
                    dx0[at] = factor * (g0[at] - meanGradient - centered * meanProduct)
                  }
                }
              }
            }
          }
        }
      }
    }
    return (dx, dw, db)
  }
}
