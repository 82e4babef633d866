extension Tensor {
  /// The same values as another type, where it holds each of them exactly.
  ///
  /// float64 is not taken as float32, nor any floating type as an integer, whatever the values.
  /// - Parameter what: the tensor, in errors.
  /// - Throws: `ConvError.elementTypeMismatch` between types that are never exact, `.operand` with the first integer that is not.
  public func exactly(as elementType: ElementType, what: String) throws -> Tensor {
    if elementType == self.elementType { return self }
    var result = try Tensor(uninitialized: shape, elementType: elementType, format: format)
    switch (self.elementType, elementType) {
    case (.float32, .float64), (.uint8, .float32), (.uint8, .float64):
      return try converted(to: elementType)
    case (.bool, .float32): result.fill(from: self, Bool.self, Float.self) { $0 ? 1 : 0 }
    case (.bool, .float64): result.fill(from: self, Bool.self, Double.self) { $0 ? 1 : 0 }
    case (.bool, .int64): result.fill(from: self, Bool.self, Int64.self) { $0 ? 1 : 0 }
    case (.bool, .uint8): result.fill(from: self, Bool.self, UInt8.self) { $0 ? 1 : 0 }
    case (.uint8, .int64): result.fill(from: self, UInt8.self, Int64.self) { Int64($0) }
    case (.int64, .float32):
      try requireExact(elementType, what) { Float(exactly: $0) != nil }
      return try converted(to: elementType)
    case (.int64, .float64):
      try requireExact(elementType, what) { Double(exactly: $0) != nil }
      return try converted(to: elementType)
    case (.int64, .uint8):
      try requireExact(elementType, what) { UInt8(exactly: $0) != nil }
      result.fill(from: self, Int64.self, UInt8.self) { UInt8($0) }
    default:
      throw ConvError.elementTypeMismatch(what: what, expected: elementType, found: self.elementType)
    }
    return result
  }

  private func requireExact(_ elementType: ElementType, _ what: String, _ isExact: (Int64) -> Bool) throws {
    let count = count
    let value = withUnsafePointer(as: Int64.self) { values in
      UnsafeBufferPointer(start: values, count: count).first { !isExact($0) }
    }
    if let value {
      throw ConvError.operand("\(what) holds the integer \(value), which is no \(elementType.rawValue)")
    }
  }

  private mutating func fill<From: TensorScalar, To: TensorScalar>(
    from source: Tensor, _: From.Type, _: To.Type, _ convert: (From) -> To
  ) {
    let count = count
    source.withUnsafePointer(as: From.self) { from in
      withUnsafeMutablePointer(as: To.self) { to in
        for i in 0..<count { to[i] = convert(from[i]) }
      }
    }
  }
}
