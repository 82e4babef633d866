#if FFTW
  import Testing

  @testable import ConvCore
  @testable import ConvFFT

  /// Problems that our own transforms take, each stressing one corner.
  private let corners = [
    // Odd sizes, channel tails, one channel, fewer channels than lanes, many.
    "conv2d:n2c3h17w19k5r3s3p1", "conv2d:n1c1h23w9k1r5s5p2", "conv2d:n1c17h13w14k9r5s3p1",
    "conv2d:n1c8h30w29k16r7s7p3", "conv2d:n1c33h12w12k35r5s5p2", "conv2d:n2c1h20w20k19r9s9p4",
    "conv2d:n1c21h11w12k1r2s4p1",
    // Unequal paddings, padding larger than the filter, none, filters as large as the image and larger.
    "conv2d:n2c2h9w31k3r2s5p0,3,1,2", "conv2d:n1c2h5w6k2r3s3p7,1,0,9", "conv2d:n1c9h12w10k10r3s3",
    "conv2d:n1c3h6w7k4r6s6", "conv2d:n1c2h5w5k3r9s9p4", "conv2d:n1c2h5w5k2r13s11p6",
    "conv2d:n1c2h70w68k3r31s31p15", "conv2d:n1c2h9w9k3r1s5p0,0,2,2", "conv2d:n1c3h40w9k2r20s1p9,10,0,0",
    // Groups, images.
    "conv2d:n2c6h12w12k9r3s3p1g3", "conv2d:n1c36h9w9k34r5s5p2g2", "conv2d:n4c5h9w9k6r4s4p1",
  ]

  private func own(_ pass: ConvPass, _ text: String, tile: String? = nil) throws -> Trial<Float> {
    var trial = try Trial<Float>(pass, text)
    trial.options.variant = (tile.map { "tile=\($0)," } ?? "") + "transform=own"
    return trial
  }

  @Suite struct OwnTransformResults {
    /// Every instruction set of this CPU, every corner, tiles by the cost model.
    @Test(arguments: corners, ConvPass.allCases)
    func instructionSets(_ text: String, _ pass: ConvPass) throws {
      for set in InstructionSet.available {
        var trial = try own(pass, text)
        trial.backend = FFTBackend([OwnTransforms(kernels: try #require(set.kernels))])
        #expect(try trial.check().hasSuffix("transform=own]"), "\(set)")
      }
    }

    @Test(arguments: [8, 16, 32, 64], [8, 16, 32, 64])
    func tiles(_ height: Int, _ width: Int) throws {
      for set in InstructionSet.available {
        for pass in ConvPass.allCases {
          for text in ["conv2d:n2c9h37w29k7r3s5p2", "conv2d:n1c3h20w70k5r8s8p3", "conv2d:n1c2h9w9k3r1s3"] {
            var trial = try own(pass, text, tile: "\(height)x\(width)")
            trial.backend = FFTBackend([OwnTransforms(kernels: try #require(set.kernels))])
            #expect(try trial.check() == "fft[tile=\(height)x\(width),transform=own]")
          }
        }
      }
    }

    /// There and back is half the tile (`inverse` expects a product of two spectra, each doubled); what lies behind the
    /// tile's rows and columns in memory is not read.
    @Test(arguments: [8, 16, 32, 64]) func thereAndBack(_ side: Int) throws {
      for set in InstructionSet.available {
        let kernels = try #require(set.kernels)
        let transform = try #require(OwnTransform(TileSize(height: side, width: side), kernels: kernels))
        let lanes = transform.lanes
        for (rows, columns) in [(side, side), (side - 1, side - 3), (3, side), (5, 2), (1, 1)] {
          let stride = (columns + 1) * lanes
          var strip = [Float](repeating: .nan, count: (rows + 1) * stride)
          var generator = PhiloxGenerator(seed: UInt64(side), stream: 1)
          for i in 0..<rows {
            for j in 0..<columns * lanes { strip[i * stride + j] = Float(2 * generator.uniform() - 1) }
          }
          var work = [Float](repeating: .nan, count: transform.work)
          var spectrum = [Float](repeating: .nan, count: transform.bins * transform.line)
          var back = [Float](repeating: .nan, count: (rows + 1) * stride)
          transform.forward(
            strip, rowStride: stride, rows: rows, columns: columns, work: &work, into: &spectrum,
            binStride: transform.line)
          transform.inverse(
            spectrum, binStride: transform.line, rows: rows, columns: columns, work: &work, into: &back,
            rowStride: stride)
          for i in 0..<rows + 1 {
            for j in 0..<stride {
              let value = back[i * stride + j]
              if i < rows && j < columns * lanes {
                #expect(abs(2 * value - strip[i * stride + j]) < 2e-6, "\(set) \(side): \(rows)x\(columns)")
              } else {
                #expect(value.isNaN, "written behind the tile: \(set) \(side): \(rows)x\(columns)")
              }
            }
          }
        }
      }
    }

    /// Both providers on the same data: each within rounding of the other, whatever the oracle's bound.
    @Test(arguments: ConvPass.allCases)
    func agreesWithFFTW(_ pass: ConvPass) throws {
      for (text, tile) in [
        ("conv2d:n2c19h30w30k21r5s5p2", "16x16"), ("conv2d:n1c64h20w20k40r7s7p3", "32x16"),
        ("conv2d:n1c8h50w50k8r15s15p7", "32x32"), ("conv2d:n1c5h64w64k9r31s31p15", "64x64"),
      ] {
        let ours = try own(pass, text, tile: tile).run().result
        var trial = try Trial<Float>(pass, text)
        trial.options.variant = "tile=\(tile),transform=fftw"
        let theirs = try trial.run().result
        let largest = theirs.reduce(0) { max($0, abs($1)) }
        let difference = zip(ours, theirs).reduce(0) { max($0, abs($1.0 - $1.1)) }
        #expect(difference <= 2e-6 * largest, "\(pass) \(text): \(difference) of \(largest)")
      }
    }

    @Test(arguments: ConvPass.allCases)
    func formats(_ pass: ConvPass) throws {
      for text in [
        "conv2d:n2c19h14w13k21r5s3p2", "conv2d:n1c16h12w20k8r7s7p3", "conv2d:n2c15h12w12k12r3s3p1g3",
      ] {
        for (x, w, y) in [
          (MemoryFormat.nhwc, MemoryFormat.nchw, MemoryFormat.nhwc), (.nhwc, .nhwc, .nhwc),
          (.nchw, .nhwc, .nhwc), (.nhwc, .nchw, .nchw),
        ] {
          let plain = try own(pass, text).run().result
          var trial = try own(pass, text)
          (trial.operation.inputFormat, trial.operation.filterFormat, trial.operation.outputFormat) = (
            x, w, y
          )
          try trial.check()
          #expect(try areEqual(trial.run().result, plain), "\(trial.reproduction)")
        }
      }
    }

    @Test(arguments: ConvPass.allCases)
    func threadsChangeNothing(_ pass: ConvPass) throws {
      for text in ["conv2d:n2c19h30w30k21r5s5p2", "conv2d:n1c3h70w70k4r31s31p15"] {
        var first: [Float]?
        for threads in [1, 2, 3, 7] {
          var trial = try own(pass, text)
          trial.options.threads = threads
          trial.pool = .pool(threads: threads)
          let result = try trial.run().result
          #expect(areEqual(result, first ?? result), "\(trial.reproduction): \(threads) threads")
          first = first ?? result
        }
      }
    }

    /// Sums are taken in order, whatever the blocks: limits change the plan, but no bit of the result.
    @Test(arguments: ConvPass.allCases)
    func blocksChangeNothing(_ pass: ConvPass) throws {
      for text in [
        "conv2d:n3c40h30w30k50r3s3p1", "conv2d:n1c70h12w12k35r5s5p2", "conv2d:n2c150h9w9k12r3s3p1",
      ] {
        var first: [Float]?
        var plans: Set<Int> = []
        for limit in [64 << 20, 4 << 20, 1 << 20, 400 << 10, 150 << 10, 80 << 10] {
          for prepared in [false, true] where !prepared || pass != .backwardFilter {
            var trial = try own(pass, text, tile: "8x8")
            trial.options.workspaceLimit = limit
            trial.prepared = prepared
            guard trial.backend.nativeSupport(for: trial.operation, trial.options).isSupported else {
              continue
            }
            let (result, _, plan) = try trial.run()
            if first == nil { try trial.check() }
            plans.insert(plan.workspaceBytes)
            #expect(areEqual(result, first ?? result), "\(trial.reproduction)")
            first = first ?? result
          }
        }
        #expect(plans.count >= 3, "\(text): only \(plans.count) ways to cut it")
      }
    }

    @Test(arguments: [ConvPass.forward, .backwardData])
    func preparedEqualsFresh(_ pass: ConvPass) throws {
      for text in [
        "conv2d:n2c19h30w30k21r5s5p2", "conv2d:n1c36h9w9k34r5s5p2g2", "conv2d:n1c1h40w40k3r15s15p7",
      ] {
        var trial = try own(pass, text)
        let fresh = try trial.run().result
        trial.prepared = true
        #expect(try areEqual(trial.run().result, fresh), "\(trial.reproduction)")
      }
    }

    /// A loud image costs its neighbours nothing: their bits are those that they have alone.
    @Test(arguments: ConvPass.allCases)
    func loudImageBesideQuietOnes(_ pass: ConvPass) throws {
      for text in ["conv2d:n3c5h16w16k5r3s3p1", "conv2d:n3c9h20w20k4r9s9p4"] {
        let plain = try own(pass, text).run().result
        for loud in 0..<2 {
          var trial = try own(pass, text)
          trial.loudImage = (loud, 10_000)
          try trial.check()
          if pass == .backwardFilter { continue }
          let result = try trial.run().result
          let size = result.count / 3
          for image in 0..<3 where image != loud {
            let range = image * size..<(image + 1) * size
            #expect(
              areEqual(result[range], plain[range]), "\(trial.reproduction): image \(image) beside \(loud)")
          }
        }
      }
    }

    /// Non-finite inputs reach the results that read them.
    @Test func infinityStays() throws {
      let trial = try own(.forward, "conv2d:n1c9h20w20k10r5s5p2")
      let plan = try trial.backend.nativePlan(for: trial.operation, trial.options)
      var data = trial.data()
      data.input[10 * 20 + 10] = .infinity
      let workspace = try PooledBuffer(byteCount: plan.workspaceBytes)
      try data.input.withUnsafeMutableBytes { x in
        try data.filter.withUnsafeMutableBytes { w in
          try data.output.withUnsafeMutableBytes { y in
            try plan.execute(
              ConvOperands(input: x.baseAddress, filter: w.baseAddress, output: y.baseAddress),
              workspace: UnsafeMutableRawBufferPointer(
                start: workspace.baseAddress, count: plan.workspaceBytes), pool: .pool(threads: 2),
              phases: nil)
          }
        }
      }
      for k in 0..<10 {
        for p in 8...12 {
          for q in 8...12 { #expect(!data.output[(k * 20 + p) * 20 + q].isFinite, "\(k), \(p), \(q)") }
        }
      }
    }
  }

  @Suite struct OwnTransformPlans {
    /// Large filters over many channels are what our own transforms are for; a few channels leave their lanes empty.
    @Test(arguments: ConvPass.allCases)
    func isTheChoiceForLargeKernels(_ pass: ConvPass) throws {
      for (text, isOwn) in [
        ("conv2d:n1c64h56w56k64r7s7p3", true), ("conv2d:n1c64h56w56k64r15s15p7", true),
        ("conv2d:n1c32h64w64k32r31s31p15", true), ("conv2d:n1c16h56w56k16r7s7p3g16", false),
        ("conv2d:n1c64h56w56k64r7s7u2p3", false), ("conv2d:n1c64h56w56k64r1s1", false),
        ("conv2d:n1c4h200w200k4r70s70", false),
      ] {
        let operation = ConvOperation(pass, try ConvProblem(parsing: text))
        let plan = try FFTBackend().nativePlan(for: operation, PlanOptions(threads: 2))
        #expect(plan.variant.contains("transform=own") == isOwn, "\(operation): \(plan.variant)")
      }
    }

    @Test func describesItself() throws {
      let operation = ConvOperation(
        .backwardFilter, try ConvProblem(parsing: "conv2d:n3c24h30w30k40r5s7p2,2,3,3"))
      let plan = try FFTBackend().nativePlan(for: operation, PlanOptions(variant: "tile=16x32,transform=own"))
      #expect(plan.variant == "fft[tile=16x32,transform=own]")
      #expect(plan.executedBy == "fft")
      #expect(plan.preparedBytes == 0)
      #expect(plan.executedFLOPs > 8 * 3 * 6 * 24 * 40 * (16 * 32 / 2))
      #expect(
        plan.errorModel == ErrorModel.fft(height: 16, width: 32, stepH: 12, stepW: 26, depth: 3 * 3 * 2))
    }

    /// Prepared filters of other blocks and other lanes are refused.
    @Test func foreignPreparedFilters() throws {
      let operation = ConvOperation(.forward, try ConvProblem(parsing: "conv2d:n1c33h20w20k40r5s5p2"))
      let options = PlanOptions(variant: "tile=16x16,transform=own")
      let plan = try FFTBackend().nativePlan(for: operation, options)
      let baseline = try #require(InstructionSet.baseline.kernels)
      let x = try PooledBuffer(byteCount: 4 * 33 * 400)
      let w = try PooledBuffer(byteCount: 4 * 33 * 40 * 25)
      let y = try PooledBuffer(byteCount: 4 * 40 * 400)
      let workspace = try PooledBuffer(byteCount: plan.workspaceBytes)
      var others = [try planInOtherBlocks(than: plan)]
      if InstructionSet.current != .baseline {
        others.append(try FFTBackend([OwnTransforms(kernels: baseline)]).nativePlan(for: operation, options))
      }
      for other in others {
        let foreign = try other.prepare(filter: w.baseAddress, pool: .shared)
        #expect(throws: ConvError.self) {
          try plan.execute(
            ConvOperands(input: x.baseAddress, output: y.baseAddress, preparedFilter: foreign),
            workspace: workspace.bytes, pool: .shared, phases: nil)
        }
      }
    }
  }
#endif
