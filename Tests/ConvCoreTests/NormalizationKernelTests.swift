import CConvKernels
import ConvTestSupport
import Testing

/// The passes of batch normalisation on every instruction set: all tails of channels and of planes, several
/// blocks and strips, NaN and infinities.
@Suite struct NormalizationKernelTests {
  /// What a pass is given beside its input.
  struct Options: Sendable, CustomStringConvertible {
    let adds: Bool, relu: Bool
    var description: String { "\(adds ? "adds" : "alone")\(relu ? ", relu" : "")" }
  }
  private static let options = [(false, false), (true, false), (false, true), (true, true)].map {
    Options(adds: $0.0, relu: $0.1)
  }

  private struct Block: CustomStringConvertible {
    let rows: Int, channels: Int
    var description: String { "\(rows)×\(channels)" }
    var count: Int { rows * channels }
  }

  /// Tails of channels, tails of one plane, then more rows than a block, lines than 4096, channels than a
  /// strip of 512.
  private static func blocks<Row>(_ example: KernelCase<Row>) -> [Block] {
    let lengths = example.lengths(Float.self).filter { $0 > 0 }
    let more = [(300, 3), (129, 66), (40, 515), (4095, 1), (4096, 1), (4097, 1), (9001, 1)]
    return lengths.map { Block(rows: 3, channels: $0) } + lengths.map { Block(rows: $0, channels: 1) }
      + more.map { Block(rows: $0.0, channels: $0.1) }
  }

  @Test(arguments: KernelCase.all([0, 300])) func moments(_ example: KernelCase<Int>) {
    for block in Self.blocks(example) {
      let x = KernelValues.integers(block.count, seed: 1, Float.self).map { $0 + Float(example.row) }
      let memory = KernelMemory()
      let mean = memory.result([Double](repeating: .nan, count: block.channels))
      let squares = memory.result([Double](repeating: .nan, count: block.channels))
      vb_moments_f32(example.kernels, block.rows, block.channels, memory.input(x), mean, squares)
      #expect(memory.damage == nil, "\(example) \(block)")
      let (means, sums) = (memory.values(mean), memory.values(squares))
      for c in 0..<block.channels {
        let column = (0..<block.rows).map { Double(x[$0 * block.channels + c]) }
        let exact = column.reduce(0, +) / Double(block.rows)
        let square = column.reduce(0) { $0 + ($1 - exact) * ($1 - exact) }
        let size = Double(example.row) + 8
        // Sums of deviations are integers. So the mean has the roundings of Double alone: four of each of at
        // most three blocks.
        let meanBound = 16 * 0x1p-53 * size
        // A chain of at most 128 squares of rounded deviations; and n (c − m)², as the centre c is a rounded
        // mean m.
        let squareBound =
          132 * 0x1p-24 * square + 4 * Double(block.rows) * size * size * 0x1p-46
        #expect(
          abs(means[c] - exact) <= meanBound, "\(example) \(block), channel \(c): \(means[c]), \(exact)")
        #expect(
          abs(sums[c] - square) <= squareBound, "\(example) \(block), channel \(c): \(sums[c]), \(square)")
      }
    }
  }

  /// A NaN is in the moments of its channel and in no other's; so is an infinity.
  @Test(arguments: KernelCase.all([Float.nan, .infinity])) func momentsOfNoNumbers(
    _ example: KernelCase<Float>
  ) {
    for block in Self.blocks(example) {
      let spoilt = [0, block.channels / 2, block.channels - 1]
      var x: [Float] = KernelValues.integers(block.count, seed: 2)
      for (i, c) in spoilt.enumerated() { x[(block.rows - 1) * i / 2 * block.channels + c] = example.row }
      let memory = KernelMemory()
      let mean = memory.result([Double](repeating: 0, count: block.channels))
      let squares = memory.result([Double](repeating: 0, count: block.channels))
      vb_moments_f32(example.kernels, block.rows, block.channels, memory.input(x), mean, squares)
      let (means, sums) = (memory.values(mean), memory.values(squares))
      for c in 0..<block.channels {
        let isFinite = !spoilt.contains(c)
        #expect(
          means[c].isFinite == isFinite && sums[c].isFinite == isFinite, "\(example) \(block), channel \(c)")
        if example.row.isNaN {
          #expect(means[c].isNaN != isFinite && sums[c].isNaN != isFinite, "\(block), \(c)")
        }
      }
    }
  }

  @Test(arguments: KernelCase.all(options)) func forward(_ example: KernelCase<Options>) {
    for block in Self.blocks(example) {
      let x: [Float] = KernelValues.integers(block.count, seed: 3, special: 11)
      let other: [Float] = KernelValues.integers(block.count, seed: 4, special: 13)
      let mean: [Float] = KernelValues.integers(block.channels, seed: 5)
      let factor: [Float] = KernelValues.integers(block.channels, seed: 6)
      let shift: [Float] = KernelValues.integers(block.channels, seed: 7)
      let memory = KernelMemory()
      let y = memory.result([Float](repeating: 99, count: block.count))
      vb_normalize_f32(
        example.kernels, block.rows, block.channels, memory.input(x), memory.input(mean),
        memory.input(factor),
        memory.input(shift), example.row.adds ? memory.input(other) : nil, example.row.relu ? 1 : 0, y)
      let expected = x.indices.map { i in
        let c = i % block.channels
        let value = (x[i] - mean[c]) * factor[c] + shift[c]
        let sum = example.row.adds ? value + other[i] : value
        return example.row.relu ? rectified(sum) : sum
      }
      let wrong = memory.difference(y, from: expected)
      #expect(wrong == nil, "\(example) \(block): \(wrong ?? "")")
    }
  }

  /// `relu`: masks with the output; `adds`: keeps what is masked, which without an output nobody writes.
  @Test(arguments: KernelCase.all(options)) func sums(_ example: KernelCase<Options>) {
    for block in Self.blocks(example) {
      // Seldom enough that most channels keep numbers.
      let dy: [Float] = KernelValues.integers(block.count, seed: 8, special: 60)
      let y: [Float] = KernelValues.integers(block.count, seed: 9, special: 7)
      let x: [Float] = KernelValues.integers(block.count, seed: 10, special: 60)
      let mean: [Float] = KernelValues.integers(block.channels, seed: 5)
      let memory = KernelMemory()
      let sum = memory.result([Double](repeating: .nan, count: block.channels))
      let product = memory.result([Double](repeating: .nan, count: block.channels))
      let masked = memory.result([Float](repeating: 99, count: block.count))
      vb_normalize_sums_f32(
        example.kernels, block.rows, block.channels, memory.input(dy),
        example.row.relu ? memory.input(y) : nil,
        memory.input(x), memory.input(mean), sum, product, example.row.adds ? masked : nil)
      var sums = [Double](repeating: 0, count: block.channels)
      var products = sums
      var kept = [Float](repeating: 99, count: block.count)
      for i in 0..<block.count {
        let g = example.row.relu && y[i] <= 0 ? 0 : dy[i]
        if example.row.relu && example.row.adds { kept[i] = g }
        sums[i % block.channels] += Double(g)
        products[i % block.channels] += Double(g) * Double(x[i] - mean[i % block.channels])
      }
      for wrong in [
        memory.difference(sum, from: sums), memory.difference(product, from: products),
        memory.difference(masked, from: kept),
      ] {
        #expect(wrong == nil, "\(example) \(block): \(wrong ?? "")")
      }
    }
  }

  /// `relu`: masks with the output.
  @Test(arguments: KernelCase.all(options.filter { !$0.adds })) func backward(_ example: KernelCase<Options>)
  {
    for block in Self.blocks(example) {
      let dy: [Float] = KernelValues.integers(block.count, seed: 11, special: 11)
      let y: [Float] = KernelValues.integers(block.count, seed: 12, special: 7)
      let x: [Float] = KernelValues.integers(block.count, seed: 13, special: 12)
      func channels(_ seed: UInt64) -> [Float] { KernelValues.integers(block.channels, seed: seed) }
      let (mean, factor, offset, slope) = (channels(14), channels(15), channels(16), channels(17))
      let memory = KernelMemory()
      let dx = memory.result([Float](repeating: 99, count: block.count))
      vb_normalize_backward_f32(
        example.kernels, block.rows, block.channels, memory.input(dy),
        example.row.relu ? memory.input(y) : nil,
        memory.input(x), memory.input(mean), memory.input(factor), memory.input(offset), memory.input(slope),
        dx)
      let expected = x.indices.map { i in
        let c = i % block.channels
        let g = example.row.relu && y[i] <= 0 ? 0 : dy[i]
        return factor[c] * (g - offset[c] - (x[i] - mean[c]) * slope[c])
      }
      let wrong = memory.difference(dx, from: expected)
      #expect(wrong == nil, "\(example) \(block): \(wrong ?? "")")
    }
  }
}
