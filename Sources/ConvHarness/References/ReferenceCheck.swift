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
  /// - Throws: `ConvError.allocationFailed`.
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

  /// Stored outputs include the bias; taking it off leaves the rounding of the sum, 2⁻⁵³·|y + b|, and one of the difference.
  private func uncertainty(
    _ reference: ReferenceCase, _ pass: ConvPass, _ expectation: Expectation
  ) -> [Double] {
    let biasedPass: ConvPass = reference.op == "conv_transpose2d" ? .backwardData : .forward
    guard let bias = reference.bias, pass == biasedPass else { return [] }
    let offsets = bias.values(as: Float.self)
    let columns = expectation.grid.columns
    return expectation.values.enumerated().map { i, value in
      0x1p-52 * (abs(value) + abs(Double(offsets[columns[i % columns.count]])))
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
      let verification = Verification(
        results: values, expectation: expectation, bounds: bounds,
        strayValue: Verifier.strayValue(in: result))
      if verification.verdict == .passed, let biasGradient, let expected = reference.biasGradient,
        let reason = wrongBiasGradient(biasGradient, expected, data)
      {
        return Verification(.failed, reason: reason)
      }
      return verification
    } catch {
      return Verification(.failed, reason: "\(backend.name) promised support, then: \(error)")
    }
  }

  /// db[k] = Σ dy over images and positions: min(k, λ√k)·u·Σ|dy| is tolerated.
  private func wrongBiasGradient(_ result: Tensor, _ expected: Tensor, _ data: ProblemData) -> String? {
    let problem = data.problem
    let plane = problem.output.count
    guard
      let found = try? result.converted(to: .float64).values(as: Double.self),
      let dy = try? data.outputGradient.converted(to: .float64).values(as: Double.self)
    else { return "the bias gradient cannot be read" }
    let wanted = expected.values(as: Double.self)
    var magnitudes = [Double](repeating: 0, count: problem.k)
    for i in dy.indices { magnitudes[i / plane % problem.k] += abs(dy[i]) }
    let factor = ErrorBounds.probabilistic(problem.n * plane) * data.elementType.unitRoundoff
    for k in 0..<problem.k where !(abs(found[k] - wanted[k]) <= factor * magnitudes[k] + 1e-300) {
      return "bias gradient \(k) is \(found[k]), \(wanted[k]) ± \(factor * magnitudes[k]) is expected"
    }
    return nil
  }
}
