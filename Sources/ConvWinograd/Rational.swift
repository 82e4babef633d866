/// An exact fraction in lowest terms with a positive denominator.
///
/// Arithmetic is checked: a result that does not fit throws `RationalError.overflow` instead of wrapping or trapping.
public struct Rational: Hashable, Sendable {
  /// The numerator, with the sign.
  public let numerator: Int128
  /// The denominator, at least 1.
  public let denominator: Int128

  /// An integer.
  public init(_ value: Int) {
    numerator = Int128(value)
    denominator = 1
  }

  /// numerator / denominator in lowest terms.
  ///
  /// - Throws: `RationalError.divisionByZero`, `.overflow`.
  public init(_ numerator: Int128, over denominator: Int128) throws {
    guard denominator != 0 else { throw RationalError.divisionByZero }
    guard numerator != .min, denominator != .min else { throw RationalError.overflow }
    var (a, b) = (numerator.magnitude, denominator.magnitude)
    while b != 0 { (a, b) = (b, a % b) }
    let divisor = Int128(a) * (denominator < 0 ? -1 : 1)
    self.numerator = numerator / divisor
    self.denominator = denominator / divisor
  }

  /// 0.
  public static let zero = Rational(0)
  /// 1.
  public static let one = Rational(1)

  /// The nearest Double. Exact where numerator and denominator are below 2⁵³ and the quotient is dyadic.
  public var doubleValue: Double { Double(numerator) / Double(denominator) }
  /// Whether a binary floating-point number can hold it exactly: the denominator is a power of two.
  public var isDyadic: Bool { denominator & (denominator - 1) == 0 }

  /// Sum.
  public static func + (a: Rational, b: Rational) throws -> Rational {
    try Rational(
      add(multiply(a.numerator, b.denominator), multiply(b.numerator, a.denominator)),
      over: multiply(a.denominator, b.denominator))
  }

  /// Difference.
  public static func - (a: Rational, b: Rational) throws -> Rational { try a + -b }

  /// Product.
  public static func * (a: Rational, b: Rational) throws -> Rational {
    try Rational(multiply(a.numerator, b.numerator), over: multiply(a.denominator, b.denominator))
  }

  /// Quotient.
  public static func / (a: Rational, b: Rational) throws -> Rational {
    try Rational(multiply(a.numerator, b.denominator), over: multiply(a.denominator, b.numerator))
  }

  /// The opposite number.
  public static prefix func - (a: Rational) -> Rational { Rational(negating: a) }

  private init(negating other: Rational) {
    // Lowest terms never hold Int128.min: `init(_:over:)` refuses it.
    numerator = -other.numerator
    denominator = other.denominator
  }

  private static func add(_ a: Int128, _ b: Int128) throws -> Int128 {
    let (value, overflow) = a.addingReportingOverflow(b)
    if overflow { throw RationalError.overflow }
    return value
  }

  private static func multiply(_ a: Int128, _ b: Int128) throws -> Int128 {
    let (value, overflow) = a.multipliedReportingOverflow(by: b)
    if overflow { throw RationalError.overflow }
    return value
  }
}

extension Rational: CustomStringConvertible {
  /// "5/8", or "2" for integers.
  public var description: String { denominator == 1 ? "\(numerator)" : "\(numerator)/\(denominator)" }
}

/// Why exact arithmetic failed.
public enum RationalError: Error, Hashable, Sendable {
  /// A numerator or denominator does not fit 128 bits.
  case overflow
  /// A denominator of zero: interpolation points that coincide.
  case divisionByZero
}
