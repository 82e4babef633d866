import Foundation

/// Numbers as the page writes them.
enum ReportNumbers {
  /// `3.1e-06`; `0` where results are exact.
  static func error(_ value: Double) -> String {
    if value.isNaN { return "" }
    if !value.isFinite { return "not finite" }
    return value == 0 || value >= 0.1 ? RunReport.short(value) : String(format: "%.1e", value)
  }

  /// The error that comes nearest to its bound, `3.1e-06 = 0.22 × bound`; empty where nothing was compared.
  static func besideBound(_ verification: Verification) -> String {
    let (ratio, bound) = (verification.errorRatio, verification.errorBound)
    if ratio.isNaN { return "" }
    guard ratio.isFinite else { return "not within any bound" }
    let quotient = ratio < 1e-3 || ratio > 0.995 ? RunReport.short(ratio) : String(format: "%.2g", ratio)
    return "\(error(ratio * bound)) = \(quotient) × bound"
  }

  /// `12.3 ms`, `1.23 s`.
  static func duration(milliseconds: Double) -> String {
    guard milliseconds.isFinite else { return "" }
    return milliseconds < 9999.5
      ? "\(RunReport.short(milliseconds)) ms" : "\(RunReport.short(milliseconds / 1e3)) s"
  }

  /// `1.1 MiB`.
  static func bytes(_ count: Int) -> String {
    if count < 1024 { return "\(count) B" }
    let units = ["KiB", "MiB", "GiB", "TiB"]
    var value = Double(count) / 1024
    var unit = 0
    while value >= 999.5 && unit < units.count - 1 {
      value /= 1024
      unit += 1
    }
    return "\(RunReport.short(value)) \(units[unit])"
  }

  /// `1 row`, `3 rows`.
  static func count(_ count: Int, _ noun: String) -> String {
    let plural = noun.hasSuffix("s") ? noun + "es" : noun + "s"
    return "\(count) \(count == 1 ? noun : plural)"
  }

  /// `a, b and c`.
  static func list(_ items: [String]) -> String {
    guard let last = items.last, items.count > 1 else { return items.first ?? "" }
    return items.dropLast().joined(separator: ", ") + " and " + last
  }
}
