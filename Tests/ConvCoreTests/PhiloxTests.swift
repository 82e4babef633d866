import ConvCore
import Testing

@Suite struct PhiloxTests {
  /// Random123's known-answer vectors for philox4x32-10: counter, key, result.
  @Test(
    arguments: [
      ([0, 0, 0, 0], [0, 0], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
      (
        [.max, .max, .max, .max], [.max, .max], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
      ),
      (
        [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0],
        [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
      ),
    ] as [([UInt32], [UInt32], [UInt32])])
  func knownAnswers(_ counter: [UInt32], _ key: [UInt32], _ expected: [UInt32]) {
    let result = Philox.block(counter: SIMD4(counter), key: SIMD2(key))
    #expect((0..<4).map { result[$0] } == expected)
  }

  @Test func indicesCountWordsOfBlocks() {
    let philox = Philox(seed: 0x1234_5678_9abc_def0, stream: 7)
    let index = (UInt64(3) << 34) + 4 * 5 + 2
    let block = Philox.block(counter: SIMD4(5, 3, 7, 0), key: SIMD2(0x9abc_def0, 0x1234_5678))
    #expect(philox.word(at: index) == block[2])
    #expect(philox.uniform(at: index) == Double(block[2] >> 8) / 16_777_216)
    var generator = PhiloxGenerator(seed: philox.seed, stream: 7, position: index)
    for offset in 0..<20 as Range<UInt64> {
      #expect(generator.nextWord() == philox.word(at: index + offset), "offset \(offset)")
    }
    #expect(generator.position == index + 20)
    var pairs = PhiloxGenerator(seed: 9)
    let reference = Philox(seed: 9)
    #expect(pairs.next() == UInt64(reference.word(at: 1)) << 32 | UInt64(reference.word(at: 0)))
  }

  @Test func distributions() {
    let philox = Philox(seed: 42, stream: 3)
    let count = 20_000
    var (sum, normalSum, squares, fourth) = (0.0, 0.0, 0.0, 0.0)
    for index in 0..<UInt64(count) {
      let u = philox.uniform(at: index)
      if !(0..<1).contains(u) { Issue.record("uniform(at: \(index)) is \(u)") }
      sum += u
      let z = philox.normal(at: index)
      normalSum += z
      squares += z * z
      fourth += z * z * z * z
    }
    let n = Double(count)
    // Five standard deviations of each mean (seed 42, stream 3).
    #expect(abs(sum / n - 0.5) < 5 * 0.2887 / n.squareRoot(), "\(sum / n)")
    #expect(abs(normalSum / n) < 5 / n.squareRoot(), "\(normalSum / n)")
    #expect(abs(squares / n - 1) < 5 * 1.414 / n.squareRoot(), "\(squares / n)")
    #expect(abs(fourth / n - 3) < 5 * 9.8 / n.squareRoot(), "\(fourth / n)")
  }
}
