#if FFTW
  import ConvCore
  import ConvTestSupport
  import Synchronization
  import Testing

  @testable import ConvFFT

  /// Oracle values by operation and data: many trials differ in the plan's options only.
  private let knownValues = Mutex<[String: [(sum: Double, magnitude: Double)]]>([:])

  /// Transformed filters do not count towards the limit; a fresh plan holds at most all of them.
  func filterBytes(_ plan: any ConvPlan) -> Int {
    if plan.operation.pass != .backwardFilter { return plan.preparedBytes }
    if let own = plan as? OwnPlan { return own.layout.filterBytes }
    guard let spectral = plan as? SpectralPlan else { return 0 }
    return spectral.layout.filterBytes
  }

  /// A plan of the same variant whose filters come in other blocks: under the largest of ever smaller limits that makes it so,
  /// whatever the vectors' width and the number of threads.
  func planInOtherBlocks(than plan: any ConvPlan) throws -> any ConvPlan {
    func blocks(_ plan: any ConvPlan) throws -> [Int] {
      try #require((plan as? OwnPlan)?.fingerprint ?? (plan as? SpectralPlan)?.fingerprint)
    }
    var options = PlanOptions(workspaceLimit: plan.workspaceBytes, variant: plan.variant)
    var other = plan
    while try blocks(other) == blocks(plan) {
      options.workspaceLimit -= (options.workspaceLimit + 7) / 8
      other = try FFTBackend().nativePlan(for: plan.operation, options)
    }
    return other
  }

  /// One execution of an operation on random data, results poisoned before and judged by the oracle.
  struct Trial<T: ConvScalar> {
    var operation: ConvOperation
    var backend = FFTBackend()
    var options = PlanOptions(threads: 2)
    var seed: UInt64 = 1
    /// Multiplies the input and output gradient of one image.
    var loudImage: (index: Int, factor: T)?
    /// Executes with a prepared filter.
    var prepared = false
    var pool = WorkerPool.pool(threads: 2)

    init(_ pass: ConvPass, _ problem: ConvProblem) {
      operation = ConvOperation(pass, problem, elementType: T.elementType)
    }

    init(_ pass: ConvPass, _ text: String) throws {
      self.init(pass, try ConvProblem(parsing: text))
    }

    /// What a failure message needs to be reproduced.
    var reproduction: String {
      "\(operation) seed \(seed) variant \(options.variant ?? "-") limit \(options.workspaceLimit)"
    }

    /// Operands: random ones, and NaN for the result.
    struct Data {
      var input, filter, output: [T]
    }

    func data() -> Data {
      var generator = PhiloxGenerator(seed: seed, stream: 7)
      let problem = operation.problem
      func values(_ shape: [Int], _ written: Bool) -> [T] {
        (0..<shape.reduce(1, *)).map { _ in
          written ? T.nan : T(2 * generator.uniform() - 1)
        }
      }
      var data = Data(
        input: values(problem.inputShape, operation.pass == .backwardData),
        filter: values(problem.filterShape, operation.pass == .backwardFilter),
        output: values(problem.outputShape, operation.pass == .forward))
      if let (index, factor) = loudImage {
        func amplify(_ values: inout [T]) {
          let size = values.count / problem.n
          for i in index * size..<(index + 1) * size { values[i] *= factor }
        }
        amplify(&data.input)
        amplify(&data.output)
      }
      return data
    }

    /// The result, and the plan's variant.
    func run() throws -> (result: [T], data: Data, plan: any ConvPlan) {
      let plan = try backend.nativePlan(for: operation, options)
      #expect(
        plan.workspaceBytes <= options.workspaceLimit + filterBytes(plan),
        "workspace of \(reproduction)")
      let logical = data()
      var data = logical
      convert(&data, toPhysical: true)
      try data.input.withUnsafeMutableBytes { x in
        try data.filter.withUnsafeMutableBytes { w in
          try data.output.withUnsafeMutableBytes { y in
            var operands = ConvOperands(input: x.baseAddress, filter: w.baseAddress, output: y.baseAddress)
            if prepared {
              operands.preparedFilter = try plan.prepare(filter: UnsafeRawPointer(w.baseAddress!), pool: pool)
              operands.filter = nil
            }
            try plan.executeGuarded(operands, pool: pool)
          }
        }
      }
      convert(&data, toPhysical: false)
      let result =
        switch operation.pass {
        case .forward: data.output
        case .backwardData: data.input
        case .backwardFilter: data.filter
        }
      return (result, logical, plan)
    }

    /// Between the logical order and the operation's formats.
    private func convert(_ data: inout Data, toPhysical: Bool) {
      func convert(_ values: inout [T], _ shape: [Int], _ format: MemoryFormat) {
        let copy = values
        copy.withUnsafeBytes { from in
          values.withUnsafeMutableBytes { to in
            MemoryFormat.convert(
              from.baseAddress!, from: toPhysical ? .nchw : format, to: to.baseAddress!,
              as: toPhysical ? format : .nchw, shape: shape, elementType: T.elementType,
              pool: .pool(threads: 1))
          }
        }
      }
      convert(&data.input, operation.problem.inputShape, operation.inputFormat)
      convert(&data.filter, operation.problem.filterShape, operation.filterFormat)
      convert(&data.output, operation.problem.outputShape, operation.outputFormat)
    }

    /// Runs and compares with the oracle: every result within `factor`·u of the largest Σ|a·b| of its image.
    ///
    /// A transform spreads rounding errors over a tile, so that single sums are no measure; images never
    /// share one.
    @discardableResult
    func check(factor: Double = 24) throws -> String {
      let (result, data, plan) = try run()
      let problem = operation.problem
      let values = expected(data)
      let images = operation.pass == .backwardFilter ? 1 : problem.n
      let size = values.count / images
      for image in 0..<images {
        let range = image * size..<(image + 1) * size
        let largest = values[range].reduce(0) { max($0, $1.magnitude) }
        let bound = factor * T.elementType.unitRoundoff * largest
        for index in range {
          let error = abs(Double(result[index]) - values[index].sum)
          guard error <= bound else {
            Issue.record(
              """
              \(reproduction) [\(plan.variant)]: result \(index) is \(result[index]), \
              expected \(values[index].sum), error \(error) > \(bound)
              """)
            return plan.variant
          }
        }
      }
      return plan.variant
    }

    /// Every result by the oracle.
    private func expected(_ data: Data) -> [(sum: Double, magnitude: Double)] {
      let problem = operation.problem
      let key =
        "\(operation.pass) \(problem) \(T.self) \(seed) \(loudImage.map { "\($0)" } ?? "")"
      if let known = knownValues.withLock({ $0[key] }) { return known }
      let plain = oracleValues(problem, operation.pass, data.input, data.filter, data.output)
      knownValues.withLock { $0[key] = plain }
      return plain
    }
  }
#endif

/// Equality of long results: `#expect(a == b)` would look for the shortest edit from one to the other when they differ, which
/// takes minutes.
func areEqual(_ a: some Sequence<Float>, _ b: some Sequence<Float>) -> Bool { a.elementsEqual(b) }
