import ConvBackends
import ConvCore
import ConvHarness
import Testing

/// Predictions are made without plans: they are true as long as a plan does the work that was said of it.
@Suite struct WorkTests {
  /// Every engine that has plans of its own, by itself and with the variants that `auto` and `tune` name.
  static let engines: [BackendRegistry.Selection] =
    BackendRegistry.all.filter { !$0.choosesEngines }.map { BackendRegistry.Selection(backend: $0) }
    + AutoBackend.tuningCandidates.filter { $0.variant != nil }

  @Test(arguments: Self.engines)
  func whatIsPredictedIsDone(_ engine: BackendRegistry.Selection) throws {
    let backend = engine.backend
    var (supported, declined, lowered, cut) = (0, 0, 0, 0)
    for seed in 0..<UInt64(160 * breadth) {
      var random = PhiloxGenerator(seed: seed, stream: 7)
      let operation = randomOperation(backend, seed, &random)
      let options = PlanOptions(
        threads: Int.random(in: 1...3, using: &random),
        workspaceLimit: [64 << 20, 64 << 20, 1 << 20, 40_000, 5000, 0].randomElement(using: &random)!,
        filterState: FilterState.allCases.randomElement(using: &random)!, variant: engine.variant)
      let text: Comment =
        "\(engine) \(operation) \(options.filterState) within \(options.workspaceLimit), seed \(seed)"
      switch backend.support(for: operation, options) {
      case .supported:
        let plan = try backend.plan(for: operation, options)
        let work = try backend.work(for: operation, options)
        #expect(work == plan.work, text)
        #expect(work != ConvWork(), text)
        supported += 1
        if plan.executedBy.contains(" via ") { lowered += 1 }
        if plan.executedBy.contains("batch") { cut += 1 }
      case .unsupported(let reason):
        for body in [
          { _ = try backend.work(for: operation, options) },
          { _ = try backend.plan(for: operation, options) },
        ] {
          do {
            try body()
            Issue.record(text)
          } catch ConvError.unsupported(_, _, let given) {
            #expect(given == reason, text)
          }
        }
        declined += 1
      }
    }
    // The law holds of something: of plans, of refusals, and of what the core lowers, batches in pieces included.
    #expect(supported > 10 && declined > 5, "\(engine): \(supported) of them, \(declined) declined")
    if !["naive", "onednn"].contains(backend.name) && engine.variant == nil {
      #expect(supported > 40 && lowered > 10 && cut > 0, "\(engine): \(supported), \(lowered), \(cut)")
    }
  }

  /// Of the kinds that an engine is made for, of those that it declines, and depthwise ones.
  private func randomOperation(
    _ backend: any ConvolutionBackend, _ seed: UInt64, _ random: inout PhiloxGenerator
  ) -> ConvOperation {
    let problem =
      switch seed % 5 {
      case 0: RandomProblems().problem(seed: seed)
      case 1: depthwise(&random) ?? randomProblem(for: backend, seed: seed)
      default: randomProblem(for: backend, seed: seed)
      }
    func format() -> MemoryFormat { MemoryFormat.allCases.randomElement(using: &random)! }
    func often() -> Bool { Int.random(in: 0..<4, using: &random) == 0 }
    let pass = ConvPass.allCases.randomElement(using: &random)!
    var operation = ConvOperation(
      pass, problem, elementType: often() ? .float64 : .float32, inputFormat: format(),
      outputFormat: format(), filterFormat: often() ? .nhwc : .nchw)
    // One format is the usual case.
    if !often() { operation.outputFormat = operation.inputFormat }
    operation.epilogue.accumulate = often()
    if pass == .forward {
      (operation.epilogue.bias, operation.epilogue.relu) = (often(), often())
      let pools = often() && problem.spatialRank == 2 && min(problem.output.h, problem.output.w) >= 2
      operation.epilogue.maxPool2x2 = pools && !operation.epilogue.accumulate
    }
    operation.epilogue.biasGradient = pass == .backwardFilter && often()
    return operation
  }

  private func depthwise(_ random: inout PhiloxGenerator) -> ConvProblem? {
    let groups = Int.random(in: 2...40, using: &random)
    let taps = [1, 3, 3, 5].randomElement(using: &random)!
    let stride = Int.random(in: 1...2, using: &random)
    return try? ConvProblem(
      spatialRank: 2, n: Int.random(in: 1...3, using: &random), c: groups,
      k: groups * Int.random(in: 1...2, using: &random), groups: groups,
      input: Extent(
        h: Int.random(in: 5...20, using: &random), w: Int.random(in: 5...20, using: &random)),
      filter: Extent(h: taps, w: taps), stride: Extent(h: stride, w: stride),
      padding: Padding(h: taps / 2, w: taps / 2))
  }
}
