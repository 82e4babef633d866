import ConvCore
import ConvTestSupport
import Testing

/// Packing, transposition and tiles of matrix products on every instruction set: all heights of tiles, all
/// tails of panels, gaps between rows, NaN and infinities. Blocks and random sizes are `MatrixTests`'
/// concern.
@Suite struct MatrixKernelTests {
  /// How the operands are stored.
  struct Storage: Sendable, CustomStringConvertible {
    let transposeA: Bool, transposeB: Bool, accumulate: Bool
    var description: String {
      "A\(transposeA ? "ᵀ" : "") B\(transposeB ? "ᵀ" : "")\(accumulate ? " added" : "")"
    }
  }
  private static let storages = (0..<8).map {
    Storage(transposeA: $0 & 1 != 0, transposeB: $0 & 2 != 0, accumulate: $0 & 4 != 0)
  }

  /// Tails of one panel, of the second and of the third, which decides how A is read.
  private func widths(_ panel: Int, _ lanes: Int) -> [Int] {
    Array(
      Set([1, lanes - 1, lanes, lanes + 1, panel - 1, panel, panel + 1, 2 * panel + 1]).filter { $0 > 0 }
    ).sorted()
  }

  private func products<T: ConvScalar>(_ example: KernelCase<Storage>, _: T.Type) throws {
    let (multiplier, storage) = (try KernelMatrixMultiplier(instructionSet: example.set), example.row)
    let k = 5
    for n in widths(multiplier.panelWidth(T.self), example.lanes(T.self)) {
      for m in 1...13 {
        // One stray element of each operand is no number; -0 is left out, as nothing is said of sums of it.
        var a: [T] = KernelValues.integers(m * k, seed: 1)
        var b: [T] = KernelValues.integers(k * n, seed: 2)
        a[(m - 1) * k + 3] = n % 2 == 0 ? .nan : .infinity
        b[2 * n + n - 1] = m % 2 == 0 ? .nan : -.infinity
        let before: [T] = KernelValues.integers(m * n, seed: 3)
        // Rows of all three matrices are longer than what is used of them.
        func stored(_ rows: Int, _ columns: Int, gap: Int, _ element: (Int, Int) -> T) -> [T] {
          (0..<rows * (columns + gap)).map { i in
            let (row, column) = (i / (columns + gap), i % (columns + gap))
            return column < columns ? element(row, column) : gap == 3 ? 77 : .nan
          }
        }
        let (ta, tb) = (storage.transposeA, storage.transposeB)
        let storedA = ta ? stored(k, m, gap: 1) { a[$1 * k + $0] } : stored(m, k, gap: 1) { a[$0 * k + $1] }
        let storedB = tb ? stored(n, k, gap: 2) { b[$1 * n + $0] } : stored(k, n, gap: 2) { b[$0 * n + $1] }
        let memory = KernelMemory()
        let (pa, pb) = (memory.input(storedA), memory.input(storedB))
        let start = stored(m, n, gap: 3) { storage.accumulate ? before[$0 * n + $1] : .nan }
        let (c, again) = (memory.result(start), memory.result(start))
        let packed = memory.result(
          [T](repeating: .nan, count: try multiplier.packedCount(k: k, n: n, T.self)))
        let (lda, ldb) = ((ta ? m : k) + 1, (tb ? k : n) + 2)
        multiplier.multiply(
          m: m, n: n, k: k, a: pa, lda: lda, transposeA: ta, b: pb, ldb: ldb, transposeB: tb, c: c,
          ldc: n + 3,
          accumulate: storage.accumulate)
        multiplier.pack(k: k, n: n, b: pb, ldb: ldb, transposeB: tb, into: packed)
        multiplier.multiplyPacked(
          m: m, n: n, k: k, a: pa, lda: lda, transposeA: ta, packed: packed, c: again, ldc: n + 3,
          accumulate: storage.accumulate)
        let expected = stored(m, n, gap: 3) { i, j in
          let sum = (0..<k).reduce(T.zero) { $0 + a[i * k + $1] * b[$1 * n + j] }
          return storage.accumulate ? before[i * n + j] + sum : sum
        }
        for wrong in [memory.difference(c, from: expected), memory.difference(again, from: expected)] {
          if let wrong { Issue.record("\(example) \(T.self) \(m)×\(n): \(wrong)") }
        }
      }
    }
  }

  @Test(arguments: KernelCase.all(storages)) func tiles(_ example: KernelCase<Storage>) throws {
    try products(example, Float.self)
    try products(example, Double.self)
  }

  private func panels<T: ConvScalar>(_ example: KernelCase<Bool>, _: T.Type) throws {
    let multiplier = try KernelMatrixMultiplier(instructionSet: example.set)
    let panel = multiplier.panelWidth(T.self)
    for k in [1, 2, 4, 7, 9, 17] {
      for n in widths(panel, example.lanes(T.self)) {
        let b: [T] = KernelValues.integers(k * n, seed: 4, special: 5)
        let (rows, columns) = example.row ? (n, k) : (k, n)
        let stored = (0..<rows * (columns + 1)).map { i -> T in
          let (row, column) = (i / (columns + 1), i % (columns + 1))
          return column == columns ? 77 : example.row ? b[column * n + row] : b[row * n + column]
        }
        let memory = KernelMemory()
        let packed = memory.result([T](repeating: 99, count: try multiplier.packedCount(k: k, n: n, T.self)))
        multiplier.pack(
          k: k, n: n, b: memory.input(stored), ldb: columns + 1, transposeB: example.row, into: packed)
        let expected = (0..<(n + panel - 1) / panel * panel * k).map { i -> T in
          let (column, row) = (i / (k * panel) * panel + i % panel, i / panel % k)
          return column < n ? b[row * n + column] : 0
        }
        let wrong = memory.difference(packed, from: expected)
        #expect(wrong == nil, "\(example) \(T.self) \(k)×\(n): \(wrong ?? "")")
      }
    }
  }

  @Test("panels of B, as it is and transposed", arguments: KernelCase.all([false, true]))
  func packs(_ example: KernelCase<Bool>) throws {
    try panels(example, Float.self)
    try panels(example, Double.self)
  }

  private func transposed<T: ConvScalar>(_ example: KernelCase<Int>, _: T.Type) throws {
    let multiplier = try KernelMatrixMultiplier(instructionSet: example.set)
    let gap = example.row
    for rows in 0...19 {
      for columns in 0...19 {
        let source: [T] = KernelValues.integers(rows * (columns + gap), seed: 5, special: 6)
        var expected: [T] = KernelValues.integers(columns * (rows + gap), seed: 6)
        let memory = KernelMemory()
        let target = memory.result(expected)
        multiplier.transpose(
          rows: rows, columns: columns, source: memory.input(source), lds: columns + gap, target: target,
          ldt: rows + gap)
        for i in 0..<rows {
          for j in 0..<columns { expected[j * (rows + gap) + i] = source[i * (columns + gap) + j] }
        }
        let wrong = memory.difference(target, from: expected)
        #expect(wrong == nil, "\(example) \(T.self) \(rows)×\(columns): \(wrong ?? "")")
      }
    }
  }

  @Test("transposes, rows further apart than they are long", arguments: KernelCase.all([0, 1, 3]))
  func transposes(_ example: KernelCase<Int>) throws {
    try transposed(example, Float.self)
    try transposed(example, Double.self)
  }
}
