import ConvCore
import ConvTestSupport
import Testing

/// Storage of a matrix with NaN wherever no element is: a kernel that reads there spoils its result.
private struct Stored<T: ConvScalar> {
  var elements: [T]
  let stride: Int

  init(rows: Int, columns: Int, slack: Int, _ random: inout PhiloxGenerator, integers: Bool) {
    stride = columns + slack
    elements = [T](repeating: .nan, count: max(0, rows * stride - slack))
    for i in 0..<rows {
      for j in 0..<columns {
        elements[i * stride + j] =
          integers ? T(Int(random.nextWord() % 17) - 8) : T(random.uniform() * 2 - 1)
      }
    }
  }
}

private struct Product<T: ConvScalar>: CustomStringConvertible {
  let m: Int, n: Int, k: Int, transposeA: Bool, transposeB: Bool, accumulate: Bool, seed: UInt64
  var a: Stored<T>, b: Stored<T>, c: Stored<T>

  var description: String {
    "\(T.self) m \(m) n \(n) k \(k) lda \(a.stride) transposeA \(transposeA) ldb \(b.stride) "
      + "transposeB \(transposeB) ldc \(c.stride) accumulate \(accumulate) seed \(seed)"
  }

  /// With integers, |products| <= 64 and every sum is exact; otherwise values in [-1, 1).
  init(m: Int, n: Int, k: Int, seed: UInt64, integers: Bool) {
    (self.m, self.n, self.k, self.seed) = (m, n, k, seed)
    var random = PhiloxGenerator(seed: seed)
    let bits = random.nextWord()
    transposeA = bits & 1 != 0
    transposeB = bits & 2 != 0
    accumulate = bits & 4 != 0
    let (ra, ca, rb, cb) = (transposeA ? k : m, transposeA ? m : k, transposeB ? n : k, transposeB ? k : n)
    a = Stored(rows: ra, columns: ca, slack: Int(bits >> 3 & 3), &random, integers: integers)
    b = Stored(rows: rb, columns: cb, slack: Int(bits >> 5 & 3), &random, integers: integers)
    c = Stored(rows: m, columns: n, slack: Int(bits >> 7 & 3), &random, integers: integers)
    // What is overwritten must not be read.
    if !accumulate { for i in c.elements.indices { c.elements[i] = .nan } }
  }

  func element(_ i: Int, _ j: Int) -> Double {
    var sum = accumulate ? Double(c.elements[i * c.stride + j]) : 0
    for p in 0..<k {
      let x = a.elements[transposeA ? p * a.stride + i : i * a.stride + p]
      let y = b.elements[transposeB ? j * b.stride + p : p * b.stride + j]
      sum += Double(x) * Double(y)
    }
    return sum
  }

  func run(_ multiplier: some MatrixMultiplier, packed: Bool = false, pool: WorkerPool? = nil) throws -> [T] {
    var out = c.elements
    try out.withUnsafeMutableBufferPointer { out in
      try a.elements.withUnsafeBufferPointer { a in
        try b.elements.withUnsafeBufferPointer { b in
          // Empty arrays have no address; nothing is read from them.
          let none = UnsafeMutablePointer<T>.allocate(capacity: 1)
          defer { none.deallocate() }
          let (pa, pb, pc) = (
            a.baseAddress ?? .init(none), b.baseAddress ?? .init(none), out.baseAddress ?? none
          )
          if packed, let kernel = multiplier as? KernelMatrixMultiplier {
            try PackedMatrix(
              rows: k, columns: n, pb, stride: self.b.stride, transposed: transposeB, multiplier: kernel
            ).multiply(
              m: m, a: pa, lda: self.a.stride, transposeA: transposeA, c: pc, ldc: c.stride,
              accumulate: accumulate)
          } else if let pool {
            try multiplier.multiplyParallel(
              m: m, n: n, k: k, a: pa, lda: self.a.stride, transposeA: transposeA, b: pb, ldb: self.b.stride,
              transposeB: transposeB, c: pc, ldc: c.stride, accumulate: accumulate, pool: pool)
          } else {
            multiplier.multiply(
              m: m, n: n, k: k, a: pa, lda: self.a.stride, transposeA: transposeA, b: pb, ldb: self.b.stride,
              transposeB: transposeB, c: pc, ldc: c.stride, accumulate: accumulate)
          }
        }
      }
    }
    return out
  }

  /// What some elements must be, all of them when that is quick, spread over C otherwise.
  func expected() -> [(at: Int, value: Double)] {
    let step = max(1, m * n * max(k, 1) / 60_000) | 1
    var wanted = stride(from: 0, to: m * n, by: step).map { ($0 / n, $0 % n) }
    if step > 1 {
      wanted += (0..<m).map { ($0, n - 1) }
      wanted += (0..<n).map { (m - 1, $0) }
    }
    return wanted.map { i, j in (i * c.stride + j, element(i, j)) }
  }

  /// Exact equality; elements outside the matrix untouched.
  func expect(_ expected: [(at: Int, value: Double)], _ out: [T], _ what: String) {
    for (at, value) in expected where Double(out[at]) != value {
      Issue.record("\(what): [\(at / c.stride), \(at % c.stride)] is \(out[at]), not \(value): \(self)")
      return
    }
    for at in out.indices where at % c.stride >= n && !out[at].isNaN {
      Issue.record("\(what): wrote beside C at [\(at / c.stride), \(at % c.stride)]: \(self)")
      return
    }
  }
}

@Suite struct MatrixTests {
  private func sweep<T: ConvScalar>(_: T.Type, _ isa: InstructionSet) throws {
    let kernel = try KernelMatrixMultiplier(instructionSet: isa)
    var sizes = PhiloxGenerator(seed: 77)
    // Every tail of each size once, the others at random; then blocks of k, of rows (MC) and of columns.
    var cases: [(Int, Int, Int)] = []
    for size in 1...70 {
      func other() -> Int { Int(sizes.nextWord() % 70) + 1 }
      cases += [(size, other(), other()), (other(), size, other()), (other(), other(), size)]
    }
    cases += [(0, 5, 5), (5, 0, 5), (5, 5, 0), (1, 1, 1), (13, 200, 385), (12, 130, 769), (400, 70, 33)]
    cases += [(200, 700, 390), (7, 300, 1200)]
    for (index, (m, n, k)) in cases.enumerated() {
      let product = Product<T>(m: m, n: n, k: k, seed: UInt64(index), integers: true)
      let expected = product.expected()
      product.expect(expected, try product.run(kernel), "\(isa)")
      product.expect(expected, try product.run(kernel, packed: true), "\(isa) packed")
    }
  }

  @Test(arguments: InstructionSet.available)
  func everySizeAndTailFloat(_ isa: InstructionSet) throws { try sweep(Float.self, isa) }

  @Test(arguments: InstructionSet.available)
  func everySizeAndTailDouble(_ isa: InstructionSet) throws { try sweep(Double.self, isa) }

  @Test(arguments: InstructionSet.available)
  func roundingStaysWithinTheBound(_ isa: InstructionSet) throws {
    let kernel = try KernelMatrixMultiplier(instructionSet: isa)
    for seed in 0..<8 as Range<UInt64> {
      let product = Product<Float>(m: 19, n: 83, k: 700, seed: seed, integers: false)
      let out = try product.run(kernel)
      // Two blocks of 350 terms: worst case (k + 2) u sum |a b| <= (k + 2) u (k + 1).
      let bound = 702 * 0x1p-24 * 701.0
      for (at, value) in product.expected() {
        let error = abs(Double(out[at]) - value)
        #expect(error <= bound, "element \(at) is off by \(error): \(product)")
      }
    }
  }

  /// Splitting rows or columns, packing and threads must not change a bit of the result.
  @Test(arguments: InstructionSet.available)
  func resultsDoNotDependOnSplitsOrThreads(_ isa: InstructionSet) throws {
    let kernel = try KernelMatrixMultiplier(instructionSet: isa)
    for (seed, (m, n, k)) in [(301, 157, 433), (50, 300, 800), (400, 70, 500), (7, 900, 64)].enumerated() {
      let product = Product<Float>(m: m, n: n, k: k, seed: UInt64(seed), integers: false)
      let whole = bits(try product.run(kernel))
      #expect(bits(try product.run(kernel, packed: true)) == whole, "packed, \(isa): \(product)")
      for threads in [1, 2, 3] {
        let parallel = try product.run(kernel, pool: .pool(threads: threads))
        #expect(bits(parallel) == whole, "\(threads) threads, \(isa): \(product)")
      }
      // Row by row, and in uneven groups.
      for step in [1, 48] {
        var out = product.c.elements
        out.withUnsafeMutableBufferPointer { out in
          for row in stride(from: 0, to: m, by: step) {
            let a = product.a.elements.withUnsafeBufferPointer { $0.baseAddress! }
            let b = product.b.elements.withUnsafeBufferPointer { $0.baseAddress! }
            withExtendedLifetime(product) {
              kernel.multiply(
                m: min(step, m - row), n: n, k: k, a: a + (product.transposeA ? row : row * product.a.stride),
                lda: product.a.stride, transposeA: product.transposeA, b: b, ldb: product.b.stride,
                transposeB: product.transposeB, c: out.baseAddress! + row * product.c.stride,
                ldc: product.c.stride, accumulate: product.accumulate)
            }
          }
        }
        #expect(bits(out) == whole, "rows by \(step), \(isa): \(product)")
      }
    }
  }

  @Test func blocksCoverTheProductOnce() {
    for (m, n, k) in [
      (1, 1, 1), (0, 4, 4), (70, 70, 70), (1000, 10, 1000), (3, 5000, 64), (513, 513, 5), (64, 64, 8192),
    ] {
      let blocks = MatrixBlocks(m: m, n: n, k: k)
      var seen = [Int](repeating: 0, count: m * n)
      for index in 0..<blocks.count {
        let (rows, columns) = blocks[index]
        for i in rows { for j in columns { seen[i * n + j] += 1 } }
      }
      #expect(seen.allSatisfy { $0 == 1 }, "m \(m) n \(n) k \(k): \(blocks)")
    }
  }

  @Test func absurdPackedSizesThrow() {
    #expect(throws: MemoryError.self) {
      try KernelMatrixMultiplier().packedCount(k: Int.max / 2, n: 1000, Float.self)
    }
    #expect(throws: MemoryError.self) {
      try KernelMatrixMultiplier().packedCount(k: 1, n: Int.max, Double.self)
    }
  }

  @Test func instructionSetsAreNamedAndMissingOnesReported() {
    #expect(InstructionSet.available.contains(.baseline))
    #expect(InstructionSet.available.contains(InstructionSet.current))
    for isa in InstructionSet.allCases where !isa.isAvailable {
      #expect(throws: InstructionSet.SelectionError.missing(isa, available: InstructionSet.available)) {
        try KernelMatrixMultiplier(instructionSet: isa)
      }
    }
  }
}

@Suite struct SummationDepthTests {
  /// One block is summed term by term; further blocks add one rounding each.
  @Test func depthOfBlockedSums() {
    #expect(KernelMatrixMultiplier.summationDepth(1) == 1)
    #expect(KernelMatrixMultiplier.summationDepth(384) == 384)
    #expect(KernelMatrixMultiplier.summationDepth(512) == 256 + 1)
    #expect(KernelMatrixMultiplier.summationDepth(3136, perCall: 100) == 100 + 31)
    #expect(KernelMatrixMultiplier.summationDepth(3136) == 349 + 8)
  }
}
