import ConvCore
import Testing

@testable import ConvHarness

/// Prices from made-up times.
@Suite struct PriceFitTests {
  /// What a machine costs, in order of distance.
  private static let truth: WorkPrices = {
    var prices = WorkPrices([
      .products: 0.004, .implicitProducts: 0.005, .libraryProducts: 0.0035, .windows: 0.008,
      .transforms: 0.006, .plainTransforms: 0.04, .fourier: 0.4, .spectralProducts: 0.0045,
      .libraryTransforms: 0.7, .modelled: 1.1, .runs: 3, .calls: 40, .libraryCalls: 300,
    ])
    for (index, access) in ConvWork.Access.allCases.enumerated() {
      let (near, shared, far) = access.kinds
      let price = 0.008 + 0.002 * Double(index)
      (prices[near], prices[shared], prices[far]) = (price, 1.5 * price, 3 * price)
    }
    return prices
  }()

  private static let kinds = ConvWork.Kind.allCases

  /// Plans of one kind of work and a little of two others, and the times that they take.
  private func samples(
    _ count: Int, seed: UInt64, kinds: [ConvWork.Kind] = Self.kinds, noise: Double = 0,
    prices: WorkPrices = Self.truth
  ) -> [PriceFit.Sample] {
    var random = PhiloxGenerator(seed: seed)
    return (0..<count).map { index in
      var work = ConvWork()
      let total = [1e4, 1e5, 1e6].randomElement(using: &random)!
      work[kinds[index % kinds.count]] = total / prices[kinds[index % kinds.count]]
      for _ in 0..<2 {
        let kind = kinds.randomElement(using: &random)!
        work[kind] += 0.5 * total * random.uniform() / prices[kind]
      }
      let factor = 1 + noise * (2 * random.uniform() - 1)
      return PriceFit.Sample(work: work, nanoseconds: prices.nanoseconds(work) * factor, item: index)
    }
  }

  /// The truth, each price too high or too low by `factor` in turn.
  private func prior(off factor: Double) -> WorkPrices {
    var prices = Self.truth
    for (index, kind) in Self.kinds.enumerated() {
      prices[kind] *= index % 2 == 0 ? 1 + factor : 1 - factor
    }
    return prices
  }

  private func expectTruth(
    _ fit: PriceFit, within tolerance: Double, _ kinds: [ConvWork.Kind] = Self.kinds, _ text: String = ""
  ) {
    for kind in kinds {
      let ratio = fit.prices[kind] / Self.truth[kind]
      #expect(abs(ratio - 1) <= tolerance, "\(text)\(kind): \(ratio) of the truth")
    }
  }

  /// Every machine is its own: what is measured decides, not what was expected.
  @Test(arguments: [0.0, 0.3]) func knownPricesAreFound(_ error: Double) {
    let fit = PriceFit(samples(400, seed: 1), prior: prior(off: error))
    // By design the prior draws: by less than a third of what it is off.
    expectTruth(fit, within: error == 0 ? 1e-3 : 0.09)
    #expect(fit.ratios.count == 400 && fit.ratios.allSatisfy { abs($0 - 1) < 0.09 })
  }

  /// A machine of another speed: the prior's proportions, at that speed.
  @Test func aFasterMachineIsTheSameInProportion() {
    var faster = Self.truth
    for kind in Self.kinds { faster[kind] *= 0.4 }
    let fit = PriceFit(samples(300, seed: 2), prior: faster)
    expectTruth(fit, within: 1e-3)
  }

  @Test func noiseIsAveraged() {
    let fit = PriceFit(samples(2000, seed: 3, noise: 0.1), prior: prior(off: 0.1))
    expectTruth(fit, within: 0.06)
  }

  /// One moment of a machine is twenty times as slow, another is lost.
  @Test(arguments: [20, 1 / 20.0]) func outliersDoNotMoveIt(_ factor: Double) {
    var some = samples(400, seed: 4)
    let plain = PriceFit(some, prior: prior(off: 0.1))
    some[17].nanoseconds *= factor
    let fit = PriceFit(some, prior: prior(off: 0.1))
    for kind in Self.kinds {
      let ratio = fit.prices[kind] / plain.prices[kind]
      #expect(abs(ratio - 1) <= 0.08, "\(kind): \(ratio)")
    }
    #expect(abs(fit.ratios[17] - 1 / factor) < 0.1 / factor)
  }

  /// What a machine was not asked costs what it costs elsewhere, at this machine's speed.
  @Test func unmeasuredKindsFollowThePrior() {
    let measured: [ConvWork.Kind] = [.products, .moved, .calls, .transforms]
    var slower = Self.truth
    for kind in Self.kinds { slower[kind] *= 2.5 }
    let fit = PriceFit(samples(200, seed: 5, kinds: measured, prices: slower), prior: Self.truth)
    for kind in Self.kinds {
      let ratio = fit.prices[kind] / (2.5 * Self.truth[kind])
      #expect(abs(ratio - 1) < 2e-3, "\(kind): \(ratio)")
    }
    // Without any sample it is the prior.
    let none = PriceFit([], prior: Self.truth)
    expectTruth(none, within: 5e-4)
    #expect(none.ratios.isEmpty)
  }

  /// Prices are not negative and do not fall with the distance, whatever the times say.
  @Test func pricesStayInOrder() {
    for seed in 10..<UInt64(20) {
      var random = PhiloxGenerator(seed: seed, stream: 1)
      var wild = samples(60, seed: seed)
      for i in wild.indices { wild[i].nanoseconds *= 0.05 + 4 * random.uniform() }
      let fit = PriceFit(wild, prior: Self.truth)
      for kind in Self.kinds { #expect(fit.prices[kind] >= 0 && fit.prices[kind].isFinite, "seed \(seed)") }
      for access in ConvWork.Access.allCases {
        let (near, shared, far) = access.kinds
        let text: Comment = "\(access), seed \(seed)"
        // Each is rounded by itself.
        #expect(fit.prices[near] <= fit.prices[shared] * 1.001, text)
        #expect(fit.prices[shared] <= fit.prices[far] * 1.001, text)
      }
    }
    // Far bytes that cost nothing more than near ones.
    var flat = Self.truth
    flat[.movedShared] = flat[.moved]
    flat[.movedFar] = flat[.moved]
    let fit = PriceFit(samples(300, seed: 6, prices: flat), prior: Self.truth)
    #expect(abs(fit.prices[.movedFar] / flat[.moved] - 1) < 0.03, "\(fit.prices[.movedFar])")
  }

  /// Times that are none count for nothing, and each sample has its ratio.
  @Test func timesThatAreNoneAreLeftOut() {
    let good = samples(200, seed: 7)
    let fit = PriceFit(good, prior: prior(off: 0.2))
    var mixed: [PriceFit.Sample] = []
    for (index, sample) in good.enumerated() {
      mixed.append(sample)
      if index % 40 == 0 {
        var bad = sample
        bad.nanoseconds = [.nan, .infinity, 0, -3, -.infinity][index / 40]
        mixed.append(bad)
      }
    }
    let same = PriceFit(mixed, prior: prior(off: 0.2))
    #expect(same.prices == fit.prices && same.ratios.count == mixed.count)
    #expect(same.ratios.filter(\.isFinite).count >= good.count)
    #expect(same.ratios[0] == fit.ratios[0] && same.ratios[2] == fit.ratios[1])
    #expect(PriceFit(Array(mixed[1...1]), prior: Self.truth).prices == PriceFit([], prior: Self.truth).prices)
  }

  /// The fastest way to do an operation says more than the ones that nobody takes.
  @Test func theFastestCountsMost() {
    // The model cannot be right for both: the same work, at one and at six times the price.
    func price(slowIsRival: Bool) -> Double {
      var some: [PriceFit.Sample] = []
      for item in 0..<60 {
        let work = ConvWork([.products: 1e6])
        some.append(PriceFit.Sample(work: work, nanoseconds: 4000, item: item))
        some.append(
          PriceFit.Sample(work: work, nanoseconds: 24000, item: slowIsRival ? item : 1000 + item))
      }
      return PriceFit(some, prior: WorkPrices([.products: 0.01])).prices[.products]
    }
    #expect(abs(price(slowIsRival: true) / 0.004 - 1) < 0.1, "\(price(slowIsRival: true))")
    #expect(price(slowIsRival: true) < price(slowIsRival: false))
  }

  /// Four digits, so that a profile's text says all of it.
  @Test func pricesHaveFourDigits() {
    for kind in Self.kinds {
      let price = PriceFit(samples(300, seed: 8, noise: 0.1), prior: Self.truth).prices[kind]
      var digits = "\(price)".filter(\.isNumber).drop { $0 == "0" }
      if let exponent = "\(price)".firstIndex(of: "e") {
        digits = "\(price)"[..<exponent].filter(\.isNumber).drop { $0 == "0" }
      }
      while digits.last == "0" { digits.removeLast() }
      #expect(digits.count <= 4, "\(kind): \(price)")
    }
  }
}
