import ConvCore
import Foundation

extension RunReport {
  /// Quotients with bounds, in two significant digits; empty where there is none.
  public static func quotient(_ value: Double?) -> String {
    guard let value, !value.isNaN else { return "" }
    return String(format: "%.2g", value)
  }

  /// What the bounds are and what verdicts mean, by paragraphs.
  var boundText: [String] {
    // Effective bits are as old as the bounds of squares: a report that is remade says what decided when it was measured.
    rows.contains { !$0.verification.effectiveBits.isNaN }
      ? RunReport.boundsOfSquares : RunReport.boundsOfTerms
  }

  private static let boundsOfSquares = [
    "The bound that decides is probabilistic: λ·u·√V. V is the sum, over all roundings of a computation of the engine's kind, of "
      + "(sensitivity of the result × rounded value)², from the row's own operands; u is the unit roundoff; λ = √(2·ln(2N/p)) for "
      + "the N looked-at results of a row. p = 10⁻³ is nominal: if roundings are independent of each other, at most one right row of "
      + "a thousand exceeds its bound.",
    "error_bound_worst is deterministic: no right computation exceeds it, whatever its roundings. It informs; where a row is "
      + "correlated it decides. \(sentence(Verification.correlatedSentence))",
    "Mistrusted: \(Verification.mistrustedSentence). Such data cannot tell float32 from less; the row counts as not passed.",
  ]

  /// Of runs without effective bits.
  private static let boundsOfTerms = [
    "The bound that decided when this run was measured is probabilistic, λ√k·u with λ = 4, times sums of absolute values "
      + "(runs from before effective_bits); the worst case (k·u) stands beside it in error_bound_worst."
  ]

  /// What stands behind the verdicts of the layers: norms of the errors per engine, and what sampling may have missed.
  var verificationNotes: Markdown {
    let compared = rows.filter { $0.verification.norms != nil }
    guard !compared.isEmpty else { return "" }
    var text: Markdown = "## Verification\n\n"
    text +=
      "Largest figures of each engine over all layers: the error that came nearest to its bound; component-wise relative"
    text +=
      " to Σ\\|x·w\\|; in the 2-norm, relative to the result's; units in the last place at the 99th percentile.\n\n"
    text += boundText.map { "\($0)\n\n" as Markdown }.joined()
    text +=
      "| backend | data | error | rel. to terms | rel. 2-norm | ULP, 99 % |\n|---|---|---:|---:|---:|---:|\n"
    for backend in unique(compared.map(\.backend)) {
      let own = compared.filter { $0.backend == backend }
      guard let worst = own.max(by: { $0.verification.errorRatio < $1.verification.errorRatio }) else {
        continue
      }
      func largest(_ figure: (ErrorNorms) -> Double) -> Double? {
        own.compactMap { $0.verification.norms.map(figure) }.filter { !$0.isNaN }.max()
      }
      let cells = [
        backend, unique(own.map(\.distribution.rawValue)).joined(separator: ", "),
        worst.verification.errorText,
        largest(\.relativeToTerms).map(RunReport.scientific) ?? "",
        largest(\.relativeL2).map(RunReport.scientific) ?? "",
        RunReport.short(largest(\.ulp99)),
      ]
      text += Markdown.row(cells)
    }
    return text + "\n" + sampling(compared) + "\n"
  }

  private func sampling(_ compared: [ResultRow]) -> Markdown {
    let coverages = compared.compactMap(\.verification.coverage)
    let partial = coverages.filter { !$0.isWhole }
    if partial.isEmpty { return "Every result of every row was looked at.\n" }
    let summed = compared.filter {
      $0.verification.coverage?.isWhole == false && !$0.verification.projectionRatio.isNaN
    }
    func range(_ figure: (SampleCoverage) -> Double) -> String {
      let values = partial.map(figure)
      let (low, high) = (values.min() ?? 0, values.max() ?? 0)
      let text = low == high ? [low] : [low, high]
      return text.map { RunReport.short($0) }.joined(separator: " to ")
    }
    var text: Markdown =
      "\(coverages.count - partial.count) of \(coverages.count) rows were looked at whole; of the others a stratified sample "
      + "was"
    if let largest = summed.map(\.verification.projectionRatio).max() {
      text += summed.count == partial.count ? "" : ", and of \(summed.count) of them"
      text +=
        ", and sums over the channels of all results with random signs were compared (Freivalds' check), the largest deviation "
        + "\(RunReport.quotient(largest)) × bound"
    }
    return text
      + ". There a defect at a random place goes unseen with a probability of \(range(\.scattered)) if it touches 1 % of the "
      + "results, \(range(\.tile)) if it is one 4×4 tile of one image in all channels, \(range(\.channel)) if it is one channel. "
      + "(A result that is not written is always seen: outputs begin as NaN, and all of them are searched for it.)\n"
  }

  private func unique(_ texts: [String]) -> [String] {
    var seen = Set<String>()
    return texts.filter { seen.insert($0).inserted }
  }
}
