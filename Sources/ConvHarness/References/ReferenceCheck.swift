import ConvCore

/// Stored references against backends.
public struct ReferenceCheck: Sendable {
  /// The outcome of one case, pass, element type and backend.
  public struct Outcome: Sendable {
    /// The case's operation and name.
    public var op: String
    public var name: String
    public var path: String
    public var backend: String
    public var operation: ConvOperation
    public var verification: Verification
    /// Whether the engine's declared minimum support covers the operation, so that declining is not acceptable.
    public var isRequired: Bool

    /// Whether the outcome makes a check fail: anything but a pass, a missing reference, or an allowed skip.
    public var isFailure: Bool {
      switch verification.verdict {
      case .passed, .missingReference: false
      case .failed, .mistrusted: true
      case .unsupported: isRequired
      }
    }

    /// A command that repeats this check alone.
    public var repro: String {
      "vbench check --references \(path) --backends \(backend) --passes \(operation.pass.rawValue)"
    }
  }

  /// Threads that plans run on.
  public let pool: WorkerPool
  /// Whether an engine must support an operation; skips where it must are failures.
  public let isRequired: @Sendable (String, ConvOperation) -> Bool

  /// A check with a rule for what may be skipped.
  public init(
    pool: WorkerPool = .shared, isRequired: @escaping @Sendable (String, ConvOperation) -> Bool
  ) {
    self.pool = pool
    self.isRequired = isRequired
  }

  /// Checks one case on every backend.
  ///
  /// The epilogues are checked with the passes: the bias with forward, its gradient with backwardFilter.
  /// - Throws: `MemoryError`.
  public func outcomes(
    of reference: ReferenceCase, backends: [any ConvolutionBackend],
    passes: [ConvPass] = ConvPass.allCases, elementTypes: [ElementType] = [.float32, .float64],
    options: PlanOptions = PlanOptions()
  ) throws -> [Outcome] {
    var result: [Outcome] = []
    for elementType in elementTypes {
      let data = try reference.data(as: elementType)
      for pass in passes {
        let operation = self.operation(reference, pass, elementType)
        guard let expected = reference.expected[pass] else {
          for backend in backends {
            result.append(
              outcome(reference, backend, operation, Verification(.missingReference, reason: "not stored")))
          }
          continue
        }
        let grid = SampleGrid.all(reference.problem, pass)
        let plain = Expectation(grid: grid, data: data, pool: pool)
        var expectation = Expectation(
          replacingValuesOf: plain, by: Verifier.values(of: expected, at: grid))
        expectation.uncertainty = uncertainty(reference, pass, expectation)
        for backend in backends {
          let verification = verify(backend, operation, options, reference, data, expectation)
          result.append(outcome(reference, backend, operation, verification))
        }
      }
    }
    return result
  }

  /// How far stored values may be from the truth: they are float64 sums of an unknown shape, and include the bias where there is one,
  /// which is taken off again.
  private func uncertainty(
    _ reference: ReferenceCase, _ pass: ConvPass, _ expectation: Expectation
  ) -> [Double] {
    let biasedPass: ConvPass = reference.op == "conv_transpose2d" ? .backwardData : .forward
    let offsets = pass == biasedPass ? reference.bias?.values(as: Float.self).map { abs(Double($0)) } : nil
    let columns = expectation.grid.columns
    let terms = reference.problem.summationDepth(pass)
    let sums = SumRoundings(.unknown(depth: terms), terms: terms)
    let lambda = ErrorBounds.lambda(judged: expectation.grid.count)
    return expectation.grid.indices.map { i in
      let y = abs(expectation.values[i])
      var square = sums.squares(total: y, terms: expectation.squares[i], path: expectation.paths[i])
      if let offset = offsets?[columns[i % columns.count]] {
        square += sums.ofBias(offset, total: y) + (y + offset) * (y + offset)
      }
      return lambda * 0x1p-53 * square.squareRoot()
    }
  }

  private func operation(
    _ reference: ReferenceCase, _ pass: ConvPass, _ elementType: ElementType
  ) -> ConvOperation {
    var epilogue = Epilogue.none
    let isPlain = reference.op != "conv_transpose2d"
    if isPlain && pass == .forward && reference.bias != nil && reference.biasedOutput != nil {
      epilogue.bias = true
    }
    if isPlain && pass == .backwardFilter && reference.biasGradient != nil { epilogue.biasGradient = true }
    return ConvOperation(pass, reference.problem, elementType: elementType, epilogue: epilogue)
  }

  private func outcome(
    _ reference: ReferenceCase, _ backend: any ConvolutionBackend, _ operation: ConvOperation,
    _ verification: Verification
  ) -> Outcome {
    Outcome(
      op: reference.op, name: reference.name, path: reference.path, backend: backend.name,
      operation: operation, verification: verification,
      isRequired: isRequired(backend.name, operation))
  }

  private func verify(
    _ backend: any ConvolutionBackend, _ operation: ConvOperation, _ options: PlanOptions,
    _ reference: ReferenceCase, _ data: ProblemData, _ expectation: Expectation
  ) -> Verification {
    if let reason = backend.support(for: operation, options).reason {
      return Verification(.unsupported, reason: reason)
    }
    do {
      let plan = try backend.plan(for: operation, options)
      let verifier = Verifier(pool: pool)
      let bias = try operation.epilogue.bias ? reference.bias?.converted(to: data.elementType) : nil
      let (result, biasGradient) = try verifier.execute(plan, data, bias: bias)
      guard
        let bounds = ErrorBounds(
          model: plan.errorModel, expectation: expectation, data: data, bias: bias, pool: pool)
      else {
        return Verification(
          .mistrusted, reason: "the error model \(plan.errorModel) does not describe \(operation)")
      }
      var values = Verifier.values(of: result, at: expectation.grid)
      if let bias {
        // Compared without the bias, which is exact in float64; its rounding is part of the bounds.
        let offsets = try bias.converted(to: .float64).values(as: Double.self)
        let columns = expectation.grid.columns
        for i in values.indices { values[i] -= offsets[columns[i % columns.count]] }
      }
      var verification = Verification(
        results: values, expectation: expectation, bounds: bounds,
        strayValue: Verifier.strayValue(in: result))
      verification.explainOverflow(of: plan, data)
      if verification.verdict == .passed, let biasGradient, let expected = reference.biasGradient,
        let reason = try wrongBiasGradient(biasGradient, expected, data)
      {
        return Verification(.failed, reason: reason)
      }
      return verification
    } catch {
      return Verification(.failed, reason: "\(backend.name) promised support, then: \(error)")
    }
  }

  /// db[k] = Σ dy over images and positions: the filter gradient of 1×1 taps and an image of ones, and bounded like it.
  private func wrongBiasGradient(_ result: Tensor, _ expected: Tensor, _ data: ProblemData) throws -> String?
  {
    let pr = data.problem
    let sums = try ConvProblem(
      spatialRank: pr.spatialRank, n: pr.n, c: 1, k: pr.k, groups: 1, input: pr.output, filter: Extent(w: 1),
      stride: Extent(w: 1), padding: Padding(), dilation: Extent(w: 1))
    let ones = try Tensor.full(sums.inputShape, Float(1))
    let ofOnes = try ProblemData(
      problem: sums, input: ones.converted(to: data.elementType),
      filter: .zeros(sums.filterShape, elementType: data.elementType), outputGradient: data.outputGradient)
    let grid = SampleGrid.all(sums, .backwardFilter)
    let expectation = Expectation(
      replacingValuesOf: Expectation(grid: grid, data: ofOnes, pool: pool),
      by: expected.values(as: Double.self))
    let model = ErrorModel.summation(
      .unknown(depth: sums.summationDepth(.backwardFilter)), accumulator: data.elementType)
    guard let bounds = ErrorBounds(model: model, expectation: expectation, data: ofOnes, pool: pool) else {
      return "the bias gradient has no bounds"
    }
    let found = try result.converted(to: .float64).values(as: Double.self)
    for k in 0..<pr.k where !(abs(found[k] - expectation.values[k]) <= bounds.bounds[k]) {
      return "bias gradient \(k) is \(found[k]), \(expectation.values[k]) ± \(bounds.bounds[k]) is expected"
    }
    return nil
  }
}
