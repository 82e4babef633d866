import ConvCore
import ConvDirect
import ConvTestSupport
import Testing

/// Determinism, workspaces, prepared filters and reasons.
@Suite struct PlanTests {
  static let texts = [
    "n1c24h40w38k40r3s3p1u2x2", "n3c3h31w30k64r7s7p3u2x2", "n2c70h12w12k64r1s1", "n2c40h20w21k40r3s3p1g40",
    "n5c16h9w9k3r3s3p1",
  ]

  /// The last one has as many partial sums of dw as are wanted: in the others the image or the filter allows only two.
  @Test("results are bit-equal on 1, 2 and 3 threads", arguments: texts + ["n4c3h40w41k8r3s3p1"])
  func threadCounts(_ text: String) throws {
    let problem = try ConvProblem(parsing: "conv2d:" + text)
    let example = RawTrial<Float>(problem, seed: 21)
    for pass in ConvPass.allCases {
      for format in MemoryFormat.allCases {
        let operation = operation(pass, problem, format)
        let one = try example.run(nativePlan(operation, PlanOptions(threads: 1)), pool: .pool(threads: 1))
        for threads in [2, 3] {
          let plan = try nativePlan(operation, PlanOptions(threads: threads))
          let more = try example.run(plan, pool: .pool(threads: threads))
          #expect(more.elementsEqual(one), "\(operation), seed 21: \(threads) threads differ from one")
        }
      }
    }
  }

  @Test("prepared filters give the bits of fresh ones", arguments: texts)
  func preparedFilters(_ text: String) throws {
    let problem = try ConvProblem(parsing: "conv2d:" + text)
    let example = RawTrial<Float>(problem, seed: 22)
    for pass in [ConvPass.forward, .backwardData] {
      for format in MemoryFormat.allCases {
        let plan = try nativePlan(operation(pass, problem, format))
        #expect(plan.preparedBytes > 0)
        #expect(
          try example.run(plan, prepared: true) == example.run(plan), "\(plan.operation), seed 22")
      }
    }
    let gradient = try nativePlan(operation(.backwardFilter, problem, .nhwc))
    #expect(throws: ConvError.self) { try example.run(gradient, prepared: true) }
  }

  /// Workspaces beyond the filter in panels obey the limit, or the plan is declined with the numbers.
  @Test("workspace limits", arguments: texts)
  func workspaceLimits(_ text: String) throws {
    let problem = try ConvProblem(parsing: "conv2d:" + text)
    let example = RawTrial<Float>(problem, seed: 23, integers: true)
    for pass in ConvPass.allCases {
      let expected = example.expected(pass)
      for format in MemoryFormat.allCases {
        for limit in [0, 1000, 100_000, 400_000, 4 << 20] {
          let operation = operation(pass, problem, format)
          let options = PlanOptions(threads: 3, workspaceLimit: limit)
          if let reason = DirectBackend().nativeSupport(for: operation, options).reason {
            #expect(
              reason.contains("workspace") && limit <= 400_000, "\(operation) within \(limit): \(reason)")
            continue
          }
          let plan = try nativePlan(operation, options)
          #expect(plan.workspaceBytes <= limit + plan.preparedBytes + 4096, "\(operation) within \(limit)")
          let wrong = difference(try example.run(plan), expected)
          #expect(wrong == nil, "\(operation) within \(limit), seed 23: \(wrong ?? "")")
        }
      }
    }
  }

  @Test("what is declined comes with a reason")
  func reasons() throws {
    let backend = DirectBackend()
    let planar = try ConvProblem(parsing: "conv2d:n1c4h8w8k4r3s3")
    let spatial = try ConvProblem(
      spatialRank: 3, n: 1, c: 2, k: 2, input: Extent(d: 4, h: 5, w: 6), filter: Extent(d: 2, h: 3, w: 3))
    let doubled = try ConvProblem(parsing: "conv2d:n1c4h8w8k8r3s3g4")
    let long = try ConvProblem(parsing: "conv2d:n1c1h1w40000k1r1s20000")
    let declined: [(ConvOperation, PlanOptions, String)] = [
      (ConvOperation(.forward, spatial), PlanOptions(), "3-D"),
      (ConvOperation(.forward, long), PlanOptions(), "taps"),
      (ConvOperation(.forward, planar), PlanOptions(variant: "tile=2x2"), "tile=2x2"),
      (ConvOperation(.forward, planar, epilogue: Epilogue(maxPool2x2: true)), PlanOptions(), "pool"),
      (
        ConvOperation(.backwardFilter, planar, epilogue: Epilogue(biasGradient: true)), PlanOptions(),
        "bias gradient"
      ),
      (
        ConvOperation(.forward, planar, epilogue: Epilogue(relu: true, accumulate: true)), PlanOptions(),
        "ReLU"
      ),
      (operation(.forward, doubled, .nhwc), PlanOptions(), "nchw"),
      (operation(.backwardFilter, doubled, .nhwc), PlanOptions(), "nchw"),
      (ConvOperation(.forward, doubled, inputFormat: .nhwc), PlanOptions(), "format"),
    ]
    for (operation, options, word) in declined {
      let reason = backend.nativeSupport(for: operation, options).reason
      #expect(reason?.contains(word) == true, "\(operation): \(reason ?? "supported")")
      #expect(throws: ConvError.self) { try nativePlan(operation, options) }
      if options.variant == nil && word != "taps" {
        #expect(backend.support(for: operation) == .supported, "\(operation)")
      }
    }
  }

  @Test("the declared shape of sums: chains, and for filter gradients blocks of a counted depth")
  func shapes() throws {
    func shape(_ pass: ConvPass, _ text: String) throws -> SumShape? {
      let plan = try nativePlan(operation(pass, ConvProblem(parsing: "conv2d:" + text), .nhwc))
      guard case .summation(let shape, accumulator: .float32) = plan.errorModel else { return nil }
      return shape
    }
    #expect(try shape(.forward, "n1c12h9w9k8r3s3p1") == .chain)
    #expect(try shape(.backwardData, "n1c12h9w9k8r3s3p1") == .chain)
    #expect(try shape(.forward, "n1c12h9w9k12r3s3p1g12") == .chain)
    // 16 images of 64 sums in p partial sums: 64 roundings in each image, 16/p from image to image, p from part to part.
    guard case .unknown(let gradient) = try shape(.backwardFilter, "n16c4h8w8k4r3s3p1") else {
      Issue.record("no blocks of a counted depth")
      return
    }
    #expect(gradient >= 64 + 8 && gradient <= 16 * 64)
  }

  @Test("a smaller workspace or a missing bias is an error, not a crash")
  func badOperands() throws {
    let problem = try ConvProblem(parsing: "conv2d:n1c4h8w8k4r3s3")
    let plan = try nativePlan(operation(.forward, problem, .nchw))
    #expect(plan.workspaceBytes > 0)
    let nothing = UnsafeMutableRawBufferPointer(start: nil, count: 0)
    #expect(throws: ConvError.self) {
      try plan.execute(ConvOperands(), workspace: nothing, pool: .shared, phases: nil)
    }
    let example = RawTrial<Float>(problem, seed: 24, integers: true)
    let biased = try nativePlan(operation(.forward, problem, .nchw, epilogue: Epilogue(bias: true)))
    #expect(throws: ConvError.self) { try example.run(biased) }
  }
}
