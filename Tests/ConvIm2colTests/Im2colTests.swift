import ConvCore
import Testing

@testable import ConvIm2col

/// The engine against the formula on random problems, all of it: passes, ranks, strides, dilations, groups, paddings, formats,
/// element types, epilogues, limits.
@Suite struct Im2colTests {
  private func backend(_ multiplier: Multiplier) -> Im2colBackend {
    Im2colBackend(multiplier: multiplier.value)
  }

  private func check<T: ConvScalar>(
    _: T.Type, _ multiplier: Multiplier, _ operation: ConvOperation, _ options: PlanOptions, seed: UInt64,
    isPrepared: Bool = false
  ) throws {
    let run = Run<T>(operation, seed: seed)
    try check(
      run, expected: run.expected(), multiplier, options, seed: seed, exact: false, isPrepared: isPrepared)
  }

  private func check<T: ConvScalar>(
    _ run: Run<T>, expected: [(value: Double, magnitude: Double)], _ multiplier: Multiplier,
    _ options: PlanOptions, seed: UInt64, exact: Bool, isPrepared: Bool
  ) throws {
    let operation = run.operation
    let plan = try backend(multiplier).plan(for: operation, options)
    #expect(plan.executedBy == "im2col", "\(operation): a lowering stepped in")
    #expect(
      plan.workspaceBytes <= options.workspaceLimit,
      "\(operation): \(plan.workspaceBytes) bytes of workspace, the limit is \(options.workspaceLimit)")
    let note =
      "seed \(seed) gemm \(multiplier.value.name) limit \(options.workspaceLimit) prepared \(isPrepared)"
    let found = try run.result(of: plan, isPrepared: isPrepared)
    expectFormula(operation, expected, found, exact: exact, note)
  }

  @Test(arguments: Multiplier.all, ConvPass.allCases)
  func randomProblems(_ multiplier: Multiplier, _ pass: ConvPass) throws {
    for seed in UInt64(0)..<120 {
      var generator = ProblemGenerator(seed: seed)
      let problem = generator.problem()
      let format: MemoryFormat = seed % 2 == 0 ? .nchw : .nhwc
      var epilogue = Epilogue(accumulate: seed % 5 == 1)
      if pass == .forward {
        epilogue.bias = seed % 3 == 0
        epilogue.relu = seed % 4 == 0
      }
      let type: ElementType = seed % 3 == 2 ? .float64 : .float32
      let operation = ConvOperation(
        pass, problem, elementType: type, inputFormat: format, outputFormat: format, filterFormat: format,
        epilogue: epilogue)
      let options = PlanOptions(threads: 2)
      let isPrepared = pass != .backwardFilter && seed % 7 == 0
      if type == .float64 {
        try check(Double.self, multiplier, operation, options, seed: seed, isPrepared: isPrepared)
      } else {
        try check(Float.self, multiplier, operation, options, seed: seed, isPrepared: isPrepared)
      }
    }
  }

  /// Problems large enough to be cut into several blocks in every direction, exact in integers: a lost tail or a tap counted twice
  /// cannot hide below a tolerance.
  @Test(
    arguments: [
      "conv2d:n1c40h30w31k20r3s3p1", "conv2d:n9c3h33w20k11r5s5u2p2", "conv2d:n2c24h19w23k17r1s1",
      "conv2d:n1c5h70w70k4r7s3p3", "conv3d:n1c6d9h11w10k7t3r3s3p1", "conv1d:n1c10w3000k6s9p4",
      "conv2d:n2c12h28w28k24r3s3p0,3,2,1l2x1u1x2g4", "conv2d:n1c300h9w9k4r3s3p1",
      "conv2d:n1c2h40w150k3r3s3p1",
      "conv2d:n1c16h14w14k16r3s3p1g16", "conv2d:n3c4h7w7k4r9s9p4", "conv2d:n1c3h2w2k2r1s5p0,0,2,2",
      // Slabs of a dilated image gradient.
      "conv2d:n1c3h40w20k4r3s3p2,2,1,1l2x1",
    ], ConvPass.allCases)
  func blocksInIntegers(_ text: String, _ pass: ConvPass) throws {
    let problem = try ConvProblem(parsing: text)
    for format in MemoryFormat.allCases {
      let operation = ConvOperation(
        pass, problem, inputFormat: format, outputFormat: format, filterFormat: format)
      var run = Run<Float>(operation, seed: 7)
      run.useIntegers()
      let expected = try run.expected()
      for multiplier in Multiplier.all {
        for limit in [64 << 20, 100_000, 3000] {
          let options = PlanOptions(threads: 3, workspaceLimit: limit)
          try check(run, expected: expected, multiplier, options, seed: 7, exact: true, isPrepared: false)
        }
      }
    }
  }

  /// Small images side by side in one block: remainders of images, strides, an identity, epilogues, a limit that forbids it.
  @Test(
    arguments: [
      "conv2d:n37c20h7w7k33r3s3p1", "conv2d:n41c35h9w9k40r1s1u2", "conv2d:n24c34h8w8k32r1s1",
      "conv2d:n17c6h16w16k32r7s7", "conv2d:n16c20h6w5k64r3s2u2p1g2", "conv1d:n29c9w30k36s4p2",
    ], ConvPass.allCases)
  func imagesShareBlocks(_ text: String, _ pass: ConvPass) throws {
    let problem = try ConvProblem(parsing: text)
    for format in MemoryFormat.allCases {
      for accumulate in [false, true] {
        let operation = ConvOperation(
          pass, problem, inputFormat: format, outputFormat: format, filterFormat: format,
          epilogue: Epilogue(bias: pass == .forward, relu: pass == .forward, accumulate: accumulate))
        var run = Run<Float>(operation, seed: 11)
        run.useIntegers()
        let expected = try run.expected()
        for multiplier in Multiplier.all {
          for limit in [64 << 20, 1 << 20, 1000 << 10] {
            let options = PlanOptions(threads: 2, workspaceLimit: limit)
            let plan = try backend(multiplier).plan(for: operation, options) as? Im2colPlan
            #expect(((plan?.blocking.images ?? 0) > 1) == (limit >= 1 << 20), "\(operation) limit \(limit)")
            try check(run, expected: expected, multiplier, options, seed: 11, exact: true, isPrepared: false)
          }
        }
      }
    }
  }

  @Test func tinyWorkspaceLimits() throws {
    for seed in UInt64(200)..<230 {
      var generator = ProblemGenerator(seed: seed)
      let problem = generator.problem()
      for pass in ConvPass.allCases {
        for limit in [64, 128, 1000] {
          try check(
            Float.self, Multiplier.all[0], ConvOperation(pass, problem),
            PlanOptions(threads: 4, workspaceLimit: limit),
            seed: seed)
        }
      }
    }
  }

  @Test func impossibleWorkspaceLimitIsDeclined() throws {
    let problem = try ConvProblem.conv2d(c: 2, h: 5, w: 5, k: 2, r: 3, s: 3)
    let backend = Im2colBackend()
    for limit in [63, 0, -5] {
      let support = backend.nativeSupport(
        for: ConvOperation(.forward, problem), PlanOptions(workspaceLimit: limit))
      #expect(support.reason?.contains("\(limit)") == true, "limit \(limit): \(support)")
    }
    // Without columns there is nothing to need a workspace for.
    let identity = try ConvProblem.conv2d(c: 2, h: 5, w: 5, k: 2, r: 1, s: 1)
    let plan = try backend.plan(for: ConvOperation(.forward, identity), PlanOptions(workspaceLimit: 0))
    #expect(plan.workspaceBytes == 0)
  }

  /// The result is the same bit by bit, whatever the pool and whatever number of threads the plan was made for.
  @Test(arguments: Multiplier.all, ConvPass.allCases)
  func threadsDoNotChangeBits(_ multiplier: Multiplier, _ pass: ConvPass) throws {
    let texts = [
      "conv2d:n1c64h28w28k32r3s3p1", "conv2d:n6c3h40w40k16r5s5u2p2", "conv2d:n2c32h14w14k48r1s1",
      "conv2d:n3c8h9w9k8r3s3p1g4", "conv3d:n1c4d8h8w8k4t3r3s3p1",
      "conv2d:n19c12h7w7k32r3s3p1",
    ]
    for text in texts {
      for format in MemoryFormat.allCases {
        let operation = ConvOperation(
          pass, try ConvProblem(parsing: text), inputFormat: format, outputFormat: format,
          filterFormat: format)
        let run = Run<Float>(operation, seed: 3)
        var first: [Float]?
        for (planned, pooled) in [(1, 1), (2, 2), (5, 3), (2, 5), (5, 1)] {
          let plan = try backend(multiplier).plan(for: operation, PlanOptions(threads: planned))
          let found = try run.result(of: plan, pool: WorkerPool.pool(threads: pooled))
          if let first {
            #expect(
              first.elementsEqual(found) { $0.bitPattern == $1.bitPattern },
              "\(operation) gemm \(multiplier.value.name): bits change with plan \(planned), pool \(pooled) threads"
            )
          }
          first = first ?? found
        }
      }
    }
  }

  @Test func nonFiniteInputsReachTheResult() throws {
    let problem = try ConvProblem(parsing: "conv2d:n1c3h6w6k4r3s3p1")
    for multiplier in Multiplier.all {
      let operation = ConvOperation(.forward, problem, epilogue: Epilogue(bias: true, relu: true))
      var run = Run<Float>(operation, seed: 5)
      run.x[14] = .nan
      let found = try run.result(of: backend(multiplier).plan(for: operation))
      // Element (2, 2) of channel 0 is read by outputs 1...3 of both axes.
      for k in 0..<4 {
        for (p, q) in [(1, 1), (2, 2), (3, 3), (1, 3)] {
          #expect(
            found[k * 36 + p * 6 + q].isNaN, "gemm \(multiplier.value.name): y[0,\(k),\(p),\(q)] lost the NaN"
          )
        }
        #expect(found[k * 36 + 5 * 6 + 5].isFinite)
      }
    }
  }

  @Test func declinesWithReasons() throws {
    let problem = try ConvProblem.conv2d(c: 2, h: 6, w: 6, k: 2, r: 3, s: 3)
    let backend = Im2colBackend()
    let pooled = backend.nativeSupport(
      for: ConvOperation(.forward, problem, epilogue: Epilogue(maxPool2x2: true)), PlanOptions())
    #expect(pooled.reason == "im2col does not pool")
    let mixed = backend.nativeSupport(
      for: ConvOperation(.forward, problem, inputFormat: .nhwc), PlanOptions())
    #expect(mixed.reason?.contains("mixture") == true)
    let unknown = backend.nativeSupport(
      for: ConvOperation(.forward, problem), PlanOptions(variant: "gemm=mkl"))
    #expect(unknown.reason == "im2col has no variant 'gemm=mkl'; it has gemm=kernel and gemm=openblas")
  }

  @Test func variantsChooseTheMultiplier() throws {
    let operation = ConvOperation(.forward, try ConvProblem.conv2d(c: 2, h: 6, w: 6, k: 2, r: 3, s: 3))
    let kernel = try Im2colBackend().plan(for: operation, PlanOptions(variant: "gemm=kernel"))
    #expect(kernel.variant == "im2col[gemm=kernel]")
    #if OpenBLAS
      #expect(try Im2colBackend().plan(for: operation).variant == "im2col[gemm=openblas]")
      let kernelBackend = Im2colBackend(multiplier: KernelMatrixMultiplier())
      #expect(try kernelBackend.plan(for: operation).variant == "im2col[gemm=kernel]")
      let chosen = try kernelBackend.plan(for: operation, PlanOptions(variant: "gemm=openblas"))
      #expect(chosen.variant == "im2col[gemm=openblas]")
    #else
      #expect(try Im2colBackend().plan(for: operation).variant == "im2col[gemm=kernel]")
      let declined = Im2colBackend().nativeSupport(for: operation, PlanOptions(variant: "gemm=openblas"))
      #expect(declined.reason?.contains("trait OpenBLAS") == true)
    #endif
  }

  @Test func preparedFilters() throws {
    let problem = try ConvProblem.conv2d(c: 3, h: 6, w: 6, k: 4, r: 3, s: 3)
    let plan = try Im2colBackend().plan(for: ConvOperation(.forward, problem))
    let other = try Im2colBackend().plan(for: ConvOperation(.backwardData, problem))
    #expect(plan.preparedBytes == 4 * 3 * 9 * 4)
    let filter = try Tensor([Float](repeating: 1, count: 108), shape: [4, 3, 3, 3])
    let input = try Tensor([Float](repeating: 1, count: 108), shape: [1, 3, 6, 6])
    let prepared = try plan.prepare(filter: filter)
    let result = try plan.forward(input: input, filter: filter, prepared: prepared).output
    #expect(result.values(as: Float.self).allSatisfy { $0 == 27 })
    let gradient = try Tensor([Float](repeating: 1, count: 64), shape: [1, 4, 4, 4])
    #expect(throws: ConvError.self) {
      try other.backwardData(outputGradient: gradient, filter: filter, prepared: prepared)
    }
    let gradientPlan = try Im2colBackend().plan(for: ConvOperation(.backwardFilter, problem))
    #expect(throws: ConvError.self) { try gradientPlan.prepare(filter: filter) }
  }

  @Test func smallWorkspaceIsAnError() throws {
    let problem = try ConvProblem.conv2d(c: 3, h: 6, w: 6, k: 4, r: 3, s: 3)
    let plan = try Im2colBackend().plan(for: ConvOperation(.forward, problem))
    let needed = plan.workspaceBytes
    #expect(throws: ConvError.workspaceTooSmall(needed: needed, found: 0)) {
      try plan.execute(
        ConvOperands(), workspace: UnsafeMutableRawBufferPointer(start: nil, count: 0), pool: .shared,
        phases: nil)
    }
  }

  @Test func workspaceIsBounded() throws {
    // The whole column matrix would take 1.8 GB.
    let problem = try ConvProblem(parsing: "conv2d:n16c64h224w224k64r3s3p1")
    for pass in ConvPass.allCases {
      for threads in [1, 2, 64] {
        let options = PlanOptions(threads: threads)
        let plan = try Im2colBackend().plan(for: ConvOperation(pass, problem), options)
        #expect(plan.workspaceBytes <= options.workspaceLimit, "\(pass) \(threads)")
      }
    }
  }

  @Test func executedFLOPs() throws {
    let problem = try ConvProblem.conv2d(n: 8, c: 8, h: 16, w: 16, k: 4, r: 3, s: 3, padding: 1)
    let direct = problem.directFLOPs
    #expect(try Im2colBackend().plan(for: ConvOperation(.forward, problem)).executedFLOPs == direct)
    #expect(try Im2colBackend().plan(for: ConvOperation(.backwardFilter, problem)).executedFLOPs == direct)
    // One addition per column element besides: N·P·Q·C·R·S.
    let scattered = try Im2colBackend().plan(for: ConvOperation(.backwardData, problem)).executedFLOPs
    #expect(abs(scattered - (direct + 8 * 256 * 72)) < 1)
  }
}
