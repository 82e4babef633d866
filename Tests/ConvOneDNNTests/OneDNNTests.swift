#if OneDNN
  import ConvCore
  import ConvHarness
  import Testing

  @testable import ConvOneDNN

  /// What oneDNN is told, against the oracle within the derived bounds.
  @Suite struct OneDNNTests {
    let backend = OneDNNBackend()

    static let problems = [
      "conv2d:n2c16h9w9k16r3s3p1", "conv2d:n2c3h11w9k5r3s3p1", "conv2d:n2c16h12w9k8r3s3p1u2x3",
      "conv2d:n1c8h12w11k16r3s3p2l2x3", "conv2d:n2c8h9w7k16r3s2p0,1,2,1", "conv2d:n2c16h8w8k16r3s3p1g2",
      "conv2d:n2c16h8w8k16r3s3p1g16", "conv2d:n1c6h9w9k9r5s5p2g3", "conv1d:n2c8w20k8s3p1",
      "conv3d:n1c4d5h6w6k8t2r3s3p1", "conv2d:n2c16h7w7k32r1s1", "conv2d:n1c3h21w20k16r7s7p3u2x2",
    ]

    func verify(
      _ operation: ConvOperation, _ options: PlanOptions, distribution: DataDistribution = .normal,
      on engine: (any ConvolutionBackend)? = nil
    ) throws -> Verification {
      let data = try ProblemData(problem: operation.problem, distribution: distribution, seed: 5)
      let expectation = Expectation(grid: .all(operation.problem, operation.pass), data: data)
      return Verifier().verify(
        engine ?? backend, operation, options, data: data, expectation: expectation)
    }

    @Test(arguments: problems, ConvPass.allCases)
    func isWithinItsBounds(_ text: String, _ pass: ConvPass) throws {
      let problem = try ConvProblem(parsing: text)
      for format in MemoryFormat.allCases {
        for filterFormat in MemoryFormat.allCases {
          let operation = ConvOperation(
            pass, problem, inputFormat: format, outputFormat: format, filterFormat: filterFormat)
          #expect(backend.nativeSupport(for: operation, PlanOptions()) == .supported, "\(operation)")
          for state in pass == .backwardFilter ? [FilterState.fresh] : [.fresh, .prepared] {
            let result = try verify(operation, PlanOptions(threads: 2, filterState: state))
            #expect(result.verdict == .passed, "\(operation) \(state): \(result.reason)")
          }
        }
      }
      let mixed = ConvOperation(pass, problem, inputFormat: .nhwc, outputFormat: .nchw)
      let result = try verify(mixed, PlanOptions())
      #expect(result.verdict == .passed, "\(mixed): \(result.reason)")
    }

    /// OpenMP's threads end and are made again between executions; that changes nothing in what they compute.
    @Test func threadsRestAndWake() throws {
      let operation = ConvOperation(
        .forward, try ConvProblem(parsing: "conv2d:n4c16h20w20k16r3s3p1"))
      for round in 0..<20 {
        if round % 2 == 0 { backend.restThreads() }
        if round % 3 == 0 { backend.wakeThreads(2) }
        let result = try verify(operation, PlanOptions(threads: 2))
        #expect(result.verdict == .passed, "round \(round): \(result.reason)")
      }
      backend.restThreads()
      backend.restThreads()
    }

    private static let batch = "conv2d:n12c20h9w9k12r3s3p1"

    private func batchOperation(_ pass: ConvPass, images: Int = 12) throws -> ConvOperation {
      ConvOperation(
        pass, try ConvProblem(parsing: Self.batch).withBatch(images),
        epilogue: Epilogue(biasGradient: pass == .backwardFilter))
    }

    /// More images than oneDNN's offsets reach, here those of five: gradients of several pieces are added up.
    @Test(arguments: ConvPass.allCases)
    func largeBatchesAreCut(_ pass: ConvPass) throws {
      let operation = try batchOperation(pass)
      let engine = InPieces(mostElements: 5 * 20 * 9 * 9)
      let options = PlanOptions(threads: 1)
      #expect(try OneDNNChunk.choose(operation, options).images == 12)
      #expect(try OneDNNChunk.choose(operation, options, mostElements: engine.mostElements).images == 4)
      let result = try verify(operation, options, on: engine)
      #expect(result.verdict == .passed, "\(operation): \(result.reason)")
      if pass == .backwardFilter {
        let data = try ProblemData(problem: operation.problem, distribution: .normal, seed: 8)
        let gradient = try engine.plan(for: operation, options).backwardFilter(
          input: data.input, outputGradient: data.outputGradient
        ).biasGradient
        try expectBiasGradient(gradient, data)
      }
    }

    /// A small limit cuts the batch where oneDNN's kernel reorders its images; other kernels need the same for any number of them.
    @Test(arguments: ConvPass.allCases)
    func smallWorkspacesCutBatches(_ pass: ConvPass) throws {
      let operation = try batchOperation(pass)
      func bytes(_ chunk: OneDNNChunk) -> Int { chunk.imageBytes + chunk.scratchpadBytes }
      let most = bytes(try OneDNNChunk.choose(operation, PlanOptions(threads: 1)))
      let least = bytes(try OneDNNChunk.choose(batchOperation(pass, images: 1), PlanOptions(threads: 1)))
      let options = PlanOptions(threads: 1, workspaceLimit: least + (most - least) / 3)
      let cut = try OneDNNChunk.choose(operation, options)
      #expect((cut.images < 12) == (least < most) && bytes(cut) <= options.workspaceLimit)
      let result = try verify(operation, options)
      #expect(result.verdict == .passed, "\(operation): \(result.reason)")
      // What one image needs is the least; a kernel that needs nothing has no limit.
      if least > 0 {
        let limit = least - 1
        let reason = backend.support(for: operation, PlanOptions(threads: 1, workspaceLimit: limit)).reason
        #expect(reason?.contains("the workspace limit of \(limit) bytes") == true, "\(reason ?? "supported")")
      }
    }

    /// A scratchpad of every thread that together exceed the limit: fewer threads compute.
    @Test func scratchpadsObeyTheLimit() throws {
      let problem = try ConvProblem(parsing: "conv2d:n2c32h20w20k32r31s31u2p31,62,31,62l2")
      let operation = ConvOperation(.backwardFilter, problem)
      let chunk = try OneDNNChunk.choose(operation, PlanOptions(threads: 64))
      #expect(chunk.threads < 64 && chunk.imageBytes + chunk.scratchpadBytes <= 64 << 20)
      #expect(try OneDNNChunk.choose(operation, PlanOptions(threads: 1)).threads == 1)
    }

    private func expectBiasGradient(_ gradient: Tensor?, _ data: ProblemData) throws {
      let found = try #require(gradient).values(as: Float.self)
      let dy = data.outputGradient.values(as: Float.self).map(Double.init)
      let (n, k, plane) = (data.problem.n, data.problem.k, data.problem.output.count)
      for channel in 0..<k {
        var (sum, magnitude) = (0.0, 0.0)
        for image in 0..<n {
          for i in 0..<plane {
            let value = dy[(image * k + channel) * plane + i]
            sum += value
            magnitude += abs(value)
          }
        }
        // √k·u·Σ|dy| with λ = 4, as for any sum.
        let bound = 4 * Double(n * plane).squareRoot() * 0x1p-24 * magnitude
        #expect(abs(Double(found[channel]) - sum) <= bound, "channel \(channel): \(found[channel]), \(sum)")
      }
    }

    @Test(arguments: MemoryFormat.allCases, [false, true])
    func biasAndReLU(_ format: MemoryFormat, _ relu: Bool) throws {
      let problem = try ConvProblem(parsing: "conv2d:n2c8h7w6k20r3s3p1")
      let data = try ProblemData(problem: problem, distribution: .normal, seed: 3)
      let bias = (0..<problem.k).map { Float($0) * 0.75 - 6 }
      let operation = ConvOperation(
        .forward, problem, inputFormat: format, outputFormat: format,
        epilogue: Epilogue(bias: true, relu: relu))
      #expect(backend.nativeSupport(for: operation, PlanOptions()) == .supported)
      let plan = try backend.plan(for: operation)
      let output = try plan.forward(
        input: data.input.converted(to: format), filter: data.filter,
        bias: Tensor(bias, shape: [problem.k])
      ).output.converted(to: .nchw).values(as: Float.self)
      let expectation = Expectation(grid: .all(problem, .forward), data: data)
      let columns = expectation.grid.columns
      for (i, row) in expectation.grid.rows.enumerated() {
        for (j, channel) in columns.enumerated() {
          let place = i * columns.count + j
          let sum = expectation.values[place] + Double(bias[channel])
          let expected = relu ? max(0, sum) : sum
          let bound =
            4 * Double(73).squareRoot() * 0x1p-24
            * (expectation.magnitudes[place] + abs(Double(bias[channel])))
          let found = Double(output[expectation.grid.index(row, channel)])
          #expect(abs(found - expected) <= bound, "channel \(channel): \(found), not \(expected)")
        }
      }
    }

    /// ReLU of a NaN is a NaN.
    @Test func nonFiniteValuesPassReLU() throws {
      for format in MemoryFormat.allCases {
        let problem = try ConvProblem(parsing: "conv2d:n1c8h6w6k16r3s3p1")
        var input = try Tensor.full(problem.inputShape, Float(1), format: format)
        input.withUnsafeMutablePointer(as: Float.self) { $0[0] = .nan }
        let filter = try Tensor.full(problem.filterShape, Float(0.5))
        let operation = ConvOperation(
          .forward, problem, inputFormat: format, outputFormat: format, epilogue: Epilogue(relu: true))
        let output = try backend.plan(for: operation).forward(input: input, filter: filter).output
          .converted(to: .nchw).values(as: Float.self)
        #expect(output[0].isNaN && output[7].isNaN && !output[35].isNaN, "\(format): \(output[0])")
      }
    }

    @Test func preparedFiltersBelongToTheirPlan() throws {
      let problem = try ConvProblem(parsing: "conv2d:n2c16h9w9k16r3s3p1")
      let data = try ProblemData(problem: problem, seed: 1)
      let plan = try backend.plan(for: ConvOperation(.forward, problem))
      let prepared = try plan.prepare(filter: data.filter)
      #expect(plan.preparedBytes >= 16 * 16 * 9 * 4)
      let other = try backend.plan(for: ConvOperation(.forward, problem.withBatch(1)))
      #expect(throws: ConvError.self) {
        try other.execute(
          ConvOperands(input: nil, output: nil, preparedFilter: prepared),
          workspace: UnsafeMutableRawBufferPointer(start: nil, count: 0), pool: .shared, phases: nil)
      }
      #expect(throws: ConvError.self) {
        try backend.plan(for: ConvOperation(.backwardFilter, problem)).prepare(filter: data.filter)
      }
    }

    @Test func variants() throws {
      let operation = ConvOperation(.forward, try ConvProblem(parsing: "conv2d:n2c64h28w28k64r3s3p1"))
      func plan(_ variant: String?) throws -> any ConvPlan {
        try backend.plan(for: operation, PlanOptions(variant: variant))
      }
      #expect(try plan("algorithm=direct").variant.hasPrefix("onednn[algorithm=direct,kernel="))
      #expect(try plan(nil).variant == plan("algorithm=auto").variant)
      let unknown = backend.support(for: operation, PlanOptions(variant: "algorithm=fft")).reason
      #expect(unknown?.contains("algorithm=winograd") == true, "\(unknown ?? "supported")")
      let winograd = PlanOptions(variant: "algorithm=winograd")
      if OneDNNLibrary.hasAVX512 {
        for pass in ConvPass.allCases {
          let operation = ConvOperation(pass, operation.problem)
          let result = try verify(operation, winograd)
          #expect(result.verdict == .passed, "\(operation): \(result.reason)")
          #expect(try backend.plan(for: operation, winograd).variant.contains("algorithm=winograd"))
        }
      } else {
        let reason = backend.support(for: operation, winograd).reason
        #expect(reason?.contains("AVX-512") == true, "\(reason ?? "supported")")
      }
    }

    @Test func declinesWithReasons() throws {
      let problem = try ConvProblem(parsing: "conv2d:n2c4h8w8k4r3s3p1")
      let options = PlanOptions()
      let double = ConvOperation(.forward, problem, elementType: .float64)
      #expect(backend.support(for: double, options).reason?.contains("float64") == true)
      for epilogue in [Epilogue(accumulate: true), Epilogue(maxPool2x2: true)] {
        let operation = ConvOperation(.forward, problem, epilogue: epilogue)
        #expect(!backend.nativeSupport(for: operation, options).isSupported)
        #expect(backend.support(for: operation, options) == .supported)
      }
      let huge = try ConvProblem(parsing: "conv2d:n1c1024h1024w1024k1r1s1")
      #expect(
        backend.support(for: ConvOperation(.forward, huge), options).reason?.contains("offsets") == true)
    }

    /// OpenMP is told the plan's number of threads for the time of a call, and the calling thread's own number afterwards.
    @Test func threadsAreThePlans() throws {
      let before = OneDNNLibrary.threads
      #expect(OneDNNLibrary.planning(threads: 3) { OneDNNLibrary.threads } == 3)
      for threads in [1, 5] {
        var found = 0
        try OneDNNLibrary.executing(threads: threads) { found = OneDNNLibrary.threads }
        #expect(found == threads)
      }
      #expect(OneDNNLibrary.threads == before)
      #expect(backend.threading == .ownThreads)
      #expect(OneDNNBackend.libraryVersion.contains("own threads"))
    }

    /// The values of `dnnl_cpu_isa_t`, of 2.6.3: each has the bits of what it includes.
    @Test(
      arguments: [
        (0x1, .base), (0x3, .avx), (0x7, .avx2), (0x407, .avx2), (0xf, .avx2), (0x27, .avx512),
        (0x67, .avx512),
        (0xe7, .avx512), (0x3e7, .avx512), (0x0, .base),
      ] as [(UInt32, VectorLevel)])
    func levels(_ isa: UInt32, _ level: VectorLevel) {
      #expect(OneDNNLibrary.level(isa) == level)
    }

    @Test func ownLevel() {
      #expect(OneDNNBackend.libraryLevel <= VectorLevel.cpu, "no library can use what the CPU lacks")
      #expect(OneDNNBackend.libraryVersion.contains("up to \(OneDNNBackend.libraryInstructions),"))
    }

    @Test func reordersAreAPhase() throws {
      let problem = try ConvProblem(parsing: "conv2d:n2c16h9w9k16r3s3p1")
      let data = try ProblemData(problem: problem, seed: 1)
      let plan = try #require(
        OneDNNBackend().forwardPlan(ConvOperation(.forward, problem), PlanOptions()) as? OneDNNPlan)
      let recorder = PhaseRecorder()
      _ = try plan.forward(input: data.input, filter: data.filter, phases: recorder)
      let names = recorder.phases.map(\.name)
      #expect(names.contains("convolution"))
      #expect(names.contains("reorder input") == plan.chunk.reordersInput)
      #expect(names.contains("reorder filter") == plan.chunk.reordersFilter)
      #expect(names.contains("reorder output") == plan.chunk.reordersOutput)
    }
  }

  /// oneDNN with offsets that reach fewer elements.
  private struct InPieces: ConvolutionBackend {
    let mostElements: Int
    var name: String { "onednn" }
    var nativePasses: Set<ConvPass> { Set(ConvPass.allCases) }

    func nativeSupport(for operation: ConvOperation, _ options: PlanOptions) -> Support {
      OneDNNBackend().nativeSupport(for: operation, options)
    }
    func forwardPlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan {
      try OneDNNPlan(operation, OneDNNChunk.choose(operation, options, mostElements: mostElements))
    }
    func backwardDataPlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan {
      try forwardPlan(operation, options)
    }
    func backwardFilterPlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan {
      try forwardPlan(operation, options)
    }
  }
#else
  import Testing

  @Test(.disabled("built without the trait OneDNN: no test of the oneDNN engine")) func theOneDNNEngine() {}
#endif
