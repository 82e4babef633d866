import Synchronization

/// A dense n-dimensional array of rank 0 to 5 with value semantics. An extent may be 0: such a tensor has no elements.
///
/// `shape` is always in logical order (N, C, D, H, W; filters K, C/g, T, R, S); `format` names the physical order.
/// Copies share storage until one of them is written (copy on write). Storage comes from `BufferPool`.
public struct Tensor: @unchecked Sendable {
  // @unchecked: the storage is written only through a unique reference.

  /// Extents in logical order.
  public private(set) var shape: [Int]
  /// Type of the elements.
  public let elementType: ElementType
  /// Physical order of the elements.
  public private(set) var format: MemoryFormat
  /// Changes whenever the elements may have changed; equal revisions mean equal elements.
  public private(set) var revision: UInt64
  private var storage: PooledBuffer

  /// A tensor whose elements are not initialised.
  ///
  /// - Throws: `ConvError.invalidShape`, or `MemoryError` where the memory cannot be had.
  public init(
    uninitialized shape: [Int], elementType: ElementType = .float32, format: MemoryFormat = .nchw
  ) throws {
    let count = try Tensor.validatedCount(of: shape)
    let (bytes, overflow) = count.multipliedReportingOverflow(by: elementType.byteCount)
    if overflow { throw ConvError.invalidShape(shape, reason: "its size in bytes overflows") }
    self.shape = shape
    self.elementType = elementType
    self.format = shape.count > 2 ? format : .nchw
    self.revision = Tensor.nextRevision()
    self.storage = try PooledBuffer(byteCount: bytes)
  }

  /// A tensor of zeros.
  public static func zeros(
    _ shape: [Int], elementType: ElementType = .float32, format: MemoryFormat = .nchw
  ) throws -> Tensor {
    let tensor = try Tensor(uninitialized: shape, elementType: elementType, format: format)
    tensor.storage.baseAddress.initializeMemory(as: UInt8.self, repeating: 0, count: tensor.byteCount)
    return tensor
  }

  /// A tensor of one repeated value.
  public static func full<T: TensorScalar>(
    _ shape: [Int], _ value: T, format: MemoryFormat = .nchw
  ) throws -> Tensor {
    let tensor = try Tensor(uninitialized: shape, elementType: T.elementType, format: format)
    tensor.storage.baseAddress.initializeMemory(as: T.self, repeating: value, count: tensor.count)
    return tensor
  }

  /// A tensor of the given values in logical (row-major) order.
  ///
  /// - Throws: `ConvError.shapeMismatch` where the count of values is not the shape's.
  public init<T: TensorScalar>(_ values: [T], shape: [Int], format: MemoryFormat = .nchw) throws {
    let plain = try Tensor(uninitialized: shape, elementType: T.elementType)
    guard plain.count == values.count else {
      throw ConvError.shapeMismatch(what: "the array of values", expected: shape, found: [values.count])
    }
    values.withUnsafeBytes { bytes in
      if let base = bytes.baseAddress {
        plain.storage.baseAddress.copyMemory(from: base, byteCount: bytes.count)
      }
    }
    self = try plain.converted(to: format)
  }

  /// A tensor of rank 0.
  public init<T: TensorScalar>(scalar value: T) throws {
    try self.init([value], shape: [])
  }

  /// Number of dimensions.
  public var rank: Int { shape.count }
  /// Number of elements.
  public var count: Int { shape.reduce(1, *) }
  /// Bytes of all elements.
  public var byteCount: Int { count * elementType.byteCount }
  /// Element strides per logical dimension.
  public var strides: [Int] { format.strides(of: shape) }

  /// Calls `body` with the elements in physical order. `T` must be the tensor's scalar type.
  public func withUnsafePointer<T: TensorScalar, R>(
    as type: T.Type, _ body: (UnsafePointer<T>) throws -> R
  ) rethrows -> R {
    precondition(T.elementType == elementType, "tensor of \(elementType) read as \(T.elementType)")
    return try withExtendedLifetime(storage) {
      try body(UnsafePointer(storage.baseAddress.assumingMemoryBound(to: T.self)))
    }
  }

  /// Calls `body` with the elements in physical order for writing; other copies are not affected.
  public mutating func withUnsafeMutablePointer<T: TensorScalar, R>(
    as type: T.Type, _ body: (UnsafeMutablePointer<T>) throws -> R
  ) rethrows -> R {
    precondition(T.elementType == elementType, "tensor of \(elementType) written as \(T.elementType)")
    return try withUnsafeMutableRawPointer { try body($0.assumingMemoryBound(to: T.self)) }
  }

  /// Calls `body` with the raw elements in physical order.
  public func withUnsafeRawPointer<R>(_ body: (UnsafeRawPointer) throws -> R) rethrows -> R {
    try withExtendedLifetime(storage) { try body(UnsafeRawPointer(storage.baseAddress)) }
  }

  /// Calls `body` with the raw elements in physical order for writing; other copies are not affected.
  public mutating func withUnsafeMutableRawPointer<R>(
    _ body: (UnsafeMutableRawPointer) throws -> R
  ) rethrows -> R {
    makeUnique()
    revision = Tensor.nextRevision()
    return try withExtendedLifetime(storage) { try body(storage.baseAddress) }
  }

  /// The elements in logical (row-major) order.
  public func values<T: TensorScalar>(as type: T.Type = T.self) -> [T] {
    precondition(T.elementType == elementType, "tensor of \(elementType) read as \(T.elementType)")
    if format == .nchw {
      return withUnsafePointer(as: T.self) { Array(UnsafeBufferPointer(start: $0, count: count)) }
    }
    return [T](unsafeUninitializedCapacity: count) { buffer, initialized in
      initialized = count
      // Nil where there is no element.
      guard let target = buffer.baseAddress else { return }
      withUnsafeRawPointer {
        MemoryFormat.convert(
          $0, from: format, to: UnsafeMutableRawPointer(target), as: .nchw, shape: shape,
          elementType: elementType, pool: .shared)
      }
    }
  }

  /// The only element of a tensor with one element.
  public func scalar<T: TensorScalar>(as type: T.Type = T.self) -> T {
    precondition(count == 1, "scalar() of a tensor of shape \(shape)")
    return withUnsafePointer(as: T.self) { $0[0] }
  }

  /// The same elements in another physical order (shares storage where that is the same).
  public func converted(to format: MemoryFormat, pool: WorkerPool = .shared) throws -> Tensor {
    if self.format == format || rank <= 2 { return self }
    let result = try Tensor(uninitialized: shape, elementType: elementType, format: format)
    withUnsafeRawPointer {
      MemoryFormat.convert(
        $0, from: self.format, to: result.storage.baseAddress, as: format, shape: shape,
        elementType: elementType, pool: pool)
    }
    return result
  }

  /// The same elements in logical order under another shape of equal count.
  public func reshaped(to shape: [Int], pool: WorkerPool = .shared) throws -> Tensor {
    guard try Tensor.validatedCount(of: shape) == count else {
      throw ConvError.shapeMismatch(what: "reshape of \(self.shape)", expected: shape, found: self.shape)
    }
    var result = try converted(to: .nchw, pool: pool)
    result.shape = shape
    return result
  }

  /// The elements as another floating type.
  public func converted(to elementType: ElementType) throws -> Tensor {
    if elementType == self.elementType { return self }
    var result = try Tensor(uninitialized: shape, elementType: elementType, format: format)
    switch (self.elementType, elementType) {
    case (.float32, .float64): result.assign(from: self, Float.self, Double.self) { Double($0) }
    case (.float64, .float32): result.assign(from: self, Double.self, Float.self) { Float($0) }
    case (.uint8, .float32): result.assign(from: self, UInt8.self, Float.self) { Float($0) }
    case (.uint8, .float64): result.assign(from: self, UInt8.self, Double.self) { Double($0) }
    case (.int64, .float32): result.assign(from: self, Int64.self, Float.self) { Float($0) }
    case (.int64, .float64): result.assign(from: self, Int64.self, Double.self) { Double($0) }
    default:
      throw ConvError.elementTypeMismatch(
        what: "conversion source", expected: elementType, found: self.elementType)
    }
    return result
  }

  private mutating func assign<From: TensorScalar, To: TensorScalar>(
    from source: Tensor, _: From.Type, _: To.Type, _ convert: (From) -> To
  ) {
    let count = count
    source.withUnsafePointer(as: From.self) { from in
      withUnsafeMutablePointer(as: To.self) { to in
        for i in 0..<count { to[i] = convert(from[i]) }
      }
    }
  }

  private mutating func makeUnique() {
    if isKnownUniquelyReferenced(&storage) { return }
    guard let copy = try? PooledBuffer(byteCount: byteCount) else {
      fatalError("cannot allocate \(byteCount) bytes for a copy on write")
    }
    copy.baseAddress.copyMemory(from: storage.baseAddress, byteCount: byteCount)
    storage = copy
  }

  private static let revisions = Atomic<UInt64>(0)
  private static func nextRevision() -> UInt64 {
    revisions.wrappingAdd(1, ordering: .relaxed).newValue
  }

  /// The element count of `shape`; 0 where an extent is.
  ///
  /// - Throws: `ConvError.invalidShape` for ranks above 5, extents below 0, or where the product of the other extents overflows.
  public static func validatedCount(of shape: [Int]) throws -> Int {
    guard shape.count <= 5 else {
      throw ConvError.invalidShape(shape, reason: "rank \(shape.count), at most 5 is possible")
    }
    var count = 1
    for extent in shape {
      guard extent >= 0 else {
        throw ConvError.invalidShape(shape, reason: "extent \(extent), at least 0 is needed")
      }
      // Also beside a 0: strides are products of some of the extents.
      let (product, overflow) = count.multipliedReportingOverflow(by: max(1, extent))
      if overflow { throw ConvError.invalidShape(shape, reason: "its element count overflows") }
      count = product
    }
    return shape.contains(0) ? 0 : count
  }
}
