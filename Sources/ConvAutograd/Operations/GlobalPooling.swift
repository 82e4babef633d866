import ConvCore

extension Variable {
  /// The mean of each channel of an image: [N, C, H, W] → [N, C, 1, 1], as PyTorch's `adaptive_avg_pool2d(x, 1)`.
  ///
  /// - Throws: `ConvError.operand`, `.elementTypeMismatch`.
  public func globalAvgPool2d() throws -> Variable {
    try requireFloating("the input of globalAvgPool2d", value)
    try requireRank("the input of globalAvgPool2d", value, 4)
    let (shape, format) = (shape, value.format)
    let y = elementType == .float64 ? try means(value, Double.self) : try means(value, Float.self)
    return Variable.record("globalAvgPool2d", y, [self]) { g in
      [
        g.elementType == .float64
          ? try spread(g, shape, format, Double.self) : try spread(g, shape, format, Float.self)
      ]
    }
  }
}

private func means<T: ConvScalar>(_ x: Tensor, _: T.Type) throws -> Tensor {
  let (batch, channels, positions, channelStep, step) = x.channelLayout
  var y = try Tensor(uninitialized: [batch, channels, 1, 1], elementType: T.elementType, format: x.format)
  x.withUnsafePointer(as: T.self) { x0 in
    y.withUnsafeMutablePointer(as: T.self) { y0 in
      forEachTask(batch, work: x.count) { image in
        let (x, y) = (x0 + image * channels * positions, y0 + image * channels)
        // Positions outside, so that NHWC is read in its order.
        var sums = [Double](repeating: 0, count: channels)
        if step == 1 {
          for channel in 0..<channels {
            for i in 0..<positions { sums[channel] += Double(x[channel * channelStep + i]) }
          }
        } else {
          for i in 0..<positions {
            for channel in 0..<channels { sums[channel] += Double(x[i * step + channel]) }
          }
        }
        for channel in 0..<channels { y[channel] = T(sums[channel] / Double(positions)) }
      }
    }
  }
  return y
}

/// Gives each mean's gradient in equal parts to its image.
private func spread<T: ConvScalar>(
  _ g: Tensor, _ shape: [Int], _ format: MemoryFormat, _: T.Type
) throws -> Tensor {
  var dx = try Tensor(uninitialized: shape, elementType: T.elementType, format: format)
  let (batch, channels, positions, channelStep, step) = dx.channelLayout
  let work = dx.count
  // [N, C, 1, 1] is the same in both formats.
  g.withUnsafePointer(as: T.self) { g0 in
    dx.withUnsafeMutablePointer(as: T.self) { dx0 in
      forEachTask(batch, work: work) { image in
        let (g, dx) = (g0 + image * channels, dx0 + image * channels * positions)
        if step == 1 {
          for channel in 0..<channels {
            (dx + channel * channelStep).update(repeating: g[channel] / T(positions), count: positions)
          }
        } else {
          for channel in 0..<channels where positions > 0 { dx[channel] = g[channel] / T(positions) }
          for i in 1..<max(1, positions) { (dx + i * step).update(from: dx, count: channels) }
        }
      }
    }
  }
  return dx
}
