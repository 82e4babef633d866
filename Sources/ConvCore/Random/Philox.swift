import Foundation

/// Philox4x32-10: random numbers as a pure function of seed, stream and index.
///
/// Equal on every machine and in every language, so that initial weights and test data are defined by three
/// numbers instead of being stored. Salmon, Moraes, Dror, Shaw: *Parallel random numbers: as easy as 1, 2, 3*
/// (SC 2011). Key = (seed low, seed high), counter = (block low, block high, stream, 0), block = index / 4; word
/// index mod 4 of the block is the result.
@frozen
public struct Philox: Sendable, Hashable {
  /// The key.
  public let seed: UInt64
  /// Which of the 2³² independent sequences of the seed; a tensor's index, for initial weights.
  public let stream: UInt32

  /// The sequence number `stream` of `seed`.
  @inlinable
  public init(seed: UInt64, stream: UInt32 = 0) {
    self.seed = seed
    self.stream = stream
  }

  /// The bijection itself: ten rounds on `counter` with `key`.
  @inlinable
  public static func block(counter: SIMD4<UInt32>, key: SIMD2<UInt32>) -> SIMD4<UInt32> {
    var (c0, c1, c2, c3) = (counter[0], counter[1], counter[2], counter[3])
    var (k0, k1) = (key[0], key[1])
    for round in 0..<10 {
      if round > 0 {
        k0 &+= 0x9E37_79B9
        k1 &+= 0xBB67_AE85
      }
      let p0 = 0xD251_1F53 as UInt64 * UInt64(c0)
      let p1 = 0xCD9E_8D57 as UInt64 * UInt64(c2)
      c0 = UInt32(truncatingIfNeeded: p1 >> 32) ^ c1 ^ k0
      c2 = UInt32(truncatingIfNeeded: p0 >> 32) ^ c3 ^ k1
      c1 = UInt32(truncatingIfNeeded: p1)
      c3 = UInt32(truncatingIfNeeded: p0)
    }
    return SIMD4(c0, c1, c2, c3)
  }

  /// Words 4 · `index` to 4 · `index` + 3 of the sequence.
  @inlinable
  public func block(at index: UInt64) -> SIMD4<UInt32> {
    Philox.block(
      counter: SIMD4(UInt32(truncatingIfNeeded: index), UInt32(truncatingIfNeeded: index >> 32), stream, 0),
      key: SIMD2(UInt32(truncatingIfNeeded: seed), UInt32(truncatingIfNeeded: seed >> 32)))
  }

  /// Word `index` of the sequence, uniform on all 32 bits.
  @inlinable
  public func word(at index: UInt64) -> UInt32 { block(at: index / 4)[Int(index % 4)] }

  /// Number `index` of the uniform sequence: (word >> 8) · 2⁻²⁴, in [0, 1), exact in float32.
  @inlinable
  public func uniform(at index: UInt64) -> Double { Philox.uniform(word(at: index)) }

  /// A word as a number in [0, 1): its upper 24 bits times 2⁻²⁴.
  @inlinable
  public static func uniform(_ word: UInt32) -> Double { Double(word >> 8) * 0x1p-24 }

  /// Number `index` of the standard normal sequence, in float64.
  ///
  /// Box–Muller on words 2 · index and 2 · index + 1: √(−2 ln u) · cos(2πv) with u = ((word >> 8) + 1) · 2⁻²⁴ in
  /// (0, 1] and v = (word >> 8) · 2⁻²⁴. The last bit depends on the platform's logarithm and cosine.
  public func normal(at index: UInt64) -> Double {
    let words = block(at: index / 2)
    let first = Int(index % 2) * 2
    let u = Double((words[first] >> 8) + 1) * 0x1p-24
    return (-2 * log(u)).squareRoot() * cos(2 * .pi * Philox.uniform(words[first + 1]))
  }
}

/// The words of a `Philox` sequence one after the other, for whatever takes a `RandomNumberGenerator`.
///
/// A 64-bit number is made of two words, the first one its lower half.
@frozen
public struct PhiloxGenerator: RandomNumberGenerator, Sendable {
  /// The sequence.
  public let philox: Philox
  /// Index of the next word.
  public private(set) var position: UInt64
  @usableFromInline var words: SIMD4<UInt32>

  /// The words of sequence `stream` of `seed`, from word `position` on.
  public init(seed: UInt64, stream: UInt32 = 0, position: UInt64 = 0) {
    philox = Philox(seed: seed, stream: stream)
    self.position = position
    words = philox.block(at: position / 4)
  }

  /// The next word.
  public mutating func nextWord() -> UInt32 {
    if position % 4 == 0 { words = philox.block(at: position / 4) }
    defer { position &+= 1 }
    return words[Int(position % 4)]
  }

  /// The next two words as one number.
  public mutating func next() -> UInt64 {
    let low = nextWord()
    return UInt64(nextWord()) << 32 | UInt64(low)
  }

  /// The next word as a number in [0, 1): see `Philox.uniform(at:)`.
  public mutating func uniform() -> Double { Philox.uniform(nextWord()) }
}
