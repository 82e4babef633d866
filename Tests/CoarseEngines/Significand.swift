/// Rounding of float32 numbers to fewer significant bits, to nearest even.
enum Significand {
  /// `value` with `bits` significant bits, the leading one included; 8 are bfloat16's, 24 float32's own. What is not finite stays.
  @inline(__always)
  static func rounded(_ value: Float, bits: Int) -> Float {
    guard value.isFinite, bits < 24 else { return value }
    let dropped = UInt32(24 - bits)
    let pattern = value.bitPattern
    let half = (UInt32(1) << (dropped - 1)) - 1 + (pattern >> dropped & 1)
    return Float(bitPattern: (pattern &+ half) & ~((UInt32(1) << dropped) - 1))
  }

  /// The same for Double, to at most 24 bits: of coefficients.
  static func rounded(_ value: Double, bits: Int) -> Float { rounded(Float(value), bits: bits) }

  /// The same for bfloat16 and finite numbers, without a branch: for inner loops.
  @inline(__always)
  static func bfloat16(_ value: Float) -> Float {
    let pattern = value.bitPattern
    return Float(bitPattern: (pattern &+ 0x7FFF &+ (pattern >> 16 & 1)) & 0xFFFF_0000)
  }
}
