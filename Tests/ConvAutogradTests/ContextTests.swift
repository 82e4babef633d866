import ConvAutograd
import ConvCore
import ConvNaive
import ConvTestSupport
import Testing

/// Naive, but it declines what the test says.
private func picky(declining passes: [ConvPass] = [], largestKernel: Int = 100) -> FakeBackend {
  FakeBackend("picky", passes: [.forward]) {
    if passes.contains($0.pass) { return "no \($0.pass.rawValue)" }
    let width = $0.problem.filter.w
    return width > largestKernel ? "kernel \(width), at most \(largestKernel)" : nil
  }
}

@Suite struct ContextTests {
  private func operands(_ kernel: Int) throws -> (Variable, Variable, Variable) {
    (
      Variable(try normal([1, 2, 6, 6], seed: 1), requiresGrad: true),
      Variable(try normal([3, 2, kernel, kernel], seed: 2), requiresGrad: true),
      Variable(try normal([3], seed: 3), requiresGrad: true)
    )
  }

  @Test func withoutAFallbackADeclinedLayerThrows() throws {
    let (x, w, b) = try operands(3)
    #expect {
      _ = try withBackend(picky(largestKernel: 2)) { try x.conv(weight: w, bias: b) }
    } throws: { error in
      guard case ConvError.unsupported(let backend, let operation, let reason) = error else { return false }
      return backend == "picky" && operation.contains("conv2d:n1c2h6w6k3r3s3") && reason.contains("at most 2")
    }
  }

  @Test func withAFallbackTheRecorderSaysWhatRanWhere() throws {
    let recorder = ExecutionRecorder()
    let engine = picky(largestKernel: 2)
    try withBackend(engine, fallback: NaiveBackend(), recorder: recorder) {
      for kernel in [2, 3, 3] {
        let (x, w, b) = try operands(kernel)
        try x.conv(weight: w, bias: b).sum().backward()
        #expect(x.grad != nil && w.grad != nil && b.grad != nil)
      }
    }
    let entries = recorder.entries
    #expect(entries.filter { $0.isFallback }.allSatisfy { $0.operation.problem.filter.w == 3 })
    #expect(
      entries.filter { $0.isFallback }.map(\.operation.pass) == [.forward, .backwardData, .backwardFilter])
    #expect(entries.filter { !$0.isFallback }.allSatisfy { $0.operation.problem.filter.w == 2 })
    #expect(entries.count == 6, "\(entries)")
  }

  /// The fallback's variant is the fallback's only, and reaches it.
  @Test func theFallbackHasAVariantOfItsOwn() throws {
    func run(_ kernel: Int) throws {
      let (x, w, b) = try operands(kernel)
      let engine = picky(largestKernel: 2)
      try withBackend(engine, fallback: NaiveBackend(), fallbackVariant: "no=such") {
        try x.conv(weight: w, bias: b).sum().backward()
      }
    }
    try run(2)
    #expect {
      try run(3)
    } throws: { error in
      guard case ConvError.unsupported(let backend, _, let reason) = error else { return false }
      return backend == "naive" && reason.contains("no=such")
    }
  }

  @Test func backwardUsesTheEngineOfForward() throws {
    let (x, w, b) = try operands(2)
    let y = try withBackend(.naive) { try x.conv(weight: w, bias: b).sum() }
    try withBackend(picky(declining: ConvPass.allCases)) { try y.backward() }
    #expect(x.grad != nil)
  }

  @Test func gradientsThatNobodyNeedsAreNotPlanned() throws {
    let (_, w, b) = try operands(3)
    let recorder = ExecutionRecorder()
    let input = Variable(try normal([1, 2, 6, 6], seed: 1))
    try withBackend(.naive, recorder: recorder) {
      try input.conv(weight: w, bias: b).sum().backward()
      _ = try noGrad { try input.conv(weight: w) }
    }
    #expect(Set(recorder.entries.map(\.operation.pass)) == [.forward, .backwardFilter])
    #expect(input.grad == nil)
    // A frozen filter still gives its bias a gradient.
    let (x, frozen, bias) = (try operands(3).0, Variable(w.value), try operands(3).2)
    try withBackend(.naive) { try x.conv(weight: frozen, bias: bias).sum().backward() }
    #expect(frozen.grad == nil && bias.grad?.values(as: Double.self) == [16, 16, 16])
  }

  @Test func scopesNestAndEnd() throws {
    withBackend(.naive) {
      #expect(ConvolutionContext.current.engine?.backend.name == "naive")
      withBackend(picky(), pool: WorkerPool.pool(threads: 1)) {
        #expect(ConvolutionContext.current.engine?.backend.name == "picky")
        #expect(ConvolutionContext.current.pool.threads == 1)
      }
      #expect(ConvolutionContext.current.engine?.backend.name == "naive")
    }
  }

  @Test func differentConfigurationsDoNotShareAPlan() throws {
    let (x, w, _) = try operands(3)
    _ = try withBackend(picky(largestKernel: 5)) { try x.conv(weight: w) }
    #expect(throws: ConvError.self) {
      _ = try withBackend(picky(largestKernel: 1)) { try x.conv(weight: w) }
    }
  }
}
