#if OpenBLAS
  import ConvCore
  import Foundation
  import Testing

  @testable import ConvIm2col

  /// The multiplier against plain loops; the process-wide choice of the core.
  @Suite(.serialized) struct OpenBLASTests {
    private func check<T: ConvScalar>(
      _: T.Type, m: Int, n: Int, k: Int, transposeA: Bool, transposeB: Bool, accumulate: Bool, seed: UInt64
    ) {
      var random = PhiloxGenerator(seed: seed)
      func integers(_ count: Int) -> [T] {
        (0..<count).map { _ in T(Double(Int.random(in: -4...4, using: &random))) }
      }
      // Rows are longer than the matrices: what lies behind them must stay.
      let lda = (transposeA ? m : k) + 3
      let ldb = (transposeB ? k : n) + 2
      let ldc = n + 5
      let a = integers((transposeA ? k : m) * lda)
      let b = integers((transposeB ? n : k) * ldb)
      var c = accumulate ? integers(m * ldc) : [T](repeating: .nan, count: m * ldc)
      var expected = c
      for i in 0..<m {
        for j in 0..<n {
          var sum = accumulate ? expected[i * ldc + j] : 0
          for p in 0..<k {
            sum += a[transposeA ? p * lda + i : i * lda + p] * b[transposeB ? j * ldb + p : p * ldb + j]
          }
          expected[i * ldc + j] = sum
        }
      }
      OpenBLASMatrixMultiplier().multiply(
        m: m, n: n, k: k, a: a, lda: lda, transposeA: transposeA, b: b, ldb: ldb, transposeB: transposeB,
        c: &c,
        ldc: ldc, accumulate: accumulate)
      let isEqual = zip(c, expected).allSatisfy { $0 == $1 || ($0.isNaN && $1.isNaN) }
      #expect(
        isEqual,
        "\(T.self) m \(m) n \(n) k \(k) transposes \(transposeA) \(transposeB) accumulate \(accumulate) seed \(seed)"
      )
    }

    @Test func products() {
      var random = PhiloxGenerator(seed: 11)
      for seed in UInt64(0)..<60 {
        let (m, n, k) = (
          Int.random(in: 1...40, using: &random), Int.random(in: 1...40, using: &random),
          Int.random(in: 0...40, using: &random)
        )
        let (a, b, c) = (seed & 1 == 0, seed & 2 == 0, seed & 4 == 0)
        check(Float.self, m: m, n: n, k: k, transposeA: a, transposeB: b, accumulate: c, seed: seed)
        check(Double.self, m: m, n: n, k: k, transposeA: a, transposeB: b, accumulate: c, seed: seed)
      }
    }

    @Test func reportsItself() {
      let current = OpenBLASConfiguration.current
      #expect(current.version.first?.isNumber == true, "\(current)")
      #expect(!current.core.isEmpty && current.buildDescription.contains(current.version), "\(current)")
      #expect(current.threads == 1, "\(current.threads) BLAS threads in each of our workers")
      #expect(OpenBLASMatrixMultiplier().description == "OpenBLAS \(current.version) (\(current.core))")
    }

    @Test func readsChoices() {
      #expect(OpenBLASCore(parsing: "auto") == .auto)
      #expect(OpenBLASCore(parsing: "env") == .env)
      #expect(OpenBLASCore(parsing: "Haswell") == .named("Haswell"))
    }

    @Test func unknownCoreIsRefusedAndNothingChanges() {
      let before = OpenBLASConfiguration.current
      let error = #expect(throws: ConvError.self) { try OpenBLASConfiguration.apply(.named("NoSuchCore")) }
      if case .unknownName(let kind, let name, let known) = error {
        #expect(kind == "OpenBLAS core" && name == "NoSuchCore")
        #expect(known.first == before.core, "the one in use comes first: \(known)")
      } else if case .unsupported(_, _, let reason) = error {
        // A library with a single core cannot tell whether it ever heard of another.
        #expect(reason.contains(before.core))
      } else {
        Issue.record("\(String(describing: error))")
      }
      #expect(OpenBLASConfiguration.current == before)
    }

    /// Changing to the core in use changes nothing. (Others would change the bits under tests that run at the same time.)
    @Test func coreInUse() throws {
      let before = OpenBLASConfiguration.current
      // While another test changes the core the environment is another.
      func environment() -> String? {
        OpenBLASGate.shared.whileUnchanged { _ in ProcessInfo.processInfo.environment["OPENBLAS_CORETYPE"] }
      }
      let variable = environment()
      #expect(before.environmentCore == (variable == "" ? nil : variable))
      let named = try OpenBLASConfiguration.apply(.named(before.core.lowercased()))
      #expect(named.core == before.core && named.choice.origin == "by name" && named.choice.replaced == nil)
      #expect(named.choice.warning == before.choice.warning)
      #expect(OpenBLASConfiguration.current == named)
      if before.environmentCore?.lowercased() == before.core.lowercased() {
        let followed = try OpenBLASConfiguration.apply(.env)
        #expect(followed.core == before.core && followed.choice.origin == "OPENBLAS_CORETYPE")
        #expect(!followed.overridesEnvironment)
      }
      #expect(environment() == variable)
    }

    /// Products that run while the core is chosen again wait, and are right.
    @Test func choosingWhileMultiplying() throws {
      let pool = WorkerPool(threads: 3)
      let m = 24
      let ones = [Float](repeating: 1, count: m * m)
      pool.parallelFor(60) { task in
        if task % 10 == 5 {
          // Chosen again, but the same one.
          OpenBLASGate.shared.whileClosed { _ in
            let core = OpenBLASCoreControl.core
            #expect(OpenBLASCoreControl.change(to: core) != .refused && OpenBLASCoreControl.core == core)
          }
          return
        }
        var c = [Float](repeating: .nan, count: m * m)
        for _ in 0..<20 {
          OpenBLASMatrixMultiplier().multiply(
            m: m, n: m, k: m, a: ones, lda: m, transposeA: false, b: ones, ldb: m, transposeB: true, c: &c,
            ldc: m,
            accumulate: false)
        }
        if !c.allSatisfy({ $0 == Float(m) }) { Issue.record("task \(task): \(c[0]) instead of \(m)") }
      }
      #expect(OpenBLASConfiguration.current.threads == 1)
    }
  }
#else
  import Testing

  @Test(.disabled("built without the trait OpenBLAS: no test of OpenBLAS")) func openBLAS() {}
#endif
