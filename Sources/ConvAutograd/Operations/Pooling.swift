import ConvCore

extension Variable {
  /// The largest element of each window; ties take the first in row-major order, NaN wins.
  ///
  /// [N, C, H, W] → [N, C, P, Q] with P = ⌊(H + 2·padding − kernel) / stride⌋ + 1.
  /// - Parameters:
  ///   - stride: the kernel's size where left out.
  ///   - padding: at most half of the kernel; counts as −∞.
  /// - Throws: `ConvError.operand`, `.invalidProblem`.
  public func maxPool2d(kernel: Sizes, stride: Sizes? = nil, padding: Sizes = 0) throws -> Variable {
    let window = try PoolWindow("maxPool2d", value, kernel, stride, padding)
    if window.isPlainPair && value.elementType == .float32 { return try maxPoolPairs(window) }
    let (y, winners) =
      value.elementType == .float64
      ? try window.maximum(value, Double.self) : try window.maximum(value, Float.self)
    let format = value.format
    return Variable.record("maxPool2d", y, [self]) { g in
      let g = try g.ordered(format)
      return [
        g.elementType == .float64
          ? try window.spread(g, to: winners, Double.self) : try window.spread(g, to: winners, Float.self)
      ]
    }
  }

  /// 2×2 windows with stride 2 by the vectorised kernels; one byte for each winner.
  private func maxPoolPairs(_ window: PoolWindow) throws -> Variable {
    let (y, winners) = try window.pairMaximum(value)
    let way = EpilogueGradient(shape: value.shape, format: value.format, output: nil, argmax: winners)
    return Variable.record("maxPool2d", y, [self]) { g in
      [try way.backward(g, pool: ConvolutionContext.current.pool).output]
    }
  }

  /// The mean of each window.
  ///
  /// [N, C, H, W] → [N, C, P, Q], P as in `maxPool2d`.
  /// - Parameters:
  ///   - stride: the kernel's size where left out.
  ///   - padding: at most half of the kernel; counts as 0.
  ///   - countIncludePad: divides by the kernel's size; else by the number of elements inside of the image.
  public func avgPool2d(
    kernel: Sizes, stride: Sizes? = nil, padding: Sizes = 0, countIncludePad: Bool = true
  ) throws -> Variable {
    let window = try PoolWindow("avgPool2d", value, kernel, stride, padding)
    let y =
      value.elementType == .float64
      ? try window.average(value, countIncludePad, Double.self)
      : try window.average(value, countIncludePad, Float.self)
    let format = value.format
    return Variable.record("avgPool2d", y, [self]) { g in
      let g = try g.ordered(format)
      return [
        g.elementType == .float64
          ? try window.spreadEvenly(g, countIncludePad, Double.self)
          : try window.spreadEvenly(g, countIncludePad, Float.self)
      ]
    }
  }
}

/// Where the windows of a pooling lie.
private struct PoolWindow {
  /// The pooling as a depthwise convolution, which has the same geometry; of an empty batch that of one image.
  let problem: ConvProblem
  let batch: Int
  let format: MemoryFormat

  init(_ name: String, _ x: Tensor, _ kernel: Sizes, _ stride: Sizes?, _ padding: Sizes) throws {
    try requireFloating("the input of \(name)", x)
    try requireRank("the input of \(name)", x, 4)
    let kernelExtent = try kernel.extent(rank: 2, what: "kernel")
    let strideExtent = try (stride ?? kernel).extent(rank: 2, what: "stride")
    let pad = try padding.extent(rank: 2, what: "padding")
    guard pad.h <= kernelExtent.h / 2, pad.w <= kernelExtent.w / 2 else {
      throw ConvError.operand("\(name): padding \(padding) exceeds half of the kernel \(kernel)")
    }
    problem = try ConvProblem(
      spatialRank: 2, n: max(1, x.shape[0]), c: x.shape[1], k: x.shape[1], groups: x.shape[1],
      input: Extent(h: x.shape[2], w: x.shape[3]), filter: kernelExtent, stride: strideExtent,
      padding: Padding(h: pad.h, w: pad.w))
    batch = x.shape[0]
    format = x.format
  }

  private var inputShape: [Int] { [batch] + problem.inputShape.dropFirst() }
  private var outputShape: [Int] { [batch] + problem.outputShape.dropFirst() }

  /// Runs `body` for each image and channel with the offsets of its planes in input and output.
  @inline(__always)
  func forEachPlane(_ body: (_ input: Int, _ output: Int) -> Void) {
    let (channels, inputPlane, outputPlane) = (problem.c, problem.input.count, problem.output.count)
    forEachTask(batch * channels, work: batch * channels * inputPlane) { task in
      if format == .nchw {
        body(task * inputPlane, task * outputPlane)
      } else {
        let (image, channel) = (task / channels, task % channels)
        body(image * inputPlane * channels + channel, image * outputPlane * channels + channel)
      }
    }
  }

  /// Elements from one position of a plane to the next.
  var step: Int { format == .nchw ? 1 : problem.c }

  /// The rows (or columns) of the window at output index `p` that lie inside of the image.
  @inline(__always)
  func clipped(_ p: Int, axis: Int) -> Range<Int> {
    let start = p * problem.stride[axis] - problem.padding.before[axis]
    return max(0, start)..<min(problem.input[axis], start + problem.filter[axis])
  }

  func maximum<T: ConvScalar>(_ x: Tensor, _: T.Type) throws -> (Tensor, PooledBuffer) {
    var y = try Tensor(uninitialized: outputShape, elementType: T.elementType, format: format)
    let (width, positions, step) = (problem.input.w, problem.output, step)
    let winners = try PooledBuffer(byteCount: y.count * 4)
    let winner = winners.baseAddress.bindMemory(to: Int32.self, capacity: y.count)
    guard problem.input.count <= Int(Int32.max) else {
      throw ConvError.invalidShape(x.shape, reason: "an image of more than \(Int32.max) positions")
    }
    x.withUnsafePointer(as: T.self) { x in
      y.withUnsafeMutablePointer(as: T.self) { y in
        forEachPlane { input, output in
          let x = x + input
          for p in 0..<positions.h {
            let rows = clipped(p, axis: 1)
            for q in 0..<positions.w {
              let columns = clipped(q, axis: 2)
              var place = rows.lowerBound * width + columns.lowerBound
              var best = x[place * step]
              for h in rows {
                for w in columns {
                  let value = x[(h * width + w) * step]
                  if value > best || (value != value && best == best) {
                    best = value
                    place = h * width + w
                  }
                }
              }
              let target = output + (p * positions.w + q) * step
              y[target] = best
              winner[target] = Int32(truncatingIfNeeded: place)
            }
          }
        }
      }
    }
    return (y, winners)
  }

  /// Whether windows are 2×2 with stride 2, without padding: what most networks use.
  var isPlainPair: Bool {
    let two = Extent(h: 2, w: 2)
    return problem.filter == two && problem.stride == two && problem.padding == Padding()
  }

  /// Runs `body` for each image [height][width][channels], of one channel (NCHW) or of all (NHWC), with its offsets in input and
  /// output.
  private func forEachImage(_ body: (_ input: Int, _ output: Int, _ channels: Int) -> Void) {
    let (count, channels) = format == .nchw ? (batch * problem.c, 1) : (batch, problem.c)
    let (input, output) = (problem.input.count * channels, problem.output.count * channels)
    forEachTask(count, work: count * input) { body($0 * input, $0 * output, channels) }
  }

  /// `maximum` where `isPlainPair`, with each winner's place in its window.
  func pairMaximum(_ x: Tensor) throws -> (Tensor, Tensor) {
    var y = try Tensor(uninitialized: outputShape, elementType: .float32, format: format)
    var winners = try Tensor(uninitialized: outputShape, elementType: .uint8, format: format)
    x.withUnsafePointer(as: Float.self) { x in
      y.withUnsafeMutablePointer(as: Float.self) { y in
        winners.withUnsafeMutablePointer(as: UInt8.self) { winner in
          forEachImage { input, output, channels in
            Elementwise.maximumOfPairs(
              height: problem.input.h, width: problem.input.w, channels: channels, x + input,
              into: y + output,
              winner: winner + output)
          }
        }
      }
    }
    return (y, winners)
  }

  /// Gives each output's gradient to the window's winner.
  func spread<T: ConvScalar>(_ g: Tensor, to winners: PooledBuffer, _: T.Type) throws -> Tensor {
    var dx = try Tensor.zeros(inputShape, elementType: T.elementType, format: format)
    let (count, step) = (problem.output.count, step)
    let winner = winners.baseAddress.assumingMemoryBound(to: Int32.self)
    g.withUnsafePointer(as: T.self) { g in
      dx.withUnsafeMutablePointer(as: T.self) { dx in
        forEachPlane { input, output in
          for i in 0..<count {
            let source = output + i * step
            dx[input + Int(winner[source]) * step] += g[source]
          }
        }
      }
    }
    return dx
  }

  func average<T: ConvScalar>(_ x: Tensor, _ countIncludePad: Bool, _: T.Type) throws -> Tensor {
    var y = try Tensor(uninitialized: outputShape, elementType: T.elementType, format: format)
    let (width, positions, step, size) = (problem.input.w, problem.output, step, problem.filter.count)
    x.withUnsafePointer(as: T.self) { x in
      y.withUnsafeMutablePointer(as: T.self) { y in
        forEachPlane { input, output in
          for p in 0..<positions.h {
            let rows = clipped(p, axis: 1)
            for q in 0..<positions.w {
              let columns = clipped(q, axis: 2)
              var sum: T = 0
              for h in rows {
                for w in columns { sum += x[input + (h * width + w) * step] }
              }
              let divisor = countIncludePad ? size : rows.count * columns.count
              y[output + (p * positions.w + q) * step] = sum / T(divisor)
            }
          }
        }
      }
    }
    return y
  }

  /// Gives each output's gradient in equal parts to its window.
  func spreadEvenly<T: ConvScalar>(_ g: Tensor, _ countIncludePad: Bool, _: T.Type) throws -> Tensor {
    var dx = try Tensor.zeros(inputShape, elementType: T.elementType, format: format)
    let (width, positions, step, size) = (problem.input.w, problem.output, step, problem.filter.count)
    g.withUnsafePointer(as: T.self) { g in
      dx.withUnsafeMutablePointer(as: T.self) { dx in
        forEachPlane { input, output in
          for p in 0..<positions.h {
            let rows = clipped(p, axis: 1)
            for q in 0..<positions.w {
              let columns = clipped(q, axis: 2)
              let divisor = countIncludePad ? size : rows.count * columns.count
              let part = g[output + (p * positions.w + q) * step] / T(divisor)
              for h in rows {
                for w in columns { dx[input + (h * width + w) * step] += part }
              }
            }
          }
        }
      }
    }
    return dx
  }
}
