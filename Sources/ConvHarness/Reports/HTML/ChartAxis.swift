import Foundation

/// One axis of a chart: values to coordinates, and the values that get a tick.
struct ChartAxis {
  struct Tick: Equatable {
    var value: Double
    /// Empty for lines without a number.
    var label: String
  }

  let isLogarithmic: Bool
  let low: Double
  let high: Double
  /// Coordinates of `low` and `high`; the second may be the smaller one.
  let start: Double
  let end: Double

  /// An axis that holds all finite `values` (for a logarithmic one: all positive ones) with some room at both ends.
  ///
  /// - Parameters:
  ///   - start, end: coordinates of its ends.
  ///   - margin: room at both ends, as a part of the axis.
  ///   - includesZero: begins a linear axis at zero.
  init(
    _ values: [Double], logarithmic: Bool, from start: Double, to end: Double, margin: Double = 0.06,
    includesZero: Bool = false
  ) {
    isLogarithmic = logarithmic
    self.start = start
    self.end = end
    // A file may hold any number; beyond these a little room at the ends is no longer one.
    let usable = values.filter { abs($0) <= 1e100 && (!logarithmic || $0 >= 1e-100) }
    let least = usable.min() ?? 1
    let greatest = usable.max() ?? 1
    if logarithmic {
      // At least a factor of 4, so that noise does not look like a difference.
      let span = max(log(greatest / least), log(4))
      let middle = (log(greatest) + log(least)) / 2
      low = exp(middle - span * (0.5 + margin))
      high = exp(middle + span * (0.5 + margin))
    } else {
      let bottom = includesZero ? min(0, least) : least
      let span = greatest - bottom > 1e-100 ? greatest - bottom : max(abs(greatest), 1)
      low = includesZero && bottom == 0 ? 0 : bottom - span * margin
      high = (greatest - bottom > 1e-100 ? greatest : bottom + span) + span * margin
    }
  }

  /// The coordinate of a value; what lies outside is drawn at the end.
  func position(_ value: Double) -> Double {
    let clamped = min(max(value, low), high)
    let part =
      isLogarithmic ? log(clamped / low) / log(high / low) : (clamped - low) / (high - low)
    return start + (end - start) * part
  }

  func contains(_ value: Double) -> Bool { value >= low && value <= high }

  /// About `count` round values: 1, 2, 5 × 10ⁿ on logarithmic axes, whole decades on long ones.
  func ticks(about count: Int = 5) -> [Tick] {
    let values = isLogarithmic ? logarithmicTicks(count) : linearTicks(count)
    return values.map { Tick(value: $0, label: ChartAxis.label($0)) }
  }

  private func linearTicks(_ count: Int) -> [Double] {
    let raw = (high - low) / Double(max(count, 1))
    let decade = pow(10, floor(log10(raw)))
    let step = [1.0, 2, 5, 10].map { $0 * decade }.first { $0 >= raw * 0.999 } ?? raw
    let first = Int((low / step).rounded(.up))
    let last = Int((high / step + 1e-9).rounded(.down))
    guard last >= first else { return [] }
    return (first...last).map { Double($0) * step }
  }

  private func logarithmicTicks(_ count: Int) -> [Double] {
    let first = Int(floor(log10(low)))
    let last = Int(ceil(log10(high)))
    func values(_ digits: [Double], every step: Int = 1) -> [Double] {
      (first...last).filter { $0 % step == 0 }.flatMap { power in digits.map { $0 * pow(10, Double(power)) } }
        .filter { contains($0) }
    }
    for digits in [[1.0, 2, 5], [1.0, 3]] {
      let found = values(digits)
      if found.count >= 2 && found.count <= count { return found }
    }
    for step in 1...max(1, last - first) {
      let found = values([1], every: step)
      if found.count <= count && found.count >= 2 { return found }
    }
    let found = values([1, 2, 5])
    return found.count >= 2 ? Array(found.prefix(count)) : linearTicks(count)
  }

  /// A short number: `0.05`, `20`, `1e-06`.
  static func label(_ value: Double) -> String {
    // Multiples of a step carry its rounding.
    let isSmall = abs(value) < 0.9995e-3 && value != 0
    return String(format: isSmall ? "%.3e" : "%.4g", value)
      .replacingOccurrences(of: "\\.?0*e", with: "e", options: .regularExpression)
      .replacingOccurrences(of: "e-0", with: "e-")
      .replacingOccurrences(of: "e+0", with: "e")
  }
}
