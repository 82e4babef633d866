import ConvAutograd
import ConvCore
import ConvNaive
import Testing

@Suite struct GraphTests {
  private func scalar(_ value: Double, requiresGrad: Bool = true) throws -> Variable {
    Variable(try Tensor(scalar: value), requiresGrad: requiresGrad)
  }

  private func gradient(_ variable: Variable) -> Double? { variable.grad?.scalar(as: Double.self) }

  @Test func longChainsNeitherRecurseInBackwardNorInDeinit() throws {
    let x = try scalar(1)
    var y = try x * 1
    for _ in 0..<100_000 { y = try y + 0.00001 }
    try y.backward()
    #expect(gradient(x) == 1)
    // A chain that is never walked is released whole.
    var z = try x * 1
    for _ in 0..<100_000 { z = try z * 1 }
    z = try scalar(0)
    #expect(z.isLeaf)
    // And one that is walked but kept.
    var w = try x * 1
    for _ in 0..<100_000 { w = try w + w * 0 }
    try w.backward(retainGraph: true)
    #expect(gradient(x) == 2)
  }

  @Test func diamondsAddUp() throws {
    // In both orders: whichever operand is found first, `a` has to wait for `b`, which depends on it.
    for isFlipped in [false, true] {
      let x = try scalar(3)
      let a = try x * x
      let b = try a + x
      try (isFlipped ? b * a : a * b).backward()  // x²(x² + x) = x⁴ + x³
      #expect(gradient(x) == 135, "\(isFlipped ? "b · a" : "a · b")")
    }
  }

  @Test func gradientsAccumulateUntilZeroed() throws {
    let x = try scalar(3)
    try (x * x).backward()
    try (x * 2).backward()
    #expect(gradient(x) == 8)
    x.zeroGrad()
    #expect(x.grad == nil)
    try x.backward()
    #expect(gradient(x) == 1)
  }

  @Test func aFreedGraphSaysSo() throws {
    let x = try scalar(2)
    let square = try x * x
    let (first, second) = try (square * 3, square * 5)
    try first.backward(retainGraph: true)
    try first.backward()
    #expect(gradient(x) == 24)
    for variable in [first, second] {
      #expect {
        try variable.backward()
      } throws: { error in
        "\(error)".contains("freed") && "\(error)".contains("retainGraph")
      }
    }
    #expect(gradient(x) == 24, "a refused backward() changes nothing")
  }

  @Test func nothingIsAddedWhereBackwardFails() throws {
    struct Broken: Error {}
    let (x, y) = (try scalar(2), try scalar(3))
    let good = try x * 2
    let bad = Variable.record("broken", y.value, [y]) { _ in throw Broken() }
    let sum = try good + bad
    #expect(throws: Broken.self) { try sum.backward() }
    #expect(x.grad == nil && y.grad == nil)
    let wrongShape = Variable.record("wrong", y.value, [y]) { _ in
      [try Tensor.zeros([2], elementType: .float64)]
    }
    #expect(throws: ConvError.shapeMismatch(what: "gradient of input 0 of 'wrong'", expected: [], found: [2]))
    {
      try wrongShape.backward()
    }
  }

  @Test func noGradAndDetachCutTheGraph() throws {
    let x = try scalar(2)
    let inside = try noGrad { try x * 3 }
    #expect(!inside.requiresGrad && inside.isLeaf)
    try (x.detach() * x).backward()
    #expect(gradient(x) == 2)
    #expect(throws: ConvError.self) { try inside.backward() }
    #expect(GradMode.isEnabled)
  }

  @Test func backwardOfATensorNeedsAGradient() throws {
    let x = Variable(try Tensor([1.0, 2.0], shape: [2]), requiresGrad: true)
    #expect(throws: ConvError.self) { try (x * 2).backward() }
    #expect(
      throws: ConvError.shapeMismatch(
        what: "the gradient given to backward()", expected: [2], found: [1])
    ) {
      try (x * 2).backward(gradient: Tensor([1.0], shape: [1]))
    }
    try (x * 2).backward(gradient: Tensor([1.0, 10.0], shape: [2]))
    #expect(x.grad?.values(as: Double.self) == [2, 20])
  }

  @Test func writingToALeafDoesNotChangeWhatWasRecorded() throws {
    let x = try scalar(3)
    let y = try x * x
    x.value.withUnsafeMutablePointer(as: Double.self) { $0[0] = 100 }
    try y.backward()
    #expect(gradient(x) == 6)
  }

  @Test func operandsThatDoNotFitAreErrorsWithBothNumbers() throws {
    let a = Variable(try Tensor.zeros([2, 3]))
    let b = Variable(try Tensor.zeros([4, 5]))
    let d = Variable(try Tensor.zeros([2, 3], elementType: .float64))
    let labels = try Tensor([0, 3] as [Int64], shape: [2])
    let cases: [(String, () throws -> Variable)] = [
      ("[4, 5]", { try a + b }), ("[4, 5]", { try a.matmul(b) }), ("[4, 3]", { try b.linear(weight: a) }),
      ("float64", { try a * d }), ("float32", { try d - a }), ("3", { try a.crossEntropy(labels) }),
      ("[2, 3]", { try b.mse(a) }), ("int64", { try Variable(labels).relu() }),
      ("2", { try a.conv(weight: a) }),
      ("[2, 3]", { try a.maxPool2d(kernel: 2) }), ("7", { try a.reshape([7, -1]) }),
      ("1.5", { try a.dropout(p: 1.5, random: Philox(seed: 0)) }),
    ]
    for (index, (text, body)) in cases.enumerated() {
      #expect("case \(index)") {
        _ = try body()
      } throws: { error in
        error is ConvError && "\(error)".contains(text)
      }
    }
  }

  @Test func maxPoolTakesTheFirstOfEquals() throws {
    let x = Variable(try Tensor([1.0, 1, 1, 1], shape: [1, 1, 2, 2]), requiresGrad: true)
    try x.maxPool2d(kernel: 2).sum().backward()
    #expect(x.grad?.values(as: Double.self) == [1, 0, 0, 0])
    let nan = Variable(try Tensor([3.0, .nan, 5, .nan], shape: [1, 1, 2, 2]), requiresGrad: true)
    let y = try nan.maxPool2d(kernel: 2)
    #expect(y.value.scalar(as: Double.self).isNaN)
    try y.sum().backward()
    #expect(nan.grad?.values(as: Double.self) == [0, 1, 0, 0])
    #expect(try nan.relu().value.values(as: Double.self)[1].isNaN)
  }

  @Test func dropoutKeepsTheSaidShareAndScale() throws {
    let x = Variable(try Tensor.full([100_000], 1.0))
    let y = try x.dropout(p: 0.25, random: Philox(seed: 9, stream: 4)).value.values(as: Double.self)
    let kept = y.filter { $0 != 0 }
    #expect(kept.allSatisfy { $0 == 1 / 0.75 })
    #expect(abs(Double(kept.count) / 100_000 - 0.75) < 0.01, "kept \(kept.count) of 100000, seed 9 stream 4")
    let random = Philox(seed: 9, stream: 4)
    for i in 0..<1000 { #expect((y[i] != 0) == (random.uniform(at: UInt64(i)) >= 0.25), "element \(i)") }
  }

  @Test func resultsDoNotDependOnTheThreadCount() throws {
    func run(_ threads: Int) throws -> [[Float]] {
      try withBackend(.naive, pool: WorkerPool.pool(threads: threads)) {
        let x = Variable(try normal([4, 6, 64, 64], seed: 1).converted(to: .float32), requiresGrad: true)
        let w = Variable(try normal([64, 6 * 32 * 32], seed: 2).converted(to: .float32), requiresGrad: true)
        let y = try x.batchNorm().output.relu().maxPool2d(kernel: 2).flatten().linear(weight: w)
        let loss = try (y * y).mean() + y.logSoftmax().sum() * 0.01
        try loss.backward()
        return [loss.value, x.grad!, w.grad!].map { $0.values(as: Float.self) }
      }
    }
    let (one, three) = (try run(1), try run(3))
    for (a, b) in zip(one, three) { #expect(a == b) }
  }

  @Test func longTensorsAreComputedToTheirLastElement() throws {
    let count = 100_001
    let values = (0..<count).map { Float($0 % 7) - 3 }
    let x = Variable(try Tensor(values, shape: [count]), requiresGrad: true)
    let y = try x.relu()
    #expect(y.value.values(as: Float.self) == values.map { max($0, 0) })
    try (y * y + x).sum().backward()
    #expect(x.grad?.values(as: Float.self) == values.map { 2 * max($0, 0) + 1 })
    let total = try x.sum().value.scalar(as: Float.self)
    #expect(total == values.reduce(0, +))
  }

  /// What an operation has kept is freed before the operations before it go back, unless the graph is to stay.
  @Test(arguments: [false, true])
  func theGraphFreesWhatItsLastReaderHasRead(_ retainGraph: Bool) throws {
    final class Kept {}
    final class Watch { weak var kept: Kept? }
    let watch = Watch()
    let x = Variable(try normal([4], seed: 1), requiresGrad: true)
    var wasAlive: Bool?
    let first = Variable.record("first", x.value, [x]) { g in
      wasAlive = watch.kept != nil
      return [g]
    }
    func second() -> Variable {
      let kept = Kept()
      watch.kept = kept
      return Variable.record("second", first.value, [first]) { g in
        withExtendedLifetime(kept) { [g] }
      }
    }
    let y = second()
    #expect(watch.kept != nil)
    try y.sum().backward(retainGraph: retainGraph)
    #expect(wasAlive == retainGraph)
  }
}
