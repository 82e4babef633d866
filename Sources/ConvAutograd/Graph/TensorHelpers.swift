import ConvCore

/// Elements per parallel chunk: a constant, so that results never depend on the thread count.
let chunkSize = 1 << 14

/// Runs `body` over fixed chunks of 0..<count on the current pool.
@inline(__always)
func forEachChunk(_ count: Int, size: Int = chunkSize, _ body: (Range<Int>) -> Void) {
  let chunks = (count + size - 1) / size
  if chunks <= 1 {
    body(0..<count)
  } else {
    ConvolutionContext.current.pool.parallelFor(chunks) { chunk in
      body(chunk * size..<min(count, (chunk + 1) * size))
    }
  }
}

/// Runs `body` for each index in parallel where the work of all is worth it.
@inline(__always)
func forEachTask(_ count: Int, work: Int, _ body: (Int) -> Void) {
  if count == 1 || work < chunkSize {
    for index in 0..<count { body(index) }
  } else {
    ConvolutionContext.current.pool.parallelFor(count, body)
  }
}

/// - Throws: `ConvError.shapeMismatch` or `.elementTypeMismatch`.
func requireSame(_ what: String, _ tensor: Tensor, as other: Tensor) throws {
  guard tensor.shape == other.shape else {
    throw ConvError.shapeMismatch(what: what, expected: other.shape, found: tensor.shape)
  }
  try requireType(what, tensor, other.elementType)
}

/// - Throws: `ConvError.elementTypeMismatch`.
func requireType(_ what: String, _ tensor: Tensor, _ elementType: ElementType) throws {
  guard tensor.elementType == elementType else {
    throw ConvError.elementTypeMismatch(what: what, expected: elementType, found: tensor.elementType)
  }
}

/// - Throws: `ConvError.elementTypeMismatch` for integers and truth values.
func requireFloating(_ what: String, _ tensor: Tensor) throws {
  guard tensor.isFloatingPoint else {
    throw ConvError.elementTypeMismatch(what: what, expected: .float32, found: tensor.elementType)
  }
}

/// - Throws: `ConvError.operand` naming the rank that was expected and the shape that was found.
func requireRank(_ what: String, _ tensor: Tensor, _ rank: Int) throws {
  guard tensor.rank == rank else {
    throw ConvError.operand("\(what) needs \(rank) dimensions, found \(tensor.rank): shape \(tensor.shape)")
  }
}

extension Variable {
  /// What an operation makes of an empty batch: a result without elements, and gradients of zeros.
  ///
  /// - Parameter parameters: what else it depends on, where there is any.
  func emptyResult(_ name: String, _ shape: [Int], _ parameters: [Variable?]) throws -> Variable {
    let inputs = [self] + parameters.compactMap { $0 }
    let operands = inputs.map(\.value)
    let y = try Tensor.zeros(shape, elementType: elementType, format: value.format)
    return Variable.record(name, y, inputs) { _ in
      try operands.map { try Tensor.zeros($0.shape, elementType: $0.elementType, format: $0.format) }
    }
  }
}

extension Tensor {
  /// Whether the elements are float32 or float64.
  var isFloatingPoint: Bool { elementType == .float32 || elementType == .float64 }

  /// The same elements in another physical order, converted on the current context's threads.
  func ordered(_ format: MemoryFormat) throws -> Tensor {
    if self.format == format || rank <= 2 { return self }
    return try converted(to: format, pool: ConvolutionContext.current.pool)
  }

  /// The same elements in logical order under another shape, converted on the current context's threads where need be.
  func regrouped(_ shape: [Int]) throws -> Tensor { try ordered(.nchw).reshaped(to: shape) }

  /// A tensor of one repeated value in a floating type.
  static func filled(
    _ shape: [Int], _ value: Double, _ elementType: ElementType, format: MemoryFormat = .nchw
  ) throws -> Tensor {
    elementType == .float64
      ? try full(shape, value, format: format) : try full(shape, Float(value), format: format)
  }

  /// The only element of a floating tensor.
  var scalarValue: Double {
    elementType == .float64 ? scalar(as: Double.self) : Double(scalar(as: Float.self))
  }

  /// self += other, elementwise.
  mutating func add(_ other: Tensor) throws {
    try requireSame("the second gradient of a sum", other, as: self)
    let other = try other.ordered(format)
    if elementType == .float64 { add(other, Double.self) } else { add(other, Float.self) }
  }

  private mutating func add<T: ConvScalar>(_ other: Tensor, _: T.Type) {
    let count = count
    other.withUnsafePointer(as: T.self) { source in
      withUnsafeMutablePointer(as: T.self) { sum in
        forEachChunk(count) { range in
          for i in range { sum[i] += source[i] }
        }
      }
    }
  }

  /// Offsets of a tensor [N, C, …] in either format: element (n, c, i) is at n·image + c·channel + i·position.
  var channelLayout: (batch: Int, channels: Int, positions: Int, channel: Int, position: Int) {
    let (batch, channels) = (shape[0], shape[1])
    let positions = shape.dropFirst(2).reduce(1, *)
    return format == .nchw
      ? (batch, channels, positions, positions, 1) : (batch, channels, positions, 1, channels)
  }
}
