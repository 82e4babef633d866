import Foundation
import Testing

@testable import ConvHarness

/// Envelopes between levels.
@Suite struct EnvelopeTests {
  @Test func chordsLieAbovePowers() throws {
    let levels = [4096, 1, 16, 256]
    for powers in [[(2.0, 1.0)], [(3e-3, 1.0), (2e-6, 2.0)], [(1e-2, 0.5), (1e-3, 1.0)], [(5.0, 0.5)]] {
      func envelope(_ kappa: Double) -> Double { powers.reduce(0) { $0 + $1.0 * pow(kappa, $1.1) } }
      for kappa in [1.0, 1.5, 7, 16, 17, 100, 255.9, 256, 3000, 4096] {
        let scale = try #require(EnvelopeScale(kappa, levels: levels))
        let found = scale.envelope { [envelope(Double($0))] }[0]
        let exact = envelope(kappa)
        #expect(found >= exact * (1 - 1e-12), "\(powers) at \(kappa)")
        #expect(found <= exact * (powers.count == 1 ? 1 + 1e-12 : 2), "\(powers) at \(kappa)")
      }
    }
  }

  @Test func endsAndZeros() throws {
    #expect(EnvelopeScale(4097, levels: [1, 4096]) == nil)
    let low = try #require(EnvelopeScale(0.5, levels: [1, 16]))
    #expect(low.lower == 1 && low.upper == 1 && low.envelope { [Double($0)] } == [1])
    let middle = try #require(EnvelopeScale(4, levels: [1, 16]))
    #expect(middle.envelope { $0 == 1 ? [0, 2] : [8, 8] } == [8, 4])
  }
}
