import Testing

@testable import ConvCore

/// Chains of multiply-adds and passes over arrays, on every instruction set that this CPU has.
@Suite struct LimitKernelTests {
  /// Every chain against its closed form: the distance to the fixed point 1 shrinks by the factor in each
  /// step. A step rounds once or twice, and what it rounds shrinks too, so that errors never exceed 1 /
  /// summand of them.
  @Test(arguments: InstructionSet.available, [0, 1, 2, 7, 100, 12345])
  func chainsFollowTheirRecurrence(_ set: InstructionSet, _ iterations: Int) throws {
    let kernels = try LimitKernels(instructionSet: set)
    let values = kernels.flopsPerIteration / 2
    // At least 10 chains hide the latency.
    let lanes = [.avx512: 16, .avx2: 8][set] ?? 4
    #expect(values % lanes == 0 && values / lanes >= 10, "\(values) values")
    let summand = Double(LimitKernels.chainSummand)
    for seed in [Float(1), -300.25] {
      var power = 1.0
      for _ in 0..<iterations { power *= 1 - summand }
      let starts = (0..<values).map { Double(seed) + Double($0) }
      let expected = starts.reduce(0) { $0 + 1 + ($1 - 1) * power }
      let largest = starts.map(abs).max() ?? 0
      let steps = min(Double(iterations), 1 / summand)
      let unit = 0x1p-24
      // Each value's own errors, then those of the sum, whose parts are at most as large.
      let bound = Double(values) * largest * unit * (2 * steps + Double(values))
      let sum = Double(kernels.chains(iterations: iterations, seed: seed))
      #expect(abs(sum - expected) <= bound, "\(sum), expected \(expected) ± \(bound)")
      // The bound can tell a step more or less, or a value, while they still move.
      if iterations < 1000 { #expect(bound < 0.2 * abs(starts.reduce(0, +) - Double(values)) * power) }
    }
  }

  /// Far more steps than the values take to arrive: each is 1 or so near to it that a step does not move it
  /// any more, and none has become denormal or infinite on its way.
  @Test(arguments: InstructionSet.available) func chainsArriveAndStay(_ set: InstructionSet) throws {
    let kernels = try LimitKernels(instructionSet: set)
    let values = Float(kernels.flopsPerIteration / 2)
    let sums = [100_000, 100_001].map { kernels.chains(iterations: $0, seed: 1) }
    #expect(sums[0] == sums[1])
    #expect(abs(sums[0] - values) <= values * 1024 * 0x1p-23, "\(sums[0])")
  }

  private static let counts = [0, 1, 3, 16, 31, 127, 128, 129, 512, 1000, 1023]

  /// Words whose sum tells where they were read, and nothing read beyond the end.
  @Test(arguments: InstructionSet.available, counts)
  func readsSumAllWords(_ set: InstructionSet, _ count: Int) throws {
    let kernels = try LimitKernels(instructionSet: set)
    var random = PhiloxGenerator(seed: UInt64(count))
    let words = (0..<count + 1).map { _ in UInt32(truncatingIfNeeded: random.next()) }
    let expected = words.prefix(count).reduce(UInt32(0), &+)
    for passes in 0...3 {
      #expect(kernels.read(passes: passes, count: count, words) == expected &* UInt32(passes), "\(passes)")
    }
  }

  @Test(arguments: InstructionSet.available, counts)
  func writesFillAllWordsAndNoMore(_ set: InstructionSet, _ count: Int) throws {
    let kernels = try LimitKernels(instructionSet: set)
    for passes in 0...2 {
      var words = [UInt32](repeating: 7, count: count + 1)
      kernels.write(passes: passes, count: count, 0xABCD_1234, into: &words)
      let expected = [UInt32](repeating: passes == 0 ? 7 : 0xABCD_1234, count: count) + [7]
      #expect(words == expected, "\(passes) passes")
    }
  }

  /// Small integers: exact with and without fused operations. Twice gives what once gives.
  @Test(arguments: InstructionSet.available, counts)
  func triadsAddScaledValues(_ set: InstructionSet, _ count: Int) throws {
    let kernels = try LimitKernels(instructionSet: set)
    var random = PhiloxGenerator(seed: UInt64(count) + 1)
    func values() -> [Float] {
      (0..<count + 1).map { _ in Float(Int.random(in: -1000...1000, using: &random)) }
    }
    let (b, c) = (values(), values())
    for passes in 0...2 {
      var a = [Float](repeating: .nan, count: count) + [99]
      kernels.triad(passes: passes, count: count, scale: 0.5, b, c, into: &a)
      #expect(a[count] == 99)
      if passes == 0 {
        #expect(!a.prefix(count).contains { !$0.isNaN })
      } else {
        let expected = (0..<count).map { b[$0] + 0.5 * c[$0] }
        #expect(Array(a.prefix(count)) == expected, "\(passes) passes")
      }
    }
  }

  @Test func whatTheCPULacksIsRefused() throws {
    #expect(LimitKernels().instructionSet == .current)
    for set in InstructionSet.allCases where !set.isAvailable {
      #expect(throws: InstructionSet.SelectionError.self) { try LimitKernels(instructionSet: set) }
    }
  }
}
