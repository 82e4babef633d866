/// The element types of the safetensors format, by their names there.
///
/// `Tensor` holds some of them as they are. Shorter floats are widened to float32 and shorter integers to int64, which keeps every
/// value; the others have no tensor.
enum StoredType: String, CaseIterable {
  case float32 = "F32"
  case float64 = "F64"
  case int64 = "I64"
  case uint8 = "U8"
  case bool = "BOOL"
  case float16 = "F16"
  case bfloat16 = "BF16"
  case int8 = "I8"
  case int16 = "I16"
  case int32 = "I32"
  case uint16 = "U16"
  case uint32 = "U32"
  case uint64 = "U64"
  case float8E5M2 = "F8_E5M2"
  case float8E4M3 = "F8_E4M3"
  case float8E8M0 = "F8_E8M0"
  case float8E5M2Z = "F8_E5M2FNUZ"
  case float8E4M3Z = "F8_E4M3FNUZ"
  case float6E2M3 = "F6_E2M3"
  case float6E3M2 = "F6_E3M2"
  case float4 = "F4"
  case complex64 = "C64"

  /// Bits of one element.
  var bits: Int {
    switch self {
    case .float64, .int64, .uint64, .complex64: 64
    case .float32, .int32, .uint32: 32
    case .float16, .bfloat16, .int16, .uint16: 16
    case .uint8, .bool, .int8, .float8E5M2, .float8E4M3, .float8E8M0, .float8E5M2Z, .float8E4M3Z: 8
    case .float6E2M3, .float6E3M2: 6
    case .float4: 4
    }
  }

  /// What a tensor holds it as; nil where none does.
  var elementType: ElementType? {
    switch self {
    case .float32, .float16, .bfloat16: .float32
    case .float64: .float64
    case .int64, .int8, .int16, .int32, .uint16, .uint32, .uint64: .int64
    case .uint8: .uint8
    case .bool: .bool
    default: nil
    }
  }

  /// Bytes of a tensor of non-negative extents; nil where they overflow or are not whole.
  func byteCount(of shape: [Int]) -> Int? {
    if shape.contains(0) { return 0 }
    var count = bits
    for extent in shape {
      let (product, overflow) = count.multipliedReportingOverflow(by: extent)
      if overflow { return nil }
      count = product
    }
    return count.isMultiple(of: 8) ? count / 8 : nil
  }

  /// Writes stored elements as those of `tensor`, which is of `elementType`.
  func widen(_ stored: UnsafeRawBufferPointer, into tensor: inout Tensor) {
    switch self {
    case .float16: each(stored, UInt16.self, &tensor) { StoredType.float(half: $0) }
    case .bfloat16: each(stored, UInt16.self, &tensor) { Float(bitPattern: UInt32($0) << 16) }
    case .int8: each(stored, Int8.self, &tensor) { Int64($0) }
    case .int16: each(stored, Int16.self, &tensor) { Int64($0) }
    case .int32: each(stored, Int32.self, &tensor) { Int64($0) }
    case .uint16: each(stored, UInt16.self, &tensor) { Int64($0) }
    case .uint32: each(stored, UInt32.self, &tensor) { Int64($0) }
    default: preconditionFailure("\(rawValue) is not widened")
    }
  }

  private func each<Stored: BitwiseCopyable, Element: TensorScalar>(
    _ stored: UnsafeRawBufferPointer, _: Stored.Type, _ tensor: inout Tensor, _ value: (Stored) -> Element
  ) {
    let count = tensor.count
    tensor.withUnsafeMutablePointer(as: Element.self) { target in
      for i in 0..<count {
        target[i] = value(
          stored.loadUnaligned(fromByteOffset: i * MemoryLayout<Stored>.stride, as: Stored.self))
      }
    }
  }

  /// The number of IEEE 754's binary16: every one of them is a float32, NaNs keep their bits.
  static func float(half: UInt16) -> Float {
    let (exponent, fraction) = (UInt32(half >> 10 & 31), UInt32(half & 0x3FF))
    let magnitude: UInt32 =
      switch exponent {
      case 0: (Float(fraction) * 0x1p-24).bitPattern
      case 31: 0x7F80_0000 | fraction << 13
      default: (exponent + 112) << 23 | fraction << 13
      }
    return Float(bitPattern: UInt32(half >> 15) << 31 | magnitude)
  }
}
