import ConvCore
import Foundation
import TestBounds
import Testing

/// The bounds that judge layers and optimizers, against enumeration and simulation.
@Suite struct RoundingTapeTests {
  private static let u = 0x1p-24

  private func tape() -> RoundingTape { RoundingTape(unitRoundoff: Self.u) }

  /// Σ of the squared partial sums, on average over all orders of the terms.
  private func averageSquares(_ terms: [Double]) -> Double {
    func total(_ rest: [Double], _ sum: Double, _ isFirst: Bool) -> (Double, Int) {
      if rest.isEmpty { return (0, 1) }
      return rest.indices.reduce((0, 0)) { result, i in
        var others = rest
        let next = sum + others.remove(at: i)
        let (squares, orders) = total(others, next, false)
        return (result.0 + squares + (isFirst ? 0 : next * next * Double(orders)), result.1 + orders)
      }
    }
    let (squares, orders) = total(terms, 0, true)
    return squares / Double(orders)
  }

  /// Its numbers hold it, and it must not hold them: a test of a large layer has a tape of 100 MB.
  @Test func aTapeEndsWithItsNumbers() {
    weak var tape: RoundingTape?
    do {
      let its = self.tape()
      tape = its
      let y = its.sum(its.exact([1, 2])).clamped()
      #expect(its.decisions.map(\.value) == [3] && y.value == 3)
    }
    #expect(tape == nil)
  }

  @Test func aSumCountsItsPartialSumsOnAverageOverTheOrders() {
    // In this order all partial sums are small, so that the average counts.
    let terms = [0.5, -0.5, 3, -2.75, 1.5, -1.25]
    let tape = tape()
    let expected = Self.u * averageSquares(terms).squareRoot()
    let found = tape.bound(of: tape.sum(tape.exact(terms)), lambda: 1)
    #expect(abs(found / expected - 1) < 16 * 0x1p-52, "\(found), \(expected)")
    // Growing partial sums are more than the average: here the order of the formula counts, and the products besides.
    let growing = [1.0, 3, 5, 7]
    let sums = tape.bound(of: tape.sum(products: growing.map { (tape.exact($0), tape.exact(3)) }), lambda: 1)
    let squares = growing.map { $0 * 3 }.reduce(0) { $0 + $1 * $1 }
    let ordered = 12.0 * 12 + 27 * 27 + 48 * 48
    #expect(sums >= Self.u * (ordered + squares).squareRoot() * (1 - 16 * 0x1p-52))
  }

  @Test func whatIsExactHasNoBound() {
    let tape = tape()
    let (x, zero) = (tape.exact(0.7), tape.exact(0))
    for y in [
      x * tape.exact(0.25), x / tape.exact(8), x + zero, zero - x, -x, tape.sum([x, zero]), x * zero,
    ] {
      #expect(tape.bound(of: y, lambda: 5) == 0, "\(y.value)")
    }
    #expect(tape.bound(of: x * tape.exact(0.3), lambda: 5) == Self.u * 0.7 * 0.3)
    // A subnormal number's rounding is that of the least normal one.
    #expect(tape.bound(of: tape.stored(1e-44), lambda: 5) == Self.u * 0x1p-126)
  }

  /// The error of a mean is shared: of y − mean·1 it counts once, and in (y − mean) + mean not at all.
  @Test func sharedErrorsCancel() {
    let tape = tape()
    let mean = tape.exact(1) / tape.exact(3)
    let error = tape.bound(of: mean, lambda: 5)
    let back = (tape.exact(2) - mean) + mean
    // Two roundings are left, of 5/3 and of 2.
    #expect(abs(tape.bound(of: back, lambda: 5) / (Self.u * (5.0 / 3 + 2)) - 1) < 16 * 0x1p-52)
    #expect(error == Self.u * mean.value)
  }

  /// Float32 chains of random terms in random order keep the bound and come near it.
  @Test(arguments: [3, 10, 100, 1000]) func honestSumsKeepTheBound(_ count: Int) {
    let (trials, random) = (400, Philox(seed: 14, stream: UInt32(count)))
    let lambda = (2 * log(2 * Double(trials) / RoundingBounds.missProbability)).squareRoot()
    var worst = 0.0
    for trial in 0..<trials {
      let start = UInt64(trial * count)
      let x = (0..<count).map { Float(random.normal(at: start + UInt64($0))) }
      let tape = tape()
      let exact = tape.sum(tape.exact(x.map { Double($0) }))
      let found = x.reduce(0, +)
      worst = max(worst, abs(Double(found) - exact.value) / tape.bound(of: exact, lambda: lambda))
    }
    #expect((0.2...1).contains(worst), "\(worst)")
  }

  @Test func eachBoundIsTheSmallerOne() {
    // One rounding can err by u·|y| at most, however large λ is; many by λ times the root of their squares.
    let tape = tape()
    let one = tape.exact(0.3) + tape.exact(0.4)
    #expect(tape.bound(of: one, lambda: 6) == Self.u * one.value)
    let many = (0..<100).reduce(tape.exact(0.1)) { x, _ in x * tape.exact(0.99) }
    let root = Self.u * many.value * 10
    #expect(abs(tape.bound(of: many, lambda: 6) / (6 * root) - 1) < 1e3 * 0x1p-52)
    #expect(abs(tape.bound(of: many, lambda: 60) / (10 * root) - 1) < 1e3 * 0x1p-52)
  }
}
