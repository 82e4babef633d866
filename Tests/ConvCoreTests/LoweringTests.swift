import ConvCore
import ConvNaive
import ConvTestSupport
import Testing

/// The oracle with most of its abilities taken away, so that the core's lowerings have to supply them.
private func restricted(
  _ title: String, passes: Set<ConvPass> = [.forward], ranks: Set<Int> = [2], groups: Bool = false,
  dilation: Bool = false, stride: Bool = false, accumulate: Bool = false, format: MemoryFormat = .nchw
) -> FakeBackend {
  var backend = FakeBackend("restricted", AbleOracle(), formats: [format], passes: passes) { operation in
    let (problem, one) = (operation.problem, Extent(w: 1))
    let able =
      passes.contains(operation.pass) && ranks.contains(problem.spatialRank)
      && (groups || problem.groups == 1) && (dilation || problem.dilation == one)
      && (stride || problem.stride == one)
      && (operation.epilogue.isEmpty || accumulate && operation.epilogue == Epilogue(accumulate: true))
      && operation.inputFormat == format && operation.outputFormat == format
      && operation.filterFormat == .nchw
    return able ? nil : "restricted: \(title)"
  }
  backend.description = title
  return backend
}

private let backends: [FakeBackend] = [
  restricted("dense stride-1 2-D forward only"),
  restricted("2-D forward of any kind", groups: true, dilation: true, stride: true),
  restricted("dense passes in NHWC", passes: Set(ConvPass.allCases), format: .nhwc),
  restricted(
    "2-D passes with strides, accumulating", passes: Set(ConvPass.allCases), stride: true,
    accumulate: true),
  restricted(
    "1-D and 2-D forward with groups", ranks: [1, 2], groups: true, accumulate: true),
]

/// Small integers: every sum is exact, so that any order of summation gives the same bits.
private func integers(
  _ shape: [Int], _ type: ElementType, _ format: MemoryFormat, _ generator: inout some RandomNumberGenerator
) throws -> Tensor {
  let count = shape.reduce(1, *)
  let values = (0..<count).map { _ in Float(Int.random(in: -3...3, using: &generator)) }
  return try Tensor(values, shape: shape, format: format).converted(to: type)
}

private func randomProblem(_ generator: inout some RandomNumberGenerator) -> ConvProblem {
  while true {
    let rank = [1, 2, 2, 2, 3].randomElement(using: &generator)!
    let groups = [1, 1, 2, 3, 9].randomElement(using: &generator)!
    func extent(_ range: ClosedRange<Int>, unused: Int = 1) -> Extent {
      var extent = Extent(d: unused, h: unused, w: unused)
      for axis in (3 - rank)..<3 { extent[axis] = Int.random(in: range, using: &generator) }
      return extent
    }
    let problem = try? ConvProblem(
      spatialRank: rank, n: Int.random(in: 1...3, using: &generator),
      c: groups * Int.random(in: 1...2, using: &generator),
      k: groups * Int.random(in: 1...2, using: &generator), groups: groups, input: extent(1...9),
      filter: extent(1...4), stride: extent(1...3),
      padding: Padding(before: extent(0...4, unused: 0), after: extent(0...4, unused: 0)),
      dilation: extent(1...3))
    if let problem { return problem }
  }
}

@Suite struct LoweringTests {
  @Test(arguments: backends, ConvPass.allCases)
  fileprivate func loweredEqualsNaive(_ backend: FakeBackend, _ pass: ConvPass) throws {
    for seed in 0..<60 as Range<UInt64> {
      var generator = PhiloxGenerator(seed: seed)
      let problem = randomProblem(&generator)
      let type: ElementType = seed % 4 == 0 ? .float64 : .float32
      let (inputFormat, outputFormat) =
        (
          MemoryFormat.allCases.randomElement(using: &generator)!,
          MemoryFormat.allCases.randomElement(using: &generator)!
        )
      let filterFormat = MemoryFormat.allCases.randomElement(using: &generator)!
      var epilogue = Epilogue()
      switch pass {
      case .forward:
        epilogue.bias = Bool.random(using: &generator)
        epilogue.relu = Bool.random(using: &generator)
        epilogue.accumulate = Bool.random(using: &generator)
        epilogue.maxPool2x2 =
          !epilogue.accumulate && problem.spatialRank == 2 && problem.output.h > 1 && problem.output.w > 1
          && Bool.random(using: &generator)
      case .backwardData: epilogue.accumulate = Bool.random(using: &generator)
      case .backwardFilter:
        epilogue.accumulate = Bool.random(using: &generator)
        epilogue.biasGradient = Bool.random(using: &generator)
      }
      let operation = ConvOperation(
        pass, problem, elementType: type, inputFormat: inputFormat, outputFormat: outputFormat,
        filterFormat: filterFormat, epilogue: epilogue)
      // 4 KiB forces batches to be cut; some problems do not fit even image by image.
      for limit in [1 << 26, 1 << 12] {
        let options = PlanOptions(workspaceLimit: limit)
        guard backend.support(for: operation, options).isSupported else {
          #expect(limit < 1 << 26, "\(operation) declined: \(backend.support(for: operation, options))")
          continue
        }
        let plan = try backend.plan(for: operation, options)
        let found = try execute(plan, seed: seed)
        let expected = try expectation(operation, seed: seed)
        #expect(found == expected, "seed \(seed): \(operation) by \(plan.executedBy), limit \(limit)")
      }
    }
  }

  /// A conversion around a plan that accumulates itself: random problems seldom are that plain.
  @Test(arguments: ConvPass.allCases)
  func convertedFormatsAccumulate(_ pass: ConvPass) throws {
    let backend = restricted("accumulating", passes: [pass], stride: true, accumulate: true)
    for text in ["conv2d:n2c3h5w6k4r3s2p1", "conv2d:n1c5h7w4k3r1s3u2x1p0,1,2,0"] {
      for (inputFormat, outputFormat) in [
        (MemoryFormat.nhwc, MemoryFormat.nhwc), (.nchw, .nhwc), (.nhwc, .nchw),
      ] {
        let operation = ConvOperation(
          pass, try ConvProblem(parsing: text), inputFormat: inputFormat, outputFormat: outputFormat,
          epilogue: Epilogue(accumulate: true))
        let plan = try backend.plan(for: operation)
        #expect(plan.executedBy == "restricted via nchw conversion", "\(operation)")
        #expect(try execute(plan, seed: 5) == expectation(operation, seed: 5), "\(operation)")
      }
    }
  }

  /// A filter of more planes than one task moves.
  @Test(arguments: ConvPass.allCases)
  func stridesOfManySmallPlanes(_ pass: ConvPass) throws {
    let backend = restricted("dense passes", passes: Set(ConvPass.allCases))
    let operation = ConvOperation(pass, try ConvProblem(parsing: "conv2d:n1c97h4w4k101r3s2u2"))
    let plan = try backend.plan(for: operation)
    #expect(plan.executedBy.contains("polyphase"), "\(operation)")
    #expect(try execute(plan, seed: 6) == expectation(operation, seed: 6), "\(operation)")
  }

  @Test func aMissingPassQuotesTheReason() throws {
    let backend = restricted("one", passes: [])
    let operation = ConvOperation(.backwardData, try ConvProblem(parsing: "conv2d:n1c1h4w4k1r3s3u2"))
    let reason = try #require(backend.support(for: operation).reason)
    #expect(reason.hasPrefix("restricted: one"))
    #expect(throws: ConvError.self) { try backend.plan(for: operation) }
  }

  @Test func plansRefuseStaleFilters() throws {
    let backend = restricted("dense")
    let problem = try ConvProblem(parsing: "conv2d:n2c4h6w6k4r3s3u2l2g2p2")
    let plan = try backend.plan(for: ConvOperation(.forward, problem))
    var generator = PhiloxGenerator(seed: 7)
    let x = try integers(problem.inputShape, .float32, .nchw, &generator)
    var w = try integers(problem.filterShape, .float32, .nchw, &generator)
    let prepared = try plan.prepare(filter: w)
    let fresh = try plan.forward(input: x, filter: w).output
    #expect(
      try plan.forward(input: x, filter: w, prepared: prepared).output.values(as: Float.self)
        == fresh.values())
    w.withUnsafeMutablePointer(as: Float.self) { $0[0] += 1 }
    #expect(throws: ConvError.self) { try plan.forward(input: x, filter: w, prepared: prepared) }
    let other = try backend.plan(for: ConvOperation(.forward, try problem.withBatch(1)))
    let small = try Tensor.zeros([1, 4, 6, 6])
    #expect(throws: ConvError.self) { try other.forward(input: small, filter: w, prepared: prepared) }
  }

  // MARK: Helpers

  private struct Results: Equatable {
    var result: [Double]
    var extra: [Double]
  }

  private func operands(_ operation: ConvOperation, seed: UInt64) throws -> (
    x: Tensor, w: Tensor, y: Tensor, b: Tensor
  ) {
    var generator = PhiloxGenerator(seed: seed, stream: 1)
    let type = operation.elementType
    return (
      try integers(operation.problem.inputShape, type, operation.inputFormat, &generator),
      try integers(operation.problem.filterShape, type, operation.filterFormat, &generator),
      try integers(operation.problem.outputShape, type, operation.outputFormat, &generator),
      try integers([operation.problem.k], type, .nchw, &generator)
    )
  }

  private func doubles(_ tensor: Tensor?) throws -> [Double] {
    guard let tensor else { return [] }
    if tensor.elementType == .uint8 { return tensor.values(as: UInt8.self).map(Double.init) }
    return try tensor.converted(to: .float64).values()
  }

  private func execute(_ plan: any ConvPlan, seed: UInt64) throws -> Results {
    let operation = plan.operation
    let (x, w, y, b) = try operands(operation, seed: seed)
    let epilogue = operation.epilogue
    switch operation.pass {
    case .forward:
      let (out, argmax) = try plan.forward(
        input: x, filter: w, bias: epilogue.bias ? b : nil, accumulator: epilogue.accumulate ? y : nil)
      return Results(result: try doubles(out), extra: try doubles(argmax))
    case .backwardData:
      let dx = try plan.backwardData(outputGradient: y, filter: w, accumulator: epilogue.accumulate ? x : nil)
      return Results(result: try doubles(dx), extra: [])
    case .backwardFilter:
      let (dw, db) = try plan.backwardFilter(
        input: x, outputGradient: y, accumulator: epilogue.accumulate ? w : nil)
      return Results(result: try doubles(dw), extra: try doubles(db))
    }
  }

  /// The same by the oracle's plain plan, with the epilogue written out here.
  private func expectation(_ operation: ConvOperation, seed: UInt64) throws -> Results {
    var (x, w, y, b) = try operands(operation, seed: seed)
    let plain = ConvOperation(operation.pass, operation.problem, elementType: operation.elementType)
    let plan = try NaiveBackend().plan(for: plain)
    (x, w, y) = (try x.converted(to: .nchw), try w.converted(to: .nchw), try y.converted(to: .nchw))
    let epilogue = operation.epilogue
    func added(_ a: Tensor, _ old: Tensor) throws -> [Double] {
      let (a, old) = (try doubles(a), try doubles(old))
      return epilogue.accumulate ? zip(a, old).map { $0 + $1 } : a
    }
    switch operation.pass {
    case .backwardData:
      return Results(result: try added(try plan.backwardData(outputGradient: y, filter: w), x), extra: [])
    case .backwardFilter:
      let dw = try added(try plan.backwardFilter(input: x, outputGradient: y).filterGradient, w)
      guard epilogue.biasGradient else { return Results(result: dw, extra: []) }
      var db = [Double](repeating: 0, count: operation.problem.k)
      let plane = operation.problem.output.count
      for (index, value) in try doubles(y).enumerated() { db[index / plane % db.count] += value }
      return Results(result: dw, extra: db)
    case .forward:
      var out = try added(try plan.forward(input: x, filter: w).output, y)
      let bias = try doubles(b)
      let (height, width) = (operation.problem.output.h, operation.problem.output.w)
      let plane = operation.problem.output.count
      for i in out.indices {
        if epilogue.bias { out[i] += bias[i / plane % bias.count] }
        if epilogue.relu { out[i] = max(0, out[i]) }
      }
      guard epilogue.maxPool2x2 else { return Results(result: out, extra: []) }
      var pooled: [Double] = [], argmax: [Double] = []
      for channel in 0..<out.count / plane {
        for p in 0..<height / 2 {
          for q in 0..<width / 2 {
            let window = [0, 1, 2, 3].map { out[channel * plane + (2 * p + $0 / 2) * width + 2 * q + $0 % 2] }
            pooled.append(window.max()!)
            argmax.append(Double(window.firstIndex(of: window.max()!)!))
          }
        }
      }
      return Results(result: pooled, extra: argmax)
    }
  }
}
