#if FFTW
  import ConvCore
  import Testing

  @testable import ConvFFT

  /// Problems that each stress one corner.
  private let corners = [
    "conv2d:n2c3h17w17k5r3s3p1", "conv2d:n1c1h1w1k1r1s1", "conv2d:n1c16h14w14k17r3s3p1",
    // Unequal sides, unequal paddings, padding larger than the filter.
    "conv2d:n2c2h9w31k3r2s5p0,3,1,2", "conv2d:n1c2h5w6k2r3s3p7,1,0,9",
    // Strides: even, unequal, larger than the filter; with dilation and a common factor.
    "conv2d:n2c3h23w20k4r3s3u2p1", "conv2d:n1c2h30w30k3r11s11u4p2", "conv2d:n1c3h20w21k2r3s2u3x1p1",
    "conv2d:n2c2h19w23k3r2s3u5x4p1", "conv2d:n1c2h25w25k3r3s3u2p2l2", "conv2d:n1c2h25w29k3r3s3u2x3p3l3x2",
    "conv2d:n1c2h27w27k2r4s4u6p3l4",
    // Dilation.
    "conv2d:n1c3h20w22k2r3s3p2l2", "conv2d:n1c2h21w21k2r5s3p6l3x4",
    // Groups, depthwise, depthwise multiplier.
    "conv2d:n2c6h12w12k9r3s3p1g3", "conv2d:n2c13h15w15k13r3s3p1g13", "conv2d:n1c7h15w15k14r5s5p2g7",
    "conv2d:n1c36h9w9k36r3s3p1g2", "conv2d:n1c8h9w9k8r3s3u2p1g4",
    // Filters as large as the image, and larger than it.
    "conv2d:n2c3h8w7k5r8s7", "conv2d:n1c2h5w5k3r9s9p4", "conv2d:n1c2h6w40k3r6s5", "conv2d:n1c2h5w5k2r13s11p6",
    "conv2d:n1c2h31w31k2r31s31p15", "conv2d:n1c1h44w40k2r31s31p15",
    // 1×1, plain, strided, padded; patches.
    "conv2d:n2c19h7w7k23r1s1", "conv2d:n1c5h15w15k6r1s1u2", "conv2d:n2c4h6w5k3r1s1p1,2,0,1",
    "conv2d:n2c3h32w32k8r8s8u8", "conv2d:n1c4h9w9k4r1s1g2", "conv2d:n1c2h9w12k4r1s5p0,0,2,2",
    "conv2d:n1c3h11w11k2r2s2u4l3",
    // Prime channel counts, many of them.
    "conv2d:n1c67h6w6k71r3s3p1", "conv2d:n3c17h7w9k19r5s5p2",
    // 1-D.
    "conv1d:n2c3w57k4s5p2", "conv1d:n1c2w400k3s65p32", "conv1d:n1c2w50k3s3u3p1", "conv1d:n2c4w33k4s4l5p3g2",
  ]

  /// A problem drawn at random; small enough for the oracle.
  private func randomProblem(_ generator: inout PhiloxGenerator) throws -> ConvProblem? {
    func pick(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &generator) }
    let groups = [1, 1, 1, 2, 3][pick(0...4)]
    func axis() -> (Int, Int, Int, Int, Int, Int) {
      (pick(1...26), pick(1...7), pick(1...4), pick(1...4), pick(0...5), pick(0...5))
    }
    let (h, w) = (axis(), axis())
    return try? ConvProblem(
      spatialRank: 2, n: pick(1...3), c: groups * pick(1...9), k: groups * pick(1...9), groups: groups,
      input: Extent(h: h.0, w: w.0), filter: Extent(h: h.1, w: w.1), stride: Extent(h: h.2, w: w.2),
      padding: Padding(top: h.4, bottom: h.5, left: w.4, right: w.5), dilation: Extent(h: h.3, w: w.3))
  }

  /// The engine's own choice, and each provider where it has a plan.
  private let transforms = [nil, "transform=own", "transform=fftw"]

  extension Trial {
    /// Checks where the variant has a plan: the engine's own choice and FFTW always, our own transforms for plain 2-D filters.
    func checkWhereSupported() throws {
      let (problem, one) = (operation.problem, Extent(w: 1))
      let isPlain =
        problem.spatialRank == 2 && problem.stride == one && problem.dilation == one
        && problem.filter != one
      if let reason = backend.nativeSupport(for: operation, options).reason {
        #expect(options.variant == "transform=own" && !isPlain, "\(reproduction): \(reason)")
      } else {
        try check()
      }
    }
  }

  @Suite struct FFTResults {
    @Test(arguments: corners, ConvPass.allCases)
    func corner(_ text: String, _ pass: ConvPass) throws {
      try Trial<Double>(pass, text).check()
      for variant in transforms {
        var trial = try Trial<Float>(pass, text)
        trial.options.variant = variant
        try trial.checkWhereSupported()
        if pass != .backwardFilter {
          trial.prepared = true
          trial.options.filterState = .prepared
          try trial.checkWhereSupported()
        }
      }
    }

    @Test(arguments: 0..<40) func random(_ index: Int) throws {
      var generator = PhiloxGenerator(seed: UInt64(1000 + index), stream: 3)
      var problem: ConvProblem?
      while problem == nil { problem = try randomProblem(&generator) }
      for pass in ConvPass.allCases {
        var exact = Trial<Double>(pass, problem!)
        exact.seed = UInt64(index)
        try exact.check()
        for variant in transforms {
          var single = Trial<Float>(pass, problem!)
          single.seed = UInt64(index)
          single.options.variant = variant
          try single.checkWhereSupported()
        }
      }
    }

    /// Every tile size that fits: fast and dense transforms, odd and even, whole image and many tiles.
    @Test(arguments: [3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 15, 16, 18, 20, 21, 24, 27, 32, 40, 50])
    func tiles(_ side: Int) throws {
      for pass in ConvPass.allCases {
        for text in ["conv2d:n2c2h37w29k2r3s3p1", "conv2d:n1c17h11w13k18r3s2u2p1", "conv2d:n2c3h9w9k3r3s3g3"]
        {
          for variant in [
            "tile=\(side)x\(side),transform=fftw", "tile=\(side)x\(side + 3),transform=fftw",
            "fft[transform=fftw,tile=\(side + 1)x\(side)]",
          ] {
            var trial = try Trial<Float>(pass, text)
            trial.options.variant = variant
            let chosen = try trial.check()
            #expect(
              FFTVariant(variant, transforms: ["fftw"]) == FFTVariant(chosen, transforms: ["fftw"]),
              "\(chosen) for \(variant)")
          }
        }
      }
    }

    /// Blocks of tiles, of channels produced and of channels summed.
    @Test(arguments: ConvPass.allCases)
    func smallWorkspaces(_ pass: ConvPass) throws {
      let texts = [
        "conv2d:n2c40h12w12k50r3s3p1", "conv2d:n1c33h12w12k35r5s5p2", "conv2d:n2c12h20w20k12r3s3p1g12",
        "conv2d:n2c16h20w20k16r1s1u2", "conv2d:n1c5h30w30k4r15s15p7",
      ]
      for text in texts {
        var seen = 0
        for limit in [64 << 20, 1 << 20, 300 << 10, 100 << 10, 30 << 10, 8 << 10, 1 << 10] {
          for state in FilterState.allCases where state == .fresh || pass != .backwardFilter {
            var trial = try Trial<Float>(pass, text)
            trial.options.variant = "transform=fftw"
            trial.options.workspaceLimit = limit
            trial.options.filterState = state
            trial.prepared = state == .prepared
            switch FFTBackend().nativeSupport(for: trial.operation, trial.options) {
            case .supported:
              seen += 1
              try trial.check()
            case .unsupported(let reason):
              #expect(reason.contains("\(limit)"), "\(reason)")
            }
          }
        }
        #expect(seen >= 3, "\(text): only \(seen) limits were accepted")
      }
    }

    @Test(arguments: ConvPass.allCases)
    func loudImageBesideQuietOnes(_ pass: ConvPass) throws {
      for text in ["conv2d:n3c5h16w16k5r3s3p1", "conv2d:n3c3h20w20k4r9s9p4", "conv2d:n2c4h9w9k4r3s3p1g4"] {
        for loud in 0..<2 {
          var trial = try Trial<Float>(pass, text)
          trial.loudImage = (loud, 10_000)
          try trial.check()
        }
      }
    }

    /// The result of an image does not depend on the images beside it.
    @Test func batchSplittingChangesNothing() throws {
      var both = try Trial<Float>(.forward, "conv2d:n2c5h20w20k6r5s5p2")
      both.options.variant = "tile=16x16"
      let (result, data, _) = try both.run()
      var one = try Trial<Float>(.forward, "conv2d:n1c5h20w20k6r5s5p2")
      one.options.variant = "tile=16x16"
      let plan = try FFTBackend().nativePlan(for: one.operation, one.options)
      var half = [Float](repeating: .nan, count: result.count / 2)
      var (input, filter) = (data.input, data.filter)
      let workspace = try PooledBuffer(byteCount: plan.workspaceBytes)
      try input.withUnsafeMutableBytes { x in
        try filter.withUnsafeMutableBytes { w in
          try half.withUnsafeMutableBytes { y in
            try plan.execute(
              ConvOperands(input: x.baseAddress, filter: w.baseAddress, output: y.baseAddress),
              workspace: UnsafeMutableRawBufferPointer(
                start: workspace.baseAddress, count: plan.workspaceBytes),
              pool: .pool(threads: 1), phases: nil)
          }
        }
      }
      #expect(half == Array(result[..<half.count]), "\(both.reproduction)")
    }

    @Test(arguments: ConvPass.allCases)
    func threadsChangeNothing(_ pass: ConvPass) throws {
      for text in ["conv2d:n2c19h30w30k21r5s5p2", "conv2d:n1c6h12w12k6r3s3p1g6", "conv2d:n1c9h17w17k8r1s1u2"]
      {
        var results: [[Float]] = []
        for threads in [1, 2, 3, 7] {
          var trial = try Trial<Float>(pass, text)
          trial.options.threads = threads
          trial.pool = .pool(threads: threads)
          results.append(try trial.run().result)
        }
        for result in results.dropFirst() {
          #expect(result == results[0], "\(pass) \(text): results differ between thread counts")
        }
        // A pool with more threads than the plan was made for.
        var trial = try Trial<Float>(pass, text)
        trial.options.threads = 1
        trial.pool = .pool(threads: 3)
        #expect(try trial.run().result == results[0], "\(pass) \(text): a larger pool")
      }
    }

    /// Strides and paddings by which no output reads the input along one axis: gradients are zero.
    @Test(arguments: ConvPass.allCases)
    func inputsThatNothingReads(_ pass: ConvPass) throws {
      for text in [
        "conv2d:n1c8h17w1k16r3s1u1x2p2,2,1,1", "conv2d:n2c3h5w9k4r2s3u9x1p3,0,1,1", "conv1d:n1c2w1k3s2u4p3,0",
      ] { try Trial<Float>(pass, text).check() }
    }

    @Test(arguments: [ConvPass.forward, .backwardData])
    func preparedEqualsFresh(_ pass: ConvPass) throws {
      for text in ["conv2d:n2c19h30w30k21r5s5p2", "conv2d:n1c6h12w12k6r3s3p1g6", "conv2d:n1c9h17w17k8r1s1u2"]
      {
        var trial = try Trial<Float>(pass, text)
        let fresh = try trial.run().result
        trial.prepared = true
        #expect(try trial.run().result == fresh, "\(trial.reproduction)")
      }
    }
  }

  @Suite struct FFTPlans {
    /// Scratch of every thread that together exceeds the limit: fewer tasks run at once, in the same tiles.
    @Test(arguments: ConvPass.allCases, [ElementType.float32, .float64])
    func manyThreads(_ pass: ConvPass, _ type: ElementType) throws {
      for text in ["conv2d:n2c32h20w20k32r31s31p31", "conv2d:n1c16h30w30k16r9s9p4"] {
        let operation = ConvOperation(pass, try ConvProblem(parsing: text), elementType: type)
        for limit in [64 << 20, 8 << 20] {
          let plans = try [1, 2, 64, 1024].map {
            try FFTBackend().nativePlan(for: operation, PlanOptions(threads: $0, workspaceLimit: limit))
          }
          #expect(Set(plans.map(\.variant)).count == 1, "\(operation): \(plans.map(\.variant))")
          for plan in plans {
            let bytes = plan.workspaceBytes - filterBytes(plan)
            #expect(bytes <= limit, "\(plan.variant) for \(operation): \(bytes) of \(limit)")
          }
        }
      }
    }

    @Test func concurrentPlanningAndExecution() async throws {
      let texts = ["conv2d:n1c3h21w21k4r3s3p1", "conv2d:n1c3h33w33k4r7s7p3", "conv1d:n1c2w99k3s11p5"]
      try await withThrowingTaskGroup(of: Void.self) { group in
        for index in 0..<24 {
          group.addTask {
            let pass = ConvPass.allCases[index % 3]
            var trial = try Trial<Float>(pass, texts[index / 3 % 3])
            // New sizes, so that planning itself is concurrent.
            trial.options.variant =
              index % 2 == 0
              ? nil : "tile=\(texts[index / 3 % 3].hasPrefix("conv1") ? 1 : 34 + index)x\(41 + index % 5)"
            try trial.check()
          }
        }
        try await group.waitForAll()
      }
    }

    @Test func declinesWithReasons() throws {
      let problem = try ConvProblem(parsing: "conv2d:n1c3h9w9k4r3s3p1")
      func reason(_ operation: ConvOperation, _ variant: String? = nil) -> String {
        FFTBackend().nativeSupport(for: operation, PlanOptions(variant: variant)).reason ?? "supported"
      }
      let plain = ConvOperation(.forward, problem)
      #expect(reason(plain) == "supported")
      #expect(reason(plain, "tile=8x8") == "supported")
      #expect(reason(plain, "tile=2x8").contains("smaller than the filter's span of 3x3"))
      for wrong in [
        "tile=", "tile=8", "tile=0x8", "tile=8x8x8", "tile=-8x8", "points=1", "tile=99999999x8", "x",
        "transform=", "transform=mkl", "tile=8x8,", "tile=8x8,tile=8x8", "transform=own,transform=own",
      ] {
        #expect(reason(plain, wrong).contains("'\(wrong)' is no variant of fft"), "\(wrong)")
      }
      let strided = try ConvProblem(parsing: "conv2d:n1c3h9w9k4r3s3u2p1")
      #expect(reason(ConvOperation(.forward, strided, inputFormat: .nhwc)).contains("NCHW"))
      #expect(reason(ConvOperation(.forward, strided), "transform=own").contains("stride 1"))
      #expect(reason(plain, "tile=12x8,transform=own").contains("not 12x8"))
      #expect(reason(ConvOperation(.forward, problem, epilogue: Epilogue(relu: true))).contains("epilogue"))
      let volume = try ConvProblem(parsing: "conv3d:n1c1d3h3w3k1t2r2s2")
      #expect(reason(ConvOperation(.forward, volume)).contains("1-D and 2-D"))
      #expect(throws: ConvError.self) {
        try FFTBackend().nativePlan(for: plain, PlanOptions(variant: "tile=1x1"))
      }
    }

    @Test func badOperandsAreErrors() throws {
      let operation = ConvOperation(.forward, try ConvProblem(parsing: "conv2d:n1c33h20w20k40r5s5p2"))
      let plan = try FFTBackend().nativePlan(for: operation, PlanOptions())
      let nothing = UnsafeMutableRawBufferPointer(start: nil, count: 0)
      #expect(throws: ConvError.self) {
        try plan.execute(ConvOperands(), workspace: nothing, pool: .shared, phases: nil)
      }
      let x = try PooledBuffer(byteCount: 4 * 33 * 400)
      let w = try PooledBuffer(byteCount: 4 * 33 * 40 * 25)
      let y = try PooledBuffer(byteCount: 4 * 40 * 400)
      let all = ConvOperands(input: x.baseAddress, filter: w.baseAddress, output: y.baseAddress)
      #expect(throws: ConvError.workspaceTooSmall(needed: plan.workspaceBytes, found: 0)) {
        try plan.execute(all, workspace: nothing, pool: .shared, phases: nil)
      }
      // Another limit makes other blocks: its prepared filter must not be taken.
      let foreign = try planInOtherBlocks(than: plan).prepare(filter: w.baseAddress, pool: .shared)
      let workspace = try PooledBuffer(byteCount: plan.workspaceBytes)
      #expect(throws: ConvError.self) {
        try plan.execute(
          ConvOperands(input: x.baseAddress, output: y.baseAddress, preparedFilter: foreign),
          workspace: UnsafeMutableRawBufferPointer(start: workspace.baseAddress, count: plan.workspaceBytes),
          pool: .shared, phases: nil)
      }
      let gradient = ConvOperation(.backwardFilter, operation.problem)
      #expect(throws: ConvError.self) {
        try FFTBackend().nativePlan(for: gradient, PlanOptions()).prepare(
          filter: w.baseAddress, pool: .shared)
      }
    }

    @Test func describesItself() throws {
      let operation = ConvOperation(.forward, try ConvProblem(parsing: "conv2d:n1c4h64w64k4r5s5u2l3p2"))
      let plan = try FFTBackend().nativePlan(for: operation, PlanOptions(variant: "tile=12x10"))
      #expect(plan.variant == "fft[tile=12x10,transform=fftw]")
      #expect(plan.executedBy == "fft")
      #expect(plan.executedFLOPs > 0)
      // u = 2, l = 3: U = 6, two phases, three residues, span 3.
      let expected = ErrorModel.fft(
        height: 11 * 6 + 2 * 2 + 3 + 1, width: 9 * 6 + 2 * 2 + 3 + 1, stepH: 10 * 3, stepW: 8 * 3, depth: 16)
      #expect(plan.errorModel == expected)
      #expect(FFTBackend.libraryVersion.hasPrefix("fftw-3"))
    }
  }
#else
  import Testing

  @Test(.disabled("built without the trait FFTW: no test of the FFT engine")) func theFFTEngine() {}
#endif
