/// The type of a tensor's elements.
///
/// `float32` is what is benchmarked, `float64` makes gradient checks exact, the integer types hold labels,
/// counters and images.
public enum ElementType: String, Sendable, Hashable, CaseIterable {
  case float32, float64, int64, uint8, bool

  /// Bytes of one element.
  public var byteCount: Int {
    switch self {
    case .float32: 4
    case .float64, .int64: 8
    case .uint8, .bool: 1
    }
  }

  /// Unit roundoff u of a floating type (2⁻²⁴, 2⁻⁵³); 0 for the others.
  public var unitRoundoff: Double {
    switch self {
    case .float32: 0x1p-24
    case .float64: 0x1p-53
    case .int64, .uint8, .bool: 0
    }
  }
}

/// A Swift type that can be an element of a `Tensor`.
public protocol TensorScalar: BitwiseCopyable, Sendable {
  static var elementType: ElementType { get }
}

/// A scalar that the engines compute in: `Float` or `Double`.
public protocol ConvScalar: TensorScalar, BinaryFloatingPoint, SIMDScalar, Codable {}

extension Float: ConvScalar {
  public static var elementType: ElementType { .float32 }
}
extension Double: ConvScalar {
  public static var elementType: ElementType { .float64 }
}
extension Int64: TensorScalar {
  public static var elementType: ElementType { .int64 }
}
extension UInt8: TensorScalar {
  public static var elementType: ElementType { .uint8 }
}
extension Bool: TensorScalar {
  public static var elementType: ElementType { .bool }
}
