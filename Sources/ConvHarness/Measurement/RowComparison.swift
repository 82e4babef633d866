import ConvCore

extension ResultRow {
  /// Seconds per execution by round.
  var samplesByRound: [Int: Double] { Dictionary(uniqueKeysWithValues: zip(rounds, seconds)) }

  /// Compares the rows of one item with the baseline and with the fastest of them, by the rounds that both took part in.
  static func compare(_ rows: inout [ResultRow], baseline: String, seed: UInt64, resamples: Int = 2000) {
    let measured = rows.indices.filter { !rows[$0].seconds.isEmpty }
    guard let best = measured.min(by: { rows[$0].medianMilliseconds < rows[$1].medianMilliseconds }) else {
      return
    }
    let reference = measured.first { rows[$0].backend == baseline }
    let label = rows[best].backend
    for index in measured {
      if let reference {
        let (other, own) = paired(rows[reference], rows[index])
        rows[index].speedup =
          index == reference
          ? .ofBaseline : Speedup(baseline: other, own: own, seed: seed, resamples: resamples)
      }
      let (other, own) = paired(rows[best], rows[index])
      rows[index].best =
        index == best
        ? .ofBest(label)
        : BestComparison(backend: label, best: other, own: own, seed: seed, resamples: resamples)
    }
  }

  /// The samples of two rows in the rounds that both took part in.
  static func paired(_ first: ResultRow, _ second: ResultRow) -> ([Double], [Double]) {
    let (a, b) = (first.samplesByRound, second.samplesByRound)
    let rounds = a.keys.filter { b[$0] != nil }.sorted()
    return (rounds.map { a[$0]! }, rounds.map { b[$0]! })
  }
}
