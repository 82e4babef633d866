import ConvCore
import Testing

@testable import ConvWinograd

/// The construction in exact arithmetic: no tolerance anywhere.
@Suite struct ToomCookTests {
  /// Aᵀ[(G g) ⊙ (Bᵀ d)].
  private func apply(_ t: ToomCook, _ d: [Rational], _ g: [Rational]) throws -> [Rational] {
    func dot(_ row: [Rational], _ column: [Rational]) throws -> Rational {
      try zip(row, column).reduce(Rational.zero) { try $0 + $1.0 * $1.1 }
    }
    let products = try zip(t.bt, t.g).map { try dot($0, d) * dot($1, g) }
    return try t.at.map { try dot($0, products) }
  }

  private func expectIdentity(_ t: ToomCook, seed: UInt64) throws {
    // Bilinear on both sides: unit vectors are enough for a proof, one dense pair guards against a test that is wrong.
    func unit(_ i: Int, _ n: Int) -> [Rational] { (0..<n).map { $0 == i ? .one : .zero } }
    var random = PhiloxGenerator(seed: seed)
    func dense(_ n: Int) throws -> [Rational] {
      try (0..<n).map { _ in
        try Rational(
          Int128(Int.random(in: -9...9, using: &random)), over: Int128(Int.random(in: 1...9, using: &random)))
      }
    }
    var pairs = (0..<t.tile).flatMap { i in (0..<t.r).map { (unit(i, t.tile), unit($0, t.r)) } }
    pairs.append((try dense(t.tile), try dense(t.r)))
    for (d, g) in pairs {
      let expected = try (0..<t.m).map { i in
        try (0..<t.r).reduce(Rational.zero) { try $0 + d[i + $1] * g[$1] }
      }
      let found = try apply(t, d, g)
      #expect(found == expected, "F(\(t.m), \(t.r)) points \(t.points) d \(d) g \(g) seed \(seed)")
    }
  }

  @Test("every offered F(m, r) is the correlation, exactly")
  func identity() throws {
    for r in 1...5 {
      for m in 1...6 where m + r - 1 <= 8 {
        let t = try ToomCook(m: m, r: r, magnitudes: ToomCook.defaultMagnitudes(tile: m + r - 1))
        try expectIdentity(t, seed: UInt64(m * 100 + r))
      }
    }
  }

  @Test("other points give the correlation too")
  func otherPoints() throws {
    let sets: [[(Int128, Int128)]] = [
      [(1, 1), (2, 1)], [(1, 2), (3, 2)], [(2, 3), (3, 2)], [(7, 10), (13, 8)],
    ]
    for set in sets {
      let magnitudes = try set.map { try Rational($0.0, over: $0.1) }
      for (m, r) in [(4, 3), (3, 4), (2, 5), (5, 2)] {
        try expectIdentity(ToomCook(m: m, r: r, magnitudes: magnitudes), seed: 7)
      }
    }
    let asymmetric = [0, 1, -1, 2, -3, 4].map { Rational($0) }
    try expectIdentity(ToomCook(m: 5, r: 3, points: asymmetric), seed: 8)
  }

  @Test("F(2, 3) is the matrix of Lavin & Gray, up to signs that cancel")
  func lavinGray() throws {
    let half = try Rational(1, over: 2)
    let t = try ToomCook(m: 2, r: 3, magnitudes: [.one])
    let (o, i) = (Rational.zero, Rational.one)
    #expect(t.at == [[i, i, i, o], [o, i, -i, i]])
    #expect(t.g == [[i, o, o], [half, half, half], [-half, half, -half], [o, o, i]])
    #expect(t.bt == [[i, o, -i, o], [o, i, i, o], [o, i, -i, o], [o, -i, o, i]])
  }

  @Test("with dyadic points only G rounds")
  func dyadic() throws {
    for (m, r) in [(4, 3), (3, 4), (2, 5), (6, 3), (4, 5)] {
      let t = try ToomCook(m: m, r: r, magnitudes: ToomCook.defaultMagnitudes(tile: m + r - 1))
      for row in t.at + t.bt {
        for value in row {
          #expect(
            value.isDyadic && Double(Float(value.doubleValue)) == value.doubleValue, "F(\(m), \(r)) \(value)")
        }
      }
    }
  }

  @Test("coinciding points and overflows are errors, not crashes")
  func refusals() throws {
    #expect(throws: RationalError.divisionByZero) { try ToomCook(m: 4, r: 3, magnitudes: [.one, .one]) }
    #expect(throws: RationalError.divisionByZero) { try Rational(1, over: 0) }
    let huge = try Rational(Int128.max, over: 3)
    #expect(throws: RationalError.overflow) { try huge * huge }
    #expect(throws: RationalError.overflow) { try Rational(.max, over: 1) + .one }
    #expect(throws: RationalError.overflow) { try Rational(.min, over: 1) }
  }
}
