/// Bias, ReLU, 2×2 max pooling and the bias gradient as passes of their own, for engines that lack them.
struct EpilogueLowering: Lowering, SameFilterPlan {
  let operation: ConvOperation
  let innerOperation: ConvOperation
  var inner: [any ConvPlan] = []

  var innerOperations: [ConvOperation] { [innerOperation] }
  var label: String { "epilogue" }
  var scratchBytes: Int {
    operation.epilogue.maxPool2x2 ? ScratchAllocator.aligned(innerOperation.outputBytes) : 0
  }

  init?(_ operation: ConvOperation) {
    var innerOperation = operation
    innerOperation.epilogue = Epilogue(accumulate: operation.epilogue.accumulate)
    guard innerOperation != operation else { return nil }
    self.operation = operation
    self.innerOperation = innerOperation
  }

  func execute(
    _ operands: ConvOperands, workspace: UnsafeMutableRawBufferPointer, pool: WorkerPool,
    phases: PhaseRecorder?
  ) throws {
    var scratch = try ScratchAllocator(workspace, needed: workspaceBytes)
    var innerOperands = try operands.unwrappingPrepared(for: self)
    let epilogue = operation.epilogue
    if epilogue.bias && operands.bias == nil {
      throw ConvError.operand("no bias was given for \(operation)")
    }
    if epilogue.biasGradient && operands.biasGradient == nil {
      throw ConvError.operand("no place for the bias gradient was given for \(operation)")
    }
    innerOperands.bias = nil
    innerOperands.argmax = nil
    innerOperands.biasGradient = nil
    if epilogue.maxPool2x2 { innerOperands.output = scratch.take(innerOperation.outputBytes) }
    try inner[0].execute(innerOperands, workspace: scratch.rest, pool: pool, phases: phases)
    guard let output = innerOperands.output else {
      throw ConvError.operand("no output was given for \(operation)")
    }
    phases.measure("epilogue") {
      switch operation.elementType {
      case .float64: finish(Double.self, operands, output, pool)
      default: finish(Float.self, operands, output, pool)
      }
    }
  }

  private func finish<T: ConvScalar>(
    _: T.Type, _ operands: ConvOperands, _ output: UnsafeMutableRawPointer, _ pool: WorkerPool
  ) {
    let layout = ChannelLayout(operation.problem.outputShape, operation.outputFormat)
    let y = output.assumingMemoryBound(to: T.self)
    let epilogue = operation.epilogue
    if epilogue.bias || epilogue.relu {
      let bias = epilogue.bias ? operands.bias?.assumingMemoryBound(to: T.self) : nil
      addBias(y, bias, relu: epilogue.relu, layout, pool)
    }
    if epilogue.maxPool2x2, let pooled = operands.output {
      maxPool(y, to: pooled.assumingMemoryBound(to: T.self), operands.argmax, layout, pool)
    }
    if epilogue.biasGradient, let gradient = operands.biasGradient {
      sumChannels(
        y, to: gradient.assumingMemoryBound(to: T.self), accumulate: epilogue.accumulate, layout, pool)
    }
  }

  private func addBias<T: ConvScalar>(
    _ y: UnsafeMutablePointer<T>, _ bias: UnsafePointer<T>?, relu: Bool, _ layout: ChannelLayout,
    _ pool: WorkerPool
  ) {
    switch layout.format {
    case .nchw:
      pool.parallelFor(layout.images * layout.channels) { task in
        let shift = bias?[task % layout.channels] ?? 0
        let row = y + task * layout.plane
        for i in 0..<layout.plane {
          let value = row[i] + shift
          // Written so that NaN passes through.
          row[i] = relu && value < 0 ? 0 : value
        }
      }
    case .nhwc:
      pool.parallelFor(layout.images) { image in
        for position in 0..<layout.plane {
          let row = y + (image * layout.plane + position) * layout.channels
          for k in 0..<layout.channels {
            let value = row[k] + (bias?[k] ?? 0)
            row[k] = relu && value < 0 ? 0 : value
          }
        }
      }
    }
  }

  /// Ties take the first in row-major order, as PyTorch does.
  private func maxPool<T: ConvScalar>(
    _ y: UnsafeMutablePointer<T>, to pooled: UnsafeMutablePointer<T>,
    _ argmax: UnsafeMutablePointer<UInt8>?, _ layout: ChannelLayout, _ pool: WorkerPool
  ) {
    let (height, width) = (operation.problem.output.h, operation.problem.output.w)
    let (halfHeight, halfWidth) = (height / 2, width / 2)
    let small = ChannelLayout(operation.outputShape, operation.outputFormat)
    pool.parallelFor(layout.images * layout.channels) { task in
      let (image, k) = (task / layout.channels, task % layout.channels)
      for p in 0..<halfHeight {
        for q in 0..<halfWidth {
          var best = y[layout.index(image, k, 2 * p * width + 2 * q)]
          var winner: UInt8 = 0
          for candidate in 1..<4 {
            let position = (2 * p + candidate / 2) * width + 2 * q + candidate % 2
            let value = y[layout.index(image, k, position)]
            if value > best || value.isNaN {
              best = value
              winner = UInt8(candidate)
            }
          }
          let place = small.index(image, k, p * halfWidth + q)
          pooled[place] = best
          argmax?[place] = winner
        }
      }
    }
  }

  /// db[k] = Σ dy[n, k, ·]: float64 in one sum, float32 as below.
  private func sumChannels<T: ConvScalar>(
    _ y: UnsafeMutablePointer<T>, to gradient: UnsafeMutablePointer<T>, accumulate: Bool,
    _ layout: ChannelLayout, _ pool: WorkerPool
  ) {
    if T.self == Float.self {
      sumChannels(recast(UnsafePointer(y)), to: recast(gradient), accumulate: accumulate, layout, pool)
      return
    }
    pool.parallelFor(layout.channels) { k in
      var sum = 0.0
      for image in 0..<layout.images {
        for position in 0..<layout.plane { sum += Double(y[layout.index(image, k, position)]) }
      }
      gradient[k] = accumulate ? gradient[k] + T(sum) : T(sum)
    }
  }
}

extension EpilogueLowering {
  /// float32: one image's sums by the vectorised kernel, in partial sums, the images' in Double.
  private func sumChannels(
    _ y: UnsafePointer<Float>, to gradient: UnsafeMutablePointer<Float>, accumulate: Bool,
    _ layout: ChannelLayout, _ pool: WorkerPool
  ) {
    let (channels, plane) = (layout.channels, layout.plane)
    withUnsafeTemporaryAllocation(of: Float.self, capacity: layout.images * channels) { parts in
      let parts = parts.baseAddress!
      parts.initialize(repeating: 0, count: layout.images * channels)
      pool.parallelFor(layout.images) { image in
        let (from, to) = (y + image * channels * plane, parts + image * channels)
        switch layout.format {
        case .nchw: Elementwise.addSumsNCHW(channels: channels, area: plane, from, into: to)
        case .nhwc: Elementwise.addSumsNHWC(pixels: plane, channels: channels, from, into: to)
        }
      }
      for k in 0..<channels {
        var sum = 0.0
        for image in 0..<layout.images { sum += Double(parts[image * channels + k]) }
        gradient[k] = accumulate ? gradient[k] + Float(sum) : Float(sum)
      }
    }
  }
}

/// Where element (image, channel, position) of a dense tensor lies.
private struct ChannelLayout {
  let format: MemoryFormat
  let images: Int
  let channels: Int
  let plane: Int
  private let channelStride: Int
  private let positionStride: Int

  init(_ shape: [Int], _ format: MemoryFormat) {
    self.format = format
    images = shape[0]
    channels = shape[1]
    plane = shape.dropFirst(2).reduce(1, *)
    channelStride = format == .nchw ? plane : 1
    positionStride = format == .nchw ? 1 : channels
  }

  func index(_ image: Int, _ channel: Int, _ position: Int) -> Int {
    image * channels * plane + channel * channelStride + position * positionStride
  }
}
