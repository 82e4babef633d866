import Foundation

// What reports and the console say of a verification, the same words in all of them.
extension Verification {
  /// The verdict, with a word beside it where the deterministic bound decided: `passed`, `passed, correlated`.
  public var verdictText: String { verdict.rawValue + correlatedMark }

  /// What stands behind a verdict's word: `, correlated` or nothing.
  var correlatedMark: String { isCorrelated ? ", correlated" : "" }

  /// How many bits of the results are right, `21.3`; `exact` where no error was left, empty where nothing was compared.
  public var bitsText: String { RunReport.bits(effectiveBits) }

  /// The error beside its bound and the bits, `error 3.1e-06 = 0.22 × bound, 21.3 bits right`; empty where nothing was compared.
  public var figuresText: String {
    var parts = errorText.isEmpty ? [] : ["error \(errorText)"]
    // What fails for a value elsewhere is not to be called exact.
    if effectiveBits == .infinity && verdict != .failed { parts.append("exact") }
    if effectiveBits.isFinite { parts.append("\(bitsText) bits right") }
    return parts.joined(separator: ", ")
  }

  /// Why it did not pass, with the figures in brackets.
  public var reasonText: String {
    figuresText.isEmpty ? reason : [reason, "(\(figuresText))"].filter { !$0.isEmpty }.joined(separator: " ")
  }

  /// What *correlated* means.
  public static let correlatedSentence =
    "correlated: the roundings of these data are no independent ones (a plain float32 sum of the same terms comes too near to the "
    + "probabilistic bound), so that the deterministic error_bound_worst decided"

  /// What *mistrusted* means.
  public static let mistrustedSentence =
    "the results are within their bounds, but so would be those of operands rounded to 11 bits, all zeros, or a result without "
    + "one filter tap"
}

extension RunReport {
  /// Effective bits with one decimal; `exact` where they are infinite, `none` where the errors are, empty where there are none.
  public static func bits(_ value: Double) -> String {
    if value.isNaN { return "" }
    guard value.isFinite else { return value > 0 ? "exact" : "none" }
    return String(format: "%.1f", value)
  }

  /// The sentence that explains the word *correlated*; nil where no row has it.
  public var correlatedSentence: String? {
    rows.contains(where: \.verification.isCorrelated) ? Verification.correlatedSentence : nil
  }
}
