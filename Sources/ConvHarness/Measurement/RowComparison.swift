import ConvCore

extension ResultRow {
  /// Seconds per execution by round.
  var samplesByRound: [Int: Double] { Dictionary(uniqueKeysWithValues: zip(rounds, seconds)) }

  /// Whether another row was computed by the very same plan.
  func hasPlan(of other: ResultRow) -> Bool {
    !executedBy.isEmpty && (executedBy, variant) == (other.executedBy, other.variant)
  }

  /// Compares the rows of one item with the baseline and with the fastest engine, by the rounds that both took part in. Where only
  /// choosers have times there is no fastest engine.
  static func compare(_ rows: inout [ResultRow], baseline: String, seed: UInt64, resamples: Int = 2000) {
    let measured = rows.indices.filter { !rows[$0].seconds.isEmpty }
    let best = measured.filter { rows[$0].role == .engine }
      .min { rows[$0].medianMilliseconds < rows[$1].medianMilliseconds }
    let reference = measured.first { rows[$0].backend == baseline }
    for index in measured {
      if let reference {
        let (other, own) = paired(rows[reference], rows[index])
        rows[index].speedup =
          index == reference
          ? .ofBaseline : Speedup(baseline: other, own: own, seed: seed, resamples: resamples)
      }
      rows[index].best = best.map {
        rows[index].comparison(withBest: rows[$0], seed: seed, resamples: resamples)
      }
    }
  }

  private func comparison(withBest best: ResultRow, seed: UInt64, resamples: Int) -> BestComparison {
    if backend == best.backend { return .ofBest(backend) }
    let (other, own) = ResultRow.paired(best, self)
    var comparison = BestComparison(
      backend: best.backend, best: other, own: own, seed: seed, resamples: resamples)
    if role == .chooser && hasPlan(of: best) { comparison.verdict = .samePlan }
    return comparison
  }

  /// The samples of two rows in the rounds that both took part in.
  static func paired(_ first: ResultRow, _ second: ResultRow) -> ([Double], [Double]) {
    let (a, b) = (first.samplesByRound, second.samplesByRound)
    let rounds = a.keys.filter { b[$0] != nil }.sorted()
    return (rounds.map { a[$0]! }, rounds.map { b[$0]! })
  }
}
