extension ConvProblem {
  /// The rule of what a problem may be, beyond what its formula needs.
  ///
  /// | what                                                              | at most |
  /// |-------------------------------------------------------------------|---------|
  /// | batch, channels, groups; per axis: input, taps, padded input      | 2³¹ − 1 |
  /// | stride, dilation, per axis                                        | 2²⁰     |
  /// | elements of x, of w, of y                                         | 2⁴⁰     |
  /// | products N·K·(C/g)·T·R·S·Z·P·Q                                    | 2⁵⁰     |
  /// | N·K·(C/g) times the elements of a padded plane                    | 2⁵⁰     |
  ///
  /// The last two bound all that engines make of a problem: C·T·R·S × N·Z·P·Q columns are no more than the products (g ≤ K),
  /// planes of tiles and spectra no more than a few times the padded ones, and both stay so where a backward pass is rewritten as a
  /// forward one, which only exchanges N, C and K. A few times 2⁵⁰ elements of 8 bytes are far from 2⁶³. Strides and
  /// dilations are bounded more tightly because products of all three axes' are formed.
  public enum Limits {
    /// Batch, channels, groups, extents, taps, paddings and padded extents.
    public static let size = Int(Int32.max)
    /// Strides and dilations.
    public static let step = 1 << 20
    /// Elements of one tensor: 4 TiB of float32.
    public static let elements = 1 << 40
    /// Products of a pass, and N·K·(C/g) times a padded plane.
    public static let products = 1 << 50

    /// For those who compute a problem's sizes from others.
    ///
    /// - Throws: `ConvError.invalidProblem` where `value` is outside of `range`.
    public static func check(_ name: String, _ value: Int, _ range: ClosedRange<Int>) throws {
      if value < range.lowerBound {
        throw ConvError.invalidProblem("\(name) is \(value), at least \(range.lowerBound) is needed")
      }
      if value > range.upperBound {
        throw ConvError.invalidProblem("\(name) is \(value), at most \(range.upperBound) is possible")
      }
    }

    /// - Throws: `ConvError.invalidProblem` where the product of the factors exceeds `limit`.
    static func check(_ name: String, product factors: [Int], limit: Int) throws {
      var count = 1
      for factor in factors {
        let (product, overflow) = count.multipliedReportingOverflow(by: factor)
        guard !overflow, product <= limit else {
          let text = factors.map(String.init).joined(separator: "×")
          throw ConvError.invalidProblem("the \(name): \(text), at most \(limit) are possible")
        }
        count = product
      }
    }
  }

  /// What of the rule is about products of sizes, all of which are known by now.
  func checkProducts() throws {
    for (name, extent, channels) in [
      ("input", input, [n, c]), ("filter", filter, [k, cPerGroup]), ("output", output, [n, k]),
    ] {
      try Limits.check(
        "elements of the \(name)", product: channels + [extent.d, extent.h, extent.w], limit: Limits.elements)
    }
    let pairs = [n, k, cPerGroup]
    try Limits.check(
      "products of a pass",
      product: pairs + [filter.d, filter.h, filter.w, output.d, output.h, output.w], limit: Limits.products)
    let padded = (0..<3).map { input[$0] + padding.before[$0] + padding.after[$0] }
    try Limits.check(
      "batch, channels and padded planes together", product: pairs + padded, limit: Limits.products)
  }
}
