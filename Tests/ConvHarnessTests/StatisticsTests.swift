import ConvCore
import ConvHarness
import Testing

@Suite struct StatisticsTests {
  @Test func quantilesInterpolateBetweenOrderStatistics() {
    #expect(Statistics.median([3, 1, 2]) == 2)
    #expect(Statistics.median([4, 1, 3, 2]) == 2.5)
    #expect(Statistics.quantile([10, 0], 0.25) == 2.5)
    #expect(Statistics.quantile([5, 7, 6], 0) == 5)
    #expect(Statistics.quantile([5, 7, 6], 1) == 7)
    #expect(Statistics.median([]).isNaN)
  }

  @Test func intervalsOfFewValuesAreWide() {
    let few = Statistics.medianInterval([3, 9, 1, 4, 5], seed: 1)
    #expect(few.low == 1 && few.high > 9 && few.high < 10)
    // Student's interval: e^(ln 2 ± 12.706 · ln(2.2 / 2) / 2) about the geometric mean.
    let two = Statistics.medianInterval([2, 2.2], seed: 1)
    #expect(abs(two.low - 1.144876) < 1e-4 && abs(two.high - 3.843210) < 1e-4, "\(two)")
    #expect(Statistics.medianInterval([7], seed: 1) == (7, 7))
    #expect(Statistics.medianInterval([], seed: 1).low.isNaN)
  }

  /// The distribution-free interval of a median lies between order statistics: of 101 values those of ranks 41 and 61
  /// (binomial, 95 %). The bootstrap has to agree to a few ranks.
  @Test func intervalsOfManyValuesAreThoseOfTheBinomial() {
    var random = PhiloxGenerator(seed: 8)
    let values = (0..<101).map(Double.init).shuffled(using: &random)
    for seed in UInt64(1)...5 {
      let interval = Statistics.medianInterval(values, seed: seed)
      #expect((36...44).contains(interval.low), "seed \(seed): \(interval)")
      #expect((56...64).contains(interval.high), "seed \(seed): \(interval)")
      #expect(interval == Statistics.medianInterval(values, seed: seed), "seed \(seed): not repeatable")
    }
  }

  @Test func verdictsNeedAnIntervalAndTwoPercent() {
    func verdict(_ ratios: [Double]) -> Speedup.Verdict {
      Speedup(baseline: ratios, own: ratios.map { _ in 1 }, seed: 3).verdict
    }
    let steady = (0..<20).map { Double($0) * 1e-4 }
    #expect(verdict(steady.map { 1.5 + $0 }) == .faster)
    #expect(verdict(steady.map { 0.6 + $0 }) == .slower)
    // Certain, but not worth a word.
    #expect(verdict(steady.map { 1.01 + $0 }) == .indistinguishable)
    #expect(verdict(steady.map { 0.985 + $0 }) == .indistinguishable)
    // Large, but not certain.
    #expect(verdict([0.5, 3, 0.6, 2.5, 0.7, 2, 0.8, 1.9]) == .indistinguishable)
    #expect(verdict([2]) == .unknown)
    // Rounds are compared in pairs: a slow round is slow for both.
    let rounds = Speedup(baseline: [10, 20, 40, 80, 10, 20], own: [5, 10, 20, 40, 5, 10], seed: 3)
    #expect(rounds.ratio == 2 && rounds.low == 2 && rounds.high == 2)
    #expect(Speedup.ofBaseline.verdict == .baseline)
  }
}
