import ConvCore
import ConvDirect
import ConvIm2col
import ConvNaive
import Testing

@testable import ConvBackends

@Suite struct AutoBackendTests {
  private static let formats: [MemoryFormat] = [.nchw, .nhwc]

  private func operation(_ pass: ConvPass, _ text: String, _ format: MemoryFormat) throws -> ConvOperation {
    ConvOperation(pass, try ConvProblem(parsing: text), inputFormat: format, outputFormat: format)
  }

  /// With the table of a Zen 5, on whatever machine.
  private let auto = AutoBackend(profile: TestProfile.zen5)

  /// The kinds of layers on which one algorithm is ahead by a factor; planes of few channels are a near thing elsewhere.
  /// Not where the baseline is forced upon kernels that the prices are not of.
  @Test(
    .enabled(if: InstructionSet.current != .baseline, "prices are of vectors that the baseline lacks"),
    arguments: [
      ("conv2d:n4c64h56w56k64r3s3p1", "winograd"), ("conv2d:n2c512h28w28k512r3s3p1", "winograd"),
      ("conv2d:n8c96h14w14k96r3s3p1g96", "direct"), ("conv2d:n4c144h56w56k144r3s3u2p1g144", "direct"),
      ("conv2d:n2c3h224w224k64r7s7u2p3", "direct"), ("conv2d:n4c64h56w56k256r1s1", "direct"),
    ])
  func kindsOfLayersHaveTheirEngine(_ text: String, _ engine: String) throws {
    for pass in ConvPass.allCases {
      // Nobody needs the gradient of an image, and nobody is much ahead with it.
      if text.contains("c3h224") && pass == .backwardData { continue }
      let plan = try auto.plan(for: operation(pass, text, .nhwc))
      #expect(plan.executedBy == engine, "\(text) \(pass): \(plan.executedBy)")
    }
  }

  #if FFTW
    @Test(arguments: ["conv2d:n1c32h64w64k32r31s31p15", "conv2d:n1c64h56w56k64r9s9p4"])
    func largeFiltersGoToTheFrequencyDomain(_ text: String) throws {
      for format in AutoBackendTests.formats {
        for pass in ConvPass.allCases {
          let plan = try auto.plan(for: operation(pass, text, format))
          #expect(plan.executedBy.hasPrefix("fft"), "\(text) \(pass) \(format): \(plan.executedBy)")
        }
      }
    }
  #endif

  /// Bits do not follow the thread count, so the choice must not either.
  @Test func threadsDoNotChoose() throws {
    for text in ["conv2d:n1c64h14w14k64r3s3p1", "conv2d:n2c24h30w30k16r5s5p2", "conv2d:n1c512h7w7k512r3s3p1"]
    {
      for pass in ConvPass.allCases {
        let operation = try operation(pass, text, .nhwc)
        let plans = try [1, 2, 3, 8].map { try auto.plan(for: operation, PlanOptions(threads: $0)) }
        #expect(Set(plans.map(\.variant)).count == 1, "\(operation): \(plans.map(\.variant))")
      }
    }
  }

  /// F(4×4, 5×5) is taken where its error bound still means something.
  @Test func largeTilesAreForShortSums() throws {
    let only = AutoBackend(candidates: [
      BackendRegistry.Selection(backend: .winograd, variant: "tile=4x4"),
      BackendRegistry.Selection(backend: .naive),
    ])
    for (text, wanted) in [
      ("conv2d:n1c64h24w24k32r5s5p2", "winograd"), ("conv2d:n1c201h24w24k32r5s5p2", "naive"),
      ("conv2d:n1c64h24w24k32r3s3p1", "naive"),
    ] {
      #expect(try only.plan(for: operation(.forward, text, .nhwc)).executedBy.hasPrefix(wanted), "\(text)")
    }
  }

  @Test func declinesWithAReason() throws {
    let operation = try operation(.forward, "conv2d:n1c2h6w6k2r3s3", .nchw)
    let variant = AutoBackend().support(for: operation, PlanOptions(variant: "tile=2x2"))
    #expect(variant.reason?.contains("'tile=2x2'") == true, "\(variant)")
    let none = AutoBackend(candidates: [
      BackendRegistry.Selection(backend: .im2col, variant: "gemm=none")
    ])
    let reason = none.support(for: operation).reason
    #expect(reason?.contains("im2col[gemm=none]: ") == true && reason?.contains("gemm=kernel") == true)
    #expect(throws: ConvError.self) { try none.plan(for: operation) }
    #expect(AutoBackend(candidates: []).support(for: operation).reason?.contains("no candidates") == true)
  }

  /// Single taps have no products to save, whatever transforms cost.
  @Test func singleTapsAreNotFiltered() throws {
    let only = AutoBackend(
      candidates: [
        BackendRegistry.Selection(backend: .winograd), BackendRegistry.Selection(backend: .naive),
      ], profile: TestProfile.free(.products, .transforms, .plainTransforms))
    for (text, wanted) in [
      ("conv2d:n1c64h24w24k32r1s1", "naive"), ("conv2d:n1c64h24w24k32r1s3p1", "winograd"),
      ("conv2d:n1c64h24w24k32r3s3p1", "winograd"),
    ] {
      let operation = try operation(.forward, text, .nhwc)
      #expect(try only.plan(for: operation).executedBy.hasPrefix(wanted), "\(text)")
      #expect(only.considers(only.candidates[0], operation) == (wanted == "winograd"))
    }
  }

  /// Predictions grow with the work.
  @Test(.enabled(if: InstructionSet.current != .baseline, "prices are of vectors that the baseline lacks"))
  func predictionsFollowTheWork() throws {
    let direct: any ConvolutionBackend = .direct
    func time(_ text: String) throws -> Double {
      TestProfile.zen5.prices.nanoseconds(try direct.work(for: operation(.forward, text, .nhwc)))
    }
    let ratio = try time("conv2d:n8c16h20w20k16r3s3p1") / time("conv2d:n1c16h20w20k16r3s3p1")
    #expect(ratio > 6 && ratio < 8.5, "\(ratio)")
    let one = try NaiveBackend().plan(for: operation(.forward, "conv2d:n1c3h9w9k4r3s3", .nchw))
    #expect(one.work[.modelled] == one.operation.problem.directFLOPs)
  }

  /// A transform or a packing that was done before costs nothing now.
  @Test func preparedFiltersSaveWork() throws {
    for backend in [.winograd, .direct] as [any ConvolutionBackend] {
      for pass in [ConvPass.forward, .backwardData] {
        for format in AutoBackendTests.formats {
          let operation = try operation(pass, "conv2d:n1c64h7w7k96r3s3p1", format)
          let (fresh, prepared) = (
            try backend.work(for: operation, PlanOptions(filterState: .fresh)),
            try backend.work(for: operation, PlanOptions(filterState: .prepared))
          )
          for kind in ConvWork.Kind.allCases {
            #expect(prepared[kind] <= fresh[kind] * (1 + 1e-12), "\(backend.name) \(operation) \(kind)")
          }
          let time = TestProfile.zen5.prices.nanoseconds
          #expect(
            time(prepared, .float32) < 0.95 * time(fresh, .float32), "\(backend.name) \(operation)")
        }
      }
    }
  }
}
