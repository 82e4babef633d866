import ConvBackends
import ConvHarness

/// What `vbench tune` takes from the rows of one item.
struct TunedChoice {
  /// The best row, and the best of those that are another plan than it.
  let best: ResultRow
  let next: ResultRow?
  /// As the plan file has it.
  let choice: ConvPlanFile.Choice

  /// The choice among the rows of `candidates`; nil where none of them may be taken.
  init?(_ rows: [ResultRow], of candidates: [Competitor], maxError: Double?) {
    guard let best = Tuning.choose(rows, maxError: maxError),
      let candidate = candidates.first(where: { $0.label == best.backend })
    else { return nil }
    self.best = best
    // Two candidates may make one plan: a copy of an engine, or an engine and the variant that it chooses by itself.
    next = Tuning.choose(
      rows.filter { ($0.variant, $0.executedBy) != (best.variant, best.executedBy) }, maxError: maxError)
    // The label of a copy, as in `im2col#2`, is no name of an engine.
    choice = ConvPlanFile.Choice(
      backend: candidate.selection, medianMilliseconds: best.medianMilliseconds,
      relativeError: best.relativeError)
  }
}
